// Package metricstest reads the OpenMetrics text format strictly, for tests: what the specification
// forbids is an error, and so is what promtool complains about.
package metricstest

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Sample is a value with the name of its metric and its labels, as written between the braces.
type Sample struct{ Name, Labels string }

var (
	nameForm   = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)
	labelForm  = regexp.MustCompile(`^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\\\|\\"|\\n)*)"(,|$)`)
	numberForm = regexp.MustCompile(`^[+-]?([0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?|Inf|NaN)$`)
	// reserved are endings of names with a meaning that a gauge does not have; samples of a counter have the first one.
	reserved = []string{"_total", "_created", "_count", "_sum", "_bucket", "_gcount", "_gsum", "_info"}
)

// family is what was said of a metric so far.
type family struct{ name, kind, unit, help string }

// Parse reads a whole exposition.
func Parse(text string) (map[Sample]string, error) {
	if !utf8.ValidString(text) || strings.ContainsAny(text, "\r\x00") {
		return nil, fmt.Errorf("carriage return, NUL, or not UTF-8")
	}
	body, ended := strings.CutSuffix(text, "# EOF\n")
	if !ended {
		return nil, fmt.Errorf("does not end with # EOF and a line feed")
	}
	samples, current, seen := map[Sample]string{}, family{}, []string(nil)
	for n, line := range strings.Split(strings.TrimSuffix(body, "\n"), "\n") {
		var err error
		if rest, isMeta := strings.CutPrefix(line, "# "); isMeta {
			seen, err = current.describe(rest, seen)
		} else {
			err = current.sample(line, samples)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %q: %w", n+1, line, err)
		}
	}
	return samples, nil
}

// describe reads a line of metadata.
func (f *family) describe(line string, seen []string) ([]string, error) {
	words := strings.SplitN(line, " ", 3)
	if len(words) != 3 || !nameForm.MatchString(words[1]) {
		return seen, fmt.Errorf("expected TYPE, UNIT or HELP, a name and a text")
	}
	kind, name, text := words[0], words[1], words[2]
	if name != f.name {
		if slices.Contains(seen, name) {
			return seen, fmt.Errorf("the family comes in two parts")
		}
		*f, seen = family{name: name}, append(seen, name)
	}
	for _, end := range reserved {
		if strings.HasSuffix(name, end) {
			return seen, fmt.Errorf("the name of a gauge or counter ends in %s", end)
		}
	}
	field := map[string]*string{"TYPE": &f.kind, "UNIT": &f.unit, "HELP": &f.help}[kind]
	switch {
	case field == nil:
		return seen, fmt.Errorf("a comment")
	case *field != "":
		return seen, fmt.Errorf("%s comes twice", kind)
	case kind == "TYPE" && text != "gauge" && text != "counter":
		return seen, fmt.Errorf("a type other than gauge and counter")
	case kind == "UNIT" && !strings.HasSuffix(name, "_"+text):
		return seen, fmt.Errorf("the name does not end in its unit")
	}
	*field = text
	return seen, nil
}

// sample reads a sample of the family.
func (f *family) sample(line string, into map[Sample]string) error {
	name, rest, ok := strings.Cut(line, "{")
	expected := f.name
	if f.kind == "counter" {
		expected += "_total"
	}
	if !ok || name != expected || f.kind == "" || f.help == "" {
		return fmt.Errorf("expected a sample of %q, described with TYPE and HELP", f.name)
	}
	labels, names := rest, []string(nil)
	for !strings.HasPrefix(rest, "} ") {
		m := labelForm.FindStringSubmatch(rest[:max(0, strings.LastIndex(rest, "} "))])
		if m == nil {
			return fmt.Errorf("expected a label at %q", rest)
		}
		if slices.Contains(names, m[1]) || strings.HasPrefix(m[1], "__") {
			return fmt.Errorf("label %s comes twice, or is reserved", m[1])
		}
		names, rest = append(names, m[1]), rest[len(m[0]):]
	}
	labels = labels[:len(labels)-len(rest)]
	value := strings.TrimPrefix(rest, "} ")
	if f.kind == "counter" && strings.HasPrefix(value, "-") {
		return fmt.Errorf("a counter is negative")
	}
	if !numberForm.MatchString(value) {
		return fmt.Errorf("%q is no number, or has a timestamp", value)
	}
	if _, err := strconv.ParseFloat(value, 64); err != nil {
		return err
	}
	s := Sample{name, labels}
	if _, twice := into[s]; twice {
		return fmt.Errorf("the sample comes twice")
	}
	into[s] = value
	return nil
}
