package crosscheck

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// wireFetcher answers each request in the format of its API version, with the given records; Decode
// reads them. So a row is that of a record as the API sends it.
type wireFetcher struct{ t *testing.T }

func (w wireFetcher) Fetch(_ context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	reply := pipeline.NewReply(b, "not decoded")
	reply.Calls = []pipeline.Call{{
		ID: b.ID + "-1", Batch: b.ID, Attempt: 1, Object: b.Query.Object, Endpoint: "POST /signals", Entities: len(b.Items), Types: len(b.Query.ResultTypes()),
		Status: 200, Sent: sentAt, Duration: 1500 * time.Millisecond, Ceiling: b.Ceiling(), Body: []byte(w.answerBody(b)),
	}}
	return reply, nil
}

// answerBody is about the first item of a batch, which has no other.
func (w wireFetcher) answerBody(b *pipeline.Batch) string {
	q, company := b.Query, b.Query.Object == schema.Company
	const window, billing = `"startDate":"2026-02-06","endDate":"2026-05-07"`, `"billing":{"creditsCharged":%d,"resultsReturned":1}`
	switch {
	case q.Service() != pipeline.Signals:
		session := ""
		if q.Service() == pipeline.Lookalikes {
			session = `"dedupeSessionId":"0b7e6a52-35c8-4c1e-9a0f-6d2f0c5b9e11","meta":{"returned":1,"hasMore":false},`
		}
		return fmt.Sprintf(`{%s"results":[%s],`+billing+`}`, session, productRecord(w.t, q), 1)
	case q.APIVersion == pipeline.V2:
		lists, n := w.eventLists(q)
		root, identity := "contacts", `"personId":"40117"`
		if company {
			root, identity = "companies", `"companyId":"50023","companyName":"Kestrel Loom","domain":"kestrelloom.example"`
		}
		return fmt.Sprintf(`{%q:{%q:{%s%s}},%s,"creditCharged":%d}`, root, b.Items[0].Ref, identity, lists, window, n)
	default:
		lists, n := w.eventLists(q)
		identity := `"id":"40117"`
		if company { // requested by a number, known by a token
			identity = `"id":"v1.S2VzdHJlbA","companyName":"Kestrel Loom","domain":"www.kestrelloom.example"`
		}
		return fmt.Sprintf(`{"results":[{%s%s}],%s,`+billing+`}`, identity, lists, window, n)
	}
}

// eventLists are an entity's events, by signal, and their number.
func (w wireFetcher) eventLists(q *pipeline.Query) (text string, n int) {
	for _, key := range q.ResultTypes() {
		records := wireRecords(w.t, key, q.APIVersion)
		text += fmt.Sprintf(",%q:[%s]", key, strings.Join(records, ","))
		n += len(records)
	}
	return text + fmt.Sprintf(",%q:[%s]", uncataloguedKey, `{"signalDate":"2026-05-01","mood":"high"}`), n + 1
}

// wireRecords are the records of a key: one, or two for people in V3, which has its own names of
// the fields, together with those of V2 or alone.
func wireRecords(t *testing.T, key string, dialect pipeline.APIVersion) []string {
	if s, _ := schema.LookupSignal(key); dialect == pipeline.V3 && s.Object == schema.Contact {
		return strings.Split(readRecord(t, key+".v3"), "\n")
	}
	return []string{readRecord(t, key)}
}

// productRecord is the only result of a product.
func productRecord(t *testing.T, q *pipeline.Query) string {
	t.Helper()
	name := map[pipeline.Service]string{pipeline.Search: "search", pipeline.Scores: "score", pipeline.Lookalikes: "lookalike", pipeline.Visits: "visit"}[q.Service()]
	return readRecord(t, filepath.Join("products", string(q.Object)+"-"+name))
}

// buyWireLake fills a lake with the signals of an API version.
func buyWireLake(t *testing.T, dialect pipeline.APIVersion) (string, *pipeline.Manifest) {
	t.Helper()
	lake := t.TempDir()
	queries := map[schema.Object]*pipeline.Query{}
	for _, o := range []schema.Object{schema.Company, schema.Contact} {
		ask := pipeline.SignalsAsk{MaxResults: 5}
		for _, s := range schema.Signals {
			if s.Object == o && (dialect == pipeline.V3 && s.V3 != schema.Absent || dialect == pipeline.V2 && s.V2 != schema.Absent) {
				ask.Types = append(ask.Types, s.Key)
			}
		}
		queries[o] = &pipeline.Query{Object: o, APIVersion: dialect, Ask: ask, Since: "2026-02-06", Until: "2026-05-07"}
	}
	lines := accountList{
		{Key: "crm-1", Object: schema.Company, ID: "50023"},
		{Key: "crm-2", Object: schema.Contact, ID: "40117"},
	}
	m := runWireJob(t, lake, "r1", func(ctx context.Context, r *pipeline.Runner) (*pipeline.Manifest, error) {
		r.Queries = queries
		return r.Run(ctx, lines)
	})
	if m.Accounts.ByStatus[schema.Enriched] != 2 {
		t.Fatalf("statuses %v, want 2 enriched", m.Accounts.ByStatus)
	}
	return lake, m
}

// runWireJob runs one job into a lake.
func runWireJob(t *testing.T, lake, id string, job func(context.Context, *pipeline.Runner) (*pipeline.Manifest, error)) *pipeline.Manifest {
	t.Helper()
	sink, err := sinks.Open(t.Context(), lake, sinks.Options{RunID: id, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	m, err := job(t.Context(), &pipeline.Runner{Fetcher: lusha.Decode(wireFetcher{t}), Sink: sink, Spec: pipeline.RunSpec{ID: id}, BatchSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
	return m
}

// buyProducts buys one of every product, of a company and of a contact.
func buyProducts(t *testing.T, lake, prefix string) (files []pipeline.File) {
	t.Helper()
	company := schema.Account{Key: "crm-1", Object: schema.Company, Domain: "kestrelloom.example"}
	contact := schema.Account{Key: "crm-2", Object: schema.Contact, LinkedIn: "https://www.linkedin.com/in/ida-moen"}
	for _, p := range []struct {
		ask     pipeline.Ask
		product string
		about   schema.Account
	}{
		{pipeline.SearchAsk{}, schema.ProductMatch, company}, {pipeline.SearchAsk{}, schema.ProductMatch, contact},
		{pipeline.ScoreAsk{}, schema.ProductScore, company}, {pipeline.ScoreAsk{}, schema.ProductScore, contact},
		{pipeline.LookalikeAsk{PageSize: 1}, schema.ProductLookalike, schema.Account{Key: "seeds-0f0f0f", ID: "seeds-0f0f0f", Object: schema.Company}},
		{pipeline.LookalikeAsk{PageSize: 1}, schema.ProductLookalike, schema.Account{Key: "seeds-1e1e1e", ID: "seeds-1e1e1e", Object: schema.Contact}},
		{pipeline.VisitsAsk{PageSize: 1}, schema.ProductVisit, schema.Account{Key: "shop.example", ID: "visits of shop.example", Object: schema.Company}},
	} {
		o := p.about.Object
		q := &pipeline.Query{Object: o, APIVersion: pipeline.V3, Ask: p.ask, Since: "2026-05-07", Until: "2026-05-07"}
		if q.Service() == pipeline.Visits {
			q.Since = "2026-04-07"
		}
		p.about.Row = 1
		id := fmt.Sprintf("%s-%s-%s", prefix, strings.ToLower(p.product), o)
		m := runWireJob(t, lake, id, func(ctx context.Context, r *pipeline.Runner) (*pipeline.Manifest, error) {
			r.Queries = map[schema.Object]*pipeline.Query{o: q}
			if !q.Service().IsPaged() {
				return r.Run(ctx, accountList{p.about})
			}
			return r.RunPages(ctx, pipeline.PagedQuery{Query: q, Subject: p.about, Lines: []schema.Account{p.about}, MaxTotal: 1})
		})
		if m.Products[p.product] != 1 || m.Credits.Charged != 1 {
			t.Fatalf("%s: products %v, credits %+v, want one", id, m.Products, m.Credits)
		}
		files = append(files, m.Files...)
	}
	return files
}

// readBoth reads a table with both readers, which must agree.
func readBoth(t *testing.T, d *DuckDB, lake string, files []pipeline.File, table schema.Table) (ducks [][]any) {
	t.Helper()
	arrows := arrowTable(t, lake, &pipeline.Manifest{Files: files}, table)
	if len(arrows) == 0 {
		return nil
	}
	ducks = duckTable(t, d, lake, table)
	if diff := diffRows(arrows, ducks); diff != "" {
		t.Errorf("%s (-Arrow +DuckDB):\n%s", table.Name, diff)
	}
	return ducks
}

// TestGoldenRows reads the rows of every signal key, in both API versions, and compares them with
// golden rows that were checked by hand against the key's records.
func TestGoldenRows(t *testing.T) {
	for dialect, name := range map[pipeline.APIVersion]string{pipeline.V2: "lake-v2.txt", pipeline.V3: "lake-v3.txt"} {
		t.Run(name, func(t *testing.T) {
			lake, m := buyWireLake(t, dialect)
			d := openDuckDB(t)
			blocks := map[string][]string{} // by signal key
			for _, table := range schema.EventTables {
				key, date := table.ColumnIndex("signal_type"), table.ColumnIndex("event_date")
				rows := readBoth(t, d, lake, m.Files, table)
				slices.SortFunc(rows, func(a, b []any) int {
					return cmp.Or(cmp.Compare(fmt.Sprint(a[date]), fmt.Sprint(b[date])), cmp.Compare(fmt.Sprint(a[table.ColumnIndex("object_type")]), fmt.Sprint(b[table.ColumnIndex("object_type")])))
				})
				for _, row := range rows {
					signal := row[key].(string)
					blocks[signal] = append(blocks[signal], formatBlock(fmt.Sprintf("%s (%s)", signal, datasetPath(table)), wantColumns(table), row))
				}
			}
			var b strings.Builder
			for _, s := range append(slices.Clone(schema.Signals), schema.Signal{Key: uncataloguedKey}) {
				want := len(wireRecordsIn(t, s.Key, dialect))
				if got := len(blocks[s.Key]); got != want {
					t.Errorf("%s has %d rows, want %d", s.Key, got, want)
				}
				b.WriteString(strings.Join(blocks[s.Key], ""))
				delete(blocks, s.Key)
			}
			if len(blocks) > 0 {
				t.Errorf("rows of %v, want none", blocks)
			}
			checkGolden(t, name, b.String())
		})
	}
}

// wireRecordsIn are the records of a key, none if an API version lacks the key. A key that is in no
// catalogue has records of a company and of a contact.
func wireRecordsIn(t *testing.T, key string, dialect pipeline.APIVersion) []string {
	s, known := schema.LookupSignal(key)
	switch {
	case !known:
		return make([]string, 2)
	case dialect == pipeline.V2 && s.V2 == schema.Absent:
		return nil
	}
	return wireRecords(t, key, dialect)
}

// TestGoldenProducts does the same for one row of every product.
func TestGoldenProducts(t *testing.T) {
	lake, m := buyWireLake(t, pipeline.V3)
	files := append(buyProducts(t, lake, "p"), m.Files...)
	d := openDuckDB(t)
	var b strings.Builder
	for _, table := range schema.ProductTables {
		rows := readBoth(t, d, lake, files, table)
		described, err := d.DescribeColumns(t.Context(), ScanExpr(lake, datasetPath(table)))
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(described, wantColumns(table)) {
			t.Errorf("DescribeColumns(%s) = %v, want %v", table.Name, described, wantColumns(table))
		}
		want := 2
		if c := schema.Category(table.Name); c == schema.CategoryVisits || c == schema.CategoryAliases {
			want = 1
		}
		if len(rows) != want {
			t.Errorf("%s has %d rows, want %d", table.Name, len(rows), want)
		}
		object := table.ColumnIndex("object_type")
		slices.SortFunc(rows, func(a, b []any) int { return cmp.Compare(a[object].(string), b[object].(string)) })
		for _, row := range rows {
			b.WriteString(formatBlock(fmt.Sprintf("%s of a %s (%s)", table.Name, row[object], datasetPath(table)), wantColumns(table), row))
		}
	}
	checkGolden(t, "products.txt", b.String())
}
