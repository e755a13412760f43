package quota

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

// Config says what an account may ask. The zero value keeps nothing and starts
// with 40 calls a minute, until an answer says more.
type Config struct {
	Dir     string // where the state is kept; empty: neither kept nor shared
	Account string // fingerprint of the key, never the key; names the state's file
	Plan    Plan   // the limits to start from
	Reserve Reserve

	PerSecond float64       // calls a second; 0 means 25, less than 0 or more than a million no limit
	MaxWait   time.Duration // longest wait for the hour or the day to turn; 0 means none. The minute is always waited for
	Timeout   time.Duration // when a call in flight is taken to have died with its process, longer than the client's patience; 0 means 90 s

	Note func(string) // told what went wrong without stopping anything; may be nil

	// Waiting is told that a wait of more than a few seconds begins: for which
	// window ("minute", "hour", "day", or "hold" when the API asks for a pause),
	// and until when at the latest. Once per window, however many calls wait for
	// it; may be nil.
	Waiting func(window string, until time.Time)

	spans [3]time.Duration // of the windows; zero: minute, hour, day
}

var (
	spans = [3]time.Duration{time.Minute, time.Hour, 24 * time.Hour}
	names = [3]string{"minute", "hour", "day"}
)

// skew is how far the server's clock is expected to be off until an answer
// shows it.
const skew = int64(30 * time.Second)

// Governor admits calls, so that no rate window of an account is exceeded. It
// may be used concurrently; governors with the same Dir and Account, in
// whatever process of this host, act as one.
type Governor struct {
	cfg    Config
	full   float64 // calls a second when nothing slows them
	second *rate.Limiter
	free   atomic.Bool // no window has a limit: calls are only spaced

	mu      sync.Mutex
	state   state
	windows [3]window // views of state.Window
	store   *store    // nil: in memory only
	wake    chan struct{}
	told    map[string]int64 // until when Waiting need not be told again, by window
}

// Open reads the account's state, if there is one. A state that cannot be read
// is put aside with a Note. The error says that Dir cannot be used.
func Open(cfg Config) (*Governor, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 90 * time.Second
	}
	if cfg.Plan == (Plan{}) {
		cfg.Plan = unknownPlan
	}
	if cfg.Note == nil {
		cfg.Note = func(string) {}
	}
	if cfg.Waiting == nil {
		cfg.Waiting = func(string, time.Time) {}
	}
	if cfg.spans == [3]time.Duration{} {
		cfg.spans = spans
	}
	g := &Governor{cfg: cfg, full: cfg.PerSecond, wake: make(chan struct{}), told: map[string]int64{}}
	switch {
	case g.full == 0:
		g.full = 25
	case g.full < 0 || g.full > 1e6:
		g.full = math.Inf(1)
	}
	g.full *= 1 - max(0, min(cfg.Reserve.Share, 0.9))
	limit := rate.Inf
	if !math.IsInf(g.full, 1) {
		limit = rate.Limit(g.full)
	}
	g.second = rate.NewLimiter(limit, 1)

	g.state = state{Pace: 1, Clock: clock{-skew, skew}, Plan: cfg.Plan.limits()}
	if cfg.Dir != "" {
		fresh := g.state
		st, trouble, err := openStore(cfg.Dir, cfg.Account, &g.state)
		if err != nil {
			return nil, err
		}
		g.store = st
		if trouble != "" {
			g.state = fresh
			cfg.Note(trouble)
		}
	}
	g.windows = g.views(&g.state)
	if g.state.Plan != cfg.Plan.limits() {
		// Another plan was bought, or named: what was stated under the old one
		// says nothing, what was asked still counts.
		g.state.Plan = cfg.Plan.limits()
		for _, w := range g.windows {
			*w.tally = tally{Ledger: w.Ledger}
		}
	}
	g.free.Store(g.unlimited(time.Now().UnixNano()))
	return g, nil
}

// views gives the windows of a state, its own or a copy.
func (g *Governor) views(s *state) (out [3]window) {
	limits := g.cfg.Plan.limits()
	least := [3]int64{g.cfg.Reserve.Minute, g.cfg.Reserve.Hour, g.cfg.Reserve.Day}
	for i := range out {
		out[i] = window{
			tally: &s.Window[i], name: names[i], span: int64(g.cfg.spans[i]),
			plan: limits[i], least: least[i], reserve: g.cfg.Reserve,
		}
	}
	return out
}

// Close releases the state's file. Calls in flight may still end, but what they
// teach is not kept.
func (g *Governor) Close() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.store == nil {
		return nil
	}
	st := g.store
	g.store = nil
	return st.file.Close()
}

// with runs do on the present state, as the only one on this host, and keeps
// what it changed when it returns true. g.mu is held.
func (g *Governor) with(do func(now int64) (changed bool)) {
	lost := func(err error) {
		g.cfg.Note(fmt.Sprintf("the account's call counts are no longer kept: %v", err))
		_ = g.store.file.Close() // gives its lock back, too
		g.store = nil
	}
	if g.store != nil {
		if err := g.store.lock(); err != nil {
			lost(err)
		} else {
			g.store.refresh(&g.state)
		}
	}
	now := time.Now().UnixNano()
	g.expire(now)
	changed := do(now)
	if g.store != nil && changed {
		if err := g.store.save(&g.state); err != nil {
			lost(err)
		}
	}
	if g.store != nil {
		if err := g.store.unlock(); err != nil {
			lost(err)
		}
	}
	if pace := rate.Limit(g.full * g.state.Pace); !math.IsInf(g.full, 1) && g.second.Limit() != pace {
		g.second.SetLimit(pace)
	}
	g.free.Store(g.unlimited(now))
}

// unlimited reports that no window has anything to say.
func (g *Governor) unlimited(now int64) bool {
	for _, w := range g.windows {
		if w.limit() >= 0 || now < w.Closed {
			return false
		}
	}
	return now >= g.state.Hold && g.state.Pace == 1
}

// expire ends calls whose process must have died.
func (g *Governor) expire(now int64) {
	patience := int64(g.cfg.Timeout)
	for i, left := range g.state.Flying {
		if left == 0 || now-left < patience && left-now < patience {
			continue
		}
		g.state.Flying[i] = 0
		for _, w := range g.windows {
			w.Ledger.add(1, now, w.span)
			w.mute(1, now)
		}
	}
}

func (s *state) flying() (n int64) {
	for _, left := range s.Flying {
		if left != 0 {
			n++
		}
	}
	return n
}

// ticket is an admission.
type ticket struct {
	place int   // in state.Flying
	left  int64 // when the call was told to leave; 0 for a call that is not counted
}

// admit takes a place in every window and waits for its turn, or gives the
// reason to stop.
func (g *Governor) admit(ctx context.Context) (ticket, *pipeline.Stop) {
	if g.free.Load() {
		// Not Wait: it fails at once when ctx ends before the turn comes.
		turn := g.second.Reserve()
		if !wait(ctx, turn.Delay(), nil) {
			turn.Cancel()
			return ticket{}, cancelled(ctx)
		}
		return ticket{}, nil
	}
	for {
		if ctx.Err() != nil {
			return ticket{}, cancelled(ctx)
		}
		var t ticket
		var stop *pipeline.Stop
		var pause time.Duration
		var waits string // for what, when that is news
		var until int64
		g.mu.Lock()
		wake := g.wake
		g.with(func(now int64) bool {
			var why string
			why, until = g.obstacle(now)
			if why == "" {
				t = g.take(now)
				pause = time.Duration(t.left - now)
				return true
			}
			pause = time.Duration(until - now)
			if why != "second" && why != names[0] && pause > g.cfg.MaxWait {
				stop = g.stop(why, until)
			} else if g.news(why, until, now) {
				waits = why
			}
			pause = g.doze(pause)
			return false
		})
		g.mu.Unlock()
		if waits != "" {
			g.cfg.Waiting(waits, time.Unix(0, until))
		}
		switch {
		case stop != nil:
			return ticket{}, stop
		case t.left == 0:
			wait(ctx, pause, wake)
		case !wait(ctx, pause, nil):
			g.release(t)
			return ticket{}, cancelled(ctx)
		default:
			return t, nil
		}
	}
}

// news reports whether somebody should be told of a wait: of a long one, once
// per window.
func (g *Governor) news(why string, until, now int64) bool {
	const long = 5 * time.Second
	if why == "second" || until-now <= int64(long) || now < g.told[why] {
		return false
	}
	g.told[why] = until
	for i, name := range names {
		if name == why {
			g.told[why] = max(until, now+int64(g.cfg.spans[i]))
		}
	}
	return true
}

// obstacle names what one more call has to wait for ("" for nothing) and until
// when: of several windows the one that takes longest.
func (g *Governor) obstacle(now int64) (why string, until int64) {
	s := &g.state
	flying := s.flying()
	landing := int64(math.MaxInt64) // when a place in flight becomes free at the latest
	for _, left := range s.Flying {
		if left != 0 {
			landing = min(landing, left+int64(g.cfg.Timeout))
		}
	}
	worse := func(name string, at int64) {
		if at <= now {
			name, at = "second", landing
		}
		if at > until || why == "" {
			why, until = name, at
		}
	}
	for _, w := range g.windows {
		if at, blocked := w.blocked(now, flying, s.Clock); blocked {
			worse(w.name, at)
		}
	}
	if flying == int64(len(s.Flying)) {
		worse("second", 0)
	}
	// Nobody takes a place long before its turn.
	if at := g.turn(now) - int64(time.Second); at > now {
		worse("second", at)
	}
	if s.Hold > now {
		why := "hold"
		if s.Hold-now <= int64(time.Minute) {
			why = "second"
		}
		worse(why, s.Hold)
	}
	return why, until
}

// turn is when the next call may leave.
func (g *Governor) turn(now int64) int64 {
	gap := int64(float64(time.Second) / (g.full * g.state.Pace)) // 0 for an infinite speed
	if g.state.Turn > now+gap+2*int64(time.Second) {
		g.state.Turn = now // the clock was set back
	}
	return max(now, g.state.Turn+gap)
}

// take enters an admission everywhere.
func (g *Governor) take(now int64) ticket {
	s := &g.state
	flying := s.flying()
	for _, w := range g.windows {
		w.take(now, flying, s.Clock)
	}
	// The limiter spaces the calls of this process, the shared turn those of all.
	at := time.Unix(0, now)
	delay := g.second.ReserveN(at, 1).DelayFrom(at)
	s.Turn = max(g.turn(now), now+int64(delay))
	for place, left := range s.Flying {
		if left == 0 {
			s.Flying[place] = s.Turn
			return ticket{place, s.Turn}
		}
	}
	panic("quota: more calls in flight than places") // obstacle sees to it
}

// doze shortens a wait: other processes cannot wake us, but change the state.
func (g *Governor) doze(pause time.Duration) time.Duration {
	const look = 250 * time.Millisecond
	if g.store == nil || pause <= look {
		return pause
	}
	if g.state.flying() > 0 {
		return look
	}
	return max(look, pause/4)
}

func (g *Governor) stop(why string, until int64) *pipeline.Stop {
	at := time.Unix(0, until)
	s := &pipeline.Stop{
		Kind:    pipeline.StopQuota,
		Reason:  fmt.Sprintf("the account's calls for this %s are used up", why),
		Advice:  "run again after " + at.UTC().Format("2006-01-02 15:04:05 UTC"),
		RetryAt: at,
	}
	if why == "hold" {
		s.Reason = "the API asks for a pause"
	}
	return s
}

// drop takes a call out of flight; false when it was given up before.
func (g *Governor) drop(t ticket) bool {
	if t.left == 0 || g.state.Flying[t.place] != t.left {
		return false
	}
	g.state.Flying[t.place] = 0
	return true
}

// release returns an admission that led to no call.
func (g *Governor) release(t ticket) {
	if t.left == 0 {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.with(func(int64) bool {
		if !g.drop(t) {
			return false
		}
		for _, w := range g.windows {
			w.Ours--
		}
		return true
	})
	g.stir()
}

// Refusal is what a 429 is about.
type Refusal int

// The refusals. A 429 about the minute is a Burst: only its headers tell.
const (
	None Refusal = iota
	Burst
	Hour
	Day
)

// verdict is what came of one call.
type verdict struct {
	call    *pipeline.Call
	refusal Refusal
	wait    time.Duration // as the answer asked; 0 when it did not
}

// settle closes an admission that led to calls, and learns from the answers.
func (g *Governor) settle(t ticket, made []verdict) {
	if t.left == 0 && g.free.Load() && !telling(made) {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.with(func(now int64) bool {
		landed := int64(len(made))
		if !g.drop(t) && t.left != 0 {
			landed-- // it was counted when it was given up
		}
		for _, w := range g.windows {
			w.Ledger.add(max(0, landed), now, w.span)
			w.Ours += max(0, int64(len(made))-1)
		}
		for _, v := range made {
			g.learn(v, now)
		}
		return true
	})
	g.stir()
}

// telling reports whether an answer changes anything while nothing is limited.
func telling(made []verdict) bool {
	for _, v := range made {
		r := v.call.Rate
		for _, w := range []pipeline.Window{r.Minute, r.Hour, r.Day} {
			if w.Limit > 0 && w.Limit < boundless {
				return true
			}
		}
		if v.refusal != None {
			return true
		}
	}
	return false
}

// learn corrects the windows by one answer.
func (g *Governor) learn(v verdict, now int64) {
	s, call := &g.state, v.call
	sent := call.Sent.UnixNano()
	if call.Sent.IsZero() || sent > now {
		sent = now
	}
	g.date(call.Header, sent, now)
	flying := s.flying()
	rates := [3]pipeline.Window{call.Rate.Minute, call.Rate.Hour, call.Rate.Day}
	for i, w := range g.windows {
		guessed, epoch := !w.Known && w.Epoch != 0 && now >= w.Closed, w.Epoch
		if call.Status == 0 || !w.learn(rates[i], sent, now, flying, s.Clock) {
			w.mute(1, now)
			// A proxy's silence says nothing about the API's.
			w.Silent = w.Silent || call.Outcome != pipeline.Ambiguous && call.Status != 0 && call.Status < 500
		}
		if v.refusal == Hour && i == 1 || v.refusal == Day && i == 2 {
			w.refuse(now, int64(v.wait), epoch, guessed, s.Clock)
		}
	}
	switch {
	case v.refusal == Burst:
		s.Pace = max(min(1, 1/g.full), s.Pace/2)
		if v.wait > 0 {
			s.Hold = max(s.Hold, now+int64(v.wait))
		}
	case v.refusal == None && call.Outcome == pipeline.Charged:
		s.Pace = min(1, s.Pace+0.02)
	}
}

// date learns the server's clock from the Date of an answer, which was written
// between sent and heard and names the second that had begun.
func (g *Governor) date(header []byte, sent, heard int64) {
	var field struct{ Date string }
	if json.Unmarshal(header, &field) != nil {
		return
	}
	stated, err := time.Parse("Mon, 02 Jan 2006 15:04:05 GMT", field.Date)
	if err != nil {
		return
	}
	s := &g.state
	this := clock{stated.UnixNano() - heard, stated.UnixNano() + int64(time.Second) - sent}
	both := clock{max(s.Clock.Least, this.Least), min(s.Clock.Most, this.Most)}
	if !s.Dated || both.Least > both.Most {
		both = this // a clock that was set, or has drifted
	}
	s.Dated, s.Clock = true, both
}

// Learn takes the state of the windows from elsewhere, as from the usage page
// before the first call. resets are when the minute, hour and day turn, on the
// server's clock; zero when not stated.
func (g *Governor) Learn(r pipeline.Rate, resets [3]time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.with(func(now int64) bool {
		// When it was asked for is not known, so it proves nothing about order.
		sent := now - int64(10*time.Second)
		for i, stated := range []pipeline.Window{r.Minute, r.Hour, r.Day} {
			w := &g.windows[i]
			if !w.learn(stated, sent, now, g.state.flying(), g.state.Clock) || resets[i].IsZero() {
				continue
			}
			turns := resets[i].UnixNano() - g.state.Clock.Least + w.grace()
			if w.Known && turns > now && turns <= now+w.span+2*skew {
				w.Turns = turns
			}
		}
		return true
	})
	g.stir()
}

// Counted enters n calls that were made past the governor just now, as those to
// the endpoints that cost nothing: the windows count them, too.
func (g *Governor) Counted(n int) {
	if n <= 0 || g.free.Load() {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.with(func(now int64) bool {
		for _, w := range g.windows {
			w.Ledger.add(int64(n), now, w.span)
			w.Ours += int64(n)
			w.mute(int64(n), now)
		}
		return true
	})
}

// State is what is known of an account at a moment.
type State struct {
	Windows   [3]WindowState // minute, hour, day
	InFlight  int64
	PerSecond float64 // present speed, +Inf for no limit
}

// WindowState is what is known of a window.
type WindowState struct {
	Name   string
	Limit  int64     // -1 for none
	Here   int64     // calls from this host within the last minute, hour or day
	Left   int64     // of the account, as last stated, less what was asked since; -1 unknown
	Others int64     // at least so many calls of the present window were made elsewhere
	Turns  time.Time // when it turns, at the latest; zero when unknown
}

// State reports what is known now.
func (g *Governor) State() State {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out State
	g.with(func(now int64) bool {
		s := &g.state
		out.InFlight, out.PerSecond = s.flying(), g.full*s.Pace
		for i, w := range g.windows {
			w.Ledger.advance(now, w.span)
			o := WindowState{Name: w.name, Limit: w.limit(), Here: w.Ledger.Sum + out.InFlight, Left: -1}
			if w.Known && now < w.ends(s.Clock) {
				o.Left = max(0, w.Left-w.Muted-out.InFlight)
				o.Others = w.Others
				o.Turns = time.Unix(0, w.ends(s.Clock))
			}
			if now < w.Closed {
				o.Left, o.Turns = 0, time.Unix(0, w.Closed)
			}
			out.Windows[i] = o
		}
		return false
	})
	return out
}

// String is the state in a line for each window.
func (s State) String() string {
	var b strings.Builder
	number := func(n int64, unknown string) string {
		if n < 0 {
			return unknown
		}
		return fmt.Sprint(n)
	}
	for _, w := range s.Windows {
		turns := "unknown"
		if !w.Turns.IsZero() {
			turns = w.Turns.UTC().Format("2006-01-02 15:04:05 UTC")
		}
		fmt.Fprintf(&b, "%-6s  limit %-6s  here %-6d  left %-7s  turns %s\n",
			w.Name, number(w.Limit, "none"), w.Here, number(w.Left, "unknown"), turns)
	}
	fmt.Fprintf(&b, "%d in flight, at most %.4g a second\n", s.InFlight, s.PerSecond)
	return b.String()
}

// stir wakes everyone in this process who waits, to look again.
func (g *Governor) stir() {
	close(g.wake)
	g.wake = make(chan struct{})
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
	reason := "stopped on request, while waiting for its turn under the rate limits"
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		reason = "stopped while waiting for its turn under the rate limits: " + cause.Error()
	}
	return &pipeline.Stop{
		Kind:   pipeline.StopInterrupted,
		Reason: reason,
		Advice: "run again to ask for the rest",
	}
}
