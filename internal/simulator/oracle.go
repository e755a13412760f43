package simulator

import (
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Watch names a part of the history: entities, signals, and the dates of events.
type Watch struct {
	Companies []string // domains
	Contacts  []string // e-mail addresses
	// Signal keys; empty: all that both versions of the API have.
	Signals []string
	// First and last date of an event, in UTC. The times of day do not count.
	From, To time.Time
}

// Sighting is an event of the history, with the day from which answers hold it. It is known from the
// world alone, without any request.
type Sighting struct {
	EntityID string
	Signal   string
	SignalID string // empty: contacts
	Date     time.Time
	Visible  time.Time
}

// Sightings yields every event that a watch names, each once, entity by entity.
func (s *Server) Sightings(w Watch) iter.Seq[Sighting] {
	return func(yield func(Sighting) bool) {
		all := span{from: dayOf(w.From), to: dayOf(w.To), today: endOfTime}
		for l, o := range s.watched(w) {
			e, known := s.world.find(o, l)
			if !known {
				continue
			}
			h := history{world: s.world, entity: &e, span: all, filter: new(signalFilter)}
			for _, sig := range s.watchedSignals(w, o) {
				for _, ev := range h.appendEvents(nil, sig) {
					sighting := Sighting{EntityID: strconv.FormatInt(e.id, 10), Signal: sig.key, Date: ev.date.midnight(), Visible: s.world.visibleFrom(&ev).midnight()}
					if o == company {
						sighting.SignalID = strconv.FormatUint(ev.id, 10)
					}
					if !yield(sighting) {
						return
					}
				}
			}
		}
	}
}

// endOfTime is a day on which every event is visible.
const endOfTime = day(1 << 30)

// watched yields the entities of a watch, each once.
func (s *Server) watched(w Watch) iter.Seq2[*lookup, object] {
	return func(yield func(*lookup, object) bool) {
		seen := map[int64]bool{}
		visit := func(l *lookup, o object) bool {
			if seen[l.id] {
				return true
			}
			seen[l.id] = true
			return yield(l, o)
		}
		for _, domain := range w.Companies {
			id, shown := s.world.companyByDomain(domain)
			if !visit(&lookup{ref: strconv.FormatInt(id, 10), id: id, domain: shown}, company) {
				return
			}
		}
		for _, email := range w.Contacts {
			id := s.world.contactByEmail(strings.TrimSpace(email))
			if !visit(&lookup{ref: strconv.FormatInt(id, 10), id: id}, contact) {
				return
			}
		}
	}
}

// watchedSignals returns the signals of a watch that an object has.
func (s *Server) watchedSignals(w Watch, o object) (list []*signal) {
	for _, sig := range catalogue {
		switch {
		case sig.object != o:
		case len(w.Signals) == 0 && !sig.announced && sig.sinceVersion == 0, slices.Contains(w.Signals, sig.key):
			list = append(list, sig)
		}
	}
	return list
}

// CountVisible counts the events of a watch that became visible from the first day to the last.
func (s *Server) CountVisible(w Watch, first, last time.Time) (n int64) {
	from, to := dayOf(first), dayOf(last)
	for e := range s.Sightings(w) {
		if d := dayOf(e.Visible); d >= from && d <= to {
			n++
		}
	}
	return n
}

// Quote returns what requests for a watch would cost if they were made on a day: From is their
// startDate, and To is not used. A request names up to 100 entities and all signals of their kind.
// Nothing is charged. maxEvents is maxResultsPerSignal, 0 for none.
func (s *Server) Quote(w Watch, today time.Time, maxEvents int) (credits int64) {
	orders := map[object]*order{}
	quote := func(o *order) {
		credits += s.answerSignals(o, 0).charge
		o.lookups = o.lookups[:0]
	}
	for l, o := range s.watched(w) {
		current := orders[o]
		if current == nil {
			current = &order{object: o, types: s.watchedSignals(w, o), maxEvents: maxEvents,
				span: span{from: dayOf(w.From), to: dayOf(today), today: dayOf(today)}}
			orders[o] = current
		}
		current.lookups = append(current.lookups, *l)
		if len(current.lookups) == maxBatch {
			quote(current)
		}
	}
	for _, o := range orders {
		if len(o.lookups) > 0 {
			quote(o)
		}
	}
	return credits
}

// DeliveryReport is what the simulator knows of one delivery, whatever the receiver claims.
type DeliveryReport struct {
	ID           string        `json:"id"`
	Subscription string        `json:"subscriptionId"`
	Object       string        `json:"entityType"`
	EntityID     string        `json:"entityId"`
	Signal       string        `json:"type"`               // or optOut
	SignalID     string        `json:"signalId,omitempty"` // empty: contacts
	Date         time.Time     `json:"date,omitzero"`      // of the event
	State        DeliveryState `json:"state"`
	Attempts     int           `json:"attempts"`
	Credits      int64         `json:"credits"` // charged
	FirstSent    time.Time     `json:"firstSent,omitzero"`
	// Time at which it was acknowledged or lost; zero: neither.
	Ended time.Time `json:"ended,omitzero"`
}

// Deliveries returns every delivery that has been due, in that order: those that were sent, and those
// that were not, with the reason.
func (w *Webhooks) Deliveries() []DeliveryReport {
	w.mu.Lock()
	defer w.mu.Unlock()
	list := make([]DeliveryReport, len(w.deliveries))
	for i, d := range w.deliveries {
		s := d.subscription
		list[i] = DeliveryReport{
			ID: d.id, Subscription: s.id, Object: s.target.object.String(), EntityID: s.entityID, Signal: optOutType,
			State: d.state, Attempts: d.attempts, Credits: d.credits, FirstSent: d.firstSent, Ended: d.ended,
		}
		if d.optOut != "" {
			list[i].EntityID = d.optOut
			continue
		}
		list[i].Signal, list[i].Date = d.event.signal.key, d.event.date.midnight()
		if s.target.object == company {
			list[i].SignalID = strconv.FormatUint(d.event.id, 10)
		}
	}
	return list
}

// Pending is the number of deliveries that are under way: due within some seconds, sent and not answered, or to be sent
// again. Without a secret nothing is sent.
func (s *Server) Pending() (n int) {
	w := s.Webhooks
	w.mu.Lock()
	defer w.mu.Unlock()
	soon := w.now().Add(replayTime)
	for _, d := range w.timetable.queue {
		if d.attempts == 0 && d.due.Before(soon) {
			n++
		}
	}
	for _, d := range w.deliveries {
		if d.state == DeliveryPending {
			n++
		}
	}
	return n
}

// OptOut makes a contact, named by its id or e-mail address, opt out now. The notice is sent by the
// next Deliver.
func (w *Webhooks) OptOut(who string) error {
	id, ok := w.world.parseID(contact, who)
	if !ok && strings.Contains(who, "@") {
		id, ok = w.world.contactByEmail(strings.TrimSpace(who)), true
	}
	if !ok {
		return fmt.Errorf("simulator: %q is neither the id nor the e-mail address of a contact", truncate(who))
	}
	now := w.now().UTC()
	w.mu.Lock()
	defer w.mu.Unlock()
	at := slices.IndexFunc(w.subscriptions, (*subscription).isOptOut)
	if at < 0 {
		return errors.New("simulator: the account has no subscription to opt-out notices")
	}
	s := w.subscriptions[at]
	w.optOuts++
	w.timetable.enqueue(&delivery{
		subscription: s, edition: s.edition, id: newUUID(mix(w.seed^'o'<<40, w.optOuts)), due: now,
		optOut: strconv.FormatInt(id, 10), body: w.writer.encodeOptOut(id, now),
	})
	return nil
}
