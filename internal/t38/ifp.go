package t38

import "fmt"

// Type is what an IFP packet carries: a signal that was heard on the line, or data of a modulation.
type Type uint8

// Indicators, in the order of T.38 Annex A; those from V8ANSam on came with later versions.
const (
	NoSignal Type = iota
	CNG
	CED
	V21Preamble
	V27Training2400
	V27Training4800
	V29Training7200
	V29Training9600
	V17Training7200Short
	V17Training7200Long
	V17Training9600Short
	V17Training9600Long
	V17Training12000Short
	V17Training12000Long
	V17Training14400Short
	V17Training14400Long
	V8ANSam
	V8Signal
	V34ControlTraining1200
	V34PrimaryChannel
	V34ControlRetrain
	V33Training12000
	V33Training14400

	indicators
)

// Data, in the order of T.38 Annex A.
const (
	V21Data Type = 0x80 + iota
	V27Data2400
	V27Data4800
	V29Data7200
	V29Data9600
	V17Data7200
	V17Data9600
	V17Data12000
	V17Data14400
	V8Data
	V34PrimaryRate
	V34Control1200
	V34PrimaryData
	V33Data12000
	V33Data14400

	dataEnd
)

const (
	rootIndicators = 16 // before the mark of extension
	rootData       = 9
	rootFields     = 8
)

// IsData tells data from indicators.
func (t Type) IsData() bool { return t >= V21Data }

// String is the name of T.38.
func (t Type) String() string {
	switch {
	case t < indicators:
		return [...]string{"no-signal", "cng", "ced", "v21-preamble", "v27-2400-training", "v27-4800-training", "v29-7200-training",
			"v29-9600-training", "v17-7200-short-training", "v17-7200-long-training", "v17-9600-short-training", "v17-9600-long-training",
			"v17-12000-short-training", "v17-12000-long-training", "v17-14400-short-training", "v17-14400-long-training", "v8-ansam",
			"v8-signal", "v34-cntl-channel-1200", "v34-pri-channel", "v34-CC-retrain", "v33-12000-training", "v33-14400-training"}[t]
	case t >= V21Data && t < dataEnd:
		return [...]string{"v21", "v27-2400", "v27-4800", "v29-7200", "v29-9600", "v17-7200", "v17-9600", "v17-12000", "v17-14400", "v8",
			"v34-pri-rate", "v34-CC-1200", "v34-pri-CH", "v33-12000", "v33-14400"}[t-V21Data]
	}
	return fmt.Sprintf("type %d", uint8(t))
}

// FieldType is the kind of a field.
type FieldType uint8

// The kinds of fields.
const (
	HDLCData FieldType = iota
	HDLCSigEnd
	HDLCFCSOK
	HDLCFCSBad
	HDLCFCSOKSigEnd
	HDLCFCSBadSigEnd
	NonECMData
	NonECMSigEnd
	CMMessage
	JMMessage
	CIMessage
	V34Rate

	fieldTypes
)

// String is the name of T.38.
func (t FieldType) String() string {
	if t < fieldTypes {
		return [...]string{"hdlc-data", "hdlc-sig-end", "hdlc-fcs-OK", "hdlc-fcs-BAD", "hdlc-fcs-OK-sig-end", "hdlc-fcs-BAD-sig-end",
			"t4-non-ecm-data", "t4-non-ecm-sig-end", "cm-message", "jm-message", "ci-message", "v34rate"}[t]
	}
	return fmt.Sprintf("field %d", uint8(t))
}

// Field is one field of an IFP packet. Data is the datagram's; nil where there is none.
type Field struct {
	Type FieldType
	Data []byte
}

// IFP is one packet of the Internet Facsimile Protocol. Indicators have no fields.
type IFP struct {
	Type   Type
	Fields []Field
}

// MaxFields are the fields of one packet. Senders put two or three in one.
const MaxFields = 64

// Parse reads an IFP packet as version of T.38 (T38FaxVersion in SDP) has it. Zeros at the end are left alone: packets that
// were computed from parity have them. The slices of p are used again.
//
//	+---+---+---+---------------+---+
//	| F | D | X | type, 4 bits  | 0 |  F: fields follow. D: data, else indicator. X: of an extension, six bits follow instead
//	+---+---+---+---------------+---+
//
// and, where F is set, the number of fields, and for each: a bit that there is data, from version 1 on the bit X, three bits
// of type (or, with X, seven), and two octets with the length less one, if there is data. Only lengths begin at an octet.
func (p *IFP) Parse(b []byte, version int) error {
	err := p.parse(b, version, false)
	if err != nil && version > 0 {
		// Interop: spandsp, and so Asterisk and FreeSWITCH, begin each field at an octet.
		if p.parse(b, version, true) == nil {
			return nil
		}
	}
	if err != nil {
		return fmt.Errorf("IFP: %w", err)
	}
	return nil
}

func (p *IFP) parse(b []byte, version int, octetFields bool) error {
	p.Fields = p.Fields[:0]
	r := bits{octets: octets{b: b}}
	hasFields, isData := r.bit(), r.bit()
	if isData {
		p.Type = V21Data + Type(r.enumerated(rootData, 4, true))
	} else {
		p.Type = Type(r.enumerated(rootIndicators, 4, true))
	}
	if r.err == nil && (isData && p.Type >= dataEnd || !isData && p.Type >= indicators) {
		return ErrRange
	}
	if hasFields {
		r.align()
		for range r.count(MaxFields) {
			if octetFields {
				r.align()
			}
			var f Field
			hasData := r.bit()
			// The first version has no mark of extension in the type of a field; T.38 (1998) Amendment 1 added it.
			if f.Type = FieldType(r.enumerated(rootFields, 3, version > 0)); f.Type >= fieldTypes {
				return ErrRange
			}
			if hasData {
				r.align()
				n := int(r.octet())<<8 | int(r.octet())
				if n++; n > len(r.b) {
					r.fail(ErrShort)
				}
				if r.err != nil {
					return r.err
				}
				f.Data, r.b = r.b[:n:n], r.b[n:]
			}
			if r.err != nil {
				return r.err
			}
			p.Fields = append(p.Fields, f)
		}
	}
	if r.now&(1<<r.left-1) != 0 {
		r.fail(ErrRest)
	}
	for _, o := range r.b {
		if o != 0 {
			r.fail(ErrRest)
		}
	}
	return r.err
}

// Append writes an IFP packet behind dst.
func (p *IFP) Append(dst []byte, version int) ([]byte, error) {
	if len(p.Fields) > MaxFields || !p.Type.IsData() && (p.Type >= indicators || len(p.Fields) > 0) || p.Type >= dataEnd {
		return dst, fmt.Errorf("IFP: %w", ErrRange)
	}
	w := bitWriter{b: dst}
	w.flag(len(p.Fields) > 0)
	w.flag(p.Type.IsData())
	if p.Type.IsData() {
		w.enumerated(int(p.Type-V21Data), rootData, 4, true)
	} else {
		w.enumerated(int(p.Type), rootIndicators, 4, true)
	}
	if len(p.Fields) == 0 {
		return w.b, nil
	}
	w.align()
	w.b = appendLength(w.b, len(p.Fields))
	for _, f := range p.Fields {
		if len(f.Data) > MaxIFP || f.Type >= fieldTypes || version == 0 && f.Type >= rootFields {
			return dst, fmt.Errorf("IFP: %w", ErrRange)
		}
		w.flag(len(f.Data) > 0)
		w.enumerated(int(f.Type), rootFields, 3, version > 0)
		if n := len(f.Data); n > 0 {
			w.align()
			w.b = append(append(w.b, byte((n-1)>>8), byte(n-1)), f.Data...)
		}
	}
	return w.b, nil
}

// bits reads bits of octets, the highest first.
type bits struct {
	octets
	now  byte
	left int // of now
}

func (r *bits) bit() bool {
	if r.left == 0 {
		r.now, r.left = r.octet(), 8
	}
	r.left--
	return r.now>>r.left&1 == 1
}

func (r *bits) number(n int) int {
	v := 0
	for range n {
		v <<= 1
		if r.bit() {
			v |= 1
		}
	}
	return v
}

func (r *bits) align() { r.left = 0 }

// enumerated reads an ENUMERATED with so many values, X.691 §14: beyond the mark of extension a small number follows.
func (r *bits) enumerated(root, width int, extensible bool) int {
	if extensible && r.bit() {
		if r.bit() { // 64 and more
			r.fail(ErrRange)
			return 0
		}
		return root + r.number(6)
	}
	v := r.number(width)
	if v >= root {
		r.fail(ErrRange)
		return 0
	}
	return v
}

// bitWriter is the counterpart of bits.
type bitWriter struct {
	b    []byte
	left int // bits of the last octet that are free
}

func (w *bitWriter) flag(v bool) {
	if v {
		w.number(1, 1)
		return
	}
	w.number(0, 1)
}

func (w *bitWriter) number(v, n int) {
	for i := n - 1; i >= 0; i-- {
		if w.left == 0 {
			w.b, w.left = append(w.b, 0), 8
		}
		w.left--
		w.b[len(w.b)-1] |= byte(v>>i&1) << w.left
	}
}

func (w *bitWriter) align() { w.left = 0 }

func (w *bitWriter) enumerated(v, root, width int, extensible bool) {
	if v >= root {
		w.flag(true)
		w.flag(false)
		w.number(v-root, 6)
		return
	}
	if extensible {
		w.flag(false)
	}
	w.number(v, width)
}
