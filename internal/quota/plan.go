package quota

import (
	"math"
	"strings"
)

// Plan is how many calls an account may make in each window. 0, a negative number,
// or one beyond any possible rate means no limit. The numbers are the initial
// limits of an account: those that the server states replace them.
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

// defaultPlan holds until an answer says more: the slowest minute of the table.
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

// unlimitedFrom is a limit that is none: a thousand calls a second, all day long.
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

// Reserve is what is left to other users of the account. It never takes a whole
// window: one call remains.
type Reserve struct {
	Share             float64 // of every window and of the second: 0.1 leaves a tenth
	Minute, Hour, Day int64   // calls, where they are more than the share
}

// callsOf is the reserve within a limit; minCalls is the number of calls that is
// configured for the window.
func (r Reserve) callsOf(limit, minCalls int64) int64 {
	share := int64(math.Ceil(max(0, min(r.Share, 1)) * float64(limit)))
	return min(max(share, minCalls, 0), limit-1)
}
