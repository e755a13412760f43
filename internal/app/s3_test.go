package app

import (
	"testing"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"1": 1, "64KiB": 64 << 10, "256MiB": 256 << 20, " 2 GiB ": 2 << 30, "1.5MiB": -1, "MiB": -1, "": -1, "1MB": -1, "99999999999GiB": -1} {
		got, ok := parseSize(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
}
