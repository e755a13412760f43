package inbox

import "time"

// recentIDs remembers a limited number of ids, the latest ones.
type recentIDs struct {
	received map[idDigest]time.Time
	ring     []idDigest // in order of arrival, from next on once it is full
	next     int
}

func newRecentIDs(limit int) *recentIDs {
	return &recentIDs{received: map[idDigest]time.Time{}, ring: make([]idDigest, 0, limit)}
}

// add remembers an id, in the place of the oldest one if there are too many.
func (r *recentIDs) add(id idDigest, received time.Time) {
	if _, found := r.received[id]; found {
		r.received[id] = received
		return
	}
	if len(r.ring) < cap(r.ring) {
		r.ring = append(r.ring, id)
	} else {
		delete(r.received, r.ring[r.next])
		r.ring[r.next] = id
		r.next = (r.next + 1) % len(r.ring)
	}
	r.received[id] = received
}

// has reports whether an id arrived after a time.
func (r *recentIDs) has(id idDigest, since time.Time) bool {
	received, found := r.received[id]
	return found && received.After(since)
}

func (r *recentIDs) len() int { return len(r.received) }
