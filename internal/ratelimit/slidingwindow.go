package ratelimit

// bucketsPerSpan is the number of buckets in a window's length.
const bucketsPerSpan = 300

// slidingWindow counts the events of the last span, in buckets of span/bucketsPerSpan.
type slidingWindow struct {
	Newest int64 // number of the newest bucket, counted from 1970
	Sum    int64 // of all counts
	Counts [bucketsPerSpan + 1]uint32
}

// advance drops the buckets that have left the span. If the clock was set back, the buckets move
// with it.
func (w *slidingWindow) advance(now, span int64) {
	n := floorDiv(now, span/bucketsPerSpan)
	switch {
	case n < w.Newest-1:
		before := *w
		for i := range int64(len(w.Counts)) {
			w.Counts[bucketIndex(n-i)] = before.Counts[bucketIndex(before.Newest-i)]
		}
		w.Newest = n
	case n-w.Newest > bucketsPerSpan:
		*w = slidingWindow{Newest: n}
	}
	for w.Newest < n {
		w.Newest++
		count := &w.Counts[bucketIndex(w.Newest)]
		w.Sum -= int64(*count)
		*count = 0
	}
}

func (w *slidingWindow) add(n, now, span int64) {
	w.advance(now, span)
	w.Counts[bucketIndex(w.Newest)] += uint32(n)
	w.Sum += n
}

// addAt counts events of a moment that is not later than now. Those of a moment before the span count in its oldest
// bucket.
func (w *slidingWindow) addAt(n, at, now, span int64) {
	w.advance(now, span)
	bucket := max(floorDiv(at, span/bucketsPerSpan), w.Newest-bucketsPerSpan)
	w.Counts[bucketIndex(min(bucket, w.Newest))] += uint32(n)
	w.Sum += n
}

// expiryOf is when k of the calls will have left; 0 if there are fewer.
func (w *slidingWindow) expiryOf(k, span int64) int64 {
	for n := w.Newest - bucketsPerSpan; n <= w.Newest; n++ {
		if k -= int64(w.Counts[bucketIndex(n)]); k <= 0 {
			return (n + 1 + bucketsPerSpan) * (span / bucketsPerSpan)
		}
	}
	return 0
}

// countSince counts the events after a time, to within a bucket.
func (w *slidingWindow) countSince(from, span int64) (sum int64) {
	for n := max(w.Newest-bucketsPerSpan, floorDiv(from, span/bucketsPerSpan)); n <= w.Newest; n++ {
		sum += int64(w.Counts[bucketIndex(n)])
	}
	return sum
}

func bucketIndex(n int64) int64 {
	return ((n % (bucketsPerSpan + 1)) + bucketsPerSpan + 1) % (bucketsPerSpan + 1)
}

// floorDiv divides, rounding down: times before 1970 are negative.
func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}
