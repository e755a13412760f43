package simulator

import (
	"strconv"
	"strings"
	"time"
)

// This file writes what webhooks get. Like the serialiser of JavaScript it writes no blanks and escapes
// nothing that JSON allows.

// deliveryWriter writes the bodies of deliveries.
type deliveryWriter struct {
	world    world
	switches *Switches
}

// encodeDelivery writes the body of a delivery, which is the same for all attempts.
func (w *deliveryWriter) encodeDelivery(d *delivery, now time.Time) []byte {
	if d.optOut != "" {
		return d.body // a notice is written when it is queued
	}
	s := d.subscription
	b := w.openEnvelope(d.id, d.event.signal.key, s)
	b = w.appendEvent(appendKey(b, "data"), &s.entity, &d.event)
	return w.closeEnvelope(b, now, d.credits)
}

// openEnvelope begins a delivery.
func (w *deliveryWriter) openEnvelope(id, key string, s *subscription) []byte {
	typeName, subscriptionName := "type", "subscriptionId"
	switch w.switches.DeliveryNames {
	case "snake":
		typeName, subscriptionName = "signal_type", "subscription_id"
	case "camel":
		typeName = "signalType"
	}
	b := appendString([]byte(`{"id":`), id)
	b = appendString(appendKey(b, typeName), key)
	b = appendString(appendKey(b, "entityType"), s.target.object.String())
	b = appendString(appendKey(b, "entityId"), s.entityID)
	return appendString(appendKey(b, subscriptionName), s.id)
}

func (w *deliveryWriter) closeEnvelope(b []byte, now time.Time, credits int64) []byte {
	b = appendTime(appendKey(b, "timestamp"), now)
	b = strconv.AppendInt(append(b, `,"billing":{"creditsCharged":`...), credits, 10)
	return append(b, '}', '}')
}

// appendEvent appends the record of an event: as an answer to a request by id has it, but for the number
// of a person and the list of departments.
func (w *deliveryWriter) appendEvent(b []byte, e *entity, ev *event) []byte {
	sw := *w.switches
	sw.Departments = "objects"
	var writer eventWriter
	writer.fieldWriter = fieldWriter{b: append(b, '{'), sw: &sw, q: new(quirks)}
	writer.world, writer.apiVersion, writer.delivered = w.world, apiV2, true
	writer.event(e, ev)
	return append(writer.b, '}')
}

// optOutTime is the form of dates in opt-out notices; the exposure has no milliseconds.
const (
	optOutTime   = "2006-01-02 15:04:05.000"
	exposureTime = "2006-01-02 15:04:05"
)

// encodeOptOut writes the notice that a person does not want to be found any more.
func (w *deliveryWriter) encodeOptOut(id int64, now time.Time) []byte {
	e, _ := w.world.find(contact, &lookup{id: id})
	p := w.world.contactProfile(&finding{entity: e, lookup: &lookup{id: id}}, dayOf(now))
	d := dice(mix(e.root, 'x'))
	exposed := now.AddDate(0, 0, -d.between(30, 400)).Add(-time.Duration(d.intN(86_400)) * time.Second)
	b := appendString([]byte(`{"contactId":`), strconv.FormatInt(id, 10))
	b = appendString(appendKey(b, "fullName"), p.first+" "+p.last)
	b = appendString(appendKey(b, "companyName"), p.position.company)
	b = appendString(appendKey(b, "jobTitle"), p.position.title())
	b = appendString(appendKey(b, "linkedinUrl"), p.url)
	b = appendString(appendKey(b, "contactOptOutDate"), now.Format(optOutTime))
	b = appendString(appendKey(b, "contactExposureDate"), exposed.Format(exposureTime))
	b = appendString(append(b, `,"datapoints":[{"datapointId":`...), strings.ToLower(lettersOnly(p.first)+"."+lettersOnly(p.last))+"@"+p.position.domain)
	b = append(b, `,"datapointType":"email"},{"datapointId":"+1555`...)
	b = strconv.AppendInt(b, int64(d.between(1_000_000, 9_999_999)), 10)
	return append(b, `","datapointType":"phone"}],"partnerClientId":null}`...)
}
