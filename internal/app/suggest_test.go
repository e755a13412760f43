package app

import (
	"testing"
)

func TestTypos(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"ab", "a", 1}, {"kitten", "sitting", 3}, {"añb", "anb", 1}} {
		if got := typos(c.a, c.b); got != c.want {
			t.Errorf("typos(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

// TestNearest: words with which both begin do not excuse mistakes in the others.
func TestNearest(t *testing.T) {
	t.Parallel()
	known := []string{"run", "resume", "webhooks sync", "webhooks audit", "webhooks publish"}
	for word, want := range map[string]string{"rnu": "run", "webhooks pause": "", "webhooks snyc": "webhooks sync", "webhoks sync": "webhooks sync", "webhooks publsh": "webhooks publish", "": ""} {
		if got := nearest(word, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", word, got, want)
		}
	}
}
