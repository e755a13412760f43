package ddl

import "github.com/siglake/siglake/schema"

// overTables stands for the first part of a script when its tables are there already. If the views get a
// database of their own, the tables can be read by their names there, too.
func overTables(s *script) error {
	s.about("views over the tables in "+plain(s.o.Over), "The tables are those of siglake-iceberg. The statements replace views of the same names, and no table.")
	if s.name == "trino" || s.name == "athena" { // tables of Iceberg have a time zone
		s.types[schema.Time] = "TIMESTAMP(6) WITH TIME ZONE"
	}
	if s.name == "duckdb" {
		s.createView = "CREATE OR REPLACE TEMP VIEW"
	}
	if s.o.Over == s.o.Database {
		return nil
	}
	for _, t := range schema.Tables {
		from := s.shown(t, qualified(s.ident, s.o.Over, s.o.Prefix+baseName(t)))
		s.writeBlock("%s %s AS\nSELECT %s\nFROM %s AS t%s;", s.createView, s.view(baseName(t)), s.columnsOf("t", baseColumns(t)), from, s.viewEnd)
	}
	return nil
}
