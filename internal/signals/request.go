package signals

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// allSignals is the vendor's pseudo-key. Asking for it would let the vendor
// decide what is bought.
const allSignals = "allSignals"

// Request is one batch as it goes over the wire.
type Request struct {
	Method string
	Path   string
	Body   []byte
	Sent   []int          // the batch's items that the body asks about
	Refuse map[int]string // the others, with the reason
}

// Endpoint is the method and path, as calls record it.
func (r *Request) Endpoint() string { return r.Method + " " + r.Path }

// RequestFor writes the request for a batch. It is a pure function: the same
// batch gives the same bytes. An item that the dialect cannot express is left
// out and named in Refuse. An error means that the batch as a whole must not
// be sent, because it would buy something nobody can foresee.
func RequestFor(b *pipeline.Batch) (*Request, error) {
	q := b.Query
	if err := checkQuery(b); err != nil {
		return nil, fmt.Errorf("batch %s: %w", b.ID, err)
	}
	if inV3(q) {
		r, err := requestV3(b)
		if err != nil {
			return nil, fmt.Errorf("batch %s: %w", b.ID, err)
		}
		return r, nil
	}
	r := &Request{Method: http.MethodPost, Path: "/api/signals/" + plural(q.Object)}
	list := plural(q.Object)
	if b.ByID {
		list = string(q.Object) + "Ids"
	} else {
		r.Path += "/search"
	}
	keys := make(map[string]bool, len(b.Items))
	body := appendQuoted([]byte{'{'}, list)
	body = append(body, ":["...)
	for i := range b.Items {
		if !r.admit(b, i) {
			continue
		}
		key := answerKey(b, i)
		if keys[key] {
			if !b.ByID {
				return nil, fmt.Errorf("batch %s: two items bear the reference %q", b.ID, key)
			}
			continue // the same id twice is asked, and paid for, once
		}
		if len(keys) > 0 {
			body = append(body, ',')
		}
		keys[key] = true
		if b.ByID {
			body = append(body, key...)
		} else {
			body = appendSearch(body, &b.Items[i])
		}
	}
	body = append(body, `],"signals":`...)
	body = appendList(body, q.Signals)
	body = append(body, `,"startDate":`...)
	body = appendQuoted(body, q.Since)
	body = append(body, `,"maxResultsPerSignal":`...)
	body = strconv.AppendInt(body, int64(q.MaxResults), 10)
	body = appendFilters(body, q)
	r.Body = append(body, '}')
	return r, nil
}

// admit enters an item as sent, or else as refused.
func (r *Request) admit(b *pipeline.Batch, i int) bool {
	reason := unfit(b, i)
	if reason == "" {
		r.Sent = append(r.Sent, i)
		return true
	}
	if r.Refuse == nil {
		r.Refuse = make(map[int]string)
	}
	r.Refuse[i] = reason
	return false
}

func checkQuery(b *pipeline.Batch) error {
	q := b.Query
	switch {
	case q == nil:
		return fmt.Errorf("no query")
	case q.Object != schema.Contact && q.Object != schema.Company:
		return fmt.Errorf("unknown object %q", q.Object)
	case len(b.Items) > pipeline.MaxBatch:
		return fmt.Errorf("%d items, but the API takes %d", len(b.Items), pipeline.MaxBatch)
	case q.Dialect != pipeline.V2 && q.Dialect != pipeline.V3:
		return fmt.Errorf("unknown dialect %q", q.Dialect)
	case q.Service != pipeline.Signals:
		return nil // what its own request needs
	case len(q.Signals) == 0:
		return fmt.Errorf("no signal types")
	case slices.Contains(q.Signals, allSignals):
		return fmt.Errorf("%s is not asked for: its price is open; list the signal types", allSignals)
	case len(q.Since) != len("2006-01-02"):
		return fmt.Errorf("start date %q is not YYYY-MM-DD", q.Since)
	case q.MaxResults < 1 || q.MaxResults > 100:
		return fmt.Errorf("%d results per signal, not 1 to 100", q.MaxResults)
	}
	return nil
}

// plural names an object's endpoint, request list and answer root.
func plural(o schema.Object) string {
	if o == schema.Contact {
		return "contacts"
	}
	return "companies"
}

// unfit says why the dialect cannot ask about an item; empty when it can.
func unfit(b *pipeline.Batch, i int) string {
	if inV3(b.Query) {
		return unfitV3(b, i)
	}
	item := &b.Items[i]
	if !b.ByID {
		switch {
		case item.Ref == "":
			return "no reference to ask under"
		case searchFamily(item) == "":
			return "no identifier to search by"
		}
		return ""
	}
	id := item.Account.ID
	if id == "" {
		return "no id to ask by"
	}
	for _, r := range id {
		if r < '0' || r > '9' {
			return fmt.Sprintf("id %q needs V3: V2 takes numbers only", shorten(id, 80))
		}
	}
	switch {
	case !fitsInt64(id):
		return fmt.Sprintf("id %q needs V3: too long for a V2 number", shorten(id, 80))
	case id[0] == '0':
		return fmt.Sprintf("id %q begins with a zero, as no V2 id does", id)
	}
	return ""
}

// fitsInt64 reports whether digits are a number as the dialect defines ids.
func fitsInt64(digits string) bool {
	_, err := strconv.ParseInt(digits, 10, 64)
	return err == nil
}

// byID reports whether the answer tells a batch's entities by their ids, rather
// than by the references they are asked under.
func byID(b *pipeline.Batch) bool {
	if inV3(b.Query) {
		return b.Query.Service == pipeline.Signals
	}
	return b.ByID
}

// answerKey is the key under which the answer holds an item.
func answerKey(b *pipeline.Batch, i int) string {
	switch {
	case !byID(b):
		return b.Items[i].Ref
	case inV3(b.Query):
		return b.Items[i].EntityID()
	}
	return b.Items[i].Account.ID
}

// searchFamily picks the one identifier family that is sent: the API's
// precedence for mixed hints is not documented.
func searchFamily(item *pipeline.Item) schema.Identifier {
	a := item.Account
	a.ID = ""
	return a.Identifier()
}

func appendSearch(body []byte, item *pipeline.Item) []byte {
	a := &item.Account
	field := func(name, value string) {
		body = append(body, ',')
		body = appendQuoted(body, name)
		body = append(body, ':')
		body = appendQuoted(body, value)
	}
	body = append(body, `{"id":`...)
	body = appendQuoted(body, item.Ref)
	switch searchFamily(item) {
	case schema.ByLinkedIn:
		field("social_link", a.LinkedIn)
	case schema.ByEmail:
		field("email", a.Email)
	case schema.ByDomain:
		field("domain", a.Domain)
	case schema.ByName:
		if a.Object == schema.Company {
			field("name", a.Name)
			break
		}
		field("full_name", a.Name)
		// The reference marks both as required and its samples carry one: both
		// are sent when both are known.
		body = append(body, `,"companies":[{`...)
		start := len(body)
		if a.CompanyName != "" {
			field("name", a.CompanyName)
		}
		if a.CompanyDomain != "" {
			field("domain", a.CompanyDomain)
		}
		body = slices.Delete(body, start, start+1) // the first comma
		body = append(body, `}]`...)
	}
	return append(body, '}')
}

// appendFilters writes the sub-filters: companies only, and each only beside a
// requested type that it can narrow.
func appendFilters(body []byte, q *pipeline.Query) []byte {
	if q.Object != schema.Company {
		return body
	}
	var filters []byte
	sub := !inV3(q) || q.SendFilters // else the answer is filtered here
	family := func(name string, write func([]byte) []byte) {
		if filters != nil {
			filters = append(filters, ',')
		}
		filters = appendQuoted(filters, name)
		filters = write(append(filters, ':'))
	}
	if sub && len(q.NewsEventTypes) > 0 && slices.ContainsFunc(q.Signals, isNews) {
		family("newsEventTypes", func(f []byte) []byte { return appendList(f, q.NewsEventTypes) })
	}
	if sub && len(q.HiringDepartments) > 0 && slices.Contains(q.Signals, "surgeInHiringByDepartment") {
		family("hiringByDepartments", func(f []byte) []byte { return appendList(f, q.HiringDepartments) })
	}
	if sub && len(q.HiringLocations) > 0 && slices.Contains(q.Signals, "surgeInHiringByLocation") {
		family("hiringByLocations", func(f []byte) []byte {
			f = append(f, '[')
			for i, l := range q.HiringLocations {
				if i > 0 {
					f = append(f, ',')
				}
				f = appendQuoted(append(f, `{"country":`...), l.Country)
				if l.State != "" {
					f = appendQuoted(append(f, `,"state":`...), l.State)
				}
				f = append(f, '}')
			}
			return append(f, ']')
		})
	}
	if inV3(q) && len(q.IntentCategories) > 0 && slices.Contains(q.Signals, "linkedinActivityIntent") {
		family("intentCategories", func(f []byte) []byte { return appendList(f, q.IntentCategories) })
	}
	if filters == nil {
		return body
	}
	body = append(body, `,"filters":{"include":{`...)
	body = append(body, filters...)
	return append(body, "}}"...)
}

func isNews(key string) bool {
	s, ok := schema.Lookup(key)
	return ok && s.Category == schema.CategoryNews
}

func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendQuoted(dst, s)
	}
	return append(dst, ']')
}

// shorten cuts a text for a message, at a rune.
func shorten(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n] + "…"
}
