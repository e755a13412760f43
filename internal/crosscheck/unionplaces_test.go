package crosscheck

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/inbox"
)

// mirror copies the objects below a prefix into a directory.
func mirror(t *testing.T, s *buckettest.Store, prefix, dir string) {
	t.Helper()
	b, err := bucket.Open(t.Context(), s.URI(prefix), bucket.Config{Endpoint: s.URL, Region: s.Region, PathStyle: true})
	if err != nil {
		t.Fatal(err)
	}
	for o, err := range b.List(t.Context(), "") {
		var data []byte
		if err == nil {
			data, _, err = b.Get(t.Context(), o.Name)
		}
		name := filepath.Join(dir, filepath.FromSlash(o.Name))
		if err == nil {
			err = os.MkdirAll(filepath.Dir(name), 0o700)
		}
		if err == nil {
			err = os.WriteFile(name, data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestUnionS3: lakes in a bucket are one, however they are named: by an address with {shard}, by the prefix that they
// lie below, or each. The scripts name their objects by s3 addresses, and a copy of these objects has the rows of
// lakes in directories.
func TestUnionS3(t *testing.T) {
	s := buckettest.Start(t)
	s.Setenv(t)
	t.Setenv("XDG_STATE_HOME", t.TempDir())
	access := []string{"--s3-endpoint", s.URL, "--s3-region", s.Region, "--s3-path-style", "--scratch", t.TempDir()}
	list, local := filepath.Join(t.TempDir(), "list.csv"), t.TempDir()
	var text strings.Builder
	for i := range 60 {
		fmt.Fprintf(&text, "company-%d.example\n", i)
	}
	if err := os.WriteFile(list, []byte("domain\n"+text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for place, flags := range map[string][]string{s.URI("lakes"): access, local: nil} {
		for i := range 2 {
			words := []string{"run", list, "--simulate", "--rate", "0", "--as-of", "2026-05-05", "--signals", "news", "--quiet", "--lake", place + "/shard-{shard}", "--shard", fmt.Sprintf("%d/2", i)}
			if code, _ := runProgram(t, nil, append(words, flags...)...); code != 0 {
				t.Fatalf("shard %d in %s: exit %d", i, place, code)
			}
		}
	}
	union := func(words ...string) string {
		t.Helper()
		code, out := runProgram(t, nil, slices.Concat([]string{"union"}, words, access)...)
		if code != 0 {
			t.Fatalf("union %q: exit %d", words, code)
		}
		return out
	}
	script := union(s.URI("lakes"), "--persistent")
	for _, lakes := range [][]string{{s.URI("lakes/")}, {s.URI("lakes/shard-{shard}")}, {s.URI("lakes/shard-1"), s.URI("lakes/shard-0/")}} {
		if diff := cmp.Diff(script, union(append(lakes, "--persistent")...)); diff != "" {
			t.Errorf("the script for %q differs:\n%.2000s", lakes, diff)
		}
	}
	if strings.Contains(script, local) || !strings.Contains(script, "'"+s.URI("lakes/shard-1/data/news/")) {
		t.Errorf("the script does not name the objects:\n%.2000s", script)
	}
	copied := t.TempDir()
	mirror(t, s, "lakes", copied)
	want := openSession(t, printUnion(t, local))
	for name, script := range map[string]string{"persistent": script, "session": union(s.URI("lakes"), "--dialect", "duckdb")} {
		got := openSession(t, strings.ReplaceAll(script, s.URI("lakes"), copied))
		for view, query := range unionQueries() {
			if diff := cmp.Diff(readSorted(t, want, query), readSorted(t, got, query)); diff != "" {
				t.Errorf("%s: %s (-directories +bucket):\n%.2000s", name, view, diff)
			}
		}
	}
	if code, _ := runProgram(t, nil, append([]string{"union", s.URI("none")}, access...)...); code != 64 {
		t.Errorf("a prefix without lakes: exit %d, want 64", code)
	}
}

// TestUnionLeavesOutOptedOut: no view of a union shows a person who has opted out, whatever shard received the notice.
func TestUnionLeavesOutOptedOut(t *testing.T) {
	t.Parallel()
	lakes, list := t.TempDir(), filepath.Join(t.TempDir(), "people.csv")
	state := []string{"XDG_STATE_HOME=" + t.TempDir()}
	var lines strings.Builder
	lines.WriteString("key,linkedin,full name,email\n")
	for i := range 30 {
		fmt.Fprintf(&lines, "k%d,https://www.linkedin.com/in/sample-%d,Person Number%d,p%d@people.example\n", i, i, i, i)
	}
	if err := os.WriteFile(list, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	lake := func(shard int) string { return filepath.Join(lakes, fmt.Sprint("shard-", shard)) }
	for i := range 2 {
		words := []string{"run", list, "--signals", "contact", "--since", "180d", "--simulate", "--rate", "0", "--quiet", "--lake", lake(i), "--shard", fmt.Sprintf("%d/2", i)}
		if code, _ := runProgram(t, state, words...); code != 0 {
			t.Fatalf("shard %d: exit %d", i, code)
		}
	}
	before := openSession(t, printUnion(t, lakes))
	_, rows, err := before.Query(t.Context(), "SELECT entity_id, account_key FROM accounts WHERE events > 0 AND shard = 0 ORDER BY ALL LIMIT 1")
	if err != nil || len(rows) != 1 {
		t.Fatalf("%d persons with events, %v", len(rows), err)
	}
	contact, number := fmt.Sprint(rows[0][0]), strings.TrimPrefix(fmt.Sprint(rows[0][1]), "k")
	secrets := []string{contact, "Person Number" + number, "p" + number + "@people.example", "sample-" + number}
	if found := findSecrets(t, before, secrets); len(found) < 8 {
		t.Errorf("before the notice, %v have the person", found)
	}
	_, want, err := before.Query(t.Context(), "SELECT sum(credits) FROM credits")
	if err != nil {
		t.Fatal(err)
	}

	notice := fmt.Sprintf(`{"contactId":%q,"fullName":"Person Number%s","contactOptOutDate":"2026-05-06 07:41:02.090","datapoints":[]}`, contact, number)
	i, err := inbox.Open(t.Context(), lake(1), inbox.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := i.Append(t.Context(), &inbox.Delivery{ID: "opt-out-1", Kind: inbox.OptOut, Received: time.Now().UTC(), Stamp: "1", Body: []byte(notice)}); err != nil {
		t.Fatal(err)
	}
	if err := i.Close(); err != nil {
		t.Fatal(err)
	}
	if code, _ := runProgram(t, state, "webhooks", "publish", "--lake", lake(1), "--quiet"); code != 0 {
		t.Fatalf("webhooks publish: exit %d", code)
	}
	after := openSession(t, printUnion(t, lakes))
	for _, found := range findSecrets(t, after, secrets) {
		t.Error(found)
	}
	if _, got, err := after.Query(t.Context(), "SELECT sum(credits) FROM credits"); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the bill is %v, %v; want %v", got, err, want)
	}
}
