package receiver

import (
	"bufio"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is a listener whose connections are pipes, so that a test can run in virtual time.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error { close(p.done); return nil }

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestSlow: a client that sends too slowly is cut off after 8 seconds, and one that sends too many headers at
// once; a delivery that is sent in pieces within that time is accepted.
func TestSlow(t *testing.T) {
	t.Parallel()
	head := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: x\r\n%s: %s\r\n%s: %s\r\nContent-Length: %d\r\n\r\n",
		Path, signatureHeader, vectorSignature, stampHeader, vectorStamp, len(vectorBody))
	for name, c := range map[string]struct {
		pieces []string // one a second
		want   int      // 0: the connection is closed without an answer
		after  time.Duration
	}{
		"in pieces":       {[]string{head[:50], head[50:], vectorBody[:20], vectorBody[20:40], vectorBody[40:]}, 201, 5 * time.Second},
		"no body":         {[]string{head}, 408, ReadTimeout},
		"drop by drop":    {strings.Split(head, ""), 400, ReadTimeout},
		"body by drops":   {append([]string{head}, strings.Split(vectorBody, "")...), 408, ReadTimeout},
		"nothing":         {nil, 0, ReadTimeout},
		"enormous header": {[]string{"GET /in HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", maxHeader+1) + "\r\n\r\n"}, 431, time.Second},
		"many headers":    {[]string{"GET /in HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X: y\r\n", maxHeader/6+1) + "\r\n"}, 431, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(vectorTime)
			server := NewServer(r, slog.New(slog.DiscardHandler))
			p := &pipes{make(chan net.Conn), make(chan struct{})}
			done := make(chan error)
			go func() { done <- server.Serve(p) }() // ends with Close
			client, conn := net.Pipe()
			p.conns <- conn
			began := time.Now()
			go func() { // ends with the connection
				for _, piece := range c.pieces {
					<-time.After(time.Second) // of virtual time
					if _, err := io.WriteString(client, piece); err != nil {
						return
					}
				}
			}()
			status := 0
			if res, err := http.ReadResponse(bufio.NewReader(client), nil); err == nil {
				status = res.StatusCode
			}
			if took := time.Since(began); status != c.want || took > c.after+time.Second {
				t.Errorf("%s: status %d after %v, want %d after %v", name, status, took, c.want, c.after)
			}
			_ = client.Close()
			_ = server.Close()
			<-done
			<-time.After(time.Minute) // until the goroutines of the connection have ended
		})
	}
}
