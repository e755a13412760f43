package conformance

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// descriptionVariable names the environment variable for the path of another description, such as
// the vendor's own.
const descriptionVariable = "SIGLAKE_OPENAPI"

var (
	mock       *Mock       // shared by all tests
	operations description // those of the mock's description
	// Whether the description is ours, so that all of it must be covered.
	ownDescription  bool
	descriptionFile string
)

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	file := os.Getenv(descriptionVariable)
	if ownDescription = file == ""; ownDescription {
		file = filepath.Join("..", "..", "testdata", "api", "openapi.yaml")
	}
	descriptionFile = file
	var err error
	if operations, err = readDescription(file); err != nil {
		return 1, err
	}
	if mock, err = StartMock(context.Background(), file); err != nil {
		return 1, err
	}
	// The tests mostly wait, like the client does before it retries.
	if err := flag.Set("test.parallel", "64"); err != nil {
		return 1, err
	}
	code := m.Run()
	_ = mock.Close() // it ends on request, or is killed
	return code, nil
}

// description lists, for every operation, its answers: the names of the examples by status code, if
// there are any.
type description map[string]map[int][]string

var parameter = regexp.MustCompile(`\{[^}]*\}`)

func readDescription(file string) (description, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	type response struct {
		Ref     string `yaml:"$ref"`
		Content map[string]struct{ Examples map[string]any }
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]response
		}
		Components struct{ Responses map[string]response }
	}
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	d := description{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			answers := map[int][]string{}
			for status, r := range op.Responses {
				code, err := strconv.Atoi(status)
				if err != nil {
					return nil, fmt.Errorf("%s: %s %s: status %q", file, method, path, status)
				}
				if name, ok := strings.CutPrefix(r.Ref, "#/components/responses/"); ok {
					r = doc.Components.Responses[name]
				}
				answers[code] = slices.Sorted(maps.Keys(r.Content["application/json"].Examples))
			}
			d[strings.ToUpper(method)+" "+parameter.ReplaceAllString(path, "{}")] = answers
		}
	}
	return d, nil
}

// preferExample requests an example answer, by its name if it has one.
func preferExample(code int, example string) string {
	prefer := "code=" + strconv.Itoa(code)
	if example != "" {
		prefer += ", example=" + example
	}
	return prefer
}

// preferGenerated requests a generated answer; the same seed yields the same answer.
func preferGenerated(code int, seed string) string {
	return fmt.Sprintf("code=%d, dynamic=true, seed=%s", code, seed)
}

// alwaysPrefer prefers the same answer for every path.
func alwaysPrefer(prefer string) func(string) string { return func(string) string { return prefer } }

// newClient makes a client of a proxy. Each has its own rate limit for the usage endpoint.
func newClient(t *testing.T, proxy *Proxy) *lusha.Client {
	t.Helper()
	c, err := lusha.New(lusha.Config{BaseURL: proxy.URL, Key: lusha.NewKey("a-key")})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// fetchBatch fetches and decodes one batch.
func fetchBatch(t *testing.T, proxy *Proxy, b *pipeline.Batch) *pipeline.Reply {
	t.Helper()
	reply, err := lusha.Decode(newClient(t, proxy)).Fetch(t.Context(), b)
	if err != nil || len(reply.Calls) != 1 || len(reply.Items) != len(b.Items) {
		t.Fatalf("Fetch(%s) = %+v, %v, want one call and a reply for each of %d items", b.ID, reply, err, len(b.Items))
	}
	return reply
}

// totals counts what the tests covered, for the log.
var totals struct {
	sync.Mutex
	operations map[string]bool
	requests   int // checked
	answers    int // decoded
	events     int // in the answers
}

// addTotals adds the exchanges of a proxy.
func addTotals(proxy *Proxy, events int) {
	totals.Lock()
	defer totals.Unlock()
	if totals.operations == nil {
		totals.operations = map[string]bool{}
	}
	for _, x := range proxy.Exchanges() {
		totals.operations[x.Operation] = true
		totals.requests++
		totals.answers++
	}
	totals.events += events
}

// expectation is the content of an answer, read with encoding/json and independently of the client.
type expectation struct {
	events   []string // "type JSON", sorted
	statuses []schema.Status
	charge   pipeline.Charge
	session  string
	more     bool
}

// readAnswer reads the answer to a batch.
func readAnswer(t *testing.T, b *pipeline.Batch, answer []byte) (w expectation) {
	t.Helper()
	var doc map[string]any
	if err := decodeJSON(answer, &doc); err != nil {
		t.Fatalf("the mock's answer is not a JSON object: %v\n%s", err, answer)
	}
	for _, entry := range listEntries(doc) {
		n := len(w.events)
		code := ""
		if fault, ok := entry["error"].(map[string]any); ok {
			code = asText(fault["code"])
		}
		switch b.Query.Service() {
		case pipeline.Signals:
			for _, s := range schema.Signals {
				w.addEvents(s.Key, entry[s.Key])
			}
		case pipeline.Search:
			if asText(entry["id"]) != "" && entry["error"] == nil {
				w.addEvents(schema.ProductMatch, entry)
			}
		case pipeline.Scores:
			if entry["signalScore"] != nil || entry["noActiveSignals"] != nil {
				w.addEvents(schema.ProductScore, entry)
			}
		case pipeline.Lookalikes:
			w.addEvents(schema.ProductLookalike, entry)
		case pipeline.Visits:
			w.addEvents(schema.ProductVisit, entry)
		}
		w.statuses = append(w.statuses, wantStatus(b, len(w.events) > n, code))
	}
	slices.Sort(w.events)
	w.charge = statedCharge(doc)
	w.session = asText(doc["dedupeSessionId"])
	if meta, ok := doc["meta"].(map[string]any); ok {
		w.more = meta["hasMore"] == true && len(w.events) > 0
	}
	return w
}

// listEntries returns the entries of an answer about entities, in the order of their keys.
func listEntries(doc map[string]any) (out []map[string]any) {
	var list []any
	for _, root := range []string{"contacts", "companies", "results"} {
		switch at := doc[root].(type) {
		case []any:
			list = append(list, at...)
		case map[string]any:
			for _, key := range slices.Sorted(maps.Keys(at)) {
				list = append(list, at[key])
			}
		}
	}
	for _, one := range list {
		if entry, ok := one.(map[string]any); ok {
			out = append(out, entry)
		}
	}
	return out
}

// addEvents adds the events under a key: a list of them, or a single one.
func (w *expectation) addEvents(key string, value any) {
	list, ok := value.([]any)
	if !ok {
		list = []any{value}
	}
	for _, one := range list {
		if event, ok := one.(map[string]any); ok && (len(event) > 0 || len(list) > 1) {
			raw, _ := json.Marshal(event) // cannot fail: it was JSON
			w.events = append(w.events, key+" "+string(raw))
		}
	}
}

// wantStatus is the documented status of an entry.
func wantStatus(b *pipeline.Batch, bought bool, code string) schema.Status {
	switch service := b.Query.Service(); {
	case bought && service == pipeline.Search:
		return schema.Resolved
	case bought:
		return schema.Enriched
	case code == "":
		return schema.NoSignal
	case code == "COMPLIANCE_RESTRICTED":
		return schema.Restricted
	case code == "NOT_FOUND" || service == pipeline.Signals:
		return schema.NotFound
	case code == "NO_SCORE" && service == pipeline.Scores:
		return schema.NoSignal
	}
	return schema.Deferred
}

func asText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}

// statedCharge is known if all fields that state it agree on one whole number.
func statedCharge(doc map[string]any) (c pipeline.Charge) {
	stated := []any{doc["creditCharged"], doc["creditsCharged"]}
	if billing, ok := doc["billing"].(map[string]any); ok {
		stated = append(stated, billing["creditsCharged"])
	}
	for _, one := range stated {
		if one == nil {
			continue
		}
		number, ok := new(big.Rat).SetString(asText(one))
		if !ok || !number.IsInt() || number.Sign() < 0 || c.Known && c.Credits != number.Num().Int64() {
			return pipeline.Charge{}
		}
		c = pipeline.Charge{Known: true, Credits: number.Num().Int64()}
	}
	return c
}

// checkReply compares a decoded reply with the mock's answer.
func checkReply(t *testing.T, proxy *Proxy, b *pipeline.Batch, reply *pipeline.Reply) {
	t.Helper()
	seen := proxy.Exchanges()
	last := seen[len(seen)-1]
	w, call := readAnswer(t, b, last.Answer), &reply.Calls[0]
	defer addTotals(proxy, len(w.events))
	report := func(what string, got, want any) {
		t.Helper()
		t.Errorf("%s, batch %s: %s = %v, want %v\nanswer: %.4000s", last.Operation, b.ID, what, got, want, last.Answer)
	}
	if call.Status != last.Status || call.Outcome != pipeline.Charged {
		report("call", fmt.Sprintf("status %d, %s: %s", call.Status, call.Outcome, call.Problem), "charged")
		return
	}
	if call.Charge.Text = ""; call.Charge != w.charge {
		report("charge", call.Charge, w.charge)
	}
	var got []string
	var answered []schema.Status
	for i, item := range slices.Concat(reply.Items, reply.Unmatched) {
		for _, e := range slices.Concat(item.Events, item.Filtered) {
			var event map[string]any
			if err := decodeJSON(e.Raw, &event); err != nil {
				report("event", err, "JSON")
			}
			raw, _ := json.Marshal(event) // cannot fail: it was JSON
			got = append(got, e.Type+" "+string(raw))
		}
		if i >= len(b.Items) || !strings.HasPrefix(item.Reason, "not in the answer") {
			answered = append(answered, item.Status)
		}
		if len(item.Filtered) > 0 && len(item.Events) == 0 {
			answered[len(answered)-1] = schema.Enriched // apart from the filters
		}
	}
	slices.Sort(got)
	if diff := cmp.Diff(w.events, got); diff != "" {
		report("events (-want +got)", diff, "all of them, once")
	}
	if b.Query.Service().IsPaged() {
		next := reply.Items[0].Next
		if next == nil || next.Session != w.session || b.Query.Service() == pipeline.Lookalikes && next.HasMore != w.more {
			report("next page", fmt.Sprintf("%+v", next), fmt.Sprintf("session %q, more %t", w.session, w.more))
		}
		return
	}
	slices.Sort(answered)
	slices.Sort(w.statuses)
	if !slices.Equal(answered, w.statuses) {
		report("fates", answered, w.statuses)
	}
}
