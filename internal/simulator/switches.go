package simulator

import (
	"fmt"
	"slices"
	"strings"
)

// Switches answer the questions that the public description leaves open. The zero value takes the
// most likely reading of each. "" always means the first of the values that [SwitchDocs] lists
// for the field; [New] refuses a value that is not listed.
type Switches struct {
	ChargeField string // name of the charge in the answer
	// What one credit buys, and whether an empty answer costs something.
	Billing string
	Status  string // status of a successful POST
	// How an answer represents an entity that the service does not know.
	NotFound string
	// How an answer represents a type without events.
	Empty string
	// How an answer represents a list with one event.
	Single        string
	IDs           string // JSON type of ids in answers
	Departments   string // form of currentDepartments
	V3Events      string // field names of events in V3
	DecreaseSign  string // sign of changeRatePercent on a decrease
	EventTypeCase string // letter case of eventType
	NewsDates     string // dates that a news event carries
	DefaultWindow string // window when startDate is missing
	// Whether startDate and today belong to the window.
	WindowEdges string
	MissingCap  string // cap when maxResultsPerSignal is missing
	Order       string // order of events within a type
	CapKeeps    string // which events maxResultsPerSignal keeps
	// Sub-filters that V3 documents for another interface.
	V3Filters  string
	Announced  string // signal keys that only the help centre names
	AllSignals string // effect of allSignals next to other keys
	RateScope  string // whether keys share their quota
	Windows    string // when a quota window begins
	RetryAfter string // whether a 429 has a Retry-After header
	PlanGating string // status of a feature outside the plan
	// Answer to a lookalike session that has ended.
	SessionExpiry string
	Pagination    string // names in the pagination of website visits
	V3IDs         string // how V3 writes ids
	V3WWW         string // how V3 writes domains
	// Whether "Authorization: Bearer <key>" can replace api_key.
	Bearer     string
	Duplicates string // effect of one reference twice in a request
	Over100    string // effect of more than 100 items in a request
	ScorePrice string // price of a scored row
	// Whether there are entities that V3 search may not show.
	Restricted string
	Events     string // how many events an entity has
	// Whether the older version of the API still exists.
	V2 string

	Challenge         string // whether a webhook proves that it is the customer's
	TimestampUnit     string // of the timestamp header of deliveries
	RetryTimestamp    string // timestamp header of a delivery that is sent again
	RetryIntervals    string // time between the attempts of a delivery
	Acknowledgement   string // what acknowledges a delivery
	WebhookPagination string // names in the pagination of subscriptions and deliveries
	Secret            string // whether the signing secret can be read again
	DeliveryBilling   string // which deliveries are charged
	DeliveryNames     string // names of two members of a delivery
	Delivery          string // what happens to deliveries on their way
	// Whether every answer draws a fresh reading of the harmless questions.
	Chaos string
}

// SwitchDoc describes one switch.
type SwitchDoc struct {
	Name string `json:"name"`
	// Row in the register of open questions; 0 for the simulator's own.
	Row int    `json:"row"`
	Doc string `json:"doc"`
	// The first value is the default; the second is the meaning of the bare name.
	Values []string `json:"values"`
}

type switchDef struct {
	SwitchDoc
	field func(*Switches) *string
	// The switch affects only the form of an answer, so chaos may draw it per answer.
	chaotic bool
}

var switchTable = []switchDef{
	{SwitchDoc{"charge-field", 1, "name of the charge in an answer; documented: creditCharged in V2, billing.creditsCharged in V3, creditsCharged on the older lookalike paths",
		[]string{"documented", "creditCharged", "creditsCharged", "billing"}},
		func(s *Switches) *string { return &s.ChargeField }, true},
	{SwitchDoc{"billing", 2, "a credit buys an event or all events of one type of one entity; min1: an empty answer costs one; requested: each type of each entity in a request costs one, with events or without",
		[]string{"per_event", "per_type", "min1", "per_type_min1", "requested"}},
		func(s *Switches) *string { return &s.Billing }, false},
	{SwitchDoc{"status", 4, "status of a successful POST", []string{"200", "201"}},
		func(s *Switches) *string { return &s.Status }, true},
	{SwitchDoc{"not-found", 5, "an unknown entity is absent, carries an error, or turns a wholly unmatched batch into 404",
		[]string{"absent", "error", "404"}},
		func(s *Switches) *string { return &s.NotFound }, true},
	{SwitchDoc{"empty", 6, "a type without events is an empty list, absent or null", []string{"list", "absent", "null"}},
		func(s *Switches) *string { return &s.Empty }, true},
	{SwitchDoc{"single", 7, "a lone event is a list of one, or an object (for contacts, or for all)", []string{"list", "object", "object-all"}},
		func(s *Switches) *string { return &s.Single }, true},
	{SwitchDoc{"ids", 8, "ids in answers as documented per field, all text or all numbers", []string{"documented", "text", "number"}},
		func(s *Switches) *string { return &s.IDs }, true},
	{SwitchDoc{"departments", 9, "currentDepartments as text, list of texts or list of objects", []string{"text", "list", "objects"}},
		func(s *Switches) *string { return &s.Departments }, true},
	{SwitchDoc{"v3-events", 10, "field names of contact events in V3: those of its sample and those of V2, or one kind alone",
		[]string{"union", "sample", "v2"}},
		func(s *Switches) *string { return &s.V3Events }, true},
	{SwitchDoc{"decrease-sign", 11, "sign of changeRatePercent on decreases", []string{"negative", "positive"}},
		func(s *Switches) *string { return &s.DecreaseSign }, true},
	{SwitchDoc{"event-type-case", 12, "eventType in title case with a tenth in lower case, all title, or all lower",
		[]string{"mixed", "title", "lower"}},
		func(s *Switches) *string { return &s.EventTypeCase }, true},
	{SwitchDoc{"news-dates", 13, "news carries both dates (a fifth lack the effective one), or one of them",
		[]string{"both", "publication", "effective"}},
		func(s *Switches) *string { return &s.NewsDates }, true},
	{SwitchDoc{"default-window", 14, "where the window begins without startDate", []string{"six-months", "three-months"}},
		func(s *Switches) *string { return &s.DefaultWindow }, false},
	{SwitchDoc{"window-edges", 15, "whether startDate itself and today belong to the window", []string{"inclusive", "exclusive"}},
		func(s *Switches) *string { return &s.WindowEdges }, false},
	{SwitchDoc{"missing-cap", 16, "events per type and entity without maxResultsPerSignal", []string{"none", "10"}},
		func(s *Switches) *string { return &s.MissingCap }, false},
	{SwitchDoc{"order", 17, "order of events within a type", []string{"newest", "oldest", "mixed"}},
		func(s *Switches) *string { return &s.Order }, true},
	{SwitchDoc{"cap-keeps", 18, "which events a cap keeps", []string{"newest", "oldest"}},
		func(s *Switches) *string { return &s.CapKeeps }, false},
	{SwitchDoc{"v3-filters", 19, "the sub-filters of V2 in a V3 request are an unknown key, or applied as in V2", []string{"refuse", "lenient"}},
		func(s *Switches) *string { return &s.V3Filters }, false},
	{SwitchDoc{"announced", 20, "keys that only the help centre names are refused, or served and listed", []string{"refuse", "serve"}},
		func(s *Switches) *string { return &s.Announced }, false},
	{SwitchDoc{"all-signals", 21, "allSignals next to other keys is their union, or a 400", []string{"union", "refuse"}},
		func(s *Switches) *string { return &s.AllSignals }, false},
	{SwitchDoc{"rate-scope", 22, "quotas are shared by the account, or each key has its own", []string{"account", "key"}},
		func(s *Switches) *string { return &s.RateScope }, false},
	{SwitchDoc{"windows", 23, "quota windows are the minutes, hours and days of UTC, or begin with the first request",
		[]string{"aligned", "first-request"}},
		func(s *Switches) *string { return &s.Windows }, false},
	{SwitchDoc{"retry-after", 24, "Retry-After on 429", []string{"absent", "present"}},
		func(s *Switches) *string { return &s.RetryAfter }, false},
	{SwitchDoc{"plan-gating", 25, "status of the 403-plan fault", []string{"403", "402"}},
		func(s *Switches) *string { return &s.PlanGating }, false},
	{SwitchDoc{"session-expiry", 26, "a lookalike session that has ended is a 410 with a code, a 410 in the usual envelope, or silently a new one",
		[]string{"code", "envelope", "restart"}},
		func(s *Switches) *string { return &s.SessionExpiry }, false},
	{SwitchDoc{"pagination", 32, "the pagination of website visits names page and size, or limit and offset, or is absent",
		[]string{"page-size", "limit-offset", "absent"}},
		func(s *Switches) *string { return &s.Pagination }, true},
	{SwitchDoc{"bearer", 33, "a bearer token in place of api_key", []string{"refuse", "accept"}},
		func(s *Switches) *string { return &s.Bearer }, false},
	{SwitchDoc{"v3-ids", 34, "V3 writes ids in digits, or as opaque tokens; it accepts both", []string{"numeric", "tokens"}},
		func(s *Switches) *string { return &s.V3IDs }, false},
	{SwitchDoc{"v3-www", 36, "half of the domains in V3 begin with www., or none, or all", []string{"half", "never", "always"}},
		func(s *Switches) *string { return &s.V3WWW }, true},
	{SwitchDoc{"duplicates", 37, "one reference twice in a request is a 400, or the last one wins", []string{"refuse", "last-wins"}},
		func(s *Switches) *string { return &s.Duplicates }, false},
	{SwitchDoc{"over-100", 38, "more than 100 items are a 400, or all after the hundredth are ignored", []string{"refuse", "first-100"}},
		func(s *Switches) *string { return &s.Over100 }, false},
	{SwitchDoc{"score-price", 0, "a scored row costs what the price list says, or is not on the list and free", []string{"priced", "unpriced"}},
		func(s *Switches) *string { return &s.ScorePrice }, false},
	{SwitchDoc{"restricted", 0, "one in 200 entities is COMPLIANCE_RESTRICTED in V3 search", []string{"none", "some"}},
		func(s *Switches) *string { return &s.Restricted }, false},
	{SwitchDoc{"events", 0, "events are drawn at random; or every known entity has as many events of every type as maxResultsPerSignal lets through, " +
		"100 without it, so that an answer costs the most it can; in V3 every entity is found and scored and every page is full",
		[]string{"drawn", "most"}},
		func(s *Switches) *string { return &s.Events }, false},
	{SwitchDoc{"v2", 0, "the signals of the older generation are served, or have ended: their paths have no route", []string{"served", "ended"}},
		func(s *Switches) *string { return &s.V2 }, false},
	{SwitchDoc{"challenge", 27, "a URL is asked for a challenge before it gets deliveries", []string{"on", "off"}},
		func(s *Switches) *string { return &s.Challenge }, false},
	{SwitchDoc{"timestamp-unit", 28, "unit of the timestamp header of deliveries", []string{"seconds", "milliseconds"}},
		func(s *Switches) *string { return &s.TimestampUnit }, false},
	{SwitchDoc{"retry-timestamp", 29, "timestamp header of a delivery that is sent again: of this attempt, or of the first one", []string{"fresh", "original"}},
		func(s *Switches) *string { return &s.RetryTimestamp }, false},
	{SwitchDoc{"retry-intervals", 30, "a failed delivery is sent again after 1, 2 and 4 seconds, minutes or hours", []string{"seconds", "minutes", "hours"}},
		func(s *Switches) *string { return &s.RetryIntervals }, false},
	{SwitchDoc{"acknowledgement", 31, "a delivery is acknowledged by any 2xx, or only by one with the documented body", []string{"lenient", "strict"}},
		func(s *Switches) *string { return &s.Acknowledgement }, false},
	{SwitchDoc{"webhook-pagination", 32, "the pagination of subscriptions and of the audit log names limit and offset, or page and size", []string{"limit-offset", "page-size"}},
		func(s *Switches) *string { return &s.WebhookPagination }, false},
	{SwitchDoc{"secret", 35, "the signing secret can be read again, or is shown only when it is made", []string{"readable", "once"}},
		func(s *Switches) *string { return &s.Secret }, false},
	{SwitchDoc{"delivery-billing", 0, "a delivery is charged if it was acknowledged, or if it was sent", []string{"acknowledged", "sent"}},
		func(s *Switches) *string { return &s.DeliveryBilling }, false},
	{SwitchDoc{"delivery-names", 0, "a delivery has type and subscriptionId, signal_type and subscription_id, or signalType and subscriptionId",
		[]string{"documented", "snake", "camel"}},
		func(s *Switches) *string { return &s.DeliveryNames }, false},
	{SwitchDoc{"delivery", 0, "deliveries arrive as they should; twice; twice because the first acknowledgement is lost; up to an hour late and out of order; with a timestamp of ten minutes before; " +
		"indented by a proxy; or decoded and encoded by a proxy, so that the signature does not fit",
		[]string{"plain", "twice", "lost-answer", "reordered", "old-stamp", "re-indented", "re-encoded"}},
		func(s *Switches) *string { return &s.Delivery }, false},
	{SwitchDoc{"chaos", 0, "draw the harmless switches anew for every answer, from seed and request", []string{"off", "on"}},
		func(s *Switches) *string { return &s.Chaos }, false},
}

// SwitchDocs lists every switch with its values, for help texts and for tests that must cover
// each.
func SwitchDocs() []SwitchDoc {
	docs := make([]SwitchDoc, len(switchTable))
	for i, def := range switchTable {
		docs[i] = def.SwitchDoc
		docs[i].Values = slices.Clone(def.Values)
	}
	return docs
}

// ParseSwitches reads settings such as "billing=per_type". A bare name stands for its second
// value, so "announced" is "announced=serve".
func ParseSwitches(settings []string) (Switches, error) {
	var s Switches
	for _, setting := range settings {
		name, value, hasValue := strings.Cut(strings.TrimSpace(setting), "=")
		at := slices.IndexFunc(switchTable, func(d switchDef) bool { return d.Name == name })
		if at < 0 {
			names := make([]string, len(switchTable))
			for i, d := range switchTable {
				names[i] = d.Name
			}
			return Switches{}, fmt.Errorf("simulator: unknown switch %q; expected one of %s", name, strings.Join(names, ", "))
		}
		def := switchTable[at]
		if !hasValue {
			value = def.Values[1]
		}
		if err := def.validate(value); err != nil {
			return Switches{}, err
		}
		field := def.field(&s)
		if *field != "" && *field != value {
			return Switches{}, fmt.Errorf("simulator: switch %s is set twice, to %s and to %s", name, *field, value)
		}
		*field = value
	}
	return s, nil
}

func (d switchDef) validate(value string) error {
	if slices.Contains(d.Values, value) {
		return nil
	}
	return fmt.Errorf("simulator: switch %s is %q; it can be %s", d.Name, value, strings.Join(d.Values, ", "))
}

// withDefaults returns the switches with every default spelled out.
func (s Switches) withDefaults() (Switches, error) {
	for _, def := range switchTable {
		field := def.field(&s)
		if *field == "" {
			*field = def.Values[0]
		}
		if err := def.validate(*field); err != nil {
			return s, err
		}
	}
	return s, nil
}

// forAnswer returns the readings that apply to one answer.
func (s *Switches) forAnswer(draw uint64) *Switches {
	if s.Chaos != "on" {
		return s
	}
	d := dice(draw)
	drawn := *s
	for _, def := range switchTable {
		if def.chaotic {
			*def.field(&drawn) = pick(&d, def.Values)
		}
	}
	return &drawn
}
