package report

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// viewColumn is a column of a view with the cells of a kept column of lists.
type viewColumn struct {
	name string // lower case, and unlike that of any other column
	kept pipeline.KeptColumn
}

func (c *viewColumn) doc() string {
	return fmt.Sprintf("Column %s of the lists, as --keep has kept it in extra; null for an empty cell", c.kept.Name)
}

// keptViewColumns are the columns of the view of accounts for what its files keep; nil for other tables. A
// name with invisible characters has none: a script cannot show it.
func keptViewColumns(t schema.Table, files []sinks.DataFile) (columns []viewColumn) {
	if t.Name != schema.Accounts.Name {
		return nil
	}
	var kept pipeline.KeptColumns
	for _, f := range files {
		for _, c := range f.Kept {
			kept.Add(c)
		}
	}
	list := slices.DeleteFunc(slices.Clone(kept.List()), func(c pipeline.KeptColumn) bool { return format.Text(c.Name) != c.Name })
	// A name that stays as it is comes before those that become the same.
	slices.SortFunc(list, func(a, b pipeline.KeptColumn) int {
		x, y := foldColumn(a.Name), foldColumn(b.Name)
		return cmp.Or(cmp.Compare(x, y), order(a.Name != x, b.Name != y), cmp.Compare(a.Name, b.Name))
	})
	used := map[string]bool{}
	for _, c := range list {
		name := "extra_" + foldColumn(c.Name)
		for n := 2; used[name]; n++ {
			name = fmt.Sprintf("extra_%s_%d", foldColumn(c.Name), n)
		}
		used[name] = true
		columns = append(columns, viewColumn{name, c})
	}
	return columns
}

// order puts false before true.
func order(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// foldColumn is a name as a column of a view has it: letters and digits in lower case, and one underscore
// for whatever lies between them.
func foldColumn(name string) string {
	parts := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) })
	if len(parts) == 0 {
		return "column"
	}
	return strings.Join(parts, "_")
}

// sqlName is a name of a column as SQL writes it.
func sqlName(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// sqlType is the type of a kept column in SQL; empty: its text.
func (c *viewColumn) sqlType() string {
	switch c.kept.Type {
	case pipeline.KeptInteger:
		return "BIGINT"
	case pipeline.KeptDecimal:
		return fmt.Sprintf("DECIMAL(%d, %d)", c.kept.Digits+c.kept.Scale, c.kept.Scale)
	case pipeline.KeptDate:
		return "DATE"
	}
	return ""
}

// typed is an expression for a column with the type that its cells have. A cell that came later than the
// script and has another one is null.
func (c *viewColumn) typed(text string) string {
	text = fmt.Sprintf("nullif(%s, '')", text)
	if t := c.sqlType(); t != "" {
		text = fmt.Sprintf("try_cast(%s AS %s)", text, t)
	}
	return fmt.Sprintf(",\n  %s AS %s", text, sqlName(c.name))
}

// duckKeptColumns selects kept columns from extra. A JSON pointer, unlike a path, can name any member.
func duckKeptColumns(columns []viewColumn) string {
	var out strings.Builder
	pointer := strings.NewReplacer("~", "~0", "/", "~1")
	for i := range columns {
		out.WriteString(columns[i].typed(fmt.Sprintf("json_extract_string(%s, %s)", schema.ExtraColumn, sqlString("/"+pointer.Replace(columns[i].kept.Name)))))
	}
	return out.String()
}

// writeAthenaKept writes a view of accounts with kept columns, if there are any. A name with a quote or a
// backslash cannot be written in a path of Athena's.
func writeAthenaKept(out *sqlScript, columns []viewColumn) {
	var selected strings.Builder
	for i := range columns {
		if name := columns[i].kept.Name; !strings.ContainsAny(name, `"\`) {
			selected.WriteString(columns[i].typed(fmt.Sprintf("json_extract_scalar(%s, %s)", schema.ExtraColumn, sqlString(`$["`+name+`"]`))))
		}
	}
	if selected.Len() > 0 {
		out.writeLine("\nCREATE OR REPLACE VIEW accounts_kept AS SELECT *%s\nFROM accounts;", selected.String())
	}
}
