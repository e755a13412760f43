package nights

import "github.com/siglake/siglake/internal/ledger"

// Source says where a lateness is from.
type Source string

// The sources.
const (
	ByDefault Source = "default" // too few events were observed
	Learned   Source = "learned" // from events of this lake
	Stated    Source = "stated"  // by the user
)

// Lateness is how late events of a signal type are expected to become visible.
type Lateness struct {
	Signal string `json:"signal"`
	// Days after their date until events become visible at most.
	Days   int    `json:"days"`
	Source Source `json:"source"`
	Events int64  `json:"events"` // that were observed
	// Days after the end of a week or month until most of its events are visible; 0: the type is asked
	// every night.
	Settle int `json:"settle_days"`
}

// The bounds of what is learned, in days.
const (
	minLateness      = 14
	maxLateness      = 60
	maxWeeklySettle  = 6
	maxMonthlySettle = 20
)

// The events from which a lateness is learned: a longer one from a few, because a short lateness misses
// events and a long one costs next to nothing; a shorter one only from as many as a quantile of
// 99.9 % takes.
const (
	enoughEvents = 100
	manyEvents   = 1000
)

// learn derives the lateness of a type from what was observed. Both quantiles lie between two bounds:
// the lateness is the upper one, so that it is not too short, and the settling time stays as it is by
// default unless that is outside its bounds.
func learn(signal string, counts *ledger.LatenessCounts) Lateness {
	c := defaultCadence(signal)
	l := Lateness{Signal: signal, Days: DefaultLateness, Source: ByDefault, Events: counts.Events(), Settle: c.settle}
	if l.Events < enoughEvents {
		return l
	}
	if _, days := counts.Quantile(999); days > DefaultLateness || l.Events >= manyEvents {
		l.Days, l.Source = min(max(days, minLateness), maxLateness), Learned
	}
	if c.settle > 0 {
		atLeast, atMost := counts.Quantile(950)
		longest := maxWeeklySettle
		if c.period > 7 {
			longest = maxMonthlySettle
		}
		l.Settle = min(max(min(max(c.settle, atLeast), atMost), 1), longest)
	}
	return l
}

// Learn learns the lateness of signal types from what a ledger observed.
func (p *Policy) Learn(cursors *ledger.Cursors, signals []string) {
	if p.learned == nil {
		p.learned = map[string]Lateness{}
	}
	for _, signal := range signals {
		counts := cursors.Lateness(signal)
		p.learned[signal] = learn(signal, &counts)
	}
}

// Keep makes the policy expect what a run expected when it began.
func (p *Policy) Keep(days map[string]int) {
	for signal, n := range days {
		if l, ok := p.learned[signal]; ok {
			l.Days = n
			p.learned[signal] = l
		}
	}
}

// LatenessOf is how late events of a type are expected to become visible.
func (p *Policy) LatenessOf(signal string) Lateness {
	l, ok := p.learned[signal]
	if !ok {
		l = Lateness{Signal: signal, Days: DefaultLateness, Source: ByDefault}
	}
	if days, stated := p.Lateness[signal]; stated {
		l.Days, l.Source = days, Stated
	}
	l.Settle = p.cadenceOf(signal).settle
	return l
}

// Expected is the lateness of each of the signal types, in their order.
func (p *Policy) Expected(signals []string) (expected []Lateness) {
	for _, signal := range signals {
		expected = append(expected, p.LatenessOf(signal))
	}
	return expected
}

// reachOf is how many days before the last time a pair without a recent event is asked for. A learned
// lateness that is shorter than the default does not shorten it: longer windows cost nothing while they
// are empty, and show events that are later than what was learned.
func (p *Policy) reachOf(signal string) int {
	if p.Reread {
		return overlap
	}
	l := p.LatenessOf(signal)
	if l.Source == Stated {
		return l.Days
	}
	return max(l.Days, DefaultLateness)
}
