package simulator

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"time"
)

// response writes what the client receives, and notes on the bill what was delivered.
type response struct {
	w       http.ResponseWriter
	r       *http.Request
	quota   quotaSnapshot // for the headers
	entries *ledger
	seq     int // of the request's entry
}

const (
	jsonType = "application/json; charset=utf-8"
	htmlType = "text/html"
)

// send writes a complete response. The last argument says whether it is the answer that was
// requested (and paid for), or a stand-in.
//
// The bill must say "delivered" by the time the client can hold the complete answer, and must not
// say so if the connection breaks on the way. The last byte is therefore held back: once all
// others are written, the delivery is booked, and it is taken back if the last byte fails. Here,
// as in the whole package, "written" means that the operating system accepted the bytes while the
// client was connected; what the client does with them is out of scope.
func (p *response) send(status int, contentType string, body []byte, delivered bool) {
	h := p.w.Header()
	p.quota.setHeaders(h)
	h["Content-Type"] = []string{contentType}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	p.entries.recordStatus(p.seq, status)
	if len(body) == 0 {
		p.entries.setDelivered(p.seq, delivered)
		p.w.WriteHeader(status)
		return
	}
	p.w.WriteHeader(status)
	if !p.writeNow(body[:len(body)-1]) {
		return
	}
	p.writeLast(body[len(body)-1:], delivered)
}

// writeNow writes bytes immediately and reports whether they went out to a connected client.
func (p *response) writeNow(b []byte) bool {
	if _, err := p.w.Write(b); err != nil {
		return false
	}
	return p.flush() == nil && p.r.Context().Err() == nil
}

func (p *response) flush() error {
	err := http.NewResponseController(p.w).Flush()
	if errors.Is(err, http.ErrNotSupported) {
		// A writer without a connection has nothing to flush.
		return nil
	}
	return err
}

func (p *response) writeLast(b []byte, delivered bool) {
	if delivered {
		p.entries.setDelivered(p.seq, true)
	}
	if _, err := p.w.Write(b); err != nil || p.flush() != nil {
		p.entries.setDelivered(p.seq, false)
	}
}

// sleep waits, and reports whether the client is still connected afterwards. A client that left
// gets no answer: the exchange ends with nothing written.
func (p *response) sleep(d time.Duration) bool {
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.r.Context().Done():
		}
	}
	if p.r.Context().Err() != nil {
		p.hangUp()
	}
	return true
}

// hangUp closes the connection without another byte.
func (p *response) hangUp() { panic(http.ErrAbortHandler) }

// hijack takes the connection away from the HTTP server, for faults that the server would not
// produce. It returns nil where that is not possible (HTTP/2, a recorder).
func (p *response) hijack() net.Conn {
	conn, _, err := http.NewResponseController(p.w).Hijack()
	if err != nil {
		return nil
	}
	return conn
}

// rawHead returns the head of an HTTP/1.1 response for a hijacked connection.
func (p *response) rawHead(fields ...string) []byte {
	h := http.Header{}
	p.quota.setHeaders(h)
	b := []byte("HTTP/1.1 200 OK\r\nContent-Type: " + jsonType + "\r\n")
	for name, values := range h {
		b = append(b, name+": "+values[0]+"\r\n"...)
	}
	for _, field := range fields {
		b = append(b, field+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// truncateBody writes half a body of undeclared length and closes the connection.
func (p *response) truncateBody(text []byte) {
	p.quota.setHeaders(p.w.Header())
	p.w.Header().Set("Content-Type", jsonType)
	p.writeNow(text[:len(text)/2])
	p.hangUp()
}

// streamBody writes an answer in pieces; end is its last byte.
func (p *response) streamBody(length int, pieces func(write func([]byte) bool) bool, end []byte) {
	h := p.w.Header()
	p.quota.setHeaders(h)
	h.Set("Content-Type", jsonType)
	h.Set("Content-Length", strconv.Itoa(length))
	p.entries.recordStatus(p.seq, 200)
	p.w.WriteHeader(http.StatusOK)
	if pieces(p.writeNow) {
		p.writeLast(end, true)
	}
}
