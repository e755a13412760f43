package lusha

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// allSignals is the vendor's pseudo-key. Asking for it would let the vendor
// decide what is bought.
const allSignals = "allSignals"

// Request is one batch as it goes over the wire.
type Request struct {
	Method   string
	Path     string
	Body     []byte
	Sent     []int          // the batch's items that the body asks about
	Rejected map[int]string // the others, with the reason
}

// Endpoint is the method and path, as calls record it.
func (r *Request) Endpoint() string { return r.Method + " " + r.Path }

// NewRequest writes the request for a batch. It is a pure function: the same
// batch gives the same bytes. An item that the API's version cannot express is
// left out and named in Rejected. An error means that the batch as a whole must
// not be sent, because it would buy something unforeseeable.
func NewRequest(b *pipeline.Batch) (*Request, error) {
	q := b.Query
	if err := checkQuery(b); err != nil {
		return nil, fmt.Errorf("batch %s: %w", b.ID, err)
	}
	if isV3(q) {
		r, err := newRequestV3(b)
		if err != nil {
			return nil, fmt.Errorf("batch %s: %w", b.ID, err)
		}
		return r, nil
	}
	r := &Request{Method: http.MethodPost, Path: "/api/signals/" + pluralName(q.Object)}
	list := pluralName(q.Object)
	if b.ByID {
		list = string(q.Object) + "Ids"
	} else {
		r.Path += "/search"
	}
	keys := make(map[string]bool, len(b.Items))
	body := jsonscan.AppendQuoted([]byte{'{'}, list)
	body = append(body, ":["...)
	for i := range b.Items {
		if !r.addItem(b, i) {
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
	body = appendList(body, q.ResultTypes())
	body = append(body, `,"startDate":`...)
	body = jsonscan.AppendQuoted(body, q.Since)
	body = append(body, `,"maxResultsPerSignal":`...)
	body = strconv.AppendInt(body, int64(q.MaxResults()), 10)
	body = appendFilters(body, q)
	r.Body = append(body, '}')
	return r, nil
}

// addItem enters an item as sent, or else as refused.
func (r *Request) addItem(b *pipeline.Batch, i int) bool {
	reason := rejectReason(b, i)
	if reason == "" {
		r.Sent = append(r.Sent, i)
		return true
	}
	if r.Rejected == nil {
		r.Rejected = make(map[int]string)
	}
	r.Rejected[i] = reason
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
	case q.APIVersion != pipeline.V2 && q.APIVersion != pipeline.V3:
		return fmt.Errorf("unknown dialect %q", q.APIVersion)
	case q.Service() != pipeline.Signals:
		return nil // what its own request needs
	}
	switch ask, _ := q.Ask.(pipeline.SignalsAsk); {
	case len(ask.Types) == 0:
		return fmt.Errorf("no signal types")
	case slices.Contains(ask.Types, allSignals):
		return fmt.Errorf("%s is not asked for: its price is open; list the signal types", allSignals)
	case len(q.Since) != len("2006-01-02"):
		return fmt.Errorf("start date %q is not YYYY-MM-DD", q.Since)
	case ask.MaxResults < 1 || ask.MaxResults > 100:
		return fmt.Errorf("%d results per signal, not 1 to 100", ask.MaxResults)
	}
	return nil
}

// pluralName names an object's endpoint, request list and answer root.
func pluralName(o schema.Object) string {
	if o == schema.Contact {
		return "contacts"
	}
	return "companies"
}

// rejectReason says why the API's version cannot ask about an item; empty when it can.
func rejectReason(b *pipeline.Batch, i int) string {
	if isV3(b.Query) {
		return rejectReasonV3(b, i)
	}
	item := &b.Items[i]
	if !b.ByID {
		switch {
		case item.Ref == "":
			return "no reference to ask under"
		case searchIdentifier(item) == "":
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
			return fmt.Sprintf("id %q needs V3: V2 takes numbers only", truncateText(id, 80))
		}
	}
	switch {
	case !fitsInt64(id):
		return fmt.Sprintf("id %q needs V3: too long for a V2 number", truncateText(id, 80))
	case id[0] == '0':
		return fmt.Sprintf("id %q begins with a zero, as no V2 id does", id)
	}
	return ""
}

// fitsInt64 reports whether digits are a number as V2 defines ids.
func fitsInt64(digits string) bool {
	_, err := strconv.ParseInt(digits, 10, 64)
	return err == nil
}

// answersByID reports whether the answer identifies a batch's entities by their ids,
// rather than by the references of the request.
func answersByID(b *pipeline.Batch) bool {
	if isV3(b.Query) {
		return b.Query.Service() == pipeline.Signals
	}
	return b.ByID
}

// answerKey is the key under which the answer holds an item.
func answerKey(b *pipeline.Batch, i int) string {
	switch {
	case !answersByID(b):
		return b.Items[i].Ref
	case isV3(b.Query):
		return b.Items[i].EntityID()
	}
	return b.Items[i].Account.ID
}

// searchIdentifier picks the one identifier family that is sent: the API's
// precedence for mixed hints is not documented.
func searchIdentifier(item *pipeline.Item) schema.Identifier {
	a := item.Account
	a.ID = ""
	return a.Identifier()
}

func appendSearch(body []byte, item *pipeline.Item) []byte {
	a := &item.Account
	appendField := func(name, value string) {
		body = append(body, ',')
		body = jsonscan.AppendQuoted(body, name)
		body = append(body, ':')
		body = jsonscan.AppendQuoted(body, value)
	}
	body = append(body, `{"id":`...)
	body = jsonscan.AppendQuoted(body, item.Ref)
	switch searchIdentifier(item) {
	case schema.ByLinkedIn:
		appendField("social_link", a.LinkedIn)
	case schema.ByEmail:
		appendField("email", a.Email)
	case schema.ByDomain:
		appendField("domain", a.Domain)
	case schema.ByName:
		if a.Object == schema.Company {
			appendField("name", a.Name)
			break
		}
		appendField("full_name", a.Name)
		// The reference marks both as required and its samples carry one: both
		// are sent when both are known.
		body = append(body, `,"companies":[{`...)
		start := len(body)
		if a.CompanyName != "" {
			appendField("name", a.CompanyName)
		}
		if a.CompanyDomain != "" {
			appendField("domain", a.CompanyDomain)
		}
		body = slices.Delete(body, start, start+1) // the first comma
		body = append(body, `}]`...)
	}
	return append(body, '}')
}

// appendFilters writes the sub-filters: for companies only, and each only with a
// requested type that it can narrow.
func appendFilters(body []byte, q *pipeline.Query) []byte {
	if q.Object != schema.Company {
		return body
	}
	ask, _ := q.Ask.(pipeline.SignalsAsk)
	var filters []byte
	sendAll := !isV3(q) || ask.SendFilters // else the answer is filtered here
	appendFilter := func(name string, write func([]byte) []byte) {
		if filters != nil {
			filters = append(filters, ',')
		}
		filters = jsonscan.AppendQuoted(filters, name)
		filters = write(append(filters, ':'))
	}
	if sendAll && len(ask.NewsEventTypes) > 0 && slices.ContainsFunc(ask.Types, isNews) {
		appendFilter("newsEventTypes", func(f []byte) []byte { return appendList(f, ask.NewsEventTypes) })
	}
	if sendAll && len(ask.HiringDepartments) > 0 && slices.Contains(ask.Types, "surgeInHiringByDepartment") {
		appendFilter("hiringByDepartments", func(f []byte) []byte { return appendList(f, ask.HiringDepartments) })
	}
	if sendAll && len(ask.HiringLocations) > 0 && slices.Contains(ask.Types, "surgeInHiringByLocation") {
		appendFilter("hiringByLocations", func(f []byte) []byte {
			f = append(f, '[')
			for i, l := range ask.HiringLocations {
				if i > 0 {
					f = append(f, ',')
				}
				f = jsonscan.AppendQuoted(append(f, `{"country":`...), l.Country)
				if l.State != "" {
					f = jsonscan.AppendQuoted(append(f, `,"state":`...), l.State)
				}
				f = append(f, '}')
			}
			return append(f, ']')
		})
	}
	if isV3(q) && len(ask.IntentCategories) > 0 && slices.Contains(ask.Types, "linkedinActivityIntent") {
		appendFilter("intentCategories", func(f []byte) []byte { return appendList(f, ask.IntentCategories) })
	}
	if filters == nil {
		return body
	}
	body = append(body, `,"filters":{"include":{`...)
	body = append(body, filters...)
	return append(body, "}}"...)
}

func isNews(key string) bool {
	s, ok := schema.LookupSignal(key)
	return ok && s.Category == schema.CategoryNews
}

func appendList(dst []byte, list []string) []byte {
	dst = append(dst, '[')
	for i, s := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonscan.AppendQuoted(dst, s)
	}
	return append(dst, ']')
}

// truncateText cuts a text for a message, at a rune.
func truncateText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && text[n]&0xC0 == 0x80 {
		n--
	}
	return text[:n] + "…"
}
