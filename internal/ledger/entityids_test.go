package ledger

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// entityIDs are the ids that a ledger states for the first companies, and for an account with an id.
func (n *nights) entityIDs(t *testing.T, l *Ledger) (ids []string) {
	t.Helper()
	p := l.Purchases(nil, TTL{})
	for company := range 3 {
		ids = append(ids, p.Entity(t.Context(), n.account(company)).ID)
	}
	if e := p.Entity(t.Context(), n.account(n.companies)); e != (schema.Entity{}) {
		t.Errorf("Entity of a company that was never asked = %+v, want none", e)
	}
	if e := p.Entity(t.Context(), &schema.Account{Object: schema.Company, ID: "77"}); e != (schema.Entity{Object: schema.Company, ID: "77"}) {
		t.Errorf("Entity of an account with an id = %+v, want that", e)
	}
	return ids
}

// TestEntityIDs: the ledger knows the id that answers state for an identifier: from the outcomes of calls,
// whether a checkpoint or the records lead to them and also once the answers are pruned, and from the
// answers where earlier versions recorded no ids.
func TestEntityIDs(t *testing.T) {
	t.Parallel()
	n := prunable()
	store := openStore(t, t.TempDir(), unsynced)
	if err := n.add(context.WithValue(t.Context(), undatedKey{}, true), store, 0); err != nil {
		t.Fatal(err)
	}
	check := func(what string, full, reads bool) {
		t.Helper()
		read := 0
		l := n.open(t, store, prunableNights, full)
		l.archive = newArchive(l.log, func(b *pipeline.Batch, c *pipeline.Call) (items, unmatched []pipeline.ItemReply) {
			read++
			return n.decode(b, c)
		})
		ids := n.entityIDs(t, l)
		for company, id := range ids {
			if want := n.entityOf(company); id != want {
				t.Errorf("%s: Entity of company %d = %q, want %q", what, company, id, want)
			}
		}
		if read > 0 != reads {
			t.Errorf("%s: %d answers were read, want some: %t", what, read, reads)
		}
	}
	check("an earlier version", false, true)
	n.addAll(t, store, 1, prunableNights)
	check("a checkpoint", false, false)
	check("all records", true, false)
	if _, err := n.prune(t, store, prunedNights); err != nil {
		t.Fatal(err)
	}
	check("pruned, and all records", true, false)
}

// TestEntityIDsOfAliases: an answer under the id that was requested says it also for the other ids of the
// entity.
func TestEntityIDsOfAliases(t *testing.T) {
	t.Parallel()
	b := &pipeline.Batch{Query: &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{}}, Items: []pipeline.Item{{Account: schema.Account{Object: schema.Company, ID: "token"}}, {Account: schema.Account{Object: schema.Company, ID: "9"}}}}
	items := []pipeline.ItemReply{
		{Status: schema.Enriched, Entity: schema.Entity{Object: schema.Company, ID: "token"}, Aliases: []string{"8"}},
		{Status: schema.NoSignal, Entity: schema.Entity{Object: schema.Company, ID: "9"}},
	}
	answered := answeredIdentities(b, items)
	got, err := decodeIDs(encodeIDs(b, items, answered), joinIdentities(answered))
	want := map[pipeline.Identity]string{pipeline.IdentityByID(schema.Company, "token"): "token", pipeline.IdentityByID(schema.Company, "8"): "token"}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("ids, %v (-want +got):\n%s", err, diff)
	}
}

// TestCompleteLine: a cached line of an earlier version gets the entity that was known when it was
// recorded, and no other line changes.
func TestCompleteLine(t *testing.T) {
	t.Parallel()
	few, many := manyNights(), manyNights()
	few.companies = 2
	store := openStore(t, t.TempDir(), unsynced)
	if err := few.add(context.WithValue(t.Context(), undatedKey{}, true), store, 0); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), store, few.options(1))
	if err != nil {
		t.Fatal(err)
	}
	recorder, err := l.BeginRun(pipeline.RunSpec{ID: "run-cached", Session: 1})
	if err == nil {
		err = recorder.RecordLines([]pipeline.Line{{Account: *few.account(0), Status: schema.Cached}})
	}
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	many.addAll(t, store, 2, 3)
	l = many.open(t, store, 3, false)
	run, err := l.state.findRun("run-cached")
	if err != nil {
		t.Fatal(err)
	}
	own := &schema.Entity{Object: schema.Company, ID: "own"}
	for _, c := range []struct {
		line pipeline.Line
		want string
	}{
		{pipeline.Line{Account: *few.account(0), Status: schema.Cached}, few.entityOf(0)},
		{pipeline.Line{Account: *few.account(0), Status: schema.Cached, Entity: own}, "own"},
		{pipeline.Line{Account: *few.account(0), Status: schema.Deferred}, ""},
		{pipeline.Line{Account: *few.account(5), Status: schema.Cached}, ""}, // asked later
	} {
		line := c.line
		if err := l.Reader().CompleteLine(t.Context(), run, &line); err != nil {
			t.Fatal(err)
		}
		if line.Entity == nil {
			line.Entity = new(schema.Entity)
		}
		if line.Entity.ID != c.want {
			t.Errorf("CompleteLine(%s, %s) = %q, want %q", c.line.Account.Domain, c.line.Status, line.Entity.ID, c.want)
		}
	}
}

// TestEntityIDsDamaged: ids that do not belong to the identities of the record are an error.
func TestEntityIDsDamaged(t *testing.T) {
	t.Parallel()
	identities := make([]byte, 3*len(pipeline.Identity{}))
	for i := range identities {
		identities[i] = byte(i)
	}
	whole := append([]byte{idsVersion, 2, 4}, "id-1\x01\x00"...)
	if known, err := decodeIDs(whole, identities); err != nil || len(known) != 2 {
		t.Fatalf("decodeIDs = %v, %v, want the id of two identities", known, err)
	}
	for at := range whole {
		for _, ids := range [][]byte{whole[:max(at, 1)], append([]byte{9}, whole[1:]...), append(whole[:len(whole):len(whole)], 1, 0)} {
			if known, err := decodeIDs(ids, identities); !errors.Is(err, wal.ErrCorrupt) {
				t.Errorf("decodeIDs(%q) = %v, %v, want ErrCorrupt", ids, known, err)
			}
		}
	}
}
