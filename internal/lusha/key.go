package lusha

import (
	"fmt"
	"log/slog"
	"strings"
)

const redactedText = "[redacted]"

// Key is the API key. Printing, logging or encoding it writes "[redacted]". The
// text lies behind a pointer, so that even a struct that holds a Key in an
// unexported field does not print it.
type Key struct{ text *string }

// NewKey takes the key as the account's owner wrote it; surrounding blanks are
// dropped.
func NewKey(text string) Key {
	text = strings.TrimSpace(text)
	return Key{text: &text}
}

// IsEmpty reports whether there is no key.
func (k Key) IsEmpty() bool { return k.text == nil || *k.text == "" }

// String hides the key.
func (k Key) String() string { return redactedText }

// GoString hides the key.
func (k Key) GoString() string { return redactedText }

// Format hides the key from every verb, also from those that do not fit.
func (k Key) Format(s fmt.State, _ rune) { fmt.Fprint(s, redactedText) }

// LogValue hides the key.
func (k Key) LogValue() slog.Value { return slog.StringValue(redactedText) }

// MarshalText hides the key, also as JSON.
func (k Key) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// validate says whether the key can stand in a header, without showing it.
func (k Key) validate() error {
	if k.IsEmpty() {
		return fmt.Errorf("no API key")
	}
	for i, r := range *k.text {
		if r <= ' ' || r > '~' {
			return fmt.Errorf("the API key holds a character at position %d that cannot be sent", i+1)
		}
	}
	return nil
}

// redact removes the key from a text that others wrote: an answer that quotes
// it, an error of the transport. Very short keys are test keys and stay, since
// they would match by accident.
func (k Key) redact(text string) string {
	if k.text == nil || len(*k.text) < 8 || !strings.Contains(text, *k.text) {
		return text
	}
	return strings.ReplaceAll(text, *k.text, redactedText)
}
