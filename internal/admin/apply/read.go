package apply

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
)

// entry is one object of a section.
type entry[F any] struct {
	place
	form F
}

// section is a list of objects; one that is absent says nothing about what there is.
type section[F any] struct {
	present bool
	entries []entry[F]
}

// document is one tenant of a file.
type document struct {
	place          // the whole document
	name    string // of the tenant
	header  header
	sites   section[form.Site]
	users   section[form.User]
	lines   section[form.Line]
	numbers section[form.Number]
	hops    section[form.NextHop]
	rooms   section[form.Room]
}

// header is what a document says of the tenant itself. Each field is like a section: absent leaves alone.
type header struct {
	kind, parent, realm, language *string
	domains                       *[]string
}

// sectionsLater names the sections that the grammar knows and this version does not.
func sectionsLater() []string {
	return []string{"trunks", "routes", "groups", "menus", "queues", "schedules", "accounts"}
}

// syntaxFault finds line and reason in an error of the YAML reader. It leaves the line out when that is the first, and
// counts from 0 in what its parser says, from 1 in what its scanner says.
func syntaxFault(err error) (line int, reason string) {
	reason = strings.TrimPrefix(err.Error(), "yaml: ")
	rest, ok := strings.CutPrefix(reason, "line ")
	number, text, found := strings.Cut(rest, ": ")
	n, wrong := strconv.Atoi(number)
	if !ok || !found || wrong != nil {
		return 1, reason
	}
	for _, parser := range []string{
		"did not find expected <", "did not find expected node content", "did not find expected '-' indicator",
		"did not find expected key", "did not find expected ',' or ", "found duplicate %", "found undefined tag handle",
		"found incompatible YAML document",
	} {
		if strings.HasPrefix(text, parser) {
			n++
			break
		}
	}
	return n, text
}

// read takes a file apart.
func read(text []byte) ([]document, Faults) {
	var d decoder
	var documents []document
	reader := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var root yaml.Node
		err := decode(reader, &root)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			line, reason := syntaxFault(err)
			d.faults.add(line, "", codeSyntax, "%s", reason)
			break // nothing after a fault of the syntax can be trusted
		}
		if len(root.Content) == 0 || isNull(root.Content[0]) {
			continue // an empty document between two separators
		}
		documents = append(documents, d.document(root.Content[0]))
	}
	d.tenantsOnce(documents)
	return documents, d.faults
}

// decode keeps a panic of the YAML reader from ending the server: the text comes from outside.
func decode(reader *yaml.Decoder, root *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: line 1: cannot be read: %v", r)
		}
	}()
	return reader.Decode(root)
}

func (d *decoder) document(node *yaml.Node) document {
	doc := document{place: place{"", node}}
	if node.Anchor != "" || node.Kind == yaml.AliasNode {
		d.faults.add(node.Line, "", directory.CodeUnsupported, "anchors and aliases are not part of this file")
		return doc
	}
	d.pairs(node, "", func(key, value *yaml.Node) {
		switch key.Value {
		case "tenant":
			d.value(value, key.Value, reflect.ValueOf(&doc.name).Elem())
		case "kind":
			doc.header.kind = d.text(key, value)
		case "parent":
			doc.header.parent = d.text(key, value)
		case "realm":
			doc.header.realm = d.text(key, value)
		case "language":
			doc.header.language = d.text(key, value)
		case "domains":
			doc.header.domains = new([]string)
			d.value(value, key.Value, reflect.ValueOf(doc.header.domains).Elem())
		case "sites":
			doc.sites = readSection[form.Site](d, key, value)
		case "users":
			doc.users = readSection[form.User](d, key, value)
		case "lines":
			doc.lines = readSection[form.Line](d, key, value)
		case "numbers":
			doc.numbers = readSection[form.Number](d, key, value)
		case "next_hops":
			doc.hops = readSection[form.NextHop](d, key, value)
		case "rooms":
			doc.rooms = readSection[form.Room](d, key, value)
		default:
			d.unknownSection(key)
		}
	})
	if doc.name == "" {
		doc.name = directory.DefaultTenant
	}
	return doc
}

func (d *decoder) unknownSection(key *yaml.Node) {
	if slices.Contains(sectionsLater(), key.Value) {
		d.faults.add(key.Line, key.Value, directory.CodeUnsupported, "section %s is not supported by this version", key.Value)
		return
	}
	d.faults.add(key.Line, key.Value, directory.CodeUnknown, "unknown key")
}

func (d *decoder) text(key, value *yaml.Node) *string {
	s := new(string)
	d.value(value, key.Value, reflect.ValueOf(s).Elem())
	return s
}

func readSection[F any](d *decoder, key, value *yaml.Node) section[F] {
	s := section[F]{present: true}
	d.items(value, key.Value, func(i int, item *yaml.Node) {
		e := entry[F]{place: place{indexed(key.Value, i), item}}
		d.structure(item, e.path, reflect.ValueOf(&e.form).Elem())
		s.entries = append(s.entries, e)
	})
	return s
}

// tenantsOnce refuses a file that speaks of one tenant in two documents: which of them would --prune believe?
func (d *decoder) tenantsOnce(documents []document) {
	seen := make(map[string]bool, len(documents))
	for i := range documents {
		doc := &documents[i]
		if seen[doc.name] {
			d.faults.add(doc.line("tenant"), "tenant", directory.CodeDuplicate, "the file has another document for %s", doc.name)
		}
		seen[doc.name] = true
	}
}
