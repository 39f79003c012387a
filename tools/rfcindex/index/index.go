// Package index finds which RFC is obeyed where. It reads the comments of the Go files below a directory and renders
// the list that stands in docs/rfc/README.md: by RFC with its sections and files, by package, and the deviations.
//
// It owns the shape of that page and the titles of the RFCs. It does not judge whether a rule is obeyed. It is pure but
// for reading files, and has no goroutines.
package index

import (
	"cmp"
	_ "embed"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed titles.txt
var titles string

// Page is where the list stands, relative to the root.
const Page = "docs/rfc/README.md"

// citation is one "RFC nnnn §s" in a file.
type citation struct {
	rfc     int
	section string // "" = the RFC as a whole
	file    string // slash-separated, relative to the root
}

// deviation is a comment that knowingly does not follow a rule.
type deviation struct{ file, text string }

// Render reads the Go files below root, tests aside, and returns the page.
func Render(root string) ([]byte, error) {
	var found []citation
	var deviations []deviation
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); name != root && (strings.HasPrefix(base, ".") || base == "testdata" || base == "node_modules") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		cs, ds, err := scan(filepath.ToSlash(rel), source)
		found, deviations = append(found, cs...), append(deviations, ds...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("index RFCs: %w", err)
	}
	return render(found, deviations), nil
}

// cites matches "RFC 3261 §17.1.1.2" and what may follow: ", 19" or "-14" or " and §8".
func cites() *regexp.Regexp {
	return regexp.MustCompile(`RFCs? ?(\d{3,5})((?:,? (?:and )?§§? ?[0-9A-Z][0-9A-Za-z.]*(?:(?:-|, ?| and )§?\d+(?:\.\d+)*\b)*)*)`)
}

// scan collects what the comments of one file cite.
func scan(name string, source []byte) ([]citation, []deviation, error) {
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return nil, nil, err
	}
	var found []citation
	var deviations []deviation
	pattern, section := cites(), regexp.MustCompile(`[0-9A-Z][0-9A-Za-z]*(?:\.[0-9]+)*`)
	for _, group := range file.Comments {
		text := strings.Join(strings.Fields(group.Text()), " ")
		for _, m := range pattern.FindAllStringSubmatch(text, -1) {
			rfc, err := strconv.Atoi(m[1])
			if err != nil {
				return nil, nil, err
			}
			sections := section.FindAllString(strings.ReplaceAll(m[2], "and", ""), -1)
			if len(sections) == 0 {
				sections = []string{""}
			}
			for _, s := range sections {
				// In "RFC 3261 §12-14, 3262" the last number is another RFC: no RFC has a thousand sections.
				if other, err := strconv.Atoi(s); err == nil && other >= 1000 {
					rfc, s = other, ""
				}
				found = append(found, citation{rfc, s, name})
			}
		}
		if _, words, is := strings.Cut(text, "Deviation: "); is {
			deviations = append(deviations, deviation{name, words})
		}
	}
	return found, deviations, nil
}

// render writes the page.
func render(found []citation, deviations []deviation) []byte {
	var b strings.Builder
	b.WriteString("# RFCs and where they are obeyed\n\n" +
		"Made by `go run ./tools/rfcindex` from the comments in the code; do not edit.\n\n## By RFC\n")
	known := names()
	byRFC, byPackage := map[int]map[string][]string{}, map[string][]int{}
	for _, c := range found {
		if byRFC[c.rfc] == nil {
			byRFC[c.rfc] = map[string][]string{}
		}
		sections := byRFC[c.rfc][c.file]
		if c.section != "" && !slices.Contains(sections, c.section) {
			sections = append(sections, c.section)
		}
		byRFC[c.rfc][c.file] = sections
		if pkg := path.Dir(c.file); !slices.Contains(byPackage[pkg], c.rfc) {
			byPackage[pkg] = append(byPackage[pkg], c.rfc)
		}
	}
	for _, rfc := range sorted(byRFC) {
		title := strings.TrimSpace(fmt.Sprintf("**[RFC %d](https://www.rfc-editor.org/rfc/rfc%d)** %s", rfc, rfc, known[rfc]))
		fmt.Fprintf(&b, "\n%s\n\n", title)
		for _, file := range sorted(byRFC[rfc]) {
			fmt.Fprintf(&b, "- [%s](../../%s)", file, file)
			sections := byRFC[rfc][file]
			slices.SortFunc(sections, compareSections)
			for i, s := range sections {
				fmt.Fprintf(&b, "%s §%s", []string{"", ","}[min(i, 1)], s)
			}
			b.WriteByte('\n')
		}
	}
	b.WriteString("\n## By package\n\n| package | RFCs |\n|---|---|\n")
	for _, pkg := range sorted(byPackage) {
		slices.Sort(byPackage[pkg])
		numbers := make([]string, len(byPackage[pkg]))
		for i, rfc := range byPackage[pkg] {
			numbers[i] = strconv.Itoa(rfc)
		}
		fmt.Fprintf(&b, "| [%s](../../%s) | %s |\n", pkg, pkg, strings.Join(numbers, ", "))
	}
	b.WriteString("\n## Deviations\n\n")
	if len(deviations) == 0 {
		b.WriteString("None.\n")
	}
	for _, d := range deviations {
		fmt.Fprintf(&b, "- [%s](../../%s): %s\n", d.file, d.file, d.text)
	}
	return []byte(b.String())
}

// names are the titles by number.
func names() map[int]string {
	known := map[int]string{}
	for line := range strings.Lines(titles) {
		number, title, _ := strings.Cut(strings.TrimSpace(line), " ")
		if rfc, err := strconv.Atoi(number); err == nil {
			known[rfc] = title
		}
	}
	return known
}

// compareSections orders 4.2 before 4.10, and numbers before letters.
func compareSections(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		switch {
		case errX == nil && errY == nil && x != y:
			return x - y
		case (errX == nil) != (errY == nil):
			if errX == nil {
				return -1
			}
			return 1
		case as[i] != bs[i]:
			return strings.Compare(as[i], bs[i])
		}
	}
	return len(as) - len(bs)
}

func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
