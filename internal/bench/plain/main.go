// Command plain is the yardstick of the benchmarks: what a Go programmer writes in a day to bring the
// same answers into the same columns and the same files as siglake. encoding/json fills a struct, Arrow's
// builders take its fields, and pqarrow with zstd writes one Parquet file for each table and month.
//
// It shares nothing with siglake but the names and types of the columns, and keeps none of its promises:
// no journal, no comparison with what the lake has, no order of rows, no bill, no unknown fields, no
// check of what it reads. It is not made faster: the ratios in RESULTS.md compare with it as it is.
//
//	plain -list LIST -base-url URL [-out DIR]
//
// Without -out it fills columns and drops them.
package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Entities of a call, and calls at a time: siglake's defaults.
const (
	batchSize   = 100
	concurrency = 8
)

// account is a line of the list.
type account struct{ key, id string }

// reply is the answer to a call.
type reply struct {
	callID string
	at     time.Time
	body   []byte
	err    error
}

func main() {
	list := flag.String("list", "", "CSV `FILE` with the columns account_id and company_id")
	base := flag.String("base-url", "", "`URL` of the answers")
	since := flag.String("since", "", "first `DATE` to ask for")
	out := flag.String("out", "", "`DIR` for the files")
	flag.Parse()
	events, err := run(context.Background(), *list, *base, *since, *out)
	if err != nil {
		fmt.Fprintln(os.Stderr, "plain:", err)
		os.Exit(1)
	}
	fmt.Println(events, "events")
}

// run asks about every line of a list, and gives the number of events.
func run(ctx context.Context, list, base, since, out string) (int, error) {
	accounts, err := readList(list)
	if err != nil {
		return 0, err
	}
	t := newTables(out, accounts)
	for r := range fetchAll(ctx, base, since, accounts) {
		if err = errors.Join(err, r.err); err != nil {
			continue // until all calls have ended
		}
		err = t.add(r)
	}
	return t.events, errors.Join(err, t.close())
}

func readList(path string) ([]account, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, err
	}
	var accounts []account
	for _, line := range lines[1:] {
		accounts = append(accounts, account{line[0], line[1]})
	}
	return accounts, nil
}

// fetchAll makes the calls. Its goroutines end when the channel is closed, which the caller must drain.
func fetchAll(ctx context.Context, base, since string, accounts []account) <-chan reply {
	batches, replies := make(chan []account), make(chan reply)
	go func() {
		defer close(batches)
		for ; len(accounts) > batchSize; accounts = accounts[batchSize:] {
			batches <- accounts[:batchSize]
		}
		batches <- accounts
	}()
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for batch := range batches {
				replies <- fetch(ctx, base, since, batch)
			}
		})
	}
	go func() {
		workers.Wait()
		close(replies)
	}()
	return replies
}

// signals are the keys that the benchmark requests: those of companies.
var signals = []string{
	"headcountIncrease1m", "headcountIncrease3m", "headcountIncrease6m", "headcountIncrease12m",
	"headcountDecrease1m", "headcountDecrease3m", "headcountDecrease6m", "headcountDecrease12m",
	"surgeInHiring", "surgeInHiringByDepartment", "surgeInHiringByLocation",
	"websiteTrafficIncrease", "websiteTrafficDecrease", "itSpendIncrease", "itSpendDecrease",
	"financialEventsNews", "commercialActivityNews", "corporateStrategyNews", "productActivityNews",
	"peopleNews", "marketIntelligenceNews", "riskNews",
}

func fetch(ctx context.Context, base, since string, batch []account) reply {
	ids := make([]json.Number, len(batch))
	for i, a := range batch {
		ids[i] = json.Number(a.id)
	}
	body, err := json.Marshal(map[string]any{"companyIds": ids, "signals": signals, "startDate": since, "maxResultsPerSignal": 100})
	if err != nil {
		return reply{err: err}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/api/signals/companies", bytes.NewReader(body))
	if err != nil {
		return reply{err: err}
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("api_key", "bench")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return reply{err: err}
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("HTTP %d: %s", response.StatusCode, answer)
	}
	return reply{callID: batch[0].key, at: time.Now(), body: answer, err: err}
}
