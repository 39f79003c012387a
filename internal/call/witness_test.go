package call_test

import (
	"strings"

	"dialtone/internal/call"
	"dialtone/internal/call/calltest"
)

type calltestLeg = calltest.Leg

// witness keeps what the legs were asked and checks what must hold whatever happened.
type witness struct {
	s       *scene
	asked   map[*calltestLeg][]string
	left    map[*calltestLeg]bool // ended by itself, as it told the call
	pending map[*calltestLeg]int  // changes that nobody has responded to
}

func newWitness(s *scene) *witness {
	return &witness{s: s, asked: map[*calltestLeg][]string{}, left: map[*calltestLeg]bool{}, pending: map[*calltestLeg]int{}}
}

func (w *witness) legs() []*calltestLeg {
	return append([]*calltestLeg{w.s.caller}, w.s.dialer.Legs()...)
}

// look collects what the legs were asked.
func (w *witness) look() {
	for _, l := range w.legs() {
		w.asked[l] = append(w.asked[l], l.Asked()...)
	}
}

func (w *witness) count(l *calltestLeg, verb string) int {
	n := 0
	for _, a := range w.asked[l] {
		if strings.HasPrefix(a, verb) {
			n++
		}
	}
	return n
}

// alive reports whether the leg may still say something: it has neither left nor, as far as it knows, been hung up.
func (w *witness) alive(l *calltestLeg) bool { return !w.left[l] && w.count(l, "hangup") == 0 }

func (w *witness) said(l *calltestLeg, e call.Event) {
	switch e.(type) {
	case call.Ended, call.Failed:
		w.left[l] = true
	case call.Updated:
		w.pending[l]++
	}
}

// check ends the story.
func (w *witness) check() {
	t := w.s.t
	t.Helper()
	for _, l := range w.legs() {
		hangups := w.count(l, "hangup")
		switch {
		case hangups > 1:
			t.Errorf("leg %s was hung up %d times: %q", l.ID(), hangups, w.asked[l])
		case hangups == 0 && !w.left[l]:
			t.Errorf("leg %s was forgotten: %q", l.ID(), w.asked[l])
		case l == w.s.caller && w.count(l, "answer") > 1:
			t.Errorf("the caller was answered twice: %q", w.asked[l])
		}
		for i, a := range w.asked[l] {
			if strings.HasPrefix(a, "hangup") && i != len(w.asked[l])-1 {
				t.Errorf("leg %s was asked after its end: %q", l.ID(), w.asked[l])
			}
		}
		if responses := w.count(l, "respond") + w.count(l, "refuse"); responses > w.pending[l] {
			t.Errorf("leg %s asked %d times and got %d responses: %q", l.ID(), w.pending[l], responses, w.asked[l])
		}
	}
	if n := len(w.s.seen.Ended()); n != 1 {
		t.Errorf("told of %d ends", n)
	}
}

// permute calls f with every order of n things.
func permute(n int, f func(order []int)) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	var rec func(k int)
	rec = func(k int) {
		if k == n {
			f(order)
			return
		}
		for i := k; i < n; i++ {
			order[k], order[i] = order[i], order[k]
			rec(k + 1)
			order[k], order[i] = order[i], order[k]
		}
	}
	rec(0)
}
