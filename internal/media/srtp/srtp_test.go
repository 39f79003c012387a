package srtp

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"testing"

	"dialtone/internal/sdp"
)

// master is a key for a suite, the same each time.
func master(s *Suite, seed byte) []byte {
	key := make([]byte, s.KeyLen+s.SaltLen)
	for i := range key {
		key[i] = seed + byte(i)*7
	}
	return key
}

func rtpPacket(ssrc uint32, sequence uint16, size int) []byte {
	b := make([]byte, 12+size)
	b[0], b[1] = 0x80, 8
	binary.BigEndian.PutUint16(b[2:], sequence)
	binary.BigEndian.PutUint32(b[4:], uint32(sequence)*160)
	binary.BigEndian.PutUint32(b[8:], ssrc)
	for i := range size {
		b[12+i] = byte(i) ^ byte(sequence)
	}
	return b
}

func rtcpPacket(ssrc uint32, text string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{0x80, 200, 0, byte(1 + len(text)/4)}, ssrc)
	return append(b, text...)
}

func pair(t testing.TB, s *Suite, o Options) (*Sender, *Receiver) {
	t.Helper()
	sender, err := NewSender(s, master(s, 3), o)
	if err != nil {
		t.Fatal(err)
	}
	receiver, err := NewReceiver(s, master(s, 3), o)
	if err != nil {
		t.Fatal(err)
	}
	return sender, receiver
}

// each runs a test for all suites.
func each(t *testing.T, f func(t *testing.T, s *Suite)) {
	for _, s := range Suites() {
		t.Run(s.Name, func(t *testing.T) { f(t, s) })
	}
}

func TestSuites(t *testing.T) {
	ids := map[string]uint16{"AES_CM_128_HMAC_SHA1_80": 1, "AES_CM_128_HMAC_SHA1_32": 2, "AEAD_AES_128_GCM": 7, "AEAD_AES_256_GCM": 8}
	for _, s := range Suites() {
		if Named(s.Name) != s || s.DTLS != ids[s.Name] || s.DTLS != 0 && Profile(s.DTLS) != s || s.String() != s.Name {
			t.Errorf("%+v", s)
		}
		key, err := s.NewKey(bytes.NewReader(make([]byte, 46)))
		if err != nil || len(key) != s.KeyLen+s.SaltLen {
			t.Errorf("%s: %d bytes, %v", s, len(key), err)
		}
		if _, err := s.NewKey(bytes.NewReader(make([]byte, 20))); err == nil {
			t.Errorf("%s: a key without randomness", s)
		}
	}
	if Named("AES_CM_256_HMAC_SHA1_80") != Named("aes_256_cm_hmac_sha1_80") || Named("AES_CM_256_HMAC_SHA1_32") == nil || Named("") != nil || Named("F8_128_HMAC_SHA1_80") != nil || Profile(0) != nil || Profile(5) != nil {
		t.Error("names")
	}
}

// TestAgainstReference compares packets, byte by byte, with those of the reference.
func TestAgainstReference(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		for _, o := range []Options{{}, {PlainRTP: true}, {PlainRTCP: true}, {MKI: []byte{0, 9}}, {NoAuth: true}, {PlainRTP: true, PlainRTCP: true, MKI: []byte{1, 2, 3, 4}}} {
			if o.NoAuth && s.aead {
				if _, err := NewSender(s, master(s, 3), o); err == nil {
					t.Error("AEAD without authentication")
				}
				continue
			}
			sender, receiver := pair(t, s, o)
			for i, sequence := range []uint16{1, 2, 65535, 3, 65534, 30000, 60000, 65535, 1} {
				roc := []uint32{0, 0, 0, 0, 0, 0, 0, 0, 1}[i]
				if sequence == 65535 && i == 2 || sequence == 65534 {
					continue // below zero after the first packets
				}
				packet := rtpPacket(7, sequence, 160)
				if i%2 == 1 { // two contributing sources
					packet[0] |= 2
				}
				sealed, err := sender.Seal(nil, packet)
				if err != nil {
					t.Fatalf("%+v %d: %v", o, sequence, err)
				}
				if want := referenceRTP(s, master(s, 3), o, packet, roc); !bytes.Equal(sealed, want) {
					t.Fatalf("%+v %d: sealed\n%x, want\n%x", o, sequence, sealed, want)
				}
				if i == 3 {
					continue // old for the receiver by then, or lost
				}
				opened, err := receiver.Open(nil, sealed)
				if err != nil || !bytes.Equal(opened, packet) {
					t.Fatalf("%+v %d: opened %v %x", o, sequence, err, opened)
				}
			}
			for index := uint32(1); index < 4; index++ {
				packet := rtcpPacket(7, "sixteen bytes.. ")
				sealed, err := sender.SealControl(nil, packet)
				if want := referenceRTCP(s, master(s, 3), o, packet, index); err != nil || !bytes.Equal(sealed, want) {
					t.Fatalf("%+v: %v, sealed\n%x, want\n%x", o, err, sealed, want)
				}
				if len(sealed) > len(packet)+sender.Overhead() {
					t.Errorf("%d bytes of overhead", len(sealed)-len(packet))
				}
				opened, err := receiver.OpenControl(nil, sealed)
				if err != nil || !bytes.Equal(opened, packet) {
					t.Fatalf("%+v: opened %v %x", o, err, opened)
				}
			}
		}
	})
}

// TestLibsrtp has the packets with which libsrtp tests itself (test/srtp_driver.c).
func TestLibsrtp(t *testing.T) {
	rtp := "800f1234decafbadcafebabe abababababababababababababababab"
	rtcp := "81c8000bcafebabe abababababababababababababababab"
	for _, tt := range []struct{ suite, key, rtp, rtcp string }{
		{"AES_CM_128_HMAC_SHA1_80", "e1f97a0d3e018be0d64fa32c06de4139 0ec675ad498afeebb6960b3aabe6",
			"800f1234decafbadcafebabe 4e55dc4ce79978d88ca4d215949d2402 b78d6acc99ea179b8dbb",
			"81c8000bcafebabe 7128035be487b9bdbef89041f977a5a8 80000001 993e08cd54d6c1230798"},
		{"AEAD_AES_128_GCM", "000102030405060708090a0b0c0d0e0f a0a1a2a3a4a5a6a7a8a9aaab",
			"800f1234decafbadcafebabe c5002ede04cfdd2eb91159e0880aa06e d2976826f796b201df3131a127e8a392", ""},
	} {
		s := Named(tt.suite)
		sender, err := NewSender(s, unhex(t, tt.key), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := sender.Seal(nil, unhex(t, rtp)); err != nil || !bytes.Equal(got, unhex(t, tt.rtp)) {
			t.Errorf("%s: %v %x", s, err, got)
		}
		if tt.rtcp == "" {
			continue
		}
		if got, err := sender.SealControl(nil, unhex(t, rtcp)); err != nil || !bytes.Equal(got, unhex(t, tt.rtcp)) {
			t.Errorf("%s: %v %x", s, err, got)
		}
	}
}

func TestInPlaceAndAppended(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		sender, receiver := pair(t, s, Options{})
		buffer := make([]byte, 0, 256)
		packet := append(buffer, rtpPacket(7, 1, 100)...)
		sealed, err := sender.Seal(packet[:0], packet)
		if err != nil || &sealed[0] != &packet[0] {
			t.Fatalf("%v, or not in place", err)
		}
		opened, err := receiver.Open(sealed[:0], sealed)
		if err != nil || &opened[0] != &sealed[0] || !bytes.Equal(opened, rtpPacket(7, 1, 100)) {
			t.Fatalf("%v %x", err, opened)
		}
		control := append(make([]byte, 0, 64), rtcpPacket(7, "text")...)
		if sealed, err = sender.SealControl(control[:0], control); err != nil || &sealed[0] != &control[0] {
			t.Fatalf("%v, or not in place", err)
		}
		if opened, err = receiver.OpenControl([]byte("head"), sealed); err != nil || string(opened) != "head"+string(rtcpPacket(7, "text")) {
			t.Fatalf("%v %q", err, opened)
		}
		// Behind something, without room.
		sealed, _ = sender.Seal([]byte("head"), rtpPacket(7, 2, 100))
		opened, err = receiver.Open([]byte("xy"), sealed[4:])
		if err != nil || string(sealed[:4]) != "head" || string(opened) != "xy"+string(rtpPacket(7, 2, 100)) {
			t.Fatalf("%v %q", err, opened)
		}
	})
}

func TestRefusals(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		sender, receiver := pair(t, s, Options{})
		sealed, _ := sender.Seal(nil, rtpPacket(7, 100, 40))
		control, _ := sender.SealControl(nil, rtcpPacket(7, "text"))
		for i := range sealed {
			for _, known := range []bool{false, true} {
				receiver.sources, receiver.last = map[uint32]*source{}, nil
				if known {
					receiver.add(7)
				}
				bad := bytes.Clone(sealed)
				bad[i] ^= 1
				if _, err := receiver.Open(nil, bad); err != ErrAuth && err != ErrMalformed || i > 12 && err != ErrAuth {
					t.Fatalf("byte %d changed: %v", i, err)
				}
				if len(receiver.sources) != map[bool]int{true: 1}[known] {
					t.Fatal("a source became known by a packet that is not authentic")
				}
			}
		}
		for i := range control {
			bad := bytes.Clone(control)
			bad[i] ^= 1
			if _, err := receiver.OpenControl(nil, bad); err != ErrAuth && err != ErrMalformed {
				t.Fatalf("byte %d of RTCP changed: %v", i, err)
			}
		}
		for n := range sealed {
			if _, err := receiver.Open(nil, sealed[:n]); err == nil {
				t.Fatalf("cut to %d bytes: opened", n)
			}
			if _, err := receiver.OpenControl(nil, control[:min(n, len(control)-1)]); err == nil {
				t.Fatalf("RTCP cut to %d bytes: opened", n)
			}
		}
		other, _ := NewReceiver(s, master(s, 4), Options{})
		if _, err := other.Open(nil, sealed); err != ErrAuth {
			t.Errorf("with another key: %v", err)
		}
		for _, packet := range [][]byte{nil, make([]byte, 12), {0x80, 0}, append([]byte{0x9f}, make([]byte, 30)...), append([]byte{0x90}, bytes.Repeat([]byte{255}, 40)...)} {
			if _, err := sender.Seal(nil, packet); err != ErrMalformed {
				t.Errorf("%x: %v", packet, err)
			}
			if _, err := receiver.Open(nil, packet); err != ErrMalformed {
				t.Errorf("%x: %v", packet, err)
			}
		}
		if _, err := sender.SealControl(nil, []byte{0x80, 200, 0, 0}); err != ErrMalformed {
			t.Error(err)
		}
	})
}

func TestReplay(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		sender, receiver := pair(t, s, Options{})
		var sealed [][]byte
		for i := range uint16(3000) {
			b, _ := sender.Seal(nil, rtpPacket(7, i, 10))
			sealed = append(sealed, b)
		}
		for _, i := range []uint16{2999, 2500, 100} { // seen, seen, too old
			if _, err := sender.Seal(nil, rtpPacket(7, i, 10)); err != ErrReplay {
				t.Errorf("packet %d sealed twice: %v", i, err)
			}
		}
		open := func(i int, want error) {
			t.Helper()
			if _, err := receiver.Open(nil, sealed[i]); err != want {
				t.Fatalf("packet %d: %v, want %v", i, err, want)
			}
		}
		open(500, nil)
		open(500, ErrReplay)
		open(2000, nil)
		for i := range 2000 {
			want := error(nil)
			if i <= 2000-windowSize {
				want = ErrReplay // too old
			}
			open(i, want)
			open(i, ErrReplay)
		}
		for i := 2001; i < 3000; i++ {
			open(i, nil)
			open(i, ErrReplay)
		}
		var controls [][]byte
		for range 1500 {
			b, _ := sender.SealControl(nil, rtcpPacket(7, "text"))
			controls = append(controls, b)
		}
		for _, tt := range []struct {
			i    int
			want error
		}{{2, nil}, {0, nil}, {0, ErrReplay}, {1499, nil}, {1499, ErrReplay}, {1499 - 1024, ErrReplay}, {1499 - 1023, nil}, {1499 - 1023, ErrReplay}, {1, ErrReplay}} {
			if _, err := receiver.OpenControl(nil, controls[tt.i]); err != tt.want {
				t.Errorf("RTCP %d: %v, want %v", tt.i, err, tt.want)
			}
		}
	})
}

// TestRollOver lets the sequence number wrap twice, with packets lost, late and doubled at the seam.
func TestRollOver(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		for name, order := range map[string][]int{
			"in order":  {65533, 65534, 65535, 65536, 65537, 98000, 130000, 131071, 131072},
			"reordered": {65533, 65537, 65534, 65536, 65535, 65538, 90000, 120000, 131073, 131070, 131072, 131071},
			"lost":      {65530, 65540, 65531, 95000, 127000, 131080},
		} {
			sender, receiver := pair(t, s, Options{})
			sealed := make(map[int][]byte)
			for i := 65500; i < 131100; i++ {
				if i%1000 != 500 && !slices.Contains(order, i) {
					continue
				}
				b, err := sender.Seal(nil, rtpPacket(7, uint16(i), 20))
				if err != nil {
					t.Fatal(err)
				}
				sealed[i] = b
			}
			// The receiver has heard the source from its start, at 65500.
			for n, i := range append([]int{65500}, order...) {
				if _, err := receiver.Open(nil, sealed[i]); err != nil {
					t.Fatalf("%s: packet %d (%d of %v): %v", name, i, n, order, err)
				}
				if _, err := receiver.Open(nil, sealed[i]); err != ErrReplay {
					t.Fatalf("%s: packet %d again: %v", name, i, err)
				}
			}
			if st := receiver.State().Sources[0]; int(st.ROC)<<16|int(st.Sequence) != slices.Max(order) {
				t.Errorf("%s: %+v", name, st)
			}
		}
	})
}

// TestIndex has the cases of RFC 3711 appendix A.
func TestIndex(t *testing.T) {
	for _, tt := range []struct {
		highest  uint64
		sequence uint16
		want     uint64
		ok       bool
	}{
		{5, 6, 6, true}, {5, 4, 4, true}, {5, 32773, 32773, true}, {5, 32774, 0, false},
		{1<<16 + 5, 32774, 32774, true}, {1<<16 + 5, 32773, 1<<16 + 32773, true},
		{40000, 7232, 7232, true}, {40000, 7231, 1<<16 + 7231, true},
		{maxIndex, 0, 0, false}, {maxIndex - 1, 65535, maxIndex, true},
	} {
		s := source{rtp: window{started: true, highest: tt.highest}}
		if got, ok := s.index(tt.sequence); ok != tt.ok || ok && got != tt.want {
			t.Errorf("%d after %d: %d %v", tt.sequence, tt.highest, got, ok)
		}
	}
}

func TestSources(t *testing.T) {
	s := Suites()[0]
	sender, receiver := pair(t, s, Options{})
	more, _ := NewSender(s, master(s, 3), Options{})
	for i := range uint32(MaxSources) {
		b, err := sender.Seal(nil, rtpPacket(i, 1, 10))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receiver.Open(nil, b); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := sender.Seal(nil, rtpPacket(1000, 1, 10)); err != ErrSources {
		t.Error(err)
	}
	if _, err := sender.SealControl(nil, rtcpPacket(1000, "text")); err != ErrSources {
		t.Error(err)
	}
	b, _ := more.Seal(nil, rtpPacket(1000, 1, 10))
	c, _ := more.SealControl(nil, rtcpPacket(1000, "text"))
	if _, err := receiver.Open(nil, b); err != ErrSources {
		t.Error(err)
	}
	if _, err := receiver.OpenControl(nil, c); err != ErrSources {
		t.Error(err)
	}
	b, _ = sender.Seal(nil, rtpPacket(3, 2, 10))
	if _, err := receiver.Open(nil, b); err != nil {
		t.Error("a source that is known:", err)
	}
}

func TestLifetime(t *testing.T) {
	s := Named("AES_CM_128_HMAC_SHA1_80")
	sender, _ := pair(t, s, Options{Lifetime: 2})
	free, receiver := pair(t, s, Options{})
	receiver.options.Lifetime = 2
	for i := range uint16(3) {
		want := error(nil)
		if i == 2 {
			want = ErrExhausted
		}
		if _, err := sender.Seal(nil, rtpPacket(7, i, 10)); err != want {
			t.Error(err)
		}
		if _, err := sender.SealControl(nil, rtcpPacket(7, "text")); err != want {
			t.Error(err)
		}
		b, _ := free.Seal(nil, rtpPacket(7, i, 10))
		if _, err := receiver.Open(nil, b); err != want {
			t.Error(err)
		}
		b, _ = free.SealControl(nil, rtcpPacket(7, "text"))
		if _, err := receiver.OpenControl(nil, b); err != want {
			t.Error(err)
		}
	}
	free.find(7).control.highest = maxControlIndex - 1
	if _, err := free.SealControl(nil, rtcpPacket(7, "text")); err != nil {
		t.Error(err)
	}
	if _, err := free.SealControl(nil, rtcpPacket(7, "text")); err != ErrExhausted {
		t.Error(err)
	}
	free.find(7).rtp.highest = maxIndex
	if _, err := free.Seal(nil, rtpPacket(7, 0, 10)); err != ErrExhausted {
		t.Error(err)
	}
}

// TestUnencryptedControlIsOpened: the E bit says what a packet is (RFC 3711 §3.4).
func TestUnencryptedControlIsOpened(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		plain, _ := pair(t, s, Options{PlainRTCP: true})
		_, receiver := pair(t, s, Options{})
		b, err := plain.SealControl(nil, rtcpPacket(7, "text"))
		if err != nil || !bytes.HasPrefix(b, rtcpPacket(7, "text")) {
			t.Fatalf("%v %x", err, b)
		}
		if got, err := receiver.OpenControl(nil, b); err != nil || !bytes.Equal(got, rtcpPacket(7, "text")) {
			t.Errorf("%v %x", err, got)
		}
	})
}

func TestState(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		sender, receiver := pair(t, s, Options{MKI: []byte{1, 2}})
		var last []byte
		for i := 65000; i < 65534; i++ {
			last, _ = sender.Seal(nil, rtpPacket(7, uint16(i), 10))
			if _, err := receiver.Open(nil, last); err != nil {
				t.Fatal(err)
			}
		}
		control, _ := sender.SealControl(nil, rtcpPacket(8, "text"))
		if _, err := receiver.OpenControl(nil, control); err != nil {
			t.Fatal(err)
		}
		through := func(st State) State {
			b, err := json.Marshal(st)
			if err != nil {
				t.Fatal(err)
			}
			var back State
			if err := json.Unmarshal(b, &back); err != nil || !reflect.DeepEqual(st, back) {
				t.Fatalf("%v %s", err, b)
			}
			return back
		}
		sender2, err := RestoreSender(through(sender.State()))
		if err != nil {
			t.Fatal(err)
		}
		receiver2, err := RestoreReceiver(through(receiver.State()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := receiver2.Open(nil, last); err != ErrReplay {
			t.Error("a packet of before:", err)
		}
		if _, err := receiver2.OpenControl(nil, control); err != ErrReplay {
			t.Error("RTCP of before:", err)
		}
		// Beyond the wrap at once, although nothing after the state was seen.
		for _, sequence := range []uint16{3, 65535, 4} {
			b, err := sender2.Seal(nil, rtpPacket(7, sequence, 10))
			if err != nil {
				t.Fatal(err)
			}
			for name, r := range map[string]*Receiver{"old": receiver, "restored": receiver2} {
				if _, err := r.Open(nil, b); err != nil {
					t.Errorf("%s receiver, packet %d: %v", name, sequence, err)
				}
			}
		}
		b, _ := sender2.SealControl(nil, rtcpPacket(8, "text"))
		if _, err := receiver2.OpenControl(nil, b); err != nil {
			t.Error(err)
		}
		if got := sender2.State().Sources[1].Control; got != 1+controlLeap+1 {
			t.Errorf("index %d: one of before could be used again", got)
		}
	})
	for _, st := range []State{{}, {Suite: "AEAD_AES_128_GCM", Key: make([]byte, 3)}, {Suite: "AEAD_AES_128_GCM", Key: make([]byte, 28), Sources: make([]SourceState, 65)}} {
		if _, err := RestoreReceiver(st); err == nil {
			t.Errorf("%v is restored", st)
		}
		if _, err := RestoreSender(st); err == nil {
			t.Errorf("%v is restored", st)
		}
	}
}

func TestNegotiated(t *testing.T) {
	key := make([]byte, 30)
	s, o, err := Negotiated(sdp.Crypto{Suite: "AES_CM_128_HMAC_SHA1_32", Key: key, Lifetime: 9, MKI: []byte{1}, Params: []string{"UNENCRYPTED_SRTP", "UNENCRYPTED_SRTCP", "UNAUTHENTICATED_SRTP", "KDR=0", "WSH=64"}})
	if err != nil || s != Named("AES_CM_128_HMAC_SHA1_32") || !reflect.DeepEqual(o, Options{true, true, true, []byte{1}, 9}) {
		t.Errorf("%v %v %+v", err, s, o)
	}
	for _, c := range []sdp.Crypto{{Suite: "F8_128_HMAC_SHA1_80", Key: key}, {Suite: "AES_CM_128_HMAC_SHA1_80", Key: key[:29]}, {Suite: "AES_CM_128_HMAC_SHA1_80", Key: key, Params: []string{"KDR=1"}},
		{Suite: "AEAD_AES_128_GCM", Key: key[:28], Params: []string{"UNAUTHENTICATED_SRTP"}}} {
		if _, _, err := Negotiated(c); err == nil {
			t.Errorf("%v can be used", c)
		}
	}
}

func TestKeysAreHidden(t *testing.T) {
	s := Suites()[0]
	key := []byte("0123456789abcdefghijklmnopqrstuv")[:28]
	sender, _ := NewSender(s, key, Options{})
	receiver, _ := NewReceiver(s, key, Options{})
	var log bytes.Buffer
	for _, h := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(h).Info("x", "sender", sender, "receiver", receiver, "state", sender.State())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		log.WriteString(fmt.Sprintf(strings.Repeat(verb, 4), sender, receiver, sender.State(), *sender))
	}
	for _, secret := range []string{"0123", "MDEyMz", "30313233", "48 49 50", "0x30"} {
		if strings.Contains(log.String(), secret) {
			t.Errorf("%s is shown: %s", secret, log.String())
		}
	}
	if !strings.Contains(log.String(), "AEAD_AES_128_GCM, 0 sources") {
		t.Error(log.String())
	}
}

func TestAllocations(t *testing.T) {
	each(t, func(t *testing.T, s *Suite) {
		for _, o := range []Options{{}, {PlainRTP: true}} {
			sender, receiver := pair(t, s, o)
			sequence := uint16(0)
			packet := rtpPacket(7, 0, 160)
			packet[0] |= 0x12                                                   // two contributing sources, an extension
			copy(packet[20:], []byte{0xbe, 0xde, 0, 1, 0x10, 0x2a, 0x00, 0x00}) // of one element (RFC 8285 §4.2)
			buffer := make([]byte, 0, 256)
			control := rtcpPacket(7, "sixteen bytes.. ")
			var last []byte
			if n := testing.AllocsPerRun(100, func() {
				sequence++
				binary.BigEndian.PutUint16(packet[2:], sequence)
				sealed, err := sender.Seal(buffer, packet)
				if err == nil {
					sealed, err = receiver.Open(sealed[:0], sealed)
				}
				if err != nil || !bytes.Equal(sealed, packet) {
					t.Fatal(err)
				}
			}); n > poolLosses {
				t.Errorf("%+v: %v allocations", o, n)
			}
			controlLimit := float64(poolLosses)
			if s.aead {
				controlLimit += 2 // the cipher's, one each way
			}
			if n := testing.AllocsPerRun(100, func() {
				sealed, err := sender.SealControl(buffer, control)
				if err == nil {
					sealed, err = receiver.OpenControl(sealed[:0], sealed)
				}
				if err != nil || !bytes.Equal(sealed, control) {
					t.Fatal(err)
				}
			}); n > controlLimit {
				t.Errorf("%+v: %v allocations for RTCP", o, n)
			}
			packet[2] ^= 0x40 // another sequence number
			last, _ = sender.Seal(nil, packet)
			_, _ = receiver.Open(nil, last)
			if n := testing.AllocsPerRun(100, func() {
				if _, err := receiver.Open(buffer, last); !errors.Is(err, ErrReplay) {
					t.Fatal(err)
				}
				if _, err := receiver.Open(buffer, last[:5]); !errors.Is(err, ErrMalformed) {
					t.Fatal(err)
				}
			}); n > poolLosses {
				t.Errorf("%+v: %v allocations for refusals", o, n)
			}
		}
	})
}

// FuzzOpen: whatever arrives, nothing is opened that was not sealed, and no source becomes known.
func FuzzOpen(f *testing.F) {
	for _, s := range Suites() {
		sender, _ := NewSender(s, master(s, 3), Options{})
		a, _ := sender.Seal(nil, rtpPacket(7, 1, 20))
		b, _ := sender.SealControl(nil, rtcpPacket(7, "text"))
		f.Add(a)
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		for _, s := range suites {
			r, err := NewReceiver(s, master(s, 99), Options{})
			if err != nil {
				t.Fatal(err)
			}
			before := bytes.Clone(packet)
			if _, err := r.Open(nil, packet); err != ErrAuth && err != ErrMalformed {
				t.Fatalf("%s: %v", s, err)
			}
			if _, err := r.OpenControl(nil, packet); err != ErrAuth && err != ErrMalformed {
				t.Fatalf("%s: %v", s, err)
			}
			if len(r.sources) != 0 || !bytes.Equal(before, packet) {
				t.Fatal("a packet that is not authentic left something behind")
			}
			sender, _ := NewSender(s, master(s, 99), Options{})
			sealed, err := sender.Seal(nil, packet)
			if err != nil {
				continue
			}
			if opened, err := r.Open(nil, sealed); err != nil || !bytes.Equal(opened, packet) {
				t.Fatalf("%s: %x sealed is opened as %x: %v", s, packet, opened, err)
			}
		}
	})
}

func BenchmarkSeal(b *testing.B) {
	for _, s := range Suites() {
		b.Run(s.Name, func(b *testing.B) {
			sender, _ := pair(b, s, Options{})
			packet, buffer := rtpPacket(7, 0, 160), make([]byte, 0, 256)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				binary.BigEndian.PutUint16(packet[2:], uint16(i))
				_, _ = sender.Seal(buffer, packet)
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	for _, s := range Suites() {
		b.Run(s.Name, func(b *testing.B) {
			sender, receiver := pair(b, s, Options{})
			sealed := make([][]byte, 1<<16)
			for i := range sealed {
				sealed[i], _ = sender.Seal(nil, rtpPacket(7, uint16(i), 160))
			}
			buffer := make([]byte, 0, 256)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if i&0xffff == 0 {
					b.StopTimer()
					receiver, _ = NewReceiver(s, master(s, 3), Options{})
					b.StartTimer()
				}
				if _, err := receiver.Open(buffer, sealed[i&0xffff]); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(s.Name+"/forged", func(b *testing.B) {
			sender, receiver := pair(b, s, Options{})
			good, _ := sender.Seal(nil, rtpPacket(7, 1, 160))
			_, _ = receiver.Open(nil, good)
			bad, _ := sender.Seal(nil, rtpPacket(7, 2, 160))
			bad[100] ^= 1
			buffer := make([]byte, 0, 256)
			b.ReportAllocs()
			for b.Loop() {
				_, _ = receiver.Open(buffer, bad)
			}
		})
	}
}
