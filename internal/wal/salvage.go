package wal

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/siglake/siglake/internal/durable"
)

// Gap is a part of a damaged log in which no whole record was found.
type Gap struct {
	Segment string `json:"segment"`
	From    int64  `json:"from"` // offsets in the segment's content
	To      int64  `json:"to"`
	Problem string `json:"problem"`
}

func (g Gap) String() string {
	if g.To == 0 {
		return fmt.Sprintf("segment %s: %s", g.Segment, g.Problem)
	}
	return fmt.Sprintf("segment %s, offsets %d to %d: %s", g.Segment, g.From, g.To, g.Problem)
}

// SalvagedRecord is a whole record of a damaged log.
type SalvagedRecord struct {
	Record
	At      Position
	Segment string
	// It lies behind the end that the next segment states: a process wrote it that another one
	// had taken over from.
	Late bool
}

// damagedStore is a store that reads what is left of a log that it cannot open.
type damagedStore interface {
	// damagedNames names every segment of which anything is left, in any order.
	damagedNames(ctx context.Context) ([]string, error)
	// openDamaged opens what is left of a segment. What is missing reads as zeros. Its size is where
	// the segment ended, as far as that is known.
	openDamaged(ctx context.Context, name string) (Reader, error)
}

// remainingNames names the segments of a log that may be damaged.
func remainingNames(ctx context.Context, store Store) ([]string, error) {
	if d, ok := store.(damagedStore); ok {
		return d.damagedNames(ctx)
	}
	return store.Segments(ctx)
}

// openRemains opens a segment that may be damaged.
func openRemains(ctx context.Context, store Store, name string) (Reader, error) {
	if d, ok := store.(damagedStore); ok {
		return d.openDamaged(ctx, name)
	}
	r, err := store.Open(ctx, name)
	if errors.Is(err, ErrCorrupt) {
		return emptyReader{}, nil
	}
	return r, err
}

// emptyReader reads a segment of which nothing can be read.
type emptyReader struct{}

func (emptyReader) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
func (emptyReader) Size() int64                       { return 0 }
func (emptyReader) Durable() (int64, error)           { return 0, nil }
func (emptyReader) Recover(_, _ int64) error          { return nil }
func (emptyReader) Close() error                      { return nil }

// Salvage reads every whole record of a log that cannot be opened, in order, and returns the places
// without one. It changes nothing. A record is whole if its checksums say so: they depend on the
// segment and the offset, so that a record from elsewhere does not pass.
func Salvage(ctx context.Context, store Store, visit func(SalvagedRecord) error) (gaps []Gap, err error) {
	segments, gaps, err := damagedSegments(ctx, store)
	if err != nil {
		return nil, err
	}
	for i := range segments {
		s := &segments[i]
		if i+1 < len(segments) && segments[i+1].header.previousID == s.id && s.number+1 == segments[i+1].number {
			s.successor = &segments[i+1].header
		}
		found, err := s.salvage(ctx, store, visit)
		if gaps = append(gaps, found...); err != nil {
			return gaps, err
		}
	}
	return gaps, nil
}

// damagedSegment is a segment of a log that cannot be opened.
type damagedSegment struct {
	name      string
	number    int
	id        uint64
	header    header  // zero if it is damaged
	successor *header // nil: there is none that can be read
}

// damagedSegments are the segments of a log in their order, which their headers state. A segment
// with a damaged header keeps the place of its name, and its id is read from its successor or from
// its records.
func damagedSegments(ctx context.Context, store Store) (segments []damagedSegment, gaps []Gap, err error) {
	names, err := remainingNames(ctx, store)
	if err != nil {
		return nil, nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		s := damagedSegment{name: name}
		if s.number, err = strconv.Atoi(name); err != nil {
			continue // the log did not write it
		}
		if err := s.readHeader(ctx, store); err != nil {
			return nil, nil, err
		}
		segments = append(segments, s)
	}
	slices.SortStableFunc(segments, func(a, b damagedSegment) int { return cmp.Compare(a.number, b.number) })
	for i := range segments {
		s := &segments[i]
		if s.id != 0 {
			continue
		}
		gaps = append(gaps, Gap{s.name, 0, segmentHeaderSize, "its header is damaged"})
		if i+1 < len(segments) && segments[i+1].number == s.number+1 {
			s.id = segments[i+1].header.previousID
		}
	}
	known := map[uint64]bool{}
	segments = slices.DeleteFunc(segments, func(s damagedSegment) bool {
		isCopy := s.id != 0 && known[s.id]
		known[s.id] = true
		return isCopy
	})
	next := 1
	for _, s := range segments {
		for ; next < s.number; next++ {
			gaps = append(gaps, Gap{segmentName(next), 0, 0, "it is missing"})
		}
		next = s.number + 1
	}
	return segments, gaps, nil
}

// readHeader reads the segment's number and id, if its header is whole.
func (s *damagedSegment) readHeader(ctx context.Context, store Store) error {
	r, err := openRemains(ctx, store, s.name)
	if err != nil {
		return err
	}
	defer r.Close()
	b := make([]byte, segmentHeaderSize)
	if r.Size() < segmentHeaderSize {
		return nil
	}
	if err := readFull(r, b, 0); err != nil {
		return err
	}
	if h, ok := decodeHeader(b); ok {
		s.header, s.number, s.id = h, int(h.number), h.id //nolint:gosec // a count of files
	}
	return nil
}

// salvage visits the whole records of the segment.
func (s *damagedSegment) salvage(ctx context.Context, store Store, visit func(SalvagedRecord) error) (gaps []Gap, err error) {
	r, err := openRemains(ctx, store, s.name)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	scan := &scanner{src: r, id: s.id, end: r.Size()}
	if scan.id == 0 {
		if scan.id, err = findID(r); err != nil {
			return nil, err
		}
	}
	if scan.id == 0 {
		return []Gap{{s.name, segmentHeaderSize, max(scan.end, segmentHeaderSize), "none of its records can be read"}}, nil
	}
	off := int64(segmentHeaderSize)
	for off < scan.end {
		if err := ctx.Err(); err != nil {
			return gaps, err
		}
		at, f, err := scan.nextWhole(off)
		if err != nil {
			return gaps, err
		}
		if at == scan.end {
			break
		}
		if at > off {
			gaps = append(gaps, Gap{s.name, off, at, "the records here are damaged"})
		}
		record, err := readRecord(r, scan.id, at, f)
		if err != nil {
			return gaps, err
		}
		if err := visit(SalvagedRecord{record, Position{s.number, at}, segmentName(s.number), s.successor != nil && at >= s.successor.previousEnd}); err != nil {
			return gaps, err
		}
		off = at + f.size()
	}
	lost, err := s.lostEnd(scan, r, off)
	return append(gaps, lost...), err
}

// lostEnd is what is missing behind the last whole record. A torn append is not: its record was
// never acknowledged.
func (s *damagedSegment) lostEnd(scan *scanner, r Reader, off int64) ([]Gap, error) {
	end, err := r.Durable() // an error is one of the place where that stands
	if err != nil && !errors.Is(err, ErrCorrupt) {
		return nil, err
	}
	if err != nil {
		end = 0
	}
	if s.successor != nil {
		end = max(end, s.successor.previousEnd)
	}
	if off < end {
		return []Gap{{s.name, off, end, "the records here are damaged or missing"}}, nil
	}
	if off >= scan.end {
		return nil, nil
	}
	f, _, err := scan.readFrame(off, true)
	if err != nil {
		return nil, err
	}
	torn, err := scan.isTorn(off, max(f.size(), frameHeaderSize))
	if err != nil || torn {
		return nil, err
	}
	return []Gap{{s.name, off, scan.end, "the record here is damaged"}}, nil
}

// nextWhole finds the next whole frame from off on; at is the scanner's end if there is none.
func (s *scanner) nextWhole(off int64) (at int64, f frame, err error) {
	for at = off; at+frameHeaderSize <= s.end; at += 8 {
		raw, err := s.readRaw(at, frameHeaderSize)
		if err != nil {
			return 0, frame{}, err
		}
		// The three zeros let one place in 16 million through.
		if (binary.LittleEndian.Uint64(raw[16:])^whiteningWord(s.id, at+16))>>40 != 0 {
			continue
		}
		f, whole, err := s.readFrame(at, true)
		if err != nil || whole {
			return at, f, err
		}
	}
	return s.end, frame{}, nil
}

// readRecord reads the record of a frame that was verified.
func readRecord(r Reader, id uint64, at int64, f frame) (Record, error) {
	b := make([]byte, f.size())
	if err := readFull(r, b, at); err != nil {
		return Record{}, err
	}
	whiten(b, id, at)
	return f.record(b), nil
}

// record is the record of a frame in its unwhitened bytes.
func (f frame) record(b []byte) Record {
	if f.pruned {
		return Record{Kind: f.kind, Head: b[frameHeaderSize:][:f.headLen:f.headLen], Pruned: true}
	}
	return Record{Kind: f.kind, Head: b[frameHeaderSize:][:f.headLen:f.headLen], Body: b[frameHeaderSize+f.headLen:][:f.bodyLen:f.bodyLen]}
}

// findID finds the id of a segment without its header; 0: not found. A frame that begins a group
// states its own offset as what was durable before it, which the whitening combines with a word
// that determines the id.
func findID(r Reader) (uint64, error) {
	scan := &scanner{src: r, end: r.Size()}
	for at := int64(segmentHeaderSize); at+frameHeaderSize <= scan.end; at += 8 {
		raw, err := scan.readRaw(at, frameHeaderSize)
		if err != nil {
			return 0, err
		}
		id := whiteningID(binary.LittleEndian.Uint64(raw[24:])^uint64(at), at+24) //nolint:gosec // an offset
		if (binary.LittleEndian.Uint64(raw[16:])^whiteningWord(id, at+16))>>40 != 0 {
			continue
		}
		h := slices.Clone(raw)
		if whiten(h, id, at); id == 0 {
			continue
		}
		if _, ok := parseHeader(h, id, at); ok {
			return id, nil
		}
	}
	return 0, nil
}

// whiteningID inverts whiteningWord: it is the id with that word at off.
func whiteningID(word uint64, off int64) uint64 {
	z := word
	z = unshift(z, 31)
	z = unshift(z*inverse(0x94d049bb133111eb), 27)
	z = unshift(z*inverse(0xbf58476d1ce4e5b9), 30)
	return z - uint64(off>>3)*0x9e3779b97f4a7c15 //nolint:gosec // an offset
}

// unshift inverts z ^ z>>n.
func unshift(z uint64, n int) uint64 {
	for out := z; ; {
		next := z ^ out>>n
		if next == out {
			return out
		}
		out = next
	}
}

// inverse is the multiplicative inverse of an odd number modulo 2^64.
func inverse(a uint64) uint64 {
	x := a // right in the lowest three bits; each step doubles their number
	for range 5 {
		x *= 2 - a*x
	}
	return x
}

// SalvageDir replaces the damaged log in a directory by a new one: build writes it, and reports
// whether it is to take the place of the damaged one, which is kept under another name. At no time
// is there an empty log in the place of either: PendingSalvage says what an interruption leaves.
func SalvageDir(path, keptAs string, hook durable.Hook, build func(from, to Store) (bool, error)) (replaced bool, err error) {
	parent, err := durable.Open(filepath.Dir(path), hook)
	if err != nil {
		return false, err
	}
	defer parent.Close() //nolint:errcheck // nothing was written through it
	name := filepath.Base(path)
	for _, suffix := range []string{unfinishedSuffix, salvagedSuffix} { // of a salvage that was interrupted before the damaged log was renamed
		if err := parent.RemoveAll(name + suffix); err != nil {
			return false, err
		}
	}
	if err := buildSalvaged(path, hook, build, &replaced); err != nil || !replaced {
		return false, errors.Join(err, parent.RemoveAll(name+unfinishedSuffix))
	}
	for _, step := range [][2]string{{name + unfinishedSuffix, name + salvagedSuffix}, {name, keptAs}, {name + salvagedSuffix, name}} {
		if err := parent.RenameNew(step[0], step[1]); err != nil {
			return false, err
		}
		if err := parent.SyncDir("."); err != nil {
			return false, err
		}
	}
	return true, nil
}

// The names, behind that of the directory, of a log that is being salvaged, and of one that was.
const (
	unfinishedSuffix = ".salvaged.tmp"
	salvagedSuffix   = ".salvaged"
)

func buildSalvaged(path string, hook durable.Hook, build func(from, to Store) (bool, error), replace *bool) (err error) {
	from, err := OpenDir(path, hook)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	unlock, err := from.lockAll()
	if err != nil {
		return err
	}
	defer unlock()
	to, err := OpenDir(path+unfinishedSuffix, hook)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, to.Close()) }()
	*replace, err = build(from, to)
	return err
}

// lockAll locks every segment, so that no process writes any of them.
func (d *Dir) lockAll() (unlock func(), err error) {
	var files []*durable.File
	unlock = func() {
		for _, f := range files {
			f.Discard()
		}
	}
	names, err := d.Segments(context.Background())
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		f, err := d.dir.OpenFile(name+segmentSuffix, os.O_RDWR, 0)
		if err == nil {
			files = append(files, f)
			err = lockSegment(f)
		}
		if err != nil {
			unlock()
			return nil, err
		}
	}
	return unlock, nil
}

// PendingSalvage reports whether a salvage of the log in a directory was interrupted after the
// damaged log was renamed and before the new one took its name.
func PendingSalvage(path string) bool {
	_, err := os.Lstat(path)
	_, salvagedErr := os.Lstat(path + salvagedSuffix)
	return errors.Is(err, fs.ErrNotExist) && salvagedErr == nil
}

// FinishSalvage gives the new log its name after such an interruption.
func FinishSalvage(path string, hook durable.Hook) error {
	parent, err := durable.Open(filepath.Dir(path), hook)
	if err != nil {
		return err
	}
	defer parent.Close() //nolint:errcheck // nothing was written through it
	name := filepath.Base(path)
	return errors.Join(parent.RenameNew(name+salvagedSuffix, name), parent.SyncDir("."))
}
