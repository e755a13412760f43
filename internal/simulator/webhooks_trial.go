package simulator

import (
	"fmt"
	"slices"
)

// This file is the test delivery, which costs nothing and whose event is invented.

// testModes are the ways that a test delivery takes through the service. A direct one is the payload
// alone; the others have the envelope of a delivery.
var testModes = []string{"full", "direct", "kafka"}

// testSubscription sends a test delivery and answers how it went.
func testSubscription(x *exchange) {
	s := findSubscription(x)
	if s == nil {
		return
	}
	query := x.r.URL.Query()
	mode := testModes[0]
	if query.Has("mode") {
		mode = query.Get("mode")
	}
	if !slices.Contains(testModes, mode) {
		x.fail(badRequest("mode must be direct, kafka or full"))
		return
	}
	w := x.Webhooks
	w.mu.Lock()
	a := &attempt{delivery: &delivery{subscription: s, id: newUUID(mix(hashText(w.seed, s.id), uint64(x.seq)))},
		url: s.target.url, secret: w.secret.text, at: x.now}
	name := s.name
	w.mu.Unlock()
	if a.secret == "" {
		x.fail(badRequest("the account has no signing secret"))
		return
	}
	key, data := w.inventData(s, x)
	payload := appendString([]byte(`{"entityType":`), s.target.object.String())
	payload = append(append(appendKey(appendString(appendKey(payload, "signalType"), key), "data"), data...), '}')
	body := payload
	if mode != "direct" {
		a.id = a.delivery.id
		body = append(appendKey(w.writer.openEnvelope(a.delivery.id, key, s), "data"), data...)
		body = w.writer.closeEnvelope(body, x.now, 0)
	}
	o := w.courier.post(x.r.Context(), a, w.stampOf(a.delivery, x.now), body)
	b := appendString([]byte(`{"subscriptionId":`), s.id)
	b = appendString(appendKey(b, "subscriptionName"), name)
	b = appendString(appendKey(b, "url"), a.url)
	b = appendString(appendKey(b, "mode"), mode)
	b = fmt.Appendf(b, `,"flowCheck":{"success":%t,"statusCode":%d,"durationMs":%d},"testPayload":%s,"isSuccess":%[1]t,"timestamp":`,
		o.acknowledged(), o.status, w.now().Sub(x.now).Milliseconds(), payload)
	x.send(200, jsonType, append(appendTime(b, x.now), '}'), true)
}

// inventData returns an event that has not happened, of the first signal of a subscription.
func (w *Webhooks) inventData(s *subscription, x *exchange) (key string, data []byte) {
	if s.isOptOut() {
		return optOutType, w.writer.encodeOptOut(int64(1+mix(w.seed, uint64(x.seq))%1000), x.now)
	}
	w.mu.Lock()
	sig := s.signals[0]
	w.mu.Unlock()
	today := dayOf(x.now)
	h := history{world: w.world, entity: &s.entity, filter: new(signalFilter), span: span{from: today - 30, to: today, today: today}}
	events := h.padEvents(nil, 0, sig, 1)
	events[0].id = 1 + uint64(x.seq)
	return sig.key, w.writer.appendEvent(nil, &s.entity, &events[0])
}
