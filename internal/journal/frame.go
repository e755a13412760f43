package journal

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
//	20  u8   kind
//	21       three zeros
//	24  u64  durable: what was known to be durable of this segment
//
// The header has a checksum of its own, so a length that can be read can be
// trusted, and it covers the other two. All of it is masked; see mask.
type frame struct {
	kind       byte
	head, body int64 // lengths
	headSum    uint32
	bodySum    uint32
	durable    int64
}

const (
	frameHeader = 32
	maxFrame    = 256 << 20 // longer ones are neither written nor believed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// frameSize is what a record takes in a segment.
func frameSize(head, body int64) int64 { return (frameHeader + head + body + 7) &^ 7 }

func (f frame) size() int64 { return frameSize(f.head, f.body) }

// appendFrame adds an unfinished frame: finish completes it when it is known
// where it will lie.
func appendFrame(b []byte, f frame, head, body []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(f.head))
	b = binary.LittleEndian.AppendUint32(b, uint32(f.body))
	b = binary.LittleEndian.AppendUint32(b, f.headSum)
	b = binary.LittleEndian.AppendUint32(b, f.bodySum)
	b = append(b, f.kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint64(b, 0)
	b = append(b, head...)
	b = append(b, body...)
	return append(b, make([]byte, f.size()-frameHeader-f.head-f.body)...)
}

// finish completes the frames of a group that will lie at off, where everything
// before off is durable.
func finish(group []byte, id uint64, off int64) {
	for at := int64(0); at < int64(len(group)); {
		h := group[at : at+frameHeader]
		binary.LittleEndian.PutUint64(h[24:], uint64(off))
		binary.LittleEndian.PutUint32(h, headerSum(h, id, off+at))
		at += frameSize(int64(binary.LittleEndian.Uint32(h[4:])), int64(binary.LittleEndian.Uint32(h[8:])))
	}
	mask(group, id, off)
}

// headerSum begins with a value of the segment and the place, so that a frame
// from anywhere else is not taken for one of here.
func headerSum(h []byte, id uint64, off int64) uint32 {
	return crc32.Update(uint32(keyWord(^id, off)), castagnoli, h[4:frameHeader])
}

// parseHeader reads an unmasked header; false unless it is one of this segment
// at this place.
func parseHeader(h []byte, id uint64, off int64) (frame, bool) {
	f := frame{
		kind:    h[20],
		head:    int64(binary.LittleEndian.Uint32(h[4:])),
		body:    int64(binary.LittleEndian.Uint32(h[8:])),
		headSum: binary.LittleEndian.Uint32(h[12:]),
		bodySum: binary.LittleEndian.Uint32(h[16:]),
		durable: int64(binary.LittleEndian.Uint64(h[24:])),
	}
	ok := h[21]|h[22]|h[23] == 0 &&
		binary.LittleEndian.Uint32(h) == headerSum(h, id, off) &&
		f.size() <= maxFrame && segmentHeader <= f.durable && f.durable <= off
	if !ok {
		return frame{}, false
	}
	return f, true
}

// mask combines p, which lies at off, with a stream of pseudo-random words that
// depends on the segment's id alone; doing it twice undoes it. It hides nothing.
// It is there so that eight zero bytes in a row, at a multiple of eight, can be
// told to be a place that was never written: no record brings them about, not
// even one made of zeros, but for one word in 2^64.
func mask(p []byte, id uint64, off int64) {
	for ; off&7 != 0 && len(p) > 0; off++ {
		p[0] ^= byte(keyWord(id, off) >> (8 * (off & 7)))
		p = p[1:]
	}
	for ; len(p) >= 8; off += 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^keyWord(id, off))
		p = p[8:]
	}
	for i := range p {
		p[i] ^= byte(keyWord(id, off) >> (8 * i))
	}
}

// keyWord is the word of the stream in which the byte at off lies: splitmix64,
// entered where needed. For a given place it is a bijection of the id.
func keyWord(id uint64, off int64) uint64 {
	z := id + uint64(off>>3)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// scanner reads the frames of a segment, one after another or from anywhere.
type scanner struct {
	src   io.ReaderAt
	id    uint64
	end   int64  // nothing is read from here on
	raw   []byte // a window of the segment, as it is stored
	at    int64  // where the window begins
	plain []byte // what was unmasked last
	head  []byte // of the frame that was checked last
}

const readAhead = 128 << 10

// window returns n bytes as they are stored. They must lie before end.
func (s *scanner) window(off, n int64) ([]byte, error) {
	if off < s.at || off+n > s.at+int64(len(s.raw)) {
		size := min(max(n, readAhead), s.end-off)
		if int64(cap(s.raw)) < size {
			s.raw = make([]byte, size)
		}
		s.raw, s.at = s.raw[:size], off
		if got, err := s.src.ReadAt(s.raw, off); got < len(s.raw) {
			s.raw = s.raw[:0]
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return s.raw[off-s.at:][:n], nil
}

// read returns n bytes unmasked, good until the next call.
func (s *scanner) read(off, n int64) ([]byte, error) {
	raw, err := s.window(off, n)
	if err != nil {
		return nil, err
	}
	s.plain = append(s.plain[:0], raw...)
	mask(s.plain, s.id, off)
	return s.plain, nil
}

// header reads the header at off; false when there is none that can be believed.
func (s *scanner) header(off int64) (frame, bool, error) {
	if s.end-off < frameHeader {
		return frame{}, false, nil
	}
	h, err := s.read(off, frameHeader)
	if err != nil {
		return frame{}, false, err
	}
	f, ok := parseHeader(h, s.id, off)
	return f, ok, nil
}

// check tells if the frame f at off is whole, its body included if asked for.
func (s *scanner) check(off int64, f frame, body bool) (bool, error) {
	if off+f.size() > s.end {
		return false, nil
	}
	head, err := s.read(off+frameHeader, f.head)
	if err != nil || checksum(head) != f.headSum {
		return false, err
	}
	s.head = append(s.head[:0], head...)
	if !body {
		return true, nil
	}
	from := off + frameHeader + f.head
	sum := uint32(0)
	for to := from + f.body; from < to; {
		p, err := s.read(from, min(to-from, readAhead))
		if err != nil {
			return false, err
		}
		sum = crc32.Update(sum, castagnoli, p)
		from += int64(len(p))
	}
	padding, err := s.read(from, off+f.size()-from)
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

// next reads the frame at off; false when it is not whole. Then the frame is
// zero unless at least its header is.
func (s *scanner) next(off int64, body bool) (frame, bool, error) {
	f, ok, err := s.header(off)
	if err != nil || !ok {
		return f, false, err
	}
	ok, err = s.check(off, f, body)
	return f, ok, err
}

// missing tells if a part of the n bytes at off was never written.
func (s *scanner) missing(off, n int64) (bool, error) {
	if off+n > s.end {
		return true, nil
	}
	for to := off + n; off < to; {
		p, err := s.window(off, min(to-off, readAhead))
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

// witness looks behind off for a header which says that off was durable once.
// It need not have a whole frame behind it. Headers that say less prove nothing:
// parts of a group can survive a power cut that the parts before them did not.
func (s *scanner) witness(off int64) (at int64, found bool, err error) {
	for at = off + 8; at+frameHeader <= s.end; at += 8 {
		raw, err := s.window(at, frameHeader)
		if err != nil {
			return 0, false, err
		}
		// The three zeros let one place in 16 million through.
		if (binary.LittleEndian.Uint64(raw[16:])^keyWord(s.id, at+16))>>40 != 0 {
			continue
		}
		f, ok, err := s.header(at)
		if err != nil {
			return 0, false, err
		}
		if ok && f.durable > off {
			return at, true, nil
		}
	}
	return 0, false, nil
}
