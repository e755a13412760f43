package conformance

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// The proxy must find violations, or the other tests prove nothing.
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
				t.Errorf("%s %s: no violation reported, want one", request.path, request.body)
			}
		})
	}
}

// isDescribed reports whether the description has an operation. Our own description has all of
// them; another one may not.
func isDescribed(t *testing.T, op string) bool {
	t.Helper()
	if operations[op] == nil && os.Getenv("SIGLAKE_OPENAPI") == "" {
		t.Fatalf("%s is not described", op)
	}
	return operations[op] != nil
}

// Every request that the client can make is one that the description allows.
func TestRequests(t *testing.T) {
	for _, b := range allBatches() {
		t.Run(b.ID, func(t *testing.T) {
			req, err := lusha.NewRequest(b)
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

// generatedAnswers is the number of generated answers of each kind.
const generatedAnswers = 50

// Every answer that the description allows is read to its last event: an event belongs to a
// requested entity, or is reported as unmatched.
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
				if i%4 == 3 { // the client applies the filters that V3 does not
					q := *b.Query
					changeSignals(&q, filterVariants()["all"])
					batch = withID(&pipeline.Batch{Query: &q, ByID: b.ByID, Items: b.Items}, b.ID+" filtered")
				}
				checkReply(t, proxy, batch, fetchBatch(t, proxy, batch))
			}
		})
	}
}

// successPreferences are the examples of an operation's answers, or one that the mock derives.
func successPreferences(op string) (prefer []string) {
	for _, example := range operations[op][200] {
		prefer = append(prefer, preferExample(200, example))
	}
	if prefer == nil {
		prefer = []string{preferExample(200, "")}
	}
	return prefer
}

// classByCode is the documented meaning of each status code.
var classByCode = map[int]lusha.Class{
	400: lusha.ClassBadRequest, 401: lusha.ClassAuth, 402: lusha.ClassCredits, 403: lusha.ClassEntitlement, 410: lusha.ClassGone,
	429: lusha.ClassRateBurst, 451: lusha.ClassLegal, 500: lusha.ClassServer, 502: lusha.ClassServer,
}

// classByLimit are the limits named by the examples of a 429.
var classByLimit = map[string]lusha.Class{
	"hour": lusha.ClassRateHour, "day": lusha.ClassRateDay, "trial": lusha.ClassTrial,
}

// refusal is an answer that is not a success, with its meaning.
type refusal struct {
	prefer string
	class  lusha.Class
}

// listRefusals lists the refusals of an operation: each example, and some that the mock generates.
func listRefusals(t *testing.T, op string) (out []refusal) {
	for _, code := range slices.Sorted(maps.Keys(operations[op])) {
		if code/100 == 2 {
			continue
		}
		class, ok := classByCode[code]
		if !ok {
			t.Errorf("%s can answer with %d, which has no documented meaning", op, code)
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
			if ownDescription { // other descriptions do not specify the content of an envelope
				out = append(out, refusal{prefer: preferGenerated(code, fmt.Sprint(seed)), class: class})
			}
		}
	}
	return out
}

// Every refusal in the description is classified correctly: it is free, and answers no item.
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
				if class, _ := lusha.RefusalClass(call); class != r.class || call.Outcome != pipeline.NotCharged {
					t.Errorf("%s = %s, %s, want %s, %s\n%s", r.prefer, class, call.Outcome, r.class, pipeline.NotCharged, call.Body)
				}
				for _, item := range reply.Items {
					gone := item.Next != nil && item.Next.SessionExpired
					if item.Status != schema.Deferred || gone != (r.class == lusha.ClassGone) || len(reply.Unmatched) > 0 {
						t.Errorf("%s = %+v, want it deferred", r.prefer, item)
					}
				}
			}
		})
	}
}

// freeOperations are the free operations, each with a function that calls it.
var freeOperations = map[string]struct {
	ask func(*testing.T, *lusha.Client) (any, error)
	// The expected result, read from an answer; nil: nothing to compare.
	read func(doc map[string]any) any
}{
	"GET /api/signals/filters/{}":          {askOptions(schema.Company), wantOptions},
	"GET /v3/contacts/signals/types":       {askOptionsV3(schema.Contact), wantTypes},
	"GET /v3/companies/signals/types":      {askOptionsV3(schema.Company), wantTypes},
	"GET /v3/companies/signals/filters":    {askOptionsV3(schema.Company), nil},
	"GET /v3/companies/signals/filters/{}": {askOptionsV3(schema.Company), nil},
	"GET /v3/account/usage":                {askUsage, wantRemaining},
	"GET /account/usage":                   {askUsage, wantRemaining},
}

func askOptions(o schema.Object) func(*testing.T, *lusha.Client) (any, error) {
	return func(t *testing.T, c *lusha.Client) (any, error) {
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

func askOptionsV3(o schema.Object) func(*testing.T, *lusha.Client) (any, error) {
	return func(t *testing.T, c *lusha.Client) (any, error) {
		found, err := c.FetchOptionsV3(t.Context(), o)
		if err != nil {
			return nil, err
		}
		return found.Signals, nil
	}
}

func askUsage(t *testing.T, c *lusha.Client) (any, error) {
	u, err := c.FetchUsage(t.Context())
	if err != nil {
		return nil, err
	}
	return u.Remaining, nil
}

// wantOptions are the keys and filter values listed in an answer.
func wantOptions(doc map[string]any) any {
	filters, _ := doc["filterOptions"].(map[string]any)
	places, _ := filters["hiringByLocations"].([]any)
	return []any{uniqueKeys(doc["signals"]), textsOf(filters["newsEventTypes"]), textsOf(filters["hiringByDepartments"]), len(places)}
}

func wantTypes(doc map[string]any) any { return uniqueKeys(doc["signalTypes"]) }

// uniqueKeys returns each key once, without the key that stands for all.
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

// wantRemaining are the remaining credits of an account; -1 if they are not a whole number, nil if
// the answer has no credits.
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

// preferAt makes the newer usage endpoint refuse, so that the client calls the older one.
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

// Free operations are called and read in the same way, and repeated after a temporary refusal.
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
					continue // nothing readable
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

// Refusals of free operations. The client waits after temporary ones, so all run concurrently.
func TestFreeRefusals(t *testing.T) {
	for op, question := range freeOperations {
		for _, r := range listRefusals(t, op) {
			t.Run(op+" "+r.prefer, func(t *testing.T) {
				t.Parallel()
				proxy := mock.NewProxy(t)
				proxy.Prefer = preferAt(op, r.prefer)
				_, err := question.ask(t, newClient(t, proxy))
				addTotals(proxy, 0)
				var refused *lusha.RefusalError
				asked := slices.ContainsFunc(proxy.Exchanges(), func(x Exchange) bool { return x.Operation == op && x.Status/100 != 2 })
				switch optional := strings.Contains(op, "/filters") && strings.Contains(op, "/v3/"); {
				case !asked:
					t.Errorf("%s was not called", op)
				case optional || op == "GET /v3/account/usage" && r.class == lusha.ClassEntitlement:
					if err != nil {
						t.Errorf("%v, want no error: the client has an alternative, or needs none", err)
					}
				case !errors.As(err, &refused) || refused.Class != r.class:
					t.Errorf("%v, want %s", err, r.class)
				}
			})
		}
	}
}
