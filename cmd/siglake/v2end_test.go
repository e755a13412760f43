package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// v2End is the day on which V2 ends in these tests.
var v2End = time.Date(2026, 11, 18, 0, 0, 0, 0, time.UTC)

// v2EndConfig is a simulator, and a clock of the test's commands, on a day.
func v2EndConfig(t *testing.T, day time.Time) simulator.Config {
	t.Helper()
	setNow(t, func() time.Time { return day.Add(12 * time.Hour) })
	return simulator.Config{Now: envFor(t).Now, V2Ends: v2End, CountDistinct: true}
}

// askedVersions are the versions in which signals were requested.
func (r *rig) askedVersions() (v2, v3 int) {
	for _, e := range r.sim.Bill().Entries {
		switch {
		case e.Method != http.MethodPost || e.Status == 0:
		case strings.HasPrefix(e.Path, "/api/signals/"):
			v2++
		case strings.HasSuffix(e.Path, "/signals"):
			v3++
		}
	}
	return v2, v3
}

// TestV2EndAnnounced: before the end, a run uses V2, and warns once with date and address.
func TestV2EndAnnounced(t *testing.T) {
	t.Parallel()
	r := newRig(t, v2EndConfig(t, v2End.AddDate(0, 0, -30)))
	r.run(domainLines(250), "--signals", "surgeInHiring", "--quiet")
	v2, v3 := r.askedVersions()
	if r.code != exitComplete || v2 != 3 || v3 != 0 {
		t.Errorf("exit %d, %d calls in V2 and %d in V3, want %d, 3 and none", r.code, v2, v3, exitComplete)
	}
	if n := strings.Count(r.stderr, "2026-11-18"); n != 1 || strings.Count(r.stderr, "https://docs.signals.example/v3-migration") != 1 {
		t.Errorf("the end is named %d times, want once with its address: %s", n, r.stderr)
	}
}

// TestV2Ended: from the day of the end on, --api auto uses V3, whether V2 is gone or still answers, and
// says why. --api v2 is refused by the API, and the advice names v3.
func TestV2Ended(t *testing.T) {
	t.Parallel()
	for name, stillAnswers := range map[string]bool{"gone": false, "still answers": true} {
		t.Run(name, func(t *testing.T) {
			cfg := v2EndConfig(t, v2End)
			if stillAnswers {
				cfg.V2Ends = time.Time{}
			}
			r := newRig(t, cfg)
			if stillAnswers {
				r.useProxy(func(w http.ResponseWriter, q *http.Request) bool {
					if strings.HasPrefix(q.URL.Path, "/api/signals/") {
						w.Header().Set("Sunset", v2End.Format(http.TimeFormat))
					}
					return false
				})
			}
			r.run(domainLines(60), "--signals", "surgeInHiring")
			v2, v3 := r.askedVersions()
			says := "API V3: v2 answers: Gone"
			if stillAnswers {
				says = "API V3: v2 was to end on 2026-11-18"
			}
			if r.code != exitComplete || v2 != 0 || v3 == 0 || !strings.Contains(r.stderr, says) {
				t.Errorf("exit %d, %d calls in V2 and %d in V3, want %d, none and some, and %q: %s", r.code, v2, v3, exitComplete, says, r.stderr)
			}
			if v := r.rerun(domainLines(70), "--signals", "surgeInHiring", "--api", "v2"); stillAnswers != (v.code == exitComplete) || !stillAnswers && !strings.Contains(v.stdout+v.stderr, "--api v3") {
				t.Errorf("--api v2: exit %d: %s%s", v.code, v.stdout, v.stderr)
			}
		})
	}
}

// TestSunsetWithoutV3: an account that V3 does not serve keeps V2 beyond the announced end.
func TestSunsetWithoutV3(t *testing.T) {
	t.Parallel()
	cfg := v2EndConfig(t, v2End)
	cfg.V2Ends = time.Time{}
	r := newRig(t, cfg)
	r.useProxy(func(w http.ResponseWriter, q *http.Request) bool {
		if strings.HasPrefix(q.URL.Path, "/api/signals/") {
			w.Header().Set("Sunset", v2End.Format(http.TimeFormat))
		}
		if refused := strings.HasPrefix(q.URL.Path, "/v3/companies"); refused {
			http.Error(w, `{"statusCode":403,"message":"Forbidden","errors":["not part of your plan"]}`, http.StatusForbidden)
			return true
		}
		return false
	})
	r.run(domainLines(30), "--signals", "surgeInHiring")
	if v2, _ := r.askedVersions(); r.code != exitComplete || v2 != 1 {
		t.Errorf("exit %d after %d calls in V2, want %d after one: %s", r.code, v2, exitComplete, r.stderr)
	}
}

// TestV2EndsDuringRun: a run that V2 refuses because it has ended requests the rest in V3, in the same
// command. What V2 sold is not bought again, and what is in doubt stays in doubt.
func TestV2EndsDuringRun(t *testing.T) {
	t.Parallel()
	for _, resumed := range []bool{false, true} {
		t.Run(map[bool]string{false: "in one command", true: "resumed"}[resumed], func(t *testing.T) {
			cfg := v2EndConfig(t, v2End.AddDate(0, 0, -1))
			cfg.Faults = []simulator.Fault{{Kind: "drop-after-charge", At: 1}}
			r := newRig(t, cfg)
			var sold atomic.Int64 // batches that V2 has answered, or lost
			r.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
				if strings.HasPrefix(q.URL.Path, "/api/signals/") && sold.Load() >= 2 {
					w.Header().Set("Content-Type", "application/json")
					http.Error(w, `{"statusCode":410,"message":"Gone"}`, http.StatusGone)
					return
				}
				if q.Method == http.MethodPost && strings.HasPrefix(q.URL.Path, "/api/signals/") {
					sold.Add(1)
				}
				r.sim.ServeHTTP(w, q)
			}))
			t.Cleanup(r.server.Close)
			list, flags := domainLines(250), []string{"--signals", "surgeInHiring,peopleNews", "--since", "180d", "--concurrency", "1"}
			if resumed {
				crashAt(t, func(op, _ string) bool { return op == "sync" && sold.Load() == 2 })
				r.rerun(list, flags...)
				clearHook(t)
			}
			v := r.rerun(list, flags...)
			v2, v3 := r.askedVersions()
			if v.code != exitInDoubt || v2 > 2 || v3 == 0 || !strings.Contains(v.stderr, "V2 has ended") {
				t.Fatalf("exit %d, %d calls in V2 and %d in V3, want %d, 2 and some: %s%s", v.code, v2, v3, exitInDoubt, v.stdout, v.stderr)
			}
			r.checkCarriedOver(resumed)
			again := r.rerun(list, flags...)
			if again.calls != 0 {
				t.Errorf("the same command again: %d calls, want none: %s", again.calls, again.stderr)
			}
			r.mustExit(exitComplete, "verify")
		})
	}
}

// checkCarriedOver checks that events were bought once, and which lines are held.
func (r *rig) checkCarriedOver(resumed bool) {
	r.t.Helper()
	bill := r.sim.Bill()
	if events := bill.ByType["surgeInHiring"] + bill.ByType["peopleNews"]; events != bill.Distinct || events == 0 {
		r.t.Errorf("%d events were charged, %d different ones", events, bill.Distinct)
	}
	held := int64(100)
	if resumed {
		held = 200 // the process died before the second answer was recorded
	}
	if got := r.manifest.Accounts.ByStatus[schema.InDoubt]; got != held && !resumed || got < 100 || got > held {
		r.t.Errorf("%d lines are held, want %d", got, held)
	}
	for _, e := range bill.Entries {
		if strings.HasPrefix(e.Path, "/v3/") && e.Method == http.MethodPost && e.Entities > 150 {
			r.t.Errorf("%s was asked about %d entities", e.Path, e.Entities)
		}
	}
}
