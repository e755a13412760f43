package simulator

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

// sink discards an answer and counts its bytes, like a connection.
type sink struct {
	header http.Header
	size   int64
}

func (s *sink) Header() http.Header { return s.header }
func (s *sink) WriteHeader(int)     {}
func (s *sink) Flush()              {}
func (s *sink) Write(b []byte) (int, error) {
	s.size += int64(len(b))
	return len(b), nil
}

// BenchmarkAnswer measures a whole request for 100 companies, from its bytes to the bytes of the
// answer, for a narrow and for a full choice of signals.
func BenchmarkAnswer(b *testing.B) {
	for name, signals := range map[string]string{
		"5types":  `["headcountIncrease3m","surgeInHiring","surgeInHiringByDepartment","financialEventsNews","riskNews"]`,
		"22types": `["allSignals"]`,
	} {
		b.Run(name, func(b *testing.B) {
			now := time.Date(2026, 5, 1, 10, 0, 0, 0, time.UTC)
			s, err := New(Config{Plan: "unlimited", Credits: 1 << 50, Now: func() time.Time { return now }})
			if err != nil {
				b.Fatal(err)
			}
			bodies := make([][]byte, 64)
			for n := range bodies {
				body := []byte(`{"companies":[`)
				for i := range 100 {
					body = fmt.Appendf(appendComma(body), `{"id":"row-%d","domain":"firm-%d-%d.example"}`, i, n, i)
				}
				bodies[n] = append(body, `],"startDate":"2026-02-01","maxResultsPerSignal":10,"signals":`+signals+`}`...)
			}
			w := &sink{header: http.Header{}}
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				r := httptest.NewRequest(http.MethodPost, "/api/signals/companies/search", bytes.NewReader(bodies[n%len(bodies)]))
				r.Header = http.Header{"Api_key": {"k"}, "User-Agent": {"bench/1"}, "Content-Type": {"application/json"}}
				s.ServeHTTP(w, r)
				n++
			}
			b.SetBytes(w.size / int64(n))
			b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "answers/s")
		})
	}
}
