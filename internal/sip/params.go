package sip

// Params are the parameters of a header value or URI as they stand on the wire: ";name=value;name", spaces allowed
// around the signs. The zero value has none.
type Params []byte

// ParamIter walks over parameters in order.
type ParamIter struct {
	b           []byte
	i           int
	name, value []byte
	has         bool // an "=" was there
	err         error
}

// Iter starts a walk.
func (p Params) Iter() ParamIter { return ParamIter{b: p} }

// Next moves to the next parameter; false at the end or at an error.
func (it *ParamIter) Next() bool {
	b, i := it.b, skipSpace(it.b, it.i)
	if i >= len(b) {
		return false
	}
	if b[i] != ';' {
		it.err = errParams
		return false
	}
	i = skipSpace(b, i+1)
	start := i
	for i < len(b) && b[i] != ';' && b[i] != '=' && !isSpace(b[i]) {
		i++
	}
	it.name, it.value, it.has = b[start:i], nil, false
	if len(it.name) == 0 {
		it.err = errParams
		return false
	}
	if i = skipSpace(b, i); i < len(b) && b[i] == '=' {
		i = skipSpace(b, i+1)
		start, it.has = i, true
		if i < len(b) && b[i] == '"' {
			if i = skipQuoted(b, i); i < 0 {
				it.err = errParams
				return false
			}
		} else {
			for i < len(b) && b[i] != ';' && !isSpace(b[i]) {
				i++
			}
		}
		it.value = b[start:i]
	}
	it.i = i
	return true
}

// Name is the parameter's name as written.
func (it *ParamIter) Name() []byte { return it.name }

// Value is what follows the "="; a quoted string keeps its quotes.
func (it *ParamIter) Value() []byte { return it.value }

// HasValue tells "lr=" and "lr=x" from "lr".
func (it *ParamIter) HasValue() bool { return it.has }

// Err is the error that ended the walk, if any.
func (it *ParamIter) Err() error { return it.err }

// Value finds a parameter by name, whatever its case. Surrounding quotes are removed, escapes are not.
func (p Params) Value(name string) ([]byte, bool) {
	for it := p.Iter(); it.Next(); {
		if equalFold(it.name, name) {
			v := it.value
			if len(v) >= 2 && v[0] == '"' {
				v = v[1 : len(v)-1]
			}
			return v, true
		}
	}
	return nil, false
}

// Has tells whether a parameter is there.
func (p Params) Has(name string) bool {
	_, ok := p.Value(name)
	return ok
}

// check refuses parameters that are not well formed: generic-param of RFC 3261 §25.1.
func (p Params) check() error {
	it := p.Iter()
	for it.Next() {
		if !isToken(it.name) || it.has && len(it.value) == 0 {
			return errParams
		}
		if it.has && it.value[0] == '"' {
			continue // a quoted string may hold anything, as +sip.instance="<urn:...>" does (RFC 5626 §4.1)
		}
		for _, c := range it.value {
			if c == '<' || c == '>' || c == ',' {
				return errParams
			}
		}
	}
	return it.err
}
