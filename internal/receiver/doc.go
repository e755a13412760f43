// Package receiver is the HTTP handler that webhooks are delivered to. It knows secrets, a clock and where
// a delivery is kept, and nothing of lakes.
//
// # Order of the checks
//
// A request must have both headers of a signature before a byte of its body is read. Then the body is
// read once, up to a limit, and the signature is verified over the bytes as received. Only what has a
// right signature is parsed, so that a stranger reaches no parser but that of HTTP. The age is looked at
// last: an old delivery with a right signature says that a clock is wrong, or that the vendor repeats
// with the old timestamp, and the owner of the lake should know it.
//
// # Acknowledgement
//
// A delivery is acknowledged when it is durable. The vendor repeats what is not acknowledged within 10
// seconds, at no charge, and blocks the subscription after three failures: so an answer that says no is
// better than none, and siglake gives one after 9 seconds at the latest. When too many deliveries wait,
// the next one is refused at once.
//
// # Signature
//
// It is the HMAC-SHA256 of the timestamp header, a full stop and the body, in hexadecimal, with the whole
// text of the secret as the key. The vendor signs the compact text. A proxy may have re-indented it, so a
// signature that is not that of the bytes is compared with that of the bytes without white space. Nothing is
// decoded and encoded again for it: that would change escapes and order, and so the signature.
package receiver
