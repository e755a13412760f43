package main

import (
	"bytes"
	"context"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/simulator"
)

// storedLake is a lake whose files a test reads and changes past siglake, in a directory or a bucket.
type storedLake struct {
	*rig
	uri    string
	access []string
	bucket *bucket.Bucket // nil: a directory
}

// eachStore runs a test on a lake in a directory and on one in a bucket.
func eachStore(t *testing.T, cfg simulator.Config, test func(t *testing.T, l *storedLake)) {
	t.Helper()
	t.Run("directory", func(t *testing.T) {
		t.Parallel()
		freezeDay(t)
		r := newRig(t, cfg)
		test(t, &storedLake{rig: r, uri: r.lake})
	})
	t.Run("bucket", func(t *testing.T) {
		freezeDay(t)
		store, r := buckettest.Start(t), newRig(t, cfg)
		l := &storedLake{rig: r, uri: store.URI("lakes/stored"), access: s3LakeFlags(t, store)}
		l.bucket = openTestBucket(t, store, l.uri)
		test(t, l)
	})
}

// buy runs a command that asks the API, and says how many requests it made.
func (l *storedLake) buy(words ...string) (code int, output string, requests int) {
	l.t.Helper()
	before := l.sim.Bill().Requests
	code, output = l.look(append(slices.Clone(words), "--base-url", l.server.URL, "--plan", "unlimited", "--rate", "0")...)
	return code, output, l.sim.Bill().Requests - before
}

// look runs any other command on the lake.
func (l *storedLake) look(words ...string) (code int, output string) {
	l.t.Helper()
	args := slices.Concat(words, []string{"--lake", l.uri}, l.access)
	code, stdout, stderr := runProgram(l.t, args...)
	return code, stdout + stderr
}

// mustBuy runs a list, which must be complete.
func (l *storedLake) mustBuy(path string, flags ...string) {
	l.t.Helper()
	if code, output, _ := l.buy(slices.Concat([]string{"run", path}, baseFlags, flags)...); code != exitComplete {
		l.t.Fatalf("run %s: exit %d: %s", path, code, output)
	}
}

// files are the lake's files below a folder, by name; locks are left out.
func (l *storedLake) files(folder string) map[string][]byte {
	l.t.Helper()
	found := map[string][]byte{}
	if l.bucket != nil {
		for o, err := range l.bucket.List(context.Background(), folder) {
			if err != nil {
				l.t.Fatal(err)
			}
			raw, _, err := l.bucket.Get(context.Background(), o.Name)
			if err != nil {
				l.t.Fatal(err)
			}
			found[o.Name] = raw
		}
	} else if _, err := os.Stat(l.uri); err == nil {
		err := fs.WalkDir(os.DirFS(l.uri), ".", func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasPrefix(name, folder) {
				return err
			}
			found[name], err = os.ReadFile(filepath.Join(l.uri, filepath.FromSlash(name)))
			return err
		})
		if err != nil {
			l.t.Fatal(err)
		}
	}
	maps.DeleteFunc(found, func(name string, _ []byte) bool { return strings.HasPrefix(name, app.StateDir+"/lock") })
	return found
}

// replace makes the files below a folder be others.
func (l *storedLake) replace(folder string, files map[string][]byte) {
	l.t.Helper()
	for name := range l.files(folder) {
		if _, stays := files[name]; !stays {
			l.remove(name)
		}
	}
	for name, raw := range files {
		l.write(name, raw)
	}
}

func (l *storedLake) remove(name string) {
	l.t.Helper()
	err := error(nil)
	if l.bucket != nil {
		err = l.bucket.Delete(context.Background(), name)
	} else {
		err = os.Remove(filepath.Join(l.uri, filepath.FromSlash(name)))
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *storedLake) write(name string, raw []byte) {
	l.t.Helper()
	if l.bucket != nil {
		_ = l.bucket.Delete(context.Background(), name) // there may be none
		if err := l.bucket.Create(context.Background(), name, raw); err != nil {
			l.t.Fatal(err)
		}
		return
	}
	path := filepath.Join(l.uri, filepath.FromSlash(name))
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// mustRefuse makes sure that no command asks or changes anything while the journal is older than
// the lake, and that all of them say what to restore.
func (l *storedLake) mustRefuse(path string) {
	l.t.Helper()
	before := l.files("")
	commands := [][]string{
		append([]string{"run", path}, baseFlags...), append([]string{"run", path, "--new-run"}, baseFlags...),
		append([]string{"run", path, "--refresh"}, baseFlags...), append([]string{"plan", path}, baseFlags...),
		{"resolve", path}, {"score", path}, {"visitors", "--domain", "shop.example.com"},
		{"visitors", "--domain", "shop.example.com", "--dry-run"}, {"resume"}, {"doctor"},
	}
	for _, words := range commands {
		code, output, requests := l.buy(words...)
		if words[0] == "doctor" {
			requests = 0 // it asks about the account, at no cost
		}
		if code != exitIntegrity || requests != 0 || !strings.Contains(output, "restore "+app.StateDir) {
			l.t.Errorf("%v: exit %d after %d requests, want %d and none, and what to restore: %s", words, code, requests, exitIntegrity, output)
		}
	}
	for _, words := range [][]string{{"verify"}, {"compact", "--min-files", "2"}, {"held", "retry"}, {"rebuild", "--into", filepath.Join(l.t.TempDir(), "rebuilt")}} {
		if code, output := l.look(words...); code != exitIntegrity || strings.Contains(output, "siglake rebuild --lake") {
			l.t.Errorf("%v: exit %d, want %d: %s", words, code, exitIntegrity, output)
		}
	}
	for name, raw := range l.files("") {
		if was, ok := before[name]; !ok || !bytes.Equal(was, raw) {
			l.t.Errorf("%s was written by a command that was refused", name)
		}
	}
}

// TestOlderJournal: a journal that lacks what the lake's manifests name stops every command that
// could buy it again. With the right journal all is well.
func TestOlderJournal(t *testing.T) {
	eachStore(t, simulator.Config{}, func(t *testing.T, l *storedLake) {
		first, second := writeList(t, "first", 30), writeList(t, "second", 250)
		l.mustBuy(first)
		backup := l.files(app.StateDir)
		during := l.backupDuring(func() { l.mustBuy(second, "--concurrency", "1") })
		whole, meta := l.files(app.StateDir), l.files("_meta")

		l.replace(app.StateDir, backup)
		l.mustRefuse(second)
		l.mustRefuse(first) // also about what the journal knows
		l.replace(app.StateDir, during)
		l.mustRefuse(second)

		// A publication that current.json does not name yet counts as well, and so does one behind a
		// compaction, of which no journal knows.
		l.replace(app.StateDir, whole)
		if code, output := l.look("compact", "--min-files", "2"); code != exitComplete || !strings.Contains(output, "generation 3") {
			t.Fatalf("compact: exit %d: %s", code, output)
		}
		if code, output := l.look("verify"); code != exitComplete {
			t.Errorf("verify of the right journal: exit %d: %s", code, output)
		}
		l.replace(app.StateDir, backup)
		l.mustRefuse(second)
		l.replace("_meta/", meta)
		l.remove("_meta/current.json")
		l.mustRefuse(second)

		l.replace("_meta/", meta)
		l.replace(app.StateDir, whole)
		if code, output, requests := l.buy(append([]string{"run", second}, baseFlags...)...); code != exitComplete || requests != 0 {
			t.Errorf("with the right journal: exit %d after %d requests: %s", code, requests, output)
		}
	})
}

// backupDuring copies the journal while a run's second call is on the wire.
func (l *storedLake) backupDuring(run func()) (backup map[string][]byte) {
	l.t.Helper()
	calls, handler := 0, l.server.Config.Handler
	l.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if calls++; q.Method == http.MethodPost && backup == nil && calls > 2 {
			backup = l.files(app.StateDir)
		}
		handler.ServeHTTP(w, q)
	})
	run()
	l.server.Config.Handler = handler
	return backup
}

// TestEmptiedState: a lake without its journal is no new lake, whatever else it lost.
func TestEmptiedState(t *testing.T) {
	eachStore(t, simulator.Config{}, func(t *testing.T, l *storedLake) {
		list := writeList(t, "emptied", 30)
		l.mustBuy(list)
		meta, state := l.files("_meta"), l.files(app.StateDir)
		journal := maps.Clone(state)
		maps.DeleteFunc(journal, func(name string, _ []byte) bool { return strings.HasPrefix(name, app.StateDir+"/journal/") })
		for _, left := range []map[string][]byte{nil, journal} {
			l.replace(app.StateDir, left)
			l.mustRefuse(list)
			l.remove("_meta/current.json")
			l.mustRefuse(list)
			l.replace("_meta/", nil)
			if code, output, requests := l.buy(append([]string{"run", list}, baseFlags...)...); code != exitIntegrity || requests != 0 || !strings.Contains(output, "restore _meta and _state") {
				t.Errorf("with files of rows alone: exit %d after %d requests: %s", code, requests, output)
			}
			l.replace("_meta/", meta)
		}
		if l.bucket == nil {
			if err := os.RemoveAll(filepath.Join(l.uri, app.StateDir)); err != nil {
				t.Fatal(err)
			}
			l.mustRefuse(list)
			if _, err := os.Stat(filepath.Join(l.uri, app.StateDir)); !os.IsNotExist(err) {
				t.Errorf("%s after commands that were refused: %v, want none", app.StateDir, err)
			}
		}
		l.replace(app.StateDir, state)
		if code, output := l.look("verify"); code != exitComplete {
			t.Errorf("verify of the right journal: exit %d: %s", code, output)
		}
	})
}

// TestRefusedRunLeavesNothing: a run that is refused on a new lake leaves nothing that passes for a
// lake, and removes nothing that was there.
func TestRefusedRunLeavesNothing(t *testing.T) {
	day := time.Date(2026, 5, 6, 12, 0, 0, 0, time.UTC)
	eachStore(t, simulator.Config{Now: func() time.Time { return day }}, func(t *testing.T, l *storedLake) {
		setNow(t, func() time.Time { return day.AddDate(3, 0, 0) }) // refused: the clocks differ
		list := writeList(t, "refused", 10)
		refuse := func() {
			t.Helper()
			if code, output, _ := l.buy(append([]string{"run", list}, baseFlags...)...); code != exitUsage {
				t.Fatalf("exit %d, want %d: %s", code, exitUsage, output)
			}
			if left := slices.Sorted(maps.Keys(l.files(""))); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
			if code, output := l.look("verify"); code != exitUsage || !strings.Contains(output, "is not a siglake lake") {
				t.Errorf("verify: exit %d, want %d: %s", code, exitUsage, output)
			}
		}
		if l.bucket == nil {
			l.uri = filepath.Join(l.uri, "deep", "er")
		}
		refuse()
		if l.bucket == nil {
			if _, err := os.Stat(l.lake); !os.IsNotExist(err) {
				t.Errorf("%s after a refused run: %v, want none", l.lake, err)
			}
			if err := os.MkdirAll(l.uri, 0o700); err != nil {
				t.Fatal(err)
			}
			refuse()
			if entries, err := os.ReadDir(l.uri); err != nil || len(entries) > 0 {
				t.Errorf("the empty directory that was there holds %v, %v", entries, err)
			}
		}
		setNow(t, func() time.Time { return day })
		l.mustBuy(list)
		if code, output := l.look("verify"); code != exitComplete {
			t.Errorf("verify: exit %d: %s", code, output)
		}
	})
}
