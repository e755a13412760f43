package simulator

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// managementRoutes are the operations that manage webhooks. {id} stands for one segment of a path.
var managementRoutes = []struct {
	method, path string
	serve        func(*exchange)
}{
	{http.MethodPost, "/api/subscriptions", createSubscriptions},
	{http.MethodGet, "/api/subscriptions", listSubscriptions},
	{http.MethodPost, "/api/subscriptions/delete", deleteSubscriptions},
	{http.MethodPost, "/api/subscriptions/opt-out", createOptOut},
	{http.MethodGet, "/api/subscriptions/{id}", getSubscription},
	{http.MethodPatch, "/api/subscriptions/{id}", patchSubscription},
	{http.MethodPost, "/api/subscriptions/{id}/test", testSubscription},
	{http.MethodGet, "/api/audit-logs", listAudit},
	{http.MethodGet, "/api/audit-logs/stats", serveAuditStats},
	{http.MethodGet, "/api/account/secret", getSecret},
	{http.MethodPost, "/api/account/secret/regenerate", regenerateSecret},
}

// findRoute returns the route of a path. If the path has none with the method, the route has another
// method, and cannot be served.
func findRoute(path, method string) (route, bool) {
	if r, ok := routes[path]; ok {
		return r, true
	}
	var methods []string
	for _, m := range managementRoutes {
		pattern, suffix, variable := strings.Cut(m.path, "{id}")
		if !variable && path != pattern || variable && !matchesSegment(path, pattern, suffix) {
			continue
		}
		if m.method == method {
			return route{method: method, serve: m.serve, quota: managementQuota}, true
		}
		methods = append(methods, m.method)
	}
	return route{method: strings.Join(methods, ", "), quota: managementQuota}, len(methods) > 0
}

// matchesSegment reports whether a path is a prefix, one segment that is no operation of its own, and a
// suffix.
func matchesSegment(path, prefix, suffix string) bool {
	rest, ok := strings.CutPrefix(path, prefix)
	if !ok {
		return false
	}
	segment, ok := strings.CutSuffix(rest, suffix)
	return ok && segment != "" && segment != "delete" && segment != optOutPath && !strings.Contains(segment, "/")
}

const optOutPath = "opt-out"

// pathID returns the id in the path of a request.
func pathID(path string) string {
	rest := strings.TrimPrefix(path, "/api/subscriptions/")
	id, _, _ := strings.Cut(rest, "/")
	return id
}

// findSubscription returns the subscription in the path of a request, or refuses the request.
func findSubscription(x *exchange) *subscription {
	id := pathID(x.r.URL.Path)
	if !isSubscriptionID(id) {
		x.fail(badRequest("id must be 24 hexadecimal digits"))
		return nil
	}
	x.Webhooks.mu.Lock()
	s := x.byID[id]
	x.Webhooks.mu.Unlock()
	if s == nil {
		x.fail(&problem{status: 404, message: "Subscription not found"})
	}
	return s
}

// createSubscriptions creates up to 25 subscriptions. Some may fail where others are created.
func createSubscriptions(x *exchange) {
	body, prob := x.readBody()
	var r *subscriptionRequest
	if prob == nil {
		r, prob = x.reader.readSubscriptions(body)
	}
	if prob == nil {
		prob = x.refuseFull()
	}
	if prob == nil {
		prob = x.checkURL(x.r.Context(), r.url)
	}
	if prob != nil {
		x.fail(prob)
		return
	}
	b, done := []byte(`,"results":[`), 0
	x.Webhooks.mu.Lock()
	for i, s := range r.items {
		problem := r.problems[i]
		if problem == nil {
			problem = x.addItem(s, x.now)
		}
		b = appendOutcome(b, i, problem)
		if problem == nil {
			b = append(s.appendTo(append(b, `,"subscription":`...), ""), '}')
			done++
		}
	}
	x.Webhooks.mu.Unlock()
	x.send(201, jsonType, appendOutcomes(len(r.items), done, b), true)
}

// refuseFull refuses a request for subscriptions if the account can have no more.
func (w *Webhooks) refuseFull() *problem {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.subscriptions) >= w.config.maxSubscriptions() {
		return &problem{status: 403, message: "Forbidden", errors: []string{"the account has as many subscriptions as it can have"}}
	}
	return nil
}

// addItem adds the subscription of an item, or says why not. The caller holds the lock.
func (w *Webhooks) addItem(s *subscription, now time.Time) *itemProblem {
	if w.byTarget[s.target] != nil {
		return &itemProblem{codeDuplicate, "there is a subscription of this entity and URL"}
	}
	if len(w.subscriptions) >= w.config.maxSubscriptions() {
		return &itemProblem{codeForbidden, "the account has as many subscriptions as it can have"}
	}
	w.add(s, now)
	return nil
}

// appendOutcome begins the outcome of an item; that of a failed one is complete.
func appendOutcome(b []byte, index int, problem *itemProblem) []byte {
	b = strconv.AppendInt(append(appendComma(b), `{"index":`...), int64(index), 10)
	b = strconv.AppendBool(append(b, `,"success":`...), problem == nil)
	if problem == nil {
		return b
	}
	b = appendString(append(b, `,"error":{"code":`...), problem.code)
	return append(appendString(append(b, `,"message":`...), problem.message), '}', '}')
}

// appendOutcomes is the answer to a request with several items.
func appendOutcomes(total, done int, results []byte) []byte {
	b := fmt.Appendf(nil, `{"total":%d,"successful":%d,"failed":%d`, total, done, total-done)
	return append(append(b, results...), ']', '}')
}

// appendTo appends a subscription; a secret is part of the answer that renews it.
func (s *subscription) appendTo(b []byte, secret string) []byte {
	b = appendString(append(b, `{"id":`...), s.id)
	b = appendString(appendKey(b, "entityType"), s.target.object.String())
	b = appendString(appendKey(b, "entityId"), s.entityID)
	b = appendStrings(appendKey(b, "signalTypes"), s.types)
	b = appendString(appendKey(b, "url"), s.target.url)
	b = appendString(appendKey(b, "name"), s.name)
	b = strconv.AppendBool(appendKey(b, "isActive"), s.active)
	b = appendKey(b, "blockReason")
	if s.reason == "" {
		b = append(b, "null"...)
	} else {
		b = appendString(b, s.reason)
	}
	b = appendKey(b, "blockedAt")
	if s.blockedAt.IsZero() {
		b = append(b, "null"...)
	} else {
		b = appendTime(b, s.blockedAt)
	}
	b = appendTime(appendKey(b, "createdAt"), s.createdAt)
	b = appendTime(appendKey(b, "updatedAt"), s.updatedAt)
	if secret != "" {
		b = appendString(appendKey(b, "secret"), secret)
	}
	return append(b, '}')
}

func appendTime(b []byte, t time.Time) []byte {
	return append(t.UTC().AppendFormat(append(b, '"'), timestamp), '"')
}

// listSubscriptions lists the subscriptions, newest first.
func listSubscriptions(x *exchange) {
	c := new(checker)
	limit, offset := readPage(c, x.r.URL.Query(), 10)
	if prob := c.refusal(); prob != nil {
		x.fail(prob)
		return
	}
	x.Webhooks.mu.Lock()
	total := len(x.subscriptions)
	b := []byte(`{"data":[`)
	for i := offset; i < min(offset+limit, total); i++ {
		b = x.subscriptions[total-1-i].appendTo(appendComma(b), "")
	}
	x.Webhooks.mu.Unlock()
	x.send(200, jsonType, appendPagination(b, x.switches, total, limit, offset), true)
}

// appendPagination ends a page of a list.
func appendPagination(b []byte, sw *Switches, total, limit, offset int) []byte {
	b = fmt.Appendf(b, `],"pagination":{"total":%d,`, total)
	if sw.WebhookPagination == "page-size" {
		b = fmt.Appendf(b, `"page":%d,"size":%d`, offset/limit+1, limit)
	} else {
		b = fmt.Appendf(b, `"limit":%d,"offset":%d`, limit, offset)
	}
	return append(strconv.AppendBool(append(b, `,"hasMore":`...), offset+limit < total), '}', '}')
}

func getSubscription(x *exchange) {
	if s := findSubscription(x); s != nil {
		x.Webhooks.mu.Lock()
		b := s.appendTo(nil, "")
		x.Webhooks.mu.Unlock()
		x.send(200, jsonType, b, true)
	}
}

func patchSubscription(x *exchange) {
	s := findSubscription(x)
	if s == nil {
		return
	}
	body, prob := x.readBody()
	var p *subscriptionPatch
	if prob == nil {
		p, prob = x.reader.readPatch(body, s)
	}
	if prob == nil && p.url != "" {
		prob = x.checkURL(x.r.Context(), p.url)
	}
	var b []byte
	if prob == nil {
		b, prob = x.change(s, p, x.now)
	}
	if prob != nil {
		x.fail(prob)
		return
	}
	x.send(200, jsonType, b, true)
}

// change applies a patch, and returns the subscription as it is then.
func (w *Webhooks) change(s *subscription, p *subscriptionPatch, now time.Time) ([]byte, *problem) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.url != "" && p.url != s.target.url {
		moved := s.target
		moved.url = p.url
		if w.byTarget[moved] != nil {
			return nil, badRequest("url has a subscription of this entity already")
		}
		delete(w.byTarget, s.target)
		s.target = moved
		w.byTarget[moved] = s
	}
	if p.name != nil {
		s.name = *p.name
	}
	switch {
	case p.active == nil:
	case *p.active:
		s.active, s.reason, s.blockedAt = true, "", time.Time{}
	case s.active:
		s.switchOff("", now)
	}
	if p.signals != nil {
		s.types, s.signals = p.types, p.signals
		w.timetable.restart(s, now)
	}
	secret := ""
	if p.regenerate {
		secret = w.secret.renew(w.seed)
	}
	s.updatedAt = now
	return s.appendTo(nil, secret), nil
}

func deleteSubscriptions(x *exchange) {
	body, prob := x.readBody()
	var ids []string
	if prob == nil {
		ids, prob = readIDs(body)
	}
	if prob != nil {
		x.fail(prob)
		return
	}
	b, done := []byte(`,"results":[`), 0
	x.Webhooks.mu.Lock()
	for i, id := range ids {
		s := x.byID[id]
		if s == nil {
			b = appendOutcome(b, i, &itemProblem{codeNotFound, "there is no subscription of this id"})
			continue
		}
		x.remove(s)
		b = append(s.appendTo(append(appendOutcome(b, i, nil), `,"subscription":`...), ""), '}')
		done++
	}
	x.Webhooks.mu.Unlock()
	x.send(200, jsonType, appendOutcomes(len(ids), done, b), true)
}

// createOptOut subscribes to opt-out notices, once per account.
func createOptOut(x *exchange) {
	body, prob := x.readBody()
	var s *subscription
	if prob == nil {
		s, prob = readOptOut(body)
	}
	if prob == nil {
		prob = x.checkURL(x.r.Context(), s.target.url)
	}
	var b []byte
	if prob == nil {
		b, prob = x.addOptOut(s, x.now)
	}
	if prob != nil {
		x.fail(prob)
		return
	}
	x.send(201, jsonType, b, true)
}

// addOptOut adds the subscription to opt-out notices, of which there is one.
func (w *Webhooks) addOptOut(s *subscription, now time.Time) ([]byte, *problem) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if slices.ContainsFunc(w.subscriptions, (*subscription).isOptOut) {
		return nil, &problem{status: 403, message: "Forbidden", errors: []string{"the account has a subscription to opt-out notices"}}
	}
	w.add(s, now)
	return s.appendTo(nil, ""), nil
}

func getSecret(x *exchange) {
	x.Webhooks.mu.Lock()
	secret := x.secret.text
	if x.switches.Secret == "once" {
		secret = ""
	}
	x.Webhooks.mu.Unlock()
	if secret == "" {
		x.fail(&problem{status: 404, message: "There is no secret to show"})
		return
	}
	x.send(200, jsonType, append(appendString([]byte(`{"secret":`), secret), '}'), true)
}

func regenerateSecret(x *exchange) {
	x.Webhooks.mu.Lock()
	secret := x.secret.renew(x.Webhooks.seed)
	x.Webhooks.mu.Unlock()
	x.send(200, jsonType, append(appendString([]byte(`{"secret":`), secret), '}'), true)
}

// checkURL asks a URL for a challenge, which proves that the customer owns it.
func (w *Webhooks) checkURL(ctx context.Context, address string) *problem {
	if w.switches.Challenge == "off" {
		return nil
	}
	w.mu.Lock()
	w.challenges++
	challenge := strconv.FormatUint(mix(w.seed^'c'<<48, w.challenges), 36)
	w.mu.Unlock()
	if err := w.courier.challenge(ctx, address, challenge); err != nil {
		return badRequest("url was not verified: " + err.Error())
	}
	return nil
}
