package lakereport

import (
	"fmt"
	"io"
	"strings"

	"github.com/siglake/siglake/internal/format"
)

// maxMarkdownRows is how many rows of a table a mail or a chat has.
const maxMarkdownRows = 5

// markdownTables are the tables of a mail or a chat.
var markdownTables = []string{"signals", "hiring", "headcount_up", "headcount_down", "funding", "risks", "accounts", "cost_by_list", "cost_by_signal", "hits_by_identifier", "rejects", "doubts"}

// WriteMarkdown writes the headline numbers and the beginning of the tables that matter most.
func WriteMarkdown(w io.Writer, r *Report) error {
	var b strings.Builder
	fmt.Fprintf(&b, "# siglake report: %s\n\n", escapeMarkdown(r.Heading()))
	lists := "no list"
	if len(r.Lists) > 0 {
		lists = format.List(r.Lists, 5)
	}
	simulated := ""
	if r.Simulated {
		simulated = ", simulated"
	}
	fmt.Fprintf(&b, "Lake %s, generation %s, %s%s: %s. Written %s UTC by siglake %s.\n\n", escapeMarkdown(r.Lake), format.Thousands(r.Generation),
		format.Count(int(r.Runs), "run"), simulated, escapeMarkdown(lists), r.Created.Format("2006-01-02 15:04"), escapeMarkdown(r.Version))
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "**%s**\n\n", note)
	}
	for _, f := range r.Figures {
		fmt.Fprintf(&b, "- %s: **%s**\n", f.Title, show(f.Kind, f.Value))
	}
	var empty []string
	for _, id := range markdownTables {
		switch t := r.Find(id); {
		case t == nil:
		case len(t.Rows) == 0:
			empty = append(empty, strings.TrimSuffix(t.Empty, "."))
		default:
			t.writeMarkdown(&b)
		}
	}
	if len(empty) > 0 {
		fmt.Fprintf(&b, "\n%s.\n", strings.Join(empty, ". "))
	}
	fmt.Fprintf(&b, "\nThe whole report: `siglake report --lake LAKE --output report.html`.\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// writeMarkdown writes the beginning of a table, without its minor columns.
func (t *Table) writeMarkdown(b *strings.Builder) {
	fmt.Fprintf(b, "\n## %s\n\n", escapeMarkdown(t.Title))
	var shown []int
	var head, rule strings.Builder
	for i, c := range t.Columns {
		if c.Minor {
			continue
		}
		shown = append(shown, i)
		head.WriteString("| " + escapeMarkdown(c.Title) + " ")
		if c.Kind == Count || c.Kind == Decimal || c.Kind == Percent {
			rule.WriteString("|---:")
		} else {
			rule.WriteString("|---")
		}
	}
	fmt.Fprintf(b, "%s|\n%s|\n", head.String(), rule.String())
	rows := t.Rows[:min(len(t.Rows), maxMarkdownRows)]
	for _, row := range rows {
		for _, i := range shown {
			b.WriteString("| " + escapeMarkdown(show(t.Columns[i].Kind, row[i])) + " ")
		}
		b.WriteString("|\n")
	}
	if t.Total > int64(len(rows)) {
		fmt.Fprintf(b, "\n%d of %s rows. %s\n", len(rows), format.Thousands(t.Total), t.Rest)
	}
}

// markdownEscapes make markup of a text plain: of CommonMark, of tables, and what chats make of names and
// addresses.
var markdownEscapes = strings.NewReplacer(
	`\`, `\\`, "`", "\\`", `*`, `\*`, `_`, `\_`, `[`, `\[`, `]`, `\]`, `|`, `\|`, `~`, `\~`, `#`, `\#`, `@`, `\@`, `!`, `\!`, `$`, `\$`,
	`&`, `&amp;`, `<`, `&lt;`, `>`, `&gt;`, `://`, `:\//`, "\n", " ",
)

func escapeMarkdown(s string) string { return markdownEscapes.Replace(s) }
