package app

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/policy"
)

// TestNewMemory: the parts follow the whole, which a flag sets, else the process, and never exceed it.
func TestNewMemory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		process              int64
		total, answers       string
		wantTotal            int64
		wantAnswers, wantMax int64 // wantMax: the longest answer that is asked for
	}{
		{0, "", "", 256 * mib, 64 * mib, 64 * mib},
		{192 * mib, "", "", 192 * mib, 48 * mib, 48 * mib},
		{1024 * mib, "", "", 1024 * mib, 256 * mib, 64 * mib},
		{10 * mib, "", "", 96 * mib, 24 * mib, 24 * mib},
		{192 * mib, "512MiB", "", 512 * mib, 128 * mib, 64 * mib},
		{0, "", "8MiB", 256 * mib, 8 * mib, 8 * mib},
		{0, "", "139MiB", 256 * mib, 139 * mib, 64 * mib},
	} {
		m, err := NewMemory(&Env{Memory: tt.process}, tt.total, tt.answers)
		if err != nil || m.Total != tt.wantTotal || m.Answers != tt.wantAnswers || m.answerTarget(&Env{}) != tt.wantMax {
			t.Errorf("NewMemory(%d, %q, %q) = %+v, answers of %d at most, %v; want %d, %d, %d", tt.process, tt.total, tt.answers, m, m.answerTarget(&Env{}), err, tt.wantTotal, tt.wantAnswers, tt.wantMax)
		}
		if m.Answers+m.Sort > m.Heap*9/10 || m.Heap >= m.Total || m.Heap <= 0 {
			t.Errorf("%+v: the parts leave nothing to the rest", m)
		}
	}
	for _, flags := range [][2]string{{"159MiB", ""}, {"much", ""}, {"-1", ""}, {"", "1MB"}, {"", "1000"}, {"", "256MiB"}, {"512MiB", "1GiB"}} {
		if _, err := NewMemory(&Env{}, flags[0], flags[1]); err == nil {
			t.Errorf("NewMemory(%q, %q) = nil, want an error", flags[0], flags[1])
		}
	}
	if m := new(Memory); m.answerTarget(&Env{}) != policy.DefaultAnswerTarget {
		t.Errorf("answers of %d bytes at most without memory, want %d: 0 is no bound", m.answerTarget(&Env{}), policy.DefaultAnswerTarget)
	}
}

// TestLittleMemory: a process with less memory than a command can need is warned, unless its user has set the size.
func TestLittleMemory(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		process int64
		flag    string
		needs   int64
		warns   bool
	}{
		{0, "", minMemory, false}, {minMemory, "", minMemory, false}, {minMemory - 1, "", minMemory, true},
		{minMemory - 1, "160MiB", minMemory, false}, {minDefault, "", minDefault, false}, {minDefault - 1, "", minDefault, true},
	} {
		var log bytes.Buffer
		env := &Env{Memory: tt.process, Log: slog.New(slog.NewTextHandler(&log, nil))}
		(&StoreOptions{Memory: tt.flag}).warnOfLittleMemory(env, tt.needs)
		if warns := strings.Contains(log.String(), "level=WARN"); warns != tt.warns {
			t.Errorf("%d bytes, --memory %q, of %d: warned: %t, want %t: %s", tt.process, tt.flag, tt.needs, warns, tt.warns, log.String())
		}
	}
}

// TestDecodedAtOnce: runs that are read again share the memory, of which one fits into the least.
func TestDecodedAtOnce(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		memory     int64
		jobs, want int
	}{
		{minDefault, 16, 1}, {minMemory, 16, 1}, {minMemory + 2*decodedMemory - 1, 16, 2}, {DefaultMemory, 2, 2}, {DefaultMemory, 16, 3}, {1 << 30, 16, 16},
	} {
		if got := (&Memory{Total: tt.memory}).decodedAtOnce(tt.jobs); got != tt.want {
			t.Errorf("decodedAtOnce(%d) of %d bytes = %d, want %d", tt.jobs, tt.memory, got, tt.want)
		}
	}
}

// TestCheckedMemory: the fewer runs are compared at once, the more each has for sorting, up to twice as much.
func TestCheckedMemory(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for _, tt := range []struct {
		memory string
		atOnce int
		want   int64
	}{
		{"160MiB", 1, 30 * mib}, {"208MiB", 1, 39 * mib}, {"256MiB", 1, 96 * mib}, {"256MiB", 2, 48 * mib}, {"1GiB", 2, 384 * mib}, {"1GiB", 16, 288 * mib},
	} {
		m, err := NewMemory(&Env{}, tt.memory, "")
		if got := m.checkedMemory(tt.atOnce); err != nil || got != tt.want {
			t.Errorf("checkedMemory(%d) of %s = %d, want %d; %v", tt.atOnce, tt.memory, got, tt.want, err)
		}
	}
}
