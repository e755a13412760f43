// Package lusha speaks the wire format of the Lusha API, in both versions: V2,
// which sells signals only, and V3, which also sells ids, scores, lookalikes and
// site visits. It makes each HTTP attempt and decides what the answer means for the
// bill, so that no paid answer is lost and none is bought twice unnoticed.
//
// [Client] makes one attempt: it sends, reads, and proves which requests never
// left. [Decode] turns a raw answer into an outcome, a charge and one reply for
// each item. A journal belongs between the two, where it records raw answers
// before they are read. [Rules] explains refusals to the policies, which decide
// whether to repeat a call.
//
// The client, with its options and its usage, is the only part that touches the
// network. [NewRequest], [DecodeAnswer] and [Classify] are pure functions, so a
// journal of raw answers can be read again at any time, for free.
//
// # Versions and services
//
// A query names its version of the API and its service. The bytes of the request
// and the expected answer follow from these two.
//
//	               asked by                           answered under         one event is
//	------------------------------------------------------------------------------------------------
//	V2 signals     id, or else another identifier     id, or our reference   an event
//	V3 signals     id, of any form                    id                     an event
//	V3 search      one identifier of any kind         our reference          the preview found
//	V3 scores      id if there is one, else as above  our reference          the score
//	V3 lookalikes  5 to 100 seeds, page by page       -                      one result
//	V3 visits      domains, page by page              -                      one result
//
// Ids are opaque: V3 has ids that are digits and ids that are tokens, and uses
// both for the same entity. Aliases lists every id that an answer states for an
// entity in addition to the entry's own id, and the id of the request if it
// differs. Aliases also match an entry to its item when the entry bears an id
// that the request did not contain.
//
// A search result that is found is a match, one that has a score is enriched. A
// result with an error that is not documented as final is deferred although its
// call was charged: a later call asks for it again.
//
// # Filters
//
// V2 filters by kind of news, department and place, and its answers are taken as
// they are. V3 documents only the filter by intent category and may refuse the
// others. The client sends those only when the query says so; otherwise it
// filters the answer itself. Filtered holds the events that do not pass: they are
// paid for. Letter case does not matter, and an event that cannot be judged
// passes.
//
// # Sessions
//
// The pages of lookalikes belong to a session, in which no result is returned,
// and paid for, twice. Next says how to continue. A session can end with a 410 in
// either of two shapes, which costs nothing and sets Next.SessionExpired. It can
// also end silently, when the answer names another session: the item then bears a
// warning, since the results that follow may have been paid for before. An empty
// page is the last one, whatever it announces.
//
// # Outcomes
//
// Every attempt ends in one of three outcomes, and every item in one status. classify.go is the table
// below; rules.go gives each class the policy.Kind by which package policy decides.
//
//	response                                     class        outcome      items
//	------------------------------------------------------------------------------------
//	2xx, complete JSON with the expected root    ok           charged      as stated
//	2xx, an error document of the API            by its code  by its code
//	2xx, an error without a status of the API's  unknown      in doubt     in doubt
//	2xx, cut, empty, not JSON, another root      unknown      in doubt     in doubt
//	2xx, a wrong checksum of its compression     unknown      in doubt     in doubt
//	301 302 307 308                              redirect     not charged  deferred
//	300 303 304 305 306                          redirect     in doubt     in doubt
//	400 413 422 with a JSON envelope             bad_request  not charged  deferred
//	412 with a JSON envelope                     name         not charged  deferred
//	451 with a JSON envelope                     legal        not charged  deferred
//	401 with a JSON envelope                     auth         not charged  deferred
//	402 with a JSON envelope                     credits      not charged  deferred
//	402 that mentions the plan; 403              entitlement  not charged  deferred
//	403 that mentions the key or the account     auth         not charged  deferred
//	404 of a gateway or a router                 route        not charged  deferred
//	404 with any other JSON envelope             not_found    not charged  not_found
//	405 406 415 with a JSON envelope             route        not charged  deferred
//	410 with a JSON envelope                     gone         not charged  deferred
//	429, whatever the body                       rate_burst   not charged  deferred
//	429 "hourly"                                 rate_hour    not charged  deferred
//	429 "daily"                                  rate_day     not charged  deferred
//	429 "trial"                                  trial        not charged  deferred
//	408 499 504, whatever the body               gave_up      in doubt     in doubt
//	another 4xx with a JSON envelope             unknown      not charged  deferred
//	4xx without one                              proxy        in doubt     in doubt
//	5xx with the API's own envelope              server       not charged  deferred
//	5xx without it                               proxy        in doubt     in doubt
//	a refusal that states a charge               as above     in doubt     in doubt
//	no answer, no byte of the request left       unsent       not charged  deferred
//	no answer, anything else                     lost         in doubt     in doubt
//
// An envelope is a JSON object that reports an error. The API's own envelope also
// states the status in its body. Gateways in front of the API write JSON as well,
// also after they stopped waiting for an API that continued to work. For the same
// reason 408, 499 and 504 stay in doubt even in the API's own envelope.
//
// A document decides its own completeness: when the connection breaks after the
// last brace, the answer is complete and counts. A defect within a text does not make
// it incomplete: bytes that are not UTF-8, control characters, bad escapes and halves of
// surrogate pairs are repaired, and concern the record in which they stand (see
// [jsonscan.Repair]). Of a body that does not match its own checksum, however, nothing
// counts.
//
// # The charge
//
// The charge is the server's own number. It is read without floating point, its
// name must match exactly, and it is known only if every field that states it is
// a whole number, occurs once, and agrees with the others. Otherwise the charge
// is unknown, which is not zero.
//
// Everything but the charge is read liberally: maps or lists, lists in lists, single
// objects, texts that hold JSON, numbers for texts, nulls, unknown fields, signal types that the query does not
// name. The decoder keeps what it does not understand, among the unknown fields
// or as an unmatched entry.
//
// The sentences with which the decoder notes an oddity are columns of a lake's rows, and
// siglake verify derives these rows again: a sentence keeps its wording while lakes
// have it, or the version of the tables changes with it.
//
// # What net/http does silently
//
// The transport resends a request on another connection when it can rewind the
// body, and a POST when it carries an idempotency key: the body of this client
// cannot be rewound and there is no such key. An http.Client follows redirects
// and sends the key to the new address: the client uses the transport directly. A
// body of unknown length that is cut ends without an error: the document must be
// complete. HTTP/2 ties many requests to one connection: it is off. Whether a
// byte left is known from the connection itself, which is closed to writes before
// the client relies on that.
package lusha
