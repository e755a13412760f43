package main

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	policy "github.com/siglake/siglake/internal/nights"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// runWeeks runs the nights of Saturdays, from one to before another.
func (n *nights) runWeeks(from, to int, flags ...string) {
	n.t.Helper()
	for week := from; week < to; week++ {
		if v := n.run(5+7*week, flags...); v.code != exitComplete {
			n.t.Fatalf("week %d: exit %d: %s", week, v.code, v.stderr)
		}
	}
}

// plan is what a plan of a night says, for programs and for people.
func (n *nights) plan(night int, flags ...string) (p app.PlanReport, text string) {
	n.t.Helper()
	n.today.Store(int64(night))
	words := []string{"plan", "-", "--as-of", n.day(night).Format(time.DateOnly)}
	v := n.exec(n.t.Context(), append(slices.Clone(words), "--json"), n.list, flags...)
	if v.code != exitComplete {
		n.t.Fatalf("plan: exit %d: %s", v.code, v.stderr)
	}
	n.decode([]byte(v.stdout), &p)
	return p, n.exec(n.t.Context(), words, n.list, flags...).stdout
}

// TestLatenessLearned: nights learn how late the events of a type become visible, expect them as long
// from then on, and plan says so; --lateness counts more. A plan says what the night saves, too.
func TestLatenessLearned(t *testing.T) {
	t.Parallel()
	const signal = "surgeInHiringByDepartment"
	n := newNights(t, simulator.Config{Lateness: "late20", CountDistinct: true}, companyDomains(proof.Size(500, 1000, 3000)))
	flags := []string{"--signals", signal, "--since", "last"}
	const weeks = 14
	n.runWeeks(0, 2, flags...)
	p, text := n.plan(5+7*2, flags...)
	if p.Night == nil || len(p.Night.Lateness) != 1 || p.Night.Lateness[0].Days != policy.DefaultLateness || p.Night.Lateness[0].Source != policy.ByDefault {
		t.Fatalf("after two weeks: %+v", p.Night)
	}
	if !strings.Contains(text, "30 days after their date at the latest, by default: "+signal) {
		t.Errorf("plan says:\n%s", text)
	}
	n.runWeeks(2, weeks, flags...)

	const night = 5 + 7*weeks
	p, text = n.plan(night, flags...)
	if l := p.Night.Lateness[0]; l.Source != policy.Learned || l.Days <= policy.DefaultLateness || l.Days > 48 || l.Events < 100 || l.Settle != 6 {
		t.Errorf("learned %+v, want more than %d days", l, policy.DefaultLateness)
	}
	if !strings.Contains(text, ", learned from ") {
		t.Errorf("plan says:\n%s", text)
	}
	n.checkSaving(p, text, night)
	if p, text = n.plan(night, append(flags, "--lateness", "growth=20")...); p.Night.Lateness[0].Days != 20 || p.Night.Lateness[0].Source != policy.Stated || !strings.Contains(text, "20 days after their date at the latest, --lateness: ") {
		t.Errorf("with --lateness: %+v\n%s", p.Night.Lateness, text)
	}
	if bill := n.sim.Bill(); bill.Credits-bill.Distinct > 5 {
		t.Errorf("%d credits for %d different events", bill.Credits, bill.Distinct)
	}
	n.mustExit(exitComplete, "verify")
}

// checkSaving compares what a plan says about the default window with what it would cost.
func (n *nights) checkSaving(p app.PlanReport, text string, night int) {
	n.t.Helper()
	w := n.watch
	w.Signals, w.From = p.Queries[0].ResultTypes(), n.day(night-90)
	cost, reread := n.sim.Quote(w, n.day(night), p.Queries[0].MaxResults()), p.Night.Reread
	if reread.Since != w.From.Format(time.DateOnly) || reread.Credits.P5 > cost || reread.Credits.P95 < cost || reread.Saved != reread.Credits.P50-p.Credits.P50 || reread.Saved <= 0 {
		n.t.Errorf("to ask for the default window costs %d; the plan says %+v, and %d tonight", cost, reread, p.Credits.P50)
	}
	if !strings.Contains(text, "and saves about ") || !strings.Contains(text, reread.Since) {
		n.t.Errorf("plan says:\n%s", text)
	}
}

// TestFirstDayOfWindow: nights learn whether a window contains its first day, by asking a few pairs for a
// day that they know, and buy no event twice otherwise.
func TestFirstDayOfWindow(t *testing.T) {
	t.Parallel()
	for _, edges := range []string{"inclusive", "exclusive"} {
		t.Run(edges, func(t *testing.T) {
			t.Parallel()
			n := newNights(t, simulator.Config{Switches: simulator.Switches{WindowEdges: edges}, CountDistinct: true}, companyDomains(300))
			flags := []string{"--signals", "surgeInHiring,surgeInHiringByDepartment", "--since", "last"}
			n.runWeeks(0, 1, flags...)
			p, text := n.plan(12, flags...)
			probes := p.Night.Pairs.EdgeProbes
			if probes < 1 || probes > 5 || p.Night.Pairs.Onward < probes || !strings.Contains(text, "of those asked from the day of the event") {
				t.Errorf("%d of %d pairs probe the edge:\n%s", probes, p.Night.Pairs.Onward, text)
			}
			n.runWeeks(1, 7, flags...)
			if p, _ = n.plan(54, flags...); p.Night.Pairs.EdgeProbes != 0 || p.Night.Pairs.Onward == 0 {
				t.Errorf("after seven weeks %d of %d pairs probe the edge", p.Night.Pairs.EdgeProbes, p.Night.Pairs.Onward)
			}
			switch bill := n.sim.Bill(); {
			case edges == "inclusive" && (bill.Credits <= bill.Distinct || bill.Credits > bill.Distinct+probes):
				t.Errorf("%d credits for %d different events, want up to %d more", bill.Credits, bill.Distinct, probes)
			case edges == "exclusive" && bill.Credits != bill.Distinct:
				t.Errorf("%d credits for %d different events", bill.Credits, bill.Distinct)
			}
			n.mustExit(exitComplete, "verify")
		})
	}
}

// TestLatenessAtScale compares nights that learn how late events are with nights that expect them as late
// as by default, where they are later than that.
func TestLatenessAtScale(t *testing.T) {
	if !proof.IsFull() {
		return
	}
	t.Parallel()
	const signals = "surgeInHiring,surgeInHiringByDepartment,surgeInHiringByLocation,commercialActivityNews"
	for _, lateness := range []string{"heavy", "late20"} {
		for _, completeness := range []policy.Completeness{policy.Strict, policy.Economy} {
			var found [2]nightFigures
			for i, stated := range []string{"", strings.ReplaceAll(signals, ",", "=30,") + "=30"} {
				n := newNights(t, simulator.Config{Lateness: lateness}, companyDomains(3000))
				n.watch.Signals = strings.Split(signals, ",")
				flags := []string{"--signals", signals, "--since", "last", "--completeness", string(completeness)}
				for week := range 30 {
					for _, night := range []int{5 + 7*week, 6 + 7*week} { // Saturday, and Sunday once weeks settle later
						if v := n.run(night, append(flags, "--lateness", stated)...); v.code != exitComplete {
							t.Fatalf("night %d: exit %d: %s", night, v.code, v.stderr)
						}
					}
				}
				found[i] = n.figures(75, 12)
				p, _ := n.plan(5+7*30, flags...)
				t.Logf("%s, %s, --lateness %q: %s; learned %+v", lateness, completeness, stated, found[i], p.Night.Lateness)
			}
			// Economy misses what becomes visible after a newer event, however late that is.
			if found[0].missed > found[1].missed || completeness == policy.Strict && found[0].missed == found[1].missed {
				t.Errorf("%s, %s: %s, no better than by default: %s", lateness, completeness, found[0], found[1])
			}
		}
	}
}
