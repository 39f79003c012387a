package apply

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"dialtone/internal/directory"
)

// Fault is one mistake in a file, or one thing to look at.
type Fault struct {
	Line   int    // of the file, counted from 1; 0 when no line is to blame
	Field  string // "lines[0].devices[1].username"; "" when the file cannot be read at all
	Code   string // of directory.FieldError
	Reason string
}

// Error writes the fault without the name of the file: "12 lines[0].number: is required".
func (f Fault) Error() string {
	switch {
	case f.Field == "":
		return fmt.Sprintf("%d %s", f.Line, f.Reason)
	case f.Line == 0:
		return f.Field + ": " + f.Reason
	}
	return fmt.Sprintf("%d %s: %s", f.Line, f.Field, f.Reason)
}

// Faults are all mistakes of a file in the order of its lines. A file with any changes nothing.
type Faults []Fault

// Error writes one fault a line.
func (fs Faults) Error() string {
	lines := make([]string, len(fs))
	for i, f := range fs {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

func (fs Faults) sorted() Faults {
	slices.SortStableFunc(fs, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return fs
}

// hideOthers tells whether more cannot be said of a file that was read with these faults: after a fault of the syntax,
// or without a whole section, the rest would look wrong where it is not.
func (fs Faults) hideOthers() bool {
	for _, f := range fs {
		outside := !strings.Contains(f.Field, "[")
		unknown := f.Code == directory.CodeUnknown || f.Code == directory.CodeUnsupported && slices.Contains(sectionsLater(), f.Field)
		if outside && !unknown {
			return true
		}
	}
	return false
}

// with adds what was found in the parts of the file that could be read. A field that could not be read is not missing,
// nor is a user or a site whose entry could not be read.
func (fs Faults) with(err error) error {
	var more Faults
	if len(fs) == 0 || !errors.As(err, &more) {
		return err
	}
	names := slices.ContainsFunc(fs, func(f Fault) bool {
		return strings.HasPrefix(f.Field, "users[") || strings.HasPrefix(f.Field, "sites[")
	})
	for _, f := range more {
		follows := slices.ContainsFunc(fs, func(u Fault) bool {
			return f.Field == u.Field || strings.HasPrefix(f.Field, u.Field+".") || strings.HasPrefix(f.Field, u.Field+"[")
		})
		if !follows && !(names && f.Code == directory.CodeUnknown) {
			fs = append(fs, f)
		}
	}
	return fs.sorted()
}

// codeSyntax is the code of a file that is not YAML.
const codeSyntax = "syntax"

func (fs *Faults) add(line int, field, code, format string, args ...any) {
	*fs = append(*fs, Fault{line, field, code, fmt.Sprintf(format, args...)})
}

// under adds what is wrong with the fields of an entry, each at the line where it stands.
func (fs *Faults) under(e place, errs directory.Errors) {
	for _, f := range errs {
		fs.add(e.line(f.Field), e.path+"."+f.Field, f.Code, "%s", f.Reason)
	}
}
