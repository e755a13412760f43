package sinks

import (
	"bytes"
	"unicode/utf8"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding"
)

// maxBound is the length in bytes of the longest minimum or maximum of a text column in a
// footer. Ids, keys and domains fit. The library shortens the bounds of the page index
// only, and only after it has collected them whole: one text of 20 MiB would take 80 MiB of
// memory and 40 MiB of the footer, which every reader of the file loads first.
const maxBound = 64

// boundedText is a text type the pages of which state short bounds. All bounds that the
// writer collects come from its pages: those of the page index and those of the column
// chunks.
type boundedText struct{ parquet.Type }

// NewColumnBuffer makes a buffer of which the page has short bounds.
func (t boundedText) NewColumnBuffer(columnIndex, numValues int) parquet.ColumnBuffer {
	return boundedBuffer{t.Type.NewColumnBuffer(columnIndex, numValues)}
}

// NewDictionary makes a dictionary. Its type makes the buffers of its column.
func (t boundedText) NewDictionary(columnIndex, numValues int, data encoding.Values) parquet.Dictionary {
	return boundedDictionary{t.Type.NewDictionary(columnIndex, numValues, data)}
}

type boundedDictionary struct{ parquet.Dictionary }

// Type is the type of the indexes into the dictionary.
func (d boundedDictionary) Type() parquet.Type { return boundedText{d.Dictionary.Type()} }

type boundedBuffer struct{ parquet.ColumnBuffer }

// Page is what the buffer holds, with short bounds.
func (b boundedBuffer) Page() parquet.Page { return boundedPage{b.ColumnBuffer.Page()} }

type boundedPage struct{ parquet.Page }

// Bounds are no longer than maxBound, and no value lies outside of them.
func (p boundedPage) Bounds() (low, high parquet.Value, ok bool) {
	if low, high, ok = p.Page.Bounds(); !ok {
		return low, high, false
	}
	if s := low.ByteArray(); len(s) > maxBound {
		low = parquet.ByteArrayValue(cutText(s, maxBound))
	}
	if s := high.ByteArray(); len(s) > maxBound {
		high = parquet.ByteArrayValue(upperBound(s, maxBound))
	}
	return low, high, true
}

// cutText is the longest prefix of a text that has at most limit bytes and ends between
// characters.
func cutText(s []byte, limit int) []byte {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// upperBound is a text of at most limit bytes that sorts after s, which is longer. It is
// valid UTF-8 if any such text is.
func upperBound(s []byte, limit int) []byte {
	for prefix := cutText(s, limit); len(prefix) > 0; {
		r, size := utf8.DecodeLastRune(prefix)
		prefix = prefix[:len(prefix)-size]
		next := r + 1
		if next == 0xD800 {
			next = 0xE000 // surrogates are no characters
		}
		// The next character may take a byte more than the one that it replaces.
		isRune := r != utf8.RuneError || size > 1
		if isRune && next <= utf8.MaxRune && len(prefix)+utf8.RuneLen(next) <= limit {
			return utf8.AppendRune(bytes.Clone(prefix), next)
		}
	}
	if last := bytes.Repeat([]byte{0xFF}, limit); bytes.Compare(s, last) < 0 {
		return last // sorts after all UTF-8
	}
	return s
}
