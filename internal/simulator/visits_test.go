package simulator

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const websiteVisits = "/v3/companies/website-visits"

// visitRow is one row of a page of visits.
type visitRow struct {
	ID, Name, Domain, Industry string
	Score                      int
	ScoreBand                  string
	TotalSessions              int
	UniqueVisitors             int
	AvgSessionMinutes          float64
	DaysVisited                int
	HighIntentPageviews        int
	LastVisit                  string
	VisitorCountry             string
}

type visitsPage struct {
	RequestID  string
	Results    []visitRow
	Pagination *struct {
		Page, Size, Limit, Offset *int
		Total                     int
		HasMore                   bool
	}
	Billing struct{ CreditsCharged, ResultsReturned int64 }
}

func postVisits(t testing.TB, s *Server, rest string) visitsPage {
	t.Helper()
	w := post(s, websiteVisits, `{"domains":["mine.example"],"startDate":"2026-03-01","endDate":"2026-05-01"`+rest+`}`)
	var p visitsPage
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || w.Code != 200 {
		t.Fatalf("POST %s %s = %d %.300s: %v", websiteVisits, rest, w.Code, w.Body, err)
	}
	return p
}

// TestVisits reads all pages and checks every row and the total price.
func TestVisits(t *testing.T) {
	s := rig(t, Config{})
	seen, rows := map[string]bool{}, []visitRow{}
	for n := 1; ; n++ {
		p := postVisits(t, s, fmt.Sprintf(`,"pagination":{"page":%d,"size":40}`, n))
		if p.Pagination == nil || *p.Pagination.Page != n || *p.Pagination.Size != 40 || p.Billing.CreditsCharged != int64(len(p.Results)) || !isUUID(p.RequestID) {
			t.Fatalf("page %d = %+v", n, p)
		}
		for _, g := range p.Results {
			if seen[g.ID] {
				t.Errorf("%s is on two pages", g.ID)
			}
			seen[g.ID] = true
			rows = append(rows, g)
			if g.Name == "" || g.Domain == "" || g.Score < 1 || g.Score > 100 || !slices.Contains(scoreBands, g.ScoreBand) || g.UniqueVisitors > g.TotalSessions ||
				g.DaysVisited > g.TotalSessions || g.LastVisit < "2026-03-01" || g.LastVisit > "2026-05-01" || len(g.VisitorCountry) != 2 {
				t.Errorf("row %+v", g)
			}
		}
		if !p.Pagination.HasMore {
			if len(rows) != p.Pagination.Total {
				t.Errorf("%d rows of %d", len(rows), p.Pagination.Total)
			}
			break
		}
	}
	if !slices.IsSortedFunc(rows, func(a, b visitRow) int { return b.Score - a.Score }) || len(rows) < 41 || len(rows) > maxVisitors {
		t.Errorf("%d rows, want some pages of them, hottest first", len(rows))
	}
	b := checkBill(t, s)
	if b.ByType[productVisits] != int64(len(rows)) || b.Entries[0].Entities != 1 || !cmp.Equal(b.Entries[0].Types, []string{productVisits}) {
		t.Errorf("bill %v, entry %+v, want %d rows", b.ByType, b.Entries[0], len(rows))
	}
	if p := postVisits(t, s, `,"pagination":{"page":1000000}`); len(p.Results) != 0 || s.Bill().Credits != b.Credits {
		t.Errorf("a page after the last has %d rows", len(p.Results))
	}
	// A visitor can be looked up by its id and by its domain.
	a := postV3(t, s, companySignals3, fmt.Sprintf(`{"ids":[%q],"signalTypes":["riskNews"]}`, rows[0].ID))
	c := postV3(t, s, companySearch3, fmt.Sprintf(`{"companies":[{"domain":%q}]}`, rows[0].Domain))
	if len(a.Results) != 1 || text(t, c.Results[0], "id") != rows[0].ID {
		t.Errorf("visitor %+v is known as %v", rows[0], a.Results)
	}
}

// TestVisitsLikeTheSignal checks that the measures have the names and types of the signal about
// visits.
func TestVisitsLikeTheSignal(t *testing.T) {
	s := rig(t, Config{Switches: mustParseSwitches(t, "announced")})
	var signals, pages struct{ Results []map[string]json.RawMessage }
	if err := json.Unmarshal(post(s, companySignals3, `{"ids":`+idsJSON(1, 100, `"`)+`,"signalTypes":["websiteVisitors"]}`).Body.Bytes(), &signals); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(post(s, websiteVisits, `{"domains":["mine.example"],"startDate":"2026-03-01","endDate":"2026-05-01"}`).Body.Bytes(), &pages); err != nil {
		t.Fatal(err)
	}
	kind := func(v any) string { return fmt.Sprintf("%T", v) }
	for _, r := range signals.Results {
		var events []map[string]any
		if err := json.Unmarshal(r["websiteVisitors"], &events); err != nil {
			t.Fatal(err)
		}
		for _, e := range events {
			for key, value := range e {
				if slices.Contains([]string{"companyId", "companyName", "domain", "signalId", "signalDate"}, key) {
					continue
				}
				var other any
				if err := json.Unmarshal(pages.Results[0][key], &other); err != nil || kind(other) != kind(value) {
					t.Errorf("%s is %v in the signal and %s on the page", key, value, pages.Results[0][key])
				}
			}
			return
		}
	}
	t.Error("no visit in a hundred companies")
}

func TestVisitFilters(t *testing.T) {
	s := rig(t, Config{})
	all := postVisits(t, s, `,"pagination":{"size":150}`).Pagination.Total
	for filter, want := range map[string]func(visitRow) bool{
		`"scoreBands":["Hot","warm"]`:                               func(g visitRow) bool { return g.ScoreBand != "cold" },
		`"visitorCountries":{"include":["no","DE"]}`:                func(g visitRow) bool { return g.VisitorCountry == "NO" || g.VisitorCountry == "DE" },
		`"visitorCountries":{"exclude":["US"]}`:                     func(g visitRow) bool { return g.VisitorCountry != "US" },
		`"score":{"min":40,"max":60}`:                               func(g visitRow) bool { return g.Score >= 40 && g.Score <= 60 },
		`"totalSessions":{"max":5}`:                                 func(g visitRow) bool { return g.TotalSessions <= 5 },
		`"avgSessionMinutes":{"min":10.5}`:                          func(g visitRow) bool { return g.AvgSessionMinutes >= 10.5 },
		`"uniqueVisitors":{"min":9}`:                                func(g visitRow) bool { return g.UniqueVisitors >= 9 },
		`"daysVisited":{"max":3}`:                                   func(g visitRow) bool { return g.DaysVisited <= 3 },
		`"highIntentPageviews":{"min":1}`:                           func(g visitRow) bool { return g.HighIntentPageviews >= 1 },
		`"daysSinceLastVisit":{"max":10}`:                           func(g visitRow) bool { return g.LastVisit >= "2026-04-21" },
		`"scoreBands":["cold"],"uniqueVisitors":{"min":2,"max":20}`: func(g visitRow) bool { return g.ScoreBand == "cold" && g.UniqueVisitors >= 2 },
	} {
		p := postVisits(t, s, `,"pagination":{"size":150},"filters":{`+filter+`}`)
		for _, g := range p.Results {
			if !want(g) {
				t.Errorf("%s lets %+v through", filter, g)
			}
		}
		if p.Pagination.Total == 0 || p.Pagination.Total >= all {
			t.Errorf("%s leaves %d of %d", filter, p.Pagination.Total, all)
		}
	}
	for by, value := range map[string]func(visitRow) float64{
		"score": func(g visitRow) float64 { return float64(g.Score) }, "avgSessionMinutes": func(g visitRow) float64 { return g.AvgSessionMinutes },
		"lastVisit": func(g visitRow) float64 { d, _ := parseDay(g.LastVisit); return float64(d) },
	} {
		for order, sign := range map[string]float64{"asc": 1, "desc": -1} {
			p := postVisits(t, s, `,"sort":{"by":"`+by+`","order":"`+order+`"}`)
			for i := 1; i < len(p.Results); i++ {
				if sign*value(p.Results[i-1]) > sign*value(p.Results[i]) {
					t.Errorf("by %s %s: %+v before %+v", by, order, p.Results[i-1], p.Results[i])
				}
			}
		}
	}
}

func TestPaginationSwitch(t *testing.T) {
	const rest = `,"pagination":{"page":3,"size":10}`
	for setting, want := range map[string]string{
		"page-size": `"pagination":{"page":3,"size":10,"total":`, "limit-offset": `"pagination":{"limit":10,"offset":20,"total":`, "absent": "",
	} {
		s := rig(t, Config{Switches: Switches{Pagination: setting}})
		p := postVisits(t, s, rest)
		body := post(s, websiteVisits, `{"domains":["mine.example"],"startDate":"2026-03-01","endDate":"2026-05-01"`+rest+`}`).Body.String()
		if !strings.Contains(body, want) || (p.Pagination == nil) != (setting == "absent") || len(p.Results) != 10 {
			t.Errorf("pagination=%s: %d results, %+v", setting, len(p.Results), p.Pagination)
		}
	}
}

func TestVisitsMost(t *testing.T) {
	s := rig(t, Config{Switches: Switches{Events: "most"}})
	for n := 1; n < 4; n++ {
		p := postVisits(t, s, fmt.Sprintf(`,"pagination":{"page":%d,"size":150},"filters":{"scoreBands":["hot"]}`, n))
		if len(p.Results) != 150 || !p.Pagination.HasMore {
			t.Errorf("events=most: page %d has %d rows", n, len(p.Results))
		}
	}
	if c := checkBill(t, s).Credits; c != 450 {
		t.Errorf("events=most: %d credits", c)
	}
}
