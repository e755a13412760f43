package sources

import (
	"cmp"
	"context"
	"fmt"
	"hash/maphash"
	"io"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// Clashes are the domains under which lines of a list name different companies, although at most
// one of them has the domain as its own: "Nordwind Cafe, nordwind.sites.example" and "Suedstern
// Bau, suedstern.sites.example" are not both sites.example, and no public list knows every such
// site. Merged as duplicates, one company would get the answer about the other, or about a third.
// So a line with a part that was cut is requested by its name, with a note; a line with the very
// domain keeps it, also with a note.
//
// Finding them takes one reading of the list before the first line is yielded, if its columns have
// both domains and names. The zero value has found nothing yet. One Clashes serves all readings of
// the same list: the first finds the clashes, and the others know them.
//
// While they are searched, a line takes 12 bytes; then, only the clashes take memory.
type Clashes struct {
	found  bool
	seed   maphash.Seed
	claims [256][]claim // by the first byte of the domain's hash
	// Hashes of the domains, sorted.
	domains []uint64
	// Hashes of domains with the names that lines without a cut part have, sorted.
	owners []uint64
}

// claim is a domain with the name that a line has for it, both hashed, in as little memory as can
// be: the domain's hash in two halves, and 31 bits of the name's, above the bit that says that a
// part was cut.
type claim struct{ high, low, name uint32 }

func newClaim(domain, name uint64, cut bool) claim {
	c := claim{uint32(domain >> 32), uint32(domain), uint32(name) << 1} //nolint:gosec // hashes
	if cut {
		c.name |= 1
	}
	return c
}

func (c claim) domain() uint64 { return uint64(c.high)<<32 | uint64(c.low) }
func (c claim) cut() bool      { return c.name&1 == 1 }

// owner identifies a domain with a name.
func (c claim) owner() uint64 { return c.domain() ^ uint64(c.name>>1) }

// claim is the claim of a line.
func (c *Clashes) claim(domain, name string, cut bool) claim {
	return newClaim(maphash.String(c.seed, domain), maphash.String(c.seed, companyKey(name)), cut)
}

// companyKey is what the names of one company have in common.
func companyKey(name string) string {
	return joinedWords(name)
}

// add notes a line while clashes are searched.
func (c *Clashes) add(line claim) {
	table := &c.claims[line.high>>24]
	*table = append(*table, line)
}

// settle ends the search.
func (c *Clashes) settle() {
	for i, claims := range c.claims {
		slices.SortFunc(claims, func(a, b claim) int {
			return cmp.Or(cmp.Compare(a.domain(), b.domain()), cmp.Compare(a.name, b.name))
		})
		for len(claims) > 0 {
			n := 1
			for n < len(claims) && claims[n].domain() == claims[0].domain() {
				n++
			}
			c.settleDomain(claims[:n])
			claims = claims[n:]
		}
		c.claims[i] = nil
	}
	slices.Sort(c.domains)
	slices.Sort(c.owners)
	c.owners = slices.Compact(c.owners)
	c.found = true
}

// settleDomain decides about the lines of one domain, in the order of their names.
func (c *Clashes) settleDomain(claims []claim) {
	if claims[0].name>>1 == claims[len(claims)-1].name>>1 || !slices.ContainsFunc(claims, claim.cut) {
		return
	}
	c.domains = append(c.domains, claims[0].domain())
	for _, line := range claims {
		if !line.cut() {
			c.owners = append(c.owners, line.owner())
		}
	}
}

// FindClashes reads the list for its clashes, unless that was done or there can be none. Accounts
// does it if it was not done before, but then only its own context can end the search. Errors of the
// list are left to Accounts, which meets them, too.
func (l *List) FindClashes(ctx context.Context) error {
	c := l.options.Clashes
	if c.found {
		return nil
	}
	c.seed, c.claims = maphash.MakeSeed(), [256][]claim{}
	if l.canClash {
		if again := l.reopen(ctx); again != nil {
			err := again.readFiles(ctx, func(schema.Account) bool { return true })
			_ = again.Close() // only read: nothing to lose
			l.takeBack(err)
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	c.settle()
	return nil
}

// takeBack rewinds the workbook that reopen lent, if it did. If that is impossible, it is opened again.
func (l *List) takeBack(err error) {
	f := l.first
	if f == nil || !f.stays {
		return
	}
	f.stays = false
	if err == nil {
		err = f.rewindSheet()
	}
	if err == nil {
		return
	}
	f.close()
	l.first = nil
	if stdin, ok := l.options.Stdin.(sizedReader); ok {
		l.options.Stdin = io.NewSectionReader(stdin, 0, stdin.Size())
	}
}

// sizedReader can be read again from its beginning.
type sizedReader interface {
	io.ReaderAt
	Size() int64
}

// reopen opens the list at its beginning; nil if that is impossible. A workbook is not opened twice: see takeBack.
func (l *List) reopen(ctx context.Context) *List {
	again := &List{objects: slices.Clone(l.objects), options: l.options, store: l.store, skipped: l.skipped}
	// What a list means does not depend on the sample or part of it that is read.
	again.options.Sample, again.options.Part, again.options.Rejects = nil, nil, nil
	if l.objects[0].URI == "-" {
		stdin, ok := l.options.Stdin.(sizedReader)
		if !ok {
			return nil
		}
		again.options.Stdin = io.NewSectionReader(stdin, 0, stdin.Size())
	}
	if l.first != nil && l.first.sheet != nil {
		again.first, l.first.stays = l.first, true
		return again
	}
	for i, object := range again.objects {
		if l.skipped[i] {
			continue
		}
		var err error
		if again.first, err = again.openObject(ctx, object); err != nil {
			return nil
		}
		return again
	}
	return nil
}

// canClash reports whether lines of the file have both a domain and a name for it.
func (l *layout) canClash() bool {
	if l.object == schema.Contact {
		return l.has(fieldCompanyDomain) && l.has(fieldCompanyName)
	}
	return l.has(fieldDomain) && l.has(fieldName)
}

// searchClash notes the claim of a record while clashes are searched, without the rest of an account.
func (r *rowParser) searchClash(rec *record) {
	switch a := r.account; {
	case r.checkRecord(rec) != nil:
	case r.object == schema.Company:
		if a.ID = r.readField(fieldID, ID); a.ID == "" {
			a.Domain = r.readDomain(fieldDomain, fieldName)
			r.settleClash(fieldDomain, a.Domain, r.readField(fieldName, Name))
		}
	default:
		a.ID, a.LinkedIn, a.Email = r.readField(fieldID, ID), r.readField(fieldLinkedIn, LinkedIn), r.readField(fieldEmail, Email)
		if a.ID == "" && a.Email == "" && (a.LinkedIn == "" || isInternalProfile(a.LinkedIn)) {
			r.readContact()
		}
	}
}

// settleClash settles whose domain a line has: if other lines name other companies under it, and a
// part of the line's address was cut, it is not the line's own.
func (r *rowParser) settleClash(f field, domain, company string) string {
	c := r.clashes
	if domain == "" || company == "" || c.found && len(c.domains) == 0 {
		return domain
	}
	line := c.claim(domain, company, r.cut && !isNameOf(company, domain))
	if !c.found {
		c.add(line)
		return domain
	}
	if _, clash := slices.BinarySearch(c.domains, line.domain()); !clash {
		return domain
	}
	column := columnName(r.header, r.columnOf(f)+1)
	if _, owner := slices.BinarySearch(c.owners, line.owner()); owner {
		r.addNote("%s: lines with other addresses at %s name other companies; they are requested by name", column, domain)
		return domain
	}
	r.account.Notes = slices.DeleteFunc(r.account.Notes, func(n string) bool { return strings.HasPrefix(n, column+": ") })
	r.rejected = append(r.rejected, badIdentifier{column, r.cellText(f),
		fmt.Errorf("lines with other addresses at %s name other companies, so the domain may be that of none of them", domain)})
	return ""
}
