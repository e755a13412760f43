// Package signals asks the Lusha Signals API, so that no paid answer is lost
// and none is silently bought twice. It speaks both dialects of the API: V2,
// which knows signals only, and V3, which sells ids, scores, lookalikes and
// site visits beside them.
//
// The API charges per answer and has no sandbox, no idempotency key and no
// request id. So the one question about every attempt is what it means for the
// bill, and the package is a stack of [pipeline.Fetcher] decorators that each
// answer a part of it. From the wire outwards:
//
//	Client   one attempt: sends, reads, proves what never left
//	(a journal goes here: it sees raw answers, before anyone reads them)
//	Decode   raw answer -> outcome, charge, one fate per item
//	(a rate limiter goes here: it sees every attempt, and what it was refused for)
//	Retry    repeats what certainly was not charged; ends the run when it must
//	Bisect   splits a batch that is refused for something in it
//
// Client, its Options and its Usage are the only parts that touch the network.
// [NewRequest], [DecodeAnswer] and [Classify] are pure functions, so a journal
// of raw answers can be read again at any time, for free.
//
// # Dialects and services
//
// A question says what it is put in and what it is about; the bytes that leave
// and the answer that is expected follow from that alone.
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
// Ids are opaque: V3 has some that are digits and some that are tokens, and
// calls one entity by both. What an answer states for an entity beside the id
// that its entry bears, and the id that was asked by when it is another, is
// listed in Also. An entry under an id that nobody asked by still finds its item
// through those.
//
// A result that is found is a match, one that has a score is enriched. One that
// is refused with an error that is not documented as final is deferred, though
// its call was charged: it is asked again.
//
// # Filters
//
// V2 filters by kind of news, department and place, and its answers are taken as
// they come. Of V3 only the filter by intent category is documented, and others
// may be refused. They are sent when the question says so; else they are applied
// to the answer here. What they keep out was paid for and is told apart, in
// Beside. Letter case does not matter, and an event that cannot be judged stays.
//
// # Sessions
//
// The pages of lookalikes belong to a session, in which nothing is returned, and
// paid for, twice. Next says how to go on. A session can end in three ways: with
// a 410 in either of two shapes, which costs nothing and is told by Next.Gone;
// or without a word, when the answer names another session, which is noted on
// the item, since what comes may have been paid for before. An empty page is the
// last one, whatever it announces.
//
// # Outcomes
//
// Every attempt ends in one of three outcomes, and every item in one status:
//
//	what came back                               class        outcome      items      then
//	-----------------------------------------------------------------------------------------------
//	2xx, complete JSON with the expected root    ok           charged      as stated  done
//	2xx, an error document of the API            by its code  by its code
//	2xx, an error without a status of the API's  unknown      ambiguous    held       next batch
//	2xx, cut, empty, not JSON, another root      unknown      ambiguous    held       next batch
//	301 302 307 308                              redirect     not charged  deferred   stop: auth
//	300 303 304 305 306                          redirect     ambiguous    held       stop: auth
//	400 413 422 with a JSON envelope             bad_request  not charged  deferred   Bisect
//	412 with a JSON envelope                     name         not charged  deferred   Bisect
//	451 with a JSON envelope                     legal        not charged  deferred   Bisect
//	401 with a JSON envelope                     auth         not charged  deferred   stop: auth
//	402 with a JSON envelope                     credits      not charged  deferred   stop: credits
//	402 that speaks of the plan; 403             entitlement  not charged  deferred   stop: auth
//	403 that speaks of the key or the account    auth         not charged  deferred   stop: auth
//	404 of a gateway or a router                 route        not charged  deferred   stop: auth
//	404 with any other JSON envelope             not_found    not charged  not_found  done
//	405 406 415 with a JSON envelope             route        not charged  deferred   stop: auth
//	410 with a JSON envelope                     gone         not charged  deferred   stop: auth
//	410 to a page that goes on with a session    gone         not charged  deferred   done: Next.Gone
//	429, whatever the body                       rate_burst   not charged  deferred   back off, slow down
//	429 "hourly"                                 rate_hour    not charged  deferred   ask again
//	429 "daily"                                  rate_day     not charged  deferred   ask again
//	429 "trial"                                  trial        not charged  deferred   stop: auth
//	408 499 504, whatever the body               gave_up      ambiguous    held       next batch
//	another 4xx with a JSON envelope             unknown      not charged  deferred   next batch
//	4xx without one                              proxy        ambiguous    held       stop: auth
//	5xx with the API's own envelope              server       not charged  deferred   back off
//	5xx without it                               proxy        ambiguous    held       next batch
//	a refusal that states a charge               as above     ambiguous    held       next batch
//	no answer, no byte of the request left       unsent       not charged  deferred   back off
//	no answer, anything else                     lost         ambiguous    held       next batch
//
// An envelope is a JSON object that says something went wrong. The API's own
// one also states the status in its body; gateways in front of it write JSON,
// too, and write it when they stopped waiting for an API that went on working.
// For the same reason 408, 499 and 504 stay ambiguous in anybody's words.
//
// Whoever asks again after a 429 comes to the rate limiter first, which knows
// when that window turns: it lets the attempt wait, or ends the run.
//
// Ambiguous attempts are never repeated here. Five of them without an answer
// between them stop the run, as do five batches in a row that were given up
// after all their attempts.
//
// A document decides its completeness itself: when the connection breaks after
// the last brace, the answer is whole and counts.
//
// # The charge
//
// The server's number is the ledger. It is read without floating point, its
// name is matched exactly, and it is known only when every field that states
// it is a whole number, stands once, and agrees with the others. Everything
// else is unknown, which is not zero.
//
// Everything but the charge is read liberally: maps or lists, single objects,
// numbers for texts, nulls, unknown fields, types nobody asked for. What is
// not understood is kept, in Extra or as a stray.
//
// # What net/http does behind one's back
//
// The transport sends a request again on another connection when it can rewind
// the body, and POSTs when they carry an idempotency key: the body here cannot
// be rewound and there is no such key. An http.Client follows redirects and
// takes the key along: the transport is used directly. A body without length
// that is cut ends without an error: the document must be complete. HTTP/2
// ties many requests to one connection: it is off. Whether a byte left is
// known from the connection itself, which is sealed before that is believed.
package signals
