package receiver

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync/atomic"
	"time"

	"github.com/siglake/siglake/internal/inbox"
)

// Path is where deliveries are posted to.
const Path = "/in"

// Limits of a request.
const (
	MaxBody      = 1 << 20          // bytes
	MaxChallenge = 1 << 10          // bytes
	ReadTimeout  = 8 * time.Second  // for the whole request
	answerWithin = 9 * time.Second  // of its beginning; the vendor waits for 10 s
	maxHeader    = 16 << 10         // bytes
	maxRequests  = 1024             // at once
	smallBody    = 64 << 10         // of longer ones maxLarge are read at once
	maxLarge     = 32               // so that the bodies of all requests take 96 MiB at most
	maxID        = 256              // bytes; a longer one is replaced by its digest
	ageRun       = 3                // deliveries in a row that are refused for their age alone
	logEvery     = 10 * time.Second // for lines about refusals of one kind
)

// Inbox keeps deliveries; an [inbox.Inbox] implements it.
type Inbox interface {
	// Append returns when a delivery is durable; false if it was before. The errors are those of
	// inbox.Inbox.Append.
	Append(ctx context.Context, d *inbox.Delivery) (fresh bool, err error)
}

// Options of a receiver. Inbox and Secrets must be set.
type Options struct {
	Inbox Inbox
	// Secrets are those that a delivery may be signed with, at the moment.
	Secrets func() []string
	// The time. Nil: time.Now.
	Now func() time.Time
	// How far a timestamp may be from the time. 0: 5 minutes.
	Tolerance time.Duration
	// Nil: nothing is logged.
	Log *slog.Logger
	// Failed is called when the inbox cannot be written any more. Nil: not wanted.
	Failed func(error)
	// Received is called for each delivery that is new. Nil: not wanted.
	Received func()
}

// Receiver is the handler.
type Receiver struct {
	Options
	counts    counts
	active    atomic.Int64
	large     chan struct{} // has a place for each large body
	agedInRow atomic.Int64
	lines     throttle
}

// New returns a receiver.
func New(o Options) *Receiver {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Tolerance <= 0 {
		o.Tolerance = 5 * time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Receiver{Options: o, large: make(chan struct{}, maxLarge)}
}

// ServeHTTP answers deliveries, and the question whether the address is the receiver's own.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	header := w.Header()
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Cache-Control", "no-store")
	if n := r.active.Add(1); n > maxRequests {
		r.active.Add(-1)
		r.refuse(w, Busy, "")
		return
	}
	defer r.active.Add(-1)
	switch {
	case req.URL.Path != Path:
		r.refuse(w, NoSuchPath, "")
	case req.Method == http.MethodPost:
		r.receive(w, req)
	case req.Method == http.MethodGet && req.URL.Query().Has("challenge"):
		r.answerChallenge(w, req.URL.Query().Get("challenge"))
	default:
		header.Set("Allow", "GET, POST")
		r.refuse(w, NoSuchMethod, "")
	}
}

// answerChallenge proves to the vendor that the address is a receiver's.
func (r *Receiver) answerChallenge(w http.ResponseWriter, text string) {
	if text == "" || len(text) > MaxChallenge {
		r.refuse(w, BadChallenge, "")
		return
	}
	r.counts.challenges.Add(1)
	r.Log.Info("answered the vendor's question whether this address receives webhooks")
	writeJSON(w, http.StatusOK, struct {
		Challenge string `json:"challenge"`
	}{text})
}

// receive reads, verifies and keeps a delivery.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request) {
	began := r.Now()
	ctx, cancel := context.WithTimeout(req.Context(), answerWithin)
	defer cancel()
	signature, stamp, ok := signatureOf(req.Header)
	if !ok {
		r.refuse(w, Unsigned, "a request without the headers of a signature")
		return
	}
	body, reason, err := r.readBody(w, req)
	if err != nil {
		w.Header().Set("Connection", "close") // the rest of the body is not read
		r.refuse(w, reason, "a body that was not read: "+string(reason))
		return
	}
	if !isSigned(r.Secrets(), stamp, body, signature) {
		r.refuse(w, WrongSignature, "a delivery with a wrong signature: it is not the vendor's, the secret is an older or newer one, or a proxy changes the body")
		return
	}
	if !r.isTimely(w, stamp, began) {
		return
	}
	d := classify(body)
	d.Received, d.Stamp, d.Body = began.UTC().Truncate(time.Microsecond), stamp, body
	fresh, err := r.Inbox.Append(ctx, &d.Delivery)
	if err != nil {
		r.refuseUnwritten(w, err)
		return
	}
	r.note(&d.Delivery, fresh, r.Now().Sub(began))
	writeJSON(w, http.StatusCreated, struct {
		Received  bool   `json:"received"`
		Timestamp string `json:"timestamp"`
		WebhookID string `json:"webhookId"`
	}{true, r.Now().UTC().Format("2006-01-02T15:04:05.000Z07:00"), d.echo})
}

// readBody reads a body of a limited length.
func (r *Receiver) readBody(w http.ResponseWriter, req *http.Request) ([]byte, Reason, error) {
	if req.ContentLength > MaxBody {
		return nil, TooLarge, errTooLarge
	}
	in := http.MaxBytesReader(w, req.Body, MaxBody)
	body, err := io.ReadAll(io.LimitReader(in, smallBody))
	if err == nil && len(body) == smallBody {
		select {
		case r.large <- struct{}{}:
			defer func() { <-r.large }()
		default:
			return nil, Busy, inbox.ErrBusy
		}
		var rest []byte
		rest, err = io.ReadAll(in)
		body = append(body, rest...)
	}
	var limit *http.MaxBytesError
	switch {
	case errors.As(err, &limit):
		return nil, TooLarge, err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, TooSlow, err
	case err != nil:
		return nil, CutOff, err
	}
	return body, "", nil
}

var errTooLarge = fmt.Errorf("the body is longer than %d bytes", MaxBody)

// isTimely refuses a delivery whose timestamp is too far from the time.
func (r *Receiver) isTimely(w http.ResponseWriter, stamp string, now time.Time) bool {
	at, ok := parseStamp(stamp)
	if !ok {
		r.refuse(w, BadTimestamp, "a delivery with a right signature and a timestamp that is no Unix time")
		return false
	}
	skew := now.Sub(at)
	if skew.Abs() <= r.Tolerance {
		r.agedInRow.Store(0)
		return true
	}
	where := skew.Round(time.Second).String() + " old"
	if skew < 0 {
		where = (-skew).Round(time.Second).String() + " ahead of this machine's clock"
	}
	line := fmt.Sprintf("a delivery with a right signature, because its timestamp is %s, and --tolerance is %s", where, r.Tolerance)
	if n := r.agedInRow.Add(1); n >= ageRun {
		line += fmt.Sprintf("; it is number %d in a row: either this machine's clock is wrong, or the vendor repeats deliveries with the old timestamp, and then --tolerance must be longer", n)
	}
	r.refuse(w, TooOld, line)
	return false
}

// refuseUnwritten refuses a delivery that is not durable. The vendor will repeat it.
func (r *Receiver) refuseUnwritten(w http.ResponseWriter, err error) {
	switch {
	case errors.Is(err, inbox.ErrBusy):
		r.refuse(w, Busy, "a delivery, because too many wait to become durable")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		r.refuse(w, TooLate, "a delivery that did not become durable in time")
	default:
		r.refuse(w, NotWritten, "a delivery, because the inbox cannot be written: "+err.Error())
		if r.Failed != nil {
			r.Failed(err)
		}
	}
}

// note counts a delivery that is durable.
func (r *Receiver) note(d *inbox.Delivery, fresh bool, took time.Duration) {
	r.counts.note(d, fresh, took)
	if !fresh {
		return
	}
	switch d.Kind {
	case inbox.Test:
		r.Log.Info("received a test delivery, or another one that states a charge of 0: it is kept, and not published", "id", d.ID)
	case inbox.OptOut:
		r.Log.Info("received an opt-out notice: the next publication records it", "id", d.ID)
	case inbox.Unreadable:
		r.Log.Warn("received a delivery with a right signature that cannot be read: it is kept", "id", d.ID, "bytes", len(d.Body))
	}
	if r.Received != nil {
		r.Received()
	}
}

// refuse answers that a request was not accepted, counts it, and logs the line, if it is not empty.
func (r *Receiver) refuse(w http.ResponseWriter, reason Reason, line string) {
	r.counts.refuse(reason)
	if line != "" {
		r.lines.log(r.Log, r.Now(), reason, line)
	}
	if reason == Busy {
		w.Header().Set("Retry-After", "1")
	}
	writeJSON(w, reason.Status(), struct {
		Received bool   `json:"received"`
		Error    Reason `json:"error"`
	}{false, reason})
}

// NewServer returns a server of a handler with the limits of this package. Strangers may connect to it:
// what they send, and how slowly, is limited.
func NewServer(handler http.Handler, log *slog.Logger) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true) // the one whose timeouts are those of a request
	return &http.Server{
		Handler: handler, ReadTimeout: ReadTimeout, WriteTimeout: 15 * time.Second, IdleTimeout: 2 * time.Minute,
		MaxHeaderBytes: maxHeader - 4096, // to which the server adds as much
		Protocols:      protocols, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	text, err := json.Marshal(v)
	if err != nil { // of texts alone
		panic(err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // without the answer the vendor repeats the delivery
}
