package ledger

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/siglake/siglake/internal/wal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// idsVersion begins the encoded ids of an answer. Each entity that the answer decides follows, in the
// order of answeredIdentities: the number of its identities and the length of its id, as unsigned
// varints, and the id. It is empty if the answer states none, or only the one by which it was requested.
const idsVersion = 1

// encodeIDs says which ids an answer states for the entities that it decides; nil: it decides none.
func encodeIDs(b *pipeline.Batch, items []pipeline.ItemReply, answered [][]pipeline.Identity) []byte {
	if b.Query.Service().IsPaged() {
		return nil
	}
	var out []byte
	for i := range items {
		if len(answered[i]) == 0 {
			continue
		}
		if out == nil {
			out = []byte{idsVersion}
		}
		id := items[i].Entity.ID
		if id == b.Items[i].Account.ID && len(answered[i]) == 1 { // other ids do not say it
			id = ""
		}
		out = append(appendUvarints(out, uint64(len(answered[i])), uint64(len(id))), id...)
	}
	return out
}

// decodeIDs returns the ids of an answer by the identities in the body of its outcome.
func decodeIDs(ids, identities []byte) (map[pipeline.Identity]string, error) {
	const size = len(pipeline.Identity{})
	known := map[pipeline.Identity]string{}
	d := decoder{b: ids[1:], bad: ids[0] != idsVersion}
	for len(d.b) > 0 && !d.bad {
		own := d.count(len(identities) / size)
		id := string(d.bytes(d.count(len(d.b))))
		for chunk := range slices.Chunk(identities[:own*size], size) {
			if id != "" {
				known[pipeline.Identity(chunk)] = id
			}
		}
		identities = identities[own*size:]
	}
	if d.bad || len(identities) > 0 {
		return nil, fmt.Errorf("%w: the ids of an answer cannot be read", wal.ErrCorrupt)
	}
	return known, nil
}

// maxIDCalls is the number of calls of which ids are in memory; those of one take about 10 KB.
const maxIDCalls = 1024

// readIDs reads the ids that a call's answer states, by identity: from the record of its outcome, or
// from the answer itself, since earlier versions recorded none.
func (a *archive) readIDs(ctx context.Context, c *Call) (map[pipeline.Identity]string, error) {
	if h, identities, err := a.readOutcome(ctx, c); err == nil && len(h.IDs) > 0 {
		return decodeIDs(h.IDs, identities)
	}
	b, call, err := a.readExchange(ctx, c)
	if err != nil {
		return nil, err
	}
	items, _ := a.decodeSettled(c, b, call)
	answered := answeredIdentities(b, items)
	ids := encodeIDs(b, items, answered)
	if ids == nil {
		return nil, nil
	}
	return decodeIDs(ids, joinIdentities(answered))
}

// hasAnswer reports whether the call has an answer that was understood.
func (c *Call) hasAnswer() bool {
	return c.responseAt != nil && (c.Outcome == pipeline.Charged || c.Outcome == pipeline.NotCharged)
}

// Entity is the entity of an account, with the id that the newest answer about its identifier states; the
// zero value: none states any.
func (p *Purchases) Entity(ctx context.Context, a *schema.Account) schema.Entity {
	e, _ := p.archive.statedEntity(ctx, a, p.state.settledCalls(pipeline.IdentityOf(a), (*Call).hasAnswer))
	return e
}

// statedEntity is Entity by calls about the account, oldest first. The error is that of an answer that
// cannot be read and may state the id.
func (a *archive) statedEntity(ctx context.Context, account *schema.Account, calls []*Call) (e schema.Entity, err error) {
	key := pipeline.IdentityOf(account)
	for _, c := range slices.Backward(calls) {
		id, ok, unread := lookUp(ctx, a, &a.ids, c, key, a.readIDs)
		if ok {
			return schema.Entity{Object: account.Object, ID: id}, nil
		}
		err = cmp.Or(err, unread)
	}
	if account.ID != "" {
		return schema.Entity{Object: account.Object, ID: account.ID}, nil
	}
	return schema.Entity{}, err
}
