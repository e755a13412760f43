// Command weakened asks whether the tests would notice. It builds the program
// with one mistake at a time, each a mistake about money or durability that
// somebody could well make, and expects the tests that guard the rule to fail.
// What they let through is a test that is missing.
//
// The mistakes are the list in list.go. Nothing in the working tree is touched:
// the weakened copy of a file is laid over it for the one build (go help build,
// -overlay).
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

// weakness is one mistake, and where it is expected to be noticed.
type weakness struct {
	name string // the mistake
	harm string // what it costs whoever runs the program
	file string // where it is made, from the module's root
	old  string // occurs there exactly once
	new  string // takes its place
	pkg  string // whose tests are to notice: a folder, from the module's root
	run  string // which of them, as of go test -run
}

func main() {
	only := flag.String("only", "", "try the weaknesses whose name or file matches this `pattern`")
	jobs := flag.Int("jobs", runtime.NumCPU(), "builds at a time")
	trust := flag.Bool("trust", false, "do not run the tests as things are first: they are known to pass")
	patience := flag.Duration("patience", 2*time.Minute, "for the tests of one build")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := try(ctx, os.Stdout, *only, *jobs, *patience, *trust); err != nil {
		fmt.Fprintln(os.Stderr, "weakened:", err)
		stop()
		os.Exit(1)
	}
}

// try makes sure that the tests pass as things are, and then weakens the
// program in every way that matches a pattern.
func try(ctx context.Context, out io.Writer, pattern string, jobs int, patience time.Duration, trust bool) error {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp("", "siglake-weakened-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(scratch) //nolint:errcheck // nobody would miss it if it stayed
	list := slices.DeleteFunc(slices.Clone(weaknesses), func(w weakness) bool {
		return !match.MatchString(w.name) && !match.MatchString(w.file)
	})
	began := time.Now()
	l := lab{root: root, scratch: scratch, patience: patience}
	if !trust {
		if err := l.strong(ctx, list); err != nil {
			return err
		}
		fmt.Fprintf(out, "The tests pass as things are (%s). Weakened:\n\n", time.Since(began).Round(time.Second))
	}
	results := l.all(ctx, list, jobs)
	if err := ctx.Err(); err != nil {
		return err
	}
	bad := report(out, list, results)
	fmt.Fprintf(out, "\n%d of %d caught, in %s\n", len(list)-bad, len(list), time.Since(began).Round(time.Second))
	if bad > 0 {
		return fmt.Errorf("%d of %d weaknesses were not caught by the tests", bad, len(list))
	}
	return nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", err
	}
	return filepath.Dir(strings.TrimSpace(string(out))), nil
}

// verdict is what came of a weakness.
type verdict string

// Only the first is good. A build that fails proves nothing about the tests, and
// one that hangs is noticed by nobody who does not know what to look for.
const (
	caught verdict = "caught"
	missed verdict = "MISSED"
	hung   verdict = "HUNG"
	broken verdict = "NO BUILD"
	rotten verdict = "ROTTEN"
)

type result struct {
	verdict verdict
	by      []string // the tests that failed
	output  string
	took    time.Duration
}

// lab is where weakened programs are built and tried.
type lab struct {
	root, scratch string
	patience      time.Duration
}

// strong runs every test that the list relies on, unweakened: one that fails
// anyway catches nothing.
func (l *lab) strong(ctx context.Context, list []weakness) error {
	runs := map[string][]string{}
	for _, w := range list {
		if !slices.Contains(runs[w.pkg], w.run) {
			runs[w.pkg] = append(runs[w.pkg], w.run)
		}
	}
	for pkg, patterns := range runs {
		r := l.test(ctx, "", pkg, strings.Join(patterns, "|"))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case r.verdict != missed:
			return fmt.Errorf("the tests of %s do not pass as things are: %s\n%s", pkg, strings.Join(r.by, ", "), r.output)
		}
	}
	return nil
}

// all tries every weakness, a few at a time, and has awaited what it started
// when it returns.
func (l *lab) all(ctx context.Context, list []weakness, jobs int) []result {
	results := make([]result, len(list))
	var wg sync.WaitGroup
	turn := make(chan struct{}, max(jobs, 1))
	for i := range list {
		turn <- struct{}{}
		wg.Go(func() {
			defer func() { <-turn }()
			if ctx.Err() == nil {
				results[i] = l.weaken(ctx, i, &list[i])
			}
		})
	}
	wg.Wait()
	return results
}

// weaken builds the program with one mistake and runs the tests.
func (l *lab) weaken(ctx context.Context, number int, w *weakness) result {
	path := filepath.Join(l.root, filepath.FromSlash(w.file))
	source, err := os.ReadFile(path)
	if err != nil {
		return result{verdict: rotten, output: err.Error()}
	}
	weakened, err := w.apply(string(source))
	if err != nil {
		return result{verdict: rotten, output: err.Error()}
	}
	dir := filepath.Join(l.scratch, fmt.Sprint(number))
	overlay, err := layOver(dir, path, weakened)
	if err != nil {
		return result{verdict: rotten, output: err.Error()}
	}
	began := time.Now()
	r := l.test(ctx, overlay, w.pkg, w.run)
	r.took = time.Since(began)
	return r
}

// apply makes the mistake in the source of the file. It must fit in exactly one
// place, so that an edit of that place is noticed here.
func (w *weakness) apply(source string) (string, error) {
	if n := strings.Count(source, w.old); n != 1 {
		return "", fmt.Errorf("%s: the text to weaken occurs %d times, want once:\n%s", w.file, n, w.old)
	}
	return strings.Replace(source, w.old, w.new, 1), nil
}

// layOver writes the weakened copy, and the file that tells the go command to
// take it for the original.
func layOver(dir, original, weakened string) (overlay string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	copied := filepath.Join(dir, filepath.Base(original))
	overlay = filepath.Join(dir, "overlay.json")
	text, err := json.Marshal(map[string]any{"Replace": map[string]string{original: copied}})
	if err != nil {
		return "", err
	}
	//nolint:gosec // within a directory of our own
	return overlay, errors.Join(os.WriteFile(copied, []byte(weakened), 0o600), os.WriteFile(overlay, text, 0o600))
}

// event is what go test -json says.
type event struct {
	Action, Test, Output string
	FailedBuild          string
}

// test runs some tests of a package. Without an overlay the build is as it is.
func (l *lab) test(ctx context.Context, overlay, pkg, run string) result {
	// go test gives up by itself. What is left then, as when a test has started
	// a program that waits, is put an end to a little later.
	limited, cancel := context.WithTimeout(ctx, l.patience+time.Minute)
	defer cancel()
	args := []string{"test", "-json", "-vet=off", "-count=1", "-timeout", l.patience.String(), "-run", run, "./" + pkg}
	if l.usesRapid(pkg) {
		// What it finds out about a weakened build is of no use to other builds.
		args = append(args, "-rapid.nofailfile")
	}
	cmd := exec.CommandContext(limited, "go", args...) //nolint:gosec // of texts that stand in list.go
	cmd.Dir = l.root
	if overlay != "" {
		// Not an argument: some tests build the program themselves.
		cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	defer group(cmd)()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.WaitDelay = time.Second // for pipes that such a program keeps open
	out, err := cmd.Output()
	r := result{verdict: missed}
	var text strings.Builder
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		text.WriteString(e.Output)
		switch {
		case e.FailedBuild != "" || e.Action == "build-fail":
			r.verdict = broken
		case strings.HasPrefix(e.Output, "panic: test timed out"):
			r.verdict = hung
		case e.Action == "fail" && e.Test != "":
			r.by = append(r.by, e.Test)
		}
	}
	r.output = text.String() + errs.String()
	switch {
	case r.verdict != missed:
	case limited.Err() != nil:
		r.verdict = hung
	case len(r.by) > 0:
		r.verdict = caught
	case err != nil:
		r.verdict = broken // no test failed, and yet something did
	}
	return r
}

// usesRapid reports whether tests of a package use pgregory.net/rapid, which
// writes beside them what has made one fail.
func (l *lab) usesRapid(pkg string) bool {
	files, _ := filepath.Glob(filepath.Join(l.root, filepath.FromSlash(pkg), "*_test.go")) // the pattern is good
	return slices.ContainsFunc(files, func(name string) bool {
		text, err := os.ReadFile(name)
		return err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`))
	})
}

// report says what came of every weakness, and gives the number of
// those that were not caught.
func report(out io.Writer, list []weakness, results []result) (bad int) {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "WEAKNESS\tOUTCOME\tBY\tTIME")
	for i, w := range list {
		r := results[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1fs\n", w.name, r.verdict, by(w.pkg, r.by), r.took.Seconds())
	}
	_ = table.Flush() // to where everything else is printed, too
	for i, w := range list {
		r := results[i]
		if r.verdict == caught {
			continue
		}
		bad++
		fmt.Fprintf(out, "\n%s: %s\n  harm: %s\n  %s, tests of %s: %s\n%s\n", r.verdict, w.name, w.harm, w.file, w.pkg, w.run, tail(r.output))
	}
	return bad
}

// by names the package and the innermost tests that failed: one, and how many
// others.
func by(pkg string, failed []string) string {
	inner := slices.DeleteFunc(slices.Clone(failed), func(t string) bool {
		return slices.ContainsFunc(failed, func(other string) bool { return strings.HasPrefix(other, t+"/") })
	})
	switch len(inner) {
	case 0:
		return "-"
	case 1:
		return pkg + " " + inner[0]
	}
	slices.Sort(inner)
	return fmt.Sprintf("%s %s and %d more", pkg, inner[0], len(inner)-1)
}

func tail(text string) string {
	const most = 2000
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
