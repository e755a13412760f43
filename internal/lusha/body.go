package lusha

import (
	"bytes"
	"io"
)

// bodyReader reads one answer, without the key if the answer quotes it. What exceeds a piece is
// recorded before the next piece is read, so that an answer of any length takes little memory.
type bodyReader struct {
	limit      int64
	pieceBytes int
	spill      func(piece []byte) error // nil: the answer stays in memory
	extend     func()                   // postpones the time-out
	key        Key

	length int64 // of what was read; above the limit if there was more
}

// extendBytes is what an answer must bring within a time-out to get another one: a steady
// connection brings it, and one that drips does not.
const extendBytes = 1 << 20

// read returns what follows the recorded pieces. The error says why the answer ended early.
func (r *bodyReader) read(body io.Reader) (rest []byte, err error) {
	var buffer bytes.Buffer
	for err == nil && r.length <= r.limit {
		var n int64
		n, err = io.CopyN(&buffer, body, min(r.limit+1-r.length, extendBytes))
		if r.length += n; err == nil {
			r.extend()
		}
		if excess := r.length - r.limit; excess > 0 {
			buffer.Truncate(buffer.Len() - int(excess))
		}
		if r.spill != nil && buffer.Len() > r.pieceBytes {
			if spillErr := r.spillFrom(&buffer); spillErr != nil {
				return buffer.Bytes(), spillErr
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return r.withoutKey(buffer.Bytes()), err
}

// spillFrom records what was read. The buffer keeps an end in which the key may have begun.
func (r *bodyReader) spillFrom(buffer *bytes.Buffer) error {
	text := r.withoutKey(buffer.Bytes())
	end := len(text) - min(len(text), len(*r.key.text)-1)
	if err := r.spill(text[:end]); err != nil {
		return err
	}
	rest := bytes.Clone(text[end:])
	buffer.Reset()
	buffer.Write(rest)
	return nil
}

// withoutKey is a text in which the key is replaced: an answer that quotes it is stored without it.
func (r *bodyReader) withoutKey(text []byte) []byte {
	if bytes.Contains(text, []byte(*r.key.text)) {
		return []byte(r.key.redact(string(text)))
	}
	return text
}
