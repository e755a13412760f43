package app

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/siglake/siglake/pipeline"
)

// TestReadAhead: answers come in order, with their errors; one more is read meanwhile, except next to a
// long one; and nothing is read after the last one that is wanted.
func TestReadAhead(t *testing.T) {
	t.Parallel()
	failed := errors.New("damaged")
	body := map[bool][]byte{false: nil, true: make([]byte, longAnswer)}
	for _, long := range []bool{false, true} {
		var read atomic.Int32
		recorded := func(yield func(pipeline.AnsweredBatch, error) bool) {
			for i := range 20 {
				read.Add(1)
				b := pipeline.AnsweredBatch{Batch: &pipeline.Batch{ID: fmt.Sprint(i)}, Reply: &pipeline.Reply{Calls: []pipeline.Call{{Body: body[long]}}}}
				if i == 19 {
					b = pipeline.AnsweredBatch{}
				}
				if !yield(b, map[bool]error{true: failed}[i == 19]) {
					return
				}
			}
		}
		var got []string
		var last error
		for b, err := range readAhead(recorded) {
			if last = err; err == nil {
				got = append(got, b.Batch.ID)
			}
			if n := int(read.Load()); long && n != len(got) && err == nil || n > len(got)+2 {
				t.Errorf("long: %v: %d answers are read at number %d", long, n, len(got))
			}
		}
		if want := []string{"0", "1", "2"}; len(got) != 19 || !slices.Equal(got[:3], want) || !errors.Is(last, failed) {
			t.Errorf("long: %v: answers %q, %v", long, got, last)
		}
		read.Store(0)
		for range readAhead(recorded) {
			break
		}
		if n := read.Load(); n > 2 {
			t.Errorf("long: %v: %d answers are read for the first one", long, n)
		}
	}
}
