package simulator

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
)

// v3Calls holds, for every billed operation of V3, a request that finds something.
var v3Calls = map[string]string{
	contactSignals3: `{"ids":` + idsJSON(1, 60, `"`) + `,"signalTypes":["allSignals"],"startDate":"2024-05-01"}`,
	companySignals3: `{"ids":` + idsJSON(1, 40, `"`) + `,"signalTypes":["allSignals"]}`,
	contactSearch3:  `{` + contactsV3("f", 60) + `}`,
	companySearch3:  `{` + companiesV3("f", 60) + `}`,
	contactScore:    `{` + contactsV3("f", 40) + `}`,
	companyScore:    `{` + companiesV3("f", 40) + `}`,
	contactLike:     `{` + seedsJSON(contactLike, "f", 5) + `}`,
	companyLike:     `{` + seedsJSON(companyLike, "f", 5) + `}`,
	contactLikeOld:  `{` + seedsJSON(contactLike, "f", 5) + `}`,
	companyLikeOld:  `{` + seedsJSON(companyLike, "f", 5) + `}`,
	websiteVisits:   `{"domains":["mine.example"],"startDate":"2026-03-01","endDate":"2026-05-01"}`,
}

// wantDistortions holds what a client must see of each fault that distorts an answer. n is the charge and
// before the number of results of the plain answer.
var wantDistortions = map[string]func(body []byte, older bool, n int64, before int) bool{
	"charge-missing":   func(b []byte, _ bool, _ int64, _ int) bool { return !bytes.Contains(b, []byte("reditsCharged")) },
	"charge-null":      chargeSays("null"),
	"charge-string":    chargeSays(`"%d"`),
	"charge-negative":  chargeSays("-1"),
	"charge-fraction":  chargeSays("%d.5"),
	"charge-duplicate": chargeSays(`%d,"creditsCharged":%d`),
	"charge-case": func(b []byte, _ bool, n int64, _ int) bool {
		return bytes.Contains(b, fmt.Appendf(nil, `"CreditsCharged":%d`, n))
	},
	"charge-elsewhere": func(b []byte, older bool, n int64, _ int) bool {
		if older {
			return bytes.Contains(b, fmt.Appendf(nil, `,"creditCharged":%d}`, n)) || bytes.Contains(b, fmt.Appendf(nil, `,"billing":{"creditsCharged":%d,`, n))
		}
		return bytes.Contains(b, fmt.Appendf(nil, `,"creditCharged":%d}`, n)) || bytes.Contains(b, fmt.Appendf(nil, `,"creditsCharged":%d}`, n))
	},
	"extra-fields": func(b []byte, _ bool, _ int64, _ int) bool {
		return bytes.Contains(b, []byte("apiRevision")) && bytes.Contains(b, []byte("isCustomer"))
	},
	"unknown-type":          func(b []byte, _ bool, _ int64, _ int) bool { return bytes.Contains(b, []byte("headcountGrowth")) },
	"drift":                 func(b []byte, _ bool, _ int64, _ int) bool { return bytes.Contains(b, []byte("apiRelease")) },
	"odd-types":             func([]byte, bool, int64, int) bool { return true },
	"missing-entities-some": func(b []byte, _ bool, _ int64, before int) bool { n := countResults(b); return n > 0 && n < before },
	"foreign-entity":        func(b []byte, _ bool, _ int64, before int) bool { return countResults(b) == before+1 },
	"duplicate-entity-key":  func(b []byte, _ bool, _ int64, before int) bool { return countResults(b) == before+1 },
	"root-list": func(b []byte, _ bool, _ int64, before int) bool {
		var a struct{ Results map[string]json.RawMessage }
		return json.Unmarshal(b, &a) == nil && len(a.Results) == before
	},
	"wrong-content-type": func(b []byte, _ bool, _ int64, before int) bool { return countResults(b) == before },
	"201":                func(b []byte, _ bool, _ int64, before int) bool { return countResults(b) == before },
}

func chargeSays(format string) func([]byte, bool, int64, int) bool {
	return func(b []byte, older bool, n int64, _ int) bool {
		numbers := []any{n, n + 7}
		says := fmt.Sprintf(format, numbers[:strings.Count(format, "%d")]...)
		if older {
			return bytes.HasSuffix(b, []byte(`,"creditsCharged":`+says+`}`))
		}
		return bytes.Contains(b, []byte(`"billing":{"creditsCharged":`+says+`,"resultsReturned":`))
	}
}

// countResults counts the results of an answer; -1 when they are not a list.
func countResults(b []byte) int {
	var a struct{ Results []json.RawMessage }
	if json.Unmarshal(b, &a) != nil {
		return -1
	}
	return len(a.Results)
}

// TestFaultKindsOnV3 injects every kind of fault into every operation.
func TestFaultKindsOnV3(t *testing.T) {
	for _, path := range billedPaths() {
		body, ok := v3Calls[path]
		if !ok {
			if strings.HasPrefix(path, "/v3/") {
				t.Errorf("no fault is tried on %s", path)
			}
			continue
		}
		calm := rig(t, Config{})
		plain := post(calm, path, body)
		cost, before := calm.Bill().Credits, countResults(plain.Body.Bytes())
		if plain.Code != 200 || cost < 2 || before < 10 {
			t.Fatalf("POST %s = %d for %d: %.200s", path, plain.Code, cost, plain.Body)
		}
		for _, kind := range FaultKinds() {
			if slices.Contains([]string{"slow", "slow-drip", "hang", "huge-body"}, kind.Name) && path != companyLike {
				continue // slow kinds run once
			}
			t.Run(path+"/"+kind.Name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					s := rig(t, Config{Faults: []Fault{{Kind: kind.Name, At: 1}}})
					client, stop := serve(s)
					defer stop()
					o := send(client, "http://simulator.test", path, "key-1", body, clientTimeout)
					// The handler may end after the client has its answer.
					synctest.Wait()
					wantCredits := int64(0)
					if kind.Billed {
						wantCredits = cost
					}
					e := checkBill(t, s).Entries[0]
					if e.Fault != kind.Name || e.Credits != wantCredits || e.Delivered != kind.Delivered {
						t.Errorf("entry = %+v, want fault %s, %d credits, delivered %t", e, kind.Name, wantCredits, kind.Delivered)
					}
					spec, _ := faultSpecOf(kind.Name)
					if spec.distort == nil {
						return
					}
					if o.err != nil || o.status/100 != 2 || !json.Valid(o.body) || wantDistortions[kind.Name] == nil ||
						!wantDistortions[kind.Name](o.body, strings.HasPrefix(path, "/v3/lookalike/"), cost, before) {
						t.Errorf("answer = %v, not as documented", o)
					}
					if same := bytes.Equal(o.body, plain.Body.Bytes()); same != (kind.Name == "201" || kind.Name == "wrong-content-type") {
						t.Errorf("the answer is the plain one: %t", same)
					}
				})
			})
		}
	}
}

// TestV3UnderChaos checks that, whatever the switches draw, answers are JSON, equal requests have
// equal answers, and the bill is the one without chaos.
func TestV3UnderChaos(t *testing.T) {
	shapes := map[string]bool{}
	for i := range 12 {
		calm, wild := rig(t, Config{Seed: uint64(i)}), rig(t, Config{Seed: uint64(i), Switches: Switches{Chaos: "on"}})
		for path, body := range v3Calls {
			if strings.Contains(path, "lookalike") {
				body = strings.Replace(body, "{", `{"limit":10,`, 1)
			}
			one := post(wild, path, body)
			if !json.Valid(one.Body.Bytes()) || one.Code != 200 && one.Code != 201 {
				t.Errorf("chaos: POST %s = %d %.300s", path, one.Code, one.Body)
			}
			if two := post(wild, path, body); !strings.Contains(path, "lookalike") && !bytes.Equal(one.Body.Bytes(), two.Body.Bytes()) {
				t.Errorf("chaos: POST %s has two answers", path)
			}
			post(calm, path, body)
			for _, mark := range []string{`"creditCharged"`, `"billing"`, `"offset"`, `"pagination"`, `"newCompany"`, `"personId"`, `"www.`} {
				shapes[fmt.Sprint(mark, strings.Contains(one.Body.String(), mark))] = true
			}
		}
		if got, want := checkBill(t, wild).Credits, 2*checkBill(t, calm).Credits; got != want {
			t.Errorf("chaos: the bill is %d, want %d", got, want)
		}
	}
	if len(shapes) != 14 {
		t.Errorf("chaos over many answers shows %v", shapes)
	}
}

// TestV3PerType checks that the billing switch affects V3 events and nothing else.
func TestV3PerType(t *testing.T) {
	for path, body := range v3Calls {
		event, kind := rig(t, Config{}), rig(t, Config{Switches: Switches{Billing: "per_type"}})
		post(event, path, body)
		post(kind, path, body)
		per, by := checkBill(t, event).Credits, checkBill(t, kind).Credits
		if isEvents := strings.HasSuffix(path, "/signals"); isEvents != (by < per) || by == 0 {
			t.Errorf("POST %s costs %d, and %d per type", path, per, by)
		}
	}
}

// TestV3MaxEvents checks that events=most charges every V3 request its highest possible price.
func TestV3MaxEvents(t *testing.T) {
	for path, body := range v3Calls {
		drawn, most := rig(t, Config{}), rig(t, Config{Switches: Switches{Events: "most"}})
		post(drawn, path, body)
		post(most, path, body)
		if d, m := checkBill(t, drawn).Credits, checkBill(t, most).Credits; m < d || m == 0 {
			t.Errorf("POST %s costs %d, and %d at most", path, d, m)
		}
	}
}

// TestV3PoolIsNeverOverdrawn checks that every product stops at the pool and that a refusal is
// free.
func TestV3PoolIsNeverOverdrawn(t *testing.T) {
	for path, body := range v3Calls {
		s := rig(t, Config{Credits: 25})
		refused := 0
		for range 35 {
			if post(s, path, body).Code == 402 {
				refused++
			}
		}
		if b := checkBill(t, s); b.Remaining < 0 || refused == 0 {
			t.Errorf("POST %s: %d left of 25, %d refused", path, b.Remaining, refused)
		}
	}
}

// TestV3Quotas checks that V3 requests count against the same quotas, lists included.
func TestV3Quotas(t *testing.T) {
	s := rig(t, Config{Plan: "free", Burst: -1})
	for i := range 45 {
		want := 200
		if i >= 40 {
			want = 429
		}
		var got int
		if i%2 == 0 {
			got = get(s, "/v3/companies/signals/types").Code
		} else {
			got = post(s, companySearch3, `{"companies":[{"domain":"a.example"}]}`).Code
		}
		if got != want {
			t.Errorf("request %d = %d, want %d", i+1, got, want)
		}
	}
}
