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
	leastSeeds = 5
	mostSeeds  = 100
	likeLimit  = 25 // when the request states none
)

// mostLikes is the largest page.
var mostLikes = map[object]int64{contact: 50, company: 100}

// likeOrder is what a request for lookalikes holds in addition to its seeds.
type likeOrder struct {
	limit   int
	session string // "" for a new one
	exclude []lookup
}

// v3Lookalike is the operation at its present path, or the older form at the older path.
func v3Lookalike(of object, older bool) *dialect {
	d := &dialect{
		parse: func(s *Server, body []byte, now time.Time) (*order, *problem) {
			today := dayOf(now)
			o := &order{product: lookalikeActions[of], object: of, now: now, span: span{from: today, to: today, today: today},
				like: &likeOrder{limit: likeLimit}}
			return o, v3Read(body, []string{"seeds", "exclude", "limit", "dedupeSessionId"}, func(c *complaints, obj *jsonObject) {
				readLookalike(c, s, obj, o)
			})
		},
		check:  (*Server).checkSession,
		answer: (*Server).lookalike,
	}
	d.encode = func(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
		w := newWriter(dst, a, sw, q)
		w.generation, w.charged = generation3, "billing"
		entry := (*writer).alike
		if older {
			w.charged, entry = "creditsCharged", (*writer).alikeBefore
		}
		w.open()
		w.b = jsonText(jsonKey(w.b, "dedupeSessionId"), a.session)
		w.results(a, entry)
		w.b = append(jsonKey(w.b, "meta"), '{')
		w.number("returned", float64(a.found))
		w.b = append(strconv.AppendBool(jsonKey(w.b, "hasMore"), a.more), '}')
		w.charge(a)
		return append(w.b, '}')
	}
	return d
}

func readLookalike(c *complaints, s *Server, obj *jsonObject, o *order) {
	if v, ok := obj.get("seeds"); ok {
		var given int
		o.lookups, given = readSeeds(c, s, o.object, "seeds", v)
		if given < leastSeeds || given > mostSeeds {
			c.add("seeds", "must contain %d to %d items over all lists", leastSeeds, mostSeeds)
		}
	} else {
		c.add("seeds", "is required")
	}
	if v, ok := obj.get("exclude"); ok {
		o.like.exclude, _ = readSeeds(c, s, o.object, "exclude", v)
	}
	if v, ok := obj.get("limit"); ok {
		limit, ok := integer(v)
		if !ok || limit < 1 || limit > mostLikes[o.object] {
			c.add("limit", "must be an integer from 1 to %d", mostLikes[o.object])
		}
		o.like.limit = int(min(limit, mostLikes[o.object]))
	}
	if v, ok := obj.get("dedupeSessionId"); ok && v != nil {
		session, _ := v.(string)
		if !isUUID(session) {
			c.add("dedupeSessionId", "must be a UUID")
		}
		o.like.session = strings.ToLower(session)
	}
}

// seedKind is a list of seeds and the reader of its items.
type seedKind struct {
	list string
	read func(c *complaints, s *Server, field string, item any) (lookup, bool)
}

var seedKinds = map[object][]seedKind{
	contact: {{"ids", seedID}, {"contactIds", seedNumber}, {"linkedinUrls", seedProfile}, {"emails", seedEmail}, {"contacts", seedPerson}},
	company: {{"domains", seedDomain}, {"linkedinUrls", seedPage}},
}

// readSeeds reads all lists of seeds and counts their items, repetitions included.
func readSeeds(c *complaints, s *Server, of object, at string, v any) (seeds []lookup, given int) {
	kinds := seedKinds[of]
	names := make([]string, len(kinds))
	for i := range kinds {
		names[i] = kinds[i].list
	}
	obj := c.members(at, v, names...)
	if obj == nil {
		return nil, 0
	}
	for _, kind := range kinds {
		items := c.listAt(at, obj, kind.list, false, 0)
		given += len(items)
		if len(items) > mostSeeds {
			c.add(join(at, kind.list), "must contain no more than %d items", mostSeeds)
			continue
		}
		for i, item := range items {
			if l, ok := kind.read(c, s, join(at, kind.list)+"."+strconv.Itoa(i), item); ok {
				seeds = append(seeds, l)
			}
		}
	}
	return seeds, given
}

func seedID(c *complaints, s *Server, field string, item any) (lookup, bool) {
	return v3ID(c, s, contact, field, item)
}

func seedNumber(c *complaints, _ *Server, field string, item any) (lookup, bool) {
	return v2ID(c, field, item)
}

// seedText reads a seed that is a text of a given form.
func seedText(c *complaints, field string, item any, is func(string) bool, what string) (string, bool) {
	text, ok := item.(string)
	if !ok || len(text) > 2048 || !is(text) {
		c.add(field, "must be %s", what)
		return "", false
	}
	return strings.TrimSpace(text), true
}

func seedProfile(c *complaints, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := seedText(c, field, item, isProfile, "a LinkedIn profile URL")
	if ok {
		contactByLink(s.world, &l, text)
	}
	return l, ok
}

func seedEmail(c *complaints, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := seedText(c, field, item, isEmail, "an e-mail address")
	if ok {
		contactByMail(s.world, &l, text)
	}
	return l, ok
}

func seedPerson(c *complaints, s *Server, field string, item any) (l lookup, ok bool) {
	obj := c.members(field, item, "firstName", "lastName", "companyName", "companyDomain")
	if obj == nil {
		return l, false
	}
	before := c.total
	v3Person(c, s.world, field, obj, &l)
	return l, c.total == before
}

func seedDomain(c *complaints, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := seedText(c, field, item, isHost, "a host name, not a URL")
	if ok {
		l.id, l.domain = s.world.companyByDomain(text)
		l.keys = []string{fold(text), l.domain}
	}
	return l, ok
}

func seedPage(c *complaints, s *Server, field string, item any) (l lookup, ok bool) {
	text, ok := seedText(c, field, item, isCompanyPage, "a LinkedIn company URL")
	if ok {
		slug := profileSlug(text)
		l.id, l.domain = s.world.companyByPage(slug)
		l.keys = []string{fold(text), slug}
	}
	return l, ok
}

func isCompanyPage(s string) bool {
	name, ok := strings.CutPrefix(profileSlug(s), companyPage)
	return ok && isProfile(s) && name != ""
}

// session remembers the entities that its answers have returned.
type session struct {
	of    object
	given map[int64]bool
	ends  time.Time
}

// sessions are the lookalike sessions of an account. The lock is held from the choice of a page
// until its charge is booked, so the entities that a session has returned are those that the bill
// says were sold: a page refused for lack of credits has not been returned, and two concurrent
// requests do not get the same page.
type sessions struct {
	mu      sync.Mutex
	life    time.Duration
	byID    map[string]*session
	started map[uint64]int // sessions begun by each request
}

// checkSession refuses a session that is unknown or has ended, or by switch lets the request
// begin a new one.
func (s *Server) checkSession(o *order) *problem {
	id := o.like.session
	if id == "" {
		return nil
	}
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if s.sessions.live(id, o) != nil {
		return nil
	}
	const message = "This session has ended; start again without it"
	switch s.switches.SessionExpiry {
	case "restart":
		o.like.session = ""
		return nil
	case "envelope":
		return &problem{status: 410, message: message, errors: []string{invalidSession}}
	}
	return &problem{status: 410, message: message, code: invalidSession}
}

const invalidSession = "DEDUPE_SESSION_INVALID"

// live returns a session that has not ended and is for this kind of object.
func (t *sessions) live(id string, o *order) *session {
	known := t.byID[id]
	if known == nil || known.of != o.object || !o.now.Before(known.ends) {
		return nil
	}
	return known
}

// lookalike chooses the next page. The sessions stay locked until the charge is booked or
// refused.
func (s *Server) lookalike(o *order, draw uint64) *answer {
	a := s.newAnswer(o, draw)
	a.findings = nil
	t := &s.sessions
	t.mu.Lock()
	a.session = o.like.session
	current := t.live(a.session, o)
	if current == nil {
		current = &session{of: o.object, given: map[int64]bool{}}
		a.session = uuid(blend(blend(draw, 'n'), uint64(t.started[draw])))
	}
	s.rank(o, current.given, func(f finding) bool {
		if len(a.findings) == o.like.limit {
			a.more = true
			return false
		}
		a.findings = append(a.findings, f)
		return true
	})
	a.found = len(a.findings)
	a.bill(o.product, int64(a.found)*a.tariffs[o.product].credits)
	a.settle = func(paid bool) {
		defer t.mu.Unlock()
		if !paid {
			return
		}
		if a.session != o.like.session {
			t.started[draw]++
			t.forget(o.now)
			t.byID[a.session] = current
		}
		current.ends = o.now.Add(t.life)
		for i := range a.findings {
			current.given[a.findings[i].entity.id] = true
		}
	}
	return a
}

// forget drops the sessions that have ended.
func (t *sessions) forget(now time.Time) {
	for id, old := range t.byID {
		if !now.Before(old.ends) {
			delete(t.byID, id)
		}
	}
}

// alikes is the number of entities that can be a lookalike; each set of seeds has some of them.
// They are few enough for the lookalikes of different seeds to overlap.
const (
	alikes      = 6000
	leastAlikes = 60
	mostAlikes  = 400
)

// rank yields the lookalikes of the seeds in order until the callback returns false. It skips the
// entities already returned, the seeds and the excluded ones. The order of the seeds does not
// matter.
func (s *Server) rank(o *order, given map[int64]bool, give func(finding) bool) {
	barred := newBarrier(o)
	root, seeds := uint64(0), map[int64]bool{}
	for i := range o.lookups {
		if id := o.lookups[i].id; !seeds[id] {
			seeds[id] = true
			root += scramble(uint64(id))
		}
	}
	root = blend(s.world.root(o.object, 0), root)
	pool, of := leastAlikes+int(root%(mostAlikes-leastAlikes+1)), uint64(alikes)
	if s.switches.Events == "most" {
		pool, of = math.MaxInt, 1<<40
	}
	seen := make(map[int64]bool, mostAlikes)
	for i := uint64(0); pool > 0; i++ {
		l := s.world.resident(o.object, blend(root, i)%of)
		if seen[l.id] {
			continue
		}
		seen[l.id] = true
		e, known := s.world.find(o.object, l)
		if !known {
			continue
		}
		pool--
		f := finding{known: true, entity: e, lookup: l}
		if !given[l.id] && !barred.holds(s.world, &f, o.span.today) && !give(f) {
			return
		}
	}
}

// barrier keeps entities out of an answer: by id, or a contact by name and employer as an answer
// shows them.
type barrier struct {
	ids   map[int64]bool
	names map[string]bool
}

func newBarrier(o *order) *barrier {
	b := &barrier{ids: map[int64]bool{}, names: map[string]bool{}}
	for _, list := range [][]lookup{o.lookups, o.like.exclude} {
		for i := range list {
			l := &list[i]
			b.ids[l.id] = true
			if l.first != "" {
				b.names[letters(l.first+l.last)+"@"+l.domain] = true
			}
		}
	}
	return b
}

func (b *barrier) holds(w world, f *finding, today day) bool {
	if b.ids[f.entity.id] || len(b.names) == 0 {
		return b.ids[f.entity.id]
	}
	p := w.profile(f, today)
	return b.names[letters(p.first+p.last)+"@"+p.job.domain]
}

// alike writes one lookalike.
func (w *writer) alike(a *answer, f *finding) {
	w.entityID("id", f.entity.object, f.entity.id)
	today := dayOf(a.order.now)
	if f.entity.object == contact {
		w.alikeContact(f, today, "id")
		w.location(f.entity.home, false, true)
	} else {
		w.string("name", f.entity.name)
		w.string("domain", w.www(&f.entity))
		w.b = append(jsonKey(w.b, "employeeCount"), '{')
		w.number("exact", float64(w.world.employees(&f.entity, today)))
		w.b = append(w.b, '}')
		w.string("industry", w.world.industry(&f.entity))
		w.location(f.entity.home, false, true)
		w.links(companyLink(f))
	}
	w.extras("segment")
}

// alikeBefore writes one lookalike in the form of the older paths.
func (w *writer) alikeBefore(a *answer, f *finding) {
	today := dayOf(a.order.now)
	if f.entity.object == contact {
		w.entityID("contactId", contact, f.entity.id)
		w.alikeContact(f, today, "companyId")
	} else {
		w.string("name", f.entity.name)
		w.string("domain", w.www(&f.entity))
		w.string("linkedinUrl", companyLink(f))
		w.number("employeeCount", float64(w.world.employees(&f.entity, today)))
		w.string("industry", w.world.industry(&f.entity))
		w.location(f.entity.home, false, true)
	}
	w.extras("segment")
}

func (w *writer) alikeContact(f *finding, today day, companyKey string) {
	p := w.world.profile(f, today)
	w.string("firstName", p.first)
	w.string("lastName", p.last)
	w.employer(companyKey, &p.job)
	w.jobTitle(&p.job)
	w.links(p.url)
}
