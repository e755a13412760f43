package forecast

import (
	"cmp"
	"encoding/json"
	"slices"
	"sync"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// ResultSize is the length of the results of an answer.
type ResultSize struct {
	Results int64 `json:"results"`
	Bytes   int64 `json:"bytes"`
}

// AnswerSizes learns how long answers become: how many bytes a result takes, and which answers were
// cut on their way. The zero value knows nothing and makes a cautious guess. It may be used
// concurrently.
type AnswerSizes struct {
	mu     sync.Mutex
	byKind map[answerKind]*answerSize
}

// answerKind distinguishes answers by what their results look like.
type answerKind struct {
	object  schema.Object
	service pipeline.Service
	version pipeline.APIVersion
}

// answerSize is what is known about answers of one kind.
type answerSize struct {
	results ResultSize
	// Half of the results that an answer which was cut could have; 0: none was.
	maxResults int64
	// Bytes that arrived of the longest answer that was cut.
	cutAt int64
	// Bytes of one result if twice as much had been on its way.
	cutBytes int64
}

// AnswerLength is how long one answer was.
type AnswerLength struct {
	Results ResultSize
	Ceiling int64 // most results that it could have
	Length  int64 // bytes that arrived; 0: not known
	Cut     bool  // what followed was lost
}

const (
	// guessedBytes is the guess for a result: several times what the documented examples take.
	guessedBytes = 2 << 10
	// leastBytes is less than any result takes.
	leastBytes = 256
	// enoughResults is the number of results that tell more than the guess.
	enoughResults = 500
	// cutShare is the part of the target from which on the length of an answer may be why it broke
	// off. Shorter ones break off for other reasons.
	cutShare = 64
)

// Add learns from an answer to a query. One that was cut halves the results that further answers
// may have. It also raises the estimate by which they are read, since one entity cannot be divided.
// That holds until an answer comes whole that is longer than what arrived of the other.
func (s *AnswerSizes) Add(q *pipeline.Query, a AnswerLength) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.byKind == nil {
		s.byKind = map[answerKind]*answerSize{}
	}
	k := s.byKind[kindOf(q)]
	if k == nil {
		k = new(answerSize)
		s.byKind[kindOf(q)] = k
	}
	switch {
	case !a.Cut:
		k.results.Results += a.Results.Results
		k.results.Bytes += a.Results.Bytes
		if a.Length > k.cutAt {
			k.maxResults, k.cutAt, k.cutBytes = 0, 0, 0
		}
	default:
		half := max(a.Ceiling/2, 1)
		if k.maxResults == 0 || half < k.maxResults {
			k.maxResults = half
		}
		k.cutAt = max(k.cutAt, a.Length)
		k.cutBytes = max(k.cutBytes, 2*(a.Length/max(a.Ceiling, 1)))
	}
}

func kindOf(q *pipeline.Query) answerKind { return answerKind{q.Object, q.Service(), q.APIVersion} }

// ResultBytes is a high estimate of the bytes of one result: twice the mean of those that were
// received, and not less than the guess while they are few, nor than what arrived of an answer that
// was cut.
func (s *AnswerSizes) ResultBytes(q *pipeline.Query) int64 {
	k := s.of(q)
	return max(k.resultBytes(), k.cutBytes)
}

// MaxEntities is the number, of n entities, that one call should request at most so that its answer
// is sure to come whole: no longer than target, and without as many results as one that was cut.
func (s *AnswerSizes) MaxEntities(q *pipeline.Query, n int, target int64) int {
	k, maxResults := s.of(q), int64(0)
	if k.cutAt >= target/cutShare {
		maxResults = k.maxResults
	}
	return q.MaxEntitiesOf(n, maxResults, target, k.resultBytes())
}

// MaxResults is the number, of n results, that one page should have at most so that its answer is
// sure to come whole. It is at least one.
func (s *AnswerSizes) MaxResults(q *pipeline.Query, n, target int64) int64 {
	k := s.of(q)
	if k.cutAt >= target/cutShare && k.maxResults > 0 {
		n = min(n, k.maxResults)
	}
	return max(min(n, pipeline.ResultsWithin(target, k.resultBytes())), 1)
}

// of returns what is known about the answers to a query.
func (s *AnswerSizes) of(q *pipeline.Query) answerSize {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.byKind[kindOf(q)]; k != nil {
		return *k
	}
	return answerSize{}
}

// resultBytes is the estimate for one result.
func (k *answerSize) resultBytes() int64 {
	least := int64(guessedBytes)
	if k.results.Results >= enoughResults {
		least = leastBytes
	}
	if k.results.Results == 0 {
		return least
	}
	return max(least, 2*(k.results.Bytes/k.results.Results+1))
}

// sizeRecord is what is known about answers of one kind, as JSON.
type sizeRecord struct {
	Object     schema.Object       `json:"object"`
	Service    pipeline.Service    `json:"service"`
	Version    pipeline.APIVersion `json:"api,omitempty"`
	Results    ResultSize          `json:"results"`
	MaxResults int64               `json:"max_results,omitempty"`
	CutAt      int64               `json:"cut_at,omitempty"`
	CutBytes   int64               `json:"cut_bytes,omitempty"`
}

// MarshalJSON writes what is known, in an order of its own.
func (s *AnswerSizes) MarshalJSON() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	records := []sizeRecord{}
	for kind, size := range s.byKind {
		records = append(records, sizeRecord{kind.object, kind.service, kind.version, size.results, size.maxResults, size.cutAt, size.cutBytes})
	}
	slices.SortFunc(records, func(a, b sizeRecord) int {
		return cmp.Or(cmp.Compare(a.Object, b.Object), cmp.Compare(a.Service, b.Service), cmp.Compare(a.Version, b.Version))
	})
	return json.Marshal(records)
}

// UnmarshalJSON reads what MarshalJSON wrote, in place of what is known.
func (s *AnswerSizes) UnmarshalJSON(text []byte) error {
	var records []sizeRecord
	if err := json.Unmarshal(text, &records); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKind = map[answerKind]*answerSize{}
	for _, r := range records {
		s.byKind[answerKind{r.Object, r.Service, r.Version}] = &answerSize{r.Results, r.MaxResults, r.CutAt, r.CutBytes}
	}
	return nil
}

// Restore replaces what is known by what another one knows, which must not be used afterwards.
func (s *AnswerSizes) Restore(from *AnswerSizes) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byKind = from.byKind
}

// Clone is a copy that learns nothing more.
func (s *AnswerSizes) Clone() *AnswerSizes {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &AnswerSizes{byKind: map[answerKind]*answerSize{}}
	for kind, size := range s.byKind {
		copied := *size
		c.byKind[kind] = &copied
	}
	return c
}
