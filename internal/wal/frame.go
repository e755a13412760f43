package wal

import (
	"encoding/binary"
	"hash/crc32"
	"io"
)

// A frame is a record as it lies in a segment: a header of 32 bytes, the head,
// the body, and zeros up to a multiple of eight. All numbers are little endian.
//
//	 0  u32  CRC32C of bytes 4 to 32, of the segment's id and of the frame's offset
//	 4  u32  length of the head
//	 8  u32  length of the body
//	12  u32  CRC32C of the head
//	16  u32  CRC32C of the body
//	20  u8   kind; its highest bit says that the body was removed, see Log.Prune
//	21       three zeros
//	24  u64  durable: what was known to be durable of this segment
//
// The header has a checksum of its own, which covers the other two, so a length that
// can be read can be trusted. The whole frame is whitened; see whiten.
type frame struct {
	kind             byte
	headLen, bodyLen int64 // lengths
	headSum          uint32
	bodySum          uint32
	durable          int64
	pruned           bool // the body was removed
}

const (
	frameHeaderSize = 32
	maxFrame        = 256 << 20 // longer ones are neither written nor believed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// frameSize is the number of bytes that a record takes in a segment.
func frameSize(head, body int64) int64 { return (frameHeaderSize + head + body + 7) &^ 7 }

func (f frame) size() int64 { return frameSize(f.headLen, f.bodyLen) }

// appendFrame adds an unfinished frame: finishGroup completes it when its offset is
// known.
func appendFrame(b []byte, f frame, head, body []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(f.headLen))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.bodyLen))
	b = binary.LittleEndian.AppendUint32(b, f.headSum)
	b = binary.LittleEndian.AppendUint32(b, f.bodySum)
	b = append(b, f.kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = append(b, head...)
	b = append(b, body...)
	return append(b, make([]byte, f.size()-frameHeaderSize-f.headLen-f.bodyLen)...)
}

// finishGroup completes the frames of a group that will lie at off, where everything
// before off is durable.
func finishGroup(group []byte, id uint64, off int64) {
	for at := int64(0); at < int64(len(group)); {
		h := group[at : at+frameHeaderSize]
		binary.LittleEndian.PutUint64(h[24:], uint64(off))
		binary.LittleEndian.PutUint32(h, headerChecksum(h, id, off+at))
		at += frameSize(int64(binary.LittleEndian.Uint32(h[4:])), int64(binary.LittleEndian.Uint32(h[8:])))
	}
	whiten(group, id, off)
}

// headerChecksum begins with a value of the segment and the offset, so that a frame
// from elsewhere is not valid here.
func headerChecksum(h []byte, id uint64, off int64) uint32 {
	return crc32.Update(uint32(whiteningWord(^id, off)), castagnoli, h[4:frameHeaderSize])
}

// parseHeader reads an unwhitened header; false unless it belongs to this segment and
// this offset.
func parseHeader(h []byte, id uint64, off int64) (frame, bool) {
	f := frame{
		kind:    h[20] &^ prunedFlag,
		pruned:  h[20]&prunedFlag != 0,
		headLen: int64(binary.LittleEndian.Uint32(h[4:])),
		bodyLen: int64(binary.LittleEndian.Uint32(h[8:])),
		headSum: binary.LittleEndian.Uint32(h[12:]),
		bodySum: binary.LittleEndian.Uint32(h[16:]),
		durable: int64(binary.LittleEndian.Uint64(h[24:])),
	}
	ok := h[21]|h[22]|h[23] == 0 &&
		binary.LittleEndian.Uint32(h) == headerChecksum(h, id, off) &&
		f.size() <= maxFrame && segmentHeaderSize <= f.durable && f.durable <= off
	if !ok {
		return frame{}, false
	}
	return f, true
}

// whiten combines p, which lies at off, with a stream of pseudo-random words that
// depends on the segment's id alone; a second call undoes it. It hides nothing. It
// marks places that were never written: only there are eight bytes in a row, at a
// multiple of eight, zero. No record contains such a word, not even one made of
// zeros, except with a probability of 2^-64 per word.
func whiten(p []byte, id uint64, off int64) {
	for ; off&7 != 0 && len(p) > 0; off++ {
		p[0] ^= byte(whiteningWord(id, off) >> (8 * (off & 7)))
		p = p[1:]
	}
	for ; len(p) >= 8; off += 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^whiteningWord(id, off))
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(whiteningWord(id, off) >> (8 * i))
	}
}

// whiteningWord is the word of the stream in which the byte at off lies: splitmix64
// with random access. For a given offset it is a bijection of the id.
func whiteningWord(id uint64, off int64) uint64 {
	z := id + uint64(off>>3)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// scanner reads the frames of a segment, one after another or from anywhere.
type scanner struct {
	src         io.ReaderAt
	id          uint64
	end         int64  // nothing is read from here on
	window      []byte // a window of the segment, as it is stored
	windowStart int64  // where the window begins
	plain       []byte // the bytes unwhitened last
	head        []byte // of the frame that was checked last
}

const scanWindow = 128 << 10

// readRaw returns n bytes as they are stored. They must lie before end.
func (s *scanner) readRaw(off, n int64) ([]byte, error) {
	if off < s.windowStart || off+n > s.windowStart+int64(len(s.window)) {
		size := min(max(n, scanWindow), s.end-off)
		if int64(cap(s.window)) < size {
			s.window = make([]byte, size)
		}
		s.window, s.windowStart = s.window[:size], off
		if got, err := s.src.ReadAt(s.window, off); got < len(s.window) {
			s.window = s.window[:0]
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return s.window[off-s.windowStart:][:n], nil
}

// readPlain returns n unwhitened bytes, valid until the next call.
func (s *scanner) readPlain(off, n int64) ([]byte, error) {
	raw, err := s.readRaw(off, n)
	if err != nil {
		return nil, err
	}
	s.plain = append(s.plain[:0], raw...)
	whiten(s.plain, s.id, off)
	return s.plain, nil
}

// readHeader reads the header at off; false if there is no valid one.
func (s *scanner) readHeader(off int64) (frame, bool, error) {
	if s.end-off < frameHeaderSize {
		return frame{}, false, nil
	}
	h, err := s.readPlain(off, frameHeaderSize)
	if err != nil {
		return frame{}, false, err
	}
	f, ok := parseHeader(h, s.id, off)
	return f, ok, nil
}

// verifyFrame reports whether the frame f at off is intact, and on request checks its
// body as well.
func (s *scanner) verifyFrame(off int64, f frame, body bool) (bool, error) {
	if off+f.size() > s.end {
		return false, nil
	}
	head, err := s.readPlain(off+frameHeaderSize, f.headLen)
	if err != nil || checksum(head) != f.headSum {
		return false, err
	}
	s.head = append(s.head[:0], head...)
	if !body || f.pruned {
		return true, nil
	}
	from := off + frameHeaderSize + f.headLen
	sum := uint32(0)
	for to := from + f.bodyLen; from < to; {
		p, err := s.readPlain(from, min(to-from, scanWindow))
		if err != nil {
			return false, err
		}
		sum = crc32.Update(sum, castagnoli, p)
		from += int64(len(p))
	}
	padding, err := s.readPlain(from, off+f.size()-from)
	if err != nil {
		return false, err
	}
	for _, b := range padding {
		if b != 0 {
			return false, nil
		}
	}
	return sum == f.bodySum, nil
}

// readFrame reads the frame at off; false if it is not intact. Then the frame is
// zero, unless at least its header is intact.
func (s *scanner) readFrame(off int64, body bool) (frame, bool, error) {
	f, ok, err := s.readHeader(off)
	if err != nil || !ok {
		return f, false, err
	}
	ok, err = s.verifyFrame(off, f, body)
	return f, ok, err
}

// isTorn reports whether a part of the n bytes at off was never written.
func (s *scanner) isTorn(off, n int64) (bool, error) {
	if off+n > s.end {
		return true, nil
	}
	for to := off + n; off < to; {
		p, err := s.readRaw(off, min(to-off, scanWindow))
		if err != nil {
			return false, err
		}
		off += int64(len(p))
		for ; len(p) > 0; p = p[8:] {
			if binary.LittleEndian.Uint64(p) == 0 {
				return true, nil
			}
		}
	}
	return false, nil
}

// durabilityWitness looks behind off for a header that states that off was durable.
// Its frame need not be intact. Headers with a lower watermark prove nothing: parts of
// a group can survive a power cut that earlier parts do not survive.
func (s *scanner) durabilityWitness(off int64) (at int64, found bool, err error) {
	for at = off + 8; at+frameHeaderSize <= s.end; at += 8 {
		raw, err := s.readRaw(at, frameHeaderSize)
		if err != nil {
			return 0, false, err
		}
		// The three zeros let one place in 16 million through.
		if (binary.LittleEndian.Uint64(raw[16:])^whiteningWord(s.id, at+16))>>40 != 0 {
			continue
		}
		f, ok, err := s.readHeader(at)
		if err != nil {
			return 0, false, err
		}
		if ok && f.durable > off {
			return at, true, nil
		}
	}
	return 0, false, nil
}
