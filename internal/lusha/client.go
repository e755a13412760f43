package lusha

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Config says how the API is reached. Only Key is needed.
type Config struct {
	BaseURL   string            // empty: https://api.lusha.com
	AllowHTTP bool              // send the key in clear text to hosts other than this one
	Key       Key               // sent in the api_key header of every request, shown nowhere
	UserAgent string            // empty: siglake's own, since library defaults may be refused
	Timeout   time.Duration     // of one attempt, connection to last byte; 0 means 60 s
	Now       func() time.Time  // nil means time.Now
	Transport http.RoundTripper // nil: the client's own, which can prove that a request never left

	// OnRetirement is called when an answer first states that its version of the API ends; nil: never.
	// It may be called concurrently.
	OnRetirement func(pipeline.APIVersion, Retirement)

	// Bytes of an answer, after decompression, that are read in any case; 0 means 256 MiB. An
	// answer is read up to four times the length that is possible for its batch, if that is more.
	MaxAnswerBytes int64
	// Bytes of the pieces in which longer answers are recorded; 0 means 8 MiB.
	PieceBytes int
}

// Client makes single attempts at the API. It repeats no request, follows no
// redirect, and cancels no request that it handed to the network. It may be used
// concurrently.
type Client struct {
	base           *url.URL
	key            Key
	userAgent      string
	timeout        time.Duration
	maxAnswerBytes int64
	pieceBytes     int
	now            func() time.Time
	transport      http.RoundTripper
	onFreeRequest  func(int)      // counts free requests; may be nil
	usageLimiter   *minuteLimiter // of the usage endpoint, which has a quota of its own
	hookLimiter    *minuteLimiter // of the webhooks' endpoints, which have another
	clockOffset    atomic.Pointer[ClockOffset]
	scratch        sync.Pool // buffers for answers

	onRetirement func(pipeline.APIVersion, Retirement)
	retirementMu sync.Mutex
	retirements  map[pipeline.APIVersion]Retirement
}

// ClockOffset is that of the last free request that was answered, else of one that was refused; nil:
// no response bore a date.
func (c *Client) ClockOffset() *ClockOffset { return c.clockOffset.Load() }

// New checks the configuration. It does not touch the network.
func New(cfg Config) (*Client, error) {
	if err := cfg.Key.validate(); err != nil {
		return nil, err
	}
	base, err := parseBaseURL(cfg.BaseURL, cfg.AllowHTTP)
	if err != nil {
		return nil, errors.New(cfg.Key.redact(err.Error())) // the user may have swapped the two settings: do not show the key
	}
	c := &Client{
		base:           base,
		key:            cfg.Key,
		userAgent:      cfg.UserAgent,
		timeout:        cfg.Timeout,
		maxAnswerBytes: cfg.MaxAnswerBytes,
		pieceBytes:     cfg.PieceBytes,
		now:            cfg.Now,
		transport:      cfg.Transport,
		onRetirement:   cfg.OnRetirement,
		retirements:    map[pipeline.APIVersion]Retirement{},
		usageLimiter:   newMinuteLimiter(usagePerMinute, 0),
		hookLimiter:    newMinuteLimiter(HooksPerMinute, hookSpacing),
	}
	if c.userAgent == "" {
		c.userAgent = "siglake (+https://github.com/siglake/siglake)"
	}
	if c.timeout <= 0 {
		c.timeout = 60 * time.Second
	}
	if c.maxAnswerBytes <= 0 {
		c.maxAnswerBytes = 256 << 20
	}
	if c.pieceBytes <= 0 {
		c.pieceBytes = 8 << 20
	}
	if c.now == nil {
		c.now = time.Now
	}
	if c.transport == nil {
		c.transport = newTransport(nil)
	}
	return c, nil
}

// OnFreeRequest sets a function that counts every attempt at a request that is
// free of charge. These need no admission but use up the account's rate windows.
// Call it before the first request.
func (c *Client) OnFreeRequest(count func(n int)) { c.onFreeRequest = count }

// Format prints the API's address, and no other field.
func (c *Client) Format(s fmt.State, _ rune) { fmt.Fprint(s, "Lusha client of ", c.base.Redacted()) }

// parseBaseURL refuses addresses that would expose the key.
func parseBaseURL(text string, allowHTTP bool) (*url.URL, error) {
	if text == "" {
		text = "https://api.lusha.com"
	}
	u, err := url.Parse(strings.TrimRight(text, "/"))
	if err != nil {
		return nil, errors.New("the API's address is not a URL") // the parser's error may quote a password
	}
	switch {
	case u.User != nil:
		return nil, fmt.Errorf("API address %s: no user or password belongs there", u.Redacted())
	case u.Host == "" || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("API address %q: scheme, host and at most a path are expected", text)
	case u.Scheme == "https":
		return u, nil
	case u.Scheme != "http":
		return nil, fmt.Errorf("API address %q: neither https nor http", text)
	}
	host := u.Hostname()
	ip := net.ParseIP(host)
	if allowHTTP || host == "localhost" || ip != nil && ip.IsLoopback() {
		return u, nil
	}
	return nil, fmt.Errorf("API address %q: http would send the key in clear text; use https", text)
}

// Fetch makes one attempt at a batch. The reply holds its one Call with the
// raw answer, or no Call if nothing was sent. Every item is Deferred: Decode
// gives it its status. The outcome is preliminary: InDoubt, unless it is proven
// that no byte of the request left. An error means that the batch must not be
// sent, or that ctx was done before it was.
func (c *Client) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	req, err := NewRequest(b)
	if err != nil {
		return pipeline.NewReply(b, err.Error()), &pipeline.Stop{Kind: pipeline.StopRequest, Reason: err.Error()}
	}
	if len(req.Sent) == 0 {
		return pipeline.NewReply(b, "not requested"), nil
	}
	if ctx.Err() != nil {
		reason := "stopped on request"
		if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
			reason = "stopped: " + cause.Error()
		}
		return pipeline.NewReply(b, "the run stopped before this request"), &pipeline.Stop{
			Kind: pipeline.StopInterrupted, Reason: reason, Advice: "run the same command again to request the rest",
		}
	}
	attempt := max(b.NextAttempt, 1)
	sent := pipeline.Batch{Query: b.Query}
	for _, i := range req.Sent {
		sent.Items = append(sent.Items, b.Items[i])
	}
	call := pipeline.Call{
		ID:       b.ID + "-" + strconv.Itoa(attempt),
		Batch:    b.ID,
		Attempt:  attempt,
		Endpoint: req.Endpoint(),
		Object:   b.Query.Object,
		Entities: len(req.Sent),
		Types:    len(b.Query.ResultTypes()),
		Ceiling:  sent.Ceiling(),
	}
	// From here on the request may be charged whatever happens to the caller,
	// so it is not the caller's any more: cancelling it would not take the
	// charge back, only lose the answer. It ends by its own time-out.
	c.sendRequest(context.WithoutCancel(ctx), req.Method, req.Path, req.Body, &call, bodyReader{limit: c.limitFor(b), pieceBytes: c.pieceBytes, spill: b.Spill, scratch: &c.scratch})
	reply := pipeline.NewReply(b, "the answer is not decoded")
	reply.Calls = []pipeline.Call{call}
	return reply, nil
}

// maxAnswer is the length up to which an answer can be held in memory, to be decoded.
const maxAnswer = 1 << 30

// maxFreeAnswer is the length up to which the answer to a free request is read.
const maxFreeAnswer = 64 << 20

// limitFor is the length up to which the answer to a batch is read. It is far above what the
// batch can bring by estimate, since what is not read is paid for and lost.
func (c *Client) limitFor(b *pipeline.Batch) int64 {
	return max(c.maxAnswerBytes, min(4*b.PossibleBytes(), maxAnswer))
}

// sendRequest sends one request and reads its answer into the call. A request that takes longer
// than the time-out ends, but not while its answer arrives at a steady rate.
func (c *Client) sendRequest(ctx context.Context, method, path string, body []byte, call *pipeline.Call, reader bodyReader) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.timeout, func() { cancel(context.DeadlineExceeded) })
	defer timer.Stop()
	reader.extend = func() { timer.Reset(c.timeout) }
	call.Outcome = pipeline.InDoubt
	call.Rate = parseRate(nil)
	var trace sendTrace
	req, err := c.newRequest(trace.withTrace(ctx), method, path, body)
	if err != nil {
		call.Outcome = pipeline.NotCharged
		call.Problem = "not sent: " + c.key.redact(err.Error())
		return
	}
	call.Sent = c.now()
	// The transport, not an http.Client: a client follows redirects, and takes
	// the key along.
	resp, err := c.transport.RoundTrip(req)
	if err != nil {
		call.Duration = c.now().Sub(call.Sent)
		call.Problem = c.key.redact(err.Error())
		if reason := disconnectReason(err); reason != "" && !trace.provesUnsent() {
			call.Problem = strings.TrimSuffix(reason+": "+call.Problem, ": EOF") // the reason says as much
		}
		if ctx.Err() != nil {
			call.Problem = "no answer within " + timeoutText(c.timeout)
		}
		if trace.provesUnsent() {
			call.Outcome = pipeline.NotCharged
			call.Problem = "not sent: " + strings.Replace(call.Problem, "no answer within", "no connection within", 1)
		}
		return
	}
	defer resp.Body.Close()
	c.noteRetirement(path, resp.Header)
	c.readAnswer(resp, call, reader)
}

// newRequest is a request with the key, which is sent at most once.
func (c *Client) newRequest(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base.String()+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	// net/http sends a request again when a kept-alive connection breaks, if it
	// can rewind the body or finds an idempotency key. It gets neither.
	req.GetBody = nil
	if len(body) == 0 {
		req.Body = http.NoBody
	} else {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.userAgent)
	req.Header["api_key"] = []string{*c.key.text}
	return req, nil
}

// readAnswer reads an answer into the call, as far as it came.
func (c *Client) readAnswer(resp *http.Response, call *pipeline.Call, reader bodyReader) {
	call.Status = resp.StatusCode
	call.Rate = parseRate(resp.Header)
	call.Header = encodeHeader(resp.Header, c.key)
	reader.key = c.key
	rest, err := reader.read(resp.Body, resp.ContentLength)
	call.Duration = c.now().Sub(call.Sent)
	switch n := reader.length; {
	case n > reader.limit:
		call.Cut = true
		call.Problem = fmt.Sprintf("the answer is longer than %d bytes and was cut", reader.limit)
	case isCorrupt(err):
		call.Corrupt = true
		call.Problem = fmt.Sprintf("the answer was damaged on its way: %s after %d bytes", err, n)
	case err != nil:
		call.Cut = true
		call.Problem = fmt.Sprintf("the answer broke off after %d bytes: %s", n, c.interruptionText(err))
	case resp.ContentLength >= 0 && n != resp.ContentLength:
		call.Cut = true
		call.Problem = fmt.Sprintf("the answer has %d bytes, announced were %d", n, resp.ContentLength)
	}
	call.Body = rest
}

// isCorrupt reports whether the content of an answer contradicts its compression. That of
// a compressed answer that was cut does not: a document decides its own completeness.
func isCorrupt(err error) bool {
	var corrupt flate.CorruptInputError
	return errors.Is(err, gzip.ErrChecksum) || errors.As(err, &corrupt)
}

// disconnectReason describes how a connection ended after bytes were sent on it;
// empty when the error describes it well enough.
func disconnectReason(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "the other side cut the connection off before an answer came"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.EPIPE):
		return "the connection broke off before an answer came"
	}
	return ""
}

// interruptionText says in plain words why an answer ended before its end.
func (c *Client) interruptionText(err error) string {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return "the rest did not come within " + timeoutText(c.timeout)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the connection ended"
	}
	return c.key.redact(err.Error())
}

// timeoutText is a duration without seconds and minutes that are zero: 1m, not 1m0s.
func timeoutText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// newTransport is one connection per request in flight, over HTTP/1.1.
//
// HTTP/2 is off on purpose: there, one broken connection leaves every request
// on it in doubt, the transport repeats requests by rules of its own, and the
// bytes of one request cannot be distinguished from those of another.
func newTransport(config *tls.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}
	baseConfig := &tls.Config{}
	if config != nil {
		baseConfig = config.Clone()
	}
	baseConfig.MinVersion = tls.VersionTLS12
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Transport{
		Proxy:           http.ProxyFromEnvironment,
		Protocols:       protocols,
		TLSClientConfig: baseConfig, // for connections through a proxy
		DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			return &tracedConn{Conn: conn}, nil
		},
		// The traced connection lies above TLS, so that handshakes and closing
		// alerts do not count as bytes of a request.
		DialTLSContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := dialer.DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			host, _, err := net.SplitHostPort(addr)
			if err != nil {
				conn.Close()
				return nil, err
			}
			connConfig := baseConfig.Clone()
			if connConfig.ServerName == "" {
				connConfig.ServerName = host
			}
			connConfig.NextProtos = []string{"http/1.1"}
			handshakeCtx, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			tlsConn := tls.Client(conn, connConfig)
			if err := tlsConn.HandshakeContext(handshakeCtx); err != nil {
				conn.Close()
				return nil, err
			}
			return &tracedConn{Conn: tlsConn}, nil
		},
		TLSHandshakeTimeout:    10 * time.Second,
		MaxResponseHeaderBytes: 1 << 20,
		MaxIdleConns:           64,
		MaxIdleConnsPerHost:    64,
		MaxConnsPerHost:        64,
		IdleConnTimeout:        20 * time.Second, // well below what load balancers grant, so that they rarely hang up first
	}
}
