package app

import (
	"context"
	"iter"
	"testing"

	"github.com/siglake/siglake/schema"
)

type someLines int

func (n someLines) Accounts(context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for range int(n) {
			if !yield(schema.Account{}, nil) {
				return
			}
		}
	}
}

// TestFirstLines: a reading that is not used is counted up to a limit, and says so.
func TestFirstLines(t *testing.T) {
	t.Parallel()
	for lines, more := range map[int]bool{0: false, 2: false, 3: false, 4: true} {
		f := &firstLines{list: someLines(lines), limit: 3}
		n := 0
		for range f.Accounts(t.Context()) {
			n++
		}
		if n != min(lines, 3) || f.lines != int64(n) || f.more != more {
			t.Errorf("of %d lines %d are read, counted as %d, more %t; want %d, and %t", lines, n, f.lines, f.more, min(lines, 3), more)
		}
	}
	r := Reading{Object: schema.Company, Flag: "--object company", Lines: 1000, Partial: true, Identifiers: map[schema.Identifier]int64{schema.ByDomain: 900}, Rejected: 100}
	if got, want := r.Text(), "as companies: 900 by domain, 100 rejected (of the first 1,000 lines): --object company, or --signals about companies only"; got != want {
		t.Errorf("Text() = %q, want %q", got, want)
	}
}
