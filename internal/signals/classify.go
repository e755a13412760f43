package signals

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Class is what kind of answer an attempt met.
type Class string

// The classes. Each has one way of being handled; see the package comment.
const (
	ClassOK          Class = "ok"
	ClassBadRequest  Class = "bad_request" // something in the request is unacceptable
	ClassName        Class = "name"        // a full name is unusable
	ClassLegal       Class = "legal"       // refused on legal grounds
	ClassNotFound    Class = "not_found"   // nothing of what was asked is known
	ClassAuth        Class = "auth"        // key or account refused
	ClassCredits     Class = "credits"     // the account has no credits left
	ClassEntitlement Class = "entitlement" // the plan does not include this
	ClassRoute       Class = "route"       // there is no such endpoint
	ClassGone        Class = "gone"        // there is no such endpoint any more
	ClassRedirect    Class = "redirect"    // the endpoint is said to be elsewhere
	ClassRateBurst   Class = "rate_burst"  // too many requests in a second or minute
	ClassRateHour    Class = "rate_hour"
	ClassRateDay     Class = "rate_day"
	ClassTrial       Class = "trial"   // the trial is used up
	ClassGaveUp      Class = "gave_up" // somebody on the other side stopped waiting
	ClassServer      Class = "server"  // the API itself reports that it failed
	ClassProxy       Class = "proxy"   // an error that the API did not write
	ClassUnsent      Class = "unsent"  // the request never left
	ClassLost        Class = "lost"    // the request left and no answer came
	ClassUnknown     Class = "unknown"
)

// Verdict is what an answer other than a plain success means.
type Verdict struct {
	Class   Class
	Outcome pipeline.Outcome
	Status  int      // the status it was judged by: the HTTP status, or the one an error document states under a 2xx
	Message string   // the API's own words, or what a page of a proxy says
	Details []string // the API's list of errors, field by field
	// Wait is how long the answer asks to wait; 0 when it does not.
	Wait time.Duration
	// Charge is what an error document says about the bill. Errors are not
	// supposed to say anything.
	Charge pipeline.Charge
}

// Text is the message with its details on one line.
func (v Verdict) Text() string {
	text := v.Message
	for _, d := range v.Details {
		if d != "" && d != v.Message {
			if text != "" {
				text += "; "
			}
			text += d
		}
	}
	return shorten(text, 2048)
}

// Classify judges an answer by its status, header and body alone. Header may
// be nil. A status of 0 stands for no answer.
func Classify(status int, header http.Header, body []byte) Verdict {
	e := readEnvelope(body)
	v := Verdict{Status: status, Class: ClassUnknown, Outcome: pipeline.Ambiguous, Message: e.message, Details: e.details, Charge: e.charge}
	if !e.json {
		v.Message = pageText(body)
	}
	v.Wait = waitOf(status, header, v.Text())
	if status/100 == 2 {
		switch {
		case !e.json:
			v.Message = "not a complete JSON document"
			if e.err != nil {
				v.Message += ": " + e.err.Error()
			}
			return v
		case e.filled || e.root && e.code < 400 || e.null && !e.failed:
			v.Class, v.Outcome = ClassOK, pipeline.Charged
			return v
		case e.code < 400 && e.failed:
			return v // an error without the API's own status: nobody knows whose, or about what
		case e.code < 400:
			v.Message = "neither an answer nor an error"
			return v
		}
		v.Status = e.code // an error document under a success status
		e.own = true
	}
	v.Class, v.Outcome = judge(v, e, header)
	if v.Outcome == pipeline.NotCharged && e.charged {
		v.Outcome = pipeline.Ambiguous
		v.Details = append(v.Details, "it is a refusal, and yet states a charge")
	}
	return v
}

// judge reads an error status. The table in the package comment is this
// function in words.
func judge(v Verdict, e envelope, header http.Header) (Class, pipeline.Outcome) {
	timedOut := func(code int) bool { return code == 408 || code == 499 || code == 504 }
	switch status := v.Status; {
	case timedOut(status) || e.own && timedOut(e.code):
		// Also in the API's own words: whoever stopped waiting does not know
		// whether the work, and its charge, went on.
		return ClassGaveUp, pipeline.Ambiguous
	case status == http.StatusTooManyRequests:
		return rateClass(v.Text(), header), pipeline.NotCharged
	case status/100 == 3:
		switch status {
		case 301, 302, 307, 308:
			return ClassRedirect, pipeline.NotCharged
		}
		return ClassRedirect, pipeline.Ambiguous // 303 says that the request was carried out
	case status/100 == 5 && e.own:
		return ClassServer, pipeline.NotCharged
	case status/100 == 4 && e.json && e.failed:
		return refusal(v, e), pipeline.NotCharged
	case status/100 == 4 || status/100 == 5:
		return ClassProxy, pipeline.Ambiguous
	}
	return ClassUnknown, pipeline.Ambiguous
}

// refusal tells the documented refusals apart.
func refusal(v Verdict, e envelope) Class {
	text := strings.ToLower(v.Text())
	switch v.Status {
	case 400, 413, 422:
		return ClassBadRequest
	case 401:
		return ClassAuth
	case 402:
		if containsAny(text, "plan", "feature", "upgrade", "entitle", "subscription") && !strings.Contains(text, "credit") {
			return ClassEntitlement
		}
		return ClassCredits
	case 403:
		if containsAny(text, "inactive", "disabled", "suspended", "blocked", "api key", "api_key") {
			return ClassAuth
		}
		return ClassEntitlement
	case 404:
		if e.gateway || containsAny(text, "cannot post", "cannot get", "no route", "route not found", "unknown route", "unknown path", "unknown endpoint", "no such endpoint", "endpoint has been", "been removed", "deprecated") || !e.own && len(e.details) == 0 && bare(text) {
			return ClassRoute
		}
		return ClassNotFound
	case 405, 406, 415:
		return ClassRoute
	case 410:
		return ClassGone
	case 412:
		return ClassName
	case 451:
		return ClassLegal
	}
	return ClassUnknown
}

// bare reports whether a 404 says nothing but "not found": that is how routers
// speak, while the API says what it did not find.
func bare(text string) bool {
	text = strings.Trim(strings.TrimSpace(text), ".!")
	return text == "" || text == "not found" || text == "404 not found" || text == "page not found" || text == "404 page not found"
}

// rateClass tells which limit was hit: only the message says so; where it does
// not, a window that the headers state as empty does.
func rateClass(text string, header http.Header) Class {
	text = strings.ToLower(text)
	switch {
	case strings.Contains(text, "trial"):
		return ClassTrial
	case containsAny(text, "daily", "per day"):
		return ClassRateDay
	case containsAny(text, "hourly", "per hour"):
		return ClassRateHour
	}
	rate := rateOf(header)
	switch {
	case rate.Day.Left == 0 && rate.Day.Limit != 0:
		return ClassRateDay
	case rate.Hour.Left == 0 && rate.Hour.Limit != 0:
		return ClassRateHour
	}
	return ClassRateBurst
}

func containsAny(text string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// RefusalOf says what kind of refusal a call met and how long it was asked to
// wait.
func RefusalOf(call *pipeline.Call) (Class, time.Duration) {
	v := verdictOf(call)
	return v.Class, v.Wait
}

// verdictOf judges a call that was not answered as asked.
func verdictOf(call *pipeline.Call) Verdict {
	if call.Status != 0 {
		return Classify(call.Status, headerOf(call), call.Body)
	}
	v := Verdict{Class: ClassLost, Outcome: pipeline.Ambiguous, Message: call.Problem}
	if call.Outcome == pipeline.NotCharged {
		v.Class, v.Outcome = ClassUnsent, pipeline.NotCharged
	}
	return v
}

// envelope is what the root of a document says about failure, in any of the
// shapes that are known.
type envelope struct {
	json    bool  // a complete JSON object
	err     error // why not
	code    int   // statusCode, or the nested error's code; 0 when there is none
	failed  bool  // it says that something went wrong
	own     bool  // the API's own shape, with a status in the body
	gateway bool  // the shape of the gateway before the API
	root    bool  // one of the answers' roots is there
	null    bool  // or is there, and null
	filled  bool  // and something is in it
	charged bool  // a charge other than zero, or one that cannot be read, is stated
	charge  pipeline.Charge
	message string
	details []string
}

// readEnvelope looks at the root of a body. It reads every shape the
// documentation shows; a list is read where a text is expected.
func readEnvelope(body []byte) envelope {
	c := document(body)
	var e envelope
	if c.peek() != '{' {
		c.fail("no JSON object")
		e.err = c.err
		return e
	}
	var charge bill
	var word string
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		name := string(c.name())
		value := c.value()
		if c.err != nil {
			break
		}
		switch name {
		case "statusCode":
			if n := statusCode(value); n != 0 {
				e.code, e.own = n, true
			}
		case "message":
			e.message = joined(value)
		case "errors":
			e.details = append(e.details, list(value)...)
		case "error":
			switch value[0] {
			case '{':
				code, text := readError(value)
				if n, err := strconv.Atoi(code); err == nil && n >= 100 && n < 600 && e.code == 0 {
					e.code, e.own = n, true
				}
				if e.message == "" {
					e.message = text
				}
			case 'n', 'f':
				continue
			default:
				word = joined(value)
			}
			e.failed = true
		case "code": // a word says something, a number repeats the status
			if value[0] == '"' {
				e.details = append(e.details, list(value)...)
			}
		case "request_id":
			e.gateway = true
		case "contacts", "companies", "results":
			if value[0] == '{' || value[0] == '[' {
				e.root = true
				e.filled = e.filled || len(value) > len("{}")
			}
			e.null = e.null || value[0] == 'n'
		case "creditCharged", "creditsCharged":
			charge.add(name, value)
		case "billing":
			charge.billing(value, nil)
		}
	}
	c.end()
	if c.err != nil {
		return envelope{err: c.err}
	}
	e.json = true
	e.gateway = e.gateway && e.code == 0
	if e.message == "" {
		e.message = word
	} else if word != "" {
		e.details = append(e.details, word)
	}
	e.failed = e.failed || e.message != "" || len(e.details) > 0 || e.code >= 400
	e.own = e.own && e.code >= 400
	e.charge = charge.charge()
	e.charged = charge.present && (!e.charge.Known || e.charge.Credits != 0)
	return e
}

func statusCode(value json.RawMessage) int {
	text, ok := textOf(value)
	if !ok {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 100 || n > 599 {
		return 0
	}
	return n
}

// readError reads the object under "error", of a document or of an entry.
func readError(value json.RawMessage) (code, text string) {
	c := cursor{doc: value}
	var name, message string
	c.open('{')
	for first := true; c.more(first, '}'); first = false {
		field := string(c.name())
		v := c.value()
		if c.err != nil {
			break
		}
		switch field {
		case "code":
			code, _ = textOf(v)
		case "name":
			name, _ = textOf(v)
		case "message":
			message = joined(v)
		}
	}
	if message == "" {
		message = name
	} else if name != "" {
		message = name + ": " + message
	}
	return code, message
}

// joined reads a text, or a list of texts, as one.
func joined(value json.RawMessage) string { return strings.Join(list(value), "; ") }

// list reads a list of texts; a single text is a list of one, and an object in
// it is kept as it stands. It is cut at a length that no list of errors needs.
func list(value json.RawMessage) []string { return texts(value, 100) }

func texts(value json.RawMessage, most int) []string {
	if len(value) == 0 || string(value) == "null" {
		return nil
	}
	if value[0] != '[' {
		text, ok := textOf(value)
		if !ok {
			text = string(value)
		}
		if text == "" {
			return nil
		}
		return []string{shorten(text, 2048)}
	}
	var out []string
	c := cursor{doc: value}
	c.open('[')
	for first := true; c.more(first, ']'); first = false {
		v := c.value()
		if c.err != nil || len(out) >= most {
			break
		}
		text, ok := textOf(v)
		if !ok {
			text = string(v)
		}
		out = append(out, shorten(text, 2048))
	}
	return out
}

var (
	title  = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	markup = regexp.MustCompile(`(?s)<[^>]*>`)
)

// pageText makes something readable of an answer that is not JSON, from its
// first 2 kB: the title of a page, else its text.
func pageText(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), 2048)]), "\uFFFD")
	if m := title.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	text = html.UnescapeString(markup.ReplaceAllString(text, " "))
	return strings.Join(strings.Fields(text), " ")
}

var resetIn = regexp.MustCompile(`(?i)reset in (\d{1,6}) seconds?`)

// waitOf finds how long an answer asks to wait: Retry-After in seconds or as a
// date beside the answer's own Date, else the words of the message.
func waitOf(status int, header http.Header, text string) time.Duration {
	if after := strings.TrimSpace(header.Get("Retry-After")); after != "" {
		if n, err := strconv.Atoi(after); err == nil && n >= 0 && n < 1<<20 {
			return time.Duration(n) * time.Second
		}
		until, err := http.ParseTime(after)
		if date, err2 := http.ParseTime(header.Get("Date")); err == nil && err2 == nil && until.After(date) {
			return until.Sub(date)
		}
	}
	if m := resetIn.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * time.Second
	}
	return 0
}

// problem says for people what came back instead of an answer.
func (v Verdict) problem() string {
	text := v.Text()
	switch {
	case v.Status == 0:
		return text
	case text == "", text == strconv.Itoa(v.Status): // a body that repeats the status says nothing
		return fmt.Sprintf("HTTP %d %s", v.Status, http.StatusText(v.Status))
	}
	return fmt.Sprintf("HTTP %d: %s", v.Status, text)
}
