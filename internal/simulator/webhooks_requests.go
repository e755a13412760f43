package simulator

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"unicode/utf8"
)

// This file reads the requests that manage webhooks.

// Bounds of the requests.
const (
	maxSubscriptionItems = 25 // items of a request that creates or deletes
	maxEntityID          = 255
	maxSubscriptionName  = 100
	maxWebhookURL        = 2048
)

// subscriptionReader reads what customers want to subscribe to.
type subscriptionReader struct {
	world   world
	names   *nameBook
	signals map[object][]*signal
	refuse  map[string]int
}

// itemProblem is why one item of a request failed.
type itemProblem struct{ code, message string }

// Codes of items that failed.
const (
	codeInvalid   = "VALIDATION_ERROR"
	codeDuplicate = "DUPLICATE_SUBSCRIPTION"
	codeForbidden = "FORBIDDEN"
	codeNotFound  = "NOT_FOUND"
)

// subscriptionRequest is a request for subscriptions; an item that cannot be subscribed to has a problem.
type subscriptionRequest struct {
	url      string
	items    []*subscription
	problems []*itemProblem // by item, nil if there is none
}

// decodeObject reads the body of a request, which is an object of known properties.
func decodeObject(body []byte, allowed ...string) (*checker, *jsonObject, *problem) {
	v, err := decodeStrict(body)
	if err != nil {
		return nil, nil, badRequest(err.Error())
	}
	c := new(checker)
	return c, c.readObject("", v, allowed...), nil
}

// refusal is the answer to a request with errors, nil if there are none.
func (c *checker) refusal() *problem {
	if c.errorCount > 0 {
		return badRequest(c.errors...)
	}
	return nil
}

// readSubscriptions reads a request that creates subscriptions.
func (r *subscriptionReader) readSubscriptions(body []byte) (*subscriptionRequest, *problem) {
	c, obj, prob := decodeObject(body, "defaults", "name", "subscriptions")
	if prob != nil {
		return nil, prob
	}
	if obj == nil {
		return nil, c.refusal()
	}
	q := &subscriptionRequest{}
	given, ok := obj.get("defaults")
	if !ok {
		c.addError("defaults", "is required")
		return nil, c.refusal()
	}
	defaults := c.readObject("defaults", given, "url", "entityType", "signalTypes")
	if defaults != nil {
		q.url = c.readWebhookURL("defaults", defaults, true)
	}
	prefix := c.readName("", obj)
	items := c.readList("", obj, "subscriptions", true, 1)
	if len(items) > maxSubscriptionItems {
		c.addError("subscriptions", "must contain no more than %d items", maxSubscriptionItems)
	}
	if prob := c.refusal(); prob != nil {
		return nil, prob
	}
	for i, item := range items {
		s, problem := r.readSubscription("subscriptions."+strconv.Itoa(i), item, defaults)
		if s != nil {
			s.target.url = q.url
			s.name = joinNames(prefix, s.name)
		}
		q.items, q.problems = append(q.items, s), append(q.problems, problem)
	}
	return q, nil
}

func joinNames(prefix, name string) string {
	if prefix == "" || name == "" {
		return prefix + name
	}
	return prefix + " " + name
}

// readSubscription reads one item. What the item leaves out is taken from the defaults.
func (r *subscriptionReader) readSubscription(field string, item any, defaults *jsonObject) (*subscription, *itemProblem) {
	c := new(checker)
	obj := c.readObject(field, item, "entityId", "entityType", "signalTypes", "name")
	if obj == nil {
		return nil, &itemProblem{codeInvalid, c.errors[0]}
	}
	s := &subscription{name: c.readName(field, obj)}
	var ok bool
	if s.entityID, ok = c.readText(field, obj, "entityId"); !ok && c.errorCount == 0 {
		c.addError(joinPath(field, "entityId"), "is required")
	}
	if len(s.entityID) > maxEntityID {
		c.addError(joinPath(field, "entityId"), "must not be longer than %d characters", maxEntityID)
	}
	from, at := sourceOf("entityType", field, obj, defaults)
	s.target.object = c.readEntityType(at, from)
	from, at = sourceOf("signalTypes", field, obj, defaults)
	s.types, s.signals = r.readSignalTypes(c, at, from, s.target.object)
	if c.errorCount > 0 {
		return nil, &itemProblem{codeInvalid, c.errors[0]}
	}
	if s.target.id, ok = r.world.parseID(s.target.object, s.entityID); !ok {
		return nil, &itemProblem{codeInvalid, joinPath(field, "entityId") + " is not an id"}
	}
	if r.refuse[foldCase(s.entityID)] != 0 {
		return nil, &itemProblem{codeForbidden, "this entity may not be subscribed to"}
	}
	l := lookup{id: s.target.id, ref: s.entityID}
	s.entity, s.known = r.names.find(r.world, s.target.object, &l)
	return s, nil
}

// sourceOf returns the object that has a property, the item before the defaults.
func sourceOf(key, field string, item, defaults *jsonObject) (from *jsonObject, at string) {
	if _, ok := item.get(key); ok {
		return item, field
	}
	return defaults, "defaults"
}

func (c *checker) readEntityType(field string, obj *jsonObject) object {
	text, ok := c.readText(field, obj, "entityType")
	for _, o := range []object{contact, company} {
		if text == o.String() {
			return o
		}
	}
	if ok || c.errorCount == 0 {
		c.addError(joinPath(field, "entityType"), "must be contact or company")
	}
	return contact
}

// readSignalTypes reads the signals of a subscription, as they are written and as they are meant.
func (r *subscriptionReader) readSignalTypes(c *checker, field string, obj *jsonObject, o object) (types []string, list []*signal) {
	served := r.signals[o]
	for i, item := range c.readList(field, obj, "signalTypes", true, 1) {
		at := joinPath(field, "signalTypes") + "." + strconv.Itoa(i)
		key, ok := item.(string)
		chosen := served
		if key != allSignals {
			n := slices.IndexFunc(served, func(s *signal) bool { return s.key == key })
			if ok = ok && n >= 0; ok {
				chosen = served[n : n+1]
			}
		}
		if !ok {
			c.addError(at, "is not a %s signal", o)
			continue
		}
		if !slices.Contains(types, key) {
			types = append(types, key)
		}
		for _, s := range chosen {
			if !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	return types, list
}

func (c *checker) readName(field string, obj *jsonObject) string {
	name, _ := c.readText(field, obj, "name")
	if utf8.RuneCountInString(name) > maxSubscriptionName {
		c.addError(joinPath(field, "name"), "must not be longer than %d characters", maxSubscriptionName)
	}
	return name
}

// readWebhookURL reads an address for deliveries: HTTPS, or HTTP on this machine.
func (c *checker) readWebhookURL(field string, obj *jsonObject, required bool) string {
	text, ok := c.readText(field, obj, "url")
	if !ok {
		if required && c.errorCount == 0 {
			c.addError(joinPath(field, "url"), "is required")
		}
		return ""
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "":
		c.addError(joinPath(field, "url"), "is not a URL for deliveries")
	case u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())):
		c.addError(joinPath(field, "url"), "must begin with https:// (this simulator takes http:// of loopback addresses, too)")
	case len(text) > maxWebhookURL:
		c.addError(joinPath(field, "url"), "must not be longer than %d characters", maxWebhookURL)
	}
	return text
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// subscriptionPatch is a request that changes a subscription; what it leaves out is nil or empty.
type subscriptionPatch struct {
	types      []string
	signals    []*signal
	url        string
	name       *string
	active     *bool
	regenerate bool
}

// readPatch reads a request that changes a subscription.
func (r *subscriptionReader) readPatch(body []byte, s *subscription) (*subscriptionPatch, *problem) {
	c, obj, prob := decodeObject(body, "signalTypes", "url", "name", "isActive", "regenerateSecret")
	if prob != nil {
		return nil, prob
	}
	if obj == nil {
		return nil, c.refusal()
	}
	p := &subscriptionPatch{url: c.readWebhookURL("", obj, false)}
	if len(obj.keys) == 0 {
		c.addError("", "body must change something")
	}
	if _, ok := obj.get("signalTypes"); ok && s.isOptOut() {
		c.addError("signalTypes", "of opt-out notices cannot be changed")
	} else if ok {
		p.types, p.signals = r.readSignalTypes(c, "", obj, s.target.object)
	}
	if _, ok := obj.get("name"); ok {
		name := c.readName("", obj)
		p.name = &name
	}
	p.active = c.readBool(obj, "isActive")
	if regenerate := c.readBool(obj, "regenerateSecret"); regenerate != nil {
		p.regenerate = *regenerate
	}
	return p, c.refusal()
}

// readBool reads an optional truth value; nil if it is missing or wrong.
func (c *checker) readBool(obj *jsonObject, key string) *bool {
	v, ok := obj.get(key)
	if !ok {
		return nil
	}
	b, ok := v.(bool)
	if !ok {
		c.addError(key, "must be true or false")
		return nil
	}
	return &b
}

// readOptOut reads a request for opt-out notices.
func readOptOut(body []byte) (*subscription, *problem) {
	c, obj, prob := decodeObject(body, "entityType", "url", "name")
	if prob != nil {
		return nil, prob
	}
	if obj == nil {
		return nil, c.refusal()
	}
	s := &subscription{entityID: accountID, types: []string{optOutType}}
	s.target.url = c.readWebhookURL("", obj, true)
	if o := c.readEntityType("", obj); o != contact {
		c.addError("entityType", "must be contact")
	}
	s.name = c.readName("", obj)
	return s, c.refusal()
}

// readIDs reads a request that deletes subscriptions. Repeated ids count once.
func readIDs(body []byte) ([]string, *problem) {
	c, obj, prob := decodeObject(body, "ids")
	if prob != nil {
		return nil, prob
	}
	if obj == nil {
		return nil, c.refusal()
	}
	items := c.readList("", obj, "ids", true, 1)
	if len(items) > maxSubscriptionItems {
		c.addError("ids", "must contain no more than %d items", maxSubscriptionItems)
	}
	var ids []string
	for i, item := range items {
		id, ok := item.(string)
		switch {
		case !ok || id == "":
			c.addError("ids."+strconv.Itoa(i), "must be a string")
		case !slices.Contains(ids, id):
			ids = append(ids, id)
		}
	}
	return ids, c.refusal()
}

// isSubscriptionID accepts 24 hexadecimal digits.
func isSubscriptionID(s string) bool {
	if len(s) != 24 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

// readPage reads the page of a list that a request asks for.
func readPage(c *checker, query url.Values, limit int) (int, int) {
	limit = readCount(c, query, "limit", limit, 1, 100)
	return limit, readCount(c, query, "offset", 0, 0, 1<<31-1)
}

func readCount(c *checker, query url.Values, key string, absent, least, most int) int {
	given := query[key]
	if len(given) == 0 {
		return absent
	}
	n, err := strconv.Atoi(given[0])
	if err != nil || n < least || n > most || len(given) > 1 {
		c.addError(key, "must be a number from %d to %d", least, most)
		return absent
	}
	return n
}
