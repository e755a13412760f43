package sources

import (
	"fmt"
	"slices"

	"github.com/siglake/siglake/schema"
)

// Columns that look like an identifier and are not used, or whose header means a field that another column holds, get one
// reason each. A note says it where the user may have expected the column to be used.

// unusedColumn says why a column is not used.
type unusedColumn struct {
	reason string
	noted  bool // a note says so, if the column in its place is used
	// The column that is used in its place; -1: none.
	instead int
	holds   string // its content, for the note; may be empty
}

// setAside says why a column is not used. The first reason stays.
func (l *draft) setAside(i int, c unusedColumn) {
	if _, known := l.unused[i]; !known {
		l.unused[i] = c
	}
}

// label names a column in a note: with its number if an earlier column has the same header.
func (t *tableColumns) label(i int) string {
	if i < len(t.header) && t.header[i] != "" && findColumn(t.header, t.header[i]) != i {
		return fmt.Sprintf("%s (column %d)", t.names[i], i+1)
	}
	return t.names[i]
}

// isRead reports whether a field other than the key is read from a column, at least where another one is empty.
func (c *fieldColumns) isRead(i int) bool {
	for f, column := range c.columns {
		if column >= 0 && field(f) != fieldKey && (column == i || slices.Contains(c.alternatives[f], i)) {
			return true
		}
	}
	return false
}

// noteColumns notes once what the user may want to check about each column.
func (l *draft) noteColumns() {
	for i, name := range l.names {
		if l.isRead(i) {
			if k := l.contents[i].kind(); k == kindEmail && (l.columns[fieldDomain] == i || l.columns[fieldCompanyDomain] == i) && l.header != nil {
				l.notes = append(l.notes, fmt.Sprintf("%s holds e-mail addresses, not domains: the part after the @ is used", name))
			}
			continue
		}
		switch found, ok := l.contradicted[i]; {
		case !ok:
		case found == kindNames[kindCompany]:
			l.setAside(i, unusedColumn{reason: "company pages cannot be requested", noted: true, instead: -1, holds: found})
		default:
			l.setAside(i, unusedColumn{reason: fmt.Sprintf("the sample of it holds %s, which its header does not mean", found), noted: true, instead: -1})
		}
		c, ok := l.unused[i]
		if !ok {
			continue
		}
		if c.instead >= 0 && !l.isRead(c.instead) && l.columns[fieldKey] != c.instead {
			delete(l.unused, i) // neither is used
			continue
		}
		if c.noted {
			l.notes = append(l.notes, c.note(l.label(i)))
		}
	}
}

// note says that the column is not used. Reports leave it out where they show the column with the reason.
func (c *unusedColumn) note(label string) string {
	if c.holds != "" {
		label += " holds " + c.holds + " and"
	}
	return label + " is not used: " + c.reason
}

// reasonUnused is why a column with cells of a kind is not used, if nothing else decided that.
func (l *draft) reasonUnused(i int, k kind) string {
	c := &l.contents[i]
	f := kindFields[k]
	if l.object == schema.Contact && f == fieldDomain {
		f = fieldCompanyDomain
	}
	switch {
	case k == kindCompany:
		return "company pages cannot be requested"
	case l.namesOther(i):
		return "its header names another entity"
	case k == kindDomain && c.own*10 < c.count[k]*9:
		return "the addresses lie on sites that many companies share"
	case k == kindPerson && c.own*10 < c.filled*9:
		return "the addresses are no public profiles"
	case k == kindDomain && c.isOneSite():
		return "most of the addresses lie on one site"
	case l.object == schema.Company && k == kindEmail && !l.has(fieldID) && !l.has(fieldDomain):
		return fmt.Sprintf("companies are requested by name; --map domain=%s requests them by the domains of these addresses", l.mapReference(i))
	case l.object == schema.Company && k == kindEmail:
		return "a company is not requested by an e-mail address"
	case l.object == schema.Company && k == kindPerson:
		return "a company is not requested by a profile"
	case l.has(f) && !(f == fieldDomain && l.emailDomain):
		return fmt.Sprintf("%s is the %s", l.names[l.columns[f]], fieldNames[f])
	}
	return fmt.Sprintf("--map %s=%s uses it", fieldNames[f], l.mapReference(i))
}
