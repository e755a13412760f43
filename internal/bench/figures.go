package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// figure is a line of the table.
type figure struct {
	name    string
	heading string // of its column in RESULTS.md; empty: none
	of      func(b *bench, r *round) float64
	peer    bool // only with peers
}

// figures are what is computed of every round, in the order of the table.
var figures = []figure{
	{name: "end to end, events per CPU second", of: func(b *bench, r *round) float64 { return perSecond(b.Events, r.run) }},
	{name: "  times plain", heading: "end to end", of: func(_ *bench, r *round) float64 { return ratio(r.plain.cpu, r.run.cpu) }},
	{name: "  plain program, events per CPU second", of: func(b *bench, r *round) float64 { return perSecond(b.Events, r.plain) }},
	{name: "  wall time of GOMAXPROCS=1, of all cores'", heading: "cores", of: func(_ *bench, r *round) float64 { return ratio(r.oneCore.wall, r.run.wall) }},
	{name: "bytes to columns, MB per CPU second", of: func(_ *bench, r *round) float64 { return r.columns["MB/cpu-s"] }},
	{name: "  times plain", heading: "columns", of: func(_ *bench, r *round) float64 { return r.columns["MB/cpu-s"] / r.plainColumns["MB/cpu-s"] }},
	{name: "  allocations per event", heading: "allocs", of: func(_ *bench, r *round) float64 { return r.columns["allocs/event"] }},
	{name: "encode news, rows per CPU second", of: func(_ *bench, r *round) float64 { return r.encode["rows/cpu-s"] }},
	{name: "  times pqarrow", heading: "encode", of: func(_ *bench, r *round) float64 { return r.encode["rows/cpu-s"] / r.pqarrow["rows/cpu-s"] }},
	{name: "  size, of pqarrow", heading: "size", of: func(_ *bench, r *round) float64 { return r.encode["bytes/row"] / r.pqarrow["bytes/row"] }},
	{name: "verify, of the run", heading: "verify", of: func(_ *bench, r *round) float64 { return ratio(r.verify.cpu, r.run.cpu) }},
	{name: "rebuild, events per CPU second", of: func(b *bench, r *round) float64 { return perSecond(b.Events, r.rebuild) }},
	{name: "  times plain", heading: "rebuild", of: func(_ *bench, r *round) float64 { return ratio(r.plain.cpu, r.rebuild.cpu) }},
	{name: "files of the lake, of the plain program's", of: func(_ *bench, r *round) float64 { return float64(r.size) / float64(r.plainSize) }},
	{name: "memory of the run, MiB", heading: "run MiB", of: func(_ *bench, r *round) float64 { return r.run.rss }},
	{name: "  with long answers", heading: "long answers MiB", of: func(b *bench, _ *round) float64 { return b.heavy.rss }},
	{name: "  of verify", of: func(_ *bench, r *round) float64 { return r.verify.rss }},
	{name: "  of rebuild", of: func(_ *bench, r *round) float64 { return r.rebuild.rss }},
	{name: "  of the plain program", of: func(_ *bench, r *round) float64 { return r.plain.rss }},
}

func perSecond(n int64, u usage) float64     { return float64(n) / u.cpu.Seconds() }
func ratio(one, other time.Duration) float64 { return one.Seconds() / other.Seconds() }

// chosenFigures are those of the measurement.
func (b *bench) chosenFigures() []figure {
	all := slices.Concat(figures, peerFigures)
	return slices.DeleteFunc(all, func(f figure) bool { return f.peer && !b.peers })
}

// values are those of a figure in each round, ascending.
func (b *bench) values(f figure) (list []float64) {
	for i := range b.rounds {
		list = append(list, f.of(b, &b.rounds[i]))
	}
	slices.Sort(list)
	return list
}

// median is the middle of an ascending list, which must not be empty.
func median(list []float64) float64 {
	return (list[(len(list)-1)/2] + list[len(list)/2]) / 2
}

// print prints the table.
func (b *bench) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "%d events, %.1f MB of answers, %d rounds\tmedian\tlowest\thighest\t\n", b.Events, float64(b.Bytes)/1e6, len(b.rounds))
	for _, f := range b.chosenFigures() {
		v := b.values(f)
		fmt.Fprintf(w, "%-46s\t%s\t%s\t%s\t\n", f.name, number(median(v)), number(v[0]), number(v[len(v)-1]))
	}
	return w.Flush()
}

// number writes a figure with three digits that count.
func number(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// recordLine adds the medians to the file of results.
func (b *bench) recordLine() error {
	text, err := os.ReadFile(b.record)
	if err != nil {
		return err
	}
	cells := []string{time.Now().UTC().Format(time.DateOnly), cmp.Or(b.commit, "unknown"), processor()}
	headings := []string{"date", "commit", "processor"}
	for _, f := range figures {
		if f.heading != "" {
			headings = append(headings, f.heading)
			cells = append(cells, number(median(b.values(f))))
		}
	}
	if heading := tableLine(headings); !strings.Contains(string(text), heading) {
		return fmt.Errorf("%s has no table with the heading %s", b.record, heading)
	}
	text = append(bytes.TrimRight(text, "\n"), "\n"+tableLine(cells)...)
	return os.WriteFile(b.record, text, 0o644) //nolint:gosec // a file of the repository
}

// tableLine is a line of a Markdown table.
func tableLine(cells []string) string { return "| " + strings.Join(cells, " | ") + " |\n" }

// processor is the model of the CPU, with the number of cores.
func processor() string {
	model := runtime.GOARCH
	text, _ := os.ReadFile("/proc/cpuinfo") // other systems do not have it
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	return fmt.Sprintf("%s, %d cores", strings.ReplaceAll(model, "|", "/"), runtime.NumCPU())
}
