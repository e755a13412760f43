package ddl

import (
	"fmt"
	"slices"
	"strings"

	"github.com/siglake/siglake/schema"
)

// leavesOut reports whether rows of a dataset are about persons, and are left out if these have opted out. Rows of the
// others say what was asked and what it cost.
func leavesOut(t schema.Table) bool {
	return t.IsEvent() || t.IsProduct() || t.Name == schema.Accounts.Name
}

// isOptedOut is what holds for the rows of a dataset about persons who have opted out. source is what the rows are
// selected from, for those that only another row shows to be about the person: lines with the same identifier.
func (s *script) isOptedOut(t schema.Table, source string) string {
	quoted := make([]string, len(s.o.OptedOut))
	for i, id := range s.o.OptedOut {
		quoted[i] = sqlString(id)
	}
	ids := strings.Join(quoted, ", ")
	condition := fmt.Sprintf("coalesce(entity_id, '') IN (%s)", ids)
	switch t.Name {
	case schema.Aliases.Name:
		condition += fmt.Sprintf(" OR coalesce(alias_id, '') IN (%s)", ids)
	case schema.Accounts.Name:
		const identifier = "identifier_type || ' ' || identifier"
		condition += fmt.Sprintf(" OR coalesce(reason, '') LIKE %s OR coalesce(%s, '') IN (SELECT %[2]s FROM %s AS p WHERE object_type = 'contact' AND entity_id IN (%s) AND identifier IS NOT NULL)",
			sqlString(schema.OptedOutReason+"%"), identifier, source, ids)
	}
	return "coalesce(object_type, '') = 'contact' AND (" + condition + ")"
}

// rowsOf is what a view reads of a dataset, without rows about persons who have opted out. The base views of DuckDB and
// of a union, and those over tables in another database, have none themselves.
func (s *script) rowsOf(t schema.Table) string {
	if table := s.table(baseName(t)); s.name == "duckdb" || s.isUnion || s.o.Over != "" && s.o.Over != s.o.Database {
		return table
	}
	return s.shown(t, s.table(baseName(t)))
}

// shown selects the rows of a dataset that views show. The bill keeps all of them, without the persons. more are
// columns that from has besides those of the dataset.
func (s *script) shown(t schema.Table, from string, more ...schema.Column) string {
	switch {
	case len(s.o.OptedOut) == 0:
	case leavesOut(t):
		return fmt.Sprintf("(SELECT * FROM %s AS o WHERE NOT (%s))", from, s.isOptedOut(t, from))
	case t.Name == schema.Credits.Name:
		all := append(slices.Clip(t.Columns), more...)
		columns := make([]string, len(all))
		for i, c := range all {
			if columns[i] = s.ident(c.Name); c.Name == "entity_id" || c.Name == "account_key" {
				columns[i] = fmt.Sprintf("CASE WHEN %s THEN NULL ELSE %s END AS %[2]s", s.isOptedOut(t, ""), columns[i])
			}
		}
		return fmt.Sprintf("(SELECT %s FROM %s AS o)", strings.Join(columns, ", "), from)
	}
	return from
}
