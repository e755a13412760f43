//go:build unix

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/simulator"
)

const publishingFile = `version: 1
defaults:
  lake: lake
  base-url: URL
  plan: unlimited
  rate: 0
  signals: [growth]
  max-results: 2
  max-credits: 5000
  quiet: true
  min-files: 2
  after-publish: echo "$SIGLAKE_LAKE $SIGLAKE_PUBLISHED_RUN $SIGLAKE_PUBLISHED_GENERATION ${SIGLAKE_RUN-no} ${SIGLAKE_GENERATION-flag} ${LUSHA_API_KEY-no key} ${SIGLAKE_AFTER_PUBLISH-no command}" >> "$SIGLAKE_LAKE/../published"; echo seen; exit ${CODE-0}
jobs:
  nightly:
    list: a.csv
    notify:
    - {url: "HOOK/hc/x", on: [success, failure], format: healthchecks}
  again:
    list: b.csv
  compact:
    command: compact
  check:
    command: verify
`

// TestAfterPublishUnexplained: a charge that no event explains is not hidden by a command that failed.
func TestAfterPublishUnexplained(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Faults: []simulator.Fault{{Kind: "missing-entities-some", At: 1}}})
	r.run(domainLines(50), append([]string{"--after-publish", "exit 3"}, baseFlags...)...)
	if r.code != exitUnexplained || !strings.Contains(r.stderr, "after-publish") {
		t.Errorf("exit code %d, want %d and a word about the command: %s", r.code, exitUnexplained, r.stderr)
	}
}

// TestAfterPublish: the command of a job runs once for each command that has published, knows what, and has
// no key. If it fails, the night is published, and says so.
func TestAfterPublish(t *testing.T) {
	t.Parallel()
	h := newHook(t)
	r, config := jobRig(t, simulator.Config{}, strings.ReplaceAll(publishingFile, "HOOK", h.URL), map[string]string{"a.csv": domainLines(5), "b.csv": domainLines(9)})
	envFor(t).set("SIGLAKE_NOT_OURS", "x")
	published := func() []string {
		raw, err := os.ReadFile(filepath.Join(filepath.Dir(r.lake), "published"))
		if err != nil {
			t.Fatal(err)
		}
		return strings.Split(strings.TrimSpace(string(raw)), "\n")
	}
	check := func(code, lines int) {
		t.Helper()
		if r.code != code {
			t.Errorf("exit code %d, want %d: %s", r.code, code, r.stderr)
		}
		all := published()
		want := fmt.Sprintf("%s %s %d no flag no key no command", r.lake, r.manifest.Run.ID, r.manifest.Generation)
		if len(all) != lines || all[len(all)-1] != want {
			t.Errorf("published: %q, want %d lines, the last %q", all, lines, want)
		}
	}
	r.job("job", "nightly", "--config", config)
	check(exitComplete, 1)
	if strings.Contains(r.stdout, "seen") || !strings.Contains(r.stderr, "seen") {
		t.Errorf("standard output %q, standard error %q; want what the command prints in the second", r.stdout, r.stderr)
	}
	r.job("job", "nightly", "--config", config) // has nothing to do, and publishes nothing
	check(exitComplete, 1)
	r.job("job", "again", "--config", config)
	check(exitComplete, 2)
	r.job("job", "compact", "--config", config)
	check(exitComplete, 3)
	r.job("job", "check", "--config", config) // writes lakes of its own, which it removes
	check(exitComplete, 3)
	h.take()

	r.job("job", "nightly", "--config", config, "--refresh", "--since", "30d", "--after-publish", "exit 7")
	if r.code != exitAfter || r.manifest.Generation != 4 || !strings.Contains(r.stderr, "exit status 7") || !strings.Contains(r.stderr, "generation 4 is published") {
		t.Errorf("exit code %d, generation %d, want %d, 4, and why: %s", r.code, r.manifest.Generation, exitAfter, r.stderr)
	}
	if posts := h.take(); len(posts) != 1 || !strings.HasSuffix(posts[0].path, fmt.Sprintf("/%d", exitAfter)) || !strings.Contains(posts[0].body, "exit status 7") || strings.Contains(posts[0].body, "exit 7") {
		t.Errorf("notifications %v, want one of a failure, with the reason, without the command", posts)
	}
}

// TestAfterPublishRebuild: a rebuild announces the new lake once, when it is complete, and no lake that it has
// not completed.
func TestAfterPublishRebuild(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	for _, signal := range []string{"growth", "news"} {
		r.mustExit(exitComplete, "run", writeList(t, "announced", 5), "--simulate", "--signals", signal)
	}
	log, into := filepath.Join(t.TempDir(), "log"), filepath.Join(t.TempDir(), "new")
	then := `--after-publish=echo "$SIGLAKE_LAKE $SIGLAKE_PUBLISHED_GENERATION" >> "` + log + `"`
	r.mustExit(exitComplete, "rebuild", "--into", into, then)
	if raw, err := os.ReadFile(log); err != nil || string(raw) != into+" 2\n" {
		t.Errorf("the rebuild announced %q, %v; want the new lake, generation 2", raw, err)
	}
}

// TestAfterPublishOnlyOfPublishers: commands that publish nothing do not offer to run a command afterwards.
func TestAfterPublishOnlyOfPublishers(t *testing.T) {
	t.Parallel()
	var publishers []string
	everyCommand(func(cmd *cli.Command, path string) {
		if flagNamed(cmd, afterPublishFlag) != nil {
			publishers = append(publishers, path)
			return
		}
		if len(cmd.Subcommands) > 0 || cmd.SkipFlagParsing {
			return
		}
		words := append(strings.Fields(path), "--after-publish", "true", "--lake", t.TempDir())
		if code, _, stderr := says(t, words...); code != exitUsage || !strings.Contains(stderr, "after-publish") && !strings.Contains(stderr, "-lake") {
			t.Errorf("%s: exit code %d, want %d: %s", path, code, exitUsage, stderr)
		}
	})
	slices.Sort(publishers)
	want := []string{"compact", "held reread", "held retry", "listen", "lookalikes", "plan", "prune", "rebuild", "resolve", "resume", "run", "score", "visitors", "webhooks publish", "webhooks sync"} // plan takes the flags of run
	if diff := cmp.Diff(want, publishers); diff != "" {
		t.Errorf("commands with --after-publish (-want +got):\n%s", diff)
	}
}
