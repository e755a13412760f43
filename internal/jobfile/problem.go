package jobfile

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// problem is something wrong at a place in the file.
type problem struct {
	at   Position
	text string
}

// Report adds a problem. Its text must not hold what may be a secret.
func (f *File) Report(at Position, format string, args ...any) {
	f.problems = append(f.problems, problem{at, fmt.Sprintf(format, args...)})
}

// ReportKey adds the problem that a key is not one of those known. of names what it should be.
func (f *File) ReportKey(field Field, of string, known []string) {
	if isSecret.MatchString(field.Key) && !strings.HasSuffix(field.Key, "-file") {
		f.Report(field.At, "unknown %s %q%s; secrets do not belong in a job file: name a file that holds them, such as api-key-file or url-file", of, field.Key, f.suggest(field.Key, known))
		return
	}
	f.Report(field.At, "unknown %s %q%s", of, field.Key, f.suggest(field.Key, known))
}

// Err is an error that lists all problems in the order of the file, each with its line; nil if
// there are none.
func (f *File) Err() error {
	if len(f.problems) == 0 {
		return nil
	}
	sorted := slices.Clone(f.problems)
	slices.SortStableFunc(sorted, func(a, b problem) int {
		return cmp.Or(cmp.Compare(a.at.Line, b.at.Line), cmp.Compare(a.at.Column, b.at.Column))
	})
	sorted = slices.Compact(sorted)
	var text []string
	for _, p := range sorted {
		if p.at.Line == 0 {
			text = append(text, f.Path+" "+p.text)
			continue
		}
		text = append(text, fmt.Sprintf("%s:%s: %s", f.Path, p.at, p.text))
		text = append(text, f.excerpt(p.at)...)
	}
	return errors.New(strings.Join(text, "\n"))
}

// excerpt is a line of the file with a caret below the place; nothing if there is no such line.
func (f *File) excerpt(at Position) []string {
	if at.Line > len(f.lines) || strings.TrimSpace(f.lines[at.Line-1]) == "" {
		return nil
	}
	line := f.shown(at.Line)
	before := []rune(strings.ReplaceAll(line, "\t", " "))
	column := min(at.Column, len(before)+1)
	return []string{"  " + string(before), "  " + strings.Repeat(" ", column-1) + "^"}
}

// isSecret finds words that announce a secret, and addresses, which may hold one.
var isSecret = regexp.MustCompile(`(?i)api[-_ ]?key|secret|token|passw|credential|\burl\b|auth|://`)

// shown is a line without what may be a secret: what stands behind a key that announces one, and
// what stands in the line below it.
func (f *File) shown(number int) string {
	line := f.lines[number-1]
	if f.isSecret(number) {
		key, _, found := strings.Cut(line, ":")
		if found && !strings.ContainsAny(key, `"'`) && isSecret.MatchString(key) {
			return key + ": …"
		}
		return line[:len(line)-len(strings.TrimLeft(line, " -"))] + "…"
	}
	return line
}

// isSecret reports whether a line may hold a secret. A value may begin in the line below its key.
func (f *File) isSecret(number int) bool {
	if isSecret.MatchString(f.lines[number-1]) {
		return true
	}
	return number > 1 && isSecret.MatchString(f.lines[number-2]) && !strings.Contains(f.lines[number-1], ": ")
}

// reportSyntax adds the problem that the text is not YAML.
func (f *File) reportSyntax(err error) {
	var syntax *yaml.LoadError
	if !errors.As(err, &syntax) {
		f.Report(Position{}, "is no YAML: %v", err)
		return
	}
	mark := syntax.Mark
	if syntax.ContextMark.Line > 0 { // where it began, instead of where the file ends
		mark = syntax.ContextMark
	}
	at := Position{mark.Line, max(mark.Column, 1)}
	switch {
	case at.Line == 0 || at.Line > len(f.lines):
		f.Report(Position{}, "is no YAML: %s", syntax.Message)
	case f.isSecret(at.Line): // the message may quote it
		f.Report(at, "not valid YAML; a value with special characters needs quotes")
	default:
		f.Report(at, "not valid YAML: %s", syntax.Message)
	}
}
