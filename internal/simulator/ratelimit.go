package simulator

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// plan is how many requests an account may make. 0 means no such window.
type plan struct {
	name              string
	minute, hour, day int64
	unlimited         bool // no burst limit either
}

var plans = []plan{
	{name: "scale", minute: 300, hour: 5_000, day: 50_000},
	{name: "free", minute: 40, day: 100},
	{name: "pro", minute: 50, hour: 150, day: 1_500},
	{name: "premium", minute: 300, hour: 1_800, day: 18_000},
	{name: "legacy", minute: 300, hour: 600, day: 6_000},
	{name: "unlimited", unlimited: true},
}

// unlimitedQuota is what headers show for a window without a limit.
const unlimitedQuota = 1_000_000_000

// usageLimit is how often a minute the account page may be read.
const usageLimit = 5

// managementLimit is how many requests a minute may manage webhooks, on every plan.
const managementLimit = 100

// quotaKind says which quota a request counts in.
type quotaKind uint8

const (
	accountQuota    quotaKind = iota
	usageQuota                // that of the account, and a small one besides
	managementQuota           // one of its own
)

// window counts requests in a fixed stretch of time.
type window struct {
	length time.Duration
	limit  int64 // 0 = none
	used   int64
	start  time.Time
}

// advance begins a new stretch when the old one is over.
func (w *window) advance(now time.Time, aligned bool) {
	switch {
	case aligned:
		// Durations since the zero time divide evenly into UTC minutes, hours and days.
		if start := now.Truncate(w.length); !start.Equal(w.start) {
			w.start, w.used = start, 0
		}
	case w.start.IsZero() || now.Sub(w.start) >= w.length || now.Before(w.start):
		w.start, w.used = now, 0
	}
}

func (w *window) isFull() bool { return w.limit > 0 && w.used >= w.limit }

func (w *window) remaining() int64 {
	if w.limit == 0 {
		return unlimitedQuota - w.used
	}
	return max(0, w.limit-w.used)
}

func (w *window) untilReset(now time.Time) time.Duration { return w.start.Add(w.length).Sub(now) }

// quota is the state of one account (or key): three windows, a bucket for the second, and the
// small allowance of the account page.
type quota struct {
	minute, hour, day, usage window

	burst  float64 // capacity and refill per second; 0: none
	tokens float64
	filled time.Time
}

// quotaSnapshot is the state of a quota when a request was counted; the headers report it.
type quotaSnapshot struct{ minute, hour, day window }

// limitKind says which limit a request exceeded.
type limitKind uint8

const (
	withinLimits limitKind = iota
	overBurst
	overMinute
	overHour
	overDay
	overTrial
	overUsage
)

// rateLimiter counts requests. A request that exceeds a limit is not counted itself.
type rateLimiter struct {
	plan    plan
	burst   int
	aligned bool
	perKey  bool

	mu     sync.Mutex
	quotas map[string]*quota
}

// quotaName is the key of a quota in the map.
func (r *rateLimiter) quotaName(key string, kind quotaKind) string {
	if !r.perKey {
		key = ""
	}
	if kind == managementQuota {
		return "management\x00" + key
	}
	return key
}

func (r *rateLimiter) quotaOf(key string, kind quotaKind) *quota {
	name := r.quotaName(key, kind)
	q := r.quotas[name]
	if q == nil {
		q = r.newQuota(kind)
		r.quotas[name] = q
	}
	return q
}

func (r *rateLimiter) newQuota(kind quotaKind) *quota {
	p := r.plan
	if kind == managementQuota {
		p = plan{minute: managementLimit}
	}
	return &quota{
		minute: window{length: time.Minute, limit: p.minute},
		hour:   window{length: time.Hour, limit: p.hour},
		day:    window{length: 24 * time.Hour, limit: p.day},
		usage:  window{length: time.Minute, limit: usageLimit},
		burst:  float64(r.burst),
		tokens: float64(r.burst),
	}
}

// admit counts a request, or returns the limit it exceeds and for how long.
func (r *rateLimiter) admit(key string, now time.Time, kind quotaKind) (quotaSnapshot, limitKind, time.Duration) {
	now = now.UTC()
	isUsage := kind == usageQuota
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.quotaOf(key, kind)
	q.advance(now, r.aligned)
	limit, wait := q.exceededLimit(now, isUsage)
	if limit == withinLimits {
		q.minute.used++
		q.hour.used++
		q.day.used++
		if isUsage {
			q.usage.used++
		}
		q.tokens--
	}
	return quotaSnapshot{q.minute, q.hour, q.day}, limit, wait
}

// peek returns the counts without adding to them.
func (r *rateLimiter) peek(key string, now time.Time, kind quotaKind) quotaSnapshot {
	now = now.UTC()
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.quotas[r.quotaName(key, kind)]
	if q == nil {
		q = r.newQuota(kind) // unknown keys see an untouched quota and leave no trace in the map
	}
	q.advance(now, r.aligned)
	return quotaSnapshot{q.minute, q.hour, q.day}
}

func (q *quota) advance(now time.Time, aligned bool) {
	for _, w := range []*window{&q.minute, &q.hour, &q.day, &q.usage} {
		w.advance(now, aligned)
	}
	if q.burst > 0 {
		if elapsed := now.Sub(q.filled); elapsed != 0 {
			if !q.filled.IsZero() && elapsed > 0 { // else the clock was set back
				q.tokens = min(q.burst, q.tokens+elapsed.Seconds()*q.burst)
			}
			q.filled = now
		}
	}
}

// exceededLimit returns the longest-lasting limit that is exhausted: a client should not wait a second
// when its day is over.
func (q *quota) exceededLimit(now time.Time, isUsage bool) (limitKind, time.Duration) {
	switch {
	case q.day.isFull():
		return overDay, q.day.untilReset(now)
	case q.hour.isFull():
		return overHour, q.hour.untilReset(now)
	case q.minute.isFull():
		return overMinute, q.minute.untilReset(now)
	case isUsage && q.usage.isFull():
		return overUsage, q.usage.untilReset(now)
	case q.burst > 0 && q.tokens < 1:
		return overBurst, time.Duration((1 - q.tokens) / q.burst * float64(time.Second))
	}
	return withinLimits, 0
}

// ceilSeconds rounds a wait up, so that a client that waits for the stated time has waited long
// enough.
func ceilSeconds(wait time.Duration) int64 { return int64((wait + time.Second - 1) / time.Second) }

// message is the only place where an answer distinguishes the limits.
func (k limitKind) message(wait time.Duration) string {
	switch k {
	case overHour:
		return fmt.Sprintf("Hourly request limit reached. Reset in %d seconds", ceilSeconds(wait))
	case overDay:
		return "Daily request limit reached"
	case overTrial:
		return "The requests of your trial are used up"
	case overUsage:
		return fmt.Sprintf("Usage can be read %d times a minute", usageLimit)
	case overMinute:
		return "Too many requests in this minute"
	}
	return "Too many requests, slow down"
}

var rateHeaders = struct{ minute, hour, day [3]string }{
	minute: canonicalHeaders("x-rate-limit-minute", "x-minute-usage", "x-minute-requests-left"),
	hour:   canonicalHeaders("x-rate-limit-hourly", "x-hourly-usage", "x-hourly-requests-left"),
	day:    canonicalHeaders("x-rate-limit-daily", "x-daily-usage", "x-daily-requests-left"),
}

func canonicalHeaders(names ...string) (out [3]string) {
	for i, name := range names {
		out[i] = http.CanonicalHeaderKey(name)
	}
	return out
}

// setHeaders sets the nine headers that every answer carries.
func (q quotaSnapshot) setHeaders(h http.Header) {
	set := func(names [3]string, w window) {
		limit := w.limit
		if limit == 0 {
			limit = unlimitedQuota
		}
		// One slice for three single values saves two allocations per window.
		values := []string{strconv.FormatInt(limit, 10), strconv.FormatInt(w.used, 10), strconv.FormatInt(w.remaining(), 10)}
		for i, name := range names {
			h[name] = values[i : i+1 : i+1]
		}
	}
	set(rateHeaders.minute, q.minute)
	set(rateHeaders.hour, q.hour)
	set(rateHeaders.day, q.day)
}
