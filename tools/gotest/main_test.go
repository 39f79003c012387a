package main

import (
	"strings"
	"testing"
	"time"
)

func TestTally(t *testing.T) {
	const stream = `not json
{"Action":"run","Package":"p","Test":"TestA"}
{"Action":"output","Package":"p","Test":"TestA","Output":"quiet\n"}
{"Action":"pass","Package":"p","Test":"TestA","Elapsed":7}
{"Action":"output","Package":"p","Test":"TestB","Output":"why it failed\n"}
{"Action":"fail","Package":"p","Test":"TestB","Elapsed":0.1}
{"Action":"skip","Package":"p","Test":"TestC"}
{"Action":"output","Package":"p","Test":"TestD","Output":"panic: in the middle\n"}
{"Action":"output","Package":"p","Output":"FAIL\tp\t1.2s\n"}
{"Action":"fail","Package":"p"}
{"Action":"output","Package":"q","Output":"-test.shuffle 7\n"}
{"Action":"output","Package":"q","Output":"PASS\n"}
{"Action":"output","Package":"q","Output":"ok  \tq\t0.1s\n"}
{"Action":"pass","Package":"q"}
`
	var out strings.Builder
	tally := tally{output: map[string]*strings.Builder{}}
	tally.read(strings.NewReader(stream), &out)
	tally.print(&out, 3*time.Second)
	want := `not json
why it failed
FAIL	p	1.2s
panic: in the middle
ok  	q	0.1s
slow: 7.0 s p TestA
FAILED: p TestB
FAILED: p
go test: 1 passed, 1 failed, 1 skipped in 2 packages, 3 s
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
