package main

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/cmd/siglake/manual"
)

// rows of a table in a manual page: the codes of the first column, and the rest.
var tableRow = regexp.MustCompile(`(?m)^\| ([0-9][0-9, ]*) \| (.*) \|$`)

// TestPoliciesAreThoseOfTheManual: every exit code that a job can have has a policy, and the page about Temporal
// states it.
func TestPoliciesAreThoseOfTheManual(t *testing.T) {
	t.Parallel()
	codes, _ := manual.Lookup("exit-codes")
	page, found := manual.Lookup("temporal")
	if !found {
		t.Fatal("there is no page about Temporal")
	}
	stated := map[int]string{}
	for _, row := range tableRow.FindAllStringSubmatch(page.Text, -1) {
		for text := range strings.SplitSeq(row[1], ",") {
			code, _ := strconv.Atoi(strings.TrimSpace(text))
			stated[code] = row[2]
		}
	}
	n := 0
	for _, row := range tableRow.FindAllStringSubmatch(codes.Text, -1) {
		code, _ := strconv.Atoi(row[1])
		if code == 1 { // of siglake schema diff, which is no job
			continue
		}
		n++
		p, ok := policies[code]
		if !ok {
			t.Errorf("exit code %d has no policy", code)
		}
		if want := "`" + p.outcome + "` | " + map[action]string{finish: "done", retryLater: "repeated", retrySoon: "repeated", fail: "failed"}[p.action]; !strings.HasPrefix(stated[code], want) {
			t.Errorf("the page says of exit code %d %q, want %q", code, stated[code], want)
		}
	}
	if n != len(policies) || n != len(stated) {
		t.Errorf("%d codes in the manual, %d policies, %d on the page", n, len(policies), len(stated))
	}
}

// TestDecide: what follows an exit code, and when.
func TestDecide(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 12, 1, 2, 0, 0, 0, time.UTC)
	later, past := now.Add(3*time.Hour), now.Add(-time.Hour)
	const pause = 30 * time.Minute
	for _, c := range []struct {
		name     string
		end      ending
		failures int
		want     action
		in       time.Duration
	}{
		{"complete", ending{ExitCode: 0}, 0, finish, 0},
		{"rejected lines", ending{ExitCode: 10}, 0, finish, 0},
		{"the run states a time", ending{ExitCode: 20, RetryAt: &later}, 0, retryLater, 3 * time.Hour},
		{"the stated time is over", ending{ExitCode: 20, RetryAt: &past}, 0, retryLater, time.Second},
		{"a stated time, after many failures", ending{ExitCode: 20, RetryAt: &later}, maxRetries + 1, retryLater, 3 * time.Hour},
		{"no time is stated", ending{ExitCode: 20}, 1, retryLater, pause},
		{"the last repetition", ending{ExitCode: 20}, maxRetries, retryLater, pause},
		{"one too many", ending{ExitCode: 20}, maxRetries + 1, fail, 0},
		{"declared doubt", ending{ExitCode: 21, Held: 4}, 1, finish, 0},
		{"doubt, and lines are left", ending{ExitCode: 21, Held: 4, Deferred: 1}, 1, retryLater, pause},
		{"another process", ending{ExitCode: 50}, 90, retrySoon, lockedPause},
		{"disk", ending{ExitCode: 40}, 1, retryLater, pause},
		{"key", ending{ExitCode: 30}, 0, fail, 0},
		{"damage", ending{ExitCode: 60}, 0, fail, 0},
		{"flags", ending{ExitCode: 64}, 0, fail, 0},
		{"a signal", ending{ExitCode: 130, Signaled: true}, 1, retryLater, pause},
		{"a panic", ending{ExitCode: 2}, 1, retryLater, pause},
		{"a panic again and again", ending{ExitCode: 2}, maxRetries + 1, fail, 0},
	} {
		if d := decide(&c.end, c.failures, pause, now); d.action != c.want || d.retryIn != c.in {
			t.Errorf("%s: decide = %d in %s, want %d in %s", c.name, d.action, d.retryIn, c.want, c.in)
		}
	}
}

// TestIsFailure: a night with doubt that is declared, or with lines that are left to the next one, has not failed.
func TestIsFailure(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]bool{0: false, 10: false, 12: false, 13: false, 20: false, 21: false, 22: true, 23: true, 24: true, 30: true, 40: true, 50: true, 60: true, 64: true, 130: true, 2: true} {
		if got := isFailure(code); got != want {
			t.Errorf("isFailure(%d) = %t, want %t", code, got, want)
		}
	}
}

// TestGravest: a crash is graver than what siglake reports, also where its code is a small number.
func TestGravest(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codes []int
		want  int
	}{{nil, 0}, {[]int{0, 10, 0}, 10}, {[]int{21, 20}, 21}, {[]int{21, 2, 64}, exitKilled}} {
		if got := gravest(c.codes...); got != c.want {
			t.Errorf("gravest(%d) = %d, want %d", c.codes, got, c.want)
		}
	}
}
