package sources

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestSample: a sample has as many lines as asked for, the same ones each time, another seed has others,
// a smaller one is part of a larger one, and no part of the list is preferred.
func TestSample(t *testing.T) {
	t.Parallel()
	const lines = 1000
	var text strings.Builder
	text.WriteString("domain\n")
	for i := range lines {
		fmt.Fprintf(&text, "c%d.example\n", i+1)
	}
	path := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	read := func(s *Sample) (rows []int64, in Input) {
		l, err := Open(t.Context(), path, Options{Sample: s})
		if err != nil {
			t.Fatal(err)
		}
		for a, err := range l.Accounts(t.Context()) {
			if err != nil {
				t.Fatal(err)
			}
			if a.Domain != fmt.Sprintf("c%d.example", a.Row) {
				t.Fatalf("row %d is %s", a.Row, a.Domain)
			}
			rows = append(rows, a.Row)
		}
		return rows, l.Input()
	}
	draw := func(n int, seed uint64) *Sample {
		l, err := Open(context.Background(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := l.DrawSample(t.Context(), n, seed)
		if err != nil || s.Len() != min(n, lines) {
			t.Fatalf("DrawSample(%d) has %d records, %v", n, s.Len(), err)
		}
		return s
	}
	hundred, in := read(draw(100, 1))
	if len(hundred) != 100 || !slices.IsSorted(hundred) || in.Records != lines || in.Lines != lines+1 {
		t.Errorf("a sample of 100: rows %v of %d records and %d lines", hundred, in.Records, in.Lines)
	}
	if want := "a random sample of 100 of 1000 lines, drawn with seed 1"; !slices.Contains(in.Notes, want) {
		t.Errorf("notes %q, want %q among them", in.Notes, want)
	}
	if again, _ := read(draw(100, 1)); !slices.Equal(hundred, again) {
		t.Error("the same seed draws other lines")
	}
	if other, _ := read(draw(100, 2)); slices.Equal(hundred, other) {
		t.Error("another seed draws the same lines")
	}
	fifty, _ := read(draw(50, 1))
	for _, row := range fifty {
		if !slices.Contains(hundred, row) {
			t.Errorf("row %d of the smaller sample is not in the larger one", row)
		}
	}
	if all, _ := read(draw(5000, 1)); len(all) != lines {
		t.Errorf("a sample larger than the list has %d lines, want %d", len(all), lines)
	}
	drawn := make([]int, 10) // by tenth of the list, over 200 seeds: 2,000 each are expected
	for seed := range uint64(200) {
		for _, row := range draw(100, seed).rows {
			drawn[(row-1)*10/lines]++
		}
	}
	for i, n := range drawn {
		if n < 1800 || n > 2200 { // five standard deviations
			t.Errorf("tenth %d of the list was drawn %d times, want about 2,000", i, n)
		}
	}
}
