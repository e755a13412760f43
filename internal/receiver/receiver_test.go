package receiver

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/inbox"
)

// The vector of the API's reference, section 11.4: what was signed, and the signature.
const (
	vectorSecret    = "whsec_siglake_vector_1"
	vectorStamp     = "1775117730"
	vectorSignature = "06706e4a51af713053b69181691c822c129679f3567e4077052f3e887c2119e6"
	vectorBody      = `{"id":"5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20","type":"promotion","entityType":"contact","entityId":"70114455","subscriptionId":"66aa00112233445566778899","data":{"personId":70114455,"currentTitle":"Leiter R&D <Köln>","signalDate":"2026-04-01"},"timestamp":"2026-04-02T08:15:30.120Z","billing":{"creditsCharged":1}}`
	vectorID        = "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20"
)

// vectorTime is when the vector was signed.
var vectorTime = time.Unix(1775117730, 0).UTC()

// sample is the vendor's documented delivery, section 11.3, and notice the opt-out notice of section 11.6.
const (
	sample = `{"id": "5a0d2a58-3f0c-4c55-9f43-5f7c3a7f1d20", "type": "promotion",
 "entityType": "contact", "entityId": "70114455", "subscriptionId": "66aa00112233445566778899",
 "data": {"personId": 70114455, "currentCompanyId": 88003321, "currentTitle": "Head of Finance",
          "currentDepartments": [{"id": 4, "value": "Finance"}], "signalDate": "2026-04-01"},
 "timestamp": "2026-04-02T08:15:30.120Z", "billing": {"creditsCharged": 1}}`
	notice = `{"contactId": "70114455", "fullName": "Ada Sample", "companyName": "Harbor Quill",
 "jobTitle": "Head of Finance", "linkedinUrl": "https://www.linkedin.com/in/sample-person",
 "contactOptOutDate": "2026-05-06 07:41:02.090", "contactExposureDate": "2025-11-19 16:02:33",
 "datapoints": [{"datapointId": "ada@harborquill.example", "datapointType": "email"},
                {"datapointId": "+4755500199", "datapointType": "phone"}],
 "partnerClientId": null}`
)

// fakeInbox keeps deliveries in memory, or fails.
type fakeInbox struct {
	mu   sync.Mutex
	kept []inbox.Delivery
	err  error
}

func (f *fakeInbox) Append(_ context.Context, d *inbox.Delivery) (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err != nil {
		return false, f.err
	}
	for _, other := range f.kept {
		if other.ID == d.ID {
			return false, nil
		}
	}
	f.kept = append(f.kept, *d)
	return true, nil
}

// rig is a receiver with what it is connected to.
type rig struct {
	*Receiver
	inbox   fakeInbox
	log     bytes.Buffer
	secrets []string
	failed  []error
}

func newRig(now time.Time) *rig {
	r := &rig{secrets: []string{vectorSecret}}
	r.Receiver = New(Options{
		Inbox: &r.inbox, Secrets: func() []string { return r.secrets }, Now: func() time.Time { return now },
		Log: slog.New(slog.NewTextHandler(&r.log, nil)), Failed: func(err error) { r.failed = append(r.failed, err) },
	})
	return r
}

func (r *rig) post(signature, stamp string, body io.Reader) *httptest.ResponseRecorder {
	req := httptest.NewRequest(http.MethodPost, Path, body)
	if signature != "" {
		req.Header.Set(signatureHeader, signature)
	}
	if stamp != "" {
		req.Header.Set(stampHeader, stamp)
	}
	return r.serve(req)
}

func (r *rig) serve(req *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r.ServeHTTP(w, req)
	return w
}

// sign is the vendor's signature, written a second time for the tests.
func sign(secret, stamp, body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	_, _ = io.WriteString(mac, stamp+"."+body)
	return hex.EncodeToString(mac.Sum(nil))
}

func indent(t testing.TB, text string) string {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, []byte(text), " ", "\t"); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// TestVector: the vector of the reference is accepted, in both cases, with the prefix and re-indented by a
// proxy, and whichever secret of several it is signed with. What decodes and encodes it on the way breaks it.
func TestVector(t *testing.T) {
	t.Parallel()
	var decoded any
	if err := json.Unmarshal([]byte(vectorBody), &decoded); err != nil {
		t.Fatal(err)
	}
	reencoded, err := json.Marshal(decoded)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		signature, body string
		secrets         []string
		want            int
	}{
		"as sent":              {body: vectorBody, want: 201},
		"upper case":           {signature: strings.ToUpper(vectorSignature), body: vectorBody, want: 201},
		"with a prefix":        {signature: "sha256=" + vectorSignature, body: vectorBody, want: 201},
		"re-indented":          {body: indent(t, vectorBody), want: 201},
		"blanks at the end":    {body: vectorBody + " \n", want: 201},
		"the second secret":    {body: vectorBody, secrets: []string{"whsec_other", vectorSecret}, want: 201},
		"the first of two":     {body: vectorBody, secrets: []string{vectorSecret, "whsec_other"}, want: 201},
		"another secret":       {body: vectorBody, secrets: []string{"whsec_other"}, want: 401},
		"no secret":            {body: vectorBody, secrets: []string{}, want: 401},
		"the key without text": {body: vectorBody, secrets: []string{strings.TrimPrefix(vectorSecret, "whsec_")}, want: 401},
		"re-encoded":           {body: string(reencoded), want: 401},
		"one byte changed":     {body: strings.Replace(vectorBody, "Köln", "Koln", 1), want: 401},
		"a blank in a text":    {body: strings.Replace(vectorBody, "Leiter R", "Leiter  R", 1), want: 401},
		"half a signature":     {signature: vectorSignature[:32], body: vectorBody, want: 401},
		"not hexadecimal":      {signature: "x" + vectorSignature[1:], body: vectorBody, want: 401},
		"base64 of the digest": {signature: "BnBuSlGvcTBTtpGBaRyCLBKWefNWfkB3BS8+iHwhGeY=", body: vectorBody, want: 401},
	} {
		r := newRig(vectorTime.Add(time.Second))
		if c.signature == "" {
			c.signature = vectorSignature
		}
		if c.secrets != nil {
			r.secrets = c.secrets
		}
		w := r.post(c.signature, vectorStamp, strings.NewReader(c.body))
		if w.Code != c.want {
			t.Errorf("%s: status %d, want %d", name, w.Code, c.want)
		}
		if kept := len(r.inbox.kept); kept != map[int]int{201: 1, 401: 0}[c.want] {
			t.Errorf("%s: %d deliveries are kept", name, kept)
		}
		if c.want != 201 {
			continue
		}
		if got, want := w.Body.String(), `{"received":true,"timestamp":"2026-04-02T08:15:31.000Z","webhookId":"`+vectorID+`"}`+"\n"; got != want {
			t.Errorf("%s: answer %s, want %s", name, got, want)
		}
		want := inbox.Delivery{ID: vectorID, Kind: inbox.Event, Received: vectorTime.Add(time.Second), Stamp: vectorStamp, Body: []byte(c.body)}
		if diff := cmp.Diff(want, r.inbox.kept[0]); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// TestKinds: what a delivery is, and what the acknowledgement repeats.
func TestKinds(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	for name, c := range map[string]struct {
		body, id, echo string
		kind           inbox.Kind
	}{
		"the documented sample":      {sample, vectorID, vectorID, inbox.Event},
		"the documented notice":      {notice, "opt-out-" + digestText([]byte("70114455\x002026-05-06 07:41:02.090")), "", inbox.OptOut},
		"a number as id":             {`{"id":12345678901234567890,"type":"x","data":{}}`, "12345678901234567890", "12345678901234567890", inbox.Event},
		"other names":                {`{"id":"a","signal_type":"x","data":{}}`, "a", "a", inbox.Event},
		"a third name":               {`{"id":"a","signalType":"x","data":{}}`, "a", "a", inbox.Event},
		"no charge stated":           {`{"id":"a","type":"x","data":{},"billing":{}}`, "a", "a", inbox.Event},
		"an odd charge":              {`{"id":"a","type":"x","data":{},"billing":{"creditsCharged":"0"}}`, "a", "a", inbox.Event},
		"free":                       {`{"id":"a","type":"x","data":{},"billing":{"creditsCharged":0}}`, "a", "a", inbox.Test},
		"a direct test":              {`{"entityType":"contact","signalType":"x","data":{}}`, "", "", inbox.Test},
		"a test of opt-out":          {`{"id":"a","type":"optOut","data":` + notice + `,"billing":{"creditsCharged":0}}`, "a", "a", inbox.Test},
		"no type":                    {`{"id":"a","data":{}}`, "a", "a", inbox.Unreadable},
		"a name in another case":     {`{"ID":"a","type":"x","Data":{}}`, "", "", inbox.Unreadable},
		"no data":                    {`{"id":"a","type":"x"}`, "a", "a", inbox.Unreadable},
		"a notice without a contact": {`{"contactOptOutDate":"2026-05-06"}`, "", "", inbox.Unreadable},
		"a very long id":             {`{"id":"` + long + `","type":"x","data":{}}`, "", long, inbox.Event},
		"a list":                     {`[]`, "", "", inbox.Unreadable},
		"nothing":                    {``, "", "", inbox.Unreadable},
		"cut off":                    {vectorBody[:100], "", "", inbox.Unreadable},
		"not JSON":                   {"\x00\xff<html>", "", "", inbox.Unreadable},
		"deep":                       {strings.Repeat("[", 1<<19) + strings.Repeat("]", 1<<19), "", "", inbox.Unreadable},
		"deep within":                {`{"id":"a","type":"x","data":{"a":` + strings.Repeat("[", 1<<18) + strings.Repeat("]", 1<<18) + `}}`, "a", "a", inbox.Event},
		"deep objects, cut off":      {strings.Repeat(`{"a":`, 1<<17), "", "", inbox.Unreadable},
	} {
		r := newRig(vectorTime)
		w := r.post(sign(vectorSecret, vectorStamp, c.body), vectorStamp, strings.NewReader(c.body))
		if w.Code != http.StatusCreated || len(r.inbox.kept) != 1 {
			t.Errorf("%s: status %d, %d kept, want 201 and one", name, w.Code, len(r.inbox.kept))
			continue
		}
		if c.id == "" {
			c.id = "sha256-" + digestText([]byte(c.body))
		}
		got := r.inbox.kept[0]
		if got.Kind != c.kind || got.ID != c.id || string(got.Body) != c.body {
			t.Errorf("%s: kept as %v with id %.80q, want %v with %.80q", name, got.Kind, got.ID, c.kind, c.id)
		}
		var ack struct{ WebhookID *string }
		if err := json.Unmarshal(w.Body.Bytes(), &ack); err != nil || ack.WebhookID == nil || *ack.WebhookID != c.echo {
			t.Errorf("%s: acknowledged with %s, want the id %.80q", name, w.Body, c.echo)
		}
	}
}

// TestCopies: a delivery that arrives again, as after a lost acknowledgement, with a fresh timestamp or the
// old one, is acknowledged and not kept again.
func TestCopies(t *testing.T) {
	t.Parallel()
	r := newRig(vectorTime)
	for _, stamp := range []string{vectorStamp, vectorStamp, "1775117740"} {
		if w := r.post(sign(vectorSecret, stamp, vectorBody), stamp, strings.NewReader(vectorBody)); w.Code != http.StatusCreated || !strings.Contains(w.Body.String(), vectorID) {
			t.Errorf("a copy with the timestamp %s: status %d, want 201", stamp, w.Code)
		}
	}
	c := r.Counts()
	if len(r.inbox.kept) != 1 || c.New[inbox.Event] != 1 || c.Known[inbox.Event] != 2 {
		t.Errorf("%d kept, counts %+v, want one, and two copies", len(r.inbox.kept), c)
	}
}

// TestTimestamps: seconds and milliseconds are read, and what is too far from the time is refused: a
// replay of what was recorded earlier, and a clock that is wrong.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	ms := strconv.FormatInt(vectorTime.UnixMilli(), 10)
	for stamp, c := range map[string]struct {
		now    time.Duration // from the vector's time
		status int
		reason Reason
	}{
		vectorStamp:               {5 * time.Minute, 201, ""},
		ms:                        {-5 * time.Minute, 201, ""},
		"01775117730":             {0, 201, ""},
		vectorStamp[:9] + "0":     {5*time.Minute + time.Second, 401, TooOld},
		vectorStamp[:9] + "1":     {-time.Hour, 401, TooOld},
		ms[:12] + "1":             {24 * time.Hour, 401, TooOld},
		"0":                       {0, 401, TooOld},
		"99999999999":             {0, 401, TooOld},
		"9223372036854775807":     {0, 401, TooOld},
		"9223372036854775808":     {0, 401, BadTimestamp},
		"-1775117730":             {0, 401, BadTimestamp},
		"+1775117730":             {0, 401, BadTimestamp},
		"1775117730.5":            {0, 401, BadTimestamp},
		"2026-04-02T08:15:30Z":    {0, 401, BadTimestamp},
		"0x69ce2662":              {0, 401, BadTimestamp},
		strings.Repeat("1", 64):   {0, 401, BadTimestamp},
		strings.Repeat("1", 65):   {0, 401, Unsigned},
		"1775117730, 1775117730":  {0, 401, BadTimestamp},
		" ":                       {0, 401, BadTimestamp},
		"١٧٧٥١١٧٧٣٠":              {0, 401, BadTimestamp},
		"1775117730\tinvisible\t": {0, 401, BadTimestamp},
	} {
		r := newRig(vectorTime.Add(c.now))
		w := r.post(sign(vectorSecret, stamp, vectorBody), stamp, strings.NewReader(vectorBody))
		if w.Code != c.status || c.reason != "" && r.Counts().Refused[c.reason] != 1 {
			t.Errorf("timestamp %q at %v: status %d, counts %v, want %d and the reason %q", stamp, c.now, w.Code, r.Counts().Refused, c.status, c.reason)
		}
	}
}

// TestAgeIsSaid: a line says how far off the timestamp is, and after three in a row what to do; one that is
// accepted ends the row.
func TestAgeIsSaid(t *testing.T) {
	t.Parallel()
	now := vectorTime.Add(6*time.Minute + 12*time.Second)
	r := newRig(now)
	r.Now = func() time.Time { now = now.Add(time.Minute); return now }
	post := func(stamp string) {
		r.post(sign(vectorSecret, stamp, vectorBody), stamp, strings.NewReader(vectorBody))
	}
	for range 2 {
		post(vectorStamp)
	}
	post(strconv.FormatInt(now.Unix()+60, 10))
	for range 2 {
		post(vectorStamp)
	}
	if log := r.log.String(); !strings.Contains(log, "timestamp is 7m12s old, and --tolerance is 5m0s\"") || strings.Contains(log, "in a row") {
		t.Errorf("after refusals that are not three in a row the log is\n%s", log)
	}
	post(vectorStamp)
	if log := r.log.String(); !strings.Contains(log, "number 3 in a row") || !strings.Contains(log, "--tolerance must be longer") {
		t.Errorf("after three refusals in a row the log is\n%s", log)
	}
	r.log.Reset()
	post(strconv.FormatInt(now.Unix()+3600, 10))
	if log := r.log.String(); !strings.Contains(log, "ahead of this machine's clock") {
		t.Errorf("for a timestamp in the future the log is\n%s", log)
	}
}

// endless is a body that never ends, and counts what was read of it.
type endless struct{ read int }

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	e.read += len(p)
	return len(p), nil
}

// cutBody is a body that breaks off with an error.
type cutBody struct{ err error }

func (c cutBody) Read([]byte) (int, error) { return 0, c.err }

// TestHostile: the right answer to each request that is no delivery, and nothing is kept.
func TestHostile(t *testing.T) {
	t.Parallel()
	request := func(method, target string, change func(*http.Request)) *http.Request {
		req := httptest.NewRequest(method, target, strings.NewReader(vectorBody))
		req.Header.Set(signatureHeader, vectorSignature)
		req.Header.Set(stampHeader, vectorStamp)
		if change != nil {
			change(req)
		}
		return req
	}
	body := func(in io.Reader, length int64) func(*http.Request) {
		return func(req *http.Request) { req.Body, req.ContentLength = io.NopCloser(in), length }
	}
	big := strings.Repeat(" ", MaxBody) + "x"
	flood := &endless{}
	for name, c := range map[string]struct {
		req    *http.Request
		reason Reason
		status int
	}{
		"no signature":         {request("POST", Path, func(r *http.Request) { r.Header.Del(signatureHeader) }), Unsigned, 401},
		"no timestamp":         {request("POST", Path, func(r *http.Request) { r.Header.Del(stampHeader) }), Unsigned, 401},
		"two signatures":       {request("POST", Path, func(r *http.Request) { r.Header.Add(signatureHeader, vectorSignature) }), Unsigned, 401},
		"two timestamps":       {request("POST", Path, func(r *http.Request) { r.Header.Add(stampHeader, vectorStamp) }), Unsigned, 401},
		"an empty signature":   {request("POST", Path, func(r *http.Request) { r.Header.Set(signatureHeader, "sha256=") }), Unsigned, 401},
		"another timestamp":    {request("POST", Path, func(r *http.Request) { r.Header.Set(stampHeader, "1775117731") }), WrongSignature, 401},
		"too long, and says":   {request("POST", Path, body(flood, MaxBody+1)), TooLarge, 413},
		"one byte too long":    {request("POST", Path, body(strings.NewReader(big), -1)), TooLarge, 413},
		"endless":              {request("POST", Path, body(&endless{}, -1)), TooLarge, 413},
		"as long as allowed":   {request("POST", Path, body(strings.NewReader(big[1:]), -1)), WrongSignature, 401},
		"too slow":             {request("POST", Path, body(cutBody{os.ErrDeadlineExceeded}, 100)), TooSlow, 408},
		"cut off":              {request("POST", Path, body(cutBody{io.ErrUnexpectedEOF}, 100)), CutOff, 400},
		"another path":         {request("POST", "/in/", nil), NoSuchPath, 404},
		"the root":             {request("GET", "/?challenge=x", nil), NoSuchPath, 404},
		"no challenge":         {request("GET", Path, nil), NoSuchMethod, 405},
		"an empty challenge":   {request("GET", Path+"?challenge=", nil), BadChallenge, 400},
		"a long challenge":     {request("GET", Path+"?challenge="+strings.Repeat("x", MaxChallenge+1), nil), BadChallenge, 400},
		"HEAD":                 {request("HEAD", Path+"?challenge=x", nil), NoSuchMethod, 405},
		"PUT":                  {request("PUT", Path, nil), NoSuchMethod, 405},
		"a body that is bytes": {request("POST", Path, body(bytes.NewReader(bytes.Repeat([]byte{0xff, 0}, 1000)), 2000)), WrongSignature, 401},
	} {
		r := newRig(vectorTime)
		w := r.serve(c.req)
		if w.Code != c.status || r.Counts().Refused[c.reason] != 1 || len(r.inbox.kept) != 0 {
			t.Errorf("%s: status %d, counts %v, %d kept; want %d for %s and none", name, w.Code, r.Counts().Refused, len(r.inbox.kept), c.status, c.reason)
		}
		if got := w.Header().Get("X-Content-Type-Options"); got != "nosniff" {
			t.Errorf("%s: X-Content-Type-Options %q, want nosniff", name, got)
		}
		if log := r.log.String(); strings.Contains(log, vectorSecret) || strings.Contains(log, vectorSignature) {
			t.Errorf("%s: the log repeats a secret:\n%s", name, log)
		}
	}
	if flood.read > 0 {
		t.Errorf("%d bytes of a body were read that is said to be too long", flood.read)
	}
}

// TestChallenge: the text comes back as a JSON string, whatever it contains.
func TestChallenge(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"abc", `"quoted" <script>&`, "\x00\u2028é", strings.Repeat("y", MaxChallenge)} {
		r := newRig(vectorTime)
		req := httptest.NewRequest(http.MethodGet, Path, nil)
		q := req.URL.Query()
		q.Set("challenge", text)
		req.URL.RawQuery = q.Encode()
		w := r.serve(req)
		var got map[string]string
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || w.Code != 200 || len(got) != 1 || got["challenge"] != text {
			t.Errorf("challenge %q: %d %s", text, w.Code, w.Body)
		}
		if kind := w.Header().Get("Content-Type"); kind != "application/json" || strings.Contains(w.Body.String(), "<") {
			t.Errorf("challenge %q: %s as %s, want JSON that no browser reads as a page", text, w.Body, kind)
		}
	}
}

// TestNotDurable: what is not durable is not acknowledged. Only an inbox that cannot be written any more is
// reported.
func TestNotDurable(t *testing.T) {
	t.Parallel()
	broken := errors.New("no space left on device")
	for _, c := range []struct {
		err    error
		reason Reason
		failed int
	}{
		{inbox.ErrBusy, Busy, 0},
		{context.DeadlineExceeded, TooLate, 0},
		{context.Canceled, TooLate, 0},
		{broken, NotWritten, 1},
	} {
		r := newRig(vectorTime)
		r.inbox.err = c.err
		w := r.post(vectorSignature, vectorStamp, strings.NewReader(vectorBody))
		if w.Code != 503 || r.Counts().Refused[c.reason] != 1 || len(r.failed) != c.failed {
			t.Errorf("%v: status %d, counts %v, %d reports, want 503 for %s and %d", c.err, w.Code, r.Counts().Refused, len(r.failed), c.reason, c.failed)
		}
		if fresh, known := ptr(r.Counts()).Total(); fresh+known > 0 {
			t.Errorf("%v: %d deliveries count as acknowledged", c.err, fresh+known)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestFlood: strangers do not fill the log, nor take all the memory.
func TestFlood(t *testing.T) {
	t.Parallel()
	r := newRig(vectorTime)
	for range 1000 {
		r.post(strings.Repeat("0", 64), vectorStamp, strings.NewReader("{}"))
	}
	if lines := strings.Count(r.log.String(), "\n"); lines != 1 {
		t.Errorf("1,000 wrong signatures gave %d lines, want 1", lines)
	}
	r.Now = func() time.Time { return vectorTime.Add(logEvery) }
	r.post(strings.Repeat("0", 64), vectorStamp, strings.NewReader("{}"))
	if log := r.log.String(); !strings.Contains(log, "999 more since") {
		t.Errorf("later the log is\n%s", log)
	}

	// So many large bodies are read at once, and no more; small ones still are.
	var wg sync.WaitGroup
	stop := make(chan struct{})
	reading := make(chan struct{}, maxLarge)
	for range maxLarge {
		wg.Go(func() {
			r.post(vectorSignature, vectorStamp, io.MultiReader(strings.NewReader(strings.Repeat(" ", smallBody)), notifyThenWait{reading, stop}))
		})
	}
	for range maxLarge {
		<-reading
	}
	if w := r.post(vectorSignature, vectorStamp, strings.NewReader(strings.Repeat(" ", smallBody)+vectorBody)); w.Code != 503 || w.Header().Get("Retry-After") == "" {
		t.Errorf("one large body too many: status %d, want 503 and when to try again", w.Code)
	}
	if w := r.post(vectorSignature, vectorStamp, strings.NewReader(vectorBody)); w.Code != 201 {
		t.Errorf("a delivery while large bodies are read: status %d, want 201", w.Code)
	}
	close(stop)
	wg.Wait()
	r.active.Store(maxRequests)
	if w := r.post(vectorSignature, vectorStamp, strings.NewReader(vectorBody)); w.Code != 503 {
		t.Errorf("one request too many: status %d, want 503", w.Code)
	}
	if r.active.Load() != maxRequests {
		t.Error("a refused request counts as active")
	}
}

// notifyThenWait reports that it is read, and ends when its channel is closed.
type notifyThenWait struct {
	reading chan<- struct{}
	stop    <-chan struct{}
}

func (n notifyThenWait) Read([]byte) (int, error) {
	n.reading <- struct{}{}
	<-n.stop
	return 0, io.EOF
}

// FuzzReceive: whatever arrives, the answer is one of those that are documented, and a delivery is kept if
// and only if the signature is right by the rule of the reference.
func FuzzReceive(f *testing.F) {
	f.Add(vectorSignature, vectorStamp, []byte(vectorBody), false)
	f.Add("sha256="+vectorSignature, vectorStamp, []byte(sample), true)
	f.Add("", "1775117730000", []byte(notice), true)
	f.Add("", vectorStamp, []byte(`{"id":1,"type":"x","data":[{}]}`), true)
	f.Add("", "-1", []byte(strings.Repeat(`{"a":[`, 300)), true)
	f.Fuzz(func(t *testing.T, signature, stamp string, body []byte, signed bool) {
		r := newRig(vectorTime)
		if signed {
			signature = sign(vectorSecret, stamp, string(body))
		}
		w := r.post(signature, stamp, bytes.NewReader(body))
		var smaller bytes.Buffer
		right := signature != "" && stamp != "" && len(stamp) <= 64 && strings.EqualFold(strings.TrimPrefix(strings.ToLower(signature), "sha256="), sign(vectorSecret, stamp, string(body)))
		if !right && json.Compact(&smaller, body) == nil {
			right = signature != "" && strings.EqualFold(strings.TrimPrefix(strings.ToLower(signature), "sha256="), sign(vectorSecret, stamp, smaller.String()))
		}
		at, isTime := parseStamp(stamp)
		want := 401
		switch {
		case len(body) > MaxBody:
			want = 413
		case right && isTime && vectorTime.Sub(at).Abs() <= 5*time.Minute:
			want = 201
		}
		if w.Code != want && !(want == 413 && w.Code == 401) {
			t.Fatalf("post(%q, %q, %q) = %d, want %d", signature, stamp, body, w.Code, want)
		}
		if (w.Code == 201) != (len(r.inbox.kept) == 1) || w.Code == 201 && !bytes.Equal(r.inbox.kept[0].Body, body) {
			t.Fatalf("status %d, kept %v", w.Code, r.inbox.kept)
		}
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("the answer %q is no JSON", w.Body)
		}
	})
}
