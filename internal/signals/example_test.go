package signals_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"

	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"companies":{"acct-9":{"companyId":"88003321","companyName":"Harbor Quill",
			"surgeInHiring":[{"signalId":"9100410","signalDate":"2026-04-20"}]}},"creditCharged":1}`)
	}))
	defer srv.Close()

	_, err := signals.New(signals.Config{BaseURL: srv.URL, Key: signals.NewKey("the account's key")})
	fmt.Println(err)
	client, err := signals.New(signals.Config{BaseURL: srv.URL, Key: signals.NewKey("5f1c0d9e")})
	if err != nil {
		panic(err)
	}
	stack := signals.Bisect(signals.Retry(signals.Decode(client), signals.RetryConfig{}))

	reply, err := stack.Fetch(context.Background(), &pipeline.Batch{
		ID:    "000001",
		Query: &pipeline.Query{Object: schema.Company, Signals: []string{"surgeInHiring"}, Since: "2026-01-01", MaxResults: 10},
		Items: []pipeline.Item{
			{Ref: "acct-9", Account: schema.Account{Object: schema.Company, Domain: "harborquill.example"}},
			{Ref: "acct-10", Account: schema.Account{Object: schema.Company, Name: "Tallow & Finch"}},
		},
	})
	if err != nil {
		panic(err)
	}
	for _, call := range reply.Calls {
		fmt.Println(call.ID, call.Endpoint, call.Outcome, call.Charge.Credits, "of at most", call.Ceiling)
	}
	for _, item := range reply.Items {
		fmt.Println(item.Status, item.Entity.ID, len(item.Events))
	}
	// Output:
	// the API key holds a character at position 4 that cannot be sent
	// 000001-1 POST /api/signals/companies/search charged 1 of at most 20
	// enriched 88003321 1
	// not_found  0
}
