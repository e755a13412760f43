package simulator

// This file is V2: how its answers are written.

func v2Encode(dst []byte, a *answer, sw *Switches, q *quirks) []byte {
	w := newWriter(dst, a, sw, q)
	w.apiVersion, w.chargeKey = apiV2, "creditCharged"
	root := "companies"
	if a.order.object == contact {
		root = "contacts"
	}
	w.open()
	w.entries(root, a, !q.rootList, w.v2Entry, func(f *finding) bool {
		if sw.NotFound != "error" || q.rootList {
			return false
		}
		w.b = append(w.b, `{"error":{"code":3,"name":"EMPTY_DATA","message":"No data for this entry"}}`...)
		return true
	})
	w.window(a.order)
	w.charge(a)
	return append(w.b, '}')
}

// v2Entry writes what is known about one entity: its identity, and one list per requested type.
func (w *writer) v2Entry(a *answer, f *finding) {
	w.b = append(w.b, '{')
	if f.entity.object == contact {
		w.id("personId", f.entity.id, false)
	} else {
		w.company(&f.entity, f.entity.domain)
	}
	w.signalLists(a.order, f)
	w.b = append(w.b, '}')
}
