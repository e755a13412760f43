package export

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/siglake/siglake/schema"
)

// entityFilter tells of most entities that were not added that they were not: a bit for the hash of each,
// in 2 MiB.
type entityFilter struct{ words []uint64 }

const filterWords = 1 << 18

var filterSeed = maphash.MakeSeed()

func filterBit(o schema.Object, id string) (word, bit uint64) {
	var h maphash.Hash
	h.SetSeed(filterSeed)
	_, _ = h.WriteString(string(o) + " " + id) // it never fails
	n := h.Sum64() % (filterWords * 64)
	return n / 64, n % 64
}

func (f *entityFilter) add(o schema.Object, id string) {
	if f.words == nil {
		f.words = make([]uint64, filterWords)
	}
	word, bit := filterBit(o, id)
	f.words[word] |= 1 << bit
}

func (f *entityFilter) mayHave(o schema.Object, id string) bool {
	if f.words == nil {
		return false
	}
	word, bit := filterBit(o, id)
	return f.words[word]>>bit&1 != 0
}

// entityEvents are the events of one entity: each once, as of its newest revision.
type entityEvents struct {
	options        *Options
	object, entity []byte

	uid    []byte // of the event whose revisions are being added
	newest int64
	rows   []Event // of its newest revision: the API may return several under one id

	sums   []signalSum
	events []Event // with Options.Events
}

// signalSum is what the events of one signal add up to.
type signalSum struct {
	signal string
	count  int64
	// Of the newest event.
	date, seen Cell
	headline   string
}

// begin prepares for rows of an entity, which may be the same as before.
func (e *entityEvents) begin(object, entity []byte) {
	if bytes.Equal(object, e.object) && bytes.Equal(entity, e.entity) {
		return
	}
	e.object, e.entity = append(e.object[:0], object...), append(e.entity[:0], entity...)
	e.uid, e.newest, e.rows, e.sums, e.events = nil, 0, e.rows[:0], e.sums[:0], e.events[:0]
}

// addRevision adds a row. Rows come by uid, then revision, then age.
func (e *entityEvents) addRevision(uid []byte, revision int64, row Event) {
	if e.uid == nil || !bytes.Equal(uid, e.uid) {
		e.endEvent()
		e.uid = append([]byte{}, uid...)
	}
	if revision > e.newest {
		e.newest, e.rows = revision, e.rows[:0]
	}
	if i := slices.IndexFunc(e.rows, func(known Event) bool { return known.Digest == row.Digest }); i >= 0 {
		e.rows[i] = row
		return
	}
	e.rows = append(e.rows, row)
}

// endEvent counts the event whose revisions were added last.
func (e *entityEvents) endEvent() {
	for _, row := range e.rows {
		if !e.options.counts(&row) {
			continue
		}
		if e.options.Events {
			e.events = append(e.events, row)
		} else {
			e.addSum(&row)
		}
	}
	e.uid, e.newest, e.rows = nil, 0, e.rows[:0]
}

// counts reports whether an event lies in the period.
func (o *Options) counts(e *Event) bool {
	day := e.Date
	if !day.Set && e.FirstSeen.Set {
		day = numberCell(e.FirstSeen.N / microsecondsPerDay)
	}
	return !o.Since.Set || day.Set && day.N >= o.Since.N
}

const microsecondsPerDay = 86_400_000_000

func (e *entityEvents) addSum(row *Event) {
	i := slices.IndexFunc(e.sums, func(s signalSum) bool { return s.signal == row.Signal })
	if i < 0 {
		i = len(e.sums)
		e.sums = append(e.sums, signalSum{signal: row.Signal})
	}
	s := &e.sums[i]
	if s.count++; s.count == 1 || isLater(row, s) {
		s.date, s.seen, s.headline = row.Date, row.FirstSeen, row.Headline
	}
}

// isLater reports whether an event is newer than those before: by its date, else by when it was first
// seen. Without a date it is older than any with one.
func isLater(row *Event, s *signalSum) bool {
	if row.Date != s.date {
		return row.Date.Set && (!s.date.Set || row.Date.N > s.date.N)
	}
	return row.FirstSeen.Set && (!s.seen.Set || row.FirstSeen.N > s.seen.N)
}
