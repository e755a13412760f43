package app

import (
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// DidYouMean is what a message says behind a word that is not known: the nearest
// of those that are; empty when none is near.
func DidYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// nearest is the known word that takes the fewest typing errors to become this
// one: at most one for every three letters. Letter case does not count, nor do words
// with which both begin.
func nearest(word string, known []string) string {
	best, least := "", len(word)+1
	for _, k := range known {
		own, other := strings.ToLower(word), strings.ToLower(k)
		for {
			first, rest, found := strings.Cut(own, " ")
			otherFirst, otherRest, otherFound := strings.Cut(other, " ")
			if !found || !otherFound || first != otherFirst {
				break
			}
			own, other = rest, otherRest
		}
		if d := typos(own, other); d < least && d <= max(1, len(own)/3) {
			best, least = k, d
		}
	}
	return best
}

// typos counts the letters that have to be inserted, left out, replaced or swapped
// with their neighbour to make b of a (optimal string alignment).
func typos(a, b string) int {
	from, to := []rune(a), []rune(b)
	rows := make([][]int, len(from)+1)
	for i := range rows {
		rows[i] = make([]int, len(to)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(from); i++ {
		for j := 1; j <= len(to); j++ {
			differs := 1
			if from[i-1] == to[j-1] {
				differs = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+differs)
			if i > 1 && j > 1 && from[i-1] == to[j-2] && from[i-2] == to[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(from)][len(to)]
}

// SuggestSignal is what the message says about a signal that is not known.
func SuggestSignal(word string) string { return DidYouMean(word, SignalWords()) }

// SignalWords are the words that --signals takes: all, categories and keys.
func SignalWords() []string {
	words := []string{"all"}
	for _, s := range schema.Signals {
		if !slices.Contains(words, string(s.Category)) {
			words = append(words, string(s.Category))
		}
	}
	for _, s := range schema.Signals {
		if !slices.Contains(words, s.Key) {
			words = append(words, s.Key)
		}
	}
	return words
}
