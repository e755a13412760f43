package ledger

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/durable/durabletest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// segmentFile is the file of a journal of one segment.
const segmentFile = "00000001.journal"

// summarize is the manifest of a run with these calls.
func summarize(generation int64, kind pipeline.GenerationKind, run, continues string, calls ...pipeline.CallSummary) *pipeline.Manifest {
	m := &pipeline.Manifest{Generation: generation, PerCall: calls}
	m.Run.ID, m.Run.Kind, m.Run.Continues = run, kind, continues
	m.Calls.Total = int64(len(calls))
	for _, c := range calls {
		if c.Credits != nil {
			m.Credits.Charged += *c.Credits
		}
	}
	return m
}

func chargedCall(id string, credits int64) pipeline.CallSummary {
	return pipeline.CallSummary{ID: id, Outcome: pipeline.Charged, Credits: &credits}
}

// richCharge is what the calls of richJournal were charged.
const richCharge = 3 + 5 + 4 + 2

// richJournal is a journal of three runs with a record of almost every kind, and the manifests that
// were published: a call, one with an answer in pieces, one in doubt that another run reads again,
// and one of a later run.
func richJournal(t *testing.T) (dir string, published []*pipeline.Manifest) {
	t.Helper()
	m := newLedgerRig(t)
	publish := func(p *pipeline.Manifest) {
		t.Helper()
		published = append(published, p)
		if err := errors.Join(m.recorder.Prepare(p), m.recorder.Commit(p)); err != nil {
			t.Fatal(err)
		}
	}
	begin := func(spec pipeline.RunSpec) {
		t.Helper()
		var err error
		if m.recorder, err = m.ledger.BeginRun(spec); err != nil {
			t.Fatal(err)
		}
	}
	long := append([]byte("paid 5 "), bytes.Repeat([]byte("long "), 200)...)
	for i, answer := range []string{"paid 3", string(long), "odd 4"} {
		if _, err := m.fetch(testBatch(i+1, 2), spillingFetch([]byte(answer), 400, nil), nil); err != nil {
			t.Fatal(err)
		}
	}
	doubt := m.ledger.state.calls[2]
	if err := errors.Join(m.recorder.RecordLines([]pipeline.Line{{}}), m.recorder.RecordReconciliation(9, "the account's usage")); err != nil {
		t.Fatal(err)
	}
	publish(summarize(1, pipeline.RunGeneration, "run", "", chargedCall("000001-1", 3), chargedCall("000002-1", 5), pipeline.CallSummary{ID: "000003-1", Outcome: pipeline.InDoubt}))
	if err := m.recorder.RecordDecision(doubt, WriteOff, "lost"); err != nil {
		t.Fatal(err)
	}
	m.ledger.archive.decode = laterVersion
	begin(pipeline.RunSpec{ID: "again", Session: 1, Rereads: "run"})
	x, err := m.ledger.Rereader().Read(t.Context(), doubt)
	if err == nil {
		err = m.recorder.RecordReread(x)
	}
	if err != nil {
		t.Fatal(err)
	}
	publish(summarize(2, pipeline.RereadGeneration, "again", "run", chargedCall("000003-1", 4)))
	begin(pipeline.RunSpec{ID: "next", Session: 1})
	if _, err := m.fetch(testBatch(4, 2), spillingFetch([]byte("paid 2"), 400, nil), nil); err != nil {
		t.Fatal(err)
	}
	publish(summarize(3, pipeline.RunGeneration, "next", "", chargedCall("000004-1", 2)))
	if err := m.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	return m.disk.Dir, published
}

// mustSalvage salvages a journal and checks what always holds: the new one can be opened, contradicts
// itself nowhere, and has all that the manifests name or says that it was lost; salvaging it again
// finds it whole. credits are those of the calls that are kept, and of those that are lost.
func mustSalvage(t *testing.T, what, dir string, published []*pipeline.Manifest) (s *Salvaged, opened *Ledger, credits int64) {
	t.Helper()
	options := SalvageOptions{Decode: laterVersion, Published: published}
	b := membucket.New()
	s, err := Salvage(t.Context(), openStore(t, dir, nil), wal.NewObjects(b, "j", wal.ObjectsOptions{}), options)
	if err != nil {
		t.Fatalf("%s: Salvage = %v", what, err)
	}
	opened, err = Open(t.Context(), wal.NewObjects(b, "j", wal.ObjectsOptions{}), Options{Decode: laterVersion, ReadOnly: true})
	if err != nil {
		t.Fatalf("%s: the new journal: %v", what, err)
	}
	audit, err := opened.Audit(t.Context(), nil)
	if err != nil || len(audit.Mismatched)+len(audit.WithoutIntent)+len(audit.BoughtTwice) > 0 {
		t.Errorf("%s: Audit() = %+v, %v", what, audit, err)
	}
	for _, m := range published {
		if missing := opened.Losses().Missing(m); missing != "" {
			t.Errorf("%s: generation %d: %s", what, m.Generation, missing)
		}
	}
	credits = s.Charged
	for _, l := range s.Lost {
		if l.Credits == nil {
			t.Errorf("%s: the charge of %+v is in a manifest, and is unknown", what, l)
			continue
		}
		credits += *l.Credits
	}
	again, err := Salvage(t.Context(), wal.NewObjects(b, "j", wal.ObjectsOptions{}), wal.NewObjects(membucket.New(), "j", wal.ObjectsOptions{}), options)
	if err != nil || !again.IsComplete() || again.Charged != s.Charged || len(again.Restored) > 0 {
		t.Errorf("%s: Salvage of the new journal = %+v, %v", what, again, err)
	}
	return s, opened, credits
}

// richRecords are the kinds of the records of a journal of one segment, and where they begin in its
// file.
func richRecords(t *testing.T, dir string) (kinds []kind, places []int64) {
	t.Helper()
	gaps, err := wal.Salvage(t.Context(), openStore(t, dir, nil), func(r wal.SalvagedRecord) error {
		_, offset, _ := strings.Cut(r.At.String(), "@")
		at, err := strconv.ParseInt(offset, 10, 64)
		kinds, places = append(kinds, kind(r.Kind)), append(places, 4096+at)
		return err
	})
	if err != nil || len(gaps) > 0 {
		t.Fatalf("Salvage = %v, %v", gaps, err)
	}
	return kinds, places
}

// TestSalvageRecords damages every record of a journal in turn.
func TestSalvageRecords(t *testing.T) {
	t.Parallel()
	dir, published := richJournal(t)
	kinds, places := richRecords(t, dir)
	for _, k := range []kind{kindRun, kindIntent, kindResponse, kindCharged, kindInDoubt, kindDecision, kindLines, kindPrepare, kindCommit, kindQuery, kindReconciliation, kindReread, kindPiece} {
		if !slices.Contains(kinds, k) {
			t.Errorf("the journal has no record of kind %d", k)
		}
	}
	if s, _, credits := mustSalvage(t, "no damage", dir, published); !s.IsComplete() || credits != richCharge || s.Records != len(kinds) {
		t.Errorf("no damage: %+v, %d credits, want %d", s, credits, richCharge)
	}
	path := filepath.Join(dir, segmentFile)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, at := range places {
		damaged := slices.Clone(raw)
		damaged[at+33] ^= 0x55 // in its head
		if err := os.WriteFile(path, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("record %d, of kind %d", i, kinds[i])
		s, opened, credits := mustSalvage(t, what, dir, published)
		if len(s.Gaps) != 1 || s.Records != len(kinds)-1 || credits != richCharge {
			t.Errorf("%s: %+v, %d credits, want %d", what, s, credits, richCharge)
		}
		wantLost := map[kind]int{kindIntent: 1, kindResponse: 1, kindPiece: 1, kindQuery: 4}[kinds[i]] // all calls have one query
		if len(s.Lost) != wantLost {
			t.Errorf("%s: lost %+v, want %d calls", what, s.Lost, wantLost)
		}
		for _, l := range s.Lost {
			n := opened.state.callNumbers[l.Run+"/"+l.Call]
			if l.InDoubt != (n != 0 && opened.state.calls[n-1].Outcome == pipeline.InDoubt) {
				t.Errorf("%s: %+v is not what the new journal has", what, l)
			}
		}
	}
}

// TestSalvageTruncated cuts a journal at every byte: every record that is whole is kept.
func TestSalvageTruncated(t *testing.T) {
	t.Parallel()
	dir, published := richJournal(t)
	_, places := richRecords(t, dir)
	path := filepath.Join(dir, segmentFile)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[int64]bool{}
	for size := info.Size() - 1; size >= 0; size -= int64(proof.Size(97, 5, 1)) {
		sizes[size] = true
	}
	for _, at := range places[1:] { // where a record ends, and a byte less
		sizes[at], sizes[at-1] = true, proof.Size(1, 0, 0) == 0 || at%3 == 0
	}
	for size := info.Size() - 1; size >= 0; size-- {
		if !sizes[size] {
			continue
		}
		if err := os.Truncate(path, size); err != nil {
			t.Fatal(err)
		}
		what := fmt.Sprintf("cut at %d", size)
		s, _, credits := mustSalvage(t, what, dir, published)
		whole := 0
		for i := range places {
			if i+1 < len(places) && places[i+1] <= size {
				whole++
			}
		}
		if s.Records != whole || s.Calls > 0 && whole == 0 || credits != richCharge {
			t.Errorf("%s: %d records, %d credits in all, want %d and %d: %+v", what, s.Records, credits, whole, richCharge, s)
		}
	}
}

// TestSalvageTwoWriters: two processes write to one journal. The first one did not notice that it was
// taken over: it completes a call, whose outcome the other one could not know, and makes another one
// under a number that the other one uses as well. Long answers of both are in pieces. Everything that
// was paid for is kept.
func TestSalvageTwoWriters(t *testing.T) {
	t.Parallel()
	long := func(credits int) []byte {
		return append(fmt.Appendf(nil, "paid %d ", credits), bytes.Repeat([]byte("long "), 200)...)
	}
	a := newLedgerRig(t)
	if _, err := a.fetch(testBatch(1, 2), spillingFetch(long(3), 400, nil), nil); err != nil {
		t.Fatal(err)
	}
	second := ""
	first := true
	_, err := a.fetch(testBatch(2, 2), spillingFetch(long(5), 400, func() {
		if !first {
			return
		}
		first = false
		if err := a.ledger.log.Flush(); err != nil {
			t.Fatal(err)
		}
		second = durabletest.Scratch(t)
		durabletest.RestoreFiles(t, second, durabletest.SnapshotFiles(t, a.disk.Dir))
		l, err := Open(t.Context(), openStore(t, second, nil), Options{Decode: decodeTest})
		if err != nil {
			t.Fatal(err)
		}
		b := &ledgerRig{t: t, ledger: l}
		if b.recorder, err = l.BeginRun(pipeline.RunSpec{ID: "run", Session: 2}); err != nil {
			t.Fatal(err)
		}
		if _, err := b.fetch(testBatch(3, 2), spillingFetch(long(7), 300, nil), nil); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}), nil)
	if err != nil {
		t.Fatal(err)
	}
	late := testBatch(3, 2)
	for i := range late.Items {
		late.Items[i].Account.Domain = "late-" + late.Items[i].Account.Domain
	}
	if _, err := a.fetch(late, spillingFetch(long(11), 500, nil), nil); err != nil {
		t.Fatal(err)
	}
	if err := a.ledger.Close(); err != nil {
		t.Fatal(err)
	}
	files := durabletest.SnapshotFiles(t, second)
	files[segmentFile] = durabletest.SnapshotFiles(t, a.disk.Dir)[segmentFile]
	both := durabletest.Scratch(t)
	durabletest.RestoreFiles(t, both, files)
	if _, err := Open(t.Context(), openStore(t, both, nil), Options{Decode: decodeTest, ReadOnly: true}); !errors.Is(err, wal.ErrCorrupt) {
		t.Fatalf("Open = %v, want %v", err, wal.ErrCorrupt)
	}
	s, opened, _ := mustSalvage(t, "two writers", both, nil)
	if !s.IsComplete() || s.Late == 0 || s.Charged != 3+5+7+11 || s.Calls != 4 || s.Runs != 1 {
		t.Errorf("Salvage = %+v", s)
	}
	want := "000001-1 charged 3, 000002-1 charged 5, 000003-1-late00000001 charged 11, 000003-1 charged 7"
	if got := opened.Runs()[0].summary(); got != want {
		t.Errorf("the new journal has %s, want %s", got, want)
	}
	for _, b := range []*pipeline.Batch{testBatch(1, 2), testBatch(2, 2), testBatch(3, 2), late} {
		for i := range b.Items {
			if known := opened.Purchases(nil, TTL{}).Coverage(t.Context(), &b.Items[i].Account, b.Query); known.InDoubt != nil || len(known.Missing(b.Query)) > 0 {
				t.Errorf("%s: coverage %+v, want all", b.Items[i].Account.Domain, known)
			}
		}
	}
}
