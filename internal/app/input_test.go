package app

import (
	"bytes"
	"compress/gzip"
	"errors"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/sources"
)

// TestExpectedLines: the lines of a list are known, for the progress bar, without
// reading it once more.
func TestExpectedLines(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text   string
		header sources.Header
		want   int64
	}{
		{"a.example\nb.example\n", sources.HeaderNo, 2},
		{"a.example\nb.example", sources.HeaderNo, 2},
		{"domain\na.example\nb.example\n", sources.HeaderYes, 2},
		{gzipped(t, "a.example\nb.example\n"), sources.HeaderNo, 0},
	} {
		path := filepath.Join(t.TempDir(), "list.csv")
		if err := os.WriteFile(path, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		in, err := openListInput(t.Context(), path, sources.Options{Header: tt.header})
		if err != nil {
			t.Fatal(err)
		}
		list, err := in.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := in.expectedLines(list); got != tt.want {
			t.Errorf("expectedLines of %q, header %q = %d, want %d", tt.text, tt.header, got, tt.want)
		}
		if err := list.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestListOpenTwice: the same list can be read by two readers at once, a pipe, too.
func TestListOpenTwice(t *testing.T) {
	t.Parallel()
	in, err := openListInput(t.Context(), "-", sources.Options{Stdin: strings.NewReader(strings.Repeat("a.example\nb.example\n", 2500))})
	if err != nil {
		t.Fatal(err)
	}
	defer in.close()
	var lists []*sources.List
	for range 2 {
		list, err := in.open(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, list)
	}
	next, stop := iter.Pull2(lists[1].Accounts(t.Context()))
	defer stop()
	for a, err := range lists[0].Accounts(t.Context()) {
		b, errB, ok := next()
		if err != nil || errB != nil || !ok || a.Domain != b.Domain {
			t.Fatalf("line %d: %q, %v and %q, %v, %t", a.Row, a.Domain, err, b.Domain, errB, ok)
		}
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, err := z.Write([]byte(text))
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
