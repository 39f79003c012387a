package dialog

import (
	"strconv"
	"strings"

	"dialtone/internal/sip"
)

// Reliable keeps the numbers of reliable provisional responses of one INVITE: RFC 3262.
type Reliable struct {
	Sent     uint32 `json:"sent"`     // RSeq of our last reliable response, 0 before the first (UAS)
	Received uint32 `json:"received"` // RSeq of the peer's last one that was taken, 0 before the first (UAC)
}

// Next is the RSeq of our next reliable provisional response. §3: the first is random below 2^31, here 1 to 2^16 (any
// value does).
func (r *Reliable) Next(first uint32) uint32 {
	if r.Sent == 0 {
		r.Sent = max(first, 1)
	} else {
		r.Sent++
	}
	return r.Sent
}

// Take is the UAC side of §4: it tells whether a provisional response is reliable, and whether it is the next one,
// which wants a PRACK; a repetition or one out of order is to be ignored.
func (r *Reliable) Take(res *sip.Message) (rseq uint32, isReliable, isNext bool) {
	rseq, ok := res.Uint(sip.HRSeq)
	if !ok || !res.HasOption(sip.HRequire, "100rel") || res.Status() == 100 {
		return 0, false, false
	}
	if r.Received != 0 && rseq != r.Received+1 {
		return rseq, true, false
	}
	r.Received = rseq
	return rseq, true, true
}

// RAck is the value of RAck in a PRACK.
func RAck(rseq, cseq uint32) string {
	return strconv.FormatUint(uint64(rseq), 10) + " " + strconv.FormatUint(uint64(cseq), 10) + " INVITE"
}

// AckedBy tells whether a PRACK acknowledges our response with rseq to the INVITE with cseq.
func AckedBy(prack *sip.Message, rseq, cseq uint32) bool {
	v, ok := prack.Header(sip.HRAck)
	if !ok {
		return false
	}
	f := strings.Fields(string(v))
	return len(f) == 3 && isNumber(f[0], rseq) && isNumber(f[1], cseq) && f[2] == "INVITE"
}

func isNumber(s string, n uint32) bool {
	v, err := strconv.ParseUint(s, 10, 32)
	return err == nil && uint32(v) == n
}
