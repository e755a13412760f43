// Package jsontest draws JSON for property tests.
package jsontest

import (
	"strings"

	"pgregory.net/rapid"
)

// Draw draws the spelling of a JSON value, with odd spaces and escapes, nested at most
// depth levels deep.
func Draw(t *rapid.T, depth int) string {
	space := rapid.SampledFrom([]string{"", "", "", " ", "\n", "\t\r\n "})
	pad := func(s string) string { return space.Draw(t, "before") + s + space.Draw(t, "after") }
	kinds := 4
	if depth > 0 {
		kinds = 6
	}
	list := func(one func() string) string {
		parts := make([]string, rapid.IntRange(0, 4).Draw(t, "length"))
		for i := range parts {
			parts[i] = one()
		}
		return strings.Join(parts, ",") + space.Draw(t, "end")
	}
	switch rapid.IntRange(1, kinds).Draw(t, "kind") {
	case 1:
		return rapid.SampledFrom([]string{"null", "true", "false"}).Draw(t, "word")
	case 2:
		return rapid.StringMatching(`-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,3})?`).Draw(t, "number")
	case 3, 4:
		return spelledText(t)
	case 5:
		return "[" + list(func() string { return pad(Draw(t, depth-1)) }) + "]"
	default:
		return "{" + list(func() string { return pad(spelledText(t)) + ":" + pad(Draw(t, depth-1)) }) + "}"
	}
}

func spelledText(t *rapid.T) string {
	parts := rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", "b", "{", "}", "[", "]", ",", ":", " ", "é", "😀", "\u2028", "\xff", "\x7f",
		`\"`, `\\`, `\/`, `\n`, `\u0000`, `\u00e9`, `\ud83d\ude00`, `\udc00`, `\u005c`,
	}), 0, 6).Draw(t, "text")
	return `"` + strings.Join(parts, "") + `"`
}
