package simulator

import (
	"math"
	"slices"
	"strconv"
	"time"
)

// This file is the V3 signal score: one number for the recent activity of an entity.

const productScore = "signalScore"

// scoreActions names a scored row in the price list.
var scoreActions = map[object]string{contact: "signal_score_contact_reveal", company: "signal_score_company_reveal"}

// scoreDays is the number of days for which a signal counts as active.
const scoreDays = 90

func v3Score(of object) *dialect {
	return &dialect{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			today := dayOf(now)
			o := &order{product: productScore, object: of, now: now, most: 1,
				types: signalsOf(generation3, of, true), span: span{from: today - scoreDays + 1, to: today, today: today}}
			return o, v3Read(body, []string{v3List(of)}, func(c *complaints, obj *jsonObject) {
				o.lookups = v3Items(c, s, of, obj, "id", "domain", "name", "email")
			})
		},
		answer: (*Server).score,
		encode: v3Encode((*writer).scored),
	}
}

// noScoreShare is the share of known entities for which the service has no score.
const noScoreShare = 0.05

// score weighs the recent events of every entity in an order.
func (s *Server) score(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	for i := range o.lookups {
		f := &a.findings[i]
		s.identify(f, o)
		if f.known && s.switches.Events != "most" && fraction(blend(f.entity.root, 's')) < noScoreShare {
			f.known, f.trouble = false, noScore
		}
		if !f.known {
			continue
		}
		a.found++
		s.recall(f, o)
		for j, list := range f.events {
			if word := o.types[j].scoreWord(); len(list) > 0 && !slices.Contains(f.kinds, word) {
				f.kinds = append(f.kinds, word)
			}
		}
		if n := float64(len(f.kinds)); n > 0 {
			d := dice(blend(f.entity.root, uint64(o.span.today)))
			f.score = math.Round(1e4*(n+d.float())/(n+2)) / 1e4
		}
	}
	a.unmatched = a.nobody()
	a.bill(productScore, int64(a.found)*a.tariffs[scoreActions[o.object]].credits)
	return a
}

// scoreWord returns the name that the score uses for a signal: it has a vocabulary of its own.
func (s *signal) scoreWord() string {
	direction := "Increase"
	if s.falls {
		direction = "Decrease"
	}
	switch s.record {
	case jobMove:
		if s.key == "promotion" {
			return "promotion"
		}
		return "jobChange"
	case headcount:
		return "headcountSignal" + direction
	case hiring, hiringDept, hiringPlace, jobPost:
		return "hiringSignal" + direction
	case traffic:
		return "websiteTrafficSignal" + direction
	case itSpend:
		return "itSpendSignal" + direction
	case news:
		return "newsEvent"
	case siteVisit:
		return "websiteVisit"
	case newSite:
		return "locationOpened"
	default:
		return "topicInterest"
	}
}

func (w *writer) scored(a *answer, f *finding) {
	w.reference(f.lookup)
	w.entityID("id", f.entity.object, f.entity.id)
	if f.entity.object == contact {
		p := w.world.profile(f, dayOf(a.order.now))
		w.string("fullName", p.first+" "+p.last)
		w.employer("id", &p.job)
	} else {
		w.string("name", f.entity.name)
		w.string("domain", w.www(&f.entity))
	}
	w.number("signalScore", f.score)
	w.b = jsonTexts(jsonKey(w.b, "signalTypes"), f.kinds)
	w.b = strconv.AppendBool(jsonKey(w.b, "noActiveSignals"), len(f.kinds) == 0)
	w.extras("industry")
}
