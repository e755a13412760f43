package forecast

import (
	"testing"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestAnswerSizes: a call requests so many entities that its answer stays below the target, by a
// cautious guess first, then by what answers were like, and fewer once one was cut.
func TestAnswerSizes(t *testing.T) {
	t.Parallel()
	const target = 64 << 20
	q := &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"riskNews", "surgeInHiring"}, MaxResults: 100}}
	wide := &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: make([]string, 20), MaxResults: 100}}
	contacts := &pipeline.Query{Object: schema.Contact, Ask: pipeline.SignalsAsk{Types: make([]string, 20), MaxResults: 100}}
	s := new(AnswerSizes)
	step := func(what string, q *pipeline.Query, want int) {
		t.Helper()
		if got := s.MaxEntities(q, 100, target); got != want {
			t.Errorf("%s: MaxEntities() = %d, want %d (%d bytes a result)", what, got, want, s.ResultBytes(q))
		}
	}
	step("nothing known, few results", q, 100)
	step("nothing known, many results", wide, 16)
	s.Add(wide, AnswerLength{Results: ResultSize{Results: 10, Bytes: 3000}, Ceiling: 2000, Length: 4000})
	step("too little known", wide, 16)
	s.Add(wide, AnswerLength{Results: ResultSize{Results: 5000, Bytes: 1_500_000}, Ceiling: 200_000, Length: 1_600_000})
	step("short results", wide, 55)
	step("another object", contacts, 16)
	s.Add(wide, AnswerLength{Results: ResultSize{Results: 5000, Bytes: 500_000_000}, Ceiling: 200_000, Length: 510_000_000})
	step("long results", wide, 1)
	frozen := s.Clone()
	s.Add(wide, AnswerLength{Results: ResultSize{Results: 100_000_000, Bytes: 30_000_000_000}, Ceiling: 200_000, Length: 600_000_000})
	step("short again", wide, 54)
	if got := frozen.MaxEntities(wide, 100, target); got != 1 {
		t.Errorf("a clone has learned: %d entities, want 1", got)
	}
	s.Add(wide, AnswerLength{Ceiling: 40_000, Length: 2000, Cut: true})
	step("a short answer broke off", wide, 54)
	s.Add(wide, AnswerLength{Ceiling: 40_000, Length: 20_000_000, Cut: true})
	step("a long answer was cut", wide, 10)
	s.Add(wide, AnswerLength{Ceiling: 40_000, Length: 20_000_000, Cut: true})
	step("another one of its kind, on its way at the time", wide, 10)
	s.Add(wide, AnswerLength{Ceiling: 20_000, Length: 15_000_000, Cut: true})
	step("half as many were cut", wide, 5)
	s.Add(wide, AnswerLength{Ceiling: 10_000, Length: 15_000_000})
	step("a shorter one came whole", wide, 5)
	s.Add(wide, AnswerLength{Ceiling: 10_000, Length: 20_000_001})
	step("a longer one came whole", wide, 54)
	s.Add(q, AnswerLength{Ceiling: 200, Length: 70_000_000, Cut: true})
	step("one entity cannot be divided", wide, 1)
	if got := s.ResultBytes(q); got < 2*70_000_000/200-2 {
		t.Errorf("ResultBytes() = %d after an answer about one entity was cut, want twice what arrived: it is read further", got)
	}
}

// TestPageResults: a page has so many results that its answer stays below the target, and half as many
// once one was cut.
func TestPageResults(t *testing.T) {
	t.Parallel()
	const target = 1 << 20
	q := &pipeline.Query{Object: schema.Company, APIVersion: pipeline.V3, Ask: pipeline.LookalikeAsk{PageSize: 100}}
	s := new(AnswerSizes)
	step := func(what string, want int64) {
		t.Helper()
		if got := s.MaxResults(q, 100, target); got != want {
			t.Errorf("%s: MaxResults() = %d, want %d (%d bytes a result)", what, got, want, s.ResultBytes(q))
		}
	}
	step("nothing known", 100)
	s.Add(q, AnswerLength{Results: ResultSize{Results: 100, Bytes: 2_000_000}, Ceiling: 100, Length: 2_000_000})
	step("long results", 25)
	s.Add(q, AnswerLength{Ceiling: 25, Length: target, Cut: true})
	step("a page was cut", 12)
	s.Add(q, AnswerLength{Ceiling: 1, Length: target, Cut: true})
	step("a page of one was cut", 1)
	s.Add(q, AnswerLength{Ceiling: 12, Length: target + 1})
	step("a longer one came whole", 25)
}
