// Command dialtone is the telephone exchange and the tool to run it: the server, a demonstration, a headless phone, and
// commands that talk to a running server through its API.
package main

import (
	"os"
	_ "time/tzdata" // opening hours are kept in the zones of their places, also on systems without zone files
)

func main() {
	os.Exit(run(os.Args[1:], system{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv}, programs()))
}
