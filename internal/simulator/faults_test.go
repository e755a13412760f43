package simulator

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// pipes is an in-memory network, so that timeouts can be tested in a synctest bubble.
type pipes struct {
	dialled chan net.Conn
	closed  chan struct{}
	once    sync.Once
}

func newPipes() *pipes { return &pipes{dialled: make(chan net.Conn), closed: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.dialled:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 80} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case p.dialled <- there:
		return here, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// serve starts s behind pipes and returns a client of it, for use in a synctest bubble.
func serve(s *Server) (client *http.Client, stop func()) {
	p := newPipes()
	srv := &http.Server{Handler: s}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(p) // ends with ErrServerClosed
	}()
	transport := &http.Transport{DialContext: p.dial, MaxIdleConnsPerHost: 100}
	client = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return client, func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		<-done
	}
}

// outcome is what a client sees of a request.
type outcome struct {
	status int
	header http.Header
	body   []byte
	err    error // of the connection, or of the body
}

func (o outcome) String() string {
	body := o.body
	if len(body) > 200 {
		body = body[:200]
	}
	return fmt.Sprintf("%d %s %v", o.status, body, o.err)
}

// send posts a body with a timeout and reads the answer to its end.
func send(client *http.Client, base, path, key, body string, timeout time.Duration) outcome {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, base+path, strings.NewReader(body))
	if err != nil {
		return outcome{err: err}
	}
	r.Header = http.Header{"Api_key": {key}, "User-Agent": {"siglake-test/1"}, "Content-Type": {"application/json"}}
	r.GetBody = nil
	resp, err := client.Do(r)
	if err != nil {
		return outcome{err: err}
	}
	defer resp.Body.Close()
	o := outcome{status: resp.StatusCode, header: resp.Header}
	o.body, o.err = io.ReadAll(resp.Body)
	return o
}

const clientTimeout = 5 * time.Minute

// wantOutcomes holds what a client must see of each kind of fault. A kind without an entry fails the
// test.
var wantOutcomes = map[string]func(o outcome, plain answerV2) error{
	"429-burst":   problemReply(429, "slow"),
	"429-hourly":  problemReply(429, "reset in 2 seconds"),
	"429-daily":   problemReply(429, "daily"),
	"429-trial":   problemReply(429, "trial"),
	"400-refused": problemReply(400, "errors"),
	"401-revoked": problemReply(401, "invalid_request"),
	"402-credits": problemReply(402, "credits"),
	"403-plan":    problemReply(403, "plan"),
	"404-none":    problemReply(404, "no matches"),
	"412-name":    problemReply(412, "name"),
	"422-value":   problemReply(422, "value"),
	"451-legal":   problemReply(451, "legal"),
	"499-refused": problemReply(499, "took too long"),
	"499-billed":  problemReply(499, "took too long"),
	"500-refused": problemReply(500, "try again"),
	"502-refused": problemReply(502, "try again"),
	"503-refused": problemReply(503, "try again"),
	"504-refused": problemReply(504, "try again"),
	"500-billed":  proxyReply(500),
	"502-billed":  proxyReply(502),
	"503-billed":  proxyReply(503),
	"504-billed":  proxyReply(504),
	"html-502":    proxyReply(502),
	"404-route": func(o outcome, _ answerV2) error {
		return expect(o.status == 404 && bytes.Contains(o.body, []byte("request_id")) && !bytes.Contains(o.body, []byte("statusCode")))
	},
	"drop-before":       func(o outcome, _ answerV2) error { return expect(o.err != nil && o.status == 0) },
	"drop-after-charge": func(o outcome, _ answerV2) error { return expect(o.err != nil && o.status == 0) },
	"hang":              func(o outcome, _ answerV2) error { return expect(o.err != nil && o.status == 0) },
	"reset-mid-body":    func(o outcome, _ answerV2) error { return expect(o.err != nil) },
	"truncated-chunked": func(o outcome, _ answerV2) error {
		return expect(o.status == 200 && errors.Is(o.err, io.ErrUnexpectedEOF) && len(o.body) > 0)
	},
	"truncated-close": func(o outcome, _ answerV2) error {
		return expect(o.status == 200 && o.err == nil && len(o.body) > 0 && !json.Valid(o.body) && o.header.Get("Content-Length") == "")
	},
	"error-under-200": func(o outcome, _ answerV2) error {
		var p struct{ StatusCode int }
		return expect(o.status == 200 && json.Unmarshal(o.body, &p) == nil && p.StatusCode >= 400)
	},
	"empty-200":   func(o outcome, _ answerV2) error { return expect(o.status == 200 && o.err == nil && len(o.body) == 0) },
	"garbage-200": func(o outcome, _ answerV2) error { return expect(o.status == 200 && !json.Valid(o.body)) },
	"html-200":    proxyReply(200),
	"redirect": func(o outcome, _ answerV2) error {
		to := o.header.Get("Location")
		return expect(o.status == 307 && strings.HasPrefix(to, "https://") && !strings.Contains(to, "simulator.test"))
	},
	"slow":      sameAnswer(200, nil),
	"slow-drip": sameAnswer(200, nil),
	"201":       sameAnswer(201, nil),
	"wrong-content-type": func(o outcome, p answerV2) error {
		return errors.Join(sameAnswer(200, nil)(o, p), expect(o.header.Get("Content-Type") == "text/plain"))
	},
	"huge-body": func(o outcome, p answerV2) error {
		return errors.Join(sameAnswer(200, nil)(o, p), expect(len(o.body) > 64<<20))
	},
	"charge-missing":  chargeReads(func(b []byte, _ int64) bool { return !bytes.Contains(bytes.ToLower(b), []byte("charged")) }),
	"charge-null":     chargeReads(func(b []byte, _ int64) bool { return bytes.HasSuffix(b, []byte(`"creditCharged":null}`)) }),
	"charge-string":   chargeReads(func(b []byte, n int64) bool { return bytes.HasSuffix(b, fmt.Appendf(nil, `"creditCharged":"%d"}`, n)) }),
	"charge-negative": chargeReads(func(b []byte, _ int64) bool { return bytes.HasSuffix(b, []byte(`"creditCharged":-1}`)) }),
	"charge-fraction": chargeReads(func(b []byte, n int64) bool { return bytes.HasSuffix(b, fmt.Appendf(nil, `"creditCharged":%d.5}`, n)) }),
	"charge-duplicate": chargeReads(func(b []byte, n int64) bool {
		return bytes.HasSuffix(b, fmt.Appendf(nil, `"creditCharged":%d,"creditCharged":%d}`, n, n+7))
	}),
	"charge-case": chargeReads(func(b []byte, n int64) bool { return bytes.HasSuffix(b, fmt.Appendf(nil, `"CreditCharged":%d}`, n)) }),
	"charge-elsewhere": chargeReads(func(b []byte, n int64) bool {
		return bytes.HasSuffix(b, fmt.Appendf(nil, `"creditsCharged":%d}`, n)) || bytes.Contains(b, fmt.Appendf(nil, `"billing":{"creditsCharged":%d,`, n))
	}),
	"extra-fields": sameAnswer(200, []string{"apiRevision", "industry", "confidence"}),
	"unknown-type": sameAnswer(200, []string{"headcountGrowth"}),
	"drift":        sameAnswer(200, []string{"apiRelease", "sentimentScore", `"changeRatePercent":{`, "Layoff Round", "patentFiling"}),
	"odd-types": func(o outcome, _ answerV2) error {
		return expect(o.status == 200 && json.Valid(o.body) && (bytes.Contains(o.body, []byte(`Count":"`)) || bytes.Contains(o.body, []byte(`Avg":"`))) &&
			bytes.Contains(o.body, []byte(":null")))
	},
	"missing-entities-some": func(o outcome, p answerV2) error {
		a, err := decodeOutcome(o)
		return errors.Join(err, expect(len(a.Companies) < len(p.Companies) && len(a.Companies) > 0 && *a.Charge == *p.Charge))
	},
	"foreign-entity": func(o outcome, p answerV2) error {
		a, err := decodeOutcome(o)
		return errors.Join(err, expect(len(a.Companies) == len(p.Companies)+1 && *a.Charge == *p.Charge))
	},
	"duplicate-entity-key": func(o outcome, p answerV2) error {
		a, err := decodeOutcome(o)
		doubled := 0
		for ref := range p.Companies {
			doubled += bytes.Count(o.body, fmt.Appendf(nil, `%q:{"companyId"`, ref))
		}
		return errors.Join(err, expect(len(a.Companies) == len(p.Companies) && doubled == len(p.Companies)+1))
	},
	"root-list": func(o outcome, p answerV2) error {
		var a struct{ Companies []map[string]json.RawMessage }
		err := json.Unmarshal(o.body, &a)
		return errors.Join(err, expect(len(a.Companies) == len(p.Companies)))
	},
}

func expect(ok bool) error {
	if ok {
		return nil
	}
	return errors.New("not as documented")
}

// problemReply expects an error in the API's own envelope.
func problemReply(status int, hint string) func(outcome, answerV2) error {
	return func(o outcome, _ answerV2) error {
		var p struct{ StatusCode int }
		err := json.Unmarshal(o.body, &p)
		return errors.Join(err, o.err, expect(o.status == status && p.StatusCode == status && bytes.Contains(bytes.ToLower(o.body), []byte(hint))))
	}
}

// proxyReply expects an answer that does not come from the API.
func proxyReply(status int) func(outcome, answerV2) error {
	return func(o outcome, _ answerV2) error {
		return expect(o.err == nil && o.status == status && o.header.Get("Content-Type") == htmlType && !json.Valid(o.body))
	}
}

// sameAnswer expects the requested answer, plus the given words.
func sameAnswer(status int, words []string) func(outcome, answerV2) error {
	return func(o outcome, p answerV2) error {
		a, err := decodeOutcome(o)
		ok := o.status == status && len(a.Companies) == len(p.Companies) && a.Charge != nil && *a.Charge == *p.Charge
		for _, word := range words {
			ok = ok && bytes.Contains(o.body, []byte(word))
		}
		return errors.Join(err, expect(ok))
	}
}

func chargeReads(as func(body []byte, n int64) bool) func(outcome, answerV2) error {
	return func(o outcome, p answerV2) error {
		return errors.Join(o.err, expect(o.status == 200 && json.Valid(o.body) && as(o.body, *p.Charge)))
	}
}

func decodeOutcome(o outcome) (a answerV2, err error) {
	if o.err != nil {
		return a, o.err
	}
	return a, json.Unmarshal(o.body, &a)
}

// TestFaultKinds injects every kind twice: over a network of pipes in synthetic time and, for
// kinds that need no waiting, over a real one.
func TestFaultKinds(t *testing.T) {
	body := `{` + companiesV2("k", 7) + `,"signals":["allSignals"]}`
	plain := postV2(t, rig(t, Config{}), companySearch, body)
	if plain.Charge == nil || *plain.Charge < 10 {
		t.Fatalf("the plain answer costs %v, too little to test with", plain.Charge)
	}
	for _, kind := range FaultKinds() {
		wantOutcome := wantOutcomes[kind.Name]
		if wantOutcome == nil || kind.Doc == "" {
			t.Errorf("fault %s: nothing is known of how it looks", kind.Name)
			continue
		}
		config := Config{Faults: []Fault{{Kind: kind.Name, At: 1}}}
		check := func(t *testing.T, s *Server, o outcome) {
			t.Helper()
			if err := wantOutcome(o, plain); err != nil {
				t.Errorf("answer = %v: %v", o, err)
			}
			wantCredits := int64(0)
			if kind.Billed {
				wantCredits = *plain.Charge
			}
			b := s.Bill()
			e := b.Entries[0]
			if e.Fault != kind.Name || e.Credits != wantCredits || e.Delivered != kind.Delivered || b.Credits != wantCredits {
				t.Errorf("entry = %+v, want fault %s, %d credits, delivered %t", e, kind.Name, wantCredits, kind.Delivered)
			}
			if o.status != e.Status && kind.Name != "reset-mid-body" {
				t.Errorf("entry has status %d, the client saw %d", e.Status, o.status)
			}
			if o.header != nil && o.header.Get("x-daily-requests-left") == "" {
				t.Errorf("headers = %v, want the nine", o.header)
			}
		}
		t.Run("pipe/"+kind.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := rig(t, config)
				client, stop := serve(s)
				defer stop()
				o := send(client, "http://simulator.test", companySearch, "key-1", body, clientTimeout)
				// The handler may end after the client has its answer.
				synctest.Wait()
				check(t, s, o)
				after := send(client, "http://simulator.test", companySearch, "key-1", body, clientTimeout)
				wantAfter := 200
				if kind.Name == "401-revoked" {
					wantAfter = 401
				}
				if after.status != wantAfter || after.err != nil {
					t.Errorf("the next request = %v, want %d", after, wantAfter)
				}
				if lasts := bytes.Contains(after.body, []byte("apiRelease")); lasts != (kind.Name == "drift") {
					t.Errorf("the next answer has the form of a later release: %t", lasts)
				}
			})
		})
		if slices.Contains([]string{"slow", "slow-drip", "hang", "huge-body"}, kind.Name) {
			continue // slow kinds run once
		}
		t.Run("net/"+kind.Name, func(t *testing.T) {
			s := rig(t, config)
			srv := httptest.NewServer(s)
			client := srv.Client()
			client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
			o := send(client, srv.URL, companySearch, "key-1", body, math.MaxInt64) // real time: no timeout
			srv.Close()                                                             // waits for the handler
			check(t, s, o)
		})
	}
	for name := range wantOutcomes {
		if _, err := faultSpecOf(name); err != nil {
			t.Error(err)
		}
	}
}

func TestSlowIsSlow(t *testing.T) {
	for kind, least := range map[string]time.Duration{"slow": 4 * time.Second, "slow-drip": 900 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			s := rig(t, Config{Latency: 400 * time.Millisecond, Faults: []Fault{{Kind: kind, At: 1}}})
			start := time.Now()
			postV2(t, s, companyIDs, `{"companyIds":[3],"signals":["riskNews"]}`)
			elapsed := time.Since(start)
			if elapsed < least || elapsed > 10*time.Second {
				t.Errorf("%s took %v, want between %v and 10s", kind, elapsed, least)
			}
		})
	}
}

func TestHangEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rig(t, Config{Faults: []Fault{{Kind: "hang", At: 1}}})
		client, stop := serve(s)
		defer stop()
		start := time.Now()
		o := send(client, "http://simulator.test", companyIDs, "k", `{"companyIds":[3],"signals":["riskNews"]}`, time.Hour)
		if o.err == nil || time.Since(start) != maxHang {
			t.Errorf("hang = %v after %v, want an error after %v", o, time.Since(start), maxHang)
		}
	})
}

func TestLatencyVariesAndRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := rig(t, Config{Latency: time.Second})
		seen := map[time.Duration]bool{}
		for i := range 20 {
			took := [2]time.Duration{}
			for n := range took {
				start := time.Now()
				postV2(t, s, companyIDs, fmt.Sprintf(`{"companyIds":[%d],"signals":["riskNews"]}`, i+1))
				took[n] = time.Since(start)
			}
			if took[0] != took[1] || took[0] < time.Second/2 || took[0] > 3*time.Second {
				t.Errorf("request %d took %v", i, took)
			}
			seen[took[0]] = true
		}
		if len(seen) < 10 {
			t.Errorf("20 requests took %d different times", len(seen))
		}
	})
}

// TestClientDisconnects checks that a disconnect leaves the charge in place and books no delivery.
func TestClientDisconnects(t *testing.T) {
	body := `{` + companiesV2("l", 60) + `,"signals":["allSignals"]}`
	t.Run("while it waits", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := rig(t, Config{Latency: time.Minute})
			client, stop := serve(s)
			defer stop()
			o := send(client, "http://simulator.test", companySearch, "k", body, time.Second)
			synctest.Wait()
			e := s.Bill().Entries[0]
			if o.err == nil || e.Credits == 0 || e.Delivered || e.Status != 0 {
				t.Errorf("client saw %v, entry = %+v, want charged and not delivered", o, e)
			}
		})
	})
	t.Run("in the middle of the body", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			s := rig(t, Config{})
			client, stop := serve(s)
			defer stop()
			r := request(http.MethodPost, "http://simulator.test"+companySearch, body)
			r.RequestURI = ""
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(resp.Body, make([]byte, 100)); err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			synctest.Wait()
			if e := s.Bill().Entries[0]; e.Credits == 0 || e.Delivered || e.Status != 200 {
				t.Errorf("entry = %+v, want charged, begun and not delivered", e)
			}
		})
	})
}

// TestManyClientsEveryFault checks the bill under the worst load: 64 concurrent clients, every
// kind of fault and short timeouts. Every credit must be accounted for once.
func TestManyClientsEveryFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var faults []Fault
		for _, k := range FaultKinds() {
			f := Fault{Kind: k.Name, Rate: 0.02}
			if k.Name == "huge-body" {
				f.Times = 1
			}
			faults = append(faults, f)
		}
		const clients, each = 36, 20
		s := rig(t, Config{Seed: 3, Faults: faults, Latency: 50 * time.Millisecond, Credits: 12_000, Refuse: map[string]int{"b3-1.example": 451}})
		client, stop := serve(s)
		defer stop()
		claimed := make([]int64, clients)
		var wg sync.WaitGroup
		for c := range clients {
			wg.Go(func() {
				for i := range each {
					body := fmt.Sprintf(`{%s,"signals":["allSignals"]}`, companiesV2(fmt.Sprintf("b%d-", i), 3))
					o := send(client, "http://simulator.test", companySearch, fmt.Sprintf("key-%d-%d", c, i/4), body, time.Minute)
					var a answerV2
					if o.err == nil && o.status/100 == 2 && json.Unmarshal(o.body, &a) == nil && a.Charge != nil {
						claimed[c] += *a.Charge
					}
					if i%5 != 0 {
						continue
					}
					b := s.Bill() // a snapshot adds up at any instant
					if sum := sumCredits(b.Entries, nil); sum != b.Credits || b.Delivered+b.Undelivered != b.Credits || b.Credits+b.Remaining != b.Pool {
						t.Errorf("in flight: entries sum to %d, Bill() = %d = %d + %d, %d left", sum, b.Credits, b.Delivered, b.Undelivered, b.Remaining)
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()

		b := s.Bill()
		if len(b.Entries) != clients*each || b.Requests != clients*each {
			t.Errorf("Bill() has %d entries, want %d", len(b.Entries), clients*each)
		}
		if sum := sumCredits(b.Entries, nil); sum != b.Credits || b.Credits+b.Remaining != b.Pool || b.Remaining < 0 {
			t.Errorf("entries sum to %d, Bill().Credits = %d, remaining %d of %d", sum, b.Credits, b.Remaining, b.Pool)
		}
		if sum := sumCredits(b.Entries, func(e Entry) bool { return e.Delivered }); sum != b.Delivered || b.Delivered+b.Undelivered != b.Credits {
			t.Errorf("delivered entries sum to %d, Bill() = %d + %d", sum, b.Delivered, b.Undelivered)
		}
		for name, by := range map[string]map[string]int64{"ByEndpoint": b.ByEndpoint, "ByType": b.ByType} {
			sum := int64(0)
			for n := range maps.Values(by) {
				sum += n
			}
			if sum != b.Credits {
				t.Errorf("Bill().%s sums to %d, want %d", name, sum, b.Credits)
			}
		}
		kinds := map[string]FaultKind{}
		for _, k := range FaultKinds() {
			kinds[k.Name] = k
		}
		met := map[string]int{}
		for i, e := range b.Entries {
			k := kinds[e.Fault]
			met[e.Fault]++
			switch {
			case e.Seq != i+1:
				t.Errorf("entry %d has seq %d", i, e.Seq)
			case e.Fault != "" && !k.Billed && e.Credits != 0, e.Fault != "" && !k.Delivered && e.Delivered:
				t.Errorf("entry %+v is not as %+v says", e, k)
			case e.Credits > 0 && e.Delivered && e.Status/100 != 2:
				t.Errorf("entry %+v was delivered under a status of failure", e)
			}
		}
		for name := range kinds {
			if met[name] == 0 {
				t.Errorf("no request met %s", name)
			}
		}
	})
}

func sumCredits(entries []Entry, keep func(Entry) bool) (sum int64) {
	for _, e := range entries {
		if keep == nil || keep(e) {
			sum += e.Credits
		}
	}
	return sum
}

// TestPlainAnswersMatchBill checks that the charges clients read add up to the delivered
// credits on the bill, as no fault distorts the charge.
func TestPlainAnswersMatchBill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var faults []Fault
		for _, spec := range slices.Concat(refusedFaults, lostFaults) {
			if spec.Name != "huge-body" && spec.Name != "401-revoked" {
				faults = append(faults, Fault{Kind: spec.Name, Rate: 0.015})
			}
		}
		s := rig(t, Config{Faults: faults})
		client, stop := serve(s)
		defer stop()
		var mu sync.Mutex
		var read int64
		var wg sync.WaitGroup
		for c := range 16 {
			wg.Go(func() {
				for i := range 20 {
					o := send(client, "http://simulator.test", companySearch, "k", `{`+companiesV2(fmt.Sprintf("t%d-%d-", c, i), 10)+`,"signals":["allSignals"]}`, clientTimeout)
					var a answerV2
					if o.err == nil && o.status/100 == 2 && json.Unmarshal(o.body, &a) == nil && a.Charge != nil {
						mu.Lock()
						read += *a.Charge
						mu.Unlock()
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if b := s.Bill(); b.Delivered != read || b.Undelivered == 0 {
			t.Errorf("clients read charges of %d, Bill() = %d delivered, %d not", read, b.Delivered, b.Undelivered)
		}
	})
}

// TestFaultRateIgnoresOrder checks that the content of a request and the number of times it was
// sent decide whether it meets a fault of a given rate.
func TestFaultRateIgnoresOrder(t *testing.T) {
	run := func(order func(i int) int) map[string][]string {
		s := rig(t, Config{Seed: 9, Faults: []Fault{{Kind: "503-refused", Rate: 0.3}, {Kind: "garbage-200", Rate: 0.2}}})
		met := map[string][]string{}
		for range 3 {
			for i := range 50 {
				body := fmt.Sprintf(`{"companyIds":[%d],"signals":["riskNews"]}`, order(i)+1)
				post(s, companyIDs, body)
				entries := s.Bill().Entries
				met[body] = append(met[body], entries[len(entries)-1].Fault)
			}
		}
		return met
	}
	forward, backward := run(func(i int) int { return i }), run(func(i int) int { return 49 - i })
	count, changed := 0, 0
	for body, list := range forward {
		if !slices.Equal(list, backward[body]) {
			t.Errorf("%s met %q in one order and %q in another", body, list, backward[body])
		}
		for _, kind := range list {
			if kind != "" {
				count++
			}
		}
		if list[0] != list[1] {
			changed++
		}
	}
	if count < 40 || count > 90 || changed == 0 {
		t.Errorf("%d of 150 requests met a fault, want about 66; %d of 50 fared differently the second time", count, changed)
	}
}

func TestAtEveryTimes(t *testing.T) {
	s := rig(t, Config{Faults: []Fault{{Kind: "500-refused", At: 2}, {Kind: "503-refused", Every: 3, Times: 2}}})
	var got []int
	for range 10 {
		post(s, companyIDs, `{"companyIds":["broken"],"signals":["riskNews"]}`) // does not count
		got = append(got, post(s, companyIDs, `{"companyIds":[1],"signals":["riskNews"]}`).Code)
	}
	if want := []int{200, 500, 503, 200, 200, 503, 200, 200, 200, 200}; !slices.Equal(got, want) {
		t.Errorf("statuses = %v, want %v", got, want)
	}
}

func TestParseFault(t *testing.T) {
	for text, want := range map[string]Fault{
		"drop-after-charge@3": {Kind: "drop-after-charge", At: 3},
		"503-refused%5":       {Kind: "503-refused", Rate: 0.05},
		"slow/10":             {Kind: "slow", Every: 10},
		"extra-fields%12.5x2": {Kind: "extra-fields", Rate: 0.125, Times: 2},
		"201/1":               {Kind: "201", Every: 1},
		"hang@1x1":            {Kind: "hang", At: 1, Times: 1},
	} {
		got, err := ParseFault(text)
		if err != nil || got != want {
			t.Errorf("ParseFault(%q) = %+v, %v, want %+v", text, got, err, want)
		}
		if got.String() != text {
			t.Errorf("ParseFault(%q).String() = %q", text, got.String())
		}
	}
	for text, hint := range map[string]string{
		"slow": "does not say when", "": "does not say when", "slowly@1": "drop-after-charge", "slow@": "not a number", "slow@x2": "not a number",
		"slow@1x0": "not a number", "slow@1x": "not a number", "slow@0": "exactly one", "slow%0": "exactly one", "slow%101": "up to 1",
		"slow%NaN": "up to 1", "slow/-1": "negative", "slow@1@2": "not a number",
	} {
		if f, err := ParseFault(text); err == nil || !strings.Contains(err.Error(), hint) {
			t.Errorf("ParseFault(%q) = %+v, %v, want an error saying %q", text, f, err, hint)
		}
	}
}

func TestRevokedKey(t *testing.T) {
	s := rig(t, Config{Faults: []Fault{{Kind: "401-revoked", At: 1}}})
	var got []int
	for _, key := range []string{"a", "a", "b"} {
		r := request("POST", companyIDs, `{"companyIds":[1],"signals":["riskNews"]}`)
		r.Header.Set("api_key", key)
		got = append(got, do(s, r).Code)
	}
	if want := []int{401, 401, 200}; !slices.Equal(got, want) {
		t.Errorf("statuses of keys a, a, b = %v, want %v", got, want)
	}
}

func TestHourlyFaultShowsAnEmptyWindow(t *testing.T) {
	s := rig(t, Config{Plan: "scale", Faults: []Fault{{Kind: "429-hourly", At: 1}}})
	w := post(s, companyIDs, `{"companyIds":[1],"signals":["riskNews"]}`)
	if left := header(t, w, "x-hourly-requests-left"); left != 0 {
		t.Errorf("x-hourly-requests-left = %d, want 0", left)
	}
}
