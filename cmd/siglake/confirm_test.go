package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestConfirm: on a terminal, a command with a key and without a cap shows the price and asks; it buys
// after yes only. Everything else that says what it may cost, or that it may, is not asked.
func TestConfirm(t *testing.T) {
	t.Parallel()
	var r *rig
	renew := func() { r = newRig(t, simulator.Config{}) } // an account tells its usage five times a minute
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("domain,name\n"+strings.ReplaceAll(domainLines(30), "\n", ",\n")+",Nordwind GmbH\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	seeds := filepath.Join(t.TempDir(), "seeds.csv")
	if err := os.WriteFile(seeds, []byte(domainLines(6)), 0o600); err != nil {
		t.Fatal(err)
	}
	e := envFor(t)
	exec := func(answer string, words ...string) (code, calls int, stderr string) {
		t.Helper()
		before := r.sim.Bill().Requests
		var out, errs bytes.Buffer
		code = e.execute(t.Context(), r.args(words), strings.NewReader(answer), &out, &errs)
		for _, entry := range r.sim.Bill().Entries[before:] {
			if entry.Method == http.MethodPost {
				calls++
			}
		}
		return code, calls, errs.String()
	}
	run := []string{"run", list, "--signals", "news", "--since", "30d"}
	e.Interactive = true
	renew()
	for _, answer := range []string{"", "\n", "n\n", "yikes\n"} {
		code, calls, stderr := exec(answer, run...)
		if code != exitDeferred || calls != 0 || !strings.Contains(stderr, "Proceed? [y/N]") || !strings.Contains(stderr, "nothing was bought") {
			t.Errorf("answer %q: exit %d, %d calls\n%s", answer, code, calls, stderr)
		}
		for _, want := range []string{"30 by domain, 1 by name", "never more than 2,170", "--max-credits"} {
			if !strings.Contains(stderr, want) {
				t.Errorf("the question does not show %q:\n%s", want, stderr)
			}
		}
	}
	for name, flags := range map[string][]string{
		"--max-credits": {"--max-credits", "5000"}, "unlimited": {"--max-credits", "unlimited"}, "--yes": {"--yes"}, "unattended": {"--unattended", "--max-credits", "5000"},
	} {
		renew()
		if code, calls, stderr := exec("", slices.Concat(run, flags)...); code != exitComplete || calls == 0 || strings.Contains(stderr, "Proceed?") {
			t.Errorf("%s: exit %d, %d calls\n%s", name, code, calls, stderr)
		}
	}
	renew()
	if code, calls, stderr := exec("Yes\n", run...); code != exitComplete || calls == 0 {
		t.Errorf("after yes: exit %d, %d calls\n%s", code, calls, stderr)
	}
	if code, calls, stderr := exec("", run...); code != exitComplete || calls != 0 || strings.Contains(stderr, "Proceed?") {
		t.Errorf("with nothing to buy: exit %d, %d calls\n%s", code, calls, stderr)
	}
	renew()
	for _, words := range [][]string{{app.ResolveName, list}, {app.ScoreName, list}, {app.LookalikesName, "--seeds", seeds}, {app.VisitorsName, "--domain", "a.example"}} {
		if code, calls, stderr := exec("n\n", words...); code != exitDeferred || calls != 0 || !strings.Contains(stderr, "Proceed?") {
			t.Errorf("%s: exit %d, %d calls\n%s", words[0], code, calls, stderr)
		}
	}
	renew()
	e.Interactive = false
	if code, calls, stderr := exec("", run...); code != exitComplete || calls == 0 || strings.Contains(stderr, "Proceed?") {
		t.Errorf("without a terminal: exit %d, %d calls\n%s", code, calls, stderr)
	}
}

// TestSampleFirst: a sample is planned and bought like a list, and the run of the whole list then buys
// only the rest.
func TestSampleFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	list, flags := domainLines(400), []string{"--signals", "news,growth", "--since", "30d"}
	plan := func(flags ...string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := envFor(t).execute(t.Context(), r.args(append([]string{"plan", "-"}, flags...)), strings.NewReader(list), &out, &errs); code != exitComplete {
			t.Fatalf("plan: exit %d\n%s", code, errs.String())
		}
		return out.String()
	}
	if text := plan(flags...); !strings.Contains(text, "siglake run --lake "+r.lake) || !strings.Contains(text, " --signals news,growth --since 30d --sample 200\n") {
		t.Errorf("a plan without experience does not advise a sample:\n%s", text)
	}
	whole := list
	list = domainLines(60)
	if text := plan(flags...); !strings.Contains(text, "a cap of the most that it can cost") || !strings.Contains(text, " --sample 20\n") || strings.Contains(text, "nineteen") {
		t.Errorf("a plan of a short list does not advise a smaller sample:\n%s", text)
	}
	list = whole
	sampled := append(slices.Clone(flags), "--sample", "50")
	if text := plan(sampled...); !strings.Contains(text, "Entities           50") || !strings.Contains(text, "sample of 50 of 400 lines") {
		t.Errorf("the plan of a sample:\n%s", text)
	}
	first := r.rerun(list, sampled...)
	if first.code != exitComplete || first.entities != 50 || r.manifest.Accounts.Lines != 50 || !strings.Contains(first.stdout, "sample of 50 of 400 lines") {
		t.Fatalf("the sample: exit %d, %d entities, %d lines\n%s%s", first.code, first.entities, r.manifest.Accounts.Lines, first.stdout, first.stderr)
	}
	if again := r.rerun(list, sampled...); again.code != exitComplete || again.calls != 0 {
		t.Errorf("the same sample again: exit %d, %d calls", again.code, again.calls)
	}
	var status app.LakeStatus
	r.decode([]byte(r.mustExit(exitStale, "status", "--json", "--max-age", "26h")), &status)
	if s := status.Lists[0]; s.LastGood != "" || !s.Stale {
		t.Errorf("status after the sample: %+v, want no good run of the list", s)
	}
	rest := r.rerun(list, flags...)
	if rest.code != exitComplete || rest.entities != 350 {
		t.Errorf("the whole list: exit %d, %d entities requested, want 350\n%s", rest.code, rest.entities, rest.stderr)
	}
	if bill := r.sim.Bill(); first.credits+rest.credits != bill.Credits {
		t.Errorf("%d and %d credits, the simulator's bill is %d", first.credits, rest.credits, bill.Credits)
	}
	r.checkInvariants()
	if v := r.rerun(list, append(slices.Clone(flags), "--sample", "-1")...); v.code != exitUsage {
		t.Errorf("--sample -1: exit %d, want %d", v.code, exitUsage)
	}
}

// TestAllowRejected: rejected lines within the allowance make exit 0 of exit 10, and hide nothing else.
func TestAllowRejected(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	list := domainLines(8) + "not a domain/\nnor=this\n"
	flags := []string{"--signals", "news"}
	for _, c := range []struct {
		allowed string
		code    int
	}{{"", exitRejects}, {"1", exitRejects}, {"2", exitComplete}, {"19%", exitRejects}, {"20%", exitComplete}, {"1.5", exitUsage}} {
		allowed := flags
		if c.allowed != "" {
			allowed = append(slices.Clone(flags), "--allow-rejected", c.allowed)
		}
		if v := r.rerun(list, allowed...); v.code != c.code || c.code != exitUsage && r.manifest.Accounts.ByStatus[schema.Rejected] != 2 {
			t.Errorf("--allow-rejected %q: exit %d, want %d; %v\n%s", c.allowed, v.code, c.code, r.manifest.Accounts.ByStatus, v.stderr)
		}
	}
	if v := r.rerun(list+domainLines(40), append(slices.Clone(flags), "--allow-rejected", "100%", "--max-credits", "1")...); v.code != exitDeferred {
		t.Errorf("with a cap too low: exit %d, want %d", v.code, exitDeferred)
	}
}
