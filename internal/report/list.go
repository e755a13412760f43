package report

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// readingLines say how a list is read: as what, which column is which field and why, which columns look
// like an identifier and are not used, which are kept, and what else was decided.
func readingLines(in *pipeline.Input) []string {
	lines := []string{formatText(in)}
	if text := app.ColumnsText(in); text != "" {
		lines = append(lines, text)
	}
	if in.Shard != "" {
		lines = append(lines, fmt.Sprintf("shard %s of the list, by entity", in.Shard))
	}
	if len(in.Kept) > 0 {
		lines = append(lines, "kept: "+format.List(in.Kept, 10))
	}
	notes := slices.Clone(in.Notes)
	for i, c := range in.Columns {
		if len(c.Fields) == 0 {
			label := c.Name
			if slices.ContainsFunc(in.Columns[:i], func(earlier pipeline.InputColumn) bool { return earlier.Name == c.Name }) {
				label = fmt.Sprintf("%s (column %d)", c.Name, c.Number)
			}
			text := fmt.Sprintf("%s is not used: %d of %d sampled cells look like %s", label, c.Alike, c.Filled, c.Looks)
			if c.Unused != "" {
				text += "; " + c.Unused
			}
			lines = append(lines, text)
			notes = slices.DeleteFunc(notes, func(note string) bool { return c.Unused != "" && isNoteOf(note, &c) })
		}
	}
	return append(lines, notes...)
}

// isNoteOf reports whether a note says only that a column is not used, and why; perhaps in one of several files.
func isNoteOf(note string, c *pipeline.InputColumn) bool {
	text, ok := strings.CutSuffix(note, " is not used: "+c.Unused)
	text, _, _ = strings.Cut(text, " holds ")
	text = strings.TrimSuffix(text, fmt.Sprintf(" (column %d)", c.Number))
	return ok && (text == c.Name || strings.HasSuffix(text, ": "+c.Name))
}

// formatText is the type of a list and how its text is divided.
func formatText(in *pipeline.Input) string {
	parts := []string{cmp.Or(map[string]string{"csv": "CSV", "text": "one identifier a line"}[in.Format], strings.ToUpper(in.Format), "read")}
	if in.Compression != "" {
		parts = append(parts, in.Compression)
	}
	if in.Encoding != "" {
		parts = append(parts, in.Encoding)
	}
	if in.Delimiter != "" {
		name, known := map[string]string{",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}[in.Delimiter]
		if !known {
			name = fmt.Sprintf("%q", in.Delimiter)
		}
		parts = append(parts, name+"-separated")
	}
	switch {
	case in.HeaderLine > 0:
		parts = append(parts, fmt.Sprintf("header on line %d", in.HeaderLine))
	case in.Format != "":
		parts = append(parts, "no header")
	}
	if n := len(in.Objects); n > 1 {
		parts = append(parts, format.Count(n, "file"))
	}
	return strings.Join(parts, ", ")
}

// PrintList says how a list is read.
func PrintList(w io.Writer, r *app.ListReport) {
	format.Fprintf(w, "\n%s: nothing was requested.\n\n", r.List)
	for i, line := range readingLines(&r.Input) {
		format.Fprintf(w, "  %-10s %s\n", map[bool]string{true: "List"}[i == 0], line)
	}
	kinds := app.IdentifiersText(r.Identifiers)
	counts := []string{cmp.Or(kinds, "none can be requested")}
	if r.Duplicates > 0 {
		counts = append(counts, format.Count(r.Duplicates, "duplicate"))
	}
	if r.Rejected > 0 {
		counts = append(counts, format.Thousands(r.Rejected)+" rejected")
	}
	if r.Noted > 0 {
		counts = append(counts, format.Thousands(r.Noted)+" with notes")
	}
	format.Fprintf(w, "  %-10s %s, as %s: %s\n", "Lines", format.Thousands(r.Lines), app.ObjectsText(r.Object), strings.Join(counts, " · "))
	for i, reading := range r.Readings {
		if i > 0 {
			format.Fprintf(w, "  %-10s %s\n", "or read", reading.Text())
		}
	}
	format.Fprintf(w, "\n  The first lines as understood:\n")
	for i, a := range r.First {
		if len(r.Input.Objects) > 1 && (i == 0 || a.File != r.First[i-1].File) {
			format.Fprintf(w, "    %s\n", a.File)
		}
		format.Fprintf(w, "    line %-6d %s\n", a.Line, lineText(&a))
		for _, note := range a.Notes {
			format.Fprintf(w, "                note: %s\n", note)
		}
	}
	printNoteKinds(w, r.NoteKinds)
	printReasons(w, r)
	printSharedKeys(w, r.Input.SharedKeys, "in the output of --json")
	if r.RejectsFile != "" {
		format.Fprintf(w, "\n  Rejects   %s has the rejected lines, each behind its reason: mend them there, and run that file as a list\n", r.RejectsFile)
	}
	if r.UnwrittenRejects != "" {
		format.Fprintf(w, "\n  Rejects   no line is rejected: %s is not written\n", r.UnwrittenRejects)
	}
}

// lineText is a line as siglake understands it.
func lineText(a *schema.Account) string {
	if a.Reject != nil {
		return "rejected: " + a.Reject.String()
	}
	by := a.Identifier()
	parts := []string{fmt.Sprintf("by %s: %s", by, map[schema.Identifier]string{
		schema.ByID: a.ID, schema.ByLinkedIn: a.LinkedIn, schema.ByEmail: a.Email, schema.ByDomain: a.Domain, schema.ByName: a.Name}[by])}
	if by == schema.ByName && a.Object == schema.Contact {
		parts[0] += " @ " + cmp.Or(a.CompanyDomain, a.CompanyName)
	}
	if by != schema.ByName && a.Name != "" {
		parts = append(parts, "name "+a.Name)
	}
	return strings.Join(append(parts, "key "+a.Key), " · ")
}

// printNoteKinds prints what the notes of lines say, and which lines have them.
func printNoteKinds(w io.Writer, kinds []app.NoteKind) {
	if len(kinds) == 0 {
		return
	}
	format.Fprintf(w, "\n  Notes of lines, by kind:\n")
	for i, k := range kinds {
		if i == shownReasons {
			format.Fprintf(w, "    … and %s\n", format.Count(len(kinds)-i, "further kind"))
			break
		}
		var lines []string
		for j, p := range k.First {
			text := fmt.Sprint(p.Line)
			if j == 0 || p.File != k.First[j-1].File {
				text = fmt.Sprintf("%s:%d", p.File, p.Line)
			}
			lines = append(lines, text)
		}
		more := ""
		if k.Lines > int64(len(k.First)) {
			more = ", …"
		}
		format.Fprintf(w, "    %7s   %s: %s%s\n", format.Thousands(k.Lines), k.Kind, strings.Join(lines, ", "), more)
	}
}

// shownReasons is how many reasons for rejects are printed.
const shownReasons = 10

// printReasons prints why lines are rejected.
func printReasons(w io.Writer, r *app.ListReport) {
	if len(r.Reasons) == 0 {
		return
	}
	format.Fprintf(w, "\n  Rejected lines (%s):\n", format.Thousands(r.Rejected))
	for i, reason := range r.Reasons {
		if i == shownReasons {
			format.Fprintf(w, "    … and %s\n", format.Count(len(r.Reasons)-i, "further reason"))
			break
		}
		value := ""
		if reason.Value != "" {
			value = fmt.Sprintf(" %q", reason.Value)
		}
		format.Fprintf(w, "    %7s   %s; the first is %s:%d%s\n", format.Thousands(reason.Lines), reason.Reason, reason.File, reason.Line, value)
	}
}
