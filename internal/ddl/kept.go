package ddl

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
	files = slices.DeleteFunc(slices.Clone(files), func(f sinks.DataFile) bool { return len(f.Kept) == 0 })
	slices.SortFunc(files, func(a, b sinks.DataFile) int { return cmp.Or(cmp.Compare(a.Run, b.Run), cmp.Compare(a.Path, b.Path)) })
	var kept pipeline.KeptColumns // the oldest first: what a later run keeps leaves their names as they are
	for _, f := range files {
		for _, c := range f.Kept {
			kept.Add(c)
		}
	}
	list := slices.DeleteFunc(slices.Clone(kept.List()), func(c pipeline.KeptColumn) bool { return format.Text(c.Name) != c.Name })
	used := map[string]bool{}
	for _, c := range list {
		name := "extra_" + foldColumn(c.Name)
		for n := 2; used[name]; n++ {
			name = fmt.Sprintf("extra_%s_%d", foldColumn(c.Name), n)
		}
		used[name] = true
		columns = append(columns, viewColumn{name, c})
	}
	slices.SortFunc(columns, func(a, b viewColumn) int { return cmp.Compare(a.name, b.name) })
	return columns
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

// keptType is the type of a kept column; empty: its text.
func (s *script) keptType(c *viewColumn) string {
	switch c.kept.Type {
	case pipeline.KeptInteger:
		return s.columnType(schema.Int64)
	case pipeline.KeptDecimal:
		if s.name == "bigquery" { // its DECIMAL has nine digits after the point
			return "BIGNUMERIC"
		}
		return fmt.Sprintf("DECIMAL(%d, %d)", c.kept.Digits+c.kept.Scale, c.kept.Scale)
	case pipeline.KeptDate:
		return s.columnType(schema.Date)
	}
	return ""
}

// form is what texts of the column's type look like, as a regular expression.
func (c *viewColumn) form() string {
	switch c.kept.Type {
	case pipeline.KeptDecimal:
		return fmt.Sprintf("-?(0|[1-9][0-9]{0,%d})([.][0-9]{1,%d})?", max(c.kept.Digits-1, 0), c.kept.Scale)
	case pipeline.KeptDate:
		return "[0-9]{4}-[0-9]{2}-[0-9]{2}"
	}
	return "-?(0|[1-9][0-9]{0,17})"
}

// typed is an expression for a kept column with the type that its cells have; empty if the dialect cannot
// name the column. A cell that came later than the script and has another type is null.
func (s *script) typed(c *viewColumn) string {
	text := s.member(c.kept.Name)
	if text == "" {
		return ""
	}
	text = fmt.Sprintf("nullif(%s, '')", text)
	if t := s.keptType(c); t != "" && s.tryCast != "" { // a cast alone would round what does not fit
		if inner, ok := strings.CutPrefix(t, "Nullable("); ok { // what a cast gives is nullable anyway
			t = strings.TrimSuffix(inner, ")")
		}
		text = fmt.Sprintf("CASE WHEN %s THEN %s END", fmt.Sprintf(s.matches, text, sqlString("^"+c.form()+"$")), fmt.Sprintf(s.tryCast, text, t))
	}
	return text
}

// selectKept selects the kept columns from extra: a comma before each.
func (s *script) selectKept(columns []viewColumn) string {
	var out strings.Builder
	for i := range columns {
		if text := s.typed(&columns[i]); text != "" {
			fmt.Fprintf(&out, ",\n  %s AS %s", text, s.ident(columns[i].name))
		}
	}
	return out.String()
}

// keptColumns are the columns of views for what lists keep, as far as the dialect can name them.
func (s *script) keptColumns() []viewColumn {
	return slices.DeleteFunc(keptViewColumns(schema.Accounts, s.o.Snapshot.Files), func(c viewColumn) bool { return s.typed(&c) == "" })
}

// The members of a JSON object in the dialects; empty for a name that the dialect's path cannot have.

// duckMember uses a JSON pointer, which unlike a path can name any member. A semicolon would end the
// statement for programs that know no texts.
func duckMember(name string) string {
	pointer := sqlString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name))
	return fmt.Sprintf("json_extract_string(%s, %s)", schema.ExtraColumn, strings.ReplaceAll(pointer, ";", "' || chr(59) || '"))
}

func trinoMember(name string) string {
	return pathMember(name, "json_extract_scalar(%s, %s)", `$["`+name+`"]`)
}

func sparkMember(name string) string {
	if name == "*" || strings.Contains(name, "?") || pathMember(name, "%s%s", "") == "" { // wildcards of its paths
		return ""
	}
	return fmt.Sprintf("get_json_object(%s, %s)", schema.ExtraColumn, escapedString("$['"+name+"']"))
}

func bigqueryMember(name string) string {
	return pathMember(name, "json_value(%s, %s)", `$."`+name+`"`)
}

func snowflakeMember(name string) string {
	return pathMember(name, `get(parse_json(%s), %s)::VARCHAR`, name)
}

func redshiftMember(name string) string {
	return pathMember(name, "json_extract_path_text(%s, %s)", name)
}

func clickhouseMember(name string) string {
	return pathMember(name, "JSONExtract(%s, %s, 'Nullable(String)')", name)
}

// pathMember fills in a function of a JSON text and a path. A path has no way to write quotes,
// backslashes and what ends a statement.
func pathMember(name, function, path string) string {
	if strings.ContainsAny(name, "\"'\\;`$") {
		return ""
	}
	return fmt.Sprintf(function, schema.ExtraColumn, sqlString(path))
}
