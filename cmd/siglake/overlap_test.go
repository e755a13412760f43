package main

import (
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestOverlapAnnounced: a run and a plan with a window that the lake has events of say so before
// anything is bought; nights that ask from where the lake ends have nothing to say.
func TestOverlapAnnounced(t *testing.T) {
	t.Parallel()
	const text = "and they are bought again"
	n := newNights(t, simulator.Config{}, companyDomains(40))
	flags := []string{"--signals", "news", "--since", "60d"}
	if v := n.run(0, flags...); v.code != exitComplete || v.credits == 0 || strings.Contains(v.stderr, text) {
		t.Fatalf("first night: exit %d, %d credits: %s", v.code, v.credits, v.stderr)
	}
	n.today.Store(1)
	day := n.day(1).Format("2006-01-02")
	plan := n.exec(t.Context(), []string{"plan", "-", "--as-of", day}, n.list, flags...)
	if plan.code != exitComplete || !strings.Contains(plan.stdout, text) || !strings.Contains(plan.stdout, "--since last") {
		t.Errorf("plan: exit %d: %s%s", plan.code, plan.stdout, plan.stderr)
	}
	if v := n.run(1, flags...); v.code != exitComplete || !strings.Contains(v.stderr, text) || !strings.Contains(v.stderr, " of 280 pairs ") {
		t.Errorf("second night: exit %d: %s", v.code, v.stderr)
	}
	if v := n.run(7, "--signals", "news", "--since", "last"); v.code != exitComplete || strings.Contains(v.stderr, text) {
		t.Errorf("a night since last: exit %d: %s", v.code, v.stderr)
	}
}

// TestUnattendedSinceLast: unattended runs ask from where the lake ends unless a window is given.
func TestUnattendedSinceLast(t *testing.T) {
	t.Parallel()
	n := newNights(t, simulator.Config{CountDistinct: true}, companyDomains(30))
	flags := []string{"--signals", "news", "--unattended", "--max-credits", "unlimited"}
	for night := range 9 {
		if v := n.run(night, flags...); v.code != exitComplete {
			t.Fatalf("night %d: exit %d: %s", night, v.code, v.stderr)
		}
	}
	if bill := n.sim.Bill(); bill.Credits != bill.Distinct || bill.Credits == 0 {
		t.Errorf("%d credits for %d different events", bill.Credits, bill.Distinct)
	}
	if v := n.run(9, append(flags, "--since", "30d")...); v.code != exitComplete || v.credits == 0 {
		t.Errorf("with a window: exit %d, %d credits: %s", v.code, v.credits, v.stderr)
	}
	for _, wrong := range [][]string{
		{"--since", "last", "--refresh"}, {"--since", "last", "--completeness", "some"}, {"--since", "last", "--lateness", "news"},
		{"--since", "last", "--lateness", "newz=3"}, {"--since", "last", "--nightly-types", "newz"}, {"--since", "last", "--backfill", "soon"},
	} {
		if v := n.run(10, append([]string{"--signals", "news"}, wrong...)...); v.code != exitUsage {
			t.Errorf("%v: exit %d, want %d: %s", wrong, v.code, exitUsage, v.stderr)
		}
	}
}
