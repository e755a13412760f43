package simulator

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// lateness is a profile of how many days after its date an event becomes visible. A profile draws from
// the event alone, so an event becomes visible on one day, whenever a request is made.
type lateness struct {
	LatenessDoc
	days func(d *dice, c cadence) int
	// No event is later than this, of a lognormal profile hardly any.
	longest day
}

// LatenessDoc describes one profile of Config.Lateness.
type LatenessDoc struct{ Name, Doc string }

// latenessProfiles are the profiles; the first is the default.
var latenessProfiles = []lateness{
	{LatenessDoc{"simulator", "weekly events after 2 to 5 days, monthly ones after 4 to 9, daily ones after one; one in twenty is 5 to 14 days later"}, usualLateness, 23},
	{LatenessDoc{"fast", "after 0 or 1 days; one in a hundred after 1 to 7"}, fastLateness, 7},
	{LatenessDoc{"heavy", "lognormal: half within 3 days, 95 % within 14, 99 % within 27"}, heavyLateness, 400},
	{LatenessDoc{"late20", "as simulator, but one in five is 1 to 30 days later"}, func(d *dice, c cadence) int {
		days := usualLateness(d, c)
		if d.chance(0.2) {
			days += d.between(1, 30)
		}
		return days
	}, 53},
}

func usualLateness(d *dice, c cadence) (days int) {
	switch c {
	case daily:
		days = 1
	case weekly:
		days = d.between(2, 5)
	case monthly:
		days = d.between(4, 9)
	}
	if d.chance(0.05) {
		days += d.between(5, 14)
	}
	return days
}

func fastLateness(d *dice, _ cadence) int {
	days := d.intN(2)
	if d.chance(0.01) {
		days = d.between(1, 7)
	}
	return days
}

func heavyLateness(d *dice, _ cadence) int {
	const median, sigma = 3, 0.94
	// Box and Muller's normal draw; the first factor is never the logarithm of zero.
	normal := math.Sqrt(2*d.expFloat()) * math.Cos(2*math.Pi*d.float())
	return int(math.Exp(math.Log(median) + sigma*normal))
}

// LatenessDocs lists every profile, the default first.
func LatenessDocs() []LatenessDoc {
	docs := make([]LatenessDoc, len(latenessProfiles))
	for i, p := range latenessProfiles {
		docs[i] = p.LatenessDoc
	}
	return docs
}

// latenessNamed returns the profile of a name; "" is the default.
func latenessNamed(name string) (*lateness, error) {
	if name == "" {
		return &latenessProfiles[0], nil
	}
	at := slices.IndexFunc(latenessProfiles, func(p lateness) bool { return p.Name == name })
	if at < 0 {
		names := make([]string, len(latenessProfiles))
		for i, p := range latenessProfiles {
			names[i] = p.Name
		}
		return nil, fmt.Errorf("simulator: Lateness is %q; it can be %s", name, strings.Join(names, ", "))
	}
	return &latenessProfiles[at], nil
}

// visibleFrom returns the day from which answers hold an event.
func (w world) visibleFrom(e *event) day {
	profile := w.lateness
	if profile == nil {
		profile = &latenessProfiles[0]
	}
	d := dice(mix(e.textSeed, 'p'))
	return e.date + day(profile.days(&d, e.signal.cadence))
}
