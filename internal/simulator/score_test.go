package simulator

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

const (
	contactScore = "/v3/contacts/signal-score"
	companyScore = "/v3/companies/signal-score"
)

// TestScore checks every row and the total price.
func TestScore(t *testing.T) {
	for path, items := range map[string]string{contactScore: contactsV3("s", 100), companyScore: companiesV3("s", 100)} {
		s := rig(t, Config{})
		a := postV3(t, s, path, `{`+items+`}`)
		rows, quiet, codes, values := 0, 0, map[string]int{}, map[string]bool{}
		for _, r := range a.Results {
			if code := itemCode(t, r); code != "" {
				codes[code]++
				continue
			}
			var row struct {
				ID, Name, FullName string
				Company            struct{ ID, Name, Domain string }
				SignalScore        *float64
				SignalTypes        []string
				NoActiveSignals    *bool
			}
			raw, _ := json.Marshal(r)
			if err := json.Unmarshal(raw, &row); err != nil || row.SignalScore == nil || row.NoActiveSignals == nil {
				t.Fatalf("row = %s, %v", raw, err)
			}
			rows++
			score := *row.SignalScore
			values[string(r["signalScore"])] = true
			if score < 0 || score > 1 || math.Abs(score*1e4-math.Round(score*1e4)) > 1e-6 {
				t.Errorf("score = %s, want 0 to 1 with four decimals", r["signalScore"])
			}
			if *row.NoActiveSignals != (len(row.SignalTypes) == 0) || *row.NoActiveSignals != (score == 0) {
				t.Errorf("row = %s", raw)
			}
			if *row.NoActiveSignals {
				quiet++
			}
			for _, word := range row.SignalTypes {
				if sig := signalByKey(word); sig != nil && word != "promotion" {
					t.Errorf("signalTypes names the signal key %s", word)
				}
			}
			if row.ID == "" || path == companyScore && row.Name == "" || path == contactScore && (row.FullName == "" || row.Company.Name == "") {
				t.Errorf("row = %s", raw)
			}
		}
		if codes[notFound] == 0 || codes[noScore] == 0 || codes[noScore] > 15 || rows < 50 || quiet == rows || len(values) < 5 {
			t.Errorf("%s: %d rows, %d quiet, %d scores, %v", path, rows, quiet, len(values), codes)
		}
		b := checkBill(t, s)
		if b.Credits != int64(rows) || b.ByType[productScore] != int64(rows) || a.Billing.CreditsCharged != int64(rows) || !isUUID(a.RequestID) {
			t.Errorf("%s: %d rows cost %d, bill %v", path, rows, a.Billing.CreditsCharged, b.ByType)
		}
		full := rig(t, Config{Switches: Switches{Events: "most"}})
		if a := postV3(t, full, path, `{`+items+`}`); a.Billing.CreditsCharged != 100 || full.Bill().Credits != 100 {
			t.Errorf("%s: events=most costs %d", path, a.Billing.CreditsCharged)
		}
	}
}

func TestScorePrice(t *testing.T) {
	for setting, priced := range map[string]bool{"priced": true, "unpriced": false} {
		s := rig(t, Config{Switches: Switches{ScorePrice: setting}})
		a := postV3(t, s, companyScore, `{`+companiesV3("s", 20)+`}`)
		if b := checkBill(t, s); (b.Credits > 0) != priced || b.Credits != a.Billing.CreditsCharged || a.Billing.ResultsReturned == 0 {
			t.Errorf("score-price=%s: %d credits, %d results", setting, b.Credits, a.Billing.ResultsReturned)
		}
		if page := get(s, accountUsage).Body.String(); strings.Contains(page, "signal_score_") != priced || !strings.Contains(page, "api_search") {
			t.Errorf("score-price=%s: the account page is %s", setting, page)
		}
	}
}

// TestScoreIsNotSearch checks that an entity without a score is still known, and that the score
// restricts no entity.
func TestScoreIsNotSearch(t *testing.T) {
	s := rig(t, Config{Switches: Switches{NotFound: "404", Restricted: "some"}})
	seen := map[string]int{}
	for i := range 400 {
		w := post(s, companyScore, `{"companies":[{"name":"Firm `+inLetters(i)+inLetters(i*7)+`"}]}`)
		for _, mark := range []string{noScore, restricted, notFound, `"statusCode":404`} {
			if strings.Contains(w.Body.String(), mark) {
				seen[mark]++
			}
		}
	}
	if seen[noScore] == 0 || seen[restricted] != 0 || seen[notFound] != 0 || seen[`"statusCode":404`] == 0 {
		t.Errorf("not-found=404 with restricted=some: %v", seen)
	}
}

// TestScoreByMail checks that an e-mail address names a company, the one of its host.
func TestScoreByMail(t *testing.T) {
	s := rig(t, Config{})
	for _, domain := range []string{"a.example", "b.example", "c.example", "d.example"} {
		a := postV3(t, s, companyScore, `{"companies":[{"email":"x@`+domain+`"},{"domain":"`+domain+`"}]}`)
		if string(a.Results[0]["id"]) != string(a.Results[1]["id"]) || string(a.Results[0]["signalScore"]) != string(a.Results[1]["signalScore"]) {
			t.Errorf("%s by e-mail and by domain: %v", domain, a.Results)
		}
	}
}
