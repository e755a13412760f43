// Package simulator simulates the Lusha Signals API in both its versions: an [http.Handler] with
// a population, a clock, quotas, faults and, above all, its own bill.
//
// The real service costs money and has no sandbox. This package is therefore the judge in every
// end-to-end test and the engine behind the demo. It shares no code with the client it judges and
// imports nothing from its module: the two agree only because both follow the public description
// of the API.
//
// # How a request travels
//
//	arrival ──── every request gets an entry in the ledger, whatever its outcome
//	   │
//	gate ─────── route (404, 405), user agent (403), key (401), quotas (429)
//	   │
//	parsing ──── the request body becomes an order: entities, signals, window (400, 412)
//	   │
//	refusal ──── identifiers that the account may not look up (Config.Refuse) reject the whole
//	   │         batch; lookalike sessions that have ended (410)
//	   │
//	fault ────── at most one per request; a fault that is not billed ends the request here
//	   │
//	world ────── the order becomes findings: a pure function of seed, order and clock
//	   │
//	ledger ───── the charge is booked (402). From here on the customer has paid
//	   │
//	encoding ─── findings become a response body, shaped by the switches and by the fault
//	   │
//	delivery ─── the body is written. The ledger marks it delivered only when all of it was written
//
// World, ledger, rate limiter and faults know nothing about wire formats. A billed operation is a
// few lines in the route table, a parser and an encoder. V2 is in wire_v2.go. Of V3, signals are
// in wire_v3.go and the other products in files named after them: search, score, lookalikes and
// visits. Both versions write events, values and the charge with one writer (write.go), so an
// event that both have is the same text in both.
//
// # What V3 adds
//
// V3 takes ids only when signals are requested. Search turns identifiers into ids, the same ids
// that the V2 search finds. Ids are digits or, by switch, opaque tokens that only the simulator
// can decode; V3 accepts either form wherever it takes an id. Items that fail carry an error of
// their own.
//
// Lookalike sessions are stored state. A session remembers the entities it has returned.
// It is updated while the charge is booked, under one lock: it has returned exactly what was
// billed in it, delivered or not. Sessions expire some time after their last use
// (Config.SessionLife) and do not outlive the Server.
//
// Not served: search-and-enrich, decision makers and buying groups, tables, and everything else
// that spends credits on other things than signals and the way to them.
//
// # Webhooks
//
// Webhooks turn the direction round: the account subscribes to entities, and the simulator sends each
// event to the customer's URL once, when it becomes visible. Subscriptions, the signing secret and the
// audit log are managed over HTTP (webhooks_routes.go), with a quota of their own. [Webhooks.Deliver] sends
// what is due at the present time of Config.Now and returns, so that a test moves the clock and delivers;
// [Webhooks.Push] does so while the clock runs.
//
//	schedule ─── the world says which events of a subscription become visible on a day
//	   │
//	charge ───── before the first attempt, in the sums of the bill; a delivery has no entry there
//	   │
//	attempt ──── the same body each time, signed with the secret of the moment; 10 s to answer
//	   │
//	retry ────── after 1, 2 and 4 s; an acknowledged delivery ends here
//	   │
//	block ────── a lost delivery switches its subscription off, and its charge is taken back
//
// [Webhooks.Deliveries] is the simulator's own account of every delivery: acknowledged, lost, never sent.
// The event in a delivery is that of an answer to a request by id, with the two deviations that the
// description has. No member distinguishes a test delivery: its charge is 0, and that of mode
// direct has no id.
//
// # The world
//
// Everything is computed and, sessions, webhooks and the names of requested companies aside, nothing is
// stored, so a million companies cost next to nothing. The entity id is primary: whether the service knows an entity, how large it is, what
// happened to it and when are functions of (seed, id). A hash maps an identifier to an id:
//
//	domain        harborquill.example             -> id
//	company name  "Harbor Quill Ltd"              -> harborquill.example -> the same id
//	e-mail        ada.sample@harborquill.example  -> "adasample" at harborquill.example -> id
//	person        "Ada Sample" of Harbor Quill    -> the same id
//	profile URL   linkedin.com/in/ada-sample      -> an id of its own
//	company URL   linkedin.com/company/harbor-quill  -> as the name "harbor quill"
//
// A hash cannot be inverted. An answer therefore shows the domain or the name that the caller
// asked with, and an answer by id shows an invented name and domain. Ids, events, signalIds,
// dates and numbers agree between all of them; only the display name differs, also where news
// texts quote it. Events of contacts name no person and agree letter by letter.
//
// Lookalikes and visitors are not named by the caller. They are shown under identifiers that do
// lead to their ids.
//
// A draw over (seed, id, series, date) decides whether an event exists, so overlapping windows
// return the same events. Weekly events fall on Mondays (news is drawn weekly, but an article
// bears its publication date), monthly ones on the first. Each event becomes visible some days
// after its date, a few of them weeks after, as the real ones do. Nothing happened before 2018.
//
// # The money
//
// The charge is booked at the moment the real service would take it: when the answer is known and
// before its first byte is written. Whether the answer arrives is a separate question, and the
// bill keeps the two apart. A request is refused with 402, unbilled, when the pool is empty or
// when the charge would exceed what is left. The pool never goes below zero and a refusal never
// costs anything, which keeps "credits on the bill = pool - remaining" exact.
//
// A delivery to a webhook states its charge, so the charge is booked before the first attempt. It stays
// if an attempt is acknowledged. Whether a lost delivery costs something is an open question.
//
// Events are on the bill under their signal. The other products of V3 are under the names search,
// signalScore, lookalikeContact, lookalikeCompany and websiteVisits. All but the last cost what
// the account page says; the price of a visit is documented nowhere and assumed to be one credit
// a row.
//
// # Faults come in pairs
//
// Most ways to fail exist in two kinds: refused and not billed, and billed and not delivered.
// Several of them look alike to the client, which is the point. [FaultKinds] lists them with what
// each does to the bill.
//
// # Where the evidence is thin
//
// The public description contradicts itself in places. Each open question is a switch
// ([SwitchDocs]) that defaults to the most likely reading; chaos draws a fresh reading for every
// answer.
package simulator
