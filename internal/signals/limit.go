package signals

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/siglake/siglake/pipeline"
)

// Plan is what an account may ask in each window; 0 means no limit. The
// numbers are where a run starts: the answers' headers correct them.
type Plan struct {
	Name              string
	Minute, Hour, Day int64
}

// Plans are the vendor's published limits.
// Source: its help centre, newest revision.
var Plans = []Plan{
	{Name: "free", Minute: 40, Day: 100},
	{Name: "starter", Minute: 40, Day: 100},
	{Name: "pro", Minute: 50, Hour: 150, Day: 1500},
	{Name: "premium", Minute: 300, Hour: 1800, Day: 18000},
	{Name: "scale", Minute: 300, Hour: 5000, Day: 50000},
	{Name: "legacy", Minute: 300, Hour: 600, Day: 6000},
}

// PlanNamed finds a plan in any letter case.
func PlanNamed(name string) (Plan, bool) {
	for _, p := range Plans {
		if strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return Plan{}, false
}

// LimitConfig says how fast to ask.
type LimitConfig struct {
	PerSecond float64       // requests per second; 0 means 25
	Plan      Plan          // what the windows hold at first; zero: 40 a minute, until the headers say more
	Reserve   Plan          // calls of each window left to other users of the account
	MaxWait   time.Duration // longest wait for the hour or the day to turn; 0 means none. The minute is always waited for
}

// Limiter holds requests back so that no rate window is exceeded. It may be
// used concurrently.
type Limiter struct {
	inner   pipeline.Fetcher
	maxWait time.Duration
	second  *rate.Limiter
	full    rate.Limit // requests per second when nothing slows them

	mu      sync.Mutex
	minute  *ledger
	windows [3]window // minute, hour, day
	wake    chan struct{}
	flying  int64
}

// Limit wraps a fetcher that makes one attempt per call.
func Limit(inner pipeline.Fetcher, cfg LimitConfig) *Limiter {
	if cfg.PerSecond <= 0 {
		cfg.PerSecond = 25
	}
	if cfg.Plan == (Plan{}) {
		cfg.Plan.Minute = 40
	}
	of := func(name string, span time.Duration, limit, reserve int64) window {
		if limit <= 0 {
			limit = -1
		}
		return window{name: name, span: span, limit: limit, reserve: reserve, left: -1}
	}
	l := &Limiter{
		inner:   inner,
		maxWait: cfg.MaxWait,
		full:    rate.Limit(cfg.PerSecond),
		second:  rate.NewLimiter(rate.Limit(cfg.PerSecond), 1),
		minute:  newLedger(0, time.Minute),
		windows: [3]window{
			of("minute", time.Minute, cfg.Plan.Minute, cfg.Reserve.Minute),
			of("hour", time.Hour, cfg.Plan.Hour, cfg.Reserve.Hour),
			of("day", 24*time.Hour, cfg.Plan.Day, cfg.Reserve.Day),
		},
		wake: make(chan struct{}),
	}
	l.minute.limit = l.windows[0].quota()
	return l
}

// Fetch waits for its turn and asks. When ctx ends first, or when a window
// will not turn within MaxWait, nothing is asked and a *pipeline.Stop says why.
func (l *Limiter) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if stop := l.admit(ctx); stop != nil {
		return nothing(b, stop.Reason), stop
	}
	reply, err := l.inner.Fetch(ctx, b)
	l.settle(reply)
	return reply, err
}

// Learn takes the state of the windows from elsewhere, for example from the
// usage endpoint before the first call.
func (l *Limiter) Learn(r pipeline.Rate) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.learn(r, now, now)
}

// admit takes a place in every window, or gives the reason to stop.
func (l *Limiter) admit(ctx context.Context) *pipeline.Stop {
	for {
		l.mu.Lock()
		now := time.Now()
		full, until := l.fullest(now)
		if full == nil {
			l.flying++
			l.minute.flying++
			for i := range l.windows {
				l.windows[i].take()
			}
			l.mu.Unlock()
			return l.space(ctx)
		}
		if full.span > time.Minute && until.Sub(now) > l.maxWait {
			stop := full.stop(until)
			l.mu.Unlock()
			return stop
		}
		wake := l.wake
		l.mu.Unlock()
		if !wait(ctx, until.Sub(now), wake) {
			return cancelled(ctx)
		}
	}
}

// fullest finds the window that is full for longest, and when it may open.
func (l *Limiter) fullest(now time.Time) (full *window, until time.Time) {
	for i := range l.windows {
		w := &l.windows[i]
		if at := w.opens(now); at.After(now) && at.After(until) {
			full, until = w, at
		}
	}
	if at := l.minute.opens(now); at.After(now) && at.After(until) {
		full, until = &l.windows[0], at
	}
	return full, until
}

// space keeps requests apart, evenly, so that no second holds too many.
func (l *Limiter) space(ctx context.Context) *pipeline.Stop {
	// Not Wait: it fails at once when ctx ends before the turn comes.
	turn := l.second.Reserve()
	if wait(ctx, turn.Delay(), nil) {
		return nil
	}
	turn.Cancel()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.giveBack()
	l.stir()
	return cancelled(ctx)
}

// settle closes an admission and learns from the answer.
func (l *Limiter) settle(reply *pipeline.Reply) {
	l.mu.Lock()
	defer l.mu.Unlock()
	defer l.stir()
	if reply == nil || len(reply.Calls) == 0 {
		l.giveBack()
		return
	}
	now := time.Now()
	l.flying--
	l.minute.land(now)
	call := &reply.Calls[len(reply.Calls)-1]
	l.learn(call.Rate, call.Sent, now)
	l.react(call, now)
}

// giveBack returns an admission that led to no request. What the server said
// to be left stays as it is: too little is the safe side.
func (l *Limiter) giveBack() {
	l.flying--
	l.minute.flying--
	for i := range l.windows {
		l.windows[i].count = max(0, l.windows[i].count-1)
	}
}

// learn corrects the windows. An answer's count does not include the requests
// that are still on their way, so those are taken off.
func (l *Limiter) learn(r pipeline.Rate, sent, now time.Time) {
	for i, stated := range []pipeline.Window{r.Minute, r.Hour, r.Day} {
		l.windows[i].learn(stated, l.flying, sent, now)
	}
	l.minute.limit = l.windows[0].quota()
}

// react slows down after a refusal for speed, closes a window that is said to
// be used up, and slowly returns to full speed.
func (l *Limiter) react(call *pipeline.Call, now time.Time) {
	if call.Outcome == pipeline.Charged {
		if l.second.Limit() < l.full {
			l.second.SetLimit(min(l.full, l.second.Limit()+l.full/50))
		}
		return
	}
	if call.Outcome != pipeline.NotCharged || call.Status == 0 {
		return
	}
	v := verdictOf(call)
	switch v.Class {
	case ClassRateBurst:
		l.second.SetLimit(max(min(1, l.full), l.second.Limit()/2))
	case ClassRateHour:
		l.windows[1].close(now, v.Wait)
	case ClassRateDay:
		l.windows[2].close(now, v.Wait)
	}
}

// stir wakes everyone who waits, to look again.
func (l *Limiter) stir() {
	close(l.wake)
	l.wake = make(chan struct{})
}

// window is one of the server's windows, taken to be aligned to UTC, as far as
// it is known here.
type window struct {
	name    string
	span    time.Duration
	limit   int64     // calls allowed in it; -1 unknown or none
	reserve int64     // of these, left to others
	end     time.Time // of the present window
	count   int64     // calls admitted in it here
	left    int64     // calls left in it, as the server said, less what was admitted since; -1 unknown
	closed  time.Time // the server said that it is used up until then
}

// quota is what may be admitted in a window; -1 for no limit. A reserve never
// takes all of it.
func (w *window) quota() int64 {
	if w.limit < 0 {
		return -1
	}
	return max(1, w.limit-w.reserve)
}

func (w *window) roll(now time.Time) {
	if now.Before(w.end) {
		return
	}
	w.end = now.UTC().Truncate(w.span).Add(w.span)
	w.count, w.left = 0, -1
}

// opens says when a call may be admitted: now, or when the window turns.
func (w *window) opens(now time.Time) time.Time {
	w.roll(now)
	if now.Before(w.closed) {
		return w.closed
	}
	reserve := w.reserve
	if w.limit >= 0 {
		reserve = min(reserve, w.limit-1)
	}
	switch {
	case w.left >= 0 && w.left <= max(reserve, 0),
		w.limit >= 0 && w.count >= w.quota():
		return w.end
	}
	return now
}

func (w *window) take() {
	w.count++
	if w.left > 0 {
		w.left--
	}
}

func (w *window) learn(stated pipeline.Window, flying int64, sent, now time.Time) {
	w.roll(now)
	if stated.Limit == 0 {
		return // a window that allows nothing is how some write that there is none
	}
	if stated.Limit > 0 {
		w.limit = stated.Limit
	}
	if stated.Left < 0 || sent.Before(w.end.Add(-w.span)) {
		return // says nothing about the present window
	}
	left := max(0, stated.Left-flying)
	if w.left < 0 || left < w.left {
		w.left = left
	}
}

// close shuts the window for as long as the server said, else until it turns.
func (w *window) close(now time.Time, wait time.Duration) {
	w.roll(now)
	until := w.end
	if wait > 0 {
		until = now.Add(wait)
	}
	if until.After(w.closed) {
		w.closed = until
	}
}

func (w *window) stop(until time.Time) *pipeline.Stop {
	return &pipeline.Stop{
		Kind:    pipeline.StopQuota,
		Reason:  fmt.Sprintf("the account's requests for this %s are used up", w.name),
		Advice:  "run again after " + until.UTC().Format("2006-01-02 15:04:05 UTC"),
		RetryAt: until,
	}
}

// ledger remembers when requests ended, and so bounds the requests in any
// stretch of time, wherever the server's windows begin. A request counts from
// its admission until a span after its end, because the server counted it
// somewhere between. Its user locks it.
type ledger struct {
	limit  int64 // -1 none
	span   time.Duration
	flying int64
	landed []time.Time // ascending
}

func newLedger(limit int64, span time.Duration) *ledger {
	return &ledger{limit: limit, span: span}
}

// opens says when another request may be admitted. When only requests in
// flight fill it, that is at the earliest a span from now; whoever waits is
// woken when one lands.
func (g *ledger) opens(now time.Time) time.Time {
	gone := 0
	for gone < len(g.landed) && !now.Before(g.landed[gone].Add(g.span)) {
		gone++
	}
	g.landed = g.landed[gone:]
	over := g.flying + int64(len(g.landed)) - g.limit
	switch {
	case g.limit < 0 || over < 0:
		return now
	case over < int64(len(g.landed)):
		return g.landed[over].Add(g.span)
	}
	return now.Add(g.span)
}

func (g *ledger) land(now time.Time) {
	g.flying--
	g.landed = append(g.landed, now)
}

// wait sleeps until d has passed or wake is closed; false when ctx ended first.
func wait(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	if ctx.Err() != nil {
		return false
	}
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}

func cancelled(ctx context.Context) *pipeline.Stop {
	return &pipeline.Stop{
		Kind:   pipeline.StopInterrupted,
		Reason: "stopped on request",
		Advice: "run again to ask about the rest",
	}
}
