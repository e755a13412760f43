package simulator

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// domains names n companies.
func domains(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("company-%04d.example", i))
	}
	return list
}

// TestLateness: each profile has the stated shares of late events, and the default is the one that
// has no name.
func TestLateness(t *testing.T) {
	t.Parallel()
	watch := Watch{Companies: domains(1500), From: day20260601.midnight(), To: (day20260601 + 60).midnight()}
	shares := map[string][3]float64{ // within 1, 9 and 14 days
		"simulator": {0, 0.90, 0.96}, "fast": {0.98, 1, 1}, "heavy": {0.33, 0.89, 0.95}, "late20": {0, 0.76, 0.83},
	}
	usual := sightings(t, Config{Seed: 3}, watch)
	for _, doc := range LatenessDocs() {
		all := sightings(t, Config{Seed: 3, Lateness: doc.Name}, watch)
		if len(all) != len(usual) || len(all) < 1000 {
			t.Fatalf("%s: %d events, want those of the default, %d", doc.Name, len(all), len(usual))
		}
		var within [3]float64
		most := 0
		for i, e := range all {
			if before := usual[i]; e.SignalID != before.SignalID || e.Date != before.Date || doc.Name == "simulator" && e != before {
				t.Fatalf("%s: event %d is %v, want %v", doc.Name, i, e, before)
			}
			late := int(e.Visible.Sub(e.Date) / (24 * time.Hour))
			for j, days := range []int{1, 9, 14} {
				if late <= days {
					within[j]++
				}
			}
			most = max(most, late)
		}
		for j, least := range shares[doc.Name] {
			share := within[j] / float64(len(all))
			if share < least-0.02 || share > least+0.06 {
				t.Errorf("%s: %d: a share of %.3f, want about %.2f", doc.Name, j, share, least)
			}
		}
		if limit := map[string]int{"simulator": 23, "fast": 7, "heavy": 200, "late20": 53}[doc.Name]; most > limit || most < limit/5 {
			t.Errorf("%s: an event is %d days late, want up to %d", doc.Name, most, limit)
		}
	}
	if _, err := New(Config{Lateness: "never"}); err == nil {
		t.Error("an unknown profile is accepted")
	}
}

var day20260601 = dayFrom(2026, time.June, 1)

func sightings(t *testing.T, cfg Config, w Watch) []Sighting {
	t.Helper()
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(s.Sightings(w))
}

// TestSightings: on every day, an answer holds exactly the events whose day of visibility has come,
// so none that was shown disappears. The count of new ones, and a quote, agree with the answers.
func TestSightings(t *testing.T) {
	t.Parallel()
	s, err := New(Config{Seed: 1, Lateness: "late20"})
	if err != nil {
		t.Fatal(err)
	}
	first := day20260601
	watch := Watch{Companies: append(domains(120), "company-0001.example"), From: first.midnight(), To: (first + 40).midnight()}
	all := slices.Collect(s.Sightings(watch))
	before := 0
	for today := first; today <= first+40; today++ {
		shown := map[string]bool{}
		o := &order{object: company, types: s.watchedSignals(watch, company), span: span{from: first, to: today, today: today}}
		for l := range s.watched(watch) {
			o.lookups = append(o.lookups, *l)
		}
		a := s.answerSignals(o, 0)
		for _, f := range a.findings {
			for _, list := range f.events {
				for _, e := range list {
					shown[fmt.Sprint(e.signal.key, e.id)] = true
				}
			}
		}
		visible := 0
		for _, e := range all {
			if dayOf(e.Visible) > today {
				continue
			}
			if visible++; !shown[e.Signal+e.SignalID] {
				t.Errorf("%s: %v is not in the answer", today, e)
			}
		}
		if visible != len(shown) {
			t.Errorf("%s: %d events are visible, the answer holds %d", today, visible, len(shown))
		}
		if n := s.CountVisible(watch, today.midnight(), today.midnight()); int(n) != visible-before {
			t.Errorf("%s: %d events became visible, want %d", today, n, visible-before)
		}
		if got := s.Quote(watch, today.midnight(), 0); got != a.charge {
			t.Errorf("%s: a quote of %d credits, want %d", today, got, a.charge)
		}
		before = visible
	}
	if before < 50 {
		t.Errorf("%d events; the test shows too little", before)
	}
}

// TestSightingsOfContacts: contacts have no signal ids, and their events are those of their career.
func TestSightingsOfContacts(t *testing.T) {
	t.Parallel()
	var w Watch
	for i := range 200 {
		w.Contacts = append(w.Contacts, fmt.Sprintf("ada.sample%c%c@company-0001.example", 'a'+i%26, 'a'+i/26))
	}
	w.From, w.To = day20260601.midnight(), (day20260601 + 90).midnight()
	all := sightings(t, Config{}, w)
	for _, e := range all {
		if e.SignalID != "" || e.Signal != "promotion" && e.Signal != "companyChange" {
			t.Errorf("%v is no event of a contact", e)
		}
	}
	if len(all) < 20 {
		t.Errorf("%d events; the test shows too little", len(all))
	}
}
