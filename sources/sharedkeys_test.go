package sources

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestSharedKeysOfFiles: lines are named in their files, a key counts once, and one entity may have several lines.
func TestSharedKeysOfFiles(t *testing.T) {
	t.Parallel()
	var k keyUses
	for _, a := range []struct {
		file, key, domain string
		line, before      int64
	}{{"a.csv", "1", "acme.com", 2, 0}, {"a.csv", "2", "beta.io", 3, 0}, {"b.csv", "1", "acme.com", 2, 3}, {"b.csv", "2", "gamma.com", 3, 3}, {"b.csv", "2", "delta.com", 4, 3}} {
		k.add(&schema.Account{Object: schema.Company, File: a.file, Line: a.line, Key: a.key, Domain: a.domain}, a.before)
	}
	want := []string{"1 key stands for different entities, on 3 lines, such as line 3 of a.csv and line 3 of b.csv: what is grouped by account_key mixes them"}
	if diff := cmp.Diff(want, k.notes()); diff != "" {
		t.Errorf("notes (-want +got):\n%s", diff)
	}
}

// TestManyKeys: half of the keys are forgotten where memory ends, and the note says so.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	var k keyUses
	for i := range 2000 {
		for n := range 2 {
			k.add(&schema.Account{Object: schema.Company, File: "a.csv", Line: int64(2*i + n + 2), Key: fmt.Sprint(i), Domain: fmt.Sprintf("acme-%d-%d.com", i, n)}, 0)
		}
	}
	all := k.count
	if k.halve(); all != 4000 || k.count < 1500 || k.count > 2500 {
		t.Errorf("%d uses, and %d after halve; want 4000 and about 2000", all, k.count)
	}
	var number int
	notes := k.notes()
	if _, err := fmt.Sscanf(notes[0], "of one key in 2, %d keys stand for different entities", &number); err != nil || number < 750 || number > 1250 {
		t.Errorf("notes are %q", notes)
	}
}

// FuzzSetApart: the look at single letters misses no mark.
func FuzzSetApart(f *testing.F) {
	for _, s := range []string{"Acme (DO NOT CONTACT)", "DUPLICATE - do not use", "X DON'T CALL", "X - dont email", "A (don't use)", "A NICHT VERWENDEN", "A - ne pas contacter", "A NO USAR", "A (não usar)", "A NÃO USAR", "A NON USARE", "A NIET GEBRUIKEN", "Do Not Use Ltd"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := isSetApart(s), setApart.MatchString(s); got != want {
			t.Errorf("isSetApart(%q) = %t, want %t", s, got, want)
		}
	})
}
