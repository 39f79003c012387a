package t38

import (
	"fmt"
	"strings"
)

// Phase is where a fax is, as far as one direction of it shows.
type Phase uint8

// The phases, in the words of T.30 §3.
const (
	Idle     Phase = iota
	Calling        // CNG
	Answered       // CED or ANSam
	Control        // V.21: capabilities, commands, answers
	Training       // of the modem for pages
	Page           // picture data
)

// String is the word for traces.
func (p Phase) String() string {
	return [...]string{"idle", "calling", "answered", "control", "training", "page"}[p]
}

// Tracer follows one direction of a fax and puts it into words. The zero value is at the beginning.
type Tracer struct {
	phase Phase
	speed Type   // of Training and Page
	bytes int    // of the present page, or of the training check
	frame []byte // HDLC octets so far, at most frameKept
	size  int    // of the frame, all of it
	pages int    // with data
}

// frameKept is how much of a frame is looked at.
const frameKept = 16

// Phase is where the fax is.
func (t *Tracer) Phase() Phase { return t.phase }

// Pages counts the stretches of picture data longer than a training check.
func (t *Tracer) Pages() int { return t.pages }

// checkBytes is the longest training check: 1.5 s of zeros at 14,400 bit/s (T.30 §5.3.2), with a little room.
const checkBytes = 14400 * 2 / 8

// Step takes one packet. words are what is worth a line: changes of phase and control frames; "" for the rest.
func (t *Tracer) Step(p *IFP) (words string) {
	if !p.Type.IsData() {
		return t.indicate(p.Type)
	}
	var out []string
	if p.Type == V21Data {
		t.enter(Control, p.Type)
		for _, f := range p.Fields {
			if line := t.control(f); line != "" {
				out = append(out, line)
			}
		}
		return strings.Join(out, "; ")
	}
	if p.Type == V8Data {
		return ""
	}
	if line := t.enter(Page, p.Type); line != "" {
		out = append(out, line)
	}
	for _, f := range p.Fields {
		t.bytes += len(f.Data)
		switch f.Type {
		case NonECMSigEnd, HDLCSigEnd, HDLCFCSOKSigEnd, HDLCFCSBadSigEnd:
			out = append(out, t.endOfPage())
		default: // data
		}
	}
	return strings.Join(out, "; ")
}

func (t *Tracer) indicate(i Type) string {
	switch {
	case i == NoSignal:
		if t.phase == Page && t.bytes > 0 {
			return t.endOfPage()
		}
		return ""
	case i == CNG:
		return t.enter(Calling, i)
	case i == CED, i == V8ANSam:
		return t.enter(Answered, i)
	case i == V21Preamble:
		t.frame, t.size = t.frame[:0], 0
		return t.enter(Control, i)
	case i == V8Signal, i == V34ControlTraining1200, i == V34ControlRetrain:
		return ""
	}
	return t.enter(Training, i)
}

// enter changes the phase; the words are empty when it is the old one.
func (t *Tracer) enter(to Phase, what Type) string {
	if t.phase == to && (to != Training && to != Page || t.speed == what) {
		return ""
	}
	t.phase, t.bytes = to, 0
	if to == Training || to == Page {
		t.speed = what
	}
	return fmt.Sprintf("%s (%s)", to, what)
}

func (t *Tracer) endOfPage() string {
	n := t.bytes
	t.bytes = 0
	t.phase = Idle
	if n <= checkBytes {
		return fmt.Sprintf("end of training check: %d bytes", n)
	}
	t.pages++
	return fmt.Sprintf("end of page data: %d bytes", n)
}

// control takes one field of V.21.
func (t *Tracer) control(f Field) string {
	if room := frameKept - len(t.frame); room > 0 {
		t.frame = append(t.frame, f.Data[:min(room, len(f.Data))]...)
	}
	t.size += len(f.Data)
	switch f.Type {
	case HDLCFCSOK, HDLCFCSOKSigEnd:
		line := frameWords(t.frame)
		t.frame, t.size = t.frame[:0], 0
		return line
	case HDLCFCSBad, HDLCFCSBadSigEnd:
		n := t.size
		t.frame, t.size = t.frame[:0], 0
		return fmt.Sprintf("frame of %d bytes with a wrong checksum", n)
	default:
		return ""
	}
}

// frameWords names a control frame: address, control field, facsimile control field (T.30 §5.3). Octets are as T.30 writes
// them, the first bit on the line is the highest.
func frameWords(b []byte) string {
	if len(b) < 3 || b[0] != 0xff || b[1]&0xf7 != 0xc0 {
		return "frame that is none of T.30"
	}
	words := frameName(b[2])
	switch {
	case b[2]&0x7f == 0x41 && len(b) >= 5: // DCS
		words += " " + speedOf(b[4])
		if len(b) >= 7 && b[6]&0x20 != 0 { // bit 27
			words += " ECM"
		}
	case b[2] == 0x01 && len(b) >= 7 && b[6]&0x20 != 0: // DIS
		words += " ECM"
	}
	return words
}

// frameName is the name of a facsimile control field without its highest bit, which tells the direction (T.30 §5.3.6).
func frameName(fcf byte) string {
	switch fcf & 0x7f {
	case 0x01:
		if fcf&0x80 != 0 {
			return "DTC"
		}
		return "DIS"
	case 0x02:
		if fcf&0x80 != 0 {
			return "CIG"
		}
		return "CSI"
	case 0x04:
		if fcf&0x80 != 0 {
			return "NSC"
		}
		return "NSF"
	case 0x41:
		return "DCS"
	case 0x42:
		return "TSI"
	case 0x43:
		return "SUB"
	case 0x44:
		return "NSS"
	case 0x21:
		return "CFR"
	case 0x22:
		return "FTT"
	case 0x24:
		return "CTR"
	case 0x71:
		return "EOM"
	case 0x72:
		return "MPS"
	case 0x74:
		return "EOP"
	case 0x79:
		return "PRI-EOM"
	case 0x7a:
		return "PRI-MPS"
	case 0x7c:
		return "PRI-EOP"
	case 0x7d:
		return "PPS"
	case 0x73:
		return "EOR"
	case 0x48:
		return "CTC"
	case 0x76:
		return "RR"
	case 0x31:
		return "MCF"
	case 0x33:
		return "RTP"
	case 0x32:
		return "RTN"
	case 0x35:
		return "PIP"
	case 0x34:
		return "PIN"
	case 0x3d:
		return "PPR"
	case 0x37:
		return "RNR"
	case 0x38:
		return "ERR"
	case 0x5f:
		return "DCN"
	case 0x58:
		return "CRP"
	}
	return fmt.Sprintf("frame %#02x", fcf)
}

// speedOf is the modulation that a DCS chooses: bits 11 to 14 (T.30 Table 2).
func speedOf(octet byte) string {
	switch octet >> 2 & 0xf {
	case 0b0000:
		return "V.27ter 2400"
	case 0b0100:
		return "V.27ter 4800"
	case 0b1000:
		return "V.29 9600"
	case 0b1100:
		return "V.29 7200"
	case 0b0001:
		return "V.17 14400"
	case 0b0101:
		return "V.17 12000"
	case 0b1001:
		return "V.17 9600"
	case 0b1101:
		return "V.17 7200"
	}
	return "unknown modulation"
}
