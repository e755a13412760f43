package simulator

import "sync"

// nameBook remembers the names and domains by which companies were requested. All else of a company follows
// from its id, but a hash does not lead back to a domain: without the book, the company of a domain would have
// another name when it is requested by its id, or delivered.
type nameBook struct{ byID sync.Map }

// names are what a request called a company.
type names struct{ name, domain string }

// find is world.find with the names by which the company was requested before.
func (b *nameBook) find(w world, o object, l *lookup) (e entity, known bool) {
	if o != company {
		return w.find(o, l)
	}
	if called := (names{l.name, l.domain}); called != (names{}) {
		if e, known = w.find(o, l); known {
			b.byID.Store(l.id, called)
		}
		return e, known
	}
	before, ok := b.byID.Load(l.id)
	if !ok {
		return w.find(o, l)
	}
	named := *l
	named.name, named.domain = before.(names).name, before.(names).domain
	return w.find(o, &named)
}
