// Command rfcindex writes docs/rfc/README.md: which RFC is obeyed where. Run it in the root of the project after
// comments have changed; a test holds the page to the code.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"dialtone/tools/rfcindex/index"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rfcindex:", err)
		os.Exit(1)
	}
}

func run() error {
	page, err := index.Render(".")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(index.Page), 0o755); err != nil {
		return err
	}
	return os.WriteFile(index.Page, page, 0o644)
}
