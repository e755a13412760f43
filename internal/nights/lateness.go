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

// The bounds of what is learned, in days; the lateness is not shorter than by default.
const (
	maxLateness      = 60
	maxWeeklySettle  = 6
	maxMonthlySettle = 20
)

// enoughEvents are those from which something is learned.
const enoughEvents = 100

// The shares of events, of 10,000, that the lateness and the settling time leave in time.
const (
	latenessShare = 9999
	settleShare   = 9500
)

// learn derives the lateness of a type from what was observed. Each quantile lies between two bounds:
// the lateness is the upper one, unless that is shorter than by default, and the settling time stays as
// it is by default unless that is outside its bounds.
func learn(signal string, counts *ledger.LatenessCounts) Lateness {
	c := defaultCadence(signal)
	l := Lateness{Signal: signal, Days: DefaultLateness, Source: ByDefault, Events: counts.Events(), Settle: c.settle}
	if l.Events < enoughEvents {
		return l
	}
	_, days := counts.Quantile(latenessShare)
	l.Days, l.Source = min(max(days, DefaultLateness), maxLateness), Learned
	if c.settle > 0 {
		atLeast, atMost := counts.Quantile(settleShare)
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
