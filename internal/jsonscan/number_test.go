package jsonscan

import (
	"encoding/json"
	"math/big"
	"regexp"
	"strings"
	"testing"
)

var jsonNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`)

// FuzzWholeNumber compares the exact reading of numbers with math/big.
func FuzzWholeNumber(f *testing.F) {
	for _, s := range []string{"0", "3", "3.0", "3e0", "30e-1", "0.5", "-1", "-0", "1e18", "9223372036854775808", "0e9", `"3"`, "03", "1.", "1e", "12345.6789e4", "0.000e-3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, ok := WholeNumber(json.RawMessage(text))
		if !jsonNumber.MatchString(text) || strings.HasPrefix(text, "-") {
			if ok {
				t.Fatalf("WholeNumber(%q) = %d, true, want false", text, n)
			}
			return
		}
		if i := strings.IndexAny(text, "eE"); i >= 0 && len(text)-i > 6 || len(text) > 5000 {
			return // math/big would need all the memory
		}
		r, good := new(big.Rat).SetString(text)
		if !good {
			return
		}
		want := r.IsInt() && r.Num().IsInt64()
		if ok != want || ok && r.Num().Int64() != n {
			t.Fatalf("WholeNumber(%q) = %d, %v, want %s, %v", text, n, ok, r, want)
		}
	})
}
