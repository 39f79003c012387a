// Command benchtable prints the output of `go test -bench -benchmem` as one table: the median of the repetitions of each
// benchmark. With two files the first is the run before, and each figure is followed by its change; a change smaller than
// the spread of the repetitions is shown as "~". A first file that does not exist is no run before.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// benchmark names one: its package and its name without the number of processors.
type benchmark struct{ pkg, name string }

// results are the figures of each benchmark by unit, one of each repetition.
type results struct {
	order   []benchmark
	figures map[benchmark]map[string][]float64
}

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "benchtable:", err)
		os.Exit(1)
	}
}

func run(names []string, out io.Writer) error {
	if len(names) != 1 && len(names) != 2 {
		return errors.New("usage: benchtable [BEFORE] NOW")
	}
	now, err := load(names[len(names)-1])
	if err != nil {
		return err
	}
	var before *results
	if len(names) == 2 {
		if before, err = load(names[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return print(out, before, now)
}

func load(name string) (*results, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return read(f)
}

// read understands lines such as "BenchmarkParse-2   1000   850 ns/op   0 B/op   0 allocs/op".
func read(in io.Reader) (*results, error) {
	r := &results{figures: map[benchmark]map[string][]float64{}}
	pkg := ""
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if p, ok := strings.CutPrefix(lines.Text(), "pkg: "); ok {
			pkg = strings.TrimPrefix(p, "dialtone/")
			continue
		}
		words := strings.Fields(lines.Text())
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := strings.TrimPrefix(words[0], "Benchmark")
		if i := strings.LastIndexByte(name, '-'); i > 0 {
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		b := benchmark{pkg, name}
		if r.figures[b] == nil {
			r.order, r.figures[b] = append(r.order, b), map[string][]float64{}
		}
		for i := 2; i+1 < len(words); i += 2 {
			v, err := strconv.ParseFloat(words[i], 64)
			if err != nil {
				break
			}
			r.figures[b][words[i+1]] = append(r.figures[b][words[i+1]], v)
		}
	}
	return r, lines.Err()
}

// units are the columns; what else a benchmark reports stands in the last one.
var units = [...]string{"ns/op", "B/op", "allocs/op"}

func print(out io.Writer, before, now *results) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "package\tbenchmark\ttime\t\tB/op\t\tallocs\t\tmore\t")
	for _, b := range now.order {
		fmt.Fprintf(w, "%s\t%s\t", b.pkg, b.name)
		for i, unit := range units {
			figures := now.figures[b][unit]
			text := strconv.FormatFloat(median(figures), 'f', 0, 64)
			if i == 0 {
				text = duration(median(figures))
			}
			change := ""
			if before != nil {
				change = compare(before.figures[b][unit], figures)
			}
			fmt.Fprintf(w, "%s\t%s\t", text, change)
		}
		fmt.Fprintf(w, "%s\t\n", more(now.figures[b]))
	}
	return w.Flush()
}

// more are the figures in other units.
func more(figures map[string][]float64) string {
	var out []string
	for unit, values := range figures {
		if !slices.Contains(units[:], unit) {
			out = append(out, strconv.FormatFloat(median(values), 'g', 4, 64)+" "+unit)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	v := slices.Sorted(slices.Values(values))
	return (v[(len(v)-1)/2] + v[len(v)/2]) / 2
}

// compare is the change of the medians in per cent; "~" when the repetitions of the two runs overlap.
func compare(before, now []float64) string {
	switch {
	case len(before) == 0:
		return "new"
	case median(before) == median(now):
		return "="
	case slices.Max(before) >= slices.Min(now) && slices.Max(now) >= slices.Min(before):
		return "~"
	case median(before) == 0:
		return "+"
	}
	return fmt.Sprintf("%+.0f%%", 100*(median(now)/median(before)-1))
}

// duration prints nanoseconds with three digits that count.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return strconv.FormatFloat(ns/1e6, 'g', 3, 64) + " ms"
	case ns >= 1e4:
		return strconv.FormatFloat(ns/1e3, 'f', 1, 64) + " us"
	}
	return strconv.FormatFloat(ns, 'g', 4, 64) + " ns"
}
