package app

import (
	"context"
	"math/big"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// rejectAllowance is how many rejected lines a run may have and still count as complete.
type rejectAllowance struct {
	share *big.Rat // of the lines; nil: a number of lines
	lines *big.Rat
}

// parseRejectAllowance reads N or N%; empty: none is allowed.
func parseRejectAllowance(text string) (a rejectAllowance, err error) {
	if text == "" {
		return a, nil
	}
	number, percent := strings.CutSuffix(text, "%")
	n, ok := new(big.Rat).SetString(number)
	if !ok || strings.ContainsAny(number, "/eExXpP_+-") || !percent && !n.IsInt() || percent && n.Cmp(big.NewRat(100, 1)) > 0 {
		return a, UsageErrorf("--allow-rejected %q: expected a number of lines such as 20, or a share such as 2%%", text)
	}
	if percent {
		a.share = n.Quo(n, big.NewRat(100, 1))
	} else {
		a.lines = n
	}
	return a, nil
}

// allows reports whether that many of the lines may be rejected.
func (a rejectAllowance) allows(rejected, lines int64) bool {
	limit := a.lines
	if a.share != nil {
		limit = new(big.Rat).Mul(a.share, new(big.Rat).SetInt64(lines))
	}
	return limit != nil && new(big.Rat).SetInt64(rejected).Cmp(limit) <= 0
}

// ExitOf is the exit code of a run of the job: code, or that of a complete run if nothing is wrong but
// faulty lines (see FaultyLines), which --allow-rejected accepts. Undecided calls of earlier runs are in doubt as are the
// run's own.
func (j *Job) ExitOf(code int, faulty, lines int64) int {
	if code == ExitRejects && j.allowedRejects.allows(faulty, lines) {
		code = ExitComplete
	}
	if len(j.undecided.Calls) > 0 {
		code = max(code, ExitInDoubt)
	}
	return code
}

// Undecided are the calls of earlier runs in doubt that may have bought what the last run therefore did not ask for.
func (j *Job) Undecided() UndecidedCalls { return j.undecided }

// FaultyLines counts the lines because of which a run ends with ExitRejects: those that are rejected, and those that
// share a damaged key with another line. If the manifest may not list all such keys, every line counts.
func FaultyLines(m *pipeline.Manifest) int64 {
	if len(m.Input.SharedKeys) >= maxSharedKeys {
		return m.Accounts.Lines
	}
	n := m.Accounts.ByStatus[schema.Rejected]
	for _, k := range m.Input.SharedKeys {
		n += k.Lines
	}
	return n
}

// sharedKeyLines counts the lines of a list, read to its end, that share a damaged key with another line.
func sharedKeyLines(l *sources.List) (lines int64) {
	for _, k := range l.Input().SharedKeys {
		lines += k.Lines
	}
	return lines
}

// countShared adds the lines with shared keys to those that a run left. Only an allowance needs them, and the ledger
// does not have them, so the list is read again.
func (s *session) countShared(ctx context.Context, n *NothingToDo) error {
	j := s.job
	if n.Outcome != pipeline.RunWithRejects || j.allowedRejects == (rejectAllowance{}) || j.paged != nil {
		return nil
	}
	list, err := j.listInput.open(ctx)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was only read
	for _, err := range list.Accounts(ctx) {
		if err != nil {
			return runError(err)
		}
	}
	n.Faulty += sharedKeyLines(list)
	return nil
}
