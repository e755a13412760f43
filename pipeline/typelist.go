package pipeline

import "github.com/siglake/siglake/schema"

// OtherTypes stands for all result types that a list leaves out.
const OtherTypes = "(other types)"

// maxListedTypes is the number of types outside the catalogue that a list names.
const maxListedTypes = 200

// TypeList decides which result types a list names: those of the catalogue, and the first of the
// others. An answer may contain any number of types, which a table has room for and a list has not.
// The zero value names none yet.
type TypeList struct {
	named, others map[string]bool // outside the catalogue
}

// Name is the name under which the list has a type: its own, or OtherTypes.
func (l *TypeList) Name(signal string) string {
	if _, ok := schema.LookupSignal(signal); ok || l.named[signal] {
		return signal
	}
	if _, ok := schema.ProductCategory(signal); ok {
		return signal
	}
	if l.named == nil {
		l.named, l.others = map[string]bool{}, map[string]bool{}
	}
	if len(l.named) < maxListedTypes {
		l.named[signal] = true
		return signal
	}
	l.others[signal] = true
	return OtherTypes
}

// Others is the number of types that the list leaves out.
func (l *TypeList) Others() int64 { return int64(len(l.others)) }
