package simulator

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// postAllSignals requests every type that the account can see, with the announced ones.
func postAllSignals(t testing.TB, items, rest string) answerV2 {
	t.Helper()
	s := rig(t, Config{Switches: Switches{Announced: "serve"}})
	return postV2(t, s, companySearch, `{`+items+`,"signals":["allSignals"]`+rest+`}`)
}

func TestDomainNameAndIDAgree(t *testing.T) {
	s := rig(t, Config{Switches: Switches{EventTypeCase: "title"}})
	for _, firm := range []struct{ domain, name string }{
		{"harborquill.example", "Harbor Quill Ltd"}, {"tallow.example", "TALLOW"}, {"copperoptics.example", "Copper-Optics, Inc."},
		{"saffrongrid.example", "Saffron Grid GmbH"}, {"otterfreight.example", "Otter Freight"},
	} {
		a := postV2(t, s, companySearch, fmt.Sprintf(
			`{"companies":[{"id":"d","domain":%q},{"id":"w","domain":%q},{"id":"n","name":%q}],"signals":["allSignals"]}`,
			firm.domain, "WWW."+strings.ToUpper(firm.domain)+".", firm.name))
		byDomain, known := a.Companies["d"]
		if !known {
			if len(a.Companies) != 0 {
				t.Errorf("%s is unknown by domain, but the answer has %d entries", firm.domain, len(a.Companies))
			}
			continue
		}
		id, _ := strconv.Unquote(string(byDomain["companyId"]))
		b := postV2(t, s, companyIDs, `{"companyIds":[`+id+`],"signals":["allSignals"]}`)
		for _, other := range []map[string]json.RawMessage{a.Companies["w"], a.Companies["n"], b.Companies[id]} {
			if string(other["companyId"]) != string(byDomain["companyId"]) {
				t.Errorf("%s: companyId = %s, want %s", firm.domain, other["companyId"], byDomain["companyId"])
			}
			for _, sig := range signalsOf(apiV2, company, false) {
				if diff := cmp.Diff(withoutNames(t, byDomain[sig.key]), withoutNames(t, other[sig.key])); diff != "" {
					t.Errorf("%s: %s differs:\n%s", firm.domain, sig.key, diff)
				}
			}
		}
		if got := string(byDomain["domain"]); got != strconv.Quote(firm.domain) {
			t.Errorf("domain = %s, want %q", got, firm.domain)
		}
		if got := string(a.Companies["n"]["companyName"]); got != strconv.Quote(firm.name) {
			t.Errorf("companyName = %s, want %q", got, firm.name)
		}
	}
}

// withoutNames drops what depends on the display name of an entity.
func withoutNames(t testing.TB, raw json.RawMessage) []map[string]any {
	var list []map[string]any
	if err := json.Unmarshal(raw, &list); err != nil {
		t.Fatalf("%s: %v", raw, err)
	}
	for _, e := range list {
		for _, key := range []string{"companyName", "domain", "eventSummary", "articleTitle", "articleHighlight", "articleUrl"} {
			delete(e, key)
		}
	}
	return list
}

func TestContactIdentifiersAgree(t *testing.T) {
	s := rig(t, Config{})
	w := s.world
	email := w.contactByEmail("Ada.Sample+news@Harborquill.example")
	if name := w.contactByName("Ada Sample", "harborquill.example"); name != email {
		t.Errorf("contactByName = %d, want %d as by e-mail", name, email)
	}
	first := w.contactByProfile("https://www.linkedin.com/in/ada-sample/?trk=x")
	for _, url := range []string{"http://linkedin.com/in/Ada-Sample", "no.linkedin.com/in/ada-sample/"} {
		if got := w.contactByProfile(url); got != first {
			t.Errorf("contactByProfile(%q) = %d, want %d", url, got, first)
		}
	}
	if w.idOf(contact, "x") == w.idOf(company, "x") {
		t.Error("contacts and companies share their ids")
	}
	a := postV2(t, s, contactSearch, `{"contacts":[{"id":"e","email":"grace.vos@otter.example"},{"id":"n","full_name":"Grace Vos","companies":[{"name":"Otter AB"}]}],"signals":["allSignals"],"startDate":"2020-01-01"}`)
	if diff := cmp.Diff(a.Contacts["e"], a.Contacts["n"]); diff != "" {
		t.Errorf("contact by e-mail and by name differ:\n%s", diff)
	}
}

// TestOverlappingWindowsAgree checks the property that a nightly job depends on: every window
// that covers a day shows the same events of that day, letter by letter, also later and for a
// smaller choice of types and entities.
func TestOverlappingWindowsAgree(t *testing.T) {
	now := &clock{t: noon}
	s := rig(t, Config{Now: now.now, Switches: Switches{Announced: "serve"}})
	sets := []struct {
		object       object
		path, format string
	}{
		{company, companySearch, `{"companies":[{"id":"x","domain":"w%d.example"}],"signals":[%s],"startDate":"%s"}`},
		{contact, contactSearch, `{"contacts":[{"id":"x","email":"p%d@w.example"}],"signals":[%s],"startDate":"%s"}`},
	}
	rapid.Check(t, func(r *rapid.T) {
		set := rapid.SampledFrom(sets).Draw(r, "object")
		firm := rapid.IntRange(0, 5000).Draw(r, "firm")
		sig := rapid.SampledFrom(s.signals[apiV2][set.object]).Draw(r, "signal")
		long := rapid.IntRange(30, 1000).Draw(r, "long")
		short := rapid.IntRange(0, long).Draw(r, "short")
		later := rapid.IntRange(0, 40).Draw(r, "later")

		now.t = noon
		today := dayOf(noon)
		wide := postV2(t, s, set.path, fmt.Sprintf(set.format, firm, `"allSignals"`, today-day(long)))
		now.t = noon.Add(time.Duration(later) * 24 * time.Hour)
		narrow := postV2(t, s, set.path, fmt.Sprintf(set.format, firm, strconv.Quote(sig.key), today-day(short)))
		if _, known := wide.entries()["x"]; !known {
			if len(narrow.entries()) != 0 {
				r.Fatal("unknown in one window, known in another")
			}
			return
		}
		inWide := map[string]bool{}
		for _, e := range wide.events(t, "x", sig.key) {
			inWide[fmt.Sprint(e)] = true
		}
		seen := map[string]bool{}
		for _, e := range narrow.events(t, "x", sig.key) {
			if seen[fmt.Sprint(e)] {
				r.Fatalf("%s: %v comes twice", sig.key, e)
			}
			seen[fmt.Sprint(e)] = true
			if later == 0 && !inWide[fmt.Sprint(e)] {
				r.Fatalf("%s: %v is in the narrow window only", sig.key, e)
			}
		}
		for _, e := range wide.events(t, "x", sig.key) {
			if d := dateOf(t, e); d >= today-day(short) && !seen[fmt.Sprint(e)] {
				r.Fatalf("%s: %v of %v has vanished from the narrow window", sig.key, e, d)
			}
		}
	})
}

func dateOf(t testing.TB, e map[string]any) day {
	t.Helper()
	text, ok := e["signalDate"].(string)
	if !ok {
		text, _ = e["articlePublishedDate"].(string)
	}
	d, ok := parseDay(text)
	if !ok {
		t.Fatalf("event %v has no date", e)
	}
	return d
}

func number(t testing.TB, e map[string]any, key string) float64 {
	t.Helper()
	n, ok := e[key].(json.Number)
	if !ok {
		t.Fatalf("%s of %v is not a number", key, e)
	}
	f, err := n.Float64()
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestEventsMatchCatalogue(t *testing.T) {
	a := postAllSignals(t, companiesV2("e", 100), `,"startDate":"2025-05-01"`)
	ids := map[any]bool{}
	counts := map[string]int{}
	for ref, entry := range a.Companies {
		if len(entry) != 3+27 {
			t.Fatalf("entry %s has %d fields, want 3 of identity and 27 types", ref, len(entry))
		}
		employees := map[day]float64{}
		for _, sig := range signalsOf(apiV2, company, true) {
			last := day(math.MaxInt32)
			for _, e := range a.events(t, ref, sig.key) {
				counts[sig.key]++
				d := dateOf(t, e)
				if d > last {
					t.Errorf("%s: %v after %v, want newest first", sig.key, d, last)
				}
				last = d
				if from, to := dayFrom(2025, 5, 1), dayOf(noon); d < from || d >= to {
					t.Errorf("%s: %v is outside the window or not yet known", sig.key, d)
				}
				if ids[e["signalId"]] {
					t.Errorf("%s: signalId %v is used twice", sig.key, e["signalId"])
				}
				ids[e["signalId"]] = true
				if strconv.Quote(e["companyId"].(string)) != string(entry["companyId"]) {
					t.Errorf("%s: companyId = %v, want %s", sig.key, e["companyId"], entry["companyId"])
				}
				switch _, _, date := d.date(); {
				case sig.cadence == monthly && date != 1:
					t.Errorf("%s: %v is not the first of a month", sig.key, d)
				case sig.cadence == weekly && sig.shape != news && d != d.monday():
					t.Errorf("%s: %v is not a Monday", sig.key, d)
				}
				checkRecord(t, sig, e, employees, d)
			}
		}
	}
	total := 0
	for _, sig := range signalsOf(apiV2, company, true) {
		if counts[sig.key] == 0 {
			t.Errorf("no %s in a year of 100 companies", sig.key)
		}
		total += counts[sig.key]
	}
	if total < 1000 || total > 6000 {
		t.Errorf("%d events in a year of 100 companies, want some thousands", total)
	}
}

// checkRecord checks the arithmetic of an event. employees collects the headcount by month.
func checkRecord(t *testing.T, sig *signal, e map[string]any, employees map[day]float64, d day) {
	t.Helper()
	compare := func(now, was string) {
		n, w := number(t, e, now), number(t, e, was)
		rate := number(t, e, "changeRatePercent")
		if want := math.Round((n/w - 1) * 100); rate != want {
			t.Errorf("%s: changeRatePercent = %v, want %v of %v against %v", sig.key, rate, want, n, w)
		}
		if rate == 0 || (rate < 0) != sig.decreasing {
			t.Errorf("%s: changeRatePercent = %v", sig.key, rate)
		}
	}
	switch sig.shape {
	case headcount:
		compare("newEmployeesCount", "baselineEmployeesCount")
		n := number(t, e, "newEmployeesCount")
		if before, ok := employees[d]; ok && before != n {
			t.Errorf("%s: newEmployeesCount of %v = %v, but %v under another key", sig.key, d, n, before)
		}
		employees[d] = n
		start := firstOfMonth(d.monthIndex() - sig.windowMonths)
		was := number(t, e, "baselineEmployeesCount")
		if before, ok := employees[start]; ok && before != was {
			t.Errorf("%s: baseline of %v = %v, but %v under another key", sig.key, start, was, before)
		}
		employees[start] = was
	case hiring:
		compare("newJobsPostedLastWeek", "historicalAvg")
	case hiringDept, hiringPlace:
		compare("newJobsPostedLast4Weeks", "historicalAvg")
	case traffic:
		compare("lastMonthVisits", "historicalAvg")
	case itSpend:
		if rate := number(t, e, "changeRatePercent"); rate == 0 || (rate < 0) != sig.decreasing {
			t.Errorf("%s: changeRatePercent = %v", sig.key, rate)
		}
	case news:
		if !containsFold(sig.eventTypes, e["eventType"].(string)) {
			t.Errorf("%s: eventType = %v, want one of %v", sig.key, e["eventType"], sig.eventTypes)
		}
		if _, has := e["signalDate"]; has {
			t.Errorf("%s has a signalDate", sig.key)
		}
	}
}

func TestDirectionsExcludeEachOther(t *testing.T) {
	a := postAllSignals(t, companiesV2("x", 100), `,"startDate":"2023-01-01"`)
	for ref := range a.Companies {
		for _, pair := range [][2]string{
			{"headcountIncrease1m", "headcountDecrease1m"}, {"headcountIncrease3m", "headcountDecrease3m"},
			{"headcountIncrease6m", "headcountDecrease6m"}, {"headcountIncrease12m", "headcountDecrease12m"},
			{"websiteTrafficIncrease", "websiteTrafficDecrease"}, {"itSpendIncrease", "itSpendDecrease"},
		} {
			up := map[any]bool{}
			for _, e := range a.events(t, ref, pair[0]) {
				up[e["signalDate"]] = true
			}
			for _, e := range a.events(t, ref, pair[1]) {
				if up[e["signalDate"]] {
					t.Errorf("%s: both %v on %v", ref, pair, e["signalDate"])
				}
			}
		}
	}
}

func TestNewsEdgeCases(t *testing.T) {
	var n, lower, undated, entities, emoji, rtl, long float64
	for batch := range 8 {
		a := postAllSignals(t, companiesV2(fmt.Sprintf("n%d-", batch), 100), `,"startDate":"2024-01-01"`)
		for ref := range a.Companies {
			for _, sig := range signalsOf(apiV2, company, false) {
				if sig.shape != news {
					continue
				}
				for _, e := range a.events(t, ref, sig.key) {
					n++
					count := func(into *float64, is bool) {
						if is {
							*into++
						}
					}
					kind := e["eventType"].(string)
					count(&lower, kind == strings.ToLower(kind))
					count(&undated, e["eventEffectiveDate"] == nil)
					title, summary := e["articleTitle"].(string), e["eventSummary"].(string)
					count(&entities, strings.Contains(title, "&#8220;"))
					count(&emoji, slices.ContainsFunc(emojis, func(p string) bool { return strings.Contains(title, p) }))
					count(&rtl, slices.Contains(rtlTexts, title))
					count(&long, len(summary) > 4000)
					if len(summary) > 20<<10 {
						t.Errorf("a summary of %d bytes", len(summary))
					}
				}
			}
		}
	}
	for _, share := range []struct {
		what        string
		got, lo, hi float64
	}{
		{"lower-case eventType", lower / n, 0.08, 0.12}, {"without effective date", undated / n, 0.18, 0.22},
		{"HTML entities", entities / n, 0.06, 0.10}, {"emoji", emoji / n, 0.04, 0.08},
		{"right-to-left", rtl / n, 0.03, 0.05}, {"very long", long / n, 0.004, 0.012},
	} {
		if share.got < share.lo || share.got > share.hi {
			t.Errorf("share of news %s = %.3f, want %v to %v (of %v)", share.what, share.got, share.lo, share.hi, n)
		}
	}
}

func TestKnownShares(t *testing.T) {
	w := world{seed: mix64(7)}
	big := 0
	for o, want := range map[object]float64{company: knownCompanies, contact: knownContacts} {
		known := 0
		const n = 20000
		for i := range n {
			id := w.idOf(o, "e"+strconv.Itoa(i))
			if id < 1 {
				t.Fatalf("idOf = %d", id)
			}
			if id > 1<<53 {
				big++
			}
			if _, ok := w.find(o, &lookup{id: id}); ok {
				known++
			}
		}
		if got := float64(known) / n; math.Abs(got-want) > 0.01 {
			t.Errorf("share of known %ss = %.3f, want %.2f", o, got, want)
		}
	}
	if big < 400 || big > 1200 {
		t.Errorf("%d of 40,000 ids are beyond a float64, want about 800", big)
	}
}

func TestCareersConnect(t *testing.T) {
	s := rig(t, Config{})
	moves := 0
	for i := range 60 {
		a := postV2(t, s, contactIDs, fmt.Sprintf(`{"contactIds":[%d],"signals":["allSignals"],"startDate":"2018-01-01"}`, 1000+i))
		ref := strconv.Itoa(1000 + i)
		if a.Contacts[ref] == nil {
			continue
		}
		changes := a.events(t, ref, "companyChange")
		moves += len(changes)
		for j := 1; j < len(changes); j++ {
			newer, older := changes[j-1], changes[j]
			if newer["previousDomain"] != older["currentDomain"] {
				// A move may be known before an older, late one is.
				if dateOf(t, older) < dayOf(noon)-30 {
					t.Errorf("contact %s left %v, having joined %v", ref, newer["previousDomain"], older["currentDomain"])
				}
			}
		}
		for _, e := range changes {
			if _, ok := e["currentCompanyId"].(json.Number); !ok {
				t.Errorf("currentCompanyId = %v, want a number", e["currentCompanyId"])
			}
			if _, ok := e["personId"].(string); !ok {
				t.Errorf("personId = %v, want a text", e["personId"])
			}
		}
	}
	if moves < 60 {
		t.Errorf("%d moves of 60 contacts in eight years", moves)
	}
}

func TestFiltersNarrowTheirFamilyOnly(t *testing.T) {
	items := companiesV2("f", 100)
	all := postAllSignals(t, items, `,"startDate":"2025-01-01"`)
	some := postAllSignals(t, items, `,"startDate":"2025-01-01","filters":{"include":{"newsEventTypes":["ipo","PARTNERSHIP"],"hiringByDepartments":["sales"],"hiringByLocations":[{"country":"NORWAY"},{"country":"united states","state":"ohio"}]}}`)
	kept := map[eventShape]int{}
	for ref := range all.Companies {
		for _, sig := range signalsOf(apiV2, company, true) {
			var want []map[string]any
			for _, e := range all.events(t, ref, sig.key) {
				keep := true
				switch sig.shape {
				case news:
					keep = containsFold([]string{"IPO", "Partnership"}, e["eventType"].(string))
				case hiringDept:
					keep = e["department"] == "Sales"
				case hiringPlace:
					keep = e["country"] == "Norway" || e["country"] == "United States" && e["state"] == "Ohio"
				}
				if keep {
					want = append(want, e)
					kept[sig.shape]++
				}
			}
			got := some.events(t, ref, sig.key)
			if len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
				t.Errorf("%s of %s filtered = %v, want %v", sig.key, ref, got, want)
			}
		}
	}
	for _, r := range []eventShape{news, hiringDept, hiringPlace} {
		if kept[r] == 0 {
			t.Errorf("no event of record %d passes the filter", r)
		}
	}
}

func TestCapKeepsTheNewest(t *testing.T) {
	items := companiesV2("m", 100)
	all := postAllSignals(t, items, `,"startDate":"2024-01-01"`)
	two := postAllSignals(t, items, `,"startDate":"2024-01-01","maxResultsPerSignal":2`)
	cut := 0
	for ref := range all.Companies {
		for _, sig := range signalsOf(apiV2, company, true) {
			want := all.events(t, ref, sig.key)
			if len(want) > 2 {
				want = want[:2]
				cut++
			}
			if got := two.events(t, ref, sig.key); len(got) != len(want) || len(want) > 0 && !cmp.Equal(got, want) {
				t.Errorf("%s of %s with a cap of 2 = %v, want %v", sig.key, ref, got, want)
			}
		}
	}
	if cut == 0 {
		t.Error("no list was longer than the cap")
	}
}

func TestSameSeedSameWorld(t *testing.T) {
	body := `{` + companiesV2("s", 50) + `,"signals":["allSignals"]}`
	one := post(rig(t, Config{Seed: 5}), companySearch, body).Body.String()
	if two := post(rig(t, Config{Seed: 5}), companySearch, body).Body.String(); one != two {
		t.Error("two servers of one seed answer differently")
	}
	if other := post(rig(t, Config{Seed: 6}), companySearch, body).Body.String(); one == other {
		t.Error("two seeds give one world")
	}
}

func TestNamesOfDomains(t *testing.T) {
	for domain, want := range map[string]string{
		"harborquill.example": "Harborquill", "harbor-quill.co.uk": "Harbor Quill", "shop.acme.example": "Acme",
		"bücher.example": "Bücher", "élan.fr": "Élan", "a.b": "A", "-.example": "-",
	} {
		if got := nameOfDomain(domain); got != want {
			t.Errorf("nameOfDomain(%q) = %q, want %q", domain, got, want)
		}
	}
}

func TestMonthsBack(t *testing.T) {
	for from, want := range map[string]string{
		"2026-08-31": "2026-02-28", "2024-08-31": "2024-02-29", "2026-05-01": "2025-11-01", "2026-03-15": "2025-09-15",
	} {
		d, _ := parseDay(from)
		if got := d.monthsBack(6).String(); got != want {
			t.Errorf("monthsBack(%s, 6) = %s, want %s", from, got, want)
		}
	}
	for d := worldStart; d < worldStart+5000; d++ {
		if got := d.monday(); time.Unix(int64(got)*86400, 0).UTC().Weekday() != time.Monday || d-got < 0 || d-got > 6 {
			t.Fatalf("monday(%v) = %v", d, got)
		}
		if back, ok := parseDay(d.String()); !ok || back != d {
			t.Fatalf("parseDay(%s) = %v", d, back)
		}
	}
}

func TestSixMonthsWithoutStartDate(t *testing.T) {
	a := postAllSignals(t, companiesV2("d", 1), "")
	if a.StartDate != "2025-11-01" || a.EndDate != "2026-05-01" {
		t.Errorf("window = %s to %s, want 2025-11-01 to 2026-05-01", a.StartDate, a.EndDate)
	}
}
