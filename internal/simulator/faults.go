package simulator

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Fault says which kind of failure to inject and when. Exactly one of At, Every and Rate is set.
// Requests are counted once they have passed the gate (key, quotas), validation and
// Config.Refuse: a fault is never wasted on a request that fails for another reason.
type Fault struct {
	Kind string `json:"kind"` // one of FaultKinds
	// Position of the request among those to billed operations, from 1.
	At    int `json:"at,omitempty"`
	Every int `json:"every,omitempty"` // fires on every Every-th of them
	// Share of them. The draw depends on the seed, the request and how often the request was
	// sent, not on the order of requests.
	Rate  float64 `json:"rate,omitempty"`
	Times int     `json:"times,omitempty"` // largest number of firings; 0 for no limit
}

// FaultKind describes one kind of fault.
type FaultKind struct {
	Name   string `json:"name"`
	Doc    string `json:"doc"`
	Billed bool   `json:"billed"` // the charge is booked
	// The requested answer reaches a client that reads it to its end.
	Delivered bool `json:"delivered"`
}

// faultSpec is a kind and its effect: it refuses in place of the service, distorts the text of a
// paid answer, or delivers that text in its own way. Every kind does at least one of these.
type faultSpec struct {
	FaultKind
	refuse  func(x *exchange, draw uint64)
	distort func(*quirks)
	deliver func(x *exchange, text []byte, draw uint64)
	// Once it has fired, every later request meets it.
	lasting bool
}

var faultSpecs = slices.Concat(refusedFaults, lostFaults, distortedFaults)

// refusedFaults cost nothing.
var refusedFaults = []faultSpec{
	{FaultKind: FaultKind{Name: "429-burst", Doc: "429 without a hint: too fast"}, refuse: limitedBy(overBurst)},
	{FaultKind: FaultKind{Name: "429-hourly", Doc: "429 of the hourly quota, to be reset in 2 seconds"}, refuse: limitedBy(overHour)},
	{FaultKind: FaultKind{Name: "429-daily", Doc: "429 of the daily quota"}, refuse: limitedBy(overDay)},
	{FaultKind: FaultKind{Name: "429-trial", Doc: "429 because the trial is used up"}, refuse: limitedBy(overTrial)},
	{FaultKind: FaultKind{Name: "400-refused", Doc: "400 that does not name a field"}, refuse: refusedWith(*refusals[400])},
	{FaultKind: FaultKind{Name: "401-revoked", Doc: "401; the key is dead from here on"}, refuse: revokeKey},
	{FaultKind: FaultKind{Name: "402-credits", Doc: "402 although the pool is not empty"}, refuse: refusedWith(*outOfCredits)},
	{FaultKind: FaultKind{Name: "403-plan", Doc: "403 (or 402 by switch): signals are not in the plan"}, refuse: denyByPlan},
	{FaultKind: FaultKind{Name: "404-none", Doc: "404 in the API's envelope: nothing of the batch matched"},
		refuse: refusedWith(problem{status: 404, message: "No matches"})},
	{FaultKind: FaultKind{Name: "404-route", Doc: "404 of the gateway, as for an unknown path"},
		refuse: refusedWith(problem{status: 404, message: "There is no route for this path", gateway: true})},
	{FaultKind: FaultKind{Name: "412-name", Doc: "412: some name in the batch cannot be used"}, refuse: refusedWith(*refusals[412])},
	{FaultKind: FaultKind{Name: "422-value", Doc: "422: some value in the batch cannot be processed"}, refuse: refusedWith(*refusals[422])},
	{FaultKind: FaultKind{Name: "451-legal", Doc: "451: some item of the batch is restricted"}, refuse: refusedWith(*refusals[451])},
	{FaultKind: FaultKind{Name: "499-refused", Doc: "499: the service gave up before doing anything"}, refuse: refusedWith(clientClosed)},
	{FaultKind: FaultKind{Name: "500-refused", Doc: "500 in the API's envelope"}, refuse: refusedWith(problem{status: 500, message: "Internal error, try again"})},
	{FaultKind: FaultKind{Name: "502-refused", Doc: "502 in the API's envelope"}, refuse: refusedWith(problem{status: 502, message: "Upstream unavailable, try again"})},
	{FaultKind: FaultKind{Name: "503-refused", Doc: "503 in the API's envelope"}, refuse: refusedWith(problem{status: 503, message: "Service unavailable, try again"})},
	{FaultKind: FaultKind{Name: "504-refused", Doc: "504 in the API's envelope"}, refuse: refusedWith(problem{status: 504, message: "Upstream timed out, try again"})},
	{FaultKind: FaultKind{Name: "html-502", Doc: "502 with an HTML page of a proxy"},
		refuse: func(x *exchange, _ uint64) { x.send(502, htmlType, proxyPage(502), false) }},
	{FaultKind: FaultKind{Name: "drop-before", Doc: "the connection is closed before anything is done"},
		refuse: func(x *exchange, _ uint64) { x.hangUp() }},
	{FaultKind: FaultKind{Name: "error-under-200", Doc: "200 with an error in the API's envelope as body"}, refuse: errorUnder200},
	{FaultKind: FaultKind{Name: "redirect", Doc: "307 to another host, with the key at risk"}, refuse: redirect},
}

// lostFaults cost what the answer costs. Most of them withhold the answer; those at the end
// deliver it in an unusual way.
var lostFaults = []faultSpec{
	{FaultKind: FaultKind{Name: "499-billed", Doc: "499 in the API's envelope, charged nevertheless", Billed: true},
		deliver: func(x *exchange, _ []byte, _ uint64) { x.fail(&clientClosed) }},
	{FaultKind: FaultKind{Name: "500-billed", Doc: "charged, then a 500 with an HTML page or without a body", Billed: true}, deliver: proxyError(500)},
	{FaultKind: FaultKind{Name: "502-billed", Doc: "charged, then a 502 with an HTML page or without a body", Billed: true}, deliver: proxyError(502)},
	{FaultKind: FaultKind{Name: "503-billed", Doc: "charged, then a 503 with an HTML page or without a body", Billed: true}, deliver: proxyError(503)},
	{FaultKind: FaultKind{Name: "504-billed", Doc: "charged, then a 504 with an HTML page or without a body", Billed: true}, deliver: proxyError(504)},
	{FaultKind: FaultKind{Name: "hang", Doc: "charged, then silence until the client gives up, at most two minutes", Billed: true}, deliver: hang},
	{FaultKind: FaultKind{Name: "drop-after-charge", Doc: "charged, then the connection is closed without an answer", Billed: true},
		deliver: func(x *exchange, _ []byte, _ uint64) { x.hangUp() }},
	{FaultKind: FaultKind{Name: "reset-mid-body", Doc: "charged, then a connection reset in the middle of the body", Billed: true}, deliver: resetMidBody},
	{FaultKind: FaultKind{Name: "truncated-close", Doc: "charged, then half a body, ended by closing the connection", Billed: true}, deliver: truncatedClose},
	{FaultKind: FaultKind{Name: "truncated-chunked", Doc: "charged, then half a chunked body", Billed: true}, deliver: truncatedChunked},
	{FaultKind: FaultKind{Name: "empty-200", Doc: "charged, then a 200 without a body", Billed: true},
		deliver: func(x *exchange, _ []byte, _ uint64) { x.send(200, jsonType, nil, false) }},
	{FaultKind: FaultKind{Name: "garbage-200", Doc: "charged, then a 200 with a body that is not JSON", Billed: true}, deliver: sendGarbage},
	{FaultKind: FaultKind{Name: "html-200", Doc: "charged, then a 200 with an HTML page", Billed: true},
		deliver: func(x *exchange, _ []byte, _ uint64) { x.send(200, htmlType, proxyPage(200), false) }},

	{FaultKind: FaultKind{Name: "slow", Doc: "the answer takes ten times the usual time, at least a second", Billed: true, Delivered: true}, deliver: sendSlowly},
	{FaultKind: FaultKind{Name: "slow-drip", Doc: "the answer comes in drops, for about a second", Billed: true, Delivered: true}, deliver: slowDrip},
	{FaultKind: FaultKind{Name: "huge-body", Doc: "the answer is followed by padding: more than 64 MiB, all of it valid JSON", Billed: true, Delivered: true}, deliver: hugeBody},
}

// distortedFaults deliver the answer in full, but its text is not as documented.
var distortedFaults = []faultSpec{
	distortedFault("charge-missing", "no charge in the answer", func(q *quirks) { q.charge = "missing" }),
	distortedFault("charge-null", "the charge is null", func(q *quirks) { q.charge = "null" }),
	distortedFault("charge-string", "the charge is a text such as \"3\"", func(q *quirks) { q.charge = "string" }),
	distortedFault("charge-negative", "the charge is -1", func(q *quirks) { q.charge = "negative" }),
	distortedFault("charge-fraction", "the charge is half a credit too high", func(q *quirks) { q.charge = "fraction" }),
	distortedFault("charge-duplicate", "the charge is given twice, first right and then seven too high", func(q *quirks) { q.charge = "duplicate" }),
	distortedFault("charge-case", "the name of the charge begins with a capital", func(q *quirks) { q.charge = "case" }),
	distortedFault("charge-elsewhere", "the charge is under one of the names it has in other answers", func(q *quirks) { q.charge = "elsewhere" }),
	distortedFault("extra-fields", "unknown fields at the root, in entities and in events", func(q *quirks) { q.extraFields = true }),
	distortedFault("unknown-type", "every entity has a signal type that was not requested", func(q *quirks) { q.unknownType = true }),
	distortedFault("odd-types", "numbers as texts, texts as numbers, null, lone objects for lists, invalid dates", func(q *quirks) { q.oddTypes = true }),
	distortedFault("missing-entities-some", "a third of the entities found, the first among them, is charged and left out", func(q *quirks) { q.dropSome = true }),
	distortedFault("foreign-entity", "an entity that was not requested, not charged", func(q *quirks) { q.foreign = true }),
	distortedFault("duplicate-entity-key", "the first entity found comes twice under one key or id, the second time without events", func(q *quirks) { q.duplicateKey = true }),
	distortedFault("root-list", "a list of entities, without references, in place of the map of V2; a map in place of the list of V3", func(q *quirks) { q.rootList = true }),
	distortedFault("wrong-content-type", "the answer calls itself text/plain", func(q *quirks) { q.contentType = "text/plain" }),
	distortedFault("201", "the status is 201", func(q *quirks) { q.status = 201 }),
	driftFault(),
}

func distortedFault(name, doc string, distort func(*quirks)) faultSpec {
	return faultSpec{FaultKind: FaultKind{Name: name, Doc: doc, Billed: true, Delivered: true}, distort: distort}
}

// driftFault changes the form of answers for good, as a new release of the service does.
func driftFault() faultSpec {
	f := distortedFault("drift", "from here on answers name their release, events have a new field, rates are objects, traffic lacks its average, a kind of news is new, and every entity has a new signal type",
		func(q *quirks) { q.drift = true })
	f.lasting = true
	return f
}

// FaultKinds lists every kind of fault, for help texts and for tests that must cover each.
func FaultKinds() []FaultKind {
	kinds := make([]FaultKind, len(faultSpecs))
	for i := range faultSpecs {
		kinds[i] = faultSpecs[i].FaultKind
	}
	return kinds
}

func faultSpecOf(kind string) (*faultSpec, error) {
	names := make([]string, len(faultSpecs))
	for i := range faultSpecs {
		if faultSpecs[i].Name == kind {
			return &faultSpecs[i], nil
		}
		names[i] = faultSpecs[i].Name
	}
	return nil, fmt.Errorf("simulator: no fault %q; there are %s", kind, strings.Join(names, ", "))
}

// ParseFault reads a fault such as "drop-after-charge@3" (on the third request), "503-refused%5"
// (on five in a hundred) or "slow/10" (on every tenth); "x2" at the end means at most twice.
func ParseFault(text string) (Fault, error) {
	var f Fault
	at := strings.IndexAny(text, "@%/")
	if at < 0 {
		return f, fmt.Errorf("simulator: fault %q does not say when: kind@3 is the third request, kind%%5 five in a hundred, kind/10 every tenth, x2 at the end at most twice", text)
	}
	f.Kind = strings.TrimSpace(text[:at])
	when, times, hasTimes := strings.Cut(text[at+1:], "x")
	var err error
	switch text[at] {
	case '@':
		f.At, err = strconv.Atoi(strings.TrimSpace(when))
	case '/':
		f.Every, err = strconv.Atoi(strings.TrimSpace(when))
	case '%':
		f.Rate, err = strconv.ParseFloat(strings.TrimSpace(when), 64)
		f.Rate /= 100
	}
	if err == nil && hasTimes {
		f.Times, err = strconv.Atoi(strings.TrimSpace(times))
		if err == nil && f.Times < 1 {
			err = errors.New("x0")
		}
	}
	if err != nil {
		return Fault{}, fmt.Errorf("simulator: fault %q: %q is not a number of requests, such as 3 or 3x2", text, text[at+1:])
	}
	return f, f.validate()
}

// String returns the form that ParseFault reads.
func (f Fault) String() string {
	text := f.Kind
	switch {
	case f.At != 0:
		text += "@" + strconv.Itoa(f.At)
	case f.Every != 0:
		text += "/" + strconv.Itoa(f.Every)
	default:
		text += "%" + strconv.FormatFloat(f.Rate*100, 'f', -1, 64)
	}
	if f.Times > 0 {
		text += "x" + strconv.Itoa(f.Times)
	}
	return text
}

func (f Fault) validate() error {
	if _, err := faultSpecOf(f.Kind); err != nil {
		return err
	}
	set := 0
	for _, is := range []bool{f.At != 0, f.Every != 0, f.Rate != 0} {
		if is {
			set++
		}
	}
	switch {
	case set != 1:
		return fmt.Errorf("simulator: fault %s needs exactly one of At, Every and Rate", f.Kind)
	case f.At < 0 || f.Every < 0 || f.Times < 0:
		return fmt.Errorf("simulator: fault %s: At, Every and Times count requests and cannot be negative", f.Kind)
	case !(f.Rate >= 0 && f.Rate <= 1):
		return fmt.Errorf("simulator: fault %s: Rate is %v; it can be above 0 and up to 1", f.Kind, f.Rate)
	}
	return nil
}

// faultInjector decides which request meets which fault.
type faultInjector struct {
	seed uint64

	mu       sync.Mutex
	armed    []armedFault
	requests int               // requests counted so far
	attempts map[uint64]uint32 // number of times each request was sent
}

type armedFault struct {
	Fault
	spec  *faultSpec
	fired int
}

func newFaultInjector(seed uint64, list []Fault) (*faultInjector, error) {
	f := &faultInjector{seed: seed, attempts: map[uint64]uint32{}}
	for _, fault := range list {
		if err := fault.validate(); err != nil {
			return nil, err
		}
		spec, _ := faultSpecOf(fault.Kind) // the check above has found it
		f.armed = append(f.armed, armedFault{Fault: fault, spec: spec})
	}
	return f, nil
}

// nextFault counts a request and returns the fault it meets, if any, with a draw for the fault's own
// decisions. request identifies the request by its content.
func (f *faultInjector) nextFault(request uint64) (*faultSpec, uint64) {
	if len(f.armed) == 0 {
		return nil, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests++
	attempt := f.attempts[request]
	f.attempts[request]++
	draw := mix(mix(f.seed, request), uint64(attempt))
	for i := range f.armed {
		a := &f.armed[i]
		if a.Times > 0 && a.fired >= a.Times {
			continue
		}
		if a.spec.lasting && a.fired > 0 {
			a.fired++
			return a.spec, draw
		}
		if f.requests == a.At || a.Every > 0 && f.requests%a.Every == 0 ||
			a.Rate > 0 && unitFloat(mix(draw, uint64(i+1))) < a.Rate {
			a.fired++
			return a.spec, draw
		}
	}
	return nil, 0
}

var clientClosed = problem{status: 499, message: "Client Closed Request: the answer took too long"}

func refusedWith(p problem) func(*exchange, uint64) {
	return func(x *exchange, _ uint64) { x.fail(&p) }
}

// limitedBy pretends that other users of the account have exhausted the quota: the headers of
// this one answer show nothing left in the window in question.
func limitedBy(k limitKind) func(*exchange, uint64) {
	return func(x *exchange, _ uint64) {
		drain := func(w *window) {
			if w.limit > 0 {
				w.used = w.limit
			}
		}
		switch k {
		case overHour:
			drain(&x.quota.hour)
		case overDay:
			drain(&x.quota.day)
		}
		x.failRateLimit(k, 2*time.Second)
	}
}

func revokeKey(x *exchange, _ uint64) {
	key, _ := x.apiKey()
	x.mu.Lock()
	x.revoked[key] = true
	x.mu.Unlock()
	x.fail(&problem{status: 401, errorWord: "invalid_request"})
}

func denyByPlan(x *exchange, _ uint64) {
	status, _ := strconv.Atoi(x.switches.PlanGating)
	x.fail(&problem{status: status, message: "Not in your plan", errors: []string{"signals are not part of this plan"}})
}

func errorUnder200(x *exchange, draw uint64) {
	p := problem{status: []int{400, 429, 500, 503}[draw%4], message: "The request could not be served"}
	x.send(200, jsonType, p.encode(x.seq, x.config.Seed), false)
}

func redirect(x *exchange, _ uint64) {
	x.w.Header().Set("Location", "https://mirror.signals.example"+x.path)
	x.send(http.StatusTemporaryRedirect, htmlType, []byte("<p>Moved</p>\n"), false)
}

func proxyPage(status int) []byte {
	return fmt.Appendf(nil, "<!DOCTYPE html>\n<html><head><title>%d</title></head>\n"+
		"<body><h1>%[1]d %s</h1><hr>proxy-7</body></html>\n", status, http.StatusText(status))
}

func proxyError(status int) func(*exchange, []byte, uint64) {
	return func(x *exchange, _ []byte, draw uint64) {
		if draw&1 == 0 {
			x.send(status, htmlType, proxyPage(status), false)
		} else {
			x.send(status, htmlType, nil, false)
		}
	}
}

// maxHang bounds the silence, so that a client without a timeout ends as well.
const maxHang = 2 * time.Minute

func hang(x *exchange, _ []byte, _ uint64) {
	x.sleep(maxHang)
	x.hangUp()
}

func resetMidBody(x *exchange, text []byte, _ uint64) {
	x.ledger.recordStatus(x.seq, 200)
	conn := x.hijack()
	if conn == nil {
		x.truncateBody(text)
	}
	defer conn.Close()
	head := x.rawHead("Content-Length: " + strconv.Itoa(len(text)))
	if _, err := conn.Write(append(head, text[:len(text)/2]...)); err != nil {
		return
	}
	tcp := conn
	if over, ok := conn.(interface{ NetConn() net.Conn }); ok { // TLS
		tcp = over.NetConn()
	}
	if tcp, ok := tcp.(*net.TCPConn); ok {
		// Close now sends a reset; without it the body is still truncated.
		_ = tcp.SetLinger(0)
	}
	_ = tcp.Close()
}

func truncatedClose(x *exchange, text []byte, _ uint64) {
	x.ledger.recordStatus(x.seq, 200)
	conn := x.hijack()
	if conn == nil {
		x.truncateBody(text)
	}
	defer conn.Close()
	// The client has gone or gets its half; an error has no reader.
	_, _ = conn.Write(append(x.rawHead("Connection: close"), text[:len(text)/2]...))
}

func truncatedChunked(x *exchange, text []byte, _ uint64) {
	x.ledger.recordStatus(x.seq, 200)
	x.truncateBody(text)
}

func sendGarbage(x *exchange, text []byte, draw uint64) {
	switch draw % 3 {
	case 0:
		text = []byte("OK\n")
	case 1:
		text = slices.Concat([]byte(")]}',\n"), text)
	default:
		text = []byte{0x1f, 0x8b, 0x08, 0, 0, 0, 0, 0, 0, 0xff, 0x2a, 0x84}
	}
	x.send(200, jsonType, text, false)
}

func sendSlowly(x *exchange, text []byte, _ uint64) {
	x.sleep(max(10*x.config.Latency, time.Second))
	x.send(200, jsonType, text, true)
}

func slowDrip(x *exchange, text []byte, _ uint64) {
	const drops = 25
	x.streamBody(len(text), func(write func([]byte) bool) bool {
		size := len(text)/drops + 1
		for rest := text[:len(text)-1]; len(rest) > 0; {
			n := min(size, len(rest))
			if !write(rest[:n]) {
				return false
			}
			rest = rest[n:]
			x.sleep(time.Second / drops)
		}
		return true
	}, text[len(text)-1:])
}

func hugeBody(x *exchange, text []byte, _ uint64) {
	const open, size = `,"padding":"`, 64 << 20
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = 'x'
	}
	body := text[:len(text)-1]
	x.streamBody(len(body)+len(open)+size+len(`"}`), func(write func([]byte) bool) bool {
		if !write(body) || !write([]byte(open)) {
			return false
		}
		for sent := 0; sent < size; sent += len(chunk) {
			if _, err := x.w.Write(chunk); err != nil {
				return false
			}
		}
		return write([]byte(`"`))
	}, []byte("}"))
}
