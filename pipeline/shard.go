package pipeline

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/schema"
)

// unit is what the paid phase works on: a batch to ask about, or none, and the
// lines read meanwhile whose fate needs no call.
type unit struct {
	batch   *Batch
	settled []line
}

// line is a line of the list with its fate.
type line struct {
	account     schema.Account
	status      schema.Status
	reason      string
	duplicateOf int64 // row, for duplicates
}

// settledAtOnce bounds the lines that wait for a batch to travel with.
const settledAtOnce = 4096

// sharder turns a list into units. Lines are grouped by what one call can hold:
// one object, all by id or all by another identifier.
type sharder struct {
	queries map[schema.Object]*Query
	size    int
	asked   *seen // who asked first
	batches int
	err     error // of the source, after the walk
}

// maxRows is the longest list one run can take: rows are kept in 32 bits.
const maxRows = 1<<32 - 1

// ErrTooLong is what a run ends with whose list has more lines than one run can
// take; the lines before are asked about.
var ErrTooLong = fmt.Errorf("more than %d lines; split the list", int64(maxRows))

func (s *sharder) units(accounts iter.Seq2[schema.Account, error]) iter.Seq[unit] {
	return func(yield func(unit) bool) {
		open := map[string]*Batch{}
		var order []string // of open groups, by the first line of each
		var settled []line
		send := func(b *Batch) bool {
			u := unit{batch: b, settled: settled}
			settled = nil
			return yield(u)
		}
		for a, err := range accounts {
			if err != nil {
				s.err = err
				break
			}
			if a.Row > maxRows {
				s.err = fmt.Errorf("%s: row %d: %w", a.File, a.Row, ErrTooLong)
				break
			}
			l := s.judge(a)
			if l.status != "" {
				settled = append(settled, l)
				if len(settled) >= settledAtOnce && !send(nil) {
					return
				}
				continue
			}
			byID := a.Identifier() == schema.ByID
			group := string(a.Object) + strconv.FormatBool(byID)
			b := open[group]
			if b == nil {
				b = &Batch{Query: s.queries[a.Object], ByID: byID}
				open[group] = b
				order = append(order, group)
			}
			b.Items = append(b.Items, Item{Ref: reference(a, byID), Account: a})
			if len(b.Items) == s.size {
				delete(open, group)
				order = slices.DeleteFunc(order, func(g string) bool { return g == group })
				if !send(s.number(b)) {
					return
				}
			}
		}
		for _, group := range order {
			if !send(s.number(open[group])) {
				return
			}
		}
		if len(settled) > 0 {
			send(nil)
		}
	}
}

// judge gives a line its fate if it needs no call.
func (s *sharder) judge(a schema.Account) line {
	l := line{account: a}
	kind := a.Identifier()
	switch {
	case a.Reject != nil:
		l.status, l.reason = schema.Rejected, a.Reject.String()
	case kind == "":
		l.status, l.reason = schema.Rejected, "no identifier that can be asked about"
	case s.queries[a.Object] == nil:
		l.status, l.reason = schema.Rejected, fmt.Sprintf("no signal was asked for that applies to a %s; add one with --signals", a.Object)
	default:
		key := identity(a, kind)
		row := uint32(a.Row) //nolint:gosec // bounded by maxRows
		if first := s.asked.first(key, row); first != row {
			l.status, l.duplicateOf = schema.Duplicate, int64(first)
			l.reason = fmt.Sprintf("asks the same as row %d", first)
		}
	}
	return l
}

func (s *sharder) number(b *Batch) *Batch {
	s.batches++
	b.ID = fmt.Sprintf("%06d", s.batches)
	return b
}

// reference is the caller's reference of an item within its request: the id
// where the API answers by id, else the row.
func reference(a schema.Account, byID bool) string {
	if byID {
		return a.ID
	}
	return "r" + strconv.FormatInt(a.Row, 10)
}

// identity fingerprints what is asked about: object, identifier family and the
// normalised identifier, letter case folded where it carries no meaning.
func identity(a schema.Account, kind schema.Identifier) fingerprint {
	h := sha256.New()
	var length [4]byte
	for _, part := range []string{string(a.Object), string(kind), fold(identifierText(a, kind), kind)} {
		n := len(part)
		length = [4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}
		h.Write(length[:])
		h.Write([]byte(part))
	}
	return fingerprint(h.Sum(nil)[:12])
}

// identifierText is the identifier as it is asked, for identities and for the
// accounts table.
func identifierText(a schema.Account, kind schema.Identifier) string {
	switch kind {
	case schema.ByID:
		return a.ID
	case schema.ByLinkedIn:
		return a.LinkedIn
	case schema.ByEmail:
		return a.Email
	case schema.ByDomain:
		return a.Domain
	case schema.ByName:
		if a.Object == schema.Company {
			return a.Name
		}
		if a.CompanyDomain != "" {
			return a.Name + " @ " + a.CompanyDomain
		}
		return a.Name + " @ " + a.CompanyName
	}
	return ""
}

// fold makes spellings of one identifier equal: names differ only in letter
// case, the others are normalised by their source and ids are opaque.
func fold(text string, kind schema.Identifier) string {
	if kind == schema.ByName {
		return strings.ToLower(text)
	}
	return text
}
