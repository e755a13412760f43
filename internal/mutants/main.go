// Command mutants is a mutation test: it checks that the tests notice mistakes about
// money or durability. Each file of list/ is one mutant: the consequence for the user,
// the mistake, the tests that must kill the mutant, and the change itself as a unified
// diff. The command builds the program with one mutant at a time, and those tests must
// fail. A surviving mutant shows that a test is missing.
//
// The working tree stays untouched: the mutated copy of a file replaces it for one build
// only (go help build, -overlay).
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"
	"time"
)

func main() {
	only := flag.String("only", "", "run the mutants whose name or file matches this `pattern`")
	jobs := flag.Int("jobs", runtime.NumCPU(), "builds at a time")
	skipBaseline := flag.Bool("trust", false, "skip the tests of the unmutated program: they are known to pass")
	timeout := flag.Duration("timeout", 5*time.Minute, "for the tests of one mutant")
	part := flag.Int("part", 0, "`number` that chooses which of the -parts is tested: its remainder")
	parts := flag.Int("parts", 1, "test one in so many mutants, and only build the others")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r := runner{timeout: *timeout, parts: max(*parts, 1)}
	r.part = *part % r.parts
	if err := r.runMutants(ctx, os.Stdout, *only, *jobs, *skipBaseline); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		stop()
		os.Exit(1)
	}
}

// runMutants checks that the tests pass on the unmutated program, and then runs
// every mutant that matches a pattern.
func (l *runner) runMutants(ctx context.Context, out io.Writer, pattern string, jobs int, skipBaseline bool) error {
	match, err := regexp.Compile(pattern)
	if err != nil {
		return err
	}
	if l.root, err = moduleRoot(ctx); err != nil {
		return err
	}
	list, err := readMutants(filepath.Join(l.root, "internal", "mutants", "list"))
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(m mutant) bool {
		return !match.MatchString(m.name) && !slices.ContainsFunc(m.files, match.MatchString)
	})
	if l.scratch, err = os.MkdirTemp("", "siglake-mutants-*"); err != nil {
		return err
	}
	defer os.RemoveAll(l.scratch) //nolint:errcheck // a scratch folder that stays does no harm
	start := time.Now()
	if !skipBaseline {
		if err := l.checkBaseline(ctx, list); err != nil {
			return err
		}
		fmt.Fprintf(out, "The tests pass on the unmutated program (%s).\n\n", time.Since(start).Round(time.Second))
	}
	results := l.runAll(ctx, list, jobs)
	if err := ctx.Err(); err != nil {
		return err
	}
	bad := printResults(out, list, results)
	counts := map[status]int{}
	for _, r := range results {
		counts[r.status]++
	}
	tested := len(list) - counts[built]
	fmt.Fprintf(out, "\n%d of %d mutants killed, %d more built, in %s\n", counts[killed], tested, counts[built], time.Since(start).Round(time.Second))
	if bad > 0 {
		return fmt.Errorf("%d of %d mutants were not killed by the tests, or not built", bad, len(list))
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

// status is the outcome of a mutant.
type status string

// Only the first two are good. A build that fails proves nothing about the tests, and
// a test that hangs does not say what is wrong.
const (
	killed   status = "killed"
	built    status = "built" // and not tested: a mutant of another part
	survived status = "SURVIVED"
	timedOut status = "HUNG"
	notBuilt status = "NO BUILD"
	stale    status = "STALE" // the diff does not apply any more
)

type result struct {
	status  status
	failed  []string // the tests that failed
	output  string
	elapsed time.Duration
}

// runner builds and tests mutants.
type runner struct {
	root    string // the module's
	scratch string // for mutated files
	timeout time.Duration
	part    int // which mutants are tested: those of numbers with this remainder
	parts   int
	types   func() (*checker, error) // of the unmutated program, made once
}

// checkBaseline runs every test that the list relies on, without a mutant: a test
// that fails anyway kills nothing.
func (l *runner) checkBaseline(ctx context.Context, list []mutant) error {
	runs := map[string][]string{}
	for _, m := range list {
		if !slices.Contains(runs[m.pkg], m.run) {
			runs[m.pkg] = append(runs[m.pkg], m.run)
		}
	}
	for pkg, patterns := range runs {
		r := l.runTests(ctx, "", pkg, strings.Join(patterns, "|"))
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case r.status != survived:
			return fmt.Errorf("the tests of %s fail without a mutant: %s\n%s", pkg, strings.Join(r.failed, ", "), r.output)
		}
	}
	return nil
}

// runAll runs the mutants, a few at a time, and waits for all of them.
func (l *runner) runAll(ctx context.Context, list []mutant, jobs int) []result {
	l.types = sync.OnceValues(func() (*checker, error) { return newChecker(ctx, l.root) })
	results := make([]result, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(jobs, 1))
	for i := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			if ctx.Err() == nil {
				results[i] = l.runMutant(ctx, i, &list[i])
			}
		})
	}
	wg.Wait()
	return results
}

// runMutant builds the program with one mutant and runs its tests.
func (l *runner) runMutant(ctx context.Context, number int, m *mutant) result {
	overlay, err := l.writeOverlay(ctx, filepath.Join(l.scratch, fmt.Sprint(number)), m)
	if err != nil {
		return result{status: stale, output: err.Error()}
	}
	start := time.Now()
	var r result
	if number%l.parts == l.part {
		r = l.runTests(ctx, overlay, m.pkg, m.run)
	} else {
		r = l.compile(ctx, overlay, m)
	}
	r.elapsed = time.Since(start)
	return r
}

// compile finds out whether a mutant compiles. A mutant of several packages is built: one of them
// can use what another exports.
func (l *runner) compile(ctx context.Context, overlay string, m *mutant) result {
	dir := folderOf(m)
	if dir == "" {
		return l.build(ctx, overlay, m)
	}
	types, err := l.types()
	if err != nil {
		return result{status: notBuilt, output: err.Error()}
	}
	mutated := map[string]string{}
	for _, file := range m.files {
		name := filepath.FromSlash(file)
		mutated[filepath.Join(l.root, name)] = filepath.Join(filepath.Dir(overlay), name)
	}
	if err := types.check(filepath.Join(l.root, filepath.FromSlash(dir)), mutated); err != nil {
		return result{status: notBuilt, output: err.Error()}
	}
	return result{status: built}
}

// build compiles the packages of a mutant's files, and links nothing.
func (l *runner) build(ctx context.Context, overlay string, m *mutant) result {
	args := []string{"list", "-export", "-overlay", overlay}
	for _, file := range m.files {
		args = append(args, "./"+path.Dir(file))
	}
	cmd := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the words come from list/
	cmd.Dir = l.root
	if out, err := cmd.CombinedOutput(); err != nil {
		return result{status: notBuilt, output: string(out)}
	}
	return result{status: built}
}

// writeOverlay applies a mutant to copies of its files in a folder, and writes the file
// that makes the go command use the copies in place of the originals.
func (l *runner) writeOverlay(ctx context.Context, dir string, m *mutant) (string, error) {
	replace := map[string]string{}
	for _, file := range m.files {
		original := filepath.Join(l.root, filepath.FromSlash(file))
		text, err := os.ReadFile(original)
		if err != nil {
			return "", err
		}
		mutated := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(mutated), 0o700); err != nil {
			return "", err
		}
		//nolint:gosec // within a folder of our own
		if err := os.WriteFile(mutated, text, 0o600); err != nil {
			return "", err
		}
		replace[original] = mutated
	}
	apply := exec.CommandContext(ctx, "git", "apply", "-")
	apply.Dir = dir
	// git must not treat the folder as a part of a repository around it.
	apply.Env = append(os.Environ(), "GIT_CEILING_DIRECTORIES="+filepath.Dir(dir))
	apply.Stdin = strings.NewReader(m.diff)
	if out, err := apply.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mutant %q does not apply: %w\n%s", m.name, err, out)
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600) //nolint:gosec // within a folder of our own
}

// event is a line of go test -json.
type event struct {
	Action, Test, Output string
	FailedBuild          string
}

// runTests runs some tests of a package, under an overlay unless it is empty.
func (l *runner) runTests(ctx context.Context, overlay, pkg, run string) result {
	// go test enforces its own time-out. A process that a test started and that
	// still waits is killed a little later.
	limited, cancel := context.WithTimeout(ctx, l.timeout+time.Minute)
	defer cancel()
	args := []string{"test", "-json", "-vet=off", "-count=1", "-failfast", "-timeout", l.timeout.String(), "-run", run, "./" + pkg}
	if l.usesRapid(pkg) {
		// A failure file of a mutant is of no use to other builds.
		args = append(args, "-rapid.nofailfile")
	}
	cmd := exec.CommandContext(limited, "go", args...) //nolint:gosec // the words come from list/
	cmd.Dir = l.root
	if overlay != "" {
		// Not an argument: some tests build the program themselves.
		cmd.Env = append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	defer setProcessGroup(cmd)()
	var errs bytes.Buffer
	cmd.Stderr = &errs
	cmd.WaitDelay = time.Second // for pipes that such a program keeps open
	out, err := cmd.Output()
	r := result{status: survived}
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
			r.status = notBuilt
		case strings.HasPrefix(e.Output, "panic: test timed out"):
			r.status = timedOut
		case e.Action == "fail" && e.Test != "":
			r.failed = append(r.failed, e.Test)
		}
	}
	r.output = text.String() + errs.String()
	switch {
	case r.status != survived:
	case limited.Err() != nil:
		r.status = timedOut
	case len(r.failed) > 0:
		r.status = killed
	case err != nil:
		r.status = notBuilt // something other than a test failed
	}
	return r
}

// usesRapid reports whether tests of a package use pgregory.net/rapid, which
// writes failure files into the package's folder.
func (l *runner) usesRapid(pkg string) bool {
	files, _ := filepath.Glob(filepath.Join(l.root, filepath.FromSlash(pkg), "*_test.go")) // the pattern is good
	return slices.ContainsFunc(files, func(name string) bool {
		text, err := os.ReadFile(name)
		return err == nil && bytes.Contains(text, []byte(`"pgregory.net/rapid"`))
	})
}

// printResults prints a line per mutant and the details of those that were neither
// killed nor only built, and returns the number of the latter.
func printResults(out io.Writer, list []mutant, results []result) (bad int) {
	table := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(table, "MUTANT\tOUTCOME\tBY\tTIME")
	for i, m := range list {
		r := results[i]
		fmt.Fprintf(table, "%s\t%s\t%s\t%.1fs\n", m.name, r.status, killers(m.pkg, r.failed), r.elapsed.Seconds())
	}
	_ = table.Flush() // to where everything else is printed, too
	for i, m := range list {
		r := results[i]
		if r.status == killed || r.status == built {
			continue
		}
		bad++
		fmt.Fprintf(out, "\n%s: %s\n  consequence: %s\n  list/%s, tests of %s: %s\n%s\n", r.status, m.name, m.consequence, m.path, m.pkg, m.run, indentTail(r.output))
	}
	return bad
}

// killers names the package and the innermost tests that failed: the first, and the
// number of others.
func killers(pkg string, failed []string) string {
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

func indentTail(text string) string {
	const maxBytes = 2000
	if len(text) > maxBytes {
		text = "…" + text[len(text)-maxBytes:]
	}
	return "  " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n  ")
}
