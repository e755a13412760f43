package ratelimit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/siglake/siglake/pipeline"
)

// Config says what an account may use. The zero value keeps no state and starts with 40 calls a
// minute, until an answer says more.
type Config struct {
	// Directory of the state; empty: the state is neither kept nor shared with other processes of this host.
	Dir string
	// Where hosts share the state; nil: they do not. Dir is not used then.
	Bucket Bucket
	// Fingerprint of the key, never the key; part of the name of the state's file.
	Account string
	Plan    Plan // the initial limits
	Reserve Reserve

	// Calls per second; 0 means 25; below 0 or above a million means no limit.
	PerSecond float64
	// Longest wait for the hour or the day to reset; 0 means none. The minute is always waited for.
	MaxWait time.Duration
	// After this time the process of a call in flight is assumed to be dead. It must be longer than
	// the client's timeout; 0 means 90 s.
	Timeout time.Duration

	// The clock of the windows; nil means time.Now.
	Now func() time.Time

	// Called with problems that do not stop anything; may be nil.
	Warn func(string)

	// OnWait is called when a wait of more than a few seconds begins: for which window ("minute",
	// "hour", "day", or "hold" if the API asks for a pause), and until when at the latest. It is
	// called once per window, however many calls wait for it; may be nil.
	OnWait func(window string, until time.Time)

	spans [3]time.Duration // of the windows; zero: minute, hour, day
}

var (
	windowSpans = [3]time.Duration{time.Minute, time.Hour, 24 * time.Hour}
	windowNames = [3]string{"minute", "hour", "day"}
)

// assumedSkew is the assumed difference of the server's clock until an answer shows it.
const assumedSkew = int64(30 * time.Second)

// Limiter admits calls so that no rate window of an account is exceeded. It is safe for concurrent
// use. Limiters with the same Dir and Account act as one, in all processes of this host.
type Limiter struct {
	cfg       Config
	maxRate   float64 // calls per second at full speed
	perSecond *rate.Limiter
	unlimited atomic.Bool // no window has a limit: calls are only spaced

	mu      sync.Mutex
	state   accountState
	windows [3]window      // views of accountState.Windows
	file    *stateFile     // nil: not in a file
	shared  *sharedAccount // nil: not in a bucket
	wake    chan struct{}
	ahead   time.Duration // before its start, a call may take a slot
	// By window: OnWait need not be called again before this time.
	notifiedUntil map[string]int64
}

// Open reads the account's state, if there is one. An unreadable state is copied aside, with a
// warning. The error says that Dir cannot be used.
func Open(cfg Config) (*Limiter, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 90 * time.Second
	}
	if cfg.Plan == (Plan{}) {
		cfg.Plan = defaultPlan
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Warn == nil {
		cfg.Warn = func(string) {}
	}
	if cfg.OnWait == nil {
		cfg.OnWait = func(string, time.Time) {}
	}
	if cfg.spans == [3]time.Duration{} {
		cfg.spans = windowSpans
	}
	l := &Limiter{cfg: cfg, maxRate: cfg.PerSecond, wake: make(chan struct{}), ahead: time.Second, notifiedUntil: map[string]int64{}}
	switch {
	case l.maxRate == 0:
		l.maxRate = 25
	case l.maxRate < 0 || l.maxRate > 1e6:
		l.maxRate = math.Inf(1)
	}
	l.maxRate *= 1 - max(0, min(cfg.Reserve.Share, 0.9))
	limit := rate.Inf
	if !math.IsInf(l.maxRate, 1) {
		limit = rate.Limit(l.maxRate)
	}
	l.perSecond = rate.NewLimiter(limit, 1)

	l.state = accountState{SpeedFactor: 1, Clock: clockOffset{-assumedSkew, assumedSkew}, Plan: cfg.Plan.windowLimits()}
	if cfg.Bucket != nil {
		l.shared, l.ahead = newSharedAccount(l, cfg.Bucket, cfg.Account), placeLife/2 // a host takes several at once
		if err := l.shared.open(); err != nil {
			return nil, fmt.Errorf("ratelimit: %w", err)
		}
	} else if cfg.Dir != "" {
		initial := l.state
		file, warning, err := openStateFile(cfg.Dir, cfg.Account, &l.state)
		if err != nil {
			return nil, err
		}
		l.file = file
		if warning != "" {
			l.state = initial
			cfg.Warn(warning)
		}
	}
	l.windows = l.windowsOf(&l.state)
	if l.state.Plan != cfg.Plan.windowLimits() {
		l.change(0, func(int64, int64) { l.state.replacePlan(cfg.Plan.windowLimits()) })
	}
	l.unlimited.Store(l.isUnlimited(l.now()))
	return l, nil
}

// replacePlan replaces the recorded plan: statements made under the old one are void, the calls still count.
func (s *accountState) replacePlan(limits [3]int64) {
	s.Plan = limits
	for i := range s.Windows {
		s.Windows[i] = windowRecord{Ended: s.Windows[i].Ended}
	}
}

// now is the time of the state.
func (l *Limiter) now() int64 {
	if l.shared != nil {
		return l.shared.now()
	}
	return l.cfg.Now().UnixNano()
}

// change changes the state on account of some calls. l.mu is held, or the limiter has no other user yet.
func (l *Limiter) change(calls int64, c change) {
	if l.shared != nil {
		l.shared.record(calls, c)
		return
	}
	l.withState(func(now int64) bool { c(now, now); return true })
}

// windowsOf returns the windows of a state, which is l.state or a copy.
func (l *Limiter) windowsOf(s *accountState) (out [3]window) {
	limits := l.cfg.Plan.windowLimits()
	minReserve := [3]int64{l.cfg.Reserve.Minute, l.cfg.Reserve.Hour, l.cfg.Reserve.Day}
	for i := range out {
		out[i] = window{
			windowRecord: &s.Windows[i], name: windowNames[i], span: int64(l.cfg.spans[i]),
			plan: limits[i], minReserve: minReserve[i], reserve: l.cfg.Reserve,
		}
	}
	return out
}

// Close releases the state's file. Calls in flight may still end, but their results are not kept.
func (l *Limiter) Close() error {
	if l.shared != nil {
		return l.shared.close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	file := l.file
	l.file = nil
	return file.file.Close()
}

// withState runs update on the present state, exclusively on this host, and saves the state if
// update returns true. l.mu is held.
func (l *Limiter) withState(update func(now int64) (changed bool)) {
	abandonFile := func(err error) {
		l.cfg.Warn(fmt.Sprintf("the account's call counts are no longer saved: %v", err))
		_ = l.file.file.Close() // also releases its lock
		l.file = nil
	}
	if l.file != nil {
		if err := l.file.lock(); err != nil {
			abandonFile(err)
		} else {
			l.file.refreshState(&l.state)
		}
	}
	now := l.now()
	l.expireCalls(now)
	changed := update(now)
	if l.file != nil && changed {
		if err := l.file.saveState(&l.state); err != nil {
			abandonFile(err)
		}
	}
	if l.file != nil {
		if err := l.file.unlock(); err != nil {
			abandonFile(err)
		}
	}
	l.afterUpdate(now)
}

// afterUpdate draws the consequences of a new state.
func (l *Limiter) afterUpdate(now int64) {
	if speed := rate.Limit(l.maxRate * l.state.SpeedFactor); !math.IsInf(l.maxRate, 1) && l.perSecond.Limit() != speed {
		l.perSecond.SetLimit(speed)
	}
	l.unlimited.Store(l.isUnlimited(now))
}

// isUnlimited reports whether no window limits calls.
func (l *Limiter) isUnlimited(now int64) bool {
	for _, w := range l.windows {
		if w.effectiveLimit() >= 0 || now < w.ClosedUntil {
			return false
		}
	}
	return now >= l.state.PausedUntil && l.state.SpeedFactor == 1
}

// expireCalls ends calls that exceed the timeout: their process must have died.
func (l *Limiter) expireCalls(now int64) {
	timeout := int64(l.cfg.Timeout)
	for i, start := range l.state.InFlight {
		if start == 0 || now-start < timeout && start-now < timeout {
			continue
		}
		l.state.InFlight[i] = 0
		for _, w := range l.windows {
			w.Ended.add(1, now, w.span)
			w.addUncounted(1, now)
		}
	}
}

func (s *accountState) countInFlight() (n int64) {
	for _, start := range s.InFlight {
		if start != 0 {
			n++
		}
	}
	return n
}

// admission is the permission for one call.
type admission struct {
	slot  int   // index in accountState.InFlight
	start int64 // when the call may leave; 0: the call is not counted
}

// admit reserves a call in every window and waits until it may start, or returns the reason to
// stop.
func (l *Limiter) admit(ctx context.Context) (admission, *pipeline.Stop) {
	if l.unlimited.Load() {
		// Not Wait: it fails at once if ctx ends before the call may start.
		reservation := l.perSecond.Reserve()
		if !sleepOrWake(ctx, reservation.Delay(), nil) {
			reservation.Cancel()
			return admission{}, interruptedStop(ctx)
		}
		return admission{}, nil
	}
	if l.shared != nil {
		return l.shared.admit(ctx)
	}
	for {
		if ctx.Err() != nil {
			return admission{}, interruptedStop(ctx)
		}
		var a admission
		var stop *pipeline.Stop
		var pause time.Duration
		var announce string // reason to pass to OnWait
		var until int64
		l.mu.Lock()
		wake := l.wake
		l.withState(func(now int64) bool {
			var reason string
			reason, until = l.blockedBy(now)
			if reason == "" {
				a = l.startCall(now)
				pause = time.Duration(a.start - now)
				return true
			}
			pause = time.Duration(until - now)
			if reason != "second" && reason != windowNames[0] && pause > l.cfg.MaxWait {
				stop = l.quotaStop(reason, until)
			} else if l.shouldNotify(reason, until, now) {
				announce = reason
			}
			pause = l.pollInterval(pause)
			return false
		})
		l.mu.Unlock()
		if announce != "" {
			l.cfg.OnWait(announce, time.Unix(0, until))
		}
		switch {
		case stop != nil:
			return admission{}, stop
		case a.start == 0:
			sleepOrWake(ctx, pause, wake)
		case !sleepOrWake(ctx, pause, nil):
			l.release(a)
			return admission{}, interruptedStop(ctx)
		default:
			return a, nil
		}
	}
}

// shouldNotify reports whether OnWait is due: for a long wait, once per window.
func (l *Limiter) shouldNotify(reason string, until, now int64) bool {
	const minWait = 5 * time.Second
	if reason == "second" || until-now <= int64(minWait) || now < l.notifiedUntil[reason] {
		return false
	}
	l.notifiedUntil[reason] = until
	for i, name := range windowNames {
		if name == reason {
			l.notifiedUntil[reason] = max(until, now+int64(l.cfg.spans[i]))
		}
	}
	return true
}

// blockedBy returns what the next call has to wait for ("" for nothing) and until when. Of several
// windows it is the one that takes longest.
func (l *Limiter) blockedBy(now int64) (reason string, until int64) {
	s := &l.state
	inFlight := s.countInFlight()
	nextExpiry := int64(math.MaxInt64) // when a slot in flight becomes free at the latest
	for _, start := range s.InFlight {
		if start != 0 {
			nextExpiry = min(nextExpiry, start+int64(l.cfg.Timeout))
		}
	}
	consider := func(name string, at int64) {
		if at <= now {
			name, at = "second", nextExpiry
		}
		if at > until || reason == "" {
			reason, until = name, at
		}
	}
	for _, w := range l.windows {
		if at, blocked := w.blockedUntil(now, inFlight, s.Clock); blocked {
			consider(w.name, at)
		}
	}
	if inFlight == int64(len(s.InFlight)) {
		consider("second", 0)
	}
	// A call does not take a slot long before it may start.
	if at := l.nextStart(now) - int64(l.ahead); at > now {
		consider("second", at)
	}
	if s.PausedUntil > now {
		reason := "hold"
		if s.PausedUntil-now <= int64(time.Minute) {
			reason = "second"
		}
		consider(reason, s.PausedUntil)
	}
	return reason, until
}

// nextStart is when the next call may start.
func (l *Limiter) nextStart(now int64) int64 {
	interval := int64(float64(time.Second) / (l.maxRate * l.state.SpeedFactor)) // 0 for an infinite speed
	if l.state.LastStart > now+interval+2*int64(time.Second) {
		l.state.LastStart = now // the clock was set back
	}
	return max(now, l.state.LastStart+interval)
}

// startCall records an admission.
func (l *Limiter) startCall(now int64) admission {
	s := &l.state
	inFlight := s.countInFlight()
	for _, w := range l.windows {
		w.countStart(now, inFlight, s.Clock)
	}
	// l.perSecond spaces the calls of this process, LastStart those of all processes.
	s.LastStart = l.nextStart(now)
	if l.shared == nil { // whose places are taken again if another host was faster
		at := time.Unix(0, now)
		s.LastStart = max(s.LastStart, now+int64(l.perSecond.ReserveN(at, 1).DelayFrom(at)))
	}
	for slot, start := range s.InFlight {
		if start == 0 {
			s.InFlight[slot] = s.LastStart
			return admission{slot, s.LastStart}
		}
	}
	panic("ratelimit: more calls in flight than places") // blockedBy prevents it
}

// pollInterval shortens a wait: other processes change the state, but cannot wake this one.
func (l *Limiter) pollInterval(pause time.Duration) time.Duration {
	const interval = 250 * time.Millisecond
	if l.file == nil || pause <= interval {
		return pause
	}
	if l.state.countInFlight() > 0 {
		return interval
	}
	return max(interval, pause/4)
}

func (l *Limiter) quotaStop(reason string, until int64) *pipeline.Stop {
	at := time.Unix(0, until)
	s := &pipeline.Stop{
		Kind:    pipeline.StopQuota,
		Reason:  fmt.Sprintf("the account's calls for this %s are used up", reason),
		Advice:  "run again after " + at.UTC().Format("2006-01-02 15:04:05 UTC"),
		RetryAt: at,
	}
	if reason == "hold" {
		s.Reason = "the API asks for a pause"
	}
	return s
}

// endCall removes a call from those in flight; false if it has expired before.
func (l *Limiter) endCall(a admission) bool {
	if a.start == 0 || l.state.InFlight[a.slot] != a.start {
		return false
	}
	l.state.InFlight[a.slot] = 0
	return true
}

// release returns an admission that led to no call.
func (l *Limiter) release(a admission) {
	if a.start == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(0, func(int64, int64) {
		if l.endCall(a) {
			for _, w := range l.windows {
				w.Local--
			}
		}
	})
	l.wakeWaiters()
}

// Refusal is the limit that a 429 is about.
type Refusal int

// The refusals. A 429 about the minute is a Burst: only its headers distinguish them.
const (
	NoRefusal Refusal = iota
	Burst
	Hour
	Day
)

// callResult is the result of one call.
type callResult struct {
	call       *pipeline.Call
	refusal    Refusal
	retryAfter time.Duration // requested by the answer; 0: none
}

// complete ends an admission that led to calls, and applies their answers to the state.
func (l *Limiter) complete(a admission, results []callResult) {
	if a.start == 0 && l.unlimited.Load() && !imposesLimit(results) {
		return
	}
	for i := range results { // a change may wait, and must not keep an answer in memory
		c := results[i].call
		results[i].call = &pipeline.Call{Sent: c.Sent, Status: c.Status, Outcome: c.Outcome, Header: c.Header, Rate: c.Rate}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(int64(len(results)), func(at, now int64) {
		ended := int64(len(results))
		if !l.endCall(a) && a.start != 0 {
			ended-- // it was counted when it expired
		}
		for _, w := range l.windows {
			w.Ended.addAt(max(0, ended), at, now, w.span)
			w.Local += max(0, int64(len(results))-1)
		}
		for _, result := range results {
			l.applyResult(result, at, now)
		}
	})
	l.wakeWaiters()
}

// imposesLimit reports whether an answer introduces a limit while there is none.
func imposesLimit(results []callResult) bool {
	for _, result := range results {
		r := result.call.Rate
		for _, w := range []pipeline.Window{r.Minute, r.Hour, r.Day} {
			if w.Limit > 0 && w.Limit < unlimitedFrom {
				return true
			}
		}
		if result.refusal != NoRefusal {
			return true
		}
	}
	return false
}

// maxDelay is how old a count may be that says how many calls of a rolling window are not ours.
const maxDelay = 300 * time.Millisecond

// applyResult corrects the windows by one answer, which came at a time that is not later than now.
func (l *Limiter) applyResult(result callResult, at, now int64) {
	s, call := &l.state, result.call
	sent := call.Sent.UnixNano()
	if l.shared != nil {
		sent += l.shared.offset
	}
	if call.Sent.IsZero() || sent > now {
		sent = now
	}
	l.syncClock(call.Header, sent, now)
	inFlight := s.countInFlight()
	rates := [3]pipeline.Window{call.Rate.Minute, call.Rate.Hour, call.Rate.Day}
	for i, w := range l.windows {
		assumedReset, firstSeen := !w.Known && w.FirstSeen != 0 && now >= w.ClosedUntil, w.FirstSeen
		external := w.External
		applied := call.Status != 0 && w.applyStatement(rates[i], sent, now, inFlight, s.Clock)
		if w.Rolling && now-at > int64(maxDelay) { // since, calls may have left the window that the statement counts
			w.External = min(w.External, external)
		}
		if !applied {
			w.addUncounted(1, now)
			// A proxy without headers says nothing about the API.
			w.Unstated = w.Unstated || call.Outcome != pipeline.InDoubt && call.Status != 0 && call.Status < 500
		}
		if result.refusal == Hour && i == 1 || result.refusal == Day && i == 2 {
			w.closeWindow(now, int64(result.retryAfter), firstSeen, assumedReset, s.Clock)
		}
	}
	switch {
	case result.refusal == Burst:
		s.SpeedFactor = max(min(1, 1/l.maxRate), s.SpeedFactor/2)
		if result.retryAfter > 0 {
			s.PausedUntil = max(s.PausedUntil, now+int64(result.retryAfter))
		}
	case result.refusal == NoRefusal && call.Outcome == pipeline.Charged:
		s.SpeedFactor = min(1, s.SpeedFactor+0.02)
	}
}

// syncClock updates the offset of the server's clock by the Date of an answer, which was written
// between sent and received and names the second that had begun.
func (l *Limiter) syncClock(header []byte, sent, received int64) {
	var field struct{ Date string }
	if json.Unmarshal(header, &field) != nil {
		return
	}
	stated, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", field.Date)
	if err != nil {
		return
	}
	s := &l.state
	measured := clockOffset{stated.UnixNano() - received, stated.UnixNano() + int64(time.Second) - sent}
	narrowed := clockOffset{max(s.Clock.Min, measured.Min), min(s.Clock.Max, measured.Max)}
	if !s.ClockKnown || narrowed.Min > narrowed.Max {
		narrowed = measured // the clock was set, or has drifted
	}
	s.ClockKnown, s.Clock = true, narrowed
}

// UpdateWindows sets the state of the windows from another source, such as the usage page before
// the first call. resets are when the minute, hour and day reset, on the server's clock; zero if
// not stated.
func (l *Limiter) UpdateWindows(r pipeline.Rate, resets [3]time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(0, func(_, now int64) {
		// The time of the statement is unknown, so it proves nothing about order.
		sent := now - int64(10*time.Second)
		for i, stated := range []pipeline.Window{r.Minute, r.Hour, r.Day} {
			w := &l.windows[i]
			if !w.applyStatement(stated, sent, now, l.state.countInFlight(), l.state.Clock) || resets[i].IsZero() {
				continue
			}
			resetAt := resets[i].UnixNano() - l.state.Clock.Min + w.grace()
			if w.Known && resetAt > now && resetAt <= now+w.span+2*assumedSkew {
				w.ResetAt = resetAt
			}
		}
	})
	l.wakeWaiters()
}

// AddCalls counts n calls made just now without an admission, such as those to free endpoints: the
// server's windows count them, too.
func (l *Limiter) AddCalls(n int) {
	if n <= 0 || l.unlimited.Load() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.change(int64(n), func(at, now int64) { countCalls(&l.windows, int64(n), at, now) })
}

// countCalls counts calls that the answers of others do not show yet.
func countCalls(windows *[3]window, n, at, now int64) {
	for _, w := range windows {
		w.Ended.addAt(n, at, now, w.span)
		w.Local += n
		w.addUncounted(n, now)
	}
}

// State is what is known about an account at a moment.
type State struct {
	Windows   [3]WindowState // minute, hour, day
	InFlight  int64
	PerSecond float64 // present speed; +Inf: no limit
}

// WindowState is what is known about a window.
type WindowState struct {
	Name   string
	Limit  int64 // -1: none
	Recent int64 // calls from this host within the last minute, hour or day
	// Calls left to the account, as last stated, minus the calls since; -1: unknown.
	Left int64
	// At least this many calls of the present window were made elsewhere.
	External int64
	// When it resets, at the latest; zero: unknown.
	ResetAt time.Time
}

// State reports what is known now.
func (l *Limiter) State() State {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out State
	l.withState(func(now int64) bool {
		s := &l.state
		out.InFlight, out.PerSecond = s.countInFlight(), l.maxRate*s.SpeedFactor
		for i, w := range l.windows {
			w.Ended.advance(now, w.span)
			o := WindowState{Name: w.name, Limit: w.effectiveLimit(), Recent: w.Ended.Sum + out.InFlight, Left: -1}
			if w.Known && now < w.endsAt(s.Clock) {
				o.Left = max(0, w.Left-w.Uncounted-out.InFlight)
				o.External = w.External
				o.ResetAt = time.Unix(0, w.endsAt(s.Clock))
			}
			if now < w.ClosedUntil {
				o.Left, o.ResetAt = 0, time.Unix(0, w.ClosedUntil)
			}
			out.Windows[i] = o
		}
		return false
	})
	return out
}

// String formats the state, one line per window.
func (s State) String() string {
	var b strings.Builder
	number := func(n int64, unknown string) string {
		if n < 0 {
			return unknown
		}
		return fmt.Sprint(n)
	}
	for _, w := range s.Windows {
		reset := "unknown"
		if !w.ResetAt.IsZero() {
			reset = w.ResetAt.UTC().Format("2006-01-02 15:04:05 UTC")
		}
		fmt.Fprintf(&b, "%-6s  limit %-6s  recent %-6d  left %-7s  resets %s\n",
			w.Name, number(w.Limit, "none"), w.Recent, number(w.Left, "unknown"), reset)
	}
	fmt.Fprintf(&b, "%d in flight, at most %.4g a second\n", s.InFlight, s.PerSecond)
	return b.String()
}

// wakeWaiters makes all waiting calls of this process check the state again. Those of a shared account wait for the
// bucket, which is asked from time to time.
func (l *Limiter) wakeWaiters() {
	if l.shared == nil {
		close(l.wake)
		l.wake = make(chan struct{})
	}
}

// sleepOrWake sleeps until d has passed or wake is closed; false if ctx ended first.
func sleepOrWake(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
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

func interruptedStop(ctx context.Context) *pipeline.Stop {
	reason := "stopped on request while waiting for the rate limits"
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		reason = "stopped while waiting for the rate limits: " + cause.Error()
	}
	return &pipeline.Stop{
		Kind:   pipeline.StopInterrupted,
		Reason: reason,
		Advice: "run again to request the rest",
	}
}
