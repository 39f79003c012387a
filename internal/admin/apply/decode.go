package apply

import (
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"dialtone/internal/directory"
)

// place is where an entry of a section stands.
type place struct {
	path string // "lines[0]"
	node *yaml.Node
}

// line finds the line of a field of the entry, or of the nearest thing around it that is written.
func (p place) line(field string) int {
	node := p.node
	line := node.Line
	for part := range strings.SplitSeq(field, ".") {
		name, index, indexed := strings.Cut(part, "[")
		key, value := lookUp(node, name)
		if value == nil {
			return line
		}
		node, line = value, key.Line
		if !indexed {
			continue
		}
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil || node.Kind != yaml.SequenceNode || i < 0 || i >= len(node.Content) {
			return line
		}
		node = node.Content[i]
		line = node.Line
	}
	return line
}

// lookUp finds a key of a mapping.
func lookUp(node *yaml.Node, name string) (key, value *yaml.Node) {
	if node.Kind != yaml.MappingNode {
		return nil, nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == name {
			return node.Content[i], node.Content[i+1]
		}
	}
	return nil, nil
}

// decoder puts YAML nodes into forms and keeps every mistake it finds on the way.
type decoder struct{ faults Faults }

// later are fields that the grammar knows and this version does not.
func later(field string) bool {
	switch field {
	case "forward", "voicemail", // of lines
		"area", "direction", "ddi_length": // of numbers
		return true
	}
	return false
}

// pairs walks a mapping: every key once, as text.
func (d *decoder) pairs(node *yaml.Node, path string, each func(key, value *yaml.Node)) {
	if node.Kind != yaml.MappingNode {
		d.faults.add(node.Line, path, directory.CodeInvalid, "must be fields with values, not %s", describe(node))
		return
	}
	seen := make(map[string]bool, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		field := join(path, key.Value)
		switch {
		case key.Kind != yaml.ScalarNode:
			d.faults.add(key.Line, path, directory.CodeInvalid, "has a field whose name is not a word")
		case seen[key.Value]:
			d.faults.add(key.Line, field, directory.CodeDuplicate, "is written twice")
		case value.Kind == yaml.AliasNode || value.Anchor != "" || key.Value == "<<":
			d.faults.add(key.Line, field, directory.CodeUnsupported, "anchors, aliases and merge keys are not part of this file")
		default:
			seen[key.Value] = true
			each(key, value)
		}
	}
}

// items walks a sequence.
func (d *decoder) items(node *yaml.Node, path string, each func(i int, item *yaml.Node)) {
	if isNull(node) {
		return
	}
	if node.Kind != yaml.SequenceNode {
		d.faults.add(node.Line, path, directory.CodeInvalid, "must be a list, not %s", describe(node))
		return
	}
	for i, item := range node.Content {
		if item.Kind == yaml.AliasNode || item.Anchor != "" {
			d.faults.add(item.Line, indexed(path, i), directory.CodeUnsupported, "anchors and aliases are not part of this file")
			continue
		}
		each(i, item)
	}
}

// structure reads a mapping into the struct that v is, by the names of its JSON tags.
func (d *decoder) structure(node *yaml.Node, path string, v reflect.Value) {
	d.pairs(node, path, func(key, value *yaml.Node) {
		field, ok := fieldOf(v, key.Value)
		switch {
		case ok:
			d.value(value, join(path, key.Value), field)
		case later(key.Value):
			d.faults.add(key.Line, join(path, key.Value), directory.CodeUnsupported, "is not supported by this version")
		default:
			d.faults.add(key.Line, join(path, key.Value), directory.CodeUnknown, "unknown key")
		}
	})
}

// value reads any node into v; what is null is left as it is.
func (d *decoder) value(node *yaml.Node, path string, v reflect.Value) {
	if isNull(node) {
		return
	}
	switch v.Kind() {
	case reflect.String:
		if node.Kind != yaml.ScalarNode {
			d.faults.add(node.Line, path, directory.CodeInvalid, "must be a text, not %s", describe(node))
			return
		}
		v.SetString(node.Value)
	case reflect.Int:
		n, err := strconv.Atoi(node.Value)
		if node.Kind != yaml.ScalarNode || err != nil {
			d.faults.add(node.Line, path, directory.CodeInvalid, "must be a whole number, not %s", describe(node))
			return
		}
		v.SetInt(int64(n))
	case reflect.Bool:
		yes, err := strconv.ParseBool(node.Value)
		if node.Kind != yaml.ScalarNode || node.ShortTag() != "!!bool" || err != nil {
			d.faults.add(node.Line, path, directory.CodeInvalid, "must be true or false, not %s", describe(node))
			return
		}
		v.SetBool(yes)
	case reflect.Slice:
		d.items(node, path, func(i int, item *yaml.Node) {
			element := reflect.New(v.Type().Elem()).Elem()
			d.value(item, indexed(path, i), element)
			v.Set(reflect.Append(v, element))
		})
	case reflect.Struct:
		d.structure(node, path, v)
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(node, path, v.Elem())
	default:
		panic("apply: no way to read a " + v.Kind().String())
	}
}

// fieldOf finds the field of a form by its written name. The fields of embedded structs, and what is only shown, are not
// written.
func fieldOf(v reflect.Value, name string) (reflect.Value, bool) {
	t := v.Type()
	for i := range t.NumField() {
		if t.Field(i).Anonymous || t.Field(i).Tag.Get("readOnly") != "" {
			continue
		}
		tag, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if tag == name {
			return v.Field(i), true
		}
	}
	return reflect.Value{}, false
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// describe says what a node is without repeating it: it may be a secret.
func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "fields"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	switch node.ShortTag() {
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	case "!!null":
		return "nothing"
	}
	return "a text"
}

func join(path, field string) string {
	if path == "" {
		return field
	}
	return path + "." + field
}

func indexed(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
