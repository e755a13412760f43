package simulator_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/simulator"
)

// The answer of the first purchase is lost in transit; the second one arrives. Both are on the
// bill.
func Example() {
	lost, err := simulator.ParseFault("drop-after-charge@1")
	if err != nil {
		panic(err)
	}
	sim, err := simulator.New(simulator.Config{
		Seed:   1,
		Now:    func() time.Time { return time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC) },
		Faults: []simulator.Fault{lost},
	})
	if err != nil {
		panic(err)
	}
	api := httptest.NewServer(sim)
	defer api.Close()

	for range 2 {
		body := `{"companies":[{"id":"row-1","domain":"harborquill.example"}],"signals":["allSignals"],"maxResultsPerSignal":5}`
		req, _ := http.NewRequest(http.MethodPost, api.URL+"/api/signals/companies/search", strings.NewReader(body))
		req.Header.Set("api_key", "any")
		req.Header.Set("User-Agent", "example/1")
		req.Header.Set("Content-Type", "application/json")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			fmt.Println("no answer")
			continue
		}
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		fmt.Println(resp.Status, strings.Contains(string(answer), `"companyName":"Harborquill"`))
	}
	bill := sim.Bill()
	fmt.Println(bill.Requests, "requests;", bill.Delivered == bill.Undelivered, bill.Delivered > 0)
	// Output:
	// no answer
	// 200 OK true
	// 2 requests; true true
}
