package pipeline

import (
	"errors"
	"fmt"
	"iter"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/schema"
)

// bothQueries is a query for each object.
func bothQueries() map[schema.Object]*Query {
	return map[schema.Object]*Query{
		schema.Contact: {Object: schema.Contact, Ask: SignalsAsk{Types: []string{"companyChange", "promotion"}, MaxResults: 5}, Since: "2026-01-01"},
		schema.Company: {Object: schema.Company, Ask: SignalsAsk{Types: []string{"surgeInHiring", "riskNews", "intent"}, MaxResults: 5}, Since: "2026-01-01"},
	}
}

// walk yields accounts, then err if it is set.
func walk(accounts []schema.Account, err error) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for _, a := range accounts {
			if !yield(a, nil) {
				return
			}
		}
		if err != nil {
			yield(schema.Account{}, err)
		}
	}
}

func newTestBatcher(size int) *batcher {
	return &batcher{queries: bothQueries(), batchSize: size, identities: new(idmap.Map), purchases: noLedger{}}
}

// rows sets the rows and keys of accounts, from 1.
func rows(accounts ...schema.Account) []schema.Account {
	for i := range accounts {
		accounts[i].Row, accounts[i].Key = int64(i+1), fmt.Sprintf("key %d", i+1)
	}
	return accounts
}

func company(domain string) schema.Account {
	return schema.Account{Object: schema.Company, Domain: domain}
}

// classified describes what the batcher makes of a list, one text per line.
func classified(t *testing.T, s *batcher, accounts []schema.Account) []string {
	out := make([]string, len(accounts))
	for u := range s.items(t.Context(), walk(accounts, nil)) {
		for _, l := range u.lines {
			out[l.Account.Row-1] = string(l.Status)
			if l.Status == schema.Duplicate {
				out[l.Account.Row-1] += fmt.Sprintf(" of %d", l.DuplicateOf)
			}
		}
		if u.batch != nil {
			for _, item := range u.batch.Items {
				out[item.Account.Row-1] = u.batch.ID + " " + item.Ref
			}
		}
	}
	return out
}

func TestBatcherStatuses(t *testing.T) {
	reject := &schema.Reject{Column: "domain", Value: "?", Reason: "not a host name"}
	for _, c := range []struct {
		name     string
		accounts []schema.Account
		want     []string
	}{
		{"nothing", nil, []string{}},
		{"a domain again", rows(company("a.example"), company("b.example"), company("a.example")),
			[]string{"000001 r1", "000001 r2", "duplicate of 1"}},
		{"the first one stays the original", rows(company("a.example"), company("a.example"), company("a.example")),
			[]string{"000001 r1", "duplicate of 1", "duplicate of 1"}},
		{"names differ in letter case", rows(
			schema.Account{Object: schema.Company, Name: "Ærø Shipping"}, schema.Account{Object: schema.Company, Name: "ÆRØ SHIPPING"},
			schema.Account{Object: schema.Contact, Name: "Ann Lee", CompanyName: "Quill"}, schema.Account{Object: schema.Contact, Name: "ANN LEE", CompanyName: "quill"}),
			[]string{"000001 r1", "duplicate of 1", "000002 r3", "duplicate of 3"}},
		{"one person, two employers", rows(
			schema.Account{Object: schema.Contact, Name: "Ann Lee", CompanyName: "Quill"}, schema.Account{Object: schema.Contact, Name: "Ann Lee", CompanyName: "Finch"}),
			[]string{"000001 r1", "000001 r2"}},
		{"an employer's domain decides over its name", rows(
			schema.Account{Object: schema.Contact, Name: "Ann Lee", CompanyName: "Quill", CompanyDomain: "q.example"},
			schema.Account{Object: schema.Contact, Name: "Ann Lee", CompanyName: "Quill Inc", CompanyDomain: "q.example"},
			schema.Account{Object: schema.Contact, Name: "Ann Lee", CompanyName: "Quill", CompanyDomain: "r.example"}),
			[]string{"000001 r1", "duplicate of 1", "000001 r3"}},
		{"ids are opaque", rows(
			schema.Account{Object: schema.Company, ID: "v1.aB"}, schema.Account{Object: schema.Company, ID: "v1.Ab"}),
			[]string{"000001 v1.aB", "000001 v1.Ab"}},
		{"an id is not a domain", rows(
			schema.Account{Object: schema.Company, ID: "77"}, company("77"), schema.Account{Object: schema.Company, Name: "77"}),
			[]string{"000001 77", "000002 r2", "000002 r3"}},
		{"a contact is not a company", rows(
			schema.Account{Object: schema.Company, ID: "77"}, schema.Account{Object: schema.Contact, ID: "77"}),
			[]string{"000001 77", "000002 77"}},
		{"only the best identifier counts", rows(
			schema.Account{Object: schema.Company, ID: "77", Domain: "a.example"}, company("a.example"), schema.Account{Object: schema.Company, ID: "77", Domain: "b.example"}),
			[]string{"000001 77", "000002 r2", "duplicate of 1"}},
		{"rejected lines are no originals", rows(
			schema.Account{Object: schema.Company, Domain: "a.example", Reject: reject}, company("a.example")),
			[]string{"rejected", "000001 r2"}},
		{"no identifier", rows(schema.Account{Object: schema.Company}, schema.Account{Object: schema.Contact, Name: "Ann Lee"}),
			[]string{"rejected", "rejected"}},
		{"no such object", rows(schema.Account{Object: "plant", ID: "1"}, schema.Account{ID: "1"}),
			[]string{"rejected", "rejected"}},
	} {
		if diff := cmp.Diff(c.want, classified(t, newTestBatcher(MaxBatch), c.accounts)); diff != "" {
			t.Errorf("%s: statuses (-want +got):\n%s", c.name, diff)
		}
	}
}

func TestBatcherRejectsObjectsWithoutQuery(t *testing.T) {
	s := newTestBatcher(10)
	delete(s.queries, schema.Contact)
	var got []Line
	for u := range s.items(t.Context(), walk(rows(schema.Account{Object: schema.Contact, ID: "1"}), nil)) {
		got = append(got, u.lines...)
		if u.batch != nil {
			t.Errorf("items() requests %v, want a rejection", u.batch.Items)
		}
	}
	if len(got) != 1 || got[0].Status != schema.Rejected || !strings.Contains(got[0].Reason, "contact") {
		t.Errorf("items() classified %+v, want one rejected line that names the object", got)
	}
}

// Batches that stay open until the end are sent in the order in which they were opened, not in the
// order in which their kind first occurred.
func TestBatcherOrderOfTheLast(t *testing.T) {
	id := func(n int) schema.Account { return schema.Account{Object: schema.Company, ID: fmt.Sprint(n)} }
	want := []string{"000001 1", "000001 2", "000002 r3", "000003 4"}
	if diff := cmp.Diff(want, classified(t, newTestBatcher(2), rows(id(1), id(2), company("a.example"), id(4)))); diff != "" {
		t.Errorf("statuses (-want +got):\n%s", diff)
	}
}

func TestBatcherSourceErrorKeepsEarlierLines(t *testing.T) {
	broken := errors.New("line 4: unexpected quote")
	s := newTestBatcher(2)
	accounts := rows(company("a.example"), company("b.example"), company("c.example"), company("a.example"))
	got := map[int64]bool{}
	for u := range s.items(t.Context(), walk(accounts, broken)) {
		for _, row := range rowsOf(u) {
			got[row] = true
		}
	}
	if len(got) != len(accounts) || !errors.Is(s.err, broken) {
		t.Errorf("items() yields rows %v and error %v, want all %d and %v", got, s.err, len(accounts), broken)
	}
}

// rowsOf are the rows of a work item's lines.
func rowsOf(u workItem) []int64 {
	var out []int64
	for _, l := range u.lines {
		out = append(out, l.Account.Row)
	}
	if u.batch != nil {
		for _, item := range u.batch.Items {
			out = append(out, item.Account.Row)
		}
	}
	return out
}

func TestBatcherPendingLinesDoNotAccumulate(t *testing.T) {
	const length = 3*maxPendingLines + 7
	read, given := 0, 0
	lines := func(yield func(schema.Account, error) bool) {
		for range length {
			read++
			if !yield(schema.Account{Row: int64(read), Object: schema.Company, Domain: "a.example"}, nil) {
				return
			}
		}
	}
	for u := range newTestBatcher(MaxBatch).items(t.Context(), lines) {
		if len(u.lines) > maxPendingLines {
			t.Errorf("a work item has %d pending lines, want at most %d", len(u.lines), maxPendingLines)
		}
		given += len(rowsOf(u))
		if waiting := read - given; waiting > maxPendingLines+MaxBatch {
			t.Errorf("%d lines wait after %d were read, want at most %d", waiting, read, maxPendingLines+MaxBatch)
		}
	}
	if given != length {
		t.Errorf("items() yields %d lines, want %d", given, length)
	}
}

func TestBatcherStopsWithItsConsumer(t *testing.T) {
	read := 0
	lines := func(yield func(schema.Account, error) bool) {
		for read < 100 {
			read++
			if !yield(company(fmt.Sprintf("c%d.example", read)), nil) {
				return
			}
		}
	}
	for range newTestBatcher(3).items(t.Context(), lines) {
		break
	}
	if read != 3 {
		t.Errorf("items() read %d lines for one batch of 3, want 3", read)
	}
}

// Rows are stored in 32 bits: a longer list must fail, not wrap around.
func TestBatcherRefusesTooManyRows(t *testing.T) {
	for _, row := range []int64{maxRows, maxRows + 1, maxRows + 2} {
		accounts := []schema.Account{company("a.example"), company("a.example")}
		accounts[0].Row, accounts[1].Row = row-1, row
		s := newTestBatcher(10)
		var got []Line
		for u := range s.items(t.Context(), walk(accounts, nil)) {
			got = append(got, u.lines...)
		}
		if row <= maxRows {
			if s.err != nil || len(got) != 1 || got[0].DuplicateOf != row-1 {
				t.Errorf("row %d: classified %+v, error %v, want a duplicate of row %d", row, got, s.err, row-1)
			}
		} else if s.err == nil {
			t.Errorf("row %d: classified %+v, want an error", row, got)
		}
	}
}

// accountList draws a list from few identifiers, so that many lines repeat.
func accountList(t *rapid.T) []schema.Account {
	word := rapid.SampledFrom([]string{"", "", "a", "A", "b", "c1", "c2", "c3", "c4", "c5"})
	one := rapid.Custom(func(t *rapid.T) schema.Account {
		a := schema.Account{
			Object: rapid.SampledFrom([]schema.Object{schema.Company, schema.Contact}).Draw(t, "object"),
			ID:     word.Draw(t, "id"), Domain: word.Draw(t, "domain"), Name: word.Draw(t, "name"),
			LinkedIn: word.Draw(t, "linkedin"), Email: word.Draw(t, "email"), CompanyName: word.Draw(t, "company"), CompanyDomain: word.Draw(t, "company domain"),
		}
		if rapid.IntRange(0, 9).Draw(t, "reject") == 0 {
			a.Reject = &schema.Reject{Reason: "odd"}
		}
		return a
	})
	return rows(rapid.SliceOfN(one, 0, 80).Draw(t, "accounts")...)
}

func TestBatcherAccountsForEveryLine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		accounts := accountList(t)
		size := rapid.OneOf(rapid.IntRange(1, 8), rapid.IntRange(1, MaxBatch)).Draw(t, "size")
		var items []workItem
		for u := range newTestBatcher(size).items(t.Context(), walk(accounts, nil)) {
			items = append(items, u)
		}

		seen := map[int64]bool{}
		asked := map[int64]schema.Account{}
		short := map[string]int{} // batches that are not full, by kind
		var number int
		for _, u := range items {
			for _, row := range rowsOf(u) {
				if seen[row] {
					t.Fatalf("row %d occurs twice", row)
				}
				seen[row] = true
			}
			if u.batch == nil {
				continue
			}
			b := u.batch
			if number++; b.ID != fmt.Sprintf("%06d", number) {
				t.Fatalf("batch %d has id %q", number, b.ID)
			}
			if len(b.Items) < 1 || len(b.Items) > size {
				t.Fatalf("batch %s holds %d items, want 1 to %d", b.ID, len(b.Items), size)
			}
			if len(b.Items) < size {
				short[fmt.Sprint(b.Query.Object, b.ByID)]++
			}
			refs := map[string]bool{}
			for i, item := range b.Items {
				a := item.Account
				if a.Object != b.Query.Object || (a.Identifier() == schema.ByID) != b.ByID {
					t.Fatalf("batch %s of %s, by id %t, holds %+v", b.ID, b.Query.Object, b.ByID, a)
				}
				if refs[item.Ref] || item.Ref == "" || b.ByID && item.Ref != a.ID {
					t.Fatalf("batch %s: reference %q of item %d: want unique, and the id where there is one", b.ID, item.Ref, i)
				}
				if i > 0 && b.Items[i-1].Account.Row >= a.Row {
					t.Fatalf("batch %s: row %d after row %d", b.ID, a.Row, b.Items[i-1].Account.Row)
				}
				refs[item.Ref] = true
				asked[a.Row] = a
			}
		}
		if len(seen) != len(accounts) {
			t.Fatalf("%d of %d lines were yielded", len(seen), len(accounts))
		}
		for kind, n := range short {
			if n > 1 {
				t.Fatalf("%d batches of %s are not full, want at most the last", n, kind)
			}
		}
		for _, u := range items {
			for _, l := range u.lines {
				if l.Status != schema.Duplicate {
					continue
				}
				first, ok := asked[l.DuplicateOf]
				kind := l.Account.Identifier()
				if !ok || first.Row >= l.Account.Row || first.Object != l.Account.Object || first.Identifier() != kind ||
					!strings.EqualFold(identifierText(&first, kind), identifierText(&l.Account, kind)) {
					t.Fatalf("row %d is a duplicate of row %d (%+v, requested %t), want equal identifiers", l.Account.Row, l.DuplicateOf, first, ok)
				}
			}
		}

		var second []workItem
		for u := range newTestBatcher(size).items(t.Context(), walk(accounts, nil)) {
			second = append(second, u)
		}
		if diff := cmp.Diff(items, second, cmp.AllowUnexported(workItem{}, Line{})); diff != "" {
			t.Fatalf("items() of the same list (-first +second):\n%s", diff)
		}
	})
}

func TestSplit(t *testing.T) {
	b := &Batch{ID: "000007", Query: bothQueries()[schema.Company], ByID: true}
	for i := range 5 {
		b.Items = append(b.Items, Item{Ref: fmt.Sprint(i)})
	}
	first, second := b.Split()
	for _, c := range []struct {
		got  *Batch
		id   string
		refs string
	}{{first, "000007.0", "01"}, {second, "000007.1", "234"}} {
		refs := ""
		for _, item := range c.got.Items {
			refs += item.Ref
		}
		if c.got.ID != c.id || refs != c.refs || c.got.Query != b.Query || c.got.ByID != b.ByID {
			t.Errorf("Split() = %s with %s, want %s with %s", c.got.ID, refs, c.id, c.refs)
		}
	}
	_ = append(first.Items, Item{Ref: "x"})
	if second.Items[0].Ref != "2" {
		t.Error("appending to the first half overwrites the second")
	}
	if got, want := b.Ceiling(), int64(5*3*5); got != want {
		t.Errorf("Ceiling() = %d, want %d", got, want)
	}
}

func TestStop(t *testing.T) {
	s := &Stop{Kind: StopQuota, Reason: "the day is used up", Advice: "run again tomorrow"}
	if got, want := s.Error(), "the day is used up; run again tomorrow"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
	if got := stopOf(fmt.Errorf("batch 7: %w", s)); got != s {
		t.Errorf("stopOf(wrapped) = %v, want %v", got, s)
	}
	if got := stopOf(errors.New("other")); got != nil {
		t.Errorf("stopOf(other) = %v, want nil", got)
	}
	s.Advice = ""
	if got, want := s.Error(), "the day is used up"; got != want {
		t.Errorf("Error() = %q, want %q", got, want)
	}
}
