package simulator

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Config says what kind of account is simulated. The zero value is a Scale account with a million
// credits, no faults and the most likely reading of every open question.
type Config struct {
	Seed uint64 // another seed is another world
	// Clock of the quotas and of the event horizon; nil: time.Now.
	Now func() time.Time
	// One of "scale" (default), "free", "pro", "premium", "legacy", "unlimited".
	Plan string
	// Requests a second; 0: 25 (none on "unlimited"), -1: no limit.
	Burst int
	// Credits in the pool; 0: 1,000,000, -1: none left.
	Credits int64
	// Credits of one event, as the account page states them; 0: 1.
	EventPrice int64
	// Accepted API keys; empty: any key that is not empty.
	Keys []string
	// Typical time of an answer to a valid billed request; 0: no delay.
	Latency  time.Duration
	Switches Switches // readings of the open questions
	// How late events become visible, one of LatenessDocs; "": as the first of them.
	Lateness string
	// Count the different events that are charged, for Bill.Distinct; takes memory for each.
	CountDistinct bool
	// Day on which the older version of the API ends; zero: never. Its answers announce the end six
	// months ahead, and are 410 from the day on.
	V2Ends time.Time
	// Lifetime of a lookalike session after its last use; 0: 30 days.
	SessionLife time.Duration
	// At most one fires per request; earlier ones take precedence.
	Faults []Fault

	// Refuse maps identifiers (id, domain, name, e-mail, LinkedIn URL; in any letter case) to a
	// status (400, 412, 422 or 451). A request that holds one is refused as a whole, costs
	// nothing, and the answer does not say which item was the reason.
	Refuse map[string]int

	// Transport of deliveries to webhooks; nil: http.DefaultTransport.
	Transport http.RoundTripper
	// Time that a webhook has to answer; 0: 10 s.
	DeliveryTimeout time.Duration
	// Deliveries sent at once; 0: 1, which sends them in the order in which they are due.
	DeliveryWorkers int
	// Time after the midnight of an event's first day of visibility in which its delivery falls due;
	// 0: 15 minutes.
	DeliverySpread time.Duration
	// A new subscription also gets the events of this time before it, within its first minute.
	DeliveryReplay time.Duration
	// Subscriptions that the account can have; 0: 100,000.
	MaxSubscriptions int

	// Log, if set, is called once per request when it has ended, possibly concurrently.
	Log func(Entry)
}

// Server is the simulated API. It is an [http.Handler]; [New] makes one.
//
// Faults that cut a connection need a real one, as with net/http/httptest.Server; without it they
// panic with [http.ErrAbortHandler].
type Server struct {
	*Webhooks

	config   Config
	now      func() time.Time
	world    world
	names    nameBook
	switches *Switches
	signals  map[int]map[object][]*signal // by API version
	limiter  *rateLimiter
	ledger   *ledger
	faults   *faultInjector
	sessions sessions
	refuse   map[string]int
	prices   []tariff          // in the order of the account page
	tariffs  map[string]tariff // prices by action

	mu      sync.Mutex
	revoked map[string]bool
}

// New checks a Config and makes a Server of it. The error says which values are allowed.
func New(c Config) (*Server, error) {
	switches, err := c.Switches.withDefaults()
	if err != nil {
		return nil, err
	}
	injector, err := newFaultInjector(c.Seed, c.Faults)
	if err != nil {
		return nil, err
	}
	limiter, err := newRateLimiter(c, switches)
	if err != nil {
		return nil, err
	}
	refuse, err := newRefusals(c.Refuse)
	if err != nil {
		return nil, err
	}
	lateness, err := latenessNamed(c.Lateness)
	if err != nil {
		return nil, err
	}
	pool, err := c.creditPool()
	if err != nil {
		return nil, err
	}
	if err := c.checkRanges(); err != nil {
		return nil, err
	}
	s := &Server{
		config: c, now: c.Now, world: world{seed: mix64(c.Seed), lateness: lateness}, switches: &switches,
		signals: map[int]map[object][]*signal{},
		limiter: limiter, ledger: newLedger(pool), faults: injector, refuse: refuse, revoked: map[string]bool{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if c.CountDistinct {
		s.ledger.sold = map[uint64]struct{}{}
	}
	s.sessions = sessions{ttl: cmp.Or(c.SessionLife, 30*24*time.Hour), byID: map[string]*session{}, started: map[uint64]int{}}
	s.prices, s.tariffs = priceList(c.EventPrice, &switches), map[string]tariff{}
	for _, t := range s.prices {
		s.tariffs[t.action] = t
	}
	for _, version := range []int{apiV2, apiV3} {
		s.signals[version] = map[object][]*signal{
			contact: signalsOf(version, contact, switches.Announced == "serve"),
			company: signalsOf(version, company, switches.Announced == "serve"),
		}
	}
	s.Webhooks = newWebhooks(s)
	return s, nil
}

// creditPool is the number of credits that the account has at the start.
func (c *Config) creditPool() (int64, error) {
	switch {
	case c.Credits == 0:
		return 1_000_000, nil
	case c.Credits == -1:
		return 0, nil
	case c.Credits < -1:
		return 0, fmt.Errorf("simulator: Credits is %d; it can be a number above 0, 0 for 1,000,000, or -1 for none left", c.Credits)
	}
	return c.Credits, nil
}

// checkRanges checks the values that need no table of the simulator.
func (c *Config) checkRanges() error {
	if c.EventPrice < 0 {
		return fmt.Errorf("simulator: EventPrice is %d; it can be a number of credits, or 0 for 1", c.EventPrice)
	}
	if c.Latency < 0 {
		return fmt.Errorf("simulator: Latency is %v; it can be 0 or more", c.Latency)
	}
	if c.SessionLife < 0 {
		return fmt.Errorf("simulator: SessionLife is %v; it can be a time, or 0 for 30 days", c.SessionLife)
	}
	if c.DeliveryTimeout < 0 || c.DeliverySpread < 0 || c.DeliveryReplay < 0 {
		return fmt.Errorf("simulator: DeliveryTimeout is %v, DeliverySpread %v, DeliveryReplay %v; they can be 0 or more", c.DeliveryTimeout, c.DeliverySpread, c.DeliveryReplay)
	}
	if c.DeliveryWorkers < 0 || c.MaxSubscriptions < 0 {
		return fmt.Errorf("simulator: DeliveryWorkers is %d, MaxSubscriptions %d; they can be 0 or more", c.DeliveryWorkers, c.MaxSubscriptions)
	}
	if slices.Contains(c.Keys, "") {
		return errors.New("simulator: Keys holds an empty key; leave Keys empty to accept any key")
	}
	return nil
}

func newRateLimiter(c Config, sw Switches) (*rateLimiter, error) {
	name := c.Plan
	if name == "" {
		name = plans[0].name
	}
	at := slices.IndexFunc(plans, func(p plan) bool { return p.name == name })
	if at < 0 {
		names := make([]string, len(plans))
		for i, p := range plans {
			names[i] = p.name
		}
		return nil, fmt.Errorf("simulator: Plan is %q; it can be %s", c.Plan, strings.Join(names, ", "))
	}
	burst := c.Burst
	switch {
	case burst < -1:
		return nil, fmt.Errorf("simulator: Burst is %d; it can be a number of requests a second, 0 for 25, or -1 for no limit", c.Burst)
	case burst == 0 && !plans[at].unlimited:
		burst = 25
	case burst == -1:
		burst = 0
	}
	return &rateLimiter{
		plan: plans[at], burst: burst,
		aligned: sw.Windows == "aligned", perKey: sw.RateScope == "key",
		quotas: map[string]*quota{},
	}, nil
}

func newRefusals(in map[string]int) (map[string]int, error) {
	out := make(map[string]int, len(in))
	for _, identifier := range slices.Sorted(maps.Keys(in)) {
		status := in[identifier]
		switch status {
		case 400, 412, 422, 451:
		default:
			return nil, fmt.Errorf("simulator: Refuse[%q] is %d; it can be 400, 412, 422 or 451", identifier, status)
		}
		if foldCase(identifier) == "" {
			return nil, errors.New("simulator: Refuse has an empty identifier")
		}
		out[foldCase(identifier)] = status
	}
	return out, nil
}

// Bill returns what the account owes at this moment. It is safe for concurrent use.
func (s *Server) Bill() Bill { return s.ledger.bill(true) }

// route is one operation of the API.
type route struct {
	method    string
	serve     func(*exchange)
	operation *operation // billed operations only
	quota     quotaKind
}

// routes is the whole API by path.
var routes = map[string]route{
	"/api/signals/filters/contact":  {method: http.MethodGet, serve: func(x *exchange) { x.serveOptions(contact) }},
	"/api/signals/filters/company":  {method: http.MethodGet, serve: func(x *exchange) { x.serveOptions(company) }},
	"/api/signals/contacts":         {method: http.MethodPost, operation: v2Signals(v2Form{object: contact, list: "contactIds"})},
	"/api/signals/contacts/search":  {method: http.MethodPost, operation: v2Signals(v2Form{object: contact, list: "contacts", search: true})},
	"/api/signals/companies":        {method: http.MethodPost, operation: v2Signals(v2Form{object: company, list: "companyIds"})},
	"/api/signals/companies/search": {method: http.MethodPost, operation: v2Signals(v2Form{object: company, list: "companies", search: true})},

	"/v3/contacts/signals":                              {method: http.MethodPost, operation: v3Signals(contact)},
	"/v3/companies/signals":                             {method: http.MethodPost, operation: v3Signals(company)},
	"/v3/contacts/signals/types":                        {method: http.MethodGet, serve: func(x *exchange) { x.serveSignalTypes(contact) }},
	"/v3/companies/signals/types":                       {method: http.MethodGet, serve: func(x *exchange) { x.serveSignalTypes(company) }},
	"/v3/companies/signals/filters":                     {method: http.MethodGet, serve: (*exchange).serveFilters},
	"/v3/companies/signals/filters/newsEventTypes":      {method: http.MethodGet, serve: serveFilterValues(newsEventTypes(), false)},
	"/v3/companies/signals/filters/hiringByDepartments": {method: http.MethodGet, serve: serveFilterValues(departments, false)},
	"/v3/companies/signals/filters/hiringByLocations":   {method: http.MethodGet, serve: (*exchange).servePlaceValues},
	"/v3/companies/signals/filters/intentCategories":    {method: http.MethodGet, serve: serveFilterValues(intentCategories(), true)},

	"/v3/contacts/search":  {method: http.MethodPost, operation: v3Search(contact)},
	"/v3/companies/search": {method: http.MethodPost, operation: v3Search(company)},

	"/v3/contacts/signal-score":  {method: http.MethodPost, operation: v3Score(contact)},
	"/v3/companies/signal-score": {method: http.MethodPost, operation: v3Score(company)},

	"/v3/contacts/lookalike":  {method: http.MethodPost, operation: v3Lookalike(contact, false)},
	"/v3/companies/lookalike": {method: http.MethodPost, operation: v3Lookalike(company, false)},
	"/v3/lookalike/contacts":  {method: http.MethodPost, operation: v3Lookalike(contact, true)},
	"/v3/lookalike/companies": {method: http.MethodPost, operation: v3Lookalike(company, true)},

	"/v3/companies/website-visits": {method: http.MethodPost, operation: v3Visits()},

	"/v3/account/usage": {method: http.MethodGet, serve: (*exchange).serveUsage, quota: usageQuota},
	"/account/usage":    {method: http.MethodGet, serve: (*exchange).serveLegacyUsage, quota: usageQuota},
}

// adminPath is the prefix of the simulator's own endpoints, outside the API's paths. They need no
// key, have no quota and are not on the bill.
const adminPath = "/_simulator/"

// ServeHTTP answers one request to the API, or to the simulator itself below /_simulator/.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, adminPath) {
		s.serveAdmin(w, r)
		return
	}
	x := &exchange{Server: s, response: response{w: w, r: r, entries: s.ledger}, now: s.now().UTC()}
	w.Header().Set("Date", x.now.Format(http.TimeFormat))
	x.path = r.URL.Path
	route, known := findRoute(x.path, r.Method)
	isV2 := strings.HasPrefix(x.path, v2Prefix)
	if s.switches.V2 == "ended" && isV2 {
		known = false
	}
	if isV2 {
		x.announceV2End()
	}
	if len(x.path) > 200 {
		x.path = x.path[:200]
	}
	x.seq = s.ledger.openEntry(x.now, strings.Clone(r.Method), strings.Clone(x.path))
	if s.config.Log != nil {
		// Deferred, because faults leave by panicking.
		defer func() { s.config.Log(s.ledger.entry(x.seq)) }()
	}
	if x.admitRequest(route, known) {
		if route.operation != nil {
			x.serveBilled(route.operation)
		} else {
			route.serve(x)
		}
	}
}

// admitRequest is the gate: it refuses what can be refused without reading the body.
func (x *exchange) admitRequest(route route, known bool) bool {
	key, authentic := x.apiKey()
	x.quota = x.limiter.peek(key, x.now, route.quota)
	switch {
	case !known:
		x.fail(&problem{status: 404, message: "There is no route for this path", gateway: true})
	case x.isV2Over():
		x.fail(&problem{status: 410, message: "Gone", errors: []string{"version 2 of this API ended on " + dayOf(x.config.V2Ends).String() + "; use version 3"}})
	case x.r.Method != route.method:
		x.w.Header().Set("Allow", route.method)
		x.fail(&problem{status: 405, message: "Method Not Allowed"})
	case !isCustomAgent(x.r.UserAgent()):
		x.fail(&problem{status: 403, message: "Forbidden", errors: []string{"a User-Agent of your own is required"}})
	case !authentic:
		x.fail(&problem{status: 401, errorWord: "invalid_request"})
	default:
		snapshot, limit, wait := x.limiter.admit(key, x.now, route.quota)
		x.quota = snapshot
		if limit == withinLimits {
			return true
		}
		x.failRateLimit(limit, wait)
	}
	return false
}

// apiKey returns the API key of a request and whether it is valid.
func (x *exchange) apiKey() (string, bool) {
	keys := x.r.Header.Values("api_key")
	if len(keys) == 0 && x.switches.Bearer == "accept" {
		if token, ok := strings.CutPrefix(x.r.Header.Get("Authorization"), "Bearer "); ok {
			keys = []string{token}
		}
	}
	if len(keys) != 1 || keys[0] == "" {
		return "", false
	}
	key := keys[0]
	if len(x.config.Keys) > 0 && !slices.Contains(x.config.Keys, key) {
		return "", false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	return key, !x.revoked[key]
}

// defaultAgents are the prefixes of the default User-Agents of HTTP libraries.
var defaultAgents = []string{
	"go-http-client", "python-requests", "python-urllib", "python-httpx", "aiohttp", "axios", "node-fetch", "undici",
	"okhttp", "java/", "apache-httpclient", "libwww-perl", "ruby",
}

func isCustomAgent(agent string) bool {
	agent = foldCase(agent)
	return agent != "" && !slices.ContainsFunc(defaultAgents, func(d string) bool { return strings.HasPrefix(agent, d) })
}

// maxBody is generous: a hundred search items with long names stay far below it.
const maxBody = 1 << 20

// serveBilled serves a billed request that has passed the gate.
func (x *exchange) serveBilled(d *operation) {
	body, prob := x.readBody()
	if prob != nil {
		x.fail(prob)
		return
	}
	x.ledger.recordBody(x.seq, body)
	order, prob := x.readOrder(d, body)
	if prob != nil {
		x.fail(prob)
		return
	}
	draw := mix(x.config.Seed, hashText(hashText(0, x.path), body))
	spec, attempt := x.faults.nextFault(draw)
	if spec != nil && spec.refuse != nil {
		x.ledger.recordFault(x.seq, spec.Name)
		spec.refuse(x, attempt)
		return
	}
	a := d.answer(x.Server, order, draw)
	sw := x.switches.forAnswer(draw)
	if prob := x.charge(a, sw); prob != nil {
		x.fail(prob)
		return
	}
	// From here on the customer has paid.
	x.ledger.recordSold(a)
	var q quirks
	if spec != nil {
		x.ledger.recordFault(x.seq, spec.Name)
		if spec.distort != nil {
			spec.distort(&q)
		}
	}
	text := d.encode(getBuffer(), a, sw, &q)
	defer putBuffer(text)
	if !x.sleep(drawLatency(x.config.Latency, draw)) {
		return
	}
	if spec != nil && spec.deliver != nil {
		spec.deliver(x, text, attempt)
		return
	}
	status := q.status
	if status == 0 && sw.Status == "201" {
		status = 201
	}
	x.send(max(status, 200), cmp.Or(q.contentType, jsonType), text, true)
}

// readOrder reads what a body orders, and refuses what cannot be sold.
func (x *exchange) readOrder(d *operation, body []byte) (*order, *problem) {
	o, prob := d.parse(x.Server, body, x.now)
	if prob != nil {
		return nil, prob
	}
	x.ledger.recordOrder(x.seq, len(o.lookups), o.billedTypes())
	if status := x.refusalStatus(o); status != 0 {
		return nil, refusals[status]
	}
	if x.ledger.isExhausted() {
		return nil, outOfCredits
	}
	if d.check != nil {
		return o, d.check(x.Server, o)
	}
	return o, nil
}

// charge books the price of an answer, unless there is nothing to pay for or the pool is too small.
func (x *exchange) charge(a *answer, sw *Switches) *problem {
	if a.unmatched && sw.NotFound == "404" {
		return &problem{status: 404, message: "No matches"}
	}
	paid := x.ledger.charge(x.seq, a.price)
	if a.onCharge != nil {
		a.onCharge(paid)
	}
	if !paid {
		return outOfCredits
	}
	return nil
}

// readBody reads the body of a request.
func (x *exchange) readBody() ([]byte, *problem) {
	kind, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	if foldCase(kind) != "application/json" {
		return nil, badRequest("Content-Type must be application/json")
	}
	body, err := io.ReadAll(http.MaxBytesReader(x.w, x.r.Body, maxBody))
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return nil, &problem{status: 413, message: "Payload Too Large", errors: []string{fmt.Sprintf("body must not exceed %d bytes", maxBody)}}
	case err != nil:
		x.hangUp() // the client left while sending its request
	}
	return body, nil
}

// refusalStatus returns the status that Config.Refuse has for the first listed identifier of an order,
// or 0.
func (s *Server) refusalStatus(o *order) int {
	if len(s.refuse) == 0 {
		return 0
	}
	for i := range o.lookups {
		for _, key := range o.lookups[i].keys {
			if status := s.refuse[key]; status != 0 {
				return status
			}
		}
	}
	return 0
}

// drawLatency spreads the typical time of an answer: half to one and a half times as long, and three
// times as long for one request in twenty.
func drawLatency(typical time.Duration, draw uint64) time.Duration {
	d := dice(mix(draw, 'l'))
	spread := 0.5 + d.float()
	if d.chance(0.05) {
		spread = 3
	}
	return time.Duration(float64(typical) * spread)
}

// Clock is what /_simulator/clock answers: it tells the simulator from the API.
type Clock struct {
	Simulator string    `json:"simulator"` // always "siglake"
	Now       time.Time `json:"now"`
}

// serveAdmin answers for the simulator itself.
func (s *Server) serveAdmin(w http.ResponseWriter, r *http.Request) {
	var answer any
	method := http.MethodGet
	switch r.URL.Path {
	case adminPath + "bill":
		answer = s.ledger.bill(r.URL.Query().Get("entries") != "0")
	case adminPath + "clock":
		answer = Clock{Simulator: "siglake", Now: s.now().UTC()}
	case adminPath + "deliveries":
		answer = s.Deliveries()
	case adminPath + "pending":
		answer = s.Pending()
	case adminPath + optOutPath:
		method = http.MethodPost
	default:
		http.NotFound(w, r)
		return
	}
	if r.Method != method {
		w.Header().Set("Allow", method)
		http.Error(w, "only "+method, http.StatusMethodNotAllowed)
		return
	}
	if method == http.MethodPost {
		if err := s.OptOut(r.URL.Query().Get("contact")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		return
	}
	w.Header().Set("Content-Type", "application/json")
	// A client that has disconnected does not need its answer.
	_ = json.NewEncoder(w).Encode(answer)
}
