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
func TestJudgeFindsViolations(t *testing.T) {
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
			j := mock.Judge(t)
			var reported []string
			j.Report = func(text string) { reported = append(reported, text) }
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, j.URL+request.path, strings.NewReader(request.body))
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

// judged reports whether the description has an operation. Ours has all of them;
// another one may lack some.
func judged(t *testing.T, op string) bool {
	t.Helper()
	if described[op] == nil && os.Getenv("SIGLAKE_OPENAPI") == "" {
		t.Fatalf("%s is not described", op)
	}
	return described[op] != nil
}

// Whatever the client can ask is a request that the description allows.
func TestRequests(t *testing.T) {
	for _, b := range everything() {
		t.Run(b.ID, func(t *testing.T) {
			req, err := signals.RequestFor(b)
			if err != nil {
				t.Fatal(err)
			}
			if !judged(t, req.Endpoint()) {
				return
			}
			j := mock.Judge(t)
			check(t, j, b, fetch(t, j, b))
		})
	}
}

// seeds is how many answers of a kind are made up.
const seeds = 50

// Whatever the description allows as an answer is read to its last event: found
// under what was asked, or told apart as never asked for.
func TestAnswers(t *testing.T) {
	for op, b := range typical() {
		t.Run(op, func(t *testing.T) {
			if !judged(t, op) {
				return
			}
			for _, prefer := range successes(op) {
				j := mock.Judge(t)
				j.Prefer, j.Reroute = always(prefer), reroutes(op)
				check(t, j, b, fetch(t, j, b))
			}
			for i := range seeds {
				j := mock.Judge(t)
				j.Prefer, j.Reroute, j.Aim = always(invented(200, fmt.Sprint(i))), reroutes(op), i%2 == 1
				asked := b
				if i%4 == 3 { // what V3 does not filter is filtered here
					q := *b.Query
					filters()["all"](&q)
					asked = named(&pipeline.Batch{Query: &q, ByID: b.ByID, Items: b.Items}, b.ID+" filtered")
				}
				check(t, j, asked, fetch(t, j, asked))
			}
		})
	}
}

// successes are the examples of an operation's answers, or one that the mock
// derives.
func successes(op string) (prefer []string) {
	for _, example := range described[op][200] {
		prefer = append(prefer, plain(200, example))
	}
	if prefer == nil {
		prefer = []string{plain(200, "")}
	}
	return prefer
}

// classes are what the documentation makes of each status code.
var classes = map[int]signals.Class{
	400: signals.ClassBadRequest, 401: signals.ClassAuth, 402: signals.ClassCredits, 403: signals.ClassEntitlement, 410: signals.ClassGone,
	429: signals.ClassRateBurst, 451: signals.ClassLegal, 500: signals.ClassServer, 502: signals.ClassServer,
}

// exhausted are the limits that the examples of a 429 speak of.
var exhausted = map[string]signals.Class{
	"hour": signals.ClassRateHour, "day": signals.ClassRateDay, "trial": signals.ClassTrial,
}

// refusal is an answer that is not a success, and what it means.
type refusal struct {
	prefer string
	class  signals.Class
}

// refusals are all of an operation: each example, and some that the mock makes
// up.
func refusals(t *testing.T, op string) (out []refusal) {
	for _, code := range slices.Sorted(maps.Keys(described[op])) {
		if code/100 == 2 {
			continue
		}
		class, ok := classes[code]
		if !ok {
			t.Errorf("%s can answer with %d, of which nobody said what it means", op, code)
			continue
		}
		examples := described[op][code]
		if len(examples) == 0 {
			examples = []string{""}
		}
		for _, example := range examples {
			r := refusal{prefer: plain(code, example), class: class}
			if limit := exhausted[example]; code == http.StatusTooManyRequests && limit != "" {
				r.class = limit
			}
			out = append(out, r)
		}
		for seed := range 3 {
			if whole { // others leave open what is in an envelope, even that anything is
				out = append(out, refusal{prefer: invented(code, fmt.Sprint(seed)), class: class})
			}
		}
	}
	return out
}

// Whatever the description has as a refusal is told for what it is: free of
// charge, and nobody's answer.
func TestRefusals(t *testing.T) {
	for op, b := range typical() {
		t.Run(op, func(t *testing.T) {
			if !judged(t, op) {
				return
			}
			for _, r := range refusals(t, op) {
				j := mock.Judge(t)
				j.Prefer, j.Reroute = always(r.prefer), reroutes(op)
				reply := fetch(t, j, b)
				count(j, 0)
				call := &reply.Calls[0]
				if class, _ := signals.RefusalOf(call); class != r.class || call.Outcome != pipeline.NotCharged {
					t.Errorf("%s = %s, %s, want %s, %s\n%s", r.prefer, class, call.Outcome, r.class, pipeline.NotCharged, call.Body)
				}
				for _, item := range reply.Items {
					gone := item.Next != nil && item.Next.Gone
					if item.Status != schema.Deferred || gone != (r.class == signals.ClassGone) || len(reply.Strays) > 0 {
						t.Errorf("%s = %+v, want it to be asked again", r.prefer, item)
					}
				}
			}
		})
	}
}

// free are the operations that cost nothing, each with a question that reaches
// it.
var free = map[string]struct {
	ask  func(*testing.T, *signals.Client) (any, error)
	read func(doc map[string]any) any // what the question should give; nil: nothing to compare
}{
	"GET /api/signals/filters/{}":          {options(schema.Company), offered},
	"GET /v3/contacts/signals/types":       {optionsV3(schema.Contact), types},
	"GET /v3/companies/signals/types":      {optionsV3(schema.Company), types},
	"GET /v3/companies/signals/filters":    {optionsV3(schema.Company), nil},
	"GET /v3/companies/signals/filters/{}": {optionsV3(schema.Company), nil},
	"GET /v3/account/usage":                {usage, remaining},
	"GET /account/usage":                   {usage, remaining},
}

func options(o schema.Object) func(*testing.T, *signals.Client) (any, error) {
	return func(t *testing.T, c *signals.Client) (any, error) {
		if _, err := c.Options(t.Context(), schema.Contact); err != nil {
			return nil, err
		}
		found, err := c.Options(t.Context(), o)
		if err != nil {
			return nil, err
		}
		return []any{found.Signals, found.NewsEventTypes, found.Departments, len(found.Locations)}, nil
	}
}

func optionsV3(o schema.Object) func(*testing.T, *signals.Client) (any, error) {
	return func(t *testing.T, c *signals.Client) (any, error) {
		found, err := c.OptionsV3(t.Context(), o)
		if err != nil {
			return nil, err
		}
		return found.Signals, nil
	}
}

func usage(t *testing.T, c *signals.Client) (any, error) {
	u, err := c.Usage(t.Context())
	if err != nil {
		return nil, err
	}
	return u.Remaining, nil
}

// offered are the keys and filter values that an answer lists.
func offered(doc map[string]any) any {
	filters, _ := doc["filterOptions"].(map[string]any)
	places, _ := filters["hiringByLocations"].([]any)
	return []any{listed(doc["signals"]), all(filters["newsEventTypes"]), all(filters["hiringByDepartments"]), len(places)}
}

func types(doc map[string]any) any { return listed(doc["signalTypes"]) }

// listed are keys, each once, and without the one that stands for all.
func listed(v any) (keys []string) {
	for _, key := range all(v) {
		if key != "allSignals" && !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

func all(v any) (out []string) {
	list, _ := v.([]any)
	for _, one := range list {
		out = append(out, text(one))
	}
	return out
}

// remaining are the credits that an account has left; -1 when that is no whole
// number, and nil when nothing is said of credits.
func remaining(doc map[string]any) any {
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
	c := charge(map[string]any{"creditCharged": at["remaining"]})
	if !c.Known {
		return int64(-1)
	}
	return c.Credits
}

// detour makes the newer usage endpoint refuse, so that the older is asked.
func detour(op, prefer string) func(string) string {
	return func(path string) string {
		if op == "GET /account/usage" && path == "/v3/account/usage" {
			return plain(http.StatusForbidden, "")
		}
		if op == "GET "+path || strings.HasSuffix(op, "{}") && strings.HasPrefix("GET "+path, strings.TrimSuffix(op, "{}")) {
			return prefer
		}
		return plain(200, "")
	}
}

// What is free of charge is asked and read in the same way, and repeated when it
// is refused for the moment.
func TestFree(t *testing.T) {
	for op, question := range free {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			if !judged(t, op) {
				return
			}
			prefers := successes(op)
			for i := range seeds {
				prefers = append(prefers, invented(200, fmt.Sprint(i)))
			}
			for _, prefer := range prefers {
				j := mock.Judge(t)
				j.Prefer = detour(op, prefer)
				got, err := question.ask(t, client(t, j))
				count(j, 0)
				if question.read == nil {
					if err != nil {
						t.Errorf("%s: %v", prefer, err)
					}
					continue
				}
				want, answer := answered(t, j, op, question.read)
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

// answered reads the last answer of an operation.
func answered(t *testing.T, j *Judge, op string, read func(map[string]any) any) (want any, answer []byte) {
	t.Helper()
	for _, x := range j.Seen() {
		if x.Operation == op {
			answer = x.Answer
		}
	}
	var doc map[string]any
	if err := decode(answer, &doc); err != nil {
		t.Fatal(err)
	}
	return read(doc), answer
}

// Refusals of what is free; those that may pass are waited for, so all of them
// are met at the same time.
func TestFreeRefusals(t *testing.T) {
	for op, question := range free {
		for _, r := range refusals(t, op) {
			t.Run(op+" "+r.prefer, func(t *testing.T) {
				t.Parallel()
				j := mock.Judge(t)
				j.Prefer = detour(op, r.prefer)
				_, err := question.ask(t, client(t, j))
				count(j, 0)
				var refused *signals.RefusalError
				asked := slices.ContainsFunc(j.Seen(), func(x Exchange) bool { return x.Operation == op && x.Status/100 != 2 })
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
func TestWhole(t *testing.T) {
	tally.Lock()
	defer tally.Unlock()
	t.Logf("%d operations, %d requests judged, %d answers decoded, %d events in them",
		len(tally.operations), tally.requests, tally.answers, tally.events)
	if !whole || flag.Lookup("test.run").Value.String() != "" {
		return
	}
	for op := range described {
		if !tally.operations[op] {
			t.Errorf("%s was never asked", op)
		}
	}
}
