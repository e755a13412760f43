package ledger

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/membucket"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// manyNights are nights of a small list, with a checkpoint after each of them.
func manyNights() *nights {
	return &nights{companies: 30, batch: 10, first: time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC), checkpointEvery: 1}
}

func (n *nights) account(company int) *schema.Account {
	return &schema.Account{Row: int64(company), Object: schema.Company, Domain: fmt.Sprintf("company-%06d.example", company)}
}

// addAll records nights, each in a process of its own.
func (n *nights) addAll(t testing.TB, store wal.Store, from, to int) {
	t.Helper()
	for night := from; night < to; night++ {
		if err := n.add(t.Context(), store, night); err != nil {
			t.Fatalf("night %d: %v", night, err)
		}
	}
}

// open opens a ledger to read it, from its checkpoint or from all of its records.
func (n *nights) open(t testing.TB, store wal.Store, night int, full bool) *Ledger {
	t.Helper()
	o := n.options(night)
	o.ReadOnly = true
	l, err := Open(t.Context(), store, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	if !full {
		return l
	}
	s, err := l.stateBefore(t.Context(), wal.Position{})
	if err != nil {
		t.Fatal(err)
	}
	l.state = s
	return l
}

// answersOf is what commands ask a ledger, as text.
func (n *nights) answersOf(t testing.TB, l *Ledger, night int) []string {
	t.Helper()
	ctx := t.Context()
	var out []string
	add := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, r := range l.Runs() {
		add("run %s: %d calls, %d credits, %+v, last batch %d, published %v, liability %+v", r.ID, r.CallCount(), r.ChargedCredits(), r.Cost(), r.LastBatch, r.Published != nil, l.Bill().Liability(r))
	}
	add("liability %+v", l.Bill().Liability(nil))
	for _, c := range l.CallsInDoubt() {
		add("in doubt: %s", callName(c))
	}
	var calls, events int64
	for _, h := range l.History() {
		calls += h.Calls
		events += h.All.Events
	}
	add("history: %d calls, %d events", calls, events)
	cursors, err := l.Cursors(ctx)
	if err != nil {
		t.Fatal(err)
	}
	p := l.Purchases(nil, TTL{})
	for _, signal := range nightSignals {
		counts := cursors.Lateness(signal)
		add("lateness of %s: %v, edge %+v", signal, counts, cursors.Edge(n.query(night).APIVersion))
	}
	for company := range n.companies + 1 {
		for _, q := range []*pipeline.Query{n.query(night), n.query(night - 1)} {
			add("coverage of %d on %s: %s", company, q.Until, jsonOf(t, p.Coverage(ctx, n.account(company), q)))
		}
		add("resolution of %d: %s", company, jsonOf(t, p.Resolve(ctx, n.account(company))))
		for _, signal := range nightSignals {
			c, known := cursors.Cursor(pipeline.IdentityOf(n.account(company)), n.query(night), signal)
			add("cursor of %d, %s: %v %s", company, signal, known, c.text())
		}
	}
	return out
}

func jsonOf(t testing.TB, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestCheckpoint: a ledger that is opened from its checkpoint answers as one that is opened from all of
// its records, also about windows that it has left behind, and verify finds no difference.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	for _, asks := range []bool{true, false} {
		t.Run(fmt.Sprintf("asks for cursors=%v", asks), func(t *testing.T) {
			t.Parallel()
			testCheckpoint(t, asks)
		})
	}
}

func testCheckpoint(t *testing.T, asks bool) {
	n := manyNights()
	n.asks = asks
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 3)
	// A call gets no answer, and stays in doubt.
	n.lose = func(night int, b *pipeline.Batch) bool { return night == 3 && b.ID == "000002" }
	n.addAll(t, store, 3, 45)
	const last = 45

	fromCheckpoint, full := n.open(t, store, last, false), n.open(t, store, last, true)
	if fromCheckpoint.state.past.days == 0 || full.state.past.days != 0 {
		t.Fatalf("left behind up to %s and %s; want some days, and none", fromCheckpoint.state.past.days, full.state.past.days)
	}
	missing := 0
	for _, c := range fromCheckpoint.state.calls {
		if c == nil {
			missing++
		}
	}
	if missing == 0 {
		t.Error("the checkpoint has left no call behind")
	}
	if diff := cmp.Diff(n.answersOf(t, full, last), n.answersOf(t, fromCheckpoint, last)); diff != "" {
		t.Errorf("answers (-from all records +from the checkpoint):\n%s", diff)
	}
	if fromCheckpoint.state.past.days == 0 {
		t.Error("the questions about the last days read what was left behind")
	}
	if diff := cmp.Diff(n.answersOf(t, full, 2), n.answersOf(t, fromCheckpoint, 2)); diff != "" {
		t.Errorf("answers about an old window (-from all records +from the checkpoint):\n%s", diff)
	}
	if fromCheckpoint.state.past.days != 0 {
		t.Error("the questions about an old window did not read what was left behind")
	}

	audit, err := n.open(t, store, last, false).Audit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := full.Audit(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, audit); diff != "" {
		t.Errorf("audits (-from all records +from the checkpoint):\n%s", diff)
	}
	old := n.open(t, store, last, false)
	count := 0
	for _, err := range old.Reader().Answers(t.Context(), old.Runs()[0]) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}
	if count != 3 {
		t.Errorf("the first run has %d answers, want 3", count)
	}
}

// TestCheckpointDue: a checkpoint is written when the records since the last one are many, and not
// before.
func TestCheckpointDue(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.checkpointEvery = 30 << 10
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 12)
	l := n.open(t, store, 12, false)
	found := 0
	for p, err := range l.log.Backward(t.Context(), byte(kindCheckpoint)) {
		if err != nil {
			t.Fatal(err)
		}
		if found++; found == 1 && p != l.state.past.at {
			t.Errorf("opened from %v, want the newest checkpoint at %v", l.state.past.at, p)
		}
	}
	if found < 2 || found > 6 {
		t.Errorf("12 nights wrote %d checkpoints, want a few", found)
	}
}

// here is the head of a checkpoint that is appended to a ledger now.
func here(t *testing.T, l *Ledger, head []byte) []byte {
	t.Helper()
	var h checkpointHead
	if err := json.Unmarshal(head, &h); err != nil {
		t.Fatal(err)
	}
	end, segment := l.log.Mark()
	h.After, h.Segment = placeOf(end), segment
	return jsonOf(t, h)
}

// withLengths is the head of a checkpoint with parts of other lengths.
func withLengths(head []byte, lengths []int) []byte {
	var h checkpointHead
	_ = json.Unmarshal(head, &h) // a head of this test
	h.Lengths = lengths
	head, _ = json.Marshal(h)
	return head
}

// TestCheckpointDamaged: a checkpoint that cannot be used is ignored, and a log says so.
func TestCheckpointDamaged(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(head, body []byte) ([]byte, []byte){
		"another version": func(head, body []byte) ([]byte, []byte) {
			return bytes.Replace(head, fmt.Appendf(nil, `"version":%d`, checkpointVersion), []byte(`"version":99`), 1), body
		},
		"one of another journal": func(head, body []byte) ([]byte, []byte) {
			return bytes.Replace(head, []byte(`"segment":`), []byte(`"segment":1`), 1), body
		},
		"a body that is cut":      func(head, body []byte) ([]byte, []byte) { return head, body[:len(body)-4] },
		"a body that is empty":    func(head, _ []byte) ([]byte, []byte) { return head, nil },
		"a head that is not JSON": func(_, body []byte) ([]byte, []byte) { return []byte("{"), body },
		"parts that do not belong": func(head, _ []byte) ([]byte, []byte) {
			body, lengths := packParts([][]byte{[]byte("{}"), {0}, nil, nil, nil, nil, nil, nil})
			return withLengths(head, lengths), body
		},
		"a part that is missing": func(head, _ []byte) ([]byte, []byte) {
			body, lengths := packParts([][]byte{[]byte("{}"), {0}})
			return withLengths(head, lengths), body
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := manyNights()
			store := openStore(t, t.TempDir(), unsynced)
			n.addAll(t, store, 0, 3)
			l, err := Open(t.Context(), store, n.options(3))
			if err != nil {
				t.Fatal(err)
			}
			rec, err := l.log.Read(t.Context(), l.state.past.at)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := l.BeginRun(pipeline.RunSpec{ID: "run", Session: 1}); err != nil { // a log that is written to has a mark
				t.Fatal(err)
			}
			head, body := change(here(t, l, rec.Head), rec.Body)
			if _, err := l.log.Append(byte(kindCheckpoint), head, body); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			var said []string
			o := n.options(3)
			o.Debug = func(message string) { said = append(said, message) }
			if l, err = Open(t.Context(), store, o); err != nil {
				t.Fatal(err)
			}
			if len(said) != 1 || l.state.past.at != (wal.Position{}) || len(l.state.calls) != 9 {
				t.Errorf("opened from the checkpoint at %v with %d calls, and said %q; want all records, 9 calls and a message", l.state.past.at, len(l.state.calls), said)
			}
			if err := errors.Join(n.record(t.Context(), l, 3), l.Close()); err != nil {
				t.Fatal(err)
			}
			if l = n.open(t, store, 4, false); l.state.past.at == (wal.Position{}) {
				t.Error("the next run wrote no checkpoint that can be used")
			}
		})
	}
}

// TestCheckpointDiffers: verify finds a checkpoint that says something else than the records before it.
func TestCheckpointDiffers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*cursorTable){
		"a cursor":   func(c *cursorTable) { c.series[0].cursors[0].Newest++ },
		"a lateness": func(c *cursorTable) { c.series[0].lateness.AtMost[3]++ },
		"an edge":    func(c *cursorTable) { c.edgeOf(pipeline.V2).Absent++ },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testCheckpointDiffers(t, change)
		})
	}
}

func testCheckpointDiffers(t *testing.T, change func(*cursorTable)) {
	n := manyNights()
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 3)
	l, err := Open(t.Context(), store, n.options(3))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.BeginRun(pipeline.RunSpec{ID: "run", Session: 1}); err != nil { // a log that is written to has a mark
		t.Fatal(err)
	}
	if _, err := l.Cursors(t.Context()); err != nil {
		t.Fatal(err)
	}
	change(l.state.cursors.table)
	parts, calls, err := encodeCheckpoint(l.state)
	if err != nil {
		t.Fatal(err)
	}
	body, lengths := packParts(parts)
	head := here(t, l, jsonOf(t, checkpointHead{Version: checkpointVersion, Kept: calls, Lengths: lengths}))
	if _, err := l.log.Append(byte(kindCheckpoint), head, body); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	audit, err := n.open(t, store, 3, false).Audit(t.Context(), nil)
	if err != nil || len(audit.Checkpoint) != 1 {
		t.Errorf("Audit() = %v, %v, want one difference", audit.Checkpoint, err)
	}
}

// readBucket keeps the names of the objects that are read. A log reads several at once.
type readBucket struct {
	wal.Bucket
	mu   sync.Mutex
	read []string
}

func (b *readBucket) Get(ctx context.Context, name string) ([]byte, string, error) {
	b.mu.Lock()
	b.read = append(b.read, name)
	b.mu.Unlock()
	return b.Bucket.Get(ctx, name)
}

// TestCheckpointInBucket: a ledger in a bucket is opened without its segments before the checkpoint.
func TestCheckpointInBucket(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.companies = 10
	memory := membucket.New()
	for night := range 8 {
		n.checkpointEvery = map[bool]int64{true: 1, false: 1 << 40}[night == 5]
		if err := n.add(t.Context(), wal.NewObjects(memory, "j", wal.ObjectsOptions{Patience: -1}), night); err != nil {
			t.Fatal(err)
		}
	}
	bucket := &readBucket{Bucket: memory}
	l := n.open(t, wal.NewObjects(bucket, "j", wal.ObjectsOptions{Patience: -1}), 8, false)
	if segment, _ := l.state.past.at.Place(); segment != 6 {
		t.Fatalf("opened from the checkpoint in segment %d, want 6", segment)
	}
	for _, name := range bucket.read {
		for segment := 1; segment < 6; segment++ {
			if strings.Contains(name, fmt.Sprintf("%08d", segment)) {
				t.Errorf("%s was read to open the ledger", name)
			}
		}
	}
	// What is wanted of them is read then.
	runs := l.Runs()
	for _, err := range l.Reader().Answers(t.Context(), runs[0]) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if !slices.ContainsFunc(bucket.read, func(name string) bool { return strings.Contains(name, "00000001") }) {
		t.Error("the answers of the first run were read from nowhere")
	}
}

// TestCheckpointSalvaged: a salvage drops checkpoints, whose positions are those of the damaged log.
func TestCheckpointSalvaged(t *testing.T) {
	t.Parallel()
	n := manyNights()
	dir := t.TempDir()
	n.addAll(t, openStore(t, dir, unsynced), 0, 4)
	files, err := filepath.Glob(filepath.Join(dir, "*.journal"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%d segments, %v", len(files), err)
	}
	if err := os.Truncate(files[1], 4096+100); err != nil { // in its first record
		t.Fatal(err)
	}
	to := openStore(t, t.TempDir(), unsynced)
	salvaged, err := Salvage(t.Context(), openStore(t, dir, nil), to, SalvageOptions{Decode: n.decode})
	if err != nil || salvaged.Calls != 9 {
		t.Fatalf("Salvage() = %+v, %v, want 9 calls", salvaged, err)
	}
	l := n.open(t, to, 4, false)
	if l.state.past.at != (wal.Position{}) {
		t.Errorf("the new ledger has a checkpoint at %v", l.state.past.at)
	}
	for _, r := range l.Runs() {
		for _, err := range l.Reader().Answers(t.Context(), r) {
			if err != nil {
				t.Error(err)
			}
		}
	}
	n.addAll(t, to, 4, 5)
	if l = n.open(t, to, 5, false); l.state.past.at == (wal.Position{}) {
		t.Error("the next run wrote no checkpoint")
	}
}

// TestCheckpointGolden: a checkpoint of the golden records, which hold every kind of call, keeps all
// that is known about them.
func TestCheckpointGolden(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log, err := wal.Open(t.Context(), openStore(t, dir, unsynced), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range readGoldenRecords(t) {
		if _, err := log.Append(byte(r.kind), r.head, r.stored()); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
	}
	defer log.Close() //nolint:errcheck // it was only read
	s := newState()
	if err := replay(t.Context(), log, s, wal.First, wal.Position{}); err != nil {
		t.Fatal(err)
	}
	// What a journal of this version has besides.
	s.losses, s.bounds = []Loss{{Run: "r", Call: "c", InDoubt: true}}, bounds{{1, 3, 7}}
	s.cursors = lazyCursors{table: new(cursorTable)}
	parts, kept, err := encodeCheckpoint(s)
	if err != nil {
		t.Fatal(err)
	}
	if kept != len(s.calls) {
		t.Errorf("it keeps %d of %d calls", kept, len(s.calls))
	}
	got, err := decodeAll(packParts(parts))
	if err != nil {
		t.Fatal(err)
	}
	for i, c := range s.calls {
		if !reflect.DeepEqual(c, got.calls[i]) {
			t.Errorf("call %d: got  %+v\nwant %+v", i+1, got.calls[i], c)
		}
	}
	if !reflect.DeepEqual(s.runs, got.runs) || !reflect.DeepEqual(s.callNumbers, got.callNumbers) || !reflect.DeepEqual(s.losses, got.losses) || !reflect.DeepEqual(s.bounds, got.bounds) {
		t.Errorf("runs, numbers, losses or bounds differ: got %+v, want %+v", got.runs, s.runs)
	}
	if want, got := maps.Collect(copied(&s.index)), maps.Collect(copied(&got.index)); !reflect.DeepEqual(want, got) {
		t.Errorf("index: got %v, want %v", got, want)
	}
	again, _, err := encodeCheckpoint(got)
	if err != nil || !reflect.DeepEqual(again, parts) {
		t.Errorf("the checkpoint of a checkpoint differs (%v):\n%s", err, cmp.Diff(parts, again))
	}
	body, lengths := packParts(parts)
	packed, err := unpackParts(body, lengths)
	if err != nil {
		t.Fatal(err)
	}
	for i, whole := range parts {
		cut := slices.Clone(packed)
		for n := range whole {
			cut[i] = part{compressBody(whole[:n]), n}
			if _, err := decodeParts(cut); err == nil {
				t.Fatalf("the first %d of %d bytes of part %d are part of a checkpoint", n, len(whole), i)
			}
		}
	}
}

// decodeAll decodes every part of a checkpoint.
func decodeAll(body []byte, lengths []int) (*state, error) {
	parts, err := unpackParts(body, lengths)
	if err != nil {
		return nil, err
	}
	return decodeParts(parts)
}

func decodeParts(parts []part) (*state, error) {
	s, err := decodeCheckpoint(parts)
	if err != nil {
		return nil, err
	}
	if err := (restorer{s}).decodeRecent(); err != nil || s.cursors.stored == nil {
		return s, err
	}
	s.cursors.table = new(cursorTable)
	return s, s.cursors.table.decode(s.cursors.stored)
}

// copied are the lists of an index, to be kept.
func copied(l *idmap.Lists) iter.Seq2[idmap.Key, []uint32] {
	return func(yield func(idmap.Key, []uint32) bool) {
		for key, list := range l.Sorted() {
			if !yield(key, slices.Clone(list)) {
				return
			}
		}
	}
}

// FuzzDecodeCheckpoint: no body crashes the reader.
func FuzzDecodeCheckpoint(f *testing.F) {
	n := manyNights()
	n.companies = 3
	store := openStore(f, f.TempDir(), unsynced)
	n.addAll(f, store, 0, 2)
	l := n.open(f, store, 2, true)
	if _, err := l.Cursors(f.Context()); err != nil {
		f.Fatal(err)
	}
	parts, _, err := encodeCheckpoint(l.state)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6], parts[7])
	f.Fuzz(func(t *testing.T, a, b, c, d, e, g, h, i []byte) {
		if s, err := decodeAll(packParts([][]byte{a, b, c, d, e, g, h, i})); err == nil {
			if _, _, err := encodeCheckpoint(s); err != nil {
				t.Errorf("what was decoded cannot be encoded: %v", err)
			}
		}
	})
}

// TestPastUnreadable: while it is not known what was bought in an old window, because the records before
// the checkpoint cannot be read, no call is made.
func TestPastUnreadable(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.companies = 10
	dir := t.TempDir()
	store := openStore(t, dir, unsynced)
	n.addAll(t, store, 0, 45)
	if err := os.Truncate(filepath.Join(dir, "00000002.journal"), 4096+100); err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), store, n.options(45))
	if err != nil {
		t.Fatalf("a ledger with damage before its checkpoint: %v", err)
	}
	defer l.Close() //nolint:errcheck // nothing is at stake
	recorder, err := l.BeginRun(pipeline.RunSpec{ID: "run", Session: 1})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	fetcher := recorder.RecordCalls(fetchFunc(func(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
		asked++
		return n.answer(45, b), nil
	}))
	fetch := func(number, night int) error {
		p := l.Purchases(recorder.Run(), TTL{})
		p.Coverage(t.Context(), n.account(1), n.query(night))
		_, err := fetcher.Fetch(t.Context(), &pipeline.Batch{ID: fmt.Sprintf("%06d", number), Query: n.query(night), Items: []pipeline.Item{{Account: *n.account(1)}}})
		return err
	}
	if err := fetch(1, 45); err != nil || asked != 1 {
		t.Fatalf("a question about the last days: %v, %d calls", err, asked)
	}
	wantStorageStop(t, fetch(2, 2))
	if asked != 1 {
		t.Error("a call was made although it is not known what was bought before")
	}
}

// TestCheckpointKeepsUnsettled: a checkpoint keeps every call that may have been charged without a
// statement of it, whatever was decided about it, with what it can have cost and what it holds, while
// it leaves settled calls of the same nights behind.
func TestCheckpointKeepsUnsettled(t *testing.T) {
	t.Parallel()
	n := manyNights()
	n.companies = 20
	n.lose = func(night int, b *pipeline.Batch) bool { return night < 3 && b.ID == "000001" }
	n.uncharged = func(night, company int) bool { return night == 3 && company == 0 }
	store := openStore(t, t.TempDir(), unsynced)
	n.addAll(t, store, 0, 4)
	l, err := Open(t.Context(), store, n.options(4))
	if err != nil {
		t.Fatal(err)
	}
	inDoubt := l.CallsInDoubt()
	if len(inDoubt) != 3 {
		t.Fatalf("%d calls in doubt, want 3", len(inDoubt))
	}
	for i, d := range []Decision{Retry, WriteOff} {
		if err := l.Recorder(inDoubt[i].Run).RecordDecision(inDoubt[i], d, "test"); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	n.addAll(t, store, 4, 45)

	full, kept := n.open(t, store, 45, true), n.open(t, store, 45, false)
	want := full.Bill().Liability(nil)
	if want.InDoubt.Calls != 1 || want.Retry.Calls != 1 || want.WrittenOff.Calls != 1 || want.UnknownCharge.Calls != 1 || want.MaxCost == 0 {
		t.Fatalf("liability %+v, want one call of each kind", want)
	}
	if diff := cmp.Diff(want, kept.Bill().Liability(nil)); diff != "" {
		t.Errorf("liability (-from all records +from the checkpoint):\n%s", diff)
	}
	if calls := kept.CallsInDoubt(); len(calls) != 1 || calls[0].Run.ID != inDoubt[2].Run.ID || calls[0].ID != inDoubt[2].ID {
		t.Errorf("%d calls in doubt, want %s", len(calls), callName(inDoubt[2]))
	}
	p := kept.Purchases(nil, TTL{})
	if c := p.Coverage(t.Context(), n.account(0), n.query(45)); len(c.RepeatedInDoubt) == 0 {
		t.Error("the call in doubt is not named before its window is bought again")
	}
	if kept.state.past.days == 0 {
		t.Error("the questions read what the checkpoint has left behind")
	}
	for _, r := range kept.Runs()[:4] {
		if len(r.Calls) != 1 || r.CallCount() != 2 {
			t.Errorf("run %s: %d of %d calls kept, want the unsettled one of two", r.ID, len(r.Calls), r.CallCount())
		}
	}
}
