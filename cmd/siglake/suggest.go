package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/schema"
)

// didYouMean is what a message says behind a word that is not known: the nearest
// of those that are; empty when none is near.
func didYouMean(word string, known []string) string {
	if near := nearest(word, known); near != "" {
		return " (did you mean " + near + "?)"
	}
	return ""
}

// nearest is the known word that takes the fewest typing errors to become this
// one: at most one for every three letters. Letter case does not count.
func nearest(word string, known []string) string {
	best, least := "", max(1, len(word)/3)+1
	for _, k := range known {
		if d := typos(strings.ToLower(word), strings.ToLower(k)); d < least {
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

// unknownFlag is the flag that the flag library did not know; empty when its
// message is about something else.
func unknownFlag(message string) string {
	_, name, found := strings.Cut(message, "flag provided but not defined: ")
	if !found {
		return ""
	}
	return strings.TrimLeft(strings.Fields(name + " ")[0], "-")
}

// flagError is the error of a command line whose flags cannot be read. path is
// the command's full name, empty for none.
func flagError(cmd *cli.Command, path string, err error) error {
	see := strings.Join(strings.Fields("siglake "+path+" --help"), " ")
	name := unknownFlag(err.Error())
	if name == "" {
		return usageErrorf("%s; see %s", flagProblem(err), see)
	}
	var known []string
	if cmd != nil {
		for _, f := range cmd.VisibleFlags() {
			known = append(known, affixed(f.Names(), "--", "")...)
		}
	}
	return usageErrorf("unknown flag --%s%s; see %s", name, didYouMean("--"+name, known), see)
}

// suggestCommand is what the message says about a command that is not known.
func suggestCommand(commands []*cli.Command, word string) string {
	var known []string
	for _, c := range commands {
		if !c.Hidden {
			known = append(known, c.Name)
		}
	}
	return didYouMean(word, known)
}

// suggestSignal is what the message says about a signal that is not known.
func suggestSignal(word string) string { return didYouMean(word, signalWords()) }

// signalWords are the words that --signals takes: all, categories and keys.
func signalWords() []string {
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
