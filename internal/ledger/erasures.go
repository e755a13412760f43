package ledger

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Erasure is the request that a person be forgotten. From its record on nothing is asked about the person. It names
// the person by the vendor's id, and else only by digests of identifiers.
type Erasure struct {
	Contact string `json:"contact"` // the vendor's id of the person
	// Digests of the person's other identifiers, such as e-mail addresses, as a list would have them, in 12 bytes each.
	Identities []byte    `json:"identities,omitempty"`
	Requested  time.Time `json:"requested"` // when the person asked for it; zero: it is not known
	Received   time.Time `json:"received"`
	Reason     string    `json:"why"`
	Source     string    `json:"source,omitempty"` // what asked for it: the delivery of a notice
}

// erasures are the requests of a ledger, in the order of their records.
type erasures struct {
	all        []Erasure
	identities map[pipeline.Identity]int // of each person, with its number from 1
	sources    map[string]bool
}

func (e *erasures) add(x *Erasure) {
	if e.identities == nil {
		e.identities, e.sources = map[pipeline.Identity]int{}, map[string]bool{}
	}
	e.all = append(e.all, *x)
	n := len(e.all)
	e.identities[pipeline.IdentityByID(schema.Contact, x.Contact)] = n
	const size = len(pipeline.Identity{})
	for key := range slices.Chunk(x.Identities[:len(x.Identities)/size*size], size) {
		e.identities[pipeline.Identity(key)] = n
	}
	if x.Source != "" {
		e.sources[x.Source] = true
	}
}

func (r *replayer) applyErasure(h *Erasure) error {
	if h.Contact == "" {
		return fmt.Errorf("%w: an erasure request without a person", wal.ErrCorrupt)
	}
	r.state.erasures.add(h)
	return nil
}

// Erasures are the requests of persons to be forgotten.
type Erasures struct {
	log   *wal.Log
	state *state
}

// Erasures are those of the ledger.
func (l *Ledger) Erasures() Erasures { return Erasures{l.log, l.state} }

// All are the requests, oldest first.
func (e Erasures) All() []Erasure { return slices.Clone(e.state.erasures.all) }

// Contacts are the ids of the persons, sorted, each once.
func (e Erasures) Contacts() (ids []string) {
	for i := range e.state.erasures.all {
		ids = append(ids, e.state.erasures.all[i].Contact)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// IsKnown reports whether a request from a source is recorded.
func (e Erasures) IsKnown(source string) bool { return e.state.erasures.sources[source] }

// Record records a request durably. The person is also known by other identifiers.
func (e Erasures) Record(x Erasure, identities ...pipeline.Identity) error {
	for _, key := range identities {
		x.Identities = append(x.Identities, key[:]...)
	}
	head, err := json.Marshal(x)
	if err == nil {
		_, err = e.log.Append(byte(kindErasure), head, nil)
	}
	if err != nil {
		return err
	}
	e.state.mu.Lock()
	defer e.state.mu.Unlock()
	e.state.erasures.add(&x)
	return nil
}

// Suppressed says why nothing may be asked about an account: the person has asked to be forgotten. Empty: it may.
func (p *Purchases) Suppressed(ctx context.Context, a *schema.Account) (reason string) {
	known := p.state.erasures.identities
	if len(known) == 0 {
		return ""
	}
	for _, identity := range PersonIdentities(ctx, a, p) {
		if n := known[identity]; n > 0 {
			return p.state.erasures.all[n-1].Text()
		}
	}
	return ""
}

// PersonIdentities are those of a person that an account may stand for: by its identifiers, and by the id that purchases
// know; none, if it is a company.
func PersonIdentities(ctx context.Context, a *schema.Account, known pipeline.Purchases) (all []pipeline.Identity) {
	if a.Object != schema.Contact {
		return nil
	}
	all = append(all, pipeline.IdentityOf(a)) // also by name
	for kind, text := range map[schema.Identifier]string{schema.ByID: a.ID, schema.ByLinkedIn: a.LinkedIn, schema.ByEmail: a.Email} {
		if text != "" {
			all = append(all, pipeline.IdentityOfText(a.Object, kind, text))
		}
	}
	if a.ID == "" {
		if e := known.Entity(ctx, a); e.ID != "" {
			all = append(all, pipeline.IdentityByID(e.Object, e.ID))
		}
	}
	return all
}

// Text says why nothing is asked about the person.
func (x *Erasure) Text() string {
	day := x.Received
	if !x.Requested.IsZero() {
		day = x.Requested
	}
	return fmt.Sprintf(schema.OptedOutReason+"%s: nothing is requested any more; see siglake erase list", day.UTC().Format(time.DateOnly))
}
