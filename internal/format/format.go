// Package format writes numbers, lists and texts from outside as people read them.
package format

import (
	"fmt"
	"strings"
)

// List names the first n words, and how many there are beyond them.
func List(words []string, n int) string {
	if len(words) <= n {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:n], ", "), len(words)-n)
}

// Thousands groups digits: 16539 is 16,539.
func Thousands(n int64) string {
	s := fmt.Sprint(n)
	sign := ""
	if n < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Count is a number with its noun: "1 call", "2 calls", "2 entities".
func Count[N int | int64](n N, noun string) string {
	return Thousands(int64(n)) + " " + Noun(n, noun)
}

// Noun is a noun in the form that follows a number.
func Noun[N int | int64](n N, noun string) string {
	stem, endsInY := strings.CutSuffix(noun, "y")
	switch {
	case n == 1:
		return noun
	case endsInY && !strings.HasSuffix(stem, "a"): // entity, but day
		return stem + "ies"
	case strings.HasSuffix(noun, "ch"), strings.HasSuffix(noun, "s"): // batch, status
		return noun + "es"
	}
	return noun + "s"
}

// Bytes is a size, to a decimal of a binary unit.
func Bytes(n int64) string {
	switch {
	case n >= 10<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%d bytes", n)
}
