package simulator

import (
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

// This file is the lookalikes of V3: entities similar to a set of seeds, page by page within a
// session that returns each entity once.

// lookalikeActions names a lookalike in the price list and on the bill.
var lookalikeActions = map[object]string{contact: "lookalikeContact", company: "lookalikeCompany"}

const (
	minSeeds             = 5
	maxSeeds             = 100
	defaultLookalikePage = 25 // when the request states none
)

// maxLookalikePage is the largest page.
var maxLookalikePage = map[object]int64{contact: 50, company: 100}

// lookalikeOrder is what a request for lookalikes holds in addition to its seeds.
type lookalikeOrder struct {
	limit   int
	session string // "" for a new one
	exclude []lookup
}

// v3Lookalike is the operation at its present path, or the older form at the older path.
func v3Lookalike(of object, legacy bool) *operation {
	d := &operation{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			today := dayOf(now)
			o := &order{product: lookalikeActions[of], object: of, now: now, span: span{from: today, to: today, today: today},
				lookalike: &lookalikeOrder{limit: defaultLookalikePage}}
			return o, v3Decode(body, []string{"seeds", "exclude", "limit", "dedupeSessionId"}, func(c *checker, obj *jsonObject) {
				readLookalike(c, s, obj, o)
			})
		},
		check:  (*Server).checkSession,
		answer: (*Server).answerLookalikes,
	}
	d.encode = func(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
		w := newWriter(dst, a, sw, q)
		w.apiVersion, w.chargeKey = apiV3, "billing"
		entry := (*writer).lookalikeResult
		if legacy {
			w.chargeKey, entry = "creditsCharged", (*writer).legacyLookalikeResult
		}
		w.open()
		w.b = appendString(appendKey(w.b, "dedupeSessionId"), a.session)
		w.results(a, entry)
		w.b = append(appendKey(w.b, "meta"), '{')
		w.number("returned", float64(a.found))
		w.b = append(strconv.AppendBool(appendKey(w.b, "hasMore"), a.hasMore), '}')
		w.charge(a)
		return append(w.b, '}')
	}
	return d
}

func readLookalike(c *checker, s *Server, obj *jsonObject, o *order) {
	if v, ok := obj.get("seeds"); ok {
		var count int
		o.lookups, count = readSeeds(c, s, o.object, "seeds", v)
		if count < minSeeds || count > maxSeeds {
			c.addError("seeds", "must contain %d to %d items over all lists", minSeeds, maxSeeds)
		}
	} else {
		c.addError("seeds", "is required")
	}
	if v, ok := obj.get("exclude"); ok {
		o.lookalike.exclude, _ = readSeeds(c, s, o.object, "exclude", v)
	}
	if v, ok := obj.get("limit"); ok {
		limit, ok := parseInteger(v)
		if !ok || limit < 1 || limit > maxLookalikePage[o.object] {
			c.addError("limit", "must be an integer from 1 to %d", maxLookalikePage[o.object])
		}
		o.lookalike.limit = int(min(limit, maxLookalikePage[o.object]))
	}
	if v, ok := obj.get("dedupeSessionId"); ok && v != nil {
		session, _ := v.(string)
		if !isUUID(session) {
			c.addError("dedupeSessionId", "must be a UUID")
		}
		o.lookalike.session = strings.ToLower(session)
	}
}

// seedKind is a list of seeds and the reader of its items.
type seedKind struct {
	list string
	read func(c *checker, s *Server, field string, item any) (lookup, bool)
}

var seedKinds = map[object][]seedKind{
	contact: {{"ids", readSeedID}, {"contactIds", readSeedNumber}, {"linkedinUrls", readSeedProfile}, {"emails", readSeedEmail}, {"contacts", readSeedPerson}},
	company: {{"domains", readSeedDomain}, {"linkedinUrls", readSeedPage}},
}

// readSeeds reads all lists of seeds and counts their items, repetitions included.
func readSeeds(c *checker, s *Server, of object, at string, v any) (seeds []lookup, count int) {
	kinds := seedKinds[of]
	names := make([]string, len(kinds))
	for i := range kinds {
		names[i] = kinds[i].list
	}
	obj := c.readObject(at, v, names...)
	if obj == nil {
		return nil, 0
	}
	for _, kind := range kinds {
		items := c.readList(at, obj, kind.list, false, 0)
		count += len(items)
		if len(items) > maxSeeds {
			c.addError(joinPath(at, kind.list), "must contain no more than %d items", maxSeeds)
			continue
		}
		for i, item := range items {
			if l, ok := kind.read(c, s, joinPath(at, kind.list)+"."+strconv.Itoa(i), item); ok {
				seeds = append(seeds, l)
			}
		}
	}
	return seeds, count
}

func readSeedID(c *checker, s *Server, field string, item any) (lookup, bool) {
	return v3ID(c, s, contact, field, item)
}

func readSeedNumber(c *checker, _ *Server, field string, item any) (lookup, bool) {
	return v2ID(c, field, item)
}

// readSeedText reads a seed that is a text of a given form.
func readSeedText(c *checker, field string, item any, valid func(string) bool, want string) (string, bool) {
	text, ok := item.(string)
	if !ok || len(text) > 2048 || !valid(text) {
		c.addError(field, "must be %s", want)
		return "", false
	}
	return strings.TrimSpace(text), true
}

func readSeedProfile(c *checker, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := readSeedText(c, field, item, isProfile, "a LinkedIn profile URL")
	if ok {
		fillByProfile(s.world, &l, text)
	}
	return l, ok
}

func readSeedEmail(c *checker, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := readSeedText(c, field, item, isEmail, "an e-mail address")
	if ok {
		fillByEmail(s.world, &l, text)
	}
	return l, ok
}

func readSeedPerson(c *checker, s *Server, field string, item any) (l lookup, ok bool) {
	obj := c.readObject(field, item, "firstName", "lastName", "companyName", "companyDomain")
	if obj == nil {
		return l, false
	}
	before := c.errorCount
	v3Person(c, s.world, field, obj, &l)
	return l, c.errorCount == before
}

func readSeedDomain(c *checker, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := readSeedText(c, field, item, isHost, "a host name, not a URL")
	if ok {
		l.id, l.domain = s.world.companyByDomain(text)
		l.keys = []string{foldCase(text), l.domain}
	}
	return l, ok
}

func readSeedPage(c *checker, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := readSeedText(c, field, item, isCompanyPage, "a LinkedIn company URL")
	if ok {
		slug := profileSlug(text)
		l.id, l.domain = s.world.companyByPage(slug)
		l.keys = []string{foldCase(text), slug}
	}
	return l, ok
}

func isCompanyPage(s string) bool {
	name, ok := strings.CutPrefix(profileSlug(s), companyPage)
	return ok && isProfile(s) && name != ""
}

// session remembers the entities that its answers have returned.
type session struct {
	object   object
	returned map[int64]bool
	expires  time.Time
}

// sessions are the lookalike sessions of an account. The lock is held from the choice of a page
// until its charge is booked, so the entities that a session has returned are those that the bill
// says were sold: a page refused for lack of credits has not been returned, and two concurrent
// requests do not get the same page.
type sessions struct {
	mu      sync.Mutex
	ttl     time.Duration
	byID    map[string]*session
	started map[uint64]int // sessions begun by each request
}

// checkSession refuses a session that is unknown or has ended, or by switch lets the request
// begin a new one.
func (s *Server) checkSession(o *order) *problem {
	id := o.lookalike.session
	if id == "" {
		return nil
	}
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if s.sessions.active(id, o) != nil {
		return nil
	}
	const message = "This session has ended; start again without it"
	switch s.switches.SessionExpiry {
	case "restart":
		o.lookalike.session = ""
		return nil
	case "envelope":
		return &problem{status: 410, message: message, errors: []string{invalidSession}}
	}
	return &problem{status: 410, message: message, code: invalidSession}
}

const invalidSession = "DEDUPE_SESSION_INVALID"

// active returns a session that has not ended and is for this kind of object.
func (t *sessions) active(id string, o *order) *session {
	current := t.byID[id]
	if current == nil || current.object != o.object || !o.now.Before(current.expires) {
		return nil
	}
	return current
}

// answerLookalikes chooses the next page. The sessions stay locked until the charge is booked or
// refused.
func (s *Server) answerLookalikes(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	a.findings = nil
	t := &s.sessions
	t.mu.Lock()
	a.session = o.lookalike.session
	current := t.active(a.session, o)
	if current == nil {
		current = &session{object: o.object, returned: map[int64]bool{}}
		a.session = newUUID(mix(mix(draw, 'n'), uint64(t.started[draw])))
	}
	s.rankLookalikes(o, current.returned, func(f finding) bool {
		if len(a.findings) == o.lookalike.limit {
			a.hasMore = true
			return false
		}
		a.findings = append(a.findings, f)
		return true
	})
	a.found = len(a.findings)
	a.addCharge(o.product, int64(a.found)*a.tariffs[o.product].credits)
	a.onCharge = func(paid bool) {
		defer t.mu.Unlock()
		if !paid {
			return
		}
		if a.session != o.lookalike.session {
			t.started[draw]++
			t.removeExpired(o.now)
			t.byID[a.session] = current
		}
		current.expires = o.now.Add(t.ttl)
		for i := range a.findings {
			current.returned[a.findings[i].entity.id] = true
		}
	}
	return a
}

// removeExpired drops the sessions that have ended.
func (t *sessions) removeExpired(now time.Time) {
	for id, old := range t.byID {
		if !now.Before(old.expires) {
			delete(t.byID, id)
		}
	}
}

// alikes is the number of entities that can be a lookalike; each set of seeds has some of them.
// They are few enough for the lookalikes of different seeds to overlap.
const (
	lookalikePopulation = 6000
	minLookalikes       = 60
	maxLookalikes       = 400
)

// rankLookalikes yields the lookalikes of the seeds in order until the callback returns false. It skips the
// entities already returned, the seeds and the excluded ones. The order of the seeds does not
// matter.
func (s *Server) rankLookalikes(o *order, returned map[int64]bool, yield func(finding) bool) {
	excluded := newExclusions(o)
	root, seeds := uint64(0), map[int64]bool{}
	for i := range o.lookups {
		if id := o.lookups[i].id; !seeds[id] {
			seeds[id] = true
			root += mix64(uint64(id))
		}
	}
	root = mix(s.world.entityRoot(o.object, 0), root)
	remaining, population := minLookalikes+int(root%(maxLookalikes-minLookalikes+1)), uint64(lookalikePopulation)
	if s.switches.Events == "most" {
		remaining, population = math.MaxInt, 1<<40
	}
	seen := make(map[int64]bool, maxLookalikes)
	for i := uint64(0); remaining > 0; i++ {
		l := s.world.nthResident(o.object, mix(root, i)%population)
		if seen[l.id] {
			continue
		}
		seen[l.id] = true
		e, known := s.world.find(o.object, l)
		if !known {
			continue
		}
		remaining--
		f := finding{known: true, entity: e, lookup: l}
		if !returned[l.id] && !excluded.contains(s.world, &f, o.span.today) && !yield(f) {
			return
		}
	}
}

// exclusions keeps entities out of an answer: by id, or a contact by name and employer as an answer
// shows them.
type exclusions struct {
	ids   map[int64]bool
	names map[string]bool
}

func newExclusions(o *order) *exclusions {
	e := &exclusions{ids: map[int64]bool{}, names: map[string]bool{}}
	for _, list := range [][]lookup{o.lookups, o.lookalike.exclude} {
		for i := range list {
			l := &list[i]
			e.ids[l.id] = true
			if l.first != "" {
				e.names[lettersOnly(l.first+l.last)+"@"+l.domain] = true
			}
		}
	}
	return e
}

func (e *exclusions) contains(w world, f *finding, today day) bool {
	if e.ids[f.entity.id] || len(e.names) == 0 {
		return e.ids[f.entity.id]
	}
	p := w.contactProfile(f, today)
	return e.names[lettersOnly(p.first+p.last)+"@"+p.position.domain]
}

// lookalikeResult writes one lookalike.
func (w *writer) lookalikeResult(a *answer, f *finding) {
	w.entityID("id", f.entity.object, f.entity.id)
	today := dayOf(a.order.now)
	if f.entity.object == contact {
		w.lookalikeContact(f, today, "id")
		w.location(f.entity.home, false, true)
	} else {
		w.string("name", f.entity.name)
		w.string("domain", w.companyDomain(&f.entity))
		w.b = append(appendKey(w.b, "employeeCount"), '{')
		w.number("exact", float64(w.world.employeeCount(&f.entity, today)))
		w.b = append(w.b, '}')
		w.string("industry", w.world.industry(&f.entity))
		w.location(f.entity.home, false, true)
		w.socialLinks(companyProfileURL(f))
	}
	w.extraFields("segment")
}

// legacyLookalikeResult writes one lookalike in the form of the older paths.
func (w *writer) legacyLookalikeResult(a *answer, f *finding) {
	today := dayOf(a.order.now)
	if f.entity.object == contact {
		w.entityID("contactId", contact, f.entity.id)
		w.lookalikeContact(f, today, "companyId")
	} else {
		w.string("name", f.entity.name)
		w.string("domain", w.companyDomain(&f.entity))
		w.string("linkedinUrl", companyProfileURL(f))
		w.number("employeeCount", float64(w.world.employeeCount(&f.entity, today)))
		w.string("industry", w.world.industry(&f.entity))
		w.location(f.entity.home, false, true)
	}
	w.extraFields("segment")
}

func (w *writer) lookalikeContact(f *finding, today day, companyKey string) {
	p := w.world.contactProfile(f, today)
	w.string("firstName", p.first)
	w.string("lastName", p.last)
	w.employer(companyKey, &p.position)
	w.jobTitle(&p.position)
	w.socialLinks(p.url)
}
