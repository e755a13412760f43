package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// TestParseMetrics: all metrics of a benchmark are found by its name and their units.
func TestParseMetrics(t *testing.T) {
	t.Parallel()
	output := "goos: linux\nBenchmarkColumns-2   \t       3\t2511572757 ns/op\t         9.268 MB/cpu-s\t       115.6 allocs/event\n" +
		"BenchmarkEncode/siglake-16 \t 1\t 5 ns/op\nBenchmarkDuckDB/lookup-entity 15 1.5 lake-ms\nPASS\n"
	want := metrics{
		"BenchmarkColumns":        {"ns/op": 2511572757, "MB/cpu-s": 9.268, "allocs/event": 115.6},
		"BenchmarkEncode/siglake": {"ns/op": 5}, "BenchmarkDuckDB/lookup-entity": {"lake-ms": 1.5},
	}
	if diff := cmp.Diff(want, parseMetrics(output)); diff != "" {
		t.Errorf("parseMetrics() (-want +got):\n%s", diff)
	}
}

// TestFigures: a ratio is that of one round, and the table shows the median of the rounds.
func TestFigures(t *testing.T) {
	t.Parallel()
	b := &bench{served: served{Events: 1000}}
	for _, plain := range []time.Duration{3 * time.Second, 8 * time.Second, 2 * time.Second} {
		b.rounds = append(b.rounds, round{plain: usage{cpu: plain}, run: usage{cpu: time.Second}})
	}
	var out bytes.Buffer
	if err := b.print(&out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if got := strings.Fields(lines[2]); !cmp.Equal(got, []string{"times", "plain", "3.00", "2.00", "8.00"}) {
		t.Errorf("the table has the line %q, want the median 3, from 2 to 8:\n%s", got, &out)
	}
	if got := median([]float64{1, 2, 4, 9}); got != 3 {
		t.Errorf("median of four = %v, want 3", got)
	}
}

// TestRecordLine: a recorded measurement is a line of the table that RESULTS.md has.
func TestRecordLine(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("RESULTS.md")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{rounds: []round{{}}, options: options{record: filepath.Join(t.TempDir(), "results.md"), commit: "abcdef0"}}
	if err := os.WriteFile(b.record, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.recordLine(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(b.record)
	if err != nil {
		t.Fatal(err)
	}
	added, found := strings.CutPrefix(string(got), string(text))
	if cells := strings.Split(added, "|"); !found || strings.Count(added, "\n") != 1 || strings.TrimSpace(cells[2]) != "abcdef0" {
		t.Errorf("the file got %q", added)
	}
	b.record = filepath.Join(t.TempDir(), "other.md")
	if err := os.WriteFile(b.record, []byte("# Other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := b.recordLine(); err == nil {
		t.Error("a file without the table was written to")
	}
}

// TestServe: the server says where it is and what it has, and ends with its input.
func TestServe(t *testing.T) {
	t.Parallel()
	in, stop := io.Pipe()
	out, words := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- serve(t.Context(), []string{"-companies", "2", "-list", filepath.Join(t.TempDir(), "list.csv")}, in, words)
		words.Close()
	}()
	var s served
	if err := json.NewDecoder(out).Decode(&s); err != nil || s.Events == 0 || s.Bytes == 0 {
		t.Fatalf("the server says %+v, %v", s, err)
	}
	go io.Copy(io.Discard, out)
	response, err := http.Get(s.URL + "/account/usage")
	if err != nil {
		t.Fatal(err)
	}
	if response.Body.Close(); response.StatusCode != http.StatusOK {
		t.Errorf("the account page is %s", response.Status)
	}
	stop.Close()
	if err := <-ended; err != nil {
		t.Errorf("serve() = %v", err)
	}
}

// TestParseOptions: a measurement of nothing is refused.
func TestParseOptions(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-rounds", "0"}, {"-companies", "0"}, {"extra"}} {
		if _, err := parseOptions(args); err == nil {
			t.Errorf("parseOptions(%q) accepts it", args)
		}
	}
}
