package ledger

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/forecast"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
)

// goldenRecords holds one file per record, as the build of commit 16ee196
// encoded it (those with a letter were added with their field or kind):
//
//	kind 4
//	the head
//	the body before compression, if there is one; identities in hexadecimal
//
// Together they set every field of every type that a record contains, and have every kind of
// query in every API version. The files named "least" hold as little as a record can. Never
// regenerate them: ledgers on disk hold the same bytes, and a query is recognised by its
// bytes.
const goldenRecords = "testdata/records"

// goldenRecord is one of these files.
type goldenRecord struct {
	name string
	kind kind
	head []byte
	body []byte // not compressed, and not in hexadecimal
}

func readGoldenRecords(t *testing.T) (all []goldenRecord) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(goldenRecords, "*.txt"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		r := goldenRecord{name: strings.TrimSuffix(filepath.Base(file), ".txt")}
		lines := bytes.SplitN(text, []byte("\n"), 3)
		if _, err := fmt.Sscanf(string(lines[0]), "kind %d", &r.kind); err != nil || len(lines) != 3 {
			t.Fatalf("%s: %v", file, err)
		}
		r.head, r.body = lines[1], bytes.TrimSuffix(lines[2], []byte("\n"))
		switch r.kind {
		case kindCharged, kindNotCharged, kindInDoubt, kindReread:
			if r.body, err = hex.DecodeString(string(r.body)); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		}
		all = append(all, r)
	}
	return all
}

// stored is the body as stored.
func (r *goldenRecord) stored() []byte {
	switch r.kind {
	case kindIntent, kindResponse, kindPiece, kindLines, kindPrepare:
		return compressBody(r.body)
	}
	return r.body
}

// recode decodes JSON into a T and encodes it again, and notes which fields
// were set.
func recode[T any](set map[string]bool) func([]byte) ([]byte, error) {
	return func(text []byte) ([]byte, error) {
		var v T
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(&v); err != nil {
			return nil, err
		}
		noteSet(reflect.ValueOf(v), set)
		return json.Marshal(v)
	}
}

// noteSet notes for every field of a struct, by type and name, whether it was ever set.
func noteSet(v reflect.Value, set map[string]bool) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			noteSet(v.Elem(), set)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			noteSet(v.Index(i), set)
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			noteSet(v.MapIndex(key), set)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			f := v.Type().Field(i)
			if !f.IsExported() && !f.Anonymous || f.Tag.Get("json") == "-" {
				continue
			}
			name := v.Type().String() + "." + f.Name
			set[name] = set[name] || !v.Field(i).IsZero()
			noteSet(v.Field(i), set)
		}
	}
}

// TestRecordGolden: golden records are decoded, and encode to the same bytes.
func TestRecordGolden(t *testing.T) {
	set := map[string]bool{}
	heads := map[kind]func([]byte) ([]byte, error){
		kindRun: recode[pipeline.RunSpec](set), kindQuery: recode[queryRecord](set), kindIntent: recode[intentRecord](set), kindResponse: recode[responseRecord](set), kindPiece: recode[callHead](set),
		kindCharged: recode[outcomeRecord](set), kindNotCharged: recode[outcomeRecord](set), kindInDoubt: recode[outcomeRecord](set),
		kindDecision: recode[decisionRecord](set), kindReconciliation: recode[reconciliationRecord](set), kindLines: recode[linesRecord](set),
		kindPrepare: recode[prepareRecord](set), kindCommit: recode[Commit](set), kindReread: recode[rereadRecord](set), kindPrune: recode[PruneRecord](set),
		kindRepartition: recode[repartitionRecord](set), kindErasure: recode[Erasure](set),
	}
	bodies := map[kind]func([]byte) ([]byte, error){
		kindIntent: recode[[]pipeline.Item](set), kindLines: recode[[]pipeline.Line](set), kindPrepare: recode[*pipeline.Manifest](set),
	}
	met := map[kind]bool{}
	for _, r := range readGoldenRecords(t) {
		met[r.kind] = true
		t.Run(r.name, func(t *testing.T) {
			sameBytes(t, "head", r.head, heads[r.kind])
			if bodies[r.kind] != nil {
				sameBytes(t, "body", r.body, bodies[r.kind])
			}
		})
	}
	for k := range heads {
		if !met[k] {
			t.Errorf("no golden record of kind %d", k)
		}
	}
	for field, was := range set {
		if !was {
			t.Errorf("no golden record sets %s", field)
		}
	}
}

func sameBytes(t *testing.T, part string, want []byte, recode func([]byte) ([]byte, error)) {
	t.Helper()
	got, err := recode(want)
	if err != nil {
		t.Errorf("%s: %v: %s", part, err, want)
		return
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s encoded again (-golden +now):\n%s", part, cmp.Diff(spread(want), spread(got)))
	}
}

// spread puts every member on its own line, for a comparison.
func spread(text []byte) string { return strings.ReplaceAll(string(text), ",", ",\n") }

// TestRecordGoldenFresh: new values encode to the golden bytes.
func TestRecordGoldenFresh(t *testing.T) {
	const run, earlier, why = "20261129T230102Z-0badcafe", "20261128T230102Z-deadbeef", "Why é <&>"
	at := func(micro int) time.Time { return time.Date(2026, 11, 29, 23, 1, 2, 345000000+micro*1000, time.UTC) }
	fresh := map[string]any{
		"resolved-released":    decisionRecord{Run: run, Call: "000005-1", Decision: Retry, Reason: why, Time: at(137)},
		"resolved-not_charged": decisionRecord{Run: run, Call: "000005-1", Decision: NotCharged, Reason: why, Time: at(138)},
		"resolved-accept_loss": decisionRecord{Run: run, Call: "000005-1", Decision: WriteOff, Reason: why, Time: at(139)},
		"reading":              reconciliationRecord{From: run, MaxCost: 140, Reason: why, Time: at(141)},
		"lines":                linesRecord{Run: run, Session: 2, Lines: 2},
		"prepare":              prepareRecord{Run: run, Files: 270, Time: at(271)},
		"not-sent":             outcomeRecord{callHead: callHead{run, "000006+0.1-1"}, Problem: "not sent"},
		"response-least":       responseRecord{callHead: callHead{run, "000002-1"}, Outcome: pipeline.NotCharged},
		"charged-unknown":      outcomeRecord{callHead: callHead{run, "000003-1"}, Events: map[string]forecast.Moments{}, Total: new(forecast.Moments)},
		"commit-totals": Commit{
			Run: earlier, Generation: 1, Outcome: pipeline.RunComplete, Time: at(276),
			Totals: &Totals{Lines: 145, Calls: 146, RateLimited: 147, Credits: 148, Events: 149, Stop: pipeline.StopClosed, Excess: 150},
		},
		"commit-least": Commit{Run: earlier, Generation: 1, Outcome: pipeline.RunComplete, Time: at(276)},
	}
	for _, r := range readGoldenRecords(t) {
		name := r.name[len("00-"):]
		v, ok := fresh[name]
		if !ok {
			continue
		}
		delete(fresh, name)
		got, err := json.Marshal(v)
		if err != nil || !bytes.Equal(got, r.head) {
			t.Errorf("%s: %v (-golden +now):\n%s", name, err, cmp.Diff(spread(r.head), spread(got)))
		}
	}
	for name := range fresh {
		t.Errorf("no golden record is called %s", name)
	}
}

// TestRecordGoldenJournal: a ledger of the golden records opens to their content, and a new
// ledger writes this content as the same records.
func TestRecordGoldenJournal(t *testing.T) {
	records := readGoldenRecords(t)
	dir := t.TempDir()
	l, err := wal.Open(t.Context(), openStore(t, dir, nil), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range records {
		if _, err := l.Append(byte(r.kind), r.head, r.stored()); err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}

	j, err := Open(t.Context(), openStore(t, dir, nil), Options{Decode: decodeTest, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	var calls []string
	for _, r := range j.Runs() {
		for _, c := range r.Calls {
			calls = append(calls, fmt.Sprintf("%s: %s, %+v, %s", c.ID, c.Outcome, c.Charge, c.Decision))
		}
	}
	want := []string{
		"000001-1: charged, {Known:true Credits:127 Text:}, ", "000002-1: not_charged, {Known:false Credits:0 Text:}, ", "000003-1: charged, {Known:false Credits:0 Text:}, ",
		"000004-1: ambiguous, {Known:false Credits:0 Text:}, ", "000005-1: ambiguous, {Known:false Credits:0 Text:}, accept_loss", "000006+0.1-1: not_charged, {Known:false Credits:0 Text:}, ",
		"000007-1: charged, {Known:true Credits:142 Text:}, ",
	}
	if diff := cmp.Diff(want, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if n := len(j.CallsInDoubt()); len(j.Runs()) != 4 || n != 1 {
		t.Fatalf("%d runs, %d calls in doubt; want 4, 1", len(j.Runs()), n)
	}

	dir = t.TempDir()
	again, err := Open(t.Context(), openStore(t, dir, nil), Options{Decode: decodeTest})
	if err != nil {
		t.Fatal(err)
	}
	var written [][]byte // heads, in the order of writing
	for _, r := range records {
		switch r.kind {
		case kindRun:
			err = decodeHead(r.head, func(b *pipeline.RunSpec) error {
				_, err := again.BeginRun(*b)
				return err
			})
		case kindQuery:
			err = decodeHead(r.head, func(q *queryRecord) error {
				n, err := again.queries.ensure(&q.Query)
				if err == nil && n != q.Number {
					err = fmt.Errorf("it has the number %d now", n)
				}
				return err
			})
		default:
			continue
		}
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		written = append(written, r.head)
	}
	for _, r := range records { // known by their bytes, so not written twice
		if r.kind == kindQuery {
			err := decodeHead(r.head, func(q *queryRecord) error {
				n, err := again.queries.ensure(&q.Query)
				if err == nil && n != q.Number {
					err = fmt.Errorf("its number is %d the second time", n)
				}
				return err
			})
			if err != nil {
				t.Errorf("%s: %v", r.name, err)
			}
		}
	}
	if err := again.Close(); err != nil { // which makes all of it durable
		t.Fatal(err)
	}
	if l, err = wal.Open(t.Context(), openStore(t, dir, nil), wal.Options{ReadOnly: true}); err != nil {
		t.Fatal(err)
	}
	var heads [][]byte
	err = l.Walk(t.Context(), false, func(_ wal.Position, _ byte, head []byte, _ int64) error {
		heads = append(heads, bytes.Clone(head))
		return nil
	})
	if err = errors.Join(err, l.Close()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(written, heads); diff != "" {
		t.Errorf("heads that a new journal wrote (-golden +now):\n%s", diff)
	}
}

// TestRecordGoldenBodies: the ledger's methods read the bodies of the golden records.
func TestRecordGoldenBodies(t *testing.T) {
	ctx := context.Background()
	records := readGoldenRecords(t)
	dir := t.TempDir()
	l, err := wal.Open(ctx, openStore(t, dir, nil), wal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bodies := map[kind][][]byte{}
	for _, r := range records {
		if _, err := l.Append(byte(r.kind), r.head, r.stored()); err != nil {
			t.Fatal(err)
		}
		bodies[r.kind] = append(bodies[r.kind], r.body)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	j, err := Open(ctx, openStore(t, dir, nil), Options{Decode: decodeTest, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	compare := func(what string, want []byte, v any, err error) {
		t.Helper()
		got, encodeErr := json.Marshal(v)
		if err != nil || encodeErr != nil || !bytes.Equal(want, got) {
			t.Errorf("%s: %v, %v (-golden +now):\n%s", what, err, encodeErr, cmp.Diff(spread(want), spread(got)))
		}
	}
	for i, c := range j.state.calls {
		items, err := j.Reader().CallItems(ctx, c)
		compare("items of "+c.ID, bodies[kindIntent][i], items, err)
	}
	for i, id := range []int{1, 0} { // the golden records begin with the later run's, which was prepared ten times
		m, err := j.Reader().PreparedManifest(ctx, j.Runs()[id])
		compare("manifest", bodies[kindPrepare][9+i], m, err)
	}
	kept := []pipeline.Line{}
	for line, err := range j.Reader().Lines(ctx, j.Runs()[1]) {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, line)
	}
	compare("lines", bodies[kindLines][0], kept, nil)
}
