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

// TestTextsThatAreNoList: texts of one column that are no list are refused, and lists of names that look a little like them
// are read.
func TestTextsThatAreNoList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"# Title\n\nOur customers:\n\n- Nordwind\n- Suedstern\n":                                   "Markdown",
		"--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b\n":                                              "a patch",
		"1\n00:00:01,000 --> 00:00:02,000\nHello\n\n2\n00:00:03,000 --> 00:00:04,000\nWorld\n":     "subtitles",
		"#EXTM3U\n#EXTINF:123,Artist - Title\nfile.mp3\n":                                          "media",
		"Dear Ada,\n\nthank you for your order. We will ship it soon.\n\nBest regards,\nBo\n":      "prose",
		"Sehr geehrte Frau King,\nanbei die Liste.\nMit freundlichen Grüßen\n":                     "prose",
		"Job 123 finished successfully.\n":                                                         "prose",
		"ERROR 1045 (28000): Access denied for user\n":                                             "error",
		"java.lang.NullPointerException: null\nat com.acme\n":                                      "error",
		"FROM golang:1.24\nRUN go build\nCMD [\"x\"]\n":                                            "source code",
		"total 12\n-rw-r--r-- 1 root root 10 Nov 30 10:00 a\n-rw-r--r-- 1 root root 10 Nov 30 b\n": "directory",
		"Nordwind GmbH\nDear Foods Ltd.\nHello Fresh, Inc.\nBest Regards Flowers\nError Software":  "",
		"# customers\nNordwind\nSuedstern\n":                                                       "",
		"From Scratch Bakery\nRun Gum\nFatal Fury Games\nCopy Shop Bonn\nNordwind.\n":              "",
		"Acme Holdings.\n": "",
	} {
		l, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader(text)})
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("Open(%q) = %v, want an error that contains %q", text, err, want)
		}
		if err == nil {
			_ = l.Close() // only read: nothing to lose
		}
	}
}
