package server

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"dialtone/internal/config"
)

// TestLimitsAreNamed: every limit of the static file is shown in the metrics, and every one that is shown stands in the
// table of the document.
func TestLimitsAreNamed(t *testing.T) {
	limits := (&Server{options: Options{Config: config.Default()}}).limits()
	keys := reflect.TypeFor[config.Guard]()
	for i := range keys.NumField() {
		if name := keys.Field(i).Tag.Get("toml"); name != "trusted" {
			if v, ok := limits[name]; !ok || v <= 0 {
				t.Errorf("guard.%s is %v in the metrics", name, v)
			}
		}
	}
	text, err := os.ReadFile("../../docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range limits {
		if !strings.Contains(string(text), "| `"+name+"` |") {
			t.Errorf("docs/security.md does not name %s", name)
		}
	}
}
