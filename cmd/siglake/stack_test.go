package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/internal/ratelimit"
	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// scriptedReply is what becomes of one request. Failures come in pairs: the same
// sight for the client, once billed and once not.
type scriptedReply struct {
	status int    // 0: no answer
	body   string // empty under 200: a good answer about every company asked for
	header [2]string
	unsent bool
	billed bool // good answers always are
}

var (
	reply200      = scriptedReply{status: 200}
	reply500      = scriptedReply{status: 500, body: `{"statusCode":500,"message":"try later"}`}
	lostCharged   = scriptedReply{billed: true} // charged, not delivered
	lostUncharged = scriptedReply{}             // not charged, and looks the same
	unsent        = scriptedReply{unsent: true} // not charged, provably
	truncated200  = scriptedReply{status: 200, body: `{"companies":{"1001":{`, billed: true}
	html502       = scriptedReply{status: 502, body: `<html>bad gateway</html>`, billed: true}
	burst429      = scriptedReply{status: 429, body: `{"statusCode":429,"message":"slow down"}`}
	burstUnder200 = scriptedReply{status: 200, body: burst429.body}
	hourly429     = scriptedReply{status: 429, body: `{"statusCode":429,"message":"hourly limit hit. Reset in 600 seconds"}`}
	daily429      = scriptedReply{status: 429, body: `{"statusCode":429,"message":"daily limit hit"}`}
	trial429      = scriptedReply{status: 429, body: `{"statusCode":429,"message":"trial requests are used up"}`}
	noCredits402  = scriptedReply{status: 402, body: `{"statusCode":402,"message":"not enough credits"}`}
	noMatch404    = scriptedReply{status: 404, body: `{"statusCode":404,"message":"no match"}`}
	html403       = scriptedReply{status: 403, body: `<html>blocked</html>`, billed: true}
	badItem400    = scriptedReply{status: 400, body: `{"statusCode":400,"message":"bad field"}`}
	restricted451 = scriptedReply{status: 451, body: `{"statusCode":451,"message":"restricted"}`}
	reply418      = scriptedReply{status: 418, body: `{"statusCode":418,"message":"no coffee"}`}
	emptyCharged  = scriptedReply{status: 200, body: `{"companies":{},"creditCharged":0}`, billed: true}
)

// scriptedNet is a network that plays weather, then is fair.
type scriptedNet struct {
	mu     sync.Mutex
	script []scriptedReply
	sent   []time.Time
	billed map[json.Number]int // by company: requests that were billed for it
}

func (s *scriptedNet) RoundTrip(r *http.Request) (*http.Response, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := reply200
	if len(s.script) > 0 {
		now, s.script = s.script[0], s.script[1:]
	}
	s.sent = append(s.sent, time.Now())
	var asked struct{ CompanyIDs []json.Number }
	if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
		return nil, err
	}
	good := now.status == 200 && now.body == ""
	if now.billed || good {
		for _, id := range asked.CompanyIDs {
			s.billed[id]++
		}
	}
	if now.unsent {
		httptrace.ContextClientTrace(r.Context()).GetConn("api.test:443") // none was got, so nothing left
	}
	if now.status == 0 {
		return nil, errors.New("connection reset")
	}
	if good {
		var entries []string
		for _, id := range asked.CompanyIDs {
			entries = append(entries, fmt.Sprintf(`"%s":{"companyId":"%[1]s","surgeInHiring":[{"signalId":"9%[1]s"}]}`, id))
		}
		now.body = fmt.Sprintf(`{"companies":{%s},"creditCharged":%d}`, strings.Join(entries, ","), len(entries))
	}
	h := http.Header{"Date": {time.Now().UTC().Format(http.TimeFormat)}}
	if now.header[0] != "" {
		h.Set(now.header[0], now.header[1])
	}
	return &http.Response{StatusCode: now.status, Header: h, ContentLength: int64(len(now.body)), Body: io.NopCloser(strings.NewReader(now.body))}, nil
}

// stack is what a paid call goes through, under a sky, with a journal in dir.
type stack struct {
	pipeline.Fetcher
	net    *scriptedNet
	ledger *ledger.Ledger
	run    *ledger.Run
	close  func() error
}

func newStack(dir string, script []scriptedReply, maxWait time.Duration, budget policy.BudgetConfig) (*stack, error) {
	s := &stack{net: &scriptedNet{script: script, billed: map[json.Number]int{}}}
	client, err := lusha.New(lusha.Config{BaseURL: "https://api.test", Key: lusha.NewKey(canary), Transport: s.net})
	if err != nil {
		return nil, err
	}
	plan, _ := ratelimit.PlanByName("scale")
	limiter, err := ratelimit.Open(ratelimit.Config{Plan: plan, MaxWait: maxWait})
	if err != nil {
		return nil, err
	}
	store, err := wal.OpenDir(dir, nil)
	if err != nil {
		return nil, err
	}
	s.ledger, err = ledger.Open(context.Background(), store, ledger.Options{Decode: app.DecodeRecorded})
	if err != nil {
		return nil, errors.Join(err, store.Close())
	}
	s.close = func() error { return errors.Join(s.ledger.Close(), store.Close(), limiter.Close()) }
	recorder, err := s.ledger.BeginRun(pipeline.RunSpec{ID: "run-1", Session: 1})
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	s.run = recorder.Run()
	s.Fetcher = app.NewFetcher(policy.RetryConfig{MaxWait: maxWait}, client, recorder, limiter, app.NewAnswerSizes(&app.Env{}, app.Memory{Answers: 64 << 20}, s.ledger), budget)
	return s, nil
}

// journalDir is a folder for a journal that is used in a bubble. The journal's
// compressor is made when it is first used; that must not be in a bubble, since
// its channels belong to where they were made.
func journalDir(t *testing.T) string {
	t.Helper()
	warmUp.Do(func() {
		if err := runScript(t.TempDir(), nil, []int{1}, 0, 0); err != nil {
			t.Fatal(err)
		}
	})
	return t.TempDir()
}

var warmUp sync.Once

// companies is a batch about n of them.
func companies(id string, n int) *pipeline.Batch {
	b := &pipeline.Batch{ID: id, ByID: true, Query: &pipeline.Query{
		Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 3}, Since: "1999-10-01", Until: "2000-01-01",
	}}
	for i := range n {
		company := fmt.Sprint(1001 + i)
		b.Items = append(b.Items, pipeline.Item{Ref: company, Account: schema.Account{Row: int64(i + 1), Object: schema.Company, ID: company}})
	}
	return b
}

// TestStackProperties plays random weather against the whole stack.
func TestStackProperties(t *testing.T) {
	kinds := []scriptedReply{reply200, reply200, reply200, reply500, lostCharged, lostUncharged, unsent, truncated200, html502, burst429, hourly429, daily429, trial429, noCredits402, badItem400, badItem400, noMatch404, html403, reply418, restricted451, burstUnder200, emptyCharged}
	parent := journalDir(t)
	rapid.Check(t, func(rt *rapid.T) {
		script := rapid.SliceOfN(rapid.SampledFrom(kinds), 0, 30).Draw(rt, "ahead")
		sizes := rapid.SliceOfN(rapid.IntRange(1, 9), 1, 6).Draw(rt, "sizes")
		maxWait := rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 48 * time.Hour}).Draw(rt, "patience")
		budget := rapid.SampledFrom([]int64{0, 40, 1000}).Draw(rt, "budget")
		dir, err := os.MkdirTemp(parent, "journal-*")
		if err != nil {
			rt.Fatal(err)
		}
		synctest.Test(t, func(*testing.T) { // rapid's failures are panics, which have to stay outside
			err = runScript(dir, script, sizes, maxWait, budget)
		})
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// runScript sends batches through a stack and says what must never come
// of it.
func runScript(dir string, script []scriptedReply, sizes []int, maxWait time.Duration, budget int64) (err error) {
	s, err := newStack(dir, script, maxWait, policy.BudgetConfig{Credits: budget})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	seen := map[string]bool{}
	var doubts []string
	for n, size := range sizes {
		b := companies(fmt.Sprintf("%06d", n+1), size)
		before := len(s.net.sent)
		clear(s.net.billed)
		reply, stopped := s.Fetch(context.Background(), b)
		if len(reply.Items) != size {
			return fmt.Errorf("%d items, want %d", len(reply.Items), size)
		}
		if made := len(s.net.sent) - before; made != len(reply.Calls) {
			return fmt.Errorf("%d calls reported, %d made", len(reply.Calls), made)
		}
		for _, c := range reply.Calls {
			if seen[c.ID] || c.Outcome == "" {
				return fmt.Errorf("call %s: outcome %q, seen before %v", c.ID, c.Outcome, seen[c.ID])
			}
			seen[c.ID] = true
			if c.Outcome == pipeline.InDoubt {
				doubts = append(doubts, c.ID)
			}
		}
		for i, item := range reply.Items {
			if !slices.Contains([]schema.Status{schema.Enriched, schema.NoSignal, schema.NotFound, schema.Rejected, schema.Restricted, schema.InDoubt, schema.Deferred}, item.Status) {
				return fmt.Errorf("item %d: status %q", i, item.Status)
			}
			if item.Status == schema.Enriched && item.Entity.ID != b.Items[i].Account.ID {
				return fmt.Errorf("item %d has the answer of %s", i, item.Entity.ID)
			}
			billed := s.net.billed[json.Number(b.Items[i].Account.ID)]
			if billed > 1 {
				return fmt.Errorf("item %d was billed %d times", i, billed)
			}
			if billed == 1 && (item.Status == schema.Deferred || item.Status == schema.Rejected || item.Status == schema.Restricted) {
				return fmt.Errorf("item %d was billed and is %s", i, item.Status)
			}
			if stopped == nil && len(reply.Calls) == 0 {
				return fmt.Errorf("item %d is %s without a call or an error", i, item.Status)
			}
		}
	}
	var noted []string
	for _, c := range s.ledger.CallsInDoubt() {
		noted = append(noted, c.ID)
	}
	slices.Sort(noted) // the journal has them as they were made, replies as batches are divided
	slices.Sort(doubts)
	if len(s.run.Calls) != len(seen) || !slices.Equal(noted, doubts) {
		return fmt.Errorf("the journal has %d calls, in doubt %q; made were %d, in doubt %q", len(s.run.Calls), noted, len(seen), doubts)
	}
	if most := s.run.Cost().Max; budget > 0 && most > budget {
		return fmt.Errorf("%d credits may be spent, of a budget of %d", most, budget)
	}
	return nil
}

// TestRefusedPart: when a budget cuts a batch, and one part is refused for what
// is in it, the other part, which is paid for, is not asked again.
func TestRefusedPart(t *testing.T) {
	t.Parallel()
	s, err := newStack(t.TempDir(), []scriptedReply{reply200, badItem400}, 0, policy.BudgetConfig{Credits: 18})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close() //nolint:errcheck // what it wrote is not looked at again
	reply, err := s.Fetch(t.Context(), companies("000001", 7))
	var got []schema.Status
	for _, i := range reply.Items {
		got = append(got, i.Status)
	}
	want := append(slices.Repeat([]schema.Status{schema.Enriched}, 6), schema.Rejected)
	if err != nil || len(reply.Calls) != 2 || !slices.Equal(got, want) {
		t.Errorf("Fetch() = %s in %d calls, %v, want %s in 2", got, len(reply.Calls), err, want)
	}
}

// TestStackRefusals: what the four flavours of 429 lead to, by the patience of
// the run. The first call is made at half past ten in the evening, UTC.
func TestStackRefusals(t *testing.T) {
	withHeader := func(w scriptedReply, header, text string) scriptedReply {
		w.header = [2]string{header, text}
		return w
	}
	const second, minute, hour = time.Second, time.Minute, time.Hour
	for _, tt := range []struct {
		name     string
		ahead    []scriptedReply
		patience time.Duration
		calls    int
		took     time.Duration // give or take a back-off of at most 3 s in all
		stop     pipeline.StopKind
		back     time.Duration // RetryAt after the beginning; 0 none
	}{
		{"burst", []scriptedReply{burst429, burst429}, 0, 3, 0, "", 0},
		{"burst, told how long", []scriptedReply{withHeader(burst429, "Retry-After", "7")}, 0, 2, 7 * second, "", 0},
		{"burst, told a date", []scriptedReply{withHeader(burst429, "Retry-After", "Sat, 01 Jan 2000 22:30:09 GMT")}, 0, 2, 9 * second, "", 0},
		{"burst, told longer than a minute", []scriptedReply{withHeader(burst429, "Retry-After", "600")}, hour, 2, 600 * second, "", 0},
		{"burst, told too long", []scriptedReply{withHeader(burst429, "Retry-After", "7200")}, hour, 1, 0, pipeline.StopQuota, 2 * hour},
		{"hour", []scriptedReply{hourly429}, hour, 2, 600 * second, "", 0},
		{"hour, beyond patience", []scriptedReply{hourly429}, minute, 1, 0, pipeline.StopQuota, 601 * second},
		{"hour, twice", []scriptedReply{hourly429, hourly429}, hour, 3, 1201 * second, "", 0},
		{"hour, without end", slices.Repeat([]scriptedReply{hourly429}, 9), hour, 5, 4 * 601 * second, pipeline.StopQuota, 4*601*second + 600*second},
		{"day", []scriptedReply{daily429}, 48 * hour, 2, 90 * minute, "", 0},
		{"day, beyond patience", []scriptedReply{daily429}, hour, 1, 0, pipeline.StopQuota, 90 * minute},
		{"trial", []scriptedReply{trial429}, 48 * hour, 1, 0, pipeline.StopAuth, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := journalDir(t)
			synctest.Test(t, func(t *testing.T) {
				time.Sleep(22*hour + 30*minute)
				s, err := newStack(dir, tt.ahead, tt.patience, policy.BudgetConfig{})
				if err != nil {
					t.Fatal(err)
				}
				defer s.close() //nolint:errcheck // what it wrote is not looked at again
				begun := time.Now()
				reply, err := s.Fetch(t.Context(), companies("000001", 1))
				took := time.Since(begun)
				var stop pipeline.Stop
				if at := new(pipeline.Stop); errors.As(err, &at) {
					stop = *at
				}
				if len(reply.Calls) != tt.calls || stop.Kind != tt.stop || took < tt.took || took > tt.took+3*second {
					t.Errorf("Fetch() = %d calls, %v after %s; want %d, %q after %s", len(reply.Calls), err, took, tt.calls, tt.stop, tt.took)
				}
				if want := map[bool]schema.Status{true: schema.Enriched, false: schema.Deferred}[tt.stop == ""]; reply.Items[0].Status != want {
					t.Errorf("the item is %s, want %s", reply.Items[0].Status, want)
				}
				back := time.Duration(0)
				if !stop.RetryAt.IsZero() {
					back = stop.RetryAt.Sub(begun)
				}
				if back < tt.back || back > tt.back+4*second || tt.back == 0 && back != 0 {
					t.Errorf("to come back after %s, want %s", back, tt.back)
				}
			})
		})
	}
}

// TestClosedWindow: when one batch learns that a window will not open in time,
// those that wait are turned away with the same time to come back.
func TestClosedWindow(t *testing.T) {
	dir := journalDir(t)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Hour) // from midnight
		slow := reply500
		slow.header = [2]string{"Retry-After", "50"}
		s, err := newStack(dir, []scriptedReply{slow, daily429}, time.Hour, policy.BudgetConfig{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.close() //nolint:errcheck // what it wrote is not looked at again
		var wg sync.WaitGroup
		begun := time.Now()
		for _, id := range []string{"000001", "000002"} {
			wg.Go(func() {
				reply, err := s.Fetch(t.Context(), companies(id, 1))
				elapsed := time.Since(begun)
				var stop *pipeline.Stop
				if !errors.As(err, &stop) || stop.Kind != pipeline.StopQuota || stop.RetryAt.Sub(begun) < 23*time.Hour || stop.RetryAt.Sub(begun) > 23*time.Hour+4*time.Second || elapsed > time.Second || reply.Items[0].Status != schema.Deferred {
					t.Errorf("Fetch() = %+v, %v after %s, want a deferred item and quota at once", reply.Items, err, elapsed)
				}
			})
			synctest.Wait()
		}
		wg.Wait()
	})
}
