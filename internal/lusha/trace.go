package lusha

import (
	"context"
	"crypto/tls"
	"net"
	"net/http/httptrace"
	"sync"
)

// sendTrace records whether any byte of one request left this machine.
type sendTrace struct {
	mu     sync.Mutex
	traced bool // the transport reports its steps
	conns  []net.Conn
}

func (d *sendTrace) withTrace(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn: func(string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.traced = true
		},
		GotConn: func(info httptrace.GotConnInfo) {
			d.mu.Lock()
			defer d.mu.Unlock()
			if w := tracedConnOf(info.Conn); w != nil {
				w.startRequest()
			}
			d.conns = append(d.conns, info.Conn)
		},
	})
}

// provesUnsent reports whether it is proven that no byte left, and blocks the
// connections so that none leaves later. A transport that does not report its
// steps, or uses connections of its own, proves nothing.
func (d *sendTrace) provesUnsent() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.traced {
		return false
	}
	for _, conn := range d.conns {
		if w := tracedConnOf(conn); w == nil || !w.blockIfUnwritten() {
			return false
		}
	}
	return true
}

func tracedConnOf(conn net.Conn) *tracedConn {
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	w, _ := conn.(*tracedConn)
	return w
}

// tracedConn knows whether the request that holds it has begun to write.
type tracedConn struct {
	net.Conn
	mu      sync.Mutex
	wrote   bool
	blocked bool
}

func (w *tracedConn) Write(p []byte) (int, error) {
	w.mu.Lock()
	if w.blocked {
		w.mu.Unlock()
		return 0, net.ErrClosed
	}
	w.wrote = true
	w.mu.Unlock()
	return w.Conn.Write(p)
}

// startRequest forgets what earlier requests wrote.
func (w *tracedConn) startRequest() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrote = false
}

// blockIfUnwritten reports whether nothing was written since startRequest, and if so
// blocks later writes: they fail as on a closed connection.
func (w *tracedConn) blockIfUnwritten() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.wrote {
		return false
	}
	w.blocked = true
	return true
}
