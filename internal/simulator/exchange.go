package simulator

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// exchange is one request and its response.
type exchange struct {
	*Server
	w     http.ResponseWriter
	r     *http.Request
	path  string
	now   time.Time
	seq   int
	quota quotaSnapshot
}

const (
	jsonType = "application/json; charset=utf-8"
	htmlType = "text/html"
)

// problem is a refusal in the API's own words, encoded in one of its error shapes.
type problem struct {
	status  int
	message string
	errors  []string
	// Unauthenticated answers: this word takes the place of the message.
	errorWord string
	// Ended sessions: this code takes the place of the status.
	code string
	// Errors of the gateway do not have the API's envelope.
	gateway bool
}

func badRequest(errors ...string) *problem {
	return &problem{status: 400, message: "Bad Request", errors: errors}
}

var outOfCredits = &problem{status: 402, message: "Not enough credits"}

// refusals are the answers to a batch that holds an item of Config.Refuse. None names the item.
var refusals = map[int]*problem{
	400: {status: 400, message: "Bad Request", errors: []string{"an item of the request is not acceptable"}},
	412: {status: 412, message: "Precondition failed", errors: []string{"a name in the request cannot be used"}},
	422: {status: 422, message: "Unprocessable", errors: []string{"a value in the request cannot be processed"}},
	451: {status: 451, message: "Unavailable For Legal Reasons", errors: []string{"the request holds an item that may not be looked up"}},
}

func (p *problem) encode(seq int, seed uint64) []byte {
	b := []byte{'{'}
	if p.gateway {
		b = appendString(append(b, `"message":`...), p.message)
		b = append(b, `,"request_id":"`...)
		b = strconv.AppendUint(b, mix(seed, uint64(seq))|1<<63, 16)
		return append(b, '"', '}')
	}
	if p.code != "" {
		b = appendString(append(b, `"code":`...), p.code)
		return append(appendString(append(b, `,"message":`...), p.message), '}')
	}
	b = strconv.AppendInt(append(b, `"statusCode":`...), int64(p.status), 10)
	if p.errorWord != "" {
		return append(appendString(append(b, `,"error":`...), p.errorWord), '}')
	}
	b = appendString(append(b, `,"message":`...), p.message)
	if len(p.errors) > 0 {
		b = append(b, `,"errors":[`...)
		for _, e := range p.errors {
			b = appendString(appendComma(b), e)
		}
		b = append(b, ']')
	}
	return append(b, '}')
}

// fail refuses the request. The request is not charged.
func (x *exchange) fail(p *problem) {
	x.send(p.status, jsonType, p.encode(x.seq, x.config.Seed), false)
}

func (x *exchange) failRateLimit(k limitKind, wait time.Duration) {
	if x.switches.RetryAfter == "present" {
		x.w.Header().Set("Retry-After", strconv.FormatInt(ceilSeconds(wait), 10))
	}
	x.fail(&problem{status: http.StatusTooManyRequests, message: k.message(wait)})
}

// send writes a complete response. The last argument says whether it is the answer that was
// requested (and paid for), or a stand-in.
//
// The bill must say "delivered" by the time the client can hold the complete answer, and must not
// say so if the connection breaks on the way. The last byte is therefore held back: once all
// others are written, the delivery is booked, and it is taken back if the last byte fails. Here,
// as in the whole package, "written" means that the operating system accepted the bytes while the
// client was connected; what the client does with them is out of scope.
func (x *exchange) send(status int, contentType string, body []byte, delivered bool) {
	h := x.w.Header()
	x.quota.setHeaders(h)
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	x.ledger.recordStatus(x.seq, status)
	if len(body) == 0 {
		x.ledger.setDelivered(x.seq, delivered)
		x.w.WriteHeader(status)
		return
	}
	x.w.WriteHeader(status)
	if !x.writeNow(body[:len(body)-1]) {
		return
	}
	x.writeLast(body[len(body)-1:], delivered)
}

// writeNow writes bytes immediately and reports whether they went out to a connected client.
func (x *exchange) writeNow(b []byte) bool {
	if _, err := x.w.Write(b); err != nil {
		return false
	}
	return x.flush() == nil && x.r.Context().Err() == nil
}

func (x *exchange) flush() error {
	err := http.NewResponseController(x.w).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		// A writer without a connection has nothing to flush.
		return nil
	}
	return err
}

func (x *exchange) writeLast(b []byte, delivered bool) {
	if delivered {
		x.ledger.setDelivered(x.seq, true)
	}
	if _, err := x.w.Write(b); err != nil || x.flush() != nil {
		x.ledger.setDelivered(x.seq, false)
	}
}

// sleep waits, and reports whether the client is still connected afterwards. A client that left
// gets no answer: the exchange ends with nothing written.
func (x *exchange) sleep(d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-x.r.Context().Done():
		}
	}
	if x.r.Context().Err() != nil {
		x.hangUp()
	}
	return true
}

// hangUp closes the connection without another byte.
func (x *exchange) hangUp() { panic(http.ErrAbortHandler) }

// hijack takes the connection away from the HTTP server, for faults that the server would not
// produce. It returns nil where that is not possible (HTTP/2, a recorder).
func (x *exchange) hijack() net.Conn {
	conn, _, err := http.NewResponseController(x.w).Hijack()
	if err != nil {
		return nil
	}
	return conn
}

// rawHead returns the head of an HTTP/1.1 response for a hijacked connection.
func (x *exchange) rawHead(fields ...string) []byte {
	h := http.Header{}
	x.quota.setHeaders(h)
	b := []byte("HTTP/1.1 200 OK\r\nContent-Type: " + jsonType + "\r\n")
	for name, values := range h {
		b = append(b, name+": "+values[0]+"\r\n"...)
	}
	for _, field := range fields {
		b = append(b, field+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func putBuffer(b []byte) { buffers.Put(&b) }
