package relational

import (
	"strconv"
	"strings"
)

// where writes a query whose conditions depend on what is asked.
type where struct {
	text strings.Builder
	args []any
}

func newWhere(selects string) *where {
	w := &where{}
	w.text.WriteString(selects)
	return w
}

// mark adds a value and returns its place holder.
func (w *where) mark(arg any) string {
	w.args = append(w.args, arg)
	return "$" + strconv.Itoa(len(w.args))
}

// and adds "column operator" with a value.
func (w *where) and(condition string, arg any) { w.raw(condition + " " + w.mark(arg)) }

func (w *where) raw(condition string) {
	if strings.Contains(w.text.String(), " WHERE ") {
		w.text.WriteString(" AND ")
	} else {
		w.text.WriteString(" WHERE ")
	}
	w.text.WriteString(condition)
}

// end adds order and limit.
func (w *where) end(order string, limit int) (string, []any) {
	w.text.WriteString(order + " LIMIT " + w.mark(limit))
	return w.text.String(), w.args
}

// limited holds a limit to its bounds.
func limited(limit, byDefault, most int) int {
	if limit <= 0 {
		return byDefault
	}
	return min(limit, most)
}
