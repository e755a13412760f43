package lease

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/siglake/siglake/internal/bucket/membucket"
)

// TestFlockHolder: the lock of a directory names its holder while it is held, for every reader, and none
// before and after, whatever is in its file.
func TestFlockHolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	none := func(when string) {
		t.Helper()
		if h, err := FlockHolder(dir); h != nil || err != nil {
			t.Errorf("FlockHolder %s = %+v, %v, want none", when, h, err)
		}
	}
	none("without a file")
	l, err := AcquireFlock(dir, "siglake run")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if h, err := FlockHolder(dir); err != nil || h == nil || h.PID != os.Getpid() || h.Host != hostname() || h.Command != "siglake run" || h.Since.IsZero() {
			t.Errorf("FlockHolder = %+v, %v, want this process", h, err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	none("after Close")
	if err := os.WriteFile(filepath.Join(dir, lockFile), []byte((&Holder{PID: 1, Host: "elsewhere", Command: "siglake run"}).text()), 0o600); err != nil {
		t.Fatal(err)
	}
	none("after a process that was killed")
	if l, err = AcquireFlock(dir, "siglake run"); err != nil {
		t.Fatalf("AcquireFlock after others looked: %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestParseHolder(t *testing.T) {
	t.Parallel()
	since := time.Date(2026, 11, 30, 1, 2, 3, 0, time.UTC)
	for text, want := range map[string]Holder{
		(&Holder{12, "host-a.example", "siglake run", since}).text():   {12, "host-a.example", "siglake run", since},
		"process 12, siglake held retry, since 2026-11-30T01:02:03Z\n": {12, "", "siglake held retry", since},
		"":                                {},
		"process x, siglake run, since\n": {},
		"process 7 on h, siglake run, since yesterday": {7, "h", "siglake run", time.Time{}},
	} {
		if got := parseHolder(text); got != want {
			t.Errorf("parseHolder(%q) = %+v, want %+v", text, got, want)
		}
	}
}

// TestLeaseHolder: a lease names its holder from any machine while it is renewed, and some minutes
// after that.
func TestLeaseHolder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := membucket.New()
		holder := func() *Holder {
			t.Helper()
			h, err := ObjectHolder(t.Context(), b, leaseName)
			if err != nil {
				t.Errorf("ObjectHolder = %v", err)
			}
			return h
		}
		if h := holder(); h != nil {
			t.Errorf("ObjectHolder of no lease = %+v, want none", h)
		}
		l := mustAcquire(t, b, "siglake run")
		advance(10 * time.Minute)
		if h := holder(); h == nil || h.PID != os.Getpid() || h.Host != hostname() || h.Command != "siglake run" || h.Since.IsZero() {
			t.Errorf("ObjectHolder = %+v, want this process", h)
		}
		l.cancel() // the machine dies
		<-l.done
		advance(l.ttl)
		if holder() == nil {
			t.Error("ObjectHolder just after the lease expired = none, want its holder: clocks differ")
		}
		advance(clockError + time.Second)
		if h := holder(); h != nil {
			t.Errorf("ObjectHolder of an expired lease = %+v, want none", h)
		}
		if l = mustAcquire(t, b, "siglake run"); holder() == nil {
			t.Error("ObjectHolder after another Acquire = none")
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if h := holder(); h != nil {
			t.Errorf("ObjectHolder of a released lease = %+v, want none", h)
		}
	})
}
