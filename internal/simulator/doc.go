// Package simulator is a fake of the Lusha Signals API in both its generations: an
// [http.Handler] with a population, a clock, quotas, faults and, above all, its own bill.
//
// The real service costs money and has no sandbox, so this package is the judge in every
// end-to-end test and the engine behind the demo. It shares no code with the client it judges
// and imports nothing from its module: what the two agree on, they agree on because both follow
// the public description of the API.
//
// # How a request travels
//
//	arrival ── ledger.open: every request gets a line on the bill, whatever becomes of it
//	   │
//	gate ───── route (404, 405), user agent (403), key (401), quotas (429)
//	   │
//	dialect ── the wire text becomes an order: whom, which signals, which window (400, 412)
//	   │
//	refuse ─── identifiers the account may not ask about (Config.Refuse), the batch as a whole;
//	   │       lookalike sessions that have ended (410)
//	   │
//	fault ──── at most one per request; a fault that is not billed ends the journey here
//	   │
//	world ──── the order becomes findings: a pure function of seed, order and clock
//	   │
//	ledger ─── the charge is booked (402). From here on the customer has paid
//	   │
//	dialect ── findings become wire text, bent by the switches and by the fault
//	   │
//	delivery ─ the text is written. Delivered is marked only when all of it was handed over
//
// World, ledger, rates and faults know nothing about wire formats. A dialect is a few lines in
// the route table, a parser and an encoder. V2 is in wire_v2.go; of V3, signals are in wire_v3.go
// and the other products in files named for them: search, score, lookalikes and visits. Both
// generations write events, values and the charge with one writer (write.go), so an event that
// both have is the same text in both.
//
// # What V3 adds
//
// Signals are asked for by id alone; search turns identifiers into ids, the ones the V2 search
// finds. Ids are digits, or by switch opaque tokens, which only the simulator can turn back;
// wherever V3 takes an id it takes either. Items that fail carry an error of their own.
//
// A lookalike session is the one thing that is stored. It remembers whom its answers have given
// and is brought up to date while the charge is booked, under one lock: it has given exactly what
// was billed in it, delivered or not. Sessions end some time after their last use
// (Config.SessionLife) and do not outlive the Server.
//
// Not served: search-and-enrich, decision makers and buying groups, tables, and whatever else
// spends credits on other things than signals and the way to them.
//
// # The world
//
// Everything is computed and, sessions aside, nothing is stored, so a million companies cost
// nothing. The entity id is the primary thing: whether an entity is known, how large it is, what
// happened to it and when are functions of (seed, id). An identifier leads to an id by hash:
//
//	domain        harborquill.example             -> id
//	company name  "Harbor Quill Ltd"              -> harborquill.example -> the same id
//	e-mail        ada.sample@harborquill.example  -> "adasample" at harborquill.example -> id
//	person        "Ada Sample" of Harbor Quill    -> the same id
//	profile URL   linkedin.com/in/ada-sample      -> an id of its own
//	company URL   linkedin.com/company/harbor-quill  -> as the name "harbor quill"
//
// A hash cannot be turned round. So an answer shows the domain or the name the caller asked
// with, and an answer by id shows an invented name and domain; ids, events, signalIds, dates and
// numbers agree between all of them, only the display name (also where news texts quote it)
// differs. Events of contacts name no person at all and agree letter by letter.
//
// Lookalikes and visitors, whom nobody named, are shown under identifiers that do lead to their
// ids.
//
// An event exists, or not, because of a draw over (seed, id, series, date), so windows that
// overlap return the same events. Weekly events fall on Mondays (news is found weekly, but an
// article bears the day it was printed), monthly ones on the first, and each becomes visible
// some days after its date, a few of them weeks after, as the real ones do. Nothing
// happened before 2018.
//
// # The money
//
// The charge is booked at the moment the real service would take it: after the answer is known
// and before a byte of it is written. Whether the answer arrives is another matter, and the bill
// keeps the two apart. A request is refused with 402, unbilled, when nothing is left in the pool
// or when its charge would exceed what is left: the pool never goes below zero and a refusal
// never costs anything, which keeps "credits on the bill = pool - remaining" exact.
//
// Events are on the bill under their signal. The other products of V3 are under the names search,
// signalScore, lookalikeContact, lookalikeCompany and websiteVisits; all but the last, whose price
// is nowhere given and taken to be one credit a row, cost what the account page says.
//
// # Faults come in pairs
//
// For most ways to fail there are two kinds: refused and not billed, and billed and not
// delivered. To the client several of them look alike, which is the point. [FaultKinds] lists
// them with what each does to the bill.
//
// # Where the evidence is thin
//
// The public description contradicts itself in places. Each open question is a switch
// ([SwitchNames]) whose first value is the most likely reading; chaos draws a fresh reading for
// every answer.
package simulator
