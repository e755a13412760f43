package sources

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

const fileOfProse = "Lists for the nightly job\nPlease do not edit these by hand\nAsk Ada when in doubt\n"

// TestFilesAmongLists reads folders with files that are no list, and with parts that hold none of
// the list's lines, from a disk and from a store.
func TestFilesAmongLists(t *testing.T) {
	store := buckettest.Start(t)
	remote := onStore(t, store)
	const a, header = "Company,Website\nAcme,acme.com\n", "Company,Website\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  []string // the accounts, or the error
		notes []string // suffixes
		// The error with StrictFiles; empty: the same as without.
		strict string
	}{
		"prose": {
			files: map[string]string{"README.txt": fileOfProse, "a.csv": a},
			want:  []string{"a.csv:2 acme.comAcme"}, notes: []string{"README.txt: skipped, because it is prose"}, strict: "error: is prose",
		},
		"metadata": {
			files: map[string]string{"a.csv": a, "a.csv.metadata": "\n\x04\x08\x01\x10\x02\"\x01*\x12\x0c\n\x04hive\x1a\x04name*\x07varchar0\x00\x01"},
			want:  []string{"a.csv:2 acme.comAcme"}, notes: []string{"a.csv.metadata: skipped, because it is the metadata of an Athena query"},
			strict: "error: is the metadata of an Athena query",
		},
		"checksums between": {
			files: map[string]string{"a.csv": a, "b.md5": "d41d8cd98f00b204e9800998ecf8427e  a.csv\n", "c.csv": "domain\nbeta.com\n"},
			want:  []string{"a.csv:2 acme.comAcme", "c.csv:2 beta.com"}, notes: []string{"b.md5: skipped, because it is a file of checksums"},
			strict: "error: is a file of checksums",
		},
		"header first": {
			files: map[string]string{"part-0.csv": header, "part-1.csv": a}, want: []string{"part-1.csv:2 acme.comAcme"},
			notes: []string{"part-0.csv: the header is not followed by any line: read as an empty part of the list"},
		},
		"unknown header": {
			files: map[string]string{"part-0.csv": "Naam,Webstek\n", "part-1.csv": "Naam,Webstek\nAcme,acme.com\n"},
			want:  []string{"part-1.csv:2 acme.comAcme"}, notes: []string{"part-0.csv: the header is not followed by any line: read as an empty part of the list"},
		},
		"empty gzip": {
			files: map[string]string{"a.csv": a, "b.csv.gz": gzipped(t, "")}, want: []string{"a.csv:2 acme.comAcme"},
			notes: []string{"b.csv.gz: the list is empty: read as an empty part of the list"},
		},
		"only headers": {
			files: map[string]string{"a.csv": header, "b.csv": header},
			want:  []string{"error: the header is not followed by any line; none of the 2 files holds an account"},
		},
		"only foreign": {
			files: map[string]string{"a.txt": fileOfProse, "b.xml": "<a/>"},
			want:  []string{"error: is prose; none of the 2 files holds an account"}, strict: "error: is prose",
		},
		"one foreign": {files: map[string]string{"a.txt": fileOfProse}, want: []string{"error: is prose"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			place := strings.ReplaceAll(name, " ", "-")
			for file, text := range c.files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				putObject(t, remote, store.URI(place+"/"+file), []byte(text))
			}
			for root, o := range map[string]Options{dir + "/": {}, store.URI(place + "/"): remote} {
				for _, strict := range []bool{false, true} {
					o.StrictFiles = strict
					want := c.want
					if strict && c.strict != "" {
						want = []string{c.strict}
					}
					got, in := readList(t, root, o, root)
					if strings.HasPrefix(want[0], "error: ") && len(got) == 1 && strings.HasPrefix(got[0], "error: ") && strings.Contains(got[0], strings.TrimPrefix(want[0], "error: ")) {
						continue
					}
					if diff := cmp.Diff(want, got); diff != "" {
						t.Errorf("%s, strict %t (-want +got):\n%s", root, strict, diff)
					}
					for _, note := range c.notes {
						if !slices.ContainsFunc(in.Notes, func(n string) bool { return strings.HasSuffix(n, note) }) {
							t.Errorf("notes %q lack %q", in.Notes, note)
						}
					}
					if len(in.Objects) != len(c.files) || in.SHA256 == "" || in.SHA256 != Fingerprint(in.Objects) {
						t.Errorf("Input() has %d objects and the digest %q, want all %d and theirs", len(in.Objects), in.SHA256, len(c.files))
					}
				}
			}
		})
	}
}

// TestSoleHeader reads a part with a header that --map explains, and no line.
func TestSoleHeader(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{"a.csv": "Firma X;Netzort\nAcme;acme.com\n", "b.csv": "Firma X;Netzort\n"} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, _ := readList(t, dir+"/", Options{Map: map[string]string{"domain": "Netzort"}}, dir+"/")
	if want := []string{"a.csv:2 acme.com"}; !slices.Equal(got, want) {
		t.Errorf("accounts %q, want %q", got, want)
	}
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return packed.String()
}
