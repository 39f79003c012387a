package apply

import (
	"strings"
	"testing"
)

// What is particular about the media of a device is read, told in an export, and the same when that is read again.
func TestMediaOfADevice(t *testing.T) {
	s := open(t, t.TempDir())
	const file = "lines:\n  - {number: \"101\", devices: [{username: one, password: long-secret-1, srtp: required, media: {keys: dtls, codecs: [opus, pcma]}}]}\n"
	must(t, s, file, Options{})
	first := export(t, s)
	if !strings.Contains(first, "keys: dtls") || !strings.Contains(first, "opus") {
		t.Errorf("the export says\n%s", first)
	}
	if r := must(t, s, first, Options{Prune: true}); len(r.Changes) != 0 {
		t.Errorf("the export read again changes %v", r.Changes)
	}
}
