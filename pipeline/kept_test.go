package pipeline

import (
	"context"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestKeptTypes: a kept column has the narrowest type of all its cells, in whatever order they come, and
// none that loses a digit or a zero.
func TestKeptTypes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cells []string
		want  KeptColumn
	}{
		{[]string{"", ""}, KeptColumn{}},
		{[]string{"1", "", "-20"}, KeptColumn{Type: KeptInteger, Digits: 2}},
		{[]string{"1", "2.50", "-300"}, KeptColumn{Type: KeptDecimal, Digits: 3, Scale: 2}},
		{[]string{"0.5", "10"}, KeptColumn{Type: KeptDecimal, Digits: 2, Scale: 1}},
		{[]string{"2024-02-29", ""}, KeptColumn{Type: KeptDate}},
		{[]string{"2024-02-30"}, KeptColumn{Type: KeptText}},
		{[]string{"2024-02-29", "1"}, KeptColumn{Type: KeptText}},
		{[]string{"1", "n/a"}, KeptColumn{Type: KeptText}},
		{[]string{"007"}, KeptColumn{Type: KeptText}},
		{[]string{"1,000"}, KeptColumn{Type: KeptText}},
		{[]string{"1e5"}, KeptColumn{Type: KeptText}},
		{[]string{"-0"}, KeptColumn{Type: KeptText}},
		{[]string{"999999999999999999"}, KeptColumn{Type: KeptInteger, Digits: 18}},
		{[]string{"1000000000000000000"}, KeptColumn{Type: KeptText}},
		{[]string{"0.1234567890123456789"}, KeptColumn{Type: KeptText}},
	} {
		for range 2 {
			var kept KeptColumns
			for _, cell := range c.cells {
				kept.addCells(fmt.Sprintf(`{"a":%q}`, cell))
				c.cells = append([]string{cell}, c.cells[:len(c.cells)-1]...) // the other order
			}
			want := c.want
			want.Name = "a"
			if diff := cmp.Diff([]KeptColumn{want}, kept.List()); diff != "" {
				t.Errorf("%q (-want +got):\n%s", c.cells, diff)
			}
		}
	}
	var many KeptColumns
	for i := range maxKeptColumns + 5 {
		many.Add(KeptColumn{Name: fmt.Sprint(i)})
	}
	if n := len(many.List()); n != maxKeptColumns {
		t.Errorf("%d columns are listed, want %d", n, maxKeptColumns)
	}
}

// TestKeptAndKnown: every line keeps its columns in extra, whatever became of it, and a line that needs no
// call has the entity that earlier answers state. Replayed lines are the same, and those of an earlier
// schema are as they were.
func TestKeptAndKnown(t *testing.T) {
	t.Parallel()
	list := companies(3)
	list.accounts = append(list.accounts, schema.Account{Row: 4, Key: "key 4", Object: schema.Company, Reject: &schema.Reject{Reason: "no"}})
	for i := range list.accounts {
		list.accounts[i].Kept = fmt.Sprintf(`{"Owner":"o%d <&> \"x\"","ARR":"%d.50"}`, i+1, i)
	}
	ledger := &memoryLedger{}
	var answers []AnsweredBatch
	g := mustRun(t, Runner{Ledger: ledger, Purchases: coveredRows{2: true}, Fetcher: fetchFunc(func(_ context.Context, b *Batch) (*Reply, error) {
		reply := NewReply(b, "")
		for i := range reply.Items {
			reply.Items[i] = ItemReply{Status: schema.NotFound, Reason: "not known", UnknownFields: []byte(`{"mood":"high"}`)}
		}
		answers = append(answers, AnsweredBatch{b, reply})
		return reply, nil
	})}, list)
	check := func(what string, sink *memorySink, version int) {
		t.Helper()
		rows := sink.read(schema.Accounts.Name)
		if len(rows) != len(list.accounts) {
			t.Errorf("%s: %d rows, want %d", what, len(rows), len(list.accounts))
		}
		for _, row := range rows {
			extra, answer, id := list.accounts[row.int("row")-1].Kept, "", ""
			if row.text("status") == string(schema.NotFound) {
				answer = `{"mood":"high"}`
			}
			if row.text("status") == string(schema.Cached) {
				id = "known 2"
			}
			if version < schema.EntitiesVersion {
				extra, answer = answer, ""
			}
			if row.text("extra") != extra || row.text("answer_extra") != answer || row.text("entity_id") != id {
				t.Errorf("%s: %v, want extra %s, answer_extra %s, entity %s", what, row, extra, answer, id)
			}
		}
	}
	check("run", g.sink, schema.Version)
	for _, version := range []int{schema.Version, schema.EntitiesVersion - 1} {
		sink := &memorySink{}
		replay := &Runner{Sink: sink, SchemaVersion: version, Queries: bothQueries(), Spec: RunSpec{ID: "run-1"}, Recorded: &RunLog{Answers: ledger.answers(answers), Lines: ledger.lines}}
		if _, err := replay.Replay(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		check(fmt.Sprintf("replay as of version %d", version), sink, version)
	}
}
