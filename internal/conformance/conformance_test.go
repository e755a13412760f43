package conformance

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// The judge must find what is wrong, or the other tests prove nothing.
func TestProxyFindsViolations(t *testing.T) {
	for name, request := range map[string]struct{ path, body string }{
		"an unknown path":   {"/v3/contacts/nowhere", `{}`},
		"a word as an id":   {"/api/signals/companies", `{"companyIds":["kestrel"],"signals":["riskNews"]}`},
		"an unknown key":    {"/api/signals/companies", `{"companyIds":[1],"signals":["weather"]}`},
		"no entity":         {"/api/signals/contacts", `{"contactIds":[],"signals":["promotion"]}`},
		"too many":          {"/v3/contacts/signals", `{"ids":["1"` + strings.Repeat(`,"1"`, 100) + `],"signalTypes":["promotion"]}`},
		"no types":          {"/v3/contacts/signals", `{"ids":["1"]}`},
		"an hour as a date": {"/v3/contacts/signals", `{"ids":["1"],"signalTypes":["promotion"],"startDate":"2026-02-06T00:00:00Z"}`},
		"a cap of nothing":  {"/v3/contacts/signals", `{"ids":["1"],"signalTypes":["promotion"],"maxResultsPerSignal":0}`},
		"a session's name":  {"/v3/companies/lookalike", `{"seeds":{"domains":["a.example"]},"dedupeSessionId":"mine"}`},
	} {
		t.Run(name, func(t *testing.T) {
			proxy := mock.NewProxy(t)
			var reported []string
			proxy.Report = func(text string) { reported = append(reported, text) }
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, proxy.URL+request.path, strings.NewReader(request.body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			req.Header.Set("api_key", "a-key")
			resp, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if len(reported) == 0 {
				t.Errorf("%s %s was reported as sound", request.path, request.body)
			}
		})
	}
}

// isDescribed reports whether the description has an operation. Ours has all of them;
// another one may lack some.
func isDescribed(t *testing.T, op string) bool {
	t.Helper()
	if operations[op] == nil && os.Getenv("SIGLAKE_OPENAPI") == "" {
		t.Fatalf("%s is not described", op)
	}
	return operations[op] != nil
}

// Whatever the client can ask is a request that the description allows.
func TestRequests(t *testing.T) {
	for _, b := range allBatches() {
		t.Run(b.ID, func(t *testing.T) {
			req, err := signals.NewRequest(b)
			if err != nil {
				t.Fatal(err)
			}
			if !isDescribed(t, req.Endpoint()) {
				return
			}
			proxy := mock.NewProxy(t)
			checkReply(t, proxy, b, fetchBatch(t, proxy, b))
		})
	}
}

// generatedAnswers is how many answers of a kind are made up.
const generatedAnswers = 50

// Whatever the description allows as an answer is read to its last event: found
// under what was asked, or told apart as never asked for.
func TestAnswers(t *testing.T) {
	for op, b := range typicalBatches() {
		t.Run(op, func(t *testing.T) {
			if !isDescribed(t, op) {
				return
			}
			for _, prefer := range successPreferences(op) {
				proxy := mock.NewProxy(t)
				proxy.Prefer, proxy.Reroute = alwaysPrefer(prefer), reroutesOf(op)
				checkReply(t, proxy, b, fetchBatch(t, proxy, b))
			}
			for i := range generatedAnswers {
				proxy := mock.NewProxy(t)
				proxy.Prefer, proxy.Reroute, proxy.AlignEntities = alwaysPrefer(preferGenerated(200, fmt.Sprint(i))), reroutesOf(op), i%2 == 1
				batch := b
				if i%4 == 3 { // what V3 does not filter is filtered here
					q := *b.Query
					filterVariants()["all"](&q)
					batch = withID(&pipeline.Batch{Query: &q, ByID: b.ByID, Items: b.Items}, b.ID+" filtered")
				}
				checkReply(t, proxy, batch, fetchBatch(t, proxy, batch))
			}
		})
	}
}

// successPreferences are the examples of an operation's answers, or one that the mock
// derives.
func successPreferences(op string) (prefer []string) {
	for _, example := range operations[op][200] {
		prefer = append(prefer, preferExample(200, example))
	}
	if prefer == nil {
		prefer = []string{preferExample(200, "")}
	}
	return prefer
}

// classByCode are what the documentation makes of each status code.
var classByCode = map[int]signals.Class{
	400: signals.ClassBadRequest, 401: signals.ClassAuth, 402: signals.ClassCredits, 403: signals.ClassEntitlement, 410: signals.ClassGone,
	429: signals.ClassRateBurst, 451: signals.ClassLegal, 500: signals.ClassServer, 502: signals.ClassServer,
}

// classByLimit are the limits that the examples of a 429 speak of.
var classByLimit = map[string]signals.Class{
	"hour": signals.ClassRateHour, "day": signals.ClassRateDay, "trial": signals.ClassTrial,
}

// refusal is an answer that is not a success, and what it means.
type refusal struct {
	prefer string
	class  signals.Class
}

// listRefusals are all of an operation: each example, and some that the mock makes
// up.
func listRefusals(t *testing.T, op string) (out []refusal) {
	for _, code := range slices.Sorted(maps.Keys(operations[op])) {
		if code/100 == 2 {
			continue
		}
		class, ok := classByCode[code]
		if !ok {
			t.Errorf("%s can answer with %d, of which nobody said what it means", op, code)
			continue
		}
		examples := operations[op][code]
		if len(examples) == 0 {
			examples = []string{""}
		}
		for _, example := range examples {
			r := refusal{prefer: preferExample(code, example), class: class}
			if limit := classByLimit[example]; code == http.StatusTooManyRequests && limit != "" {
				r.class = limit
			}
			out = append(out, r)
		}
		for seed := range 3 {
			if ownDescription { // others leave open what is in an envelope, even that anything is
				out = append(out, refusal{prefer: preferGenerated(code, fmt.Sprint(seed)), class: class})
			}
		}
	}
	return out
}

// Whatever the description has as a refusal is told for what it is: free of
// charge, and nobody's answer.
func TestRefusals(t *testing.T) {
	for op, b := range typicalBatches() {
		t.Run(op, func(t *testing.T) {
			if !isDescribed(t, op) {
				return
			}
			for _, r := range listRefusals(t, op) {
				proxy := mock.NewProxy(t)
				proxy.Prefer, proxy.Reroute = alwaysPrefer(r.prefer), reroutesOf(op)
				reply := fetchBatch(t, proxy, b)
				addTotals(proxy, 0)
				call := &reply.Calls[0]
				if class, _ := signals.RefusalClass(call); class != r.class || call.Outcome != pipeline.NotCharged {
					t.Errorf("%s = %s, %s, want %s, %s\n%s", r.prefer, class, call.Outcome, r.class, pipeline.NotCharged, call.Body)
				}
				for _, item := range reply.Items {
					gone := item.Next != nil && item.Next.SessionExpired
					if item.Status != schema.Deferred || gone != (r.class == signals.ClassGone) || len(reply.Unmatched) > 0 {
						t.Errorf("%s = %+v, want it to be asked again", r.prefer, item)
					}
				}
			}
		})
	}
}

// freeOperations are the operations that cost nothing, each with a question that reaches
// it.
var freeOperations = map[string]struct {
	ask  func(*testing.T, *signals.Client) (any, error)
	read func(doc map[string]any) any // what the question should give; nil: nothing to compare
}{
	"GET /api/signals/filters/{}":          {askOptions(schema.Company), wantOptions},
	"GET /v3/contacts/signals/types":       {askOptionsV3(schema.Contact), wantTypes},
	"GET /v3/companies/signals/types":      {askOptionsV3(schema.Company), wantTypes},
	"GET /v3/companies/signals/filters":    {askOptionsV3(schema.Company), nil},
	"GET /v3/companies/signals/filters/{}": {askOptionsV3(schema.Company), nil},
	"GET /v3/account/usage":                {askUsage, wantRemaining},
	"GET /account/usage":                   {askUsage, wantRemaining},
}

func askOptions(o schema.Object) func(*testing.T, *signals.Client) (any, error) {
	return func(t *testing.T, c *signals.Client) (any, error) {
		if _, err := c.FetchOptions(t.Context(), schema.Contact); err != nil {
			return nil, err
		}
		found, err := c.FetchOptions(t.Context(), o)
		if err != nil {
			return nil, err
		}
		return []any{found.Signals, found.NewsEventTypes, found.Departments, len(found.Locations)}, nil
	}
}

func askOptionsV3(o schema.Object) func(*testing.T, *signals.Client) (any, error) {
	return func(t *testing.T, c *signals.Client) (any, error) {
		found, err := c.FetchOptionsV3(t.Context(), o)
		if err != nil {
			return nil, err
		}
		return found.Signals, nil
	}
}

func askUsage(t *testing.T, c *signals.Client) (any, error) {
	u, err := c.FetchUsage(t.Context())
	if err != nil {
		return nil, err
	}
	return u.Remaining, nil
}

// wantOptions are the keys and filter values that an answer lists.
func wantOptions(doc map[string]any) any {
	filters, _ := doc["filterOptions"].(map[string]any)
	places, _ := filters["hiringByLocations"].([]any)
	return []any{uniqueKeys(doc["signals"]), textsOf(filters["newsEventTypes"]), textsOf(filters["hiringByDepartments"]), len(places)}
}

func wantTypes(doc map[string]any) any { return uniqueKeys(doc["signalTypes"]) }

// uniqueKeys are keys, each once, and without the one that stands for all.
func uniqueKeys(v any) (keys []string) {
	for _, key := range textsOf(v) {
		if key != "allSignals" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func textsOf(v any) (out []string) {
	list, _ := v.([]any)
	for _, one := range list {
		out = append(out, asText(one))
	}
	return out
}

// wantRemaining are the credits that an account has left; -1 when that is no whole
// number, and nil when nothing is said of credits.
func wantRemaining(doc map[string]any) any {
	at, ok := doc["credits"].(map[string]any)
	if use, older := doc["usage"].(map[string]any); older {
		for at, ok = use, true; ; {
			inner, nested := at["credits"].(map[string]any)
			if !nested {
				inner, nested = at["bulkCredits"].(map[string]any)
			}
			if !nested {
				break
			}
			at = inner
		}
	}
	if !ok || at["total"] == nil && at["used"] == nil && at["remaining"] == nil {
		return nil
	}
	c := statedCharge(map[string]any{"creditCharged": at["remaining"]})
	if !c.Known {
		return int64(-1)
	}
	return c.Credits
}

// preferAt makes the newer usage endpoint refuse, so that the older is asked.
func preferAt(op, prefer string) func(string) string {
	return func(path string) string {
		if op == "GET /account/usage" && path == "/v3/account/usage" {
			return preferExample(http.StatusForbidden, "")
		}
		if op == "GET "+path || strings.HasSuffix(op, "{}") && strings.HasPrefix("GET "+path, strings.TrimSuffix(op, "{}")) {
			return prefer
		}
		return preferExample(200, "")
	}
}

// What is free of charge is asked and read in the same way, and repeated when it
// is refused for the moment.
func TestFree(t *testing.T) {
	for op, question := range freeOperations {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			if !isDescribed(t, op) {
				return
			}
			prefers := successPreferences(op)
			for i := range generatedAnswers {
				prefers = append(prefers, preferGenerated(200, fmt.Sprint(i)))
			}
			for _, prefer := range prefers {
				proxy := mock.NewProxy(t)
				proxy.Prefer = preferAt(op, prefer)
				got, err := question.ask(t, newClient(t, proxy))
				addTotals(proxy, 0)
				if question.read == nil {
					if err != nil {
						t.Errorf("%s: %v", prefer, err)
					}
					continue
				}
				want, answer := wantFromAnswer(t, proxy, op, question.read)
				if want == nil && err != nil {
					continue // nothing that could be read
				}
				if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("%s = %v, %v, want %v\n%s", prefer, got, err, want, answer)
				}
			}
		})
	}
}

// wantFromAnswer reads the last answer of an operation.
func wantFromAnswer(t *testing.T, proxy *Proxy, op string, read func(map[string]any) any) (want any, answer []byte) {
	t.Helper()
	for _, x := range proxy.Exchanges() {
		if x.Operation == op {
			answer = x.Answer
		}
	}
	var doc map[string]any
	if err := decodeJSON(answer, &doc); err != nil {
		t.Fatal(err)
	}
	return read(doc), answer
}

// Refusals of what is free; those that may pass are waited for, so all of them
// are met at the same time.
func TestFreeRefusals(t *testing.T) {
	for op, question := range freeOperations {
		for _, r := range listRefusals(t, op) {
			t.Run(op+" "+r.prefer, func(t *testing.T) {
				t.Parallel()
				proxy := mock.NewProxy(t)
				proxy.Prefer = preferAt(op, r.prefer)
				_, err := question.ask(t, newClient(t, proxy))
				addTotals(proxy, 0)
				var refused *signals.RefusalError
				asked := slices.ContainsFunc(proxy.Exchanges(), func(x Exchange) bool { return x.Operation == op && x.Status/100 != 2 })
				switch optional := strings.Contains(op, "/filters") && strings.Contains(op, "/v3/"); {
				case !asked:
					t.Errorf("%s was not asked", op)
				case optional || op == "GET /v3/account/usage" && r.class == signals.ClassEntitlement:
					if err != nil {
						t.Errorf("%v, but there is another way, or none is needed", err)
					}
				case !errors.As(err, &refused) || refused.Class != r.class:
					t.Errorf("%v, want %s", err, r.class)
				}
			})
		}
	}
}

// Nothing of our own description was left out, when all tests ran.
func TestAllOperationsMet(t *testing.T) {
	totals.Lock()
	defer totals.Unlock()
	t.Logf("%d operations, %d requests judged, %d answers decoded, %d events in them",
		len(totals.operations), totals.requests, totals.answers, totals.events)
	if !ownDescription || flag.Lookup("test.run").Value.String() != "" {
		return
	}
	for op := range operations {
		if !totals.operations[op] {
			t.Errorf("%s was never asked", op)
		}
	}
}
