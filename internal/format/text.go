package format

import (
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Text is a text from outside (an answer of the API, a cell of a list, the name of a
// file) as one line that is safe on a terminal and in a log: control characters,
// line breaks included, and characters that are invisible or that reorder their line
// stand as in \u001b, bytes that are no UTF-8 as in \xff. Other texts stay as they are.
func Text(s string) string { return escape(s, "") }

// Lines is a text of siglake's own that has several lines. Fprintf keeps its line
// breaks and tabs, and escapes the rest like Text. Parts from outside must have passed
// through Text.
type Lines string

// Fprintf is fmt.Fprintf for people's eyes: texts, errors and everything else that is
// printed as text pass through Text first. Every printer uses it. The layout
// must be siglake's own.
func Fprintf(w io.Writer, layout string, args ...any) {
	for i := range args {
		args[i] = safe(args[i])
	}
	fmt.Fprintf(w, layout, args...)
}

// safe is an argument of a layout without anything that steers a terminal.
func safe(arg any) any {
	switch a := arg.(type) {
	case nil:
		return nil
	case Lines:
		return escape(string(a), "\n\t")
	case string:
		return Text(a)
	case error, fmt.Stringer:
		return Text(fmt.Sprint(a))
	}
	switch kind := reflect.TypeOf(arg).Kind(); {
	case kind <= reflect.Complex128: // numbers and truth values
		return arg
	}
	return Text(fmt.Sprint(arg))
}

// Writer carries output to a terminal, a log or a pipe. It escapes what could steer a
// terminal, wherever a text comes from: it is the last line of defence behind
// Fprintf, and the only one of JSON, SQL and logs. Line breaks and tabs pass. An
// escape is also one of JSON, so that a document means the same. It may be used
// concurrently.
type Writer struct {
	mu    sync.Mutex
	below io.Writer
	rest  []byte // the beginning of an incomplete character; the next Write brings its end
	err   error  // the first of a Write
}

// NewWriter guards a writer.
func NewWriter(below io.Writer) *Writer { return &Writer{below: below} }

// Below is the guarded writer: the way for sequences of siglake's own, such as those of a
// progress bar. A writer without a guard is its own.
func Below(w io.Writer) io.Writer {
	if guard, ok := w.(*Writer); ok {
		return guard.below
	}
	return w
}

func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(append(w.rest, p...))
	end := len(text)
	for i := end - 1; i >= 0 && i >= end-utf8.UTFMax; i-- {
		if utf8.RuneStart(text[i]) {
			if !utf8.FullRuneInString(text[i:]) {
				end = i
			}
			break
		}
	}
	w.rest = []byte(text[end:])
	if _, err := io.WriteString(w.below, escape(text[:end], "\n\t")); err != nil {
		if w.err == nil {
			w.err = err
		}
		return 0, w.err
	}
	return len(p), nil
}

// Err is the first error of a Write; nil: everything has been written. Printers rely on it, and do not check each Write.
func (w *Writer) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// escape replaces everything that is not plainly visible, apart from the characters
// of keep.
func escape(s, keep string) string {
	if isPlain(s, keep) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case !isHazard(r) || strings.ContainsRune(keep, r):
			b.WriteString(s[i : i+size])
		case r > 0xFFFF: // as JSON writes it
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xD800+(r-0x10000)>>10, 0xDC00+(r-0x10000)&0x3FF)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
		i += size
	}
	return b.String()
}

func isPlain(s, keep string) bool {
	if !utf8.ValidString(s) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return isHazard(r) && !strings.ContainsRune(keep, r) }) < 0
}

// isHazard reports whether a character steers a terminal or hides: controls (C0, DEL,
// C1), bidirectional and other format characters, and separators of lines. The two
// joiners stay: names of Persian and Indian scripts need them, and they reorder nothing.
func isHazard(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != nonJoiner && r != joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
