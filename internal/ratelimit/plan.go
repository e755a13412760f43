package ratelimit

import (
	"math"
	"strings"
)

// Plan is the number of calls that an account may make in each window. 0, a negative number, or one
// beyond any real use means no limit. The numbers are the start of a new account: what the server
// states replaces them.
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
	{Name: "unlimited"},
}

// defaultPlan applies until an answer says more: the slowest minute of the table.
var defaultPlan = Plan{Minute: 40}

// PlanByName finds a plan in any letter case.
func PlanByName(name string) (Plan, bool) {
	for _, p := range Plans {
		if strings.EqualFold(p.Name, name) {
			return p, true
		}
	}
	return Plan{}, false
}

// unlimitedFrom is the limit that counts as none: a thousand calls per second, all day long.
const unlimitedFrom = 86_400_000

func (p Plan) windowLimits() [3]int64 {
	out := [3]int64{p.Minute, p.Hour, p.Day}
	for i, n := range out {
		if n <= 0 || n >= unlimitedFrom {
			out[i] = noLimit
		}
	}
	return out
}

// Reserve is the part of each window left to other users of the account. It never takes a whole
// window: one call remains.
type Reserve struct {
	// Share of every window and of the calls per second: 0.1 leaves a tenth.
	Share float64
	// Calls, if they are more than the share.
	Minute, Hour, Day int64
}

// callsOf is the reserve within a limit; minCalls is the number of calls for this window.
func (r Reserve) callsOf(limit, minCalls int64) int64 {
	share := int64(math.Ceil(max(0, min(r.Share, 1)) * float64(limit)))
	return min(max(share, minCalls, 0), limit-1)
}
