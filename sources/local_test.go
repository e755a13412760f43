package sources

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestLocalListChanges: a local list that changes while it is read ends with an error that names
// it, and one that was only touched, or replaced by the same content, does not.
func TestLocalListChanges(t *testing.T) {
	t.Parallel()
	const lines = 20000
	var text strings.Builder
	for i := range lines {
		fmt.Fprintf(&text, "list-%06d.example\n", i)
	}
	plain := []byte(text.String())
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(plain); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	replace := func(path string, data []byte) error {
		return errors.Join(os.WriteFile(path+".new", data, 0o600), os.Rename(path+".new", path))
	}
	changes := map[string]struct {
		change  func(path string, data []byte) error
		changed bool
	}{
		"appended": {func(path string, data []byte) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			_, err = f.WriteString("one-more.example\n")
			return errors.Join(err, f.Close())
		}, true},
		"replaced":           {func(path string, data []byte) error { return replace(path, data[:len(data)-20]) }, true},
		"truncated":          {func(path string, data []byte) error { return os.Truncate(path, int64(len(data)/2)) }, true},
		"edited in secret":   {editInSecret, true}, // same size, same time
		"touched":            {func(path string, _ []byte) error { return os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)) }, false},
		"replaced by same":   {replace, false},
		"removed":            {func(path string, _ []byte) error { return os.Remove(path) }, false},
		"nothing is changed": {func(string, []byte) error { return nil }, false},
	}
	for format, data := range map[string][]byte{"list.csv": plain, "list.csv.gz": packed.Bytes()} {
		for name, c := range changes {
			t.Run(format+"/"+name, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(t.TempDir(), format)
				if err := os.WriteFile(path, data, 0o600); err != nil {
					t.Fatal(err)
				}
				objects, err := Find(t.Context(), path, Options{})
				if err != nil {
					t.Fatal(err)
				}
				list, err := Open(t.Context(), path, Options{Objects: objects})
				if err != nil {
					t.Fatal(err)
				}
				defer list.Close()
				read := 0
				for _, err = range list.Accounts(t.Context()) {
					if err != nil {
						break
					}
					if read++; read == 10 {
						if err := c.change(path, data); err != nil {
							t.Fatal(err)
						}
					}
				}
				var fault *Error
				switch {
				case !c.changed && (err != nil || read != lines):
					t.Errorf("%d lines, %v; want %d", read, err, lines)
				case c.changed && (!errors.As(err, &fault) || fault.File != path || !strings.Contains(fault.Problem, "was changed or replaced")):
					t.Errorf("%d lines, %v; want an error that names the list and says that it was changed", read, err)
				}
			})
		}
	}
}

// editInSecret changes the end of a file, and restores its time.
func editInSecret(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	at := int64(len(data) - 12) // the end of the text, or the checksum of its compression
	_, err = f.WriteAt([]byte{data[at] ^ 1}, at)
	return errors.Join(err, f.Close(), os.Chtimes(path, info.ModTime(), info.ModTime()))
}
