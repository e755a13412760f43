package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/klauspost/compress/zstd"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// oldLakes holds lakes that the build of commit 16ee196 wrote; its README.md
// says how. This file uses the program from outside, and as little as it can of
// the other tests: what a program may call itself changes, the lakes do not.
const oldLakes = "../../testdata/lakes-0"

// oldAddress is where the old build found its simulator. It is one of the
// settings by which a command is recognised.
const oldAddress = "http://127.0.0.1:18417"

// oldCase is a lake, what the old build said of it, and what the old build did
// when it continued a copy of it.
type oldCase struct {
	About     string            `json:"about"`
	Simulator []string          `json:"simulator"` // faults while the lake was made
	S3        bool              `json:"s3"`
	Now       time.Time         `json:"now"` // shortly after the lake was made
	Verify    oldVerify         `json:"verify"`
	Status    any               `json:"status"`
	Held      any               `json:"held"`
	Newest    *oldNewest        `json:"newest"`
	Plan      *oldPlan          `json:"plan"`
	Then      []oldStep         `json:"then"`
	Made      []json.RawMessage `json:"made"` // for people
}

type oldVerify struct {
	Exit int      `json:"exit"`
	Text []string `json:"text"`
}

type oldPlan struct {
	Args []string `json:"args"`
	Want any      `json:"want"`
}

// oldStep is one command that continues a lake.
type oldStep struct {
	Args  []string `json:"args"`
	Exit  int      `json:"exit"`
	Bill  *oldBill `json:"bill"` // nil: of an embedded simulator
	After struct {
		Status any        `json:"status"`
		Held   any        `json:"held"`
		Newest *oldNewest `json:"newest"`
	} `json:"after"`
}

// oldBill is what a step asked for.
type oldBill struct {
	Requests int      `json:"requests"` // free ones included
	Asked    int      `json:"asked"`    // requests that can cost something
	Entities int      `json:"entities"`
	Credits  int64    `json:"credits"`
	Bodies   []string `json:"bodies"` // SHA-256 of the requests that can cost something
}

// oldNewest is the core of the newest manifest.
type oldNewest struct {
	Generation int64            `json:"generation"`
	Outcome    string           `json:"outcome"`
	ByStatus   map[string]int64 `json:"by_status"`
	Charged    int64            `json:"charged"`
	Returned   int64            `json:"returned"`
	Written    int64            `json:"written"`
	Products   map[string]int64 `json:"products"`
}

// TestOldLakes: lakes that the build before wrote are verified, shown, rebuilt
// and continued by this one as they were by that one. What is finished is not
// asked again; what is open is asked with the same requests, byte for byte.
func TestOldLakes(t *testing.T) {
	names, err := filepath.Glob(filepath.Join(oldLakes, "*", "case.json"))
	if err != nil || len(names) < 30 {
		t.Fatalf("%d lakes, %v", len(names), err)
	}
	for i, name := range names {
		if i%proof.Size(7, 1, 1) != 0 {
			continue
		}
		dir := filepath.Dir(name)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			var c oldCase
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			if !c.S3 { // a store sets variables of the process
				t.Parallel()
			}
			t.Logf("%s; simulator %q", c.About, c.Simulator)
			t.Run("look", func(t *testing.T) { openOld(t, dir, &c).look() })
			t.Run("rebuild", func(t *testing.T) { openOld(t, dir, &c).rebuild() })
			t.Run("continue", func(t *testing.T) { openOld(t, dir, &c).goOn() })
		})
	}
}

// TestOldRunsWithoutStaging: a run that the old build prepared, and of which a part may be visible,
// loses its staged files. They are written again as the old build wrote them, under the same names.
func TestOldRunsWithoutStaging(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"prepared", "prepared-half"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(oldLakes, name)
			text, err := os.ReadFile(filepath.Join(dir, "case.json"))
			if err != nil {
				t.Fatal(err)
			}
			var c oldCase
			if err := json.Unmarshal(text, &c); err != nil {
				t.Fatal(err)
			}
			l := openOld(t, dir, &c)
			if err := os.RemoveAll(filepath.Join(l.lake, "_staging")); err != nil {
				t.Fatal(err)
			}
			for _, words := range [][]string{{"compact"}, {"verify"}} { // compact completes the run
				if code, stdout, stderr := l.call(append(words, "--lake", "LAKE")...); code != exitComplete {
					t.Errorf("%v: exit %d\n%s%s", words, code, stdout, stderr)
				}
			}
			if l.newest() == nil {
				t.Error("the run was not published")
			}
		})
	}
}

// oldLake is a copy of a lake in a place of its own, at the time it was made.
type oldLake struct {
	t      *testing.T
	c      *oldCase
	dir    string // where lists and a local lake are
	lake   string // as a command names it
	access []string
	bucket *bucket.Bucket // nil: the lake is a directory
	now    time.Time
	sim    *simulator.Server
	seen   int // entries of the simulator's bill that were looked at
}

func openOld(t *testing.T, from string, c *oldCase) *oldLake {
	t.Helper()
	l := &oldLake{t: t, c: c, dir: t.TempDir(), now: c.Now}
	l.connect()
	l.unpack(from)
	lists, err := filepath.Glob(filepath.Join(from, "*.csv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err == nil {
			err = os.WriteFile(filepath.Join(l.dir, filepath.Base(list)), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	l.lake = filepath.Join(l.dir, "lake")
	if c.S3 {
		l.load()
	}
	return l
}

// connect stops the clock and makes a simulator the API at the old address.
func (l *oldLake) connect() {
	var err error
	clock := func() time.Time { return l.now }
	if l.sim, err = simulator.New(simulator.Config{Seed: 7, Plan: "unlimited", Keys: []string{canary}, Now: clock}); err != nil {
		l.t.Fatal(err)
	}
	server := httptest.NewServer(l.sim)
	to, err := url.Parse(server.URL)
	if err != nil {
		l.t.Fatal(err)
	}
	env := envFor(l.t)
	env.Now, env.Transport = clock, redirected{to}
	l.t.Cleanup(server.Close)
}

// redirected brings every request to one host.
type redirected struct{ to *url.URL }

func (r redirected) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host = r.to.Scheme, r.to.Host
	return http.DefaultTransport.RoundTrip(req)
}

// unpack writes the files of a lake, and of its journal where that is apart.
func (l *oldLake) unpack(from string) {
	l.t.Helper()
	f, err := os.Open(filepath.Join(from, "lake.tar.zst"))
	if err != nil {
		l.t.Fatal(err)
	}
	defer f.Close()
	plain, err := zstd.NewReader(f)
	if err != nil {
		l.t.Fatal(err)
	}
	defer plain.Close()
	for files := tar.NewReader(plain); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(files)
		}
		path := filepath.Join(l.dir, filepath.FromSlash(h.Name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(path), 0o755)
		}
		if err == nil {
			err = os.WriteFile(path, content, 0o600)
		}
		if err != nil {
			l.t.Fatal(err)
		}
	}
}

// load puts the files of a lake into a bucket, under the names they had there.
func (l *oldLake) load() {
	l.t.Helper()
	store := buckettest.Start(l.t)
	store.Setenv(l.t)
	l.access = []string{"--s3-endpoint", store.URL, "--s3-region", store.Region, "--s3-path-style", "--scratch", l.t.TempDir()}
	host, err := os.Hostname()
	if err != nil {
		l.t.Fatal(err)
	}
	state := filepath.Join(l.dir, "state")
	if _, err := os.Stat(state); err == nil {
		l.access = append(l.access, "--state", state)
	}
	root := l.lake
	l.lake = store.URI("lakes/one")
	if l.bucket, err = bucket.Open(l.t.Context(), l.lake, bucket.Config{Endpoint: store.URL, Region: store.Region, PathStyle: true}); err != nil {
		l.t.Fatal(err)
	}
	for name, content := range tree(l.t, root) {
		if name == "_state/journal.json" { // it names the machine's directory of the journal
			content = strings.NewReplacer(`"HOST"`, quoted(host), `"STATE"`, quoted(state)).Replace(content)
		}
		if err := l.bucket.Create(l.t.Context(), name, []byte(content)); err != nil {
			l.t.Fatal(err)
		}
	}
}

func quoted(s string) string {
	text, _ := json.Marshal(s) // of a text
	return string(text)
}

// tree is every file below a directory, by its path.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		files[filepath.ToSlash(name)] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// digests are those of a local lake's files; empty for one in a bucket.
func (l *oldLake) digests(but string) map[string]string {
	out := map[string]string{}
	if l.bucket != nil {
		return out
	}
	for name, content := range tree(l.t, l.lake) {
		if but == "" || !strings.HasPrefix(name, but) {
			sum := sha256.Sum256([]byte(content))
			out[name] = hex.EncodeToString(sum[:])
		}
	}
	return out
}

// call runs a command of a case. Its words are the old build's, but for LAKE and
// names of lists, which begin with @.
func (l *oldLake) call(words ...string) (code int, stdout, stderr string) {
	l.t.Helper()
	args := []string{"siglake"}
	embedded := slices.Contains(words, "--simulate") || !slices.Contains([]string{"run", "plan", "resume", "resolve", "score", "lookalikes", "visitors"}, words[0])
	for _, w := range words {
		switch {
		case w == "LAKE":
			w = l.lake
		case strings.HasPrefix(w, "@"):
			w = filepath.Join(l.dir, w[1:])
		}
		args = append(args, w)
	}
	if !embedded {
		args = append(args, "--plan", "unlimited", "--rate", "0", "--timeout", "5s")
	}
	if !embedded && words[0] != "resume" { // which knows the address
		args = append(args, "--base-url", oldAddress)
	}
	var out, problems bytes.Buffer
	code = envFor(l.t).execute(context.Background(), append(args, l.access...), strings.NewReader(""), &out, &problems)
	return code, out.String(), problems.String()
}

// json runs a command that prints JSON, and leaves out what differs by its
// nature: paths, names of runs, times, and prose.
func (l *oldLake) json(without []string, words ...string) (v any) {
	l.t.Helper()
	code, stdout, stderr := l.call(words...)
	if code != exitComplete {
		l.t.Fatalf("%v: exit %d: %s", words, code, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &v); err != nil {
		l.t.Fatalf("%v printed %q: %v", words, stdout, err)
	}
	prune(v, without)
	return v
}

func prune(v any, without []string) {
	switch v := v.(type) {
	case map[string]any:
		for name, below := range v {
			if slices.Contains(without, name) {
				delete(v, name)
				continue
			}
			prune(below, without)
		}
	case []any:
		for _, below := range v {
			prune(below, without)
		}
	}
}

func (l *oldLake) status() any { return l.json(unstable, "status", "--lake", "LAKE", "--json") }

func (l *oldLake) held() any { return l.json(unstable, "held", "list", "--lake", "LAKE", "--json") }

// ignoreSizes ignores how many files and rows a generation has: since version 4 of the schema a run writes
// two more tables.
var ignoreSizes = cmpopts.IgnoreMapEntries(func(key string, _ any) bool { return key == "files" || key == "rows" })

// unstable are the keys that are not compared of status and held list, and those
// of a plan.
var (
	unstable = []string{"lake", "next", "run", "finished", "started", "list", "continues", "call", "time", "problem",
		// Added since.
		"lists", "window_since", "window_until", "took_seconds", "lines", "list_records", "events", "http_429", "exit_code", "stop",
		"new_events", "changed_events", "known_events", "stale", "capped", "drift"}
	unstablePlan = []string{"lake", "list", "time", "windows", "notes", "account_credits_left", "input", "entities_by_identifier", "readings", "notes_by_kind"}
)

// read reads a file of the lake; nil when it is not there.
func (l *oldLake) read(name string) []byte {
	l.t.Helper()
	var content []byte
	var err error
	if l.bucket != nil {
		content, _, err = l.bucket.Get(l.t.Context(), name)
	} else {
		content, err = os.ReadFile(filepath.Join(l.lake, filepath.FromSlash(name)))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.t.Fatal(err)
	}
	return content
}

// oldManifest is what a run's answers alone decide of its manifest.
type oldManifest struct {
	Generation int64 `json:"generation"`
	Previous   *struct {
		Path string `json:"path"`
	} `json:"previous"`
	Run struct {
		ID      string `json:"id"`
		Kind    string `json:"kind"`
		Outcome string `json:"outcome"`
	} `json:"run"`
	Queries  any `json:"queries"`
	Accounts struct {
		Lines    int64            `json:"lines"`
		ByStatus map[string]int64 `json:"by_status"`
	} `json:"accounts"`
	Credits  map[string]any   `json:"credits"`
	Events   map[string]any   `json:"events"`
	Products map[string]int64 `json:"products"`
	Held     any              `json:"held"`
	Pages    any              `json:"pages"`
	PerCall  any              `json:"per_call"`
	Files    []oldFile        `json:"files"`
}

type oldFile struct {
	Path      string `json:"path"`
	Table     string `json:"table"`
	Partition any    `json:"partition"`
	Rows      int64  `json:"rows"`
	Duplicate int64  `json:"duplicate"`
	Digest    string `json:"digest"`
}

// manifests are all of the lake, newest first.
func (l *oldLake) manifests() (all []*oldManifest) {
	l.t.Helper()
	text := l.read("_meta/current.json")
	if text == nil {
		return nil
	}
	var current struct {
		Path string `json:"path"`
	}
	if err := json.Unmarshal(text, &current); err != nil {
		l.t.Fatal(err)
	}
	for path := current.Path; path != ""; {
		m := new(oldManifest)
		if err := json.Unmarshal(l.read(path), m); err != nil {
			l.t.Fatalf("%s: %v", path, err)
		}
		all = append(all, m)
		if path = ""; m.Previous != nil {
			path = m.Previous.Path
		}
	}
	return all
}

func (l *oldLake) newest() *oldNewest {
	l.t.Helper()
	all := l.manifests()
	if len(all) == 0 {
		return nil
	}
	m := all[0]
	n := &oldNewest{Generation: m.Generation, Outcome: m.Run.Outcome, ByStatus: m.Accounts.ByStatus, Products: m.Products}
	number := func(of map[string]any, name string) int64 {
		v, _ := of[name].(float64)
		return int64(v)
	}
	n.Charged, n.Returned, n.Written = number(m.Credits, "charged"), number(m.Events, "returned"), number(m.Events, "written")
	if n.Products == nil {
		n.Products = map[string]int64{}
	}
	return n
}

// look compares what the commands say that only look, and makes sure that they
// do only that.
func (l *oldLake) look() {
	t := l.t
	before := l.digests("")
	code, stdout, stderr := l.call("verify", "--lake", "LAKE")
	if code != l.c.Verify.Exit {
		t.Errorf("verify: exit %d, want %d\n%s%s", code, l.c.Verify.Exit, stdout, stderr)
	}
	if diff := cmp.Diff(figures(l.c.Verify.Text), figures(strings.Split(strings.TrimRight(stdout, "\n"), "\n"))); diff != "" {
		t.Errorf("verify (-old +new):\n%s\nnew:\n%s", diff, stdout)
	}
	if diff := cmp.Diff(l.c.Status, l.status(), ignoreSizes); diff != "" {
		t.Errorf("status (-old +new):\n%s", diff)
	}
	if diff := cmp.Diff(l.c.Held, l.held()); diff != "" {
		t.Errorf("held list (-old +new):\n%s", diff)
	}
	if diff := cmp.Diff(l.c.Newest, l.newest()); diff != "" {
		t.Errorf("newest manifest (-old +new):\n%s", diff)
	}
	for _, words := range [][]string{{"status"}, {"held", "list"}, {"ddl"}} {
		if code, stdout, stderr := l.call(append(words, "--lake", "LAKE")...); code != exitComplete || stdout == "" && words[0] != "ddl" {
			t.Errorf("%v: exit %d: %s%s", words, code, stdout, stderr)
		}
	}
	if p := l.c.Plan; p != nil {
		if diff := cmp.Diff(p.Want, l.json(unstablePlan, p.Args...)); diff != "" {
			t.Errorf("plan (-old +new):\n%s", diff)
		}
	}
	if diff := cmp.Diff(before, l.digests("")); diff != "" {
		t.Errorf("files after commands that only look (-before +after):\n%s", diff)
	}
}

var (
	invariant = regexp.MustCompile(`^ *([0-9]+) +(holds|BROKEN) +(.*)$`)
	figure    = regexp.MustCompile(`[0-9][0-9,.]*`)
)

// figures are the invariants of a verification with their verdicts and the
// numbers in their texts: words may be other ones.
func figures(lines []string) map[string][]string {
	out := map[string][]string{}
	for _, line := range lines {
		m := invariant.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		text, _, _ := strings.Cut(m[3], "; merges/") // of a list that earlier versions did not write
		numbers := figure.FindAllString(text, -1)
		slices.Sort(numbers)
		if m[1] == "11" { // bytes, some of which are about the machine
			numbers = nil
		}
		out[m[1]] = append([]string{m[2]}, numbers...)
	}
	return out
}

// ignoreSchemaVersion leaves out what version 3 of the schema changes: the uids, and by them the
// digests and names of files, and where undated events of a lake by day lie. That the rows are those
// of the old build otherwise follows from verify, which repeats them as of version 2.
func (m *oldManifest) ignoreSchemaVersion() {
	for _, added := range []string{"new", "changed", "known"} {
		delete(m.Events, added)
	}
	for i := range m.Files {
		f := &m.Files[i]
		f.Path, f.Digest = "", ""
		if f.Partition == "event_day=unknown" {
			f.Partition = "event_day=1970-01-01"
		}
	}
	// Tables that every run writes since version 4.
	m.Files = slices.DeleteFunc(m.Files, func(f oldFile) bool { return f.Table == "requests" || f.Table == "runs" || f.Table == "drift" })
	slices.SortFunc(m.Files, func(a, b oldFile) int {
		return strings.Compare(fmt.Sprint(a.Table, a.Partition), fmt.Sprint(b.Table, b.Partition))
	})
}

// count is one of the numbers of events.
func (m *oldManifest) count(name string) float64 {
	n, _ := m.Events[name].(float64)
	return n
}

// ignoreKnownEvents leaves out which of its events a run wrote: the old build wrote what the lake had
// again.
func (m *oldManifest) ignoreKnownEvents() {
	m.Events["written"], m.Events["duplicate"] = m.count("written")+m.count("known")+m.count("duplicate"), nil
	m.Files = slices.DeleteFunc(m.Files, func(f oldFile) bool { return f.Partition != nil })
}

// rebuild rebuilds the lake and compares its runs, file by file.
func (l *oldLake) rebuild() {
	t := l.t
	again := &oldLake{t: t, lake: filepath.Join(l.dir, "again")}
	if code, _, stderr := l.call("rebuild", "--lake", "LAKE", "--into", again.lake); code != exitComplete {
		t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	was, is := map[string]*oldManifest{}, map[string]*oldManifest{}
	for _, m := range l.manifests() { // with runs that the rebuild completed first
		if m.Run.Kind == "" {
			was[m.Run.ID] = m
		}
	}
	for _, m := range again.manifests() {
		is[m.Run.ID] = m
	}
	for id, m := range was {
		if is[id] != nil && is[id].count("known") > 0 {
			m.ignoreKnownEvents()
			is[id].ignoreKnownEvents()
		}
	}
	for _, manifests := range []map[string]*oldManifest{was, is} {
		for _, m := range manifests {
			m.Generation, m.Previous = 0, nil // rebuild does not repeat compactions
			m.ignoreSchemaVersion()
		}
	}
	if diff := cmp.Diff(was, is); diff != "" {
		t.Errorf("manifests (-lake +again):\n%s", diff)
	}
	if code, stdout, stderr := again.call("verify", "--lake", "LAKE"); code != exitComplete {
		t.Errorf("verify of the lake made again: exit %d\n%s%s", code, stdout, stderr)
	}
	if n := len(l.sim.Bill().Entries); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// goOn continues the lake with the commands by which the old build did.
func (l *oldLake) goOn() {
	t, newest := l.t, l.c.Newest
	for i, s := range l.c.Then {
		l.now = l.now.Add(2 * time.Second)
		before := l.digests("_state/")
		code, stdout, stderr := l.call(s.Args...)
		if code != s.Exit {
			t.Errorf("step %d, %v: exit %d, want %d\n%s%s", i+1, s.Args, code, s.Exit, stdout, stderr)
		}
		if s.Bill != nil {
			bill := l.bill()
			if bill.Requests == s.Bill.Requests+1 {
				bill.Requests-- // the free call by which a run that resumes compares the clocks
			}
			if diff := cmp.Diff(*s.Bill, bill); diff != "" {
				t.Errorf("step %d, %v: bill (-old +new):\n%s", i+1, s.Args, diff)
			}
		}
		if diff := cmp.Diff(s.After.Newest, l.newest()); diff != "" {
			t.Errorf("step %d, %v: newest manifest (-old +new):\n%s", i+1, s.Args, diff)
		}
		if cmp.Equal(s.After.Newest, newest) {
			if diff := cmp.Diff(before, l.digests("_state/")); diff != "" {
				t.Errorf("step %d, %v published nothing: files (-before +after):\n%s", i+1, s.Args, diff)
			}
		}
		newest = s.After.Newest
		if diff := cmp.Diff(s.After.Status, l.status(), ignoreSizes); diff != "" {
			t.Errorf("step %d, %v: status (-old +new):\n%s", i+1, s.Args, diff)
		}
		if diff := cmp.Diff(s.After.Held, l.held()); diff != "" {
			t.Errorf("step %d, %v: held list (-old +new):\n%s", i+1, s.Args, diff)
		}
	}
	if code, stdout, stderr := l.call("verify", "--lake", "LAKE"); code != exitComplete {
		t.Errorf("verify after all steps: exit %d\n%s%s", code, stdout, stderr)
	}
}

// bill is what was asked since it was called last.
func (l *oldLake) bill() (b oldBill) {
	all := l.sim.Bill().Entries
	b.Bodies = []string{}
	for _, e := range all[l.seen:] {
		b.Requests++
		if e.Request == "" {
			continue
		}
		b.Asked++
		b.Entities += e.Entities
		b.Credits += e.Credits
		b.Bodies = append(b.Bodies, e.Request)
	}
	slices.Sort(b.Bodies)
	l.seen = len(all)
	return b
}
