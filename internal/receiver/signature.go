package receiver

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The headers of a delivery.
const (
	signatureHeader = "X-Lusha-Signature"
	stampHeader     = "X-Lusha-Timestamp"
)

// signatureOf reads the headers of a signature: the digest, and the timestamp as received. false: one of
// them is missing, is there twice, or is none.
func signatureOf(h http.Header) (digest []byte, stamp string, ok bool) {
	signatures, stamps := h.Values(signatureHeader), h.Values(stampHeader)
	if len(signatures) != 1 || len(stamps) != 1 || stamps[0] == "" || len(stamps[0]) > 64 {
		return nil, "", false
	}
	text := signatures[0]
	if prefix := "sha256="; len(text) > len(prefix) && strings.EqualFold(text[:len(prefix)], prefix) {
		text = text[len(prefix):]
	}
	digest, err := hex.DecodeString(text)
	return digest, stamps[0], err == nil && len(digest) == sha256.Size
}

// isSigned reports whether a digest is that of a timestamp and a body, or of the body without white space,
// with one of the secrets. Each secret is tried, whichever is right.
func isSigned(secrets []string, stamp string, body, digest []byte) bool {
	if isSignedExactly(secrets, stamp, body, digest) {
		return true
	}
	var compact bytes.Buffer
	if json.Compact(&compact, body) != nil || compact.Len() == len(body) {
		return false
	}
	return isSignedExactly(secrets, stamp, compact.Bytes(), digest)
}

func isSignedExactly(secrets []string, stamp string, body, digest []byte) (ok bool) {
	for _, s := range secrets {
		mac := hmac.New(sha256.New, []byte(s))
		mac.Write([]byte(stamp))
		mac.Write([]byte("."))
		mac.Write(body)
		ok = hmac.Equal(mac.Sum(nil), digest) || ok
	}
	return ok
}

// maxSeconds is the largest number that is taken for a timestamp in seconds; larger ones are milliseconds.
const maxSeconds = 100_000_000_000

// parseStamp reads Unix time, in seconds or milliseconds.
func parseStamp(text string) (time.Time, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0 || text[0] == '+':
		return time.Time{}, false
	case n > maxSeconds:
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}
