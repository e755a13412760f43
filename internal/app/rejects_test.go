package app

import "testing"

func TestRejectAllowance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text            string
		rejected, lines int64
		want            bool
	}{
		{"", 0, 10, false}, {"0", 1, 10, false}, {"1", 1, 10, true}, {"1", 2, 10, false},
		{"10%", 1, 10, true}, {"10%", 2, 10, false}, {"0.5%", 1, 200, true}, {"0.5%", 1, 199, false}, {"100%", 7, 7, true},
	} {
		a, err := parseRejectAllowance(c.text)
		if got := a.allows(c.rejected, c.lines); err != nil || got != c.want {
			t.Errorf("--allow-rejected %q, %d of %d: %v, %v, want %v", c.text, c.rejected, c.lines, got, err, c.want)
		}
	}
	for _, bad := range []string{"-1", "x", "1.5", "101%", "%", "1/2", "1e3", " 1", "NaN", "+1"} {
		if _, err := parseRejectAllowance(bad); err == nil {
			t.Errorf("--allow-rejected %q: no error", bad)
		}
	}
}
