package lusha

import (
	"bytes"
	"io"
	"sync"
)

// bodyReader reads one answer, without the key if the answer quotes it. What exceeds a piece is
// recorded before the next piece is read, so that an answer of any length takes little memory.
type bodyReader struct {
	limit      int64
	pieceBytes int
	spill      func(piece []byte) error // nil: the answer stays in memory
	extend     func()                   // postpones the time-out
	key        Key
	// Buffers for answers of unknown length, and for long ones; nil: a new one for each.
	scratch *sync.Pool

	length int64 // of what was read; above the limit if there was more
}

const (
	// extendBytes is what an answer must bring within a time-out to get another one: a steady
	// connection brings it, and one that drips does not.
	extendBytes = 1 << 20
	// minBuffer is the length of a new buffer for an answer whose length is not known.
	minBuffer = 32 << 10
)

// read returns what follows the recorded pieces, in a buffer of about that length. announced is the
// length of the answer; negative: unknown. The error says why the answer ended early.
//
// An answer of a known length is read into its own buffer at once, any other one into a buffer that
// grows and that later answers use again.
func (r *bodyReader) read(body io.Reader, announced int64) (rest []byte, err error) {
	if announced >= 0 && announced <= min(int64(r.pieceBytes), r.limit) {
		rest, err = r.readInto(make([]byte, 0, announced+1), body) // one more byte, to meet the end
		return r.withoutKey(rest), err
	}
	scratch := new([]byte)
	if r.scratch != nil {
		if used, ok := r.scratch.Get().(*[]byte); ok {
			scratch = used
		}
		defer func() { r.scratch.Put(scratch) }()
	}
	buffer, err := r.readInto((*scratch)[:0], body)
	*scratch = buffer
	return bytes.Clone(r.withoutKey(buffer)), err
}

// readInto reads an answer into a buffer that grows as needed, and returns what follows the recorded
// pieces.
func (r *bodyReader) readInto(buffer []byte, body io.Reader) (_ []byte, err error) {
	untilExtension := int64(extendBytes)
	for err == nil && r.length <= r.limit {
		if len(buffer) == cap(buffer) {
			buffer = r.grow(buffer)
		}
		n, most := 0, min(int64(cap(buffer)-len(buffer)), r.limit+1-r.length, untilExtension)
		n, err = body.Read(buffer[len(buffer) : len(buffer)+int(most)])
		buffer = buffer[:len(buffer)+n]
		r.length += int64(n)
		if untilExtension -= int64(n); untilExtension == 0 && err == nil {
			r.extend()
			untilExtension = extendBytes
		}
		if r.length > r.limit {
			buffer = buffer[:len(buffer)-1]
		}
		if r.spill != nil && len(buffer) > r.pieceBytes {
			var spillErr error
			if buffer, spillErr = r.spillFrom(buffer); spillErr != nil {
				return buffer, spillErr
			}
		}
	}
	if err == io.EOF {
		err = nil
	}
	return buffer, err
}

// grow is a longer buffer with the same content. If pieces are recorded, it need not be much longer
// than one.
func (r *bodyReader) grow(buffer []byte) []byte {
	size := max(2*cap(buffer), minBuffer)
	if most := r.pieceBytes + minBuffer; r.spill != nil && most > cap(buffer) {
		size = min(size, most)
	}
	return append(make([]byte, 0, size), buffer...)
}

// spillFrom records what was read. The buffer keeps an end in which the key may have begun.
func (r *bodyReader) spillFrom(buffer []byte) ([]byte, error) {
	text := r.withoutKey(buffer)
	end := len(text) - min(len(text), len(*r.key.text)-1)
	if err := r.spill(text[:end]); err != nil {
		return buffer, err
	}
	return append(buffer[:0], text[end:]...), nil
}

// withoutKey is a text in which the key is replaced: an answer that quotes it is stored without it.
func (r *bodyReader) withoutKey(text []byte) []byte {
	if bytes.Contains(text, []byte(*r.key.text)) {
		return []byte(r.key.redact(string(text)))
	}
	return text
}
