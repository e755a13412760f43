package storematrix

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

// buildProgram builds siglake, once.
var buildProgram = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "siglake-storematrix-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "siglake")
	build := exec.Command("go", "build", "-o", path, "./cmd/siglake")
	build.Dir = filepath.Join("..", "..")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return path, nil
})

// program runs siglake with a store's credentials.
type program struct {
	t       *testing.T
	path    string
	flags   []string // of the store
	environ []string
}

// run runs a command that must succeed, and returns its output.
func (p *program) run(words ...string) string {
	p.t.Helper()
	c := exec.CommandContext(p.t.Context(), p.path, append(words, p.flags...)...)
	c.Env = append(os.Environ(), p.environ...)
	var errors strings.Builder
	c.Stderr = &errors
	out, err := c.Output()
	if err != nil {
		p.t.Fatalf("siglake %s: %v\n%s%s", strings.Join(words, " "), err, out, errors.String())
	}
	return string(out)
}

// story buys two lists into a lake, checks and compacts it, makes its rows again, and buys
// nothing twice. It returns the credits of its runs, which do not depend on the store.
func (p *program) story(lake, rebuilt string) (credits []int64) {
	p.t.Helper()
	dir := p.t.TempDir()
	buy := func(from, to int) {
		list := "domain\n"
		for n := from; n < to; n++ {
			list += fmt.Sprintf("company-%04d.example\n", n)
		}
		path := filepath.Join(dir, fmt.Sprintf("%d-%d.csv", from, to))
		if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
			p.t.Fatal(err)
		}
		p.run("run", path, "--lake", lake, "--simulate", "--signals", "news,growth", "--since", "30d", "--max-results", "3")
	}
	buy(0, 30)
	buy(20, 50) // a third was bought
	p.run("verify", "--lake", lake)
	p.run("compact", "--lake", lake, "--min-files", "2")
	p.run("verify", "--lake", lake)
	p.run("rebuild", "--lake", lake, "--into", rebuilt)
	buy(20, 50) // nothing is left to buy
	var status struct {
		Runs []struct{ Credits int64 }
	}
	out := p.run("status", "--lake", lake, "--json")
	if err := json.Unmarshal([]byte(out), &status); err != nil {
		p.t.Fatalf("%v: %s", err, out)
	}
	for _, r := range status.Runs {
		credits = append(credits, r.Credits)
	}
	return credits
}

// TestStores: a lake on every store, plain and behind each front end, is bought, checked, compacted
// and rebuilt, for the credits that a local one costs.
func TestStores(t *testing.T) {
	path, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	local := &program{t: t, path: path}
	want := local.story(filepath.Join(dir, "lake"), filepath.Join(dir, "rebuilt"))
	if len(want) != 2 || want[0] == 0 || want[1] == 0 {
		t.Fatalf("a local lake cost %d: the test shows nothing", want)
	}
	for _, c := range []struct {
		name  string
		start func(*testing.T) *buckettest.Store
		flags []string
	}{
		{name: "versitygw", start: func(t *testing.T) *buckettest.Store { return buckettest.Start(t) }},
		// It ignores conditions of uploads in parts, so there must be none.
		{name: "gofakes3", start: func(t *testing.T) *buckettest.Store { return buckettest.StartFake(t) }, flags: []string{"--s3-part-size", "5GiB"}},
		{name: "moto", start: startMoto},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			store := c.start(t)
			for i, f := range fronts() {
				t.Run(f.name, func(t *testing.T) {
					s := f.start(t, store)
					p := &program{
						t: t, path: path, environ: s.Environ(),
						flags: append([]string{"--s3-endpoint", s.URL, "--s3-region", s.Region, "--s3-path-style", "--scratch", t.TempDir()}, slices.Concat(c.flags, f.flags)...),
					}
					got := p.story(s.URI(fmt.Sprintf("lake-%d", i)), s.URI(fmt.Sprintf("rebuilt-%d", i)))
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("credits of the runs: %d, want %d as locally", got, want)
					}
				})
			}
		})
	}
}
