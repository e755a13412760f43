package pipeline

import (
	"fmt"
	"testing"

	"github.com/siglake/siglake/schema"
)

// TestShardStays holds the shard of some lines to what earlier versions gave them: a line that moves is bought again.
func TestShardStays(t *testing.T) {
	t.Parallel()
	lines := []schema.Account{
		{Object: schema.Company, Domain: "example.com"},
		{Object: schema.Company, ID: "123456"},
		{Object: schema.Company, Name: "Acme, Inc."},
		{Object: schema.Contact, Email: "ada@example.com"},
		{Object: schema.Contact, LinkedIn: "https://www.linkedin.com/in/ada"},
		{Object: schema.Contact, Name: "Ada Lovelace", CompanyDomain: "example.com"},
		{Object: schema.Company, Key: "k7", Reject: &schema.Reject{Value: "n/a"}},
	}
	for _, test := range []struct {
		count int
		want  []int
	}{
		{1, []int{0, 0, 0, 0, 0, 0, 0}},
		{6, []int{5, 0, 4, 5, 4, 5, 0}},
		{7, []int{1, 0, 4, 5, 2, 4, 6}},
		{256, []int{117, 6, 14, 165, 156, 239, 236}},
		{1000, []int{205, 590, 174, 757, 92, 975, 500}},
	} {
		var got []int
		for i := range lines {
			got = append(got, onlyShard(t, &lines[i], test.count))
		}
		if fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("shards of %d = %v, want %v", test.count, got, test.want)
		}
	}
}

// onlyShard is the one shard that contains a line.
func onlyShard(t *testing.T, a *schema.Account, count int) int {
	t.Helper()
	found := -1
	for i := range count {
		if !(Shard{i, count}).Contains(a) {
			continue
		}
		if found >= 0 {
			t.Fatalf("%+v belongs to the shards %d and %d of %d", a, found, i, count)
		}
		found = i
	}
	if found < 0 {
		t.Fatalf("%+v belongs to no shard of %d", a, count)
	}
	return found
}

// TestShardOfDuplicates: lines that are one purchase belong to one shard, whatever else differs between them.
func TestShardOfDuplicates(t *testing.T) {
	t.Parallel()
	for _, pair := range [][2]schema.Account{
		{{Object: schema.Company, Name: "ACME", Key: "1", Row: 1}, {Object: schema.Company, Name: "Acme", Key: "2", Row: 900, File: "other.csv"}},
		{{Object: schema.Company, Domain: "acme.com", Name: "Acme", Row: 1}, {Object: schema.Company, Domain: "acme.com", Name: "Acme Holding", Row: 2}},
		{{Object: schema.Contact, Email: "a@acme.com", Name: "Ada"}, {Object: schema.Contact, Email: "a@acme.com", CompanyDomain: "acme.com"}},
	} {
		for _, count := range []int{2, 3, 100, 997} {
			if a, b := onlyShard(t, &pair[0], count), onlyShard(t, &pair[1], count); a != b {
				t.Errorf("%+v and %+v belong to the shards %d and %d of %d", pair[0], pair[1], a, b, count)
			}
		}
	}
}

// TestShardsAreBalanced: of a long list every shard has about as many lines, also if a table of identities divides
// its lines by the same hash.
func TestShardsAreBalanced(t *testing.T) {
	t.Parallel()
	const lines = 100_000
	for _, count := range []int{2, 6, 10, 64, 256} {
		sizes := make([]int, count)
		tables := map[byte]bool{} // of shard 0
		for i := range lines {
			a := schema.Account{Object: schema.Company, Domain: fmt.Sprintf("company-%d.com", i)}
			s := shardOf(&a, count)
			if sizes[s]++; s == 0 {
				tables[IdentityOf(&a)[0]] = true
			}
		}
		mean := lines / count
		for s, n := range sizes {
			if off := n - mean; off*off > 25*mean { // five standard deviations
				t.Errorf("shard %d of %d has %d lines, want about %d", s, count, n, mean)
			}
		}
		if want := min(256, mean) / 2; len(tables) < want {
			t.Errorf("the lines of a shard of %d lie in %d tables, want at least %d", count, len(tables), want)
		}
	}
}
