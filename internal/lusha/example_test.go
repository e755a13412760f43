package lusha_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

func Example() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"companies":{"acct-9":{"companyId":"88003321","companyName":"Harbor Quill",
			"surgeInHiring":[{"signalId":"9100410","signalDate":"2026-04-20"}]}},"creditCharged":1}`)
	}))
	defer srv.Close()

	_, err := lusha.New(lusha.Config{BaseURL: srv.URL, Key: lusha.NewKey("the account's key")})
	fmt.Println(err)
	client, err := lusha.New(lusha.Config{BaseURL: srv.URL, Key: lusha.NewKey("5f1c0d9e")})
	if err != nil {
		panic(err)
	}
	stack := policy.Bisect(policy.Retry(lusha.Decode(client), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{})

	reply, err := stack.Fetch(context.Background(), &pipeline.Batch{
		ID:    "000001",
		Query: &pipeline.Query{Object: schema.Company, Ask: pipeline.SignalsAsk{Types: []string{"surgeInHiring"}, MaxResults: 10}, Since: "2026-01-01"},
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

// The pages of lookalikes belong to a session. One that is gone costs nothing,
// and is begun anew.
func Example_lookalikes() {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		switch {
		case strings.Contains(string(body), "too-old"):
			w.WriteHeader(http.StatusGone)
			io.WriteString(w, `{"code":"DEDUPE_SESSION_INVALID","message":"begin again"}`)
		case strings.Contains(string(body), "fresh"):
			io.WriteString(w, `{"dedupeSessionId":"fresh","results":[{"id":"3"}],"meta":{"hasMore":false},"billing":{"creditsCharged":1}}`)
		default:
			io.WriteString(w, `{"dedupeSessionId":"fresh","results":[{"id":"1"},{"id":"2"}],"meta":{"hasMore":true},"billing":{"creditsCharged":2}}`)
		}
	}))
	defer srv.Close()
	client, err := lusha.New(lusha.Config{BaseURL: srv.URL, Key: lusha.NewKey("5f1c0d9e")})
	if err != nil {
		panic(err)
	}
	stack := policy.Bisect(policy.Retry(lusha.Decode(client), lusha.Rules{}, policy.RetryConfig{}), lusha.Rules{})

	ask := pipeline.LookalikeAsk{PageSize: 2}
	for _, domain := range []string{"a.example", "b.example", "c.example", "d.example", "e.example"} {
		ask.Seeds = append(ask.Seeds, schema.Account{Object: schema.Company, Domain: domain})
	}
	query := &pipeline.Query{Object: schema.Company, APIVersion: pipeline.V3, Ask: ask}
	page := pipeline.Page{Number: 1, Limit: 2, Session: "too-old"}
	for more := true; more; page.Number++ {
		reply, err := stack.Fetch(context.Background(), &pipeline.Batch{ID: fmt.Sprintf("%06d", page.Number), Query: query, Items: []pipeline.Item{{Ref: "page", Page: &page}}})
		if err != nil {
			panic(err)
		}
		item := reply.Items[0]
		fmt.Println(reply.Calls[0].Status, reply.Calls[0].Charge.Credits, item.Status, len(item.Events))
		page.Session, page.Offset = item.Next.Session, page.Offset+int64(len(item.Events))
		more = item.Next.HasMore || item.Next.SessionExpired
	}
	// Output:
	// 410 0 deferred 0
	// 200 2 enriched 2
	// 200 1 enriched 1
}
