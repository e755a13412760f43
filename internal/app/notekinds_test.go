package app

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestNoteKinds: notes that differ in their values only are one kind; its lines are counted once, and the first stay.
func TestNoteKinds(t *testing.T) {
	t.Parallel()
	var tally noteTally
	for line, notes := range [][]string{
		{`Website "a \"b\" gmail.com" set aside: gmail.com is a free mail provider, not the company's own domain`},
		{`Website "web.de" set aside: web.de is a free mail provider, not the company's own domain`, `Website: HTML entities are decoded`},
		{`Name "x" set aside: has a space in it; expected one domain such as acme.com`, `email: the first of 12 addresses is used`, `email: the first of 3 addresses is used`},
	} {
		tally.add(&schema.Account{File: "l.csv", Line: int64(line + 2), Notes: notes})
	}
	at := func(lines ...int64) (places []NotePlace) {
		for _, line := range lines {
			places = append(places, NotePlace{"l.csv", line})
		}
		return places
	}
	want := []NoteKind{
		{`Website … set aside: … is a free mail provider, not the company's own domain`, 2, at(2, 3)},
		{`Name … set aside: has a space in it; expected one domain such as acme.com`, 1, at(4)},
		{`Website: HTML entities are decoded`, 1, at(3)},
		{`email: the first of … addresses is used`, 1, at(4)},
	}
	if diff := cmp.Diff(want, tally.list()); diff != "" {
		t.Errorf("kinds (-want +got):\n%s", diff)
	}
}
