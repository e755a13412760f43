package app

import (
	"math/big"
	"strings"
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
// rejected lines, which --allow-rejected accepts.
func (j *Job) ExitOf(code int, rejected, lines int64) int {
	if code == ExitRejects && j.allowedRejects.allows(rejected, lines) {
		return ExitComplete
	}
	return code
}
