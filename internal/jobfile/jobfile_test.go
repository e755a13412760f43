package jobfile

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// suggestFirst is a Suggest that knows one pair of words.
func suggestFirst(word string, _ []string) string {
	if word == "job" {
		return " (did you mean jobs?)"
	}
	return ""
}

func TestParse(t *testing.T) {
	t.Parallel()
	f := Parse("siglake.yaml", []byte("\ufeff# nightly\r\nversion: 1\r\ndefaults:\r\n  lake: lake\r\njobs:\r\n  a.b-1:\r\n    since: 2026-01-31\r\n    signals: [news, 007]\r\n    list: \"x: y\"\r\n"), suggestFirst)
	if err := f.Err(); err != nil {
		t.Fatal(err)
	}
	want := []Job{{Name: "a.b-1", At: Position{6, 3}, Settings: []Field{
		{"since", Position{7, 5}, Value{At: Position{7, 12}, Kind: Scalar, Text: "2026-01-31"}},
		{"signals", Position{8, 5}, Value{At: Position{8, 14}, Kind: List, Items: []Value{
			{At: Position{8, 15}, Kind: Scalar, Text: "news"}, {At: Position{8, 21}, Kind: Scalar, Text: "007"},
		}}},
		{"list", Position{9, 5}, Value{At: Position{9, 11}, Kind: Scalar, Text: "x: y"}},
	}}}
	if diff := cmp.Diff(want, f.Jobs); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
	if f.Job("a.b-1") == nil || f.Job("b") != nil || len(f.Defaults) != 1 {
		t.Errorf("Job or Defaults: %+v", f)
	}
}

// TestProblems: every problem says where it is, all at once, in the order of the file.
func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       []string // beginnings of the lines of the error
	}{
		{"empty", "", []string{"F is empty"}},
		{"comment only", "# nothing\n", []string{"F is empty"}},
		{"a scalar", "hello\n", []string{"F:1:1: expected the keys version", "  hello", "  ^"}},
		{"no version, no jobs", "defaults: {}\n", []string{"F:1:1: version is missing", "  defaults", "  ^", "F:1:1: jobs is missing", "  defaults", "  ^"}},
		{"another version", "version: 2\njobs: {a: {list: x}}\n", []string{"F:1:10: this siglake reads version 1", "  version: 2", "           ^"}},
		{"unknown section", "version: 1\njob:\n  a: {list: x}\njobs: {a: {}}\n", []string{"F:2:1: unknown section \"job\" (did you mean jobs?)", "  job:", "  ^"}},
		{"duplicate keys", "version: 1\njobs:\n  a: {x: 1, x: 2}\n  a: {}\n", []string{
			"F:3:13: key \"x\" is already in line 3", "    a: {x: 1, x: 2}", "              ^", "F:4:3: key \"a\" is already in line 3", "    a: {}", "    ^"}},
		{"tab", "version: 1\njobs:\n\ta: {}\n", []string{"F:3:1: a tab in the indentation", "   a: {}", "  ^"}},
		{"second document", "version: 1\njobs: {a: {x: 1}}\n---\nversion: 1\n", []string{"F:4:1: a second document", "  version: 1", "  ^"}},
		{"UTF-16", "\xff\xfev\x00", []string{"F is UTF-16"}},
		{"not YAML", "version: 1\njobs: [1,\n", []string{"F:3:1: not valid YAML: did not find expected node content"}},
		{"an open quote", "version: 1\njobs: 'x\n\n", []string{"F:2:7: not valid YAML", "  jobs: 'x", "        ^"}},
		{"aliases", "version: 1\njobs:\n  a: &x {y: 1}\n  b: *x\n", []string{"F:3:6: anchors", "    a: &x {y: 1}", "       ^", "F:4:6: anchors", "    b: *x", "       ^"}},
		{"merge key", "version: 1\njobs:\n  a:\n    <<: {y: 1}\n", []string{"F:4:5: expected a plain word", "      <<", "      ^"}},
		{"tags", "version: 1\njobs:\n  a: {x: !int 1}\n", []string{"F:3:10: tags such as", "    a:", "           ^"}},
		{"job without settings", "version: 1\njobs:\n  a:\n", []string{"F:3:3: a has no value", "    a:", "    ^"}},
		{"job of another kind", "version: 1\njobs:\n  a: x\n", []string{"F:3:6: a: expected settings", "    a: x", "       ^"}},
		{"jobs of another kind", "version: 1\njobs: [a]\n", []string{"F:2:7: jobs: expected jobs by name", "  jobs: [a]", "        ^"}},
		{"no job", "version: 1\njobs: {}\n", []string{"F:2:1: jobs is empty", "  jobs: {}", "  ^"}},
		{"odd name", "version: 1\njobs:\n  -a b: {x: 1}\n", []string{"F:3:3: job name \"-a b\"", "    -a b", "    ^"}},
		{"too deep", "version: 1\njobs: {a: {b: [[[[[1]]]]]}}\n", []string{"F:2:19: nested too deeply", "  jobs", "                    ^"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := Parse("F", []byte(c.text), suggestFirst).Err()
			if err == nil {
				t.Fatal("no error")
			}
			got := strings.Split(err.Error(), "\n")
			if len(got) != len(c.want) {
				t.Fatalf("got\n%v\nwant %d lines that begin %q", err, len(c.want), c.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], c.want[i]) {
					t.Errorf("line %d is %q, want it to begin %q", i+1, got[i], c.want[i])
				}
			}
		})
	}
}

func TestFieldKinds(t *testing.T) {
	t.Parallel()
	f := Parse("F", []byte("version: 1\njobs:\n  a:\n    ok: [x, 1, true]\n    none:\n    keys: {x: 1}\n    deep: [[x]]\n    empty: []\n"), suggestFirst)
	for _, field := range f.Jobs[0].Settings {
		f.Strings(field)
		f.Text(field)
	}
	var lines []string
	for _, line := range strings.Split(f.Err().Error(), "\n") {
		if strings.HasPrefix(line, "F:") {
			lines = append(lines, line)
		}
	}
	want := []string{
		"F:4:9: ok: expected one value", "F:5:5: none has no value", "F:6:11: keys: expected a value or a list, not keys", "F:6:11: keys: expected one value",
		"F:7:11: deep: expected one value", "F:7:12: deep: expected one value an item", "F:8:12: empty: the list is empty", "F:8:12: empty: expected one value",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSecretsStay: no message repeats what may be a secret, whatever is wrong with its line.
func TestSecretsStay(t *testing.T) {
	t.Parallel()
	const secret = "s3cr3t-9f2"
	for _, text := range []string{
		"version: 1\njobs:\n  a:\n    api-key: " + secret + "\n",
		"version: 1\njobs:\n  a: {api_key: " + secret + ", list: x}\n",
		"version: 1\njobs:\n  a:\n    api-key:\n      " + secret + "\n",
		"version: 1\njobs:\n  a:\n    api-key: *" + secret + "\n",
		"version: 1\njobs:\n  a:\n    token: '" + secret + "\n",
		"version: 1\njobs:\n  a:\n    password: a: " + secret + "\n",
		"version: 1\njobs:\n  a:\n    api-key: !" + secret + " x\n",
		"version: 1\njobs:\n  a:\n    notify: [{url: \"https://hooks.example.com/" + secret + "\", url: x}]\n",
		"version: 1\njobs:\n  a:\n    notify:\n    - url: ftp://hooks.example.com/" + secret + "\n    - url: \"%zz://" + secret + "\"\n",
		"version: 1\njobs:\n  a:\n    notify:\n    - {url: \"https://u:" + secret + "@example.com/x\", url-file: y, of: [start]}\n",
		"version: 1\njobs:\n  a:\n    base-url: https://u:" + secret + "@example.com/\n    base-url: x\n",
	} {
		f := Parse("F", []byte(text), suggestFirst)
		for _, j := range f.Jobs {
			for _, field := range j.Settings {
				if field.Key == "notify" {
					for _, n := range f.Notifications(field) {
						if strings.Contains(n.Address(), secret) {
							t.Errorf("Address() = %q", n.Address())
						}
					}
				} else {
					f.ReportKey(field, "setting", nil)
				}
			}
		}
		if err := f.Err(); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%q:\n%v", text, err)
		}
	}
}

func TestNotifications(t *testing.T) {
	t.Parallel()
	f := Parse("F", []byte(`version: 1
jobs:
  a:
    notify:
    - url: https://hc-ping.com/1234
    - {url-file: slack.url, on: failure, format: slack}
    - {url: "http://localhost/x", format: json}
`), suggestFirst)
	got := f.Notifications(f.Jobs[0].Settings[0])
	want := []Notification{
		{Position{5, 7}, "https://hc-ping.com/1234", "", []string{"start", "success", "failure", "warning"}, "healthchecks"},
		{Position{6, 7}, "", "slack.url", []string{"failure"}, "slack"},
		{Position{7, 7}, "http://localhost/x", "", []string{"success", "failure", "warning"}, "json"},
	}
	if diff := cmp.Diff(want, got); diff != "" || f.Err() != nil {
		t.Errorf("(-want +got):\n%s\n%v", diff, f.Err())
	}
	for i, address := range []string{"https://hc-ping.com/…", "address in slack.url", "http://localhost/…"} {
		if a := got[i].Address(); a != address {
			t.Errorf("Address() = %q, want %q", a, address)
		}
	}
	f = Parse("F", []byte("version: 1\njobs:\n  a:\n    notify:\n    - {on: [begin], format: xml}\n    - x\n    - {url: \"https://a/\", url-file: b}\n  b:\n    notify: x\n"), suggestFirst)
	for _, j := range f.Jobs {
		f.Notifications(j.Settings[0])
	}
	var n int
	for _, line := range strings.Split(f.Err().Error(), "\n") {
		if strings.HasPrefix(line, "F:") {
			n++
		}
	}
	if n != 6 {
		t.Errorf("%d problems, want 6:\n%v", n, f.Err())
	}
}

// FuzzParse: whatever a file holds, there are jobs or an error, and no panic.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"version: 1\njobs: {a: {list: x}}\n", "version: 1\njobs:\n\ta\n", "a: &x [*x]\n", "? [1]\n: 2\n", "- \x00\n", "--- |\n x\n--- !a\n"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		file := Parse("F", []byte(text), suggestFirst)
		for _, j := range file.Jobs {
			for _, field := range j.Settings {
				file.Strings(field)
				file.Notifications(field)
			}
		}
		if file.Err() == nil && len(file.Jobs) == 0 {
			t.Error("no jobs and no error")
		}
	})
}
