package nights

import (
	"math/rand/v2"
	"testing"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// modelEvent is an event of a pair.
type modelEvent struct {
	day, visible ledger.Day
	known        bool
}

// modelPair is a pair of a world without an API: an entity with its events of a type.
type modelPair struct {
	identity pipeline.Identity
	events   []*modelEvent
	cursor   ledger.Cursor
}

// newModelPair has events at any time, some of them close together; one in five is late.
func newModelPair(dice *rand.Rand, domain string, first ledger.Day, days int) *modelPair {
	p := &modelPair{identity: pipeline.IdentityOf(&schema.Account{Object: schema.Company, Domain: domain})}
	rate := 0.002 + 0.05*dice.ExpFloat64()*dice.Float64()
	for d := range days {
		for range 2 {
			if dice.Float64() < rate/2 {
				day := first + ledger.Day(d)
				late := 2 + dice.IntN(4)
				if dice.IntN(5) == 0 {
					late += 1 + dice.IntN(25)
				}
				p.events = append(p.events, &modelEvent{day: day, visible: day + ledger.Day(late)})
			}
		}
	}
	return p
}

// ask buys what is due of the pair. It counts an audit.
func (p *modelPair) ask(policy *Policy, signal string, counts *pipeline.AuditCounts) {
	due := policy.audited(policy.due(signal, p.cursor), p.identity, signal)
	if due.kind == notDue {
		return
	}
	var answer []pipeline.AuditedEvent
	newest := p.cursor.Newest
	for _, e := range p.events {
		if e.day < due.since || e.visible > policy.Today {
			continue
		}
		answer = append(answer, pipeline.AuditedEvent{Day: int64(e.day), Known: e.known})
		e.known, p.cursor.Newest = true, max(p.cursor.Newest, e.day)
	}
	p.cursor.LastAsked = policy.Today
	if due.kind == audit {
		counts.AddPair(answer, int64(due.since), int64(policy.Today)-int64(policy.LatenessOf(signal).Days)-1, int64(newest))
	}
}

// rehearseAudits lets a world pass, and returns what audits say and what was missed.
func rehearseAudits(seed uint64, pairs int, share float64, signal string) (counts pipeline.AuditCounts, missed float64) {
	dice := rand.New(rand.NewPCG(seed, 13)) //nolint:gosec // a model
	const nights, before = 150, 60
	first := day("2026-06-01")
	world := make([]*modelPair, pairs)
	for i := range world {
		world[i] = newModelPair(dice, string(rune('a'+seed%26))+string(rune(0x4e00+i))+".com", first-before, nights+before)
	}
	policy := Policy{Completeness: Economy, Backfill: DefaultBackfill, Audit: share}
	for night := range nights {
		policy.Today = first + ledger.Day(night)
		if last, _ := policy.cadenceOf(signal).dueOn(policy.Today); last != policy.Today {
			continue // nothing is due
		}
		for _, p := range world {
			p.ask(&policy, signal, &counts)
		}
	}
	lost, all := 0, 0
	for _, p := range world {
		for _, e := range p.events {
			if e.day >= first && e.day < first+nights-60 {
				if all++; !e.known {
					lost++
				}
			}
		}
	}
	return counts, float64(lost) / float64(max(all, 1))
}

// TestAuditInterval: the interval of the audits holds the share of events that were missed.
func TestAuditInterval(t *testing.T) {
	t.Parallel()
	for _, signal := range []string{"riskNews", "headcountIncrease1m"} { // weekly and monthly
		held, worlds, low, high := 0, 100, 0, 0
		var sum pipeline.AuditCounts
		truth := 0.0
		for seed := range worlds {
			counts, missed := rehearseAudits(uint64(seed), proof.Size(300, 1000, 3000), 0.02, signal) //nolint:gosec // a seed
			_, least, most := counts.MissedShare()
			switch {
			case missed < least:
				low++
			case missed > most:
				high++
			default:
				held++
			}
			sum.Add(counts)
			truth += missed / float64(worlds)
		}
		share, least, most := sum.MissedShare()
		t.Logf("%s: %d of %d intervals hold (%d above, %d below the truth); on average %.4f missed, by audits %.4f (%.4f to %.4f) from %d events of %d pairs",
			signal, held, worlds, low, high, truth, share, least, most, sum.Events, sum.Pairs)
		if held < 90 {
			t.Errorf("%s: %d of %d intervals hold the true share, want 90", signal, held, worlds)
		}
		if sum.Late < sum.Missed || truth < 0.8*least || truth > 1.2*most {
			t.Errorf("%s: all audits together say %.4f, and %.4f were missed: %+v", signal, share, truth, sum)
		}
	}
}

// TestAuditDraws: a night draws the stated share of the pairs, the same when it is resumed, and others
// the next time; only pairs with a recent event are audited.
func TestAuditDraws(t *testing.T) {
	t.Parallel()
	policy := Policy{Today: day("2026-06-13"), Audit: 0.1}
	recent := pair{kind: onward, since: day("2026-06-02"), lookBack: day("2026-05-07")}
	drawn, same := 0, 0
	for i := range 10_000 {
		identity := pipeline.IdentityByID(schema.Company, string(rune(0x4e00+i)))
		later := policy
		later.Today += 7
		now, next := policy.audited(recent, identity, "riskNews"), later.audited(recent, identity, "riskNews")
		if now.kind == audit {
			drawn++
			if now.since != recent.lookBack || policy.audited(recent, identity, "riskNews") != now {
				t.Fatalf("drawn: %+v", now)
			}
			if next.kind == audit {
				same++
			}
		}
		if other := (pair{kind: lookBack}); policy.audited(other, identity, "riskNews") != other {
			t.Fatal("a pair without a recent event is audited")
		}
	}
	if drawn < 900 || drawn > 1100 || same > 200 {
		t.Errorf("%d of 10,000 drawn, %d of them again the next time; want 1,000 and 100", drawn, same)
	}
}
