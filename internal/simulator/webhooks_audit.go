package simulator

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// This file is the audit log, the vendor's own record of every attempt to deliver.

// Statuses of an attempt.
const (
	auditSuccess = "success"
	auditFailed  = "failed"
	auditLost    = "permanent_failure" // the last attempt failed
)

// Times for which an attempt is in the log.
const (
	keepSuccess = 90 * 24 * time.Hour
	keepFailure = 180 * 24 * time.Hour
)

// auditEntry is one attempt.
type auditEntry struct {
	id           uint64
	subscription string
	delivery     string
	status       string
	result       attemptResult
	url          string
	at           time.Time
	took         time.Duration
}

func newAuditEntry(a *attempt, o attemptResult, now time.Time) auditEntry {
	d := a.delivery
	e := auditEntry{
		id:           mix(hashText(uint64(a.number), d.id), uint64(a.at.UnixNano())),
		subscription: d.subscription.id, delivery: d.id, status: auditSuccess,
		result: o, url: a.url, at: a.at, took: now.Sub(a.at),
	}
	if !o.acknowledged() {
		e.status = auditFailed
	}
	return e
}

func (e *auditEntry) isKept(now time.Time) bool {
	keep := keepFailure
	if e.status == auditSuccess {
		keep = keepSuccess
	}
	return now.Sub(e.at) <= keep
}

func (e *auditEntry) appendTo(b []byte) []byte {
	id := binary.BigEndian.AppendUint32(nil, uint32(e.at.Unix()))
	b = appendString(append(b, `{"id":`...), hex.EncodeToString(binary.BigEndian.AppendUint64(id, e.id)))
	b = appendString(appendKey(b, "subscriptionId"), e.subscription)
	b = appendString(appendKey(b, "payloadId"), e.delivery)
	b = appendString(appendKey(b, "status"), e.status)
	if e.result.status != 0 {
		b = strconv.AppendInt(appendKey(b, "statusCode"), int64(e.result.status), 10)
	}
	b = appendString(appendKey(b, "url"), e.url)
	b = appendTime(appendKey(b, "deliveredAt"), e.at)
	b = strconv.AppendInt(appendKey(b, "durationMs"), e.took.Milliseconds(), 10)
	b = appendKey(b, "error")
	if e.result.problem == "" {
		return append(b, "null}"...)
	}
	return append(appendString(b, e.result.problem), '}')
}

// auditLog are the attempts in the order in which they ended.
type auditLog []auditEntry

// kept returns the entries that are still in the log, of one subscription unless it is "".
func (l auditLog) kept(subscription string, now time.Time) (list []*auditEntry) {
	for i := range l {
		if e := &l[i]; e.isKept(now) && (subscription == "" || e.subscription == subscription) {
			list = append(list, e)
		}
	}
	return list
}

// listAudit lists the attempts, newest first.
func listAudit(x *exchange) {
	c, query := new(checker), x.r.URL.Query()
	limit, offset := readPage(c, query, 50)
	status := query.Get("status")
	if query.Has("status") && !slices.Contains([]string{auditSuccess, auditFailed, auditLost}, status) {
		c.addError("status", "must be success, failed or permanent_failure")
	}
	if prob := c.refusal(); prob != nil {
		x.fail(prob)
		return
	}
	w := x.Webhooks
	w.mu.Lock()
	list := w.audit.kept(query.Get("subscriptionId"), x.now)
	if status != "" {
		list = slices.DeleteFunc(list, func(e *auditEntry) bool { return e.status != status })
	}
	b := []byte(`{"data":[`)
	for i := offset; i < min(offset+limit, len(list)); i++ {
		b = list[len(list)-1-i].appendTo(appendComma(b))
	}
	w.mu.Unlock()
	x.send(200, jsonType, appendPagination(b, x.switches, len(list), limit, offset), true)
}

// serveAuditStats counts the attempts of the log. The failed ones include those that were the last of
// their delivery.
func serveAuditStats(x *exchange) {
	w := x.Webhooks
	var success, failed, lost, credits int64
	subscription := x.r.URL.Query().Get("subscriptionId")
	w.mu.Lock()
	for _, e := range w.audit.kept(subscription, x.now) {
		switch e.status {
		case auditSuccess:
			success++
		case auditLost:
			lost++
			failed++
		default:
			failed++
		}
	}
	for _, d := range w.deliveries {
		if subscription == "" || d.subscription.id == subscription {
			credits += d.credits
		}
	}
	w.mu.Unlock()
	rate := 0.0
	if success+failed > 0 {
		rate = 100 * float64(success) / float64(success+failed)
	}
	x.send(200, jsonType, fmt.Appendf(nil, `{"total":%d,"success":%d,"failed":%d,"successRate":"%.2f%%","permanentFailure":%d,"dlq":%d,"totalCreditsConsumed":%d}`,
		success+failed, success, failed, rate, lost, lost, credits), true)
}
