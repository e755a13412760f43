package pipeline

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// stepLedger is a ledger and a sink that record their calls, and fail at one of the steps.
type stepLedger struct {
	memorySink
	failAt string
	steps  []string
}

var errStep = errors.New("this step fails")

func (d *stepLedger) step(name string) error {
	d.steps = append(d.steps, name)
	if name == d.failAt {
		return errStep
	}
	return nil
}

func (d *stepLedger) RecordLines([]Line) error { return nil }
func (d *stepLedger) Prepare(*Manifest) error  { return d.step("prepare") }
func (d *stepLedger) Commit(*Manifest) error   { return d.step("commit") }

func (d *stepLedger) Stage(context.Context) ([]File, error)    { return nil, d.step("stage") }
func (d *stepLedger) Comparison() Comparison                   { return Comparison{} }
func (d *stepLedger) Publish(context.Context, *Manifest) error { return d.step("publish") }

// TestRunPublishesInOrder: files are staged before Prepare, become visible after it, and Commit is
// last. No step follows a step that fails.
func TestRunPublishesInOrder(t *testing.T) {
	order := []string{"stage", "stage", "prepare", "publish", "commit"} // the rows, then that of the run
	for _, failAt := range append(order[1:], "") {
		want := order
		if failAt != "" {
			want = order[:slices.Index(order, failAt)+1]
		}
		for name, end := range map[string]func(r *Runner) error{
			"Run": func(r *Runner) error { _, err := r.Run(t.Context(), companies(3)); return err },
			"Replay": func(r *Runner) error {
				r.Recorded = &RunLog{Answers: emptySeq[RecordedAnswer](), Lines: emptySeq[Line]()}
				_, err := r.Replay(t.Context(), nil)
				return err
			},
		} {
			d := &stepLedger{failAt: failAt}
			err := end(&Runner{Fetcher: &scriptedAPI{scripts: []script{paidScript(3)}}, Sink: d, Ledger: d, Queries: bothQueries(), Spec: RunSpec{ID: "run-1"}})
			if errors.Is(err, errStep) != (failAt != "") {
				t.Errorf("%s, failing at %q: %v", name, failAt, err)
			}
			if diff := cmp.Diff(want, d.steps); diff != "" {
				t.Errorf("%s, failing at %q: steps (-want +got):\n%s", name, failAt, diff)
			}
		}
	}
}

func emptySeq[T any]() iter.Seq2[T, error] { return func(func(T, error) bool) {} }

// coveredRows are Purchases with an answer for some rows.
type coveredRows map[int64]bool

func (coveredRows) Resolve(context.Context, *schema.Account) Resolution { return Resolution{} }

func (coveredRows) Suppressed(context.Context, *schema.Account) string { return "" }

func (coveredRows) Entity(_ context.Context, a *schema.Account) schema.Entity {
	return schema.Entity{Object: a.Object, ID: fmt.Sprint("known ", a.Row)}
}

func (k coveredRows) Coverage(_ context.Context, a *schema.Account, q *Query) Coverage {
	if k[a.Row] {
		full := slices.Repeat([]SignalCoverage{{State: CoverageFull}}, len(q.ResultTypes()))
		return Coverage{Signals: full, Call: "run-1/000007-1"}
	}
	return Coverage{}
}

// TestRunResumes: a resumed run requests nothing that was answered, gives every line one status,
// and numbers its batches after the earlier ones.
func TestRunResumes(t *testing.T) {
	list := companies(10)
	list.accounts = append(list.accounts, schema.Account{Row: 11, Key: "key 11", Object: schema.Company, Domain: "c1.example"},
		schema.Account{Row: 12, Key: "key 12", Object: schema.Company, Reject: &schema.Reject{Reason: "no host name"}})
	api := &scriptedAPI{scripts: []script{paidScript(4)}}
	answered := &Batch{ID: "000007", Query: bothQueries()[schema.Company]}
	for _, a := range list.accounts[:4] {
		answered.Items = append(answered.Items, Item{Ref: itemRef(a, false), Account: a})
	}
	reply, err := api.Fetch(t.Context(), answered)
	if err != nil {
		t.Fatal(err)
	}
	log := &RunLog{
		Answers: func(yield func(RecordedAnswer, error) bool) { yield(recorded(AnsweredBatch{answered, reply}), nil) },
		Lines:   emptySeq[Line](),
	}
	covered := coveredRows{}
	for _, item := range answered.Items {
		covered[item.Account.Row] = true
	}
	var asked []string
	g := mustRun(t, Runner{BatchSize: 3, LastBatch: 7, Recorded: log, Purchases: covered, Fetcher: fetchFunc(func(ctx context.Context, b *Batch) (*Reply, error) {
		for _, item := range b.Items {
			asked = append(asked, fmt.Sprintf("%s %d", b.ID, item.Account.Row))
		}
		return api.Fetch(ctx, b)
	}), Concurrency: 1}, list)
	want := []string{"000008 5", "000008 6", "000008 7", "000009 8", "000009 9", "000009 10"}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("requested rows (-want +got):\n%s", diff)
	}
	if got, want := g.statusRanges(), "1-10 enriched, 11 duplicate, 12 rejected"; got != want || g.manifest.Accounts.Lines != 12 {
		t.Errorf("%d lines: %s, want 12: %s", g.manifest.Accounts.Lines, got, want)
	}
}
