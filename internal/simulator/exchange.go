package simulator

import (
	"net/http"
	"strconv"
	"sync"
	"time"
)

// exchange is one request and its response.
type exchange struct {
	*Server
	response
	path string
	now  time.Time
}

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

var buffers = sync.Pool{New: func() any { return new([]byte) }}

func getBuffer() []byte { return (*buffers.Get().(*[]byte))[:0] }

func putBuffer(b []byte) { buffers.Put(&b) }
