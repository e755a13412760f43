package pipeline

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// scheduleFunc is a Schedule made of a function.
type scheduleFunc func(a *schema.Account, q *Query) Due

func (f scheduleFunc) Due(_ context.Context, a *schema.Account, q *Query) Due { return f(a, q) }

// dividingSchedule has one question about two types for every line, one more about a type of its own
// for every third, and nothing for every fifth.
func dividingSchedule(a *schema.Account, q *Query) Due {
	types := q.ResultTypes()
	if a.Row%5 == 0 {
		return Due{Reason: "nothing is due before 2026-06-06"}
	}
	due := Due{Questions: []Question{{Types: types[:2], Since: "2026-04-01", Divisible: true}}}
	if a.Row%3 == 0 {
		due.Questions = append(due.Questions, Question{Types: types[2:3], Since: fmt.Sprintf("2026-05-%02d", 1+a.Row%2)})
	}
	return due
}

func dividedQueries() map[schema.Object]*Query {
	return map[schema.Object]*Query{schema.Company: {
		Object: schema.Company, Ask: SignalsAsk{Types: []string{"surgeInHiring", "riskNews", "peopleNews"}, MaxResults: 5}, Since: "2026-02-06", Until: "2026-05-07",
	}}
}

// eventsAbout answers one event a type for even rows, and nothing for odd ones.
func eventsAbout(answers *[]AnsweredBatch, stopAt int) fetchFunc {
	return func(_ context.Context, b *Batch) (*Reply, error) {
		if stopAt > 0 && len(*answers) >= stopAt {
			return NewReply(b, "the budget is used up"), &Stop{Kind: StopBudget, Reason: "the budget is used up"}
		}
		reply := &Reply{Calls: []Call{{
			ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: b.Query.Object, Entities: len(b.Items), Ceiling: b.Ceiling(), Sent: epoch, Status: 200, Outcome: Charged,
		}}}
		credits := int64(0)
		for i := range b.Items {
			item := ItemReply{Status: schema.NoSignal, CallID: b.ID + "-1", Entity: schema.Entity{Object: schema.Company, ID: fmt.Sprint(7000 + b.Items[i].Account.Row)}}
			if b.Items[i].Account.Row%2 == 0 {
				item.Status = schema.Enriched
				for _, signal := range b.Query.ResultTypes() {
					item.Events = append(item.Events, RawEvent{Type: signal, Raw: fmt.Appendf(nil, `{"signalId":"%s-%d","signalDate":"2026-05-02"}`, signal, b.Items[i].Account.Row)})
					credits++
				}
			}
			reply.Items = append(reply.Items, item)
		}
		reply.Calls[0].Charge = StatedCharge(credits, "")
		*answers = append(*answers, AnsweredBatch{b, reply})
		return reply, nil
	}
}

// TestDividedLines: a line with several questions has one row, with all its events and credits, in a
// run, in a run that stops, and in a replay of either.
func TestDividedLines(t *testing.T) {
	t.Parallel()
	const n = 90
	var accounts []schema.Account
	for row := range int64(n) {
		accounts = append(accounts, schema.Account{Row: row + 1, Key: fmt.Sprint("k", row+1), Object: schema.Company, Domain: fmt.Sprintf("c%d.example", row+1)})
	}
	for _, stopAt := range []int{0, 1, 2} {
		var answers []AnsweredBatch
		ledger, sink := &memoryLedger{}, &memorySink{}
		runner := &Runner{
			Fetcher: eventsAbout(&answers, stopAt), Sink: sink, Ledger: ledger, Queries: dividedQueries(), Schedule: scheduleFunc(dividingSchedule),
			Spec: RunSpec{ID: "run-1"}, Concurrency: 1, BatchSize: 40,
		}
		m, err := runner.Run(t.Context(), list{accounts: accounts})
		if err != nil {
			t.Fatal(err)
		}
		rows := sink.read("accounts")
		if len(rows) != n || m.Accounts.Lines != n {
			t.Fatalf("stop at %d: %d rows, %d lines, want %d", stopAt, len(rows), m.Accounts.Lines, n)
		}
		events, credits := int64(0), int64(0)
		for _, row := range rows {
			a := schema.Account{Row: row.int("row")}
			want := schema.NoSignal
			switch asked := len(dividingSchedule(&a, dividedQueries()[schema.Company]).Questions); {
			case asked == 0:
				want = schema.Cached
			case a.Row%2 == 0:
				want = schema.Enriched
			}
			if got := schema.Status(row.text("status")); got != want && (stopAt == 0 || got != schema.Deferred) {
				t.Errorf("stop at %d: row %d is %s, want %s", stopAt, a.Row, got, want)
			}
			events, credits = events+row.int("events"), credits+row.int("credits")
		}
		if events != m.Events.Returned || credits != m.Credits.Charged || stopAt == 0 && events != 36*2+12 {
			t.Errorf("stop at %d: the rows have %d events and %d credits, the manifest %d and %d", stopAt, events, credits, m.Events.Returned, m.Credits.Charged)
		}
		replayed := &memorySink{}
		replay := &Runner{Sink: replayed, Queries: runner.Queries, Spec: RunSpec{ID: "run-1"}, Recorded: &RunLog{Answers: ledger.answers(answers), Lines: ledger.lines}}
		if _, err := replay.Replay(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		byRow := func(s *memorySink) []cells {
			rows := s.read("accounts")
			slices.SortFunc(rows, func(a, b cells) int { return int(a.int("row") - b.int("row")) })
			return rows
		}
		if diff := cmp.Diff(byRow(sink), byRow(replayed)); diff != "" {
			t.Errorf("stop at %d (-run +replay):\n%s", stopAt, diff)
		}
	}
}

// TestFewWithOneQuestion: lines with the same question share calls; where few have it, its types are
// asked one by one.
func TestFewWithOneQuestion(t *testing.T) {
	t.Parallel()
	for rare, want := range map[int]map[string]int{
		24: {"2026-04-01 surgeInHiring riskNews": 70, "2026-04-01 surgeInHiring": 24, "2026-04-01 peopleNews": 24},
		25: {"2026-04-01 surgeInHiring riskNews": 70, "2026-04-01 surgeInHiring peopleNews": 25},
	} {
		var accounts []schema.Account
		for row := range int64(70 + rare) {
			accounts = append(accounts, schema.Account{Row: row + 1, Key: fmt.Sprint(row), Object: schema.Company, Domain: fmt.Sprintf("c%d.example", row)})
		}
		schedule := scheduleFunc(func(a *schema.Account, q *Query) Due {
			types := q.ResultTypes()
			if a.Row > 70 {
				return Due{Questions: []Question{{Types: []string{types[0], types[2]}, Since: "2026-04-01", Divisible: true}}}
			}
			return Due{Questions: []Question{{Types: types[:2], Since: "2026-04-01", Divisible: true}}}
		})
		runner := &Runner{Queries: dividedQueries(), Schedule: schedule}
		plan, err := runner.Plan(t.Context(), list{accounts: accounts})
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]int{}
		for _, q := range plan.Queries {
			key := q.Query.Since
			for _, signal := range q.Query.ResultTypes() {
				key += " " + signal
			}
			got[key] += int(q.Entities)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%d lines with a rare question (-want +got):\n%s", rare, diff)
		}
		if plan.Entities() != int64(70+rare) || plan.Accounts.Lines != int64(70+rare) {
			t.Errorf("%d entities, %d lines, want %d", plan.Entities(), plan.Accounts.Lines, 70+rare)
		}
	}
}
