package index

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestScan(t *testing.T) {
	for _, c := range []struct{ comment, want string }{
		{"// RFC 3261 §17.1.1.2: a rule.", "3261§17.1.1.2"},
		{"// See RFC 3398 §7.2.4.1 and §8.2.6.1, the Reason header is RFC 3326.", "3398§7.2.4.1 3398§8.2.6.1 3326§"},
		{"// RFC 3261 §7,19,20,25", "3261§7 3261§19 3261§20 3261§25"},
		{"// RFC 3261 §12-14, 3262", "3261§12 3261§14 3262§"},
		{"// (RFC 3550\n// §6.4.1)", "3550§6.4.1"},
		{"// ITU-T G.107 and RFC3550 §A.8.", "3550§A.8"},
		{"// no RFC here, §4", ""},
	} {
		cs, _, err := scan("x.go", []byte(c.comment+"\npackage x\nconst s = \"RFC 1 §2, RFC 9999\"\n"))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, c := range cs {
			got = append(got, fmt.Sprintf("%d§%s", c.rfc, c.section))
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q\ngot  %v\nwant %s", c.comment, got, c.want)
		}
	}
	_, ds, err := scan("x.go", []byte("package x\n\n// Deviation: we are\n// kind.\nvar _ = 1\n"))
	if err != nil || len(ds) != 1 || ds[0].text != "we are kind." {
		t.Errorf("%v, %v", ds, err)
	}
	if _, _, err := scan("x.go", []byte("no go")); err == nil {
		t.Error("a file that is no Go was read")
	}
}

func TestRender(t *testing.T) {
	page := string(render([]citation{
		{3261, "17.1", "internal/sip/b.go"}, {3261, "4.10", "internal/sip/b.go"}, {3261, "4.2", "internal/sip/b.go"},
		{3261, "4.2", "internal/sip/b.go"}, {3261, "", "internal/sip/a.go"}, {768, "", "internal/trace/pcap.go"},
	}, nil))
	for _, want := range []string{
		"**[RFC 768](https://www.rfc-editor.org/rfc/rfc768)** User Datagram Protocol\n",
		"** SIP: Session Initiation Protocol\n\n- [internal/sip/a.go](../../internal/sip/a.go)\n" +
			"- [internal/sip/b.go](../../internal/sip/b.go) §4.2, §4.10, §17.1\n",
		"| [internal/sip](../../internal/sip) | 3261 |\n",
		"## Deviations\n\nNone.\n",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
}

func TestCompareSections(t *testing.T) {
	s := []string{"B.1", "10", "4.10", "4", "A", "4.2"}
	slices.SortFunc(s, compareSections)
	if got := strings.Join(s, " "); got != "4 4.2 4.10 10 A B.1" {
		t.Error(got)
	}
}
