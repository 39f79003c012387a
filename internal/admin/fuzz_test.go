package admin

import (
	"encoding/json"
	"errors"
	"reflect"
	"testing"

	"dialtone/internal/admin/form"
	"dialtone/internal/store"
)

// A patch that was applied changes nothing when it is applied again, and one that is refused is refused with a Problem.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(`{"name":"x","user":null,"devices":[{"username":"a","password":"b"}]}`))
	f.Add([]byte(`{"max_calls":1e3,"id":7,"version":{}}`))
	f.Add([]byte(`[1]`))
	f.Fuzz(func(t *testing.T, patch []byte) {
		before := form.Line{Number: "101", Name: "Sara", User: "sara", Devices: []form.Device{{Username: "101"}}}
		once, err := merge(before, patch)
		if err != nil {
			if p := (*Problem)(nil); !errors.As(err, &p) || p.Status < 400 || p.Status > 499 {
				t.Fatalf("error %v", err)
			}
			return
		}
		// Secrets are not written out, so that the second time begins without them.
		var changes map[string]any
		if err := json.Unmarshal(patch, &changes); err != nil {
			t.Fatalf("%q was taken: %v", patch, err)
		}
		twice, err := merge(*once, patch)
		if err != nil {
			t.Fatalf("%q a second time: %v", patch, err)
		}
		if !reflect.DeepEqual(once, twice) {
			t.Fatalf("%q: %+v, then %+v", patch, once, twice)
		}
	})
}

// What is read as a cursor of records is written as the same place.
func FuzzRecordCursor(f *testing.F) {
	f.Add(recordCursor(store.RecordCursor{StartMS: 1795315508795, CallID: "01890a5d-ac96-774b-bcce-b302099a8057"}))
	f.Add("LTEvYS9i")
	f.Fuzz(func(t *testing.T, text string) {
		c, ok := parseRecordCursor(text)
		if !ok {
			return
		}
		again, ok := parseRecordCursor(recordCursor(c))
		if !ok || again != c {
			t.Fatalf("%q is %+v, then %+v", text, c, again)
		}
	})
}
