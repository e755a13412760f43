package ddl

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
)

// The tables of Athena, Trino and Redshift state how folders divide the events. Months need no discovery: the tables list the months that siglake can write, and the engine looks
// into the folders of those that a query is about. Days are too many for that.

// divisionOf is the key by which the events of a lake are divided.
func (s *script) divisionOf() (string, error) {
	switch keys := partitionKeys(s.o.Snapshot.Files); len(keys) {
	case 0:
		return monthColumn, nil
	case 1:
		return keys[0], nil
	default:
		return "", app.UsageErrorf("the events of %s are divided by %s, and a table of %s can have one of them: make one lake of it with siglake rebuild --partition-by",
			s.o.Address, strings.Join(keys, " and "), s.name)
	}
}

// months are the values that event_month can have.
func months() []string {
	all := []string{schema.UnknownPartition}
	for year := schema.FirstYear; year <= schema.LastYear; year++ {
		for month := 1; month <= 12; month++ {
			all = append(all, fmt.Sprintf("%04d-%02d", year, month))
		}
	}
	return all
}

// keys are the columns of a table that its folders give.
func (f *folder) keys(division string) (keys []string) {
	if f.hasPlace {
		keys = append(keys, placeColumn)
	}
	if f.isEvent {
		keys = append(keys, division)
	}
	return keys
}

// values are those that a key can have.
func (f *folder) values(key string) []string {
	if key == placeColumn {
		return f.places()
	}
	return months()
}

// template is where the files of a row of keys lie.
func (f *folder) template(address string) string {
	_, below, _ := strings.Cut(f.path, "/")
	template := address + "/${" + placeColumn + "}/" + below + "/"
	if f.isEvent {
		template += monthColumn + "=${" + monthColumn + "}/"
	}
	return template
}

// athenaTables writes external tables in Hive's language, which Athena keeps in Glue.
func athenaTables(s *script) error {
	division, err := s.divisionOf()
	if err != nil {
		return err
	}
	notes := []string{"Run the statements one by one. They replace tables and views of the same names, and no file."}
	if division != monthColumn {
		notes = append(notes, "MSCK REPAIR TABLE finds new days. Run it after each run for every table of events whose name",
			"ends in _files, and after each compaction for those that end in _merged.")
	}
	s.about("Athena", notes...)
	for _, f := range s.folders(division) {
		table := s.hiveTable(f.name)
		s.writeBlock("DROP TABLE IF EXISTS %s;", table)
		fmt.Fprintf(s, "CREATE EXTERNAL TABLE %s (\n%s\n)\nCOMMENT %s\n", table, s.listColumns(f.columns, func(c schema.Column) string {
			return fmt.Sprintf("%s %s COMMENT '%s'", backQuoted(c.Name), strings.ToLower(hiveTypes[c.Type]), columnDoc(c))
		}), sqlString(plain(f.doc)))
		properties := "'classification' = 'parquet'"
		if keys := f.keys(division); len(keys) > 0 {
			fmt.Fprintf(s, "PARTITIONED BY (`%s` string)\n", strings.Join(keys, "` string, `"))
		}
		if f.hasPlace {
			properties += ",\n  'projection.enabled' = 'true', 'storage.location.template' = " + sqlString(f.template(s.o.Address))
			for _, key := range f.keys(division) {
				properties += fmt.Sprintf(",\n  'projection.%s.type' = 'enum', 'projection.%[1]s.values' = '%s'", key, strings.Join(f.values(key), ","))
			}
		}
		s.writeBlock("STORED AS PARQUET\nLOCATION %s\nTBLPROPERTIES (%s);", sqlString(s.o.Address+"/"+f.path+"/"), properties)
		if f.isEvent && !f.hasPlace {
			s.writeBlock("MSCK REPAIR TABLE %s;", table)
		}
	}
	s.writeRowViews(division, monthOfDay(division))
	return nil
}

// hiveTable is the full name of a table in Hive's language, which quotes names with backquotes.
func (s *script) hiveTable(name string) string {
	h := script{dialect: dialect{ident: backQuoted}, o: s.o}
	return h.table(name)
}

// trinoTables writes external tables of Trino's Hive connector.
func trinoTables(s *script) error {
	division, err := s.divisionOf()
	if err != nil {
		return err
	}
	notes := []string{"The catalogue is one of the Hive connector, with hive.partition-projection-enabled = true and",
		"hive.timestamp-precision = MICROSECONDS, and for a lake in a directory hive.ignore-absent-partitions = true. The statements replace tables and views of the same names, and no file."}
	if division != monthColumn {
		notes = append(notes, "CALL system.sync_partition_metadata finds new days. Run it after each run for every table of events whose name",
			"ends in _files, and after each compaction for those that end in _merged.")
	}
	s.about("Trino", notes...)
	address := app.AddressURI(s.o.Address)
	for _, f := range s.folders(division) {
		columns, properties := s.listColumns(f.columns, func(c schema.Column) string {
			return fmt.Sprintf("%s %s COMMENT %s", s.ident(c.Name), s.columnType(c.Type), sqlString(columnDoc(c)))
		}), ""
		for _, key := range f.keys(division) {
			columns += fmt.Sprintf(",\n  %s VARCHAR", s.ident(key))
			if f.hasPlace {
				columns += fmt.Sprintf(" WITH (partition_projection_type = 'ENUM', partition_projection_values = ARRAY['%s'])", strings.Join(f.values(key), "', '"))
			}
		}
		if keys := f.keys(division); len(keys) > 0 {
			properties = fmt.Sprintf(", partitioned_by = ARRAY['%s']", strings.Join(keys, "', '"))
		}
		if f.hasPlace {
			properties += ", partition_projection_enabled = true, partition_projection_location_template = " + sqlString(f.template(address))
		}
		s.writeBlock("DROP TABLE IF EXISTS %s;", s.table(f.name))
		s.writeBlock("CREATE TABLE %s (\n%s\n)\nCOMMENT %s\nWITH (external_location = %s, format = 'PARQUET'%s);",
			s.table(f.name), columns, sqlString(plain(f.doc)), sqlString(address+"/"+f.path+"/"), properties)
		if f.isEvent && !f.hasPlace {
			s.writeBlock("CALL system.sync_partition_metadata(%s, %s, 'ADD');", sqlString(s.trinoSchema()), sqlString(s.o.Prefix+f.name))
		}
	}
	s.writeRowViews(division, monthOfDay(division))
	return nil
}

// trinoSchema is the database in the catalogue.
func (s *script) trinoSchema() string {
	return s.o.Database[strings.LastIndexByte(s.o.Database, '.')+1:]
}

// redshiftTables writes external tables of Redshift Spectrum. It has no projection: the script names
// the partitions of today.
func redshiftTables(s *script) error {
	division, err := s.divisionOf()
	if err != nil {
		return err
	}
	s.about("Redshift Spectrum", "The tables are in an external schema, CREATE EXTERNAL SCHEMA … FROM DATA CATALOG, and the views in that of the session,",
		"since an external one cannot hold views. Print and run the script again when a run has written a new month.")
	s.viewEnd = "\nWITH NO SCHEMA BINDING"
	partitions := map[string][]string{} // of datasets
	for _, f := range s.o.Snapshot.Files {
		if f.Partition != "" && !slices.Contains(partitions[f.Table], f.Partition) {
			partitions[f.Table] = append(partitions[f.Table], f.Partition)
		}
	}
	for _, f := range s.folders(division) {
		s.writeBlock("DROP TABLE IF EXISTS %s;", s.table(f.name))
		fmt.Fprintf(s, "CREATE EXTERNAL TABLE %s (\n%s\n)\n", s.table(f.name), s.listColumns(f.columns, func(c schema.Column) string {
			return s.ident(c.Name) + " " + redshiftType(c.Type)
		}))
		address := s.o.Address + "/" + f.path + "/"
		if f.isEvent {
			fmt.Fprintf(s, "PARTITIONED BY (%s VARCHAR(10))\n", s.ident(division))
		}
		s.writeBlock("STORED AS PARQUET\nLOCATION %s;", sqlString(address))
		for _, partition := range partitions[path.Base(f.path)] {
			key, value, _ := strings.Cut(partition, "=")
			s.writeBlock("ALTER TABLE %s ADD IF NOT EXISTS PARTITION (%s = %s) LOCATION %s;", s.table(f.name), s.ident(key), sqlString(value), sqlString(address+partition+"/"))
		}
	}
	s.writeRowViews(division, monthOfDay(division))
	return nil
}

func redshiftType(t schema.Type) string {
	switch t {
	case schema.String:
		return "VARCHAR(65535)"
	case schema.Double:
		return "DOUBLE PRECISION"
	}
	return t.String()
}
