package lusha

import (
	"encoding/json"
	"fmt"
	"html"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
)

// Class is what kind of answer an attempt met.
type Class string

// The classes. The table in the package comment says what each stands for.
const (
	ClassOK          Class = "ok"
	ClassBadRequest  Class = "bad_request" // something in the request is unacceptable
	ClassBadName     Class = "name"        // a full name is unusable
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
	ClassTimedOut    Class = "gave_up" // a server or a gateway stopped waiting
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
	// The status it was judged by: the HTTP status, or the one that an error document
	// states under a 2xx.
	Status  int
	Message string   // the API's own words, or what a page of a proxy says
	Details []string // the API's list of errors, field by field
	// What the document says under names that the API does not use, such as the title
	// and the detail of a problem document (RFC 9457). It is for people: neither the
	// outcome nor a row depends on it.
	Context []string
	// RetryAfter is how long the answer asks to wait; 0 when it does not.
	RetryAfter time.Duration
	// Charge is what an error document says about the bill. Errors are not
	// supposed to say anything.
	Charge pipeline.Charge
}

// FullMessage is the message with its details on one line.
func (v Verdict) FullMessage() string {
	text := v.Message
	for _, d := range v.Details {
		if d != "" && d != v.Message {
			if text != "" {
				text += "; "
			}
			text += d
		}
	}
	return truncateText(text, 2048)
}

// fullText is the full message and the context, on one line.
func (v Verdict) fullText() string {
	text := v.FullMessage()
	for _, c := range v.Context {
		switch {
		case c == "" || strings.Contains(text, c):
		case text == "":
			text = c
		default:
			text += "; " + c
		}
	}
	return truncateText(text, 2048)
}

// Classify judges an answer by its status, header and body alone. Header may
// be nil. A status of 0 stands for no answer.
func Classify(status int, header http.Header, body []byte) Verdict {
	e := readEnvelope(body)
	v := Verdict{Status: status, Class: ClassUnknown, Outcome: pipeline.InDoubt, Message: e.message, Details: e.details, Context: e.context, Charge: e.charge}
	if !e.valid {
		v.Message = pageText(body)
	}
	v.RetryAfter = parseRetryAfter(status, header, v.fullText())
	if status/100 == 2 {
		switch {
		case !e.valid:
			v.Message = "not a complete JSON document"
			if e.err != nil {
				v.Message += ": " + e.err.Error()
			}
			return v
		case e.hasEntries || e.hasRoot && e.code < 400 || e.nullRoot && !e.statesError:
			v.Class, v.Outcome = ClassOK, pipeline.Charged
			return v
		case e.code < 400 && e.statesError:
			// An error without the API's own status: its author and its cause are
			// unknown.
			return v
		case e.code < 400:
			v.Message = "neither an answer nor an error"
			return v
		}
		v.Status = e.code // an error document under a success status
		e.fromAPI = true
	}
	v.Class, v.Outcome = classifyStatus(v, e, header)
	if v.Outcome == pipeline.NotCharged && e.statesCharge {
		v.Outcome = pipeline.InDoubt
		v.Details = append(v.Details, "it is a refusal, and yet states a charge")
	}
	return v
}

// classifyStatus reads an error status. The table in the package comment is this
// function in words.
func classifyStatus(v Verdict, e envelope, header http.Header) (Class, pipeline.Outcome) {
	timedOut := func(code int) bool { return code == 408 || code == 499 || code == 504 }
	switch status := v.Status; {
	case timedOut(status) || e.fromAPI && timedOut(e.code):
		// Also in the API's own envelope: a server that stops waiting does not
		// know whether the work, and its charge, continues behind it.
		return ClassTimedOut, pipeline.InDoubt
	case status == http.StatusTooManyRequests:
		return classifyRateLimit(v.fullText(), header), pipeline.NotCharged
	case status/100 == 3:
		switch status {
		case 301, 302, 307, 308:
			return ClassRedirect, pipeline.NotCharged
		}
		return ClassRedirect, pipeline.InDoubt // 303 says that the request was carried out
	case status/100 == 5 && e.fromAPI:
		return ClassServer, pipeline.NotCharged
	case status/100 == 4 && e.valid && e.statesError:
		return classifyRefusal(v, e), pipeline.NotCharged
	case status/100 == 4 || status/100 == 5:
		return ClassProxy, pipeline.InDoubt
	}
	return ClassUnknown, pipeline.InDoubt
}

// classifyRefusal distinguishes the documented refusals.
func classifyRefusal(v Verdict, e envelope) Class {
	text := strings.ToLower(v.FullMessage())
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
		if e.fromGateway || containsAny(text, "cannot post", "cannot get", "no route", "route not found", "unknown route", "unknown path", "unknown endpoint", "no such endpoint", "endpoint has been", "been removed", "deprecated") || !e.fromAPI && len(e.details) == 0 && isBareNotFound(text) {
			return ClassRoute
		}
		return ClassNotFound
	case 405, 406, 415:
		return ClassRoute
	case 410:
		return ClassGone
	case 412:
		return ClassBadName
	case 451:
		return ClassLegal
	}
	return ClassUnknown
}

// isBareNotFound reports whether a 404 says nothing but "not found": that is how routers
// speak, while the API says what it did not find.
func isBareNotFound(text string) bool {
	text = strings.Trim(strings.TrimSpace(text), ".!")
	return text == "" || text == "not found" || text == "404 not found" || text == "page not found" || text == "404 page not found"
}

// classifyRateLimit determines which limit was hit. Only the message says so; without
// it, a window that the headers state as empty decides.
func classifyRateLimit(text string, header http.Header) Class {
	text = strings.ToLower(text)
	switch {
	case strings.Contains(text, "trial"):
		return ClassTrial
	case containsAny(text, "daily", "per day"):
		return ClassRateDay
	case containsAny(text, "hourly", "per hour"):
		return ClassRateHour
	}
	rate := parseRate(header)
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

// RefusalClass is the class of the refusal that a call met, and the delay that the
// answer asks for.
func RefusalClass(call *pipeline.Call) (Class, time.Duration) {
	v := classifyCall(call)
	return v.Class, v.RetryAfter
}

// classifyCall judges a call that did not bring an answer to its query.
func classifyCall(call *pipeline.Call) Verdict {
	if call.Status != 0 {
		return Classify(call.Status, decodeHeader(call), call.Body)
	}
	v := Verdict{Class: ClassLost, Outcome: pipeline.InDoubt, Message: call.Problem}
	if call.Outcome == pipeline.NotCharged {
		v.Class, v.Outcome = ClassUnsent, pipeline.NotCharged
	}
	return v
}

// envelope is what the root of a document says about failure, in any of the
// shapes that are known.
type envelope struct {
	valid        bool  // a complete JSON object
	err          error // why not
	code         int   // statusCode, or the nested error's code; 0 when there is none
	statesError  bool  // it says that something went wrong
	fromAPI      bool  // the API's own shape, with a status in the body
	fromGateway  bool  // the shape of the gateway before the API
	hasRoot      bool  // one of the answers' roots is there
	nullRoot     bool  // or is there, and null
	hasEntries   bool  // and something is in it
	statesCharge bool  // a charge other than zero, or one that cannot be read, is stated
	charge       pipeline.Charge
	message      string
	details      []string
	context      []string // texts under other names than the API's
}

// readEnvelope looks at the root of a body. It reads every shape the
// documentation shows; a list is read where a text is expected.
func readEnvelope(body []byte) envelope {
	c := jsonscan.NewCursor(body)
	if c.PeekByte() != '{' {
		c.SetError("no JSON object")
		return envelope{err: c.Err}
	}
	var r envelopeReader
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		name := string(c.ReadName())
		value := c.ReadValue()
		if c.Err != nil {
			break
		}
		r.readField(name, value)
	}
	c.ExpectEnd()
	if c.Err != nil {
		return envelope{err: c.Err}
	}
	return r.finish()
}

// envelopeReader is an envelope while it is read.
type envelopeReader struct {
	envelope
	chargeFields chargeFields
	errorText    string // of a text under "error"
}

func (r *envelopeReader) readField(name string, value json.RawMessage) {
	switch name {
	case "statusCode":
		if n := parseStatusCode(value); n != 0 {
			r.code, r.fromAPI = n, true
		}
	case "message":
		r.message = joinTexts(value)
	case "errors":
		r.details = append(r.details, readTexts(value)...)
	case "error":
		r.readErrorField(value)
	case "code": // a word says something, a number repeats the status
		if value[0] == '"' {
			r.details = append(r.details, readTexts(value)...)
		}
	case "title", "detail", "details", "description", "error_description", "errorMessage", "reason", "msg", "invalid-params":
		r.context = append(r.context, readTexts(value)...)
	case "request_id":
		r.fromGateway = true
	case "contacts", "companies", "results":
		if value[0] == '{' || value[0] == '[' {
			r.hasRoot = true
			r.hasEntries = r.hasEntries || len(value) > len("{}")
		}
		r.nullRoot = r.nullRoot || value[0] == 'n'
	case "creditCharged", "creditsCharged":
		r.chargeFields.addField(name, value)
	case "billing":
		r.chargeFields.addBilling(value, nil)
	}
}

// readErrorField reads the field "error": an object, a text, or null or false for none.
func (r *envelopeReader) readErrorField(value json.RawMessage) {
	switch value[0] {
	case '{':
		code, text := readError(value)
		if n, err := strconv.Atoi(code); err == nil && n >= 100 && n < 600 && r.code == 0 {
			r.code, r.fromAPI = n, true
		}
		if r.message == "" {
			r.message = text
		}
	case 'n', 'f':
		return
	default:
		r.errorText = joinTexts(value)
	}
	r.statesError = true
}

// finish derives what depends on several fields.
func (r *envelopeReader) finish() envelope {
	r.valid = true
	r.fromGateway = r.fromGateway && r.code == 0
	if r.message == "" {
		r.message = r.errorText
	} else if r.errorText != "" {
		r.details = append(r.details, r.errorText)
	}
	r.statesError = r.statesError || r.message != "" || len(r.details) > 0 || r.code >= 400
	r.fromAPI = r.fromAPI && r.code >= 400
	r.charge = r.chargeFields.result()
	r.statesCharge = r.chargeFields.present && (!r.charge.Known || r.charge.Credits != 0)
	return r.envelope
}

func parseStatusCode(value json.RawMessage) int {
	text, ok := jsonscan.ScalarText(value)
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
	c := jsonscan.Cursor{Doc: value}
	var name, message string
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		field := string(c.ReadName())
		v := c.ReadValue()
		if c.Err != nil {
			break
		}
		switch field {
		case "code":
			code, _ = jsonscan.ScalarText(v)
		case "name":
			name, _ = jsonscan.ScalarText(v)
		case "message":
			message = joinTexts(v)
		}
	}
	if message == "" {
		message = name
	} else if name != "" {
		message = name + ": " + message
	}
	return code, message
}

// joinTexts reads a text, or a list of texts, as one.
func joinTexts(value json.RawMessage) string { return strings.Join(readTexts(value), "; ") }

// readTexts reads a list of texts; a single text is a list of one, and an object in
// it is kept as it stands. It is cut at a length that no list of errors needs.
func readTexts(value json.RawMessage) []string { return readTextsUpTo(value, 100) }

func readTextsUpTo(value json.RawMessage, limit int) []string {
	if len(value) == 0 || string(value) == "null" {
		return nil
	}
	if value[0] != '[' {
		text, ok := jsonscan.ScalarText(value)
		if !ok {
			text = string(value)
		}
		if text == "" {
			return nil
		}
		return []string{truncateText(text, 2048)}
	}
	var out []string
	c := jsonscan.Cursor{Doc: value}
	c.Enter('[')
	for first := true; c.HasNext(first, ']'); first = false {
		v := c.ReadValue()
		if c.Err != nil || len(out) >= limit {
			break
		}
		text, ok := jsonscan.ScalarText(v)
		if !ok {
			text = string(v)
		}
		out = append(out, truncateText(text, 2048))
	}
	return out
}

var (
	titlePattern = regexp.MustCompile(`(?is)<title[^>]*>(.*?)</title>`)
	tagPattern   = regexp.MustCompile(`(?s)<[^>]*>`)
)

// pageText makes something readable of an answer that is not JSON, from its
// first 2 kB: the title of a page, else its text.
func pageText(body []byte) string {
	text := strings.ToValidUTF8(string(body[:min(len(body), 2048)]), "\uFFFD")
	if m := titlePattern.FindStringSubmatch(text); m != nil {
		text = m[1]
	}
	text = html.UnescapeString(tagPattern.ReplaceAllString(text, " "))
	return strings.Join(strings.Fields(text), " ")
}

var resetPattern = regexp.MustCompile(`(?i)reset in (\d{1,6}) seconds?`)

// parseRetryAfter finds how long an answer asks to wait: Retry-After in seconds or as a
// date relative to the answer's own Date, else the words of the message.
func parseRetryAfter(status int, header http.Header, text string) time.Duration {
	if after := strings.TrimSpace(header.Get("Retry-After")); after != "" {
		if n, err := strconv.Atoi(after); err == nil && n >= 0 && n < 1<<20 {
			return time.Duration(n) * time.Second
		}
		until, err := http.ParseTime(after)
		if date, err2 := http.ParseTime(header.Get("Date")); err == nil && err2 == nil && until.After(date) {
			return until.Sub(date)
		}
	}
	if m := resetPattern.FindStringSubmatch(text); m != nil {
		n, _ := strconv.Atoi(m[1])
		return time.Duration(n) * time.Second
	}
	return 0
}

// summary says for people what came back instead of an answer. Rows state it, so it
// says the same of an answer for ever.
func (v Verdict) summary() string { return v.summaryOf(v.FullMessage()) }

// explanation is the summary with the context: the reason of a stop and of an error.
func (v Verdict) explanation() string { return v.summaryOf(v.fullText()) }

func (v Verdict) summaryOf(text string) string {
	switch {
	case v.Status == 0:
		return text
	case text == "", text == strconv.Itoa(v.Status): // a body that repeats the status says nothing
		return fmt.Sprintf("HTTP %d %s", v.Status, http.StatusText(v.Status))
	}
	return fmt.Sprintf("HTTP %d: %s", v.Status, text)
}

var (
	// queryPattern matches the names of fields that concern every item of a request.
	queryPattern = regexp.MustCompile(`(?i)(^|[^a-z])(signals|signal ?types?|signal keys?|(start|end) ?date|pagination|max ?results ?per ?signal|filters|news ?event ?types|hiring ?by ?(departments|locations))([^a-z]|$)`)
	// itemPattern matches the name of one item.
	itemPattern = regexp.MustCompile(`(?i)(contacts|companies|contact ?ids|company ?ids|(^|[^a-z])ids|items?)\W{0,3}\d`)
	// seedPattern matches the names of fields of which a query for lookalikes consists.
	seedPattern = regexp.MustCompile(`(?i)(^|[^a-z])(seeds|exclude)([^a-z]|$)`)
)

// refusesQuery reports whether a refusal concerns the query as such, so that the
// API can accept no part of the batch.
func refusesQuery(v Verdict) bool {
	text := v.FullMessage()
	return v.Class == ClassBadRequest && (seedPattern.MatchString(text) || queryPattern.MatchString(text) && !itemPattern.MatchString(text))
}

// Advice is what to do about a refusal that every further batch would meet;
// empty for others.
func (r *RefusalError) Advice() string {
	if stop := terminalStop(r.Verdict); stop != nil {
		return stop.Advice
	}
	return ""
}

// terminalStop is the reason to stop the run for a refusal that every further
// batch would meet; nil for others.
func terminalStop(v Verdict) *pipeline.Stop {
	stop := &pipeline.Stop{Kind: pipeline.StopAuth, Reason: v.explanation()}
	switch v.Class {
	case ClassCredits:
		stop.Kind = pipeline.StopCredits
		stop.Advice = "buy credits, then run again"
	case ClassAuth:
		stop.Advice = "check the API key and that the account is active"
	case ClassEntitlement:
		stop.Advice = "the account's plan does not include this; ask its administrator"
	case ClassTrial:
		stop.Advice = "the trial is used up; ask the account's administrator"
	case ClassRoute, ClassGone, ClassRedirect:
		stop.Advice = "check the API's address; if the vendor no longer serves this generation of the API, --api v3 uses the newer one"
	default:
		return nil
	}
	return stop
}
