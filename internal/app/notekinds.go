package app

import (
	"cmp"
	"context"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// NoteKind is what the notes of several lines have in common, with the first of these lines.
type NoteKind struct {
	// Kind is the text of the notes; values that differ from line to line are "…".
	Kind  string      `json:"kind"`
	Lines int64       `json:"lines"`
	First []NotePlace `json:"first_lines"`
}

// NotePlace is a line that has a note.
type NotePlace struct {
	File string `json:"file"`
	Line int64  `json:"line"`
}

const (
	// maxNoteKinds is how many kinds are counted one by one, and maxNotePlaces how many lines of each are kept.
	maxNoteKinds  = 200
	maxNotePlaces = 5
	otherNotes    = "other notes"
)

// noteTally counts the notes of lines by kind.
type noteTally struct {
	kinds map[string]*NoteKind
	text  []byte // of the last kind
}

func (t *noteTally) add(a *schema.Account) {
	for _, note := range a.Notes {
		t.text = appendNoteKind(t.text[:0], note)
		k := t.kinds[string(t.text)]
		if k == nil {
			kind := string(t.text)
			if len(t.kinds) >= maxNoteKinds {
				kind = otherNotes
			}
			if k = t.kinds[kind]; k == nil {
				if t.kinds == nil {
					t.kinds = map[string]*NoteKind{}
				}
				k = &NoteKind{Kind: kind}
				t.kinds[kind] = k
			}
		}
		place := NotePlace{a.File, a.Line}
		if len(k.First) > 0 && k.First[len(k.First)-1] == place { // the same of two cells
			continue
		}
		if k.Lines++; len(k.First) < maxNotePlaces {
			k.First = append(k.First, place)
		}
	}
}

// list returns the kinds, most frequent first.
func (t *noteTally) list() []NoteKind {
	kinds := []NoteKind{}
	for _, k := range slices.SortedFunc(maps.Values(t.kinds), func(a, b *NoteKind) int {
		return cmp.Or(cmp.Compare(b.Lines, a.Lines), cmp.Compare(a.Kind, b.Kind))
	}) {
		kinds = append(kinds, *k)
	}
	return kinds
}

// appendNoteKind appends a note without the values in it: what is quoted, addresses and numbers. An example of what is
// expected ("such as acme.com") is none.
func appendNoteKind(kind []byte, note string) []byte {
	example := false
	for note != "" {
		var word string
		if note[0] == '"' {
			end := 1
			for end < len(note) && note[end] != '"' {
				if note[end] == '\\' {
					end++
				}
				end++
			}
			kind, note = append(kind, "…"...), note[min(end+1, len(note)):]
			continue
		}
		word, note = cutWord(note)
		bare := strings.TrimRight(word, " ,;:)")
		if !example && isNoteValue(strings.TrimLeft(bare, "(")) {
			kind = append(append(kind, "…"...), word[len(bare):]...)
		} else {
			kind = append(kind, word...)
		}
		example = word == "as " || word == "expected "
	}
	return kind
}

// cutWord cuts a text after its first space.
func cutWord(text string) (word, rest string) {
	if i := strings.IndexByte(text, ' '); i >= 0 {
		return text[:i+1], text[i+1:]
	}
	return text, ""
}

// isNoteValue reports whether a word is an address or a number.
func isNoteValue(word string) bool {
	if word == "" {
		return false
	}
	return strings.Trim(word, "0123456789") == "" || strings.ContainsRune(word, '@') ||
		strings.IndexByte(word[:len(word)-1], '.') >= 0 || strings.IndexByte(word, '/') >= 0
}

// talliedSource counts the notes of the lines that pass it.
type talliedSource struct {
	pipeline.Source
	tally *noteTally
}

// Accounts is that of the source.
func (s talliedSource) Accounts(ctx context.Context) iter.Seq2[schema.Account, error] {
	return func(yield func(schema.Account, error) bool) {
		for a, err := range s.Source.Accounts(ctx) {
			if err == nil {
				s.tally.add(&a)
			}
			if !yield(a, err) {
				return
			}
		}
	}
}
