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

func v3Score(of object) *operation {
	return &operation{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			today := dayOf(now)
			o := &order{product: productScore, object: of, now: now, maxEvents: 1,
				types: signalsOf(apiV3, of, true), span: span{from: today - scoreDays + 1, to: today, today: today}}
			return o, v3Decode(body, []string{v3ListKey(of)}, func(c *checker, obj *jsonObject) {
				o.lookups = v3Items(c, s, of, obj, "id", "domain", "name", "email")
			})
		},
		answer: (*Server).answerScore,
		encode: v3Encode((*writer).scoreResult),
	}
}

// noScoreShare is the share of known entities for which the service has no score.
const noScoreShare = 0.05

// answerScore weighs the recent events of every entity in an order.
func (s *Server) answerScore(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	for i := range o.lookups {
		f := &a.findings[i]
		s.resolveLookup(f, o)
		if f.known && s.switches.Events != "most" && unitFloat(mix(f.entity.root, 's')) < noScoreShare {
			f.known, f.errorCode = false, noScore
		}
		if !f.known {
			continue
		}
		a.found++
		s.fillEvents(f, o)
		for j, list := range f.events {
			if name := o.types[j].scoreName(); len(list) > 0 && !slices.Contains(f.signalNames, name) {
				f.signalNames = append(f.signalNames, name)
			}
		}
		if n := float64(len(f.signalNames)); n > 0 {
			d := dice(mix(f.entity.root, uint64(o.span.today)))
			f.score = math.Round(1e4*(n+d.float())/(n+2)) / 1e4
		}
	}
	a.unmatched = a.nothingFound()
	a.addCharge(productScore, int64(a.found)*a.tariffs[scoreActions[o.object]].credits)
	return a
}

// scoreName returns the name that the score uses for a signal: it has a vocabulary of its own.
func (s *signal) scoreName() string {
	direction := "Increase"
	if s.decreasing {
		direction = "Decrease"
	}
	switch s.shape {
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

func (w *writer) scoreResult(a *answer, f *finding) {
	w.clientReference(f.lookup)
	w.entityID("id", f.entity.object, f.entity.id)
	if f.entity.object == contact {
		p := w.world.contactProfile(f, dayOf(a.order.now))
		w.string("fullName", p.first+" "+p.last)
		w.employer("id", &p.position)
	} else {
		w.string("name", f.entity.name)
		w.string("domain", w.companyDomain(&f.entity))
	}
	w.number("signalScore", f.score)
	w.b = appendStrings(appendKey(w.b, "signalTypes"), f.signalNames)
	w.b = strconv.AppendBool(appendKey(w.b, "noActiveSignals"), len(f.signalNames) == 0)
	w.extraFields("industry")
}
