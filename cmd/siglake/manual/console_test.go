//go:build unix

package manual_test

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

// update makes TestConsole write what the commands print now into the pages:
//
//	go test ./cmd/siglake/manual -run TestConsole -update
//
// Output that still matches is left as it is.
var update = flag.Bool("update", false, "write what the commands print now into the pages")

// A console block is a session of a POSIX shell:
//
//	```console
//	$ siglake run accounts.csv --lake lake --signals news
//	Run …: complete in 120ms
//	...
//	$ echo $?
//	0
//	```
//
// Every command runs in a shell, in the order of the page, in one folder that
// begins as a copy of testdata. A command without output only has to succeed.
// A command may fail only when the next one prints its exit code. Output is
// compared line by line with everything masked that differs from day to day
// (numbers, times, ids, sizes, spacing); a line that ends in "…" stands for all
// lines that begin so, and a line "..." for any number of lines.

type command struct {
	line   int    // of the page, from 0
	text   string // what stands behind the prompt
	output []string
	end    int // the line behind the output
}

var page = regexp.MustCompile("^```([a-z]*)$")

// console reads the commands of a page's console blocks.
func console(lines []string) (commands []command, err error) {
	kind, fenced := "", false
	for i := 0; i < len(lines); i++ {
		if m := page.FindStringSubmatch(lines[i]); m != nil || strings.HasPrefix(lines[i], "```") {
			switch {
			case fenced && lines[i] == "```":
				kind, fenced = "", false
			case fenced || m == nil:
				return nil, fmt.Errorf("line %d: %q inside a block", i+1, lines[i])
			case m[1] == "":
				return nil, fmt.Errorf("line %d: a block without an info string: console, sql or text", i+1)
			default:
				kind, fenced = m[1], true
			}
			continue
		}
		if kind != "console" {
			continue
		}
		text, isCommand := strings.CutPrefix(lines[i], "$ ")
		switch {
		case isCommand:
			c := command{line: i, text: text}
			for strings.HasSuffix(c.text, "\\") && i+1 < len(lines) {
				i++
				c.text += "\n" + lines[i]
			}
			c.end = i + 1
			commands = append(commands, c)
		case len(commands) == 0 || commands[len(commands)-1].end != i:
			return nil, fmt.Errorf("line %d: output before a command", i+1)
		default:
			last := &commands[len(commands)-1]
			last.output, last.end = append(last.output, lines[i]), i+1
		}
	}
	if fenced {
		return nil, errors.New("the last block has no end")
	}
	return commands, nil
}

var masks = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`\d{8}T\d{6}Z-[0-9a-f]{8}(-[0-9a-f]{8})?`), "RUN"},
	{regexp.MustCompile(`\d{8}-[0-9a-f]{16}`), "HASH"},
	{regexp.MustCompile(`\b[0-9a-f]{40,64}\b`), "HASH"},
	{regexp.MustCompile(`\b\d[\d.]*(ns|µs|ms|s|m|h)((\d[\d.]*)(ms|s|m))*\b`), "TIME"},
	{regexp.MustCompile(`\b\d[\d.,]* ([KMGT]i)?B\b`), "SIZE"},
	{regexp.MustCompile(`\d[\d,.]*`), "0"},
	{regexp.MustCompile(`\s+`), " "},
	// What happened to whom in the simulated world depends on the day.
	{regexp.MustCompile(`\b0 (enriched|no signal)( · 0 (enriched|no signal))*`), "ANSWERED"},
	{regexp.MustCompile(`\b0 (contact|growth|intent|news|risk)\b( · 0 (contact|growth|intent|news|risk)\b)*`), "EVENTS"},
	{regexp.MustCompile(`( · 0 [a-z]+[A-Z]\w*)+`), " · SIGNALS"},
}

// masked is a line less all that differs from one day, or machine, to the next.
func masked(line string) string {
	for _, m := range masks {
		line = m.what.ReplaceAllString(line, m.with)
	}
	return strings.TrimSpace(line)
}

// number is all of a line that is an exit code; those are compared as they are.
var number = regexp.MustCompile(`^\d+$`)

func sameLine(want, got string) bool {
	if number.MatchString(want) && number.MatchString(got) {
		return want == got
	}
	if begin, cut := strings.CutSuffix(masked(want), "…"); cut {
		return strings.HasPrefix(masked(got), strings.TrimSpace(begin))
	}
	return masked(want) == masked(got)
}

// matches compares expected output with what was printed.
func matches(want, got []string) bool {
	if len(want) == 0 {
		return len(got) == 0
	}
	if strings.TrimSpace(want[0]) == "..." {
		return matches(want[1:], got) || len(got) > 0 && matches(want, got[1:])
	}
	return len(got) > 0 && sameLine(want[0], got[0]) && matches(want[1:], got[1:])
}

// refreshed is expected output with today's lines in the place of those that no
// longer match. What the page leaves out ("...", "…") stays out, as far as the
// lines that it shows can still be recognised by their words.
func refreshed(want, got []string) []string {
	var out []string
	at, open := 0, false // the next line that was printed; whether any may be skipped before it
	for _, w := range want {
		if strings.TrimSpace(w) == "..." {
			out, open = append(out, w), true
			continue
		}
		best, score := at, 0
		for i := at; i < len(got) && (open || i == at); i++ {
			if sameLine(w, got[i]) {
				best, score = i, 1<<30
				break
			}
			if n := inCommon(w, got[i]); n > score {
				best, score = i, n
			}
		}
		if score == 0 {
			return got
		}
		line := got[best]
		if begin, cut := strings.CutSuffix(w, "…"); cut && len([]rune(line)) > len([]rune(begin)) {
			line = string([]rune(line)[:len([]rune(begin))]) + "…"
		}
		if score == 1<<30 {
			line = w
		}
		out, at, open = append(out, line), best+1, false
	}
	if !open {
		out = append(out, got[min(at, len(got)):]...)
	}
	return out
}

// inCommon counts the words that two lines share.
func inCommon(a, b string) (n int) {
	words := strings.Fields(masked(b))
	for _, w := range strings.Fields(masked(a)) {
		if slices.Contains(words, w) {
			n++
		}
	}
	return n
}

func TestConsoleFindsDifferences(t *testing.T) {
	for _, c := range []struct {
		want, got string
		same      bool
	}{
		{"Run 20261123T143317Z-da1f42b2: complete in 100ms", "Run 20270101T000000Z-00000000: complete in 1m2.5s", true},
		{"Run 20261123T143317Z-da1f42b2: complete in 100ms", "Run 20270101T000000Z-00000000: stopped in 1m2.5s", false},
		{"  Files   14   296.8 KiB, 338 rows", "  Files   9  1.2 MiB, 12 rows", true},
		{"  Lines   4   1 enriched · 1 no signal · 2 rejected", "  Lines   4   2 enriched · 2 rejected", true},
		{"  Lines   4   1 enriched · 1 no signal · 2 rejected", "  Lines   4   2 enriched · 2 held", false},
		{"  Credits   2   as charged by the API · 1 riskNews · 1 peopleNews", "  Credits   3   as charged by the API · 3 surgeInHiring", true},
		{"  Files   14   296.8 KiB, 338 rows", "  Files   9  1.2 MiB, 12 lines", false},
		{"20", "21", false},
		{"a", "a\nb", false},
		{"a\nb", "a", false},
		{"a\n...", "a\nb\nc", true},
		{"a\n...\nc", "a\nb\nc", true},
		{"a\n...\nd", "a\nb\nc", false},
		{"begins so…", "begins so and goes on", true},
		{"begins so…", "begins otherwise", false},
	} {
		if got := matches(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")); got != c.same {
			t.Errorf("matches(%q, %q) = %t, want %t", c.want, c.got, got, c.same)
		}
	}
	for _, c := range []struct{ want, got, updated string }{
		{"a 1\n...\nCredits 5 as charged", "a 1\nb\nCredits 6 as the API states\nc", "a 1\n...\nCredits 6 as the API states\nc"},
		{"...\nIt was put so…\n...", "x\nIt is put otherwise now\ny", "...\nIt is put oth…\n..."},
		{"nothing", "in\ncommon", "in\ncommon"},
	} {
		if got := strings.Join(refreshed(strings.Split(c.want, "\n"), strings.Split(c.got, "\n")), "\n"); got != c.updated {
			t.Errorf("refreshed(%q, %q) = %q, want %q", c.want, c.got, got, c.updated)
		}
	}
	for _, text := range []string{"```\nx\n```", "```console\nx\n```", "```console\n$ x", "```console\n```sql\n```"} {
		if _, err := console(strings.Split(text, "\n")); err == nil {
			t.Errorf("console(%q): no error", text)
		}
	}
}

// build builds the program.
func build(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "siglake")
	if said, err := exec.CommandContext(t.Context(), "go", "build", "-ldflags=-s -w", "-o", program, "..").CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, said)
	}
	return program
}

// examples executes the examples in the help of every command.
func examples(t *testing.T, program string) {
	t.Helper()
	s := newSession(t, program, "")
	lines := func(command string) []string {
		t.Helper()
		out, err := s.run(command)
		if err != nil || s.code != 0 {
			t.Errorf("$ %s: exit code %d, %v\n%s", command, s.code, err, strings.Join(out, "\n"))
		}
		return out
	}
	lines("siglake run accounts.csv --lake lake --signals news")
	lines("(umask 077; echo whsec_of_the_examples > secrets.txt)")
	commands, topics := 0, regexp.MustCompile(`^  ([a-z]+)  +[^ ]`)
	for _, line := range lines("siglake --help") {
		if strings.HasPrefix(line, "Manual") {
			break
		}
		m := topics.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		commands++
		for _, line := range lines("siglake " + m[1] + " --help") {
			if example, ok := strings.CutPrefix(line, "  $ "); ok {
				if strings.HasPrefix(example, "siglake listen ") { // which ends when it is stopped
					example = "timeout --preserve-status --signal=TERM 2 " + example + " --listen 127.0.0.1:0"
				}
				lines(example)
			}
		}
	}
	if commands < 20 {
		t.Errorf("siglake --help lists %d commands, want all", commands)
	}
}

func TestConsole(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", "..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	program := build(t)
	t.Run("examples", func(t *testing.T) {
		t.Parallel()
		examples(t, program)
	})
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(root, "README.md")) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".md"), func(t *testing.T) {
			t.Parallel()
			raw, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := strings.Split(string(raw), "\n")
			commands, err := console(lines)
			if err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			s := newSession(t, program, root)
			if filepath.Base(file) == "s3.md" && slices.ContainsFunc(commands, func(c command) bool { return strings.Contains(c.text, "s3://") }) {
				s.store(buckettest.Start(t))
			}
			changed := s.play(filepath.Base(file), commands, lines)
			if *update && changed != nil {
				if err := os.WriteFile(file, []byte(strings.Join(changed, "\n")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// session is a shell's folder and environment, and an API for the program to ask.
type session struct {
	t    *testing.T
	root string // of the repository, for make
	dir  string
	env  map[string]string
	code int // of the last command
}

func newSession(t *testing.T, program, root string) *session {
	t.Helper()
	s := &session{t: t, root: root, dir: t.TempDir(), env: map[string]string{}}
	if err := os.CopyFS(s.dir, os.DirFS("testdata")); err != nil {
		t.Fatal(err)
	}
	bin := filepath.Join(s.dir, "bin")
	if err := errors.Join(os.Mkdir(bin, 0o750), os.Link(program, filepath.Join(bin, "siglake"))); err != nil {
		t.Fatal(err)
	}
	home := t.TempDir()
	maps.Copy(s.env, map[string]string{
		"PATH": bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME": home, "XDG_STATE_HOME": home, "XDG_CACHE_HOME": home,
		"TMPDIR": os.Getenv("TMPDIR"), "LUSHA_API_KEY": "a-key-of-the-simulator", "SIGLAKE_BASE_URL": s.serve(program),
	})
	return s
}

// serve starts a simulator, which ends with the test, and gives its address.
func (s *session) serve(program string) string {
	s.t.Helper()
	cmd := exec.CommandContext(context.WithoutCancel(s.t.Context()), program, "simulate", "--listen", "127.0.0.1:0")
	cmd.Env = []string{"HOME=" + s.dir}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() {
		_ = cmd.Process.Kill() // there is nothing to save
		_ = cmd.Wait()         // says that it was killed
	})
	first, err := bufio.NewReader(out).ReadString('\n')
	words := strings.Fields(first)
	if err != nil || len(words) == 0 {
		s.t.Fatalf("the simulator printed %q: %v", first, err)
	}
	address := words[len(words)-1]
	if _, err := url.Parse(address); err != nil {
		s.t.Fatal(err)
	}
	return address
}

// store puts a real S3 store where the page names buckets of its own.
func (s *session) store(store *buckettest.Store) {
	for _, pair := range store.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		s.env[name] = value
	}
	maps.Copy(s.env, map[string]string{"SIGLAKE_S3_ENDPOINT": store.URL, "SIGLAKE_S3_PATH_STYLE": "true", "SIGLAKE_S3_REGION": store.Region, "BUCKET": store.Bucket})
}

// play runs the commands and compares what they print. It gives the page's
// lines with today's output where that differs; nil when it does not.
func (s *session) play(name string, commands []command, lines []string) []string {
	var replaced []command
	for i, c := range commands {
		got, failure := s.run(c.text)
		if failure != nil {
			s.t.Fatalf("%s:%d: $ %s: %v", name, c.line+1, c.text, failure)
		}
		told := i+1 < len(commands) && strings.HasPrefix(commands[i+1].text, "echo $?")
		if s.code != 0 && !told {
			s.t.Fatalf("%s:%d: $ %s: exit code %d\n%s", name, c.line+1, c.text, s.code, strings.Join(got, "\n"))
		}
		if len(c.output) == 0 || matches(c.output, got) {
			continue
		}
		if *update {
			c.output = refreshed(c.output, got)
			replaced = append(replaced, c)
			continue
		}
		s.t.Errorf("%s:%d: $ %s\nprinted:\n%s\nwant:\n%s", name, c.line+1, c.text, strings.Join(got, "\n"), strings.Join(c.output, "\n"))
	}
	if len(replaced) == 0 {
		return nil
	}
	for _, c := range slices.Backward(replaced) {
		begin := c.line + 1 + strings.Count(c.text, "\n")
		lines = slices.Replace(lines, begin, c.end, c.output...)
	}
	return lines
}

var export = regexp.MustCompile(`^export ([A-Z_]+)=(\S*)(\s+#.*)?$`)

// run runs one command and gives the lines that it printed.
func (s *session) run(text string) ([]string, error) {
	if m := export.FindStringSubmatch(text); m != nil {
		if m[2] != "..." { // a secret that the page leaves to its reader
			s.env[m[1]] = m[2]
		}
		s.code = 0
		return nil, nil
	}
	dir := s.dir
	if target, isMake := strings.CutPrefix(text, "make "); isMake {
		text, dir = "make -n "+target, s.root // that there is such a target
	}
	out, err := os.CreateTemp(s.t.TempDir(), "") // a file, so that a command in the background does not hold a pipe
	if err != nil {
		return nil, err
	}
	defer out.Close()
	cmd := exec.CommandContext(s.t.Context(), "sh", "-c", fmt.Sprintf("(exit %d)\n%s", s.code, strings.ReplaceAll(text, "s3://analytics/", "s3://${BUCKET-analytics}/")))
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, out, out
	for name, value := range s.env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	var failed *exec.ExitError
	err = cmd.Run()
	if s.code = 0; errors.As(err, &failed) {
		s.code, err = failed.ExitCode(), nil
	}
	if err != nil {
		return nil, err
	}
	raw, err := fs.ReadFile(os.DirFS(filepath.Dir(out.Name())), filepath.Base(out.Name()))
	if err != nil || len(raw) == 0 || dir == s.root {
		return nil, err
	}
	printed := strings.TrimRight(logged.ReplaceAllString(string(raw), ""), "\n")
	if s.env["BUCKET"] != "" {
		printed = strings.ReplaceAll(printed, s.env["BUCKET"]+"/", "analytics/")
	}
	if printed == "" {
		return nil, nil
	}
	return strings.Split(printed, "\n"), nil
}

// logged is the program's log, which the pages leave out.
var logged = regexp.MustCompile(`(?m)^time=\S+ level=INFO .*\n`)
