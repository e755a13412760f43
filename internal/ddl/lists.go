package ddl

import (
	"fmt"
	"strings"

	"github.com/siglake/siglake/schema"
)

// The tables of Spark, ClickHouse, Snowflake and BigQuery list the files of a folder, whatever the
// folders below it are, and so need no discovery either.

// monthOfDate is the month that an event's folder has, from its date.
func (s *script) monthOfDate(format string) string {
	return fmt.Sprintf("CASE WHEN f.event_date BETWEEN DATE '%d-01-01' AND DATE '%d-12-31' THEN %s ELSE '%s' END",
		schema.FirstYear, schema.LastYear, format, schema.UnknownPartition)
}

// sparkTables writes tables of Spark SQL. A table with partitions would have to discover them, so the
// month comes from the date.
func sparkTables(s *script) error {
	s.about("Spark 3.4 or later", "The statements replace tables and views of the same names, and no file. A session keeps the list of files that it has",
		"read. Begin another one after a run, and always after siglake prune.")
	address := s.o.Address
	if rest, ok := strings.CutPrefix(address, "s3://"); ok {
		address = "s3a://" + rest
	}
	for _, f := range s.folders("") {
		s.writeBlock("DROP TABLE IF EXISTS %s;", s.table(f.name))
		s.writeBlock("CREATE TABLE %s (\n%s\n)\nUSING PARQUET\nOPTIONS (path = %s, recursiveFileLookup = 'true')\nCOMMENT %s;", s.table(f.name),
			s.listColumns(f.columns, func(c schema.Column) string {
				return fmt.Sprintf("%s %s COMMENT %s", s.ident(c.Name), s.columnType(c.Type), escapedString(columnDoc(c)))
			}), escapedString(address+"/"+f.path), escapedString(plain(f.doc)))
	}
	s.writeRowViews("", s.monthOfDate("date_format(f.event_date, 'yyyy-MM')"))
	return nil
}

// clickhouseTables writes views of ClickHouse over the functions that read files.
func clickhouseTables(s *script) error {
	s.about("ClickHouse 23.8 or later", "The views read the files that are there when a query starts.")
	source := "file"
	if strings.HasPrefix(s.o.Address, "s3://") {
		source = "s3"
	}
	for _, f := range s.folders("") {
		glob, month := "*.parquet", ""
		if f.isEvent {
			glob = "*/*.parquet"
			month = fmt.Sprintf(", CAST(replaceOne(extract(_path, '/event_(?:month|day)=([^/]{7})'), '%s', '%s') AS Nullable(String)) AS %s",
				schema.UnknownDay[:7], schema.UnknownPartition, s.ident(monthColumn))
		}
		structure := make([]string, len(f.columns))
		for i, c := range f.columns {
			structure[i] = s.ident(c.Name) + " " + s.columnType(c.Type)
		}
		s.writeBlock("%s %s AS\nSELECT %s%s, extract(_path, '[^/]+/[^/]+$') AS %s\nFROM %s(%s, 'Parquet', %s)\nSETTINGS use_hive_partitioning = 0, input_format_parquet_allow_missing_columns = 1;",
			s.createView, s.table(f.name), s.columnNames(f.columns), month, fileNameColumn, source,
			escapedString(s.o.Address+"/"+f.path+"/"+glob), escapedString(strings.Join(structure, ", ")))
	}
	s.writeRowViews("", "f."+s.ident(monthColumn))
	return nil
}

// snowflakeTables writes external tables of Snowflake over a stage that the reader makes once.
func snowflakeTables(s *script) error {
	stage := s.table("stage")
	s.about("Snowflake", "Make the stage once, with the storage integration of your account:",
		fmt.Sprintf("CREATE STAGE %s URL = '%s/' STORAGE_INTEGRATION = …", stage, s.o.Address),
		"ALTER EXTERNAL TABLE … REFRESH finds new files. Run it after each run, or let the bucket notify Snowflake (AUTO_REFRESH).")
	for _, f := range s.folders("") {
		columns := s.listColumns(f.columns, func(c schema.Column) string {
			return fmt.Sprintf("%s %s AS (VALUE:%s::%[2]s)", s.ident(c.Name), s.columnType(c.Type), s.ident(c.Name))
		}) + ",\n  " + fileNameColumn + " VARCHAR AS (regexp_substr(METADATA$FILENAME, '[^/]+/[^/]+$'))"
		partition := ""
		if f.isEvent {
			columns += fmt.Sprintf(",\n  %s VARCHAR AS (replace(substr(split_part(split_part(METADATA$FILENAME, '/event_', 2), '=', 2), 1, 7), '%s', '%s'))",
				s.ident(monthColumn), schema.UnknownDay[:7], schema.UnknownPartition)
			partition = fmt.Sprintf("\nPARTITION BY (%s)", s.ident(monthColumn))
		}
		s.writeBlock("CREATE OR REPLACE EXTERNAL TABLE %s (\n%s\n)%s\nLOCATION = @%s/%s/\nAUTO_REFRESH = FALSE\nFILE_FORMAT = (TYPE = PARQUET)\nCOMMENT = %s;",
			s.table(f.name), columns, partition, stage, f.path, sqlString(plain(f.doc)))
	}
	s.writeRowViews("", "f."+s.ident(monthColumn))
	return nil
}

// bigqueryTables writes external tables of BigQuery, which reads Google Cloud Storage.
func bigqueryTables(s *script) error {
	address := "gs://" + strings.TrimPrefix(s.o.Address, "s3://")
	s.about("BigQuery", "BigQuery reads a copy of the lake in Cloud Storage, of the same bucket name and prefix:",
		fmt.Sprintf("gcloud storage rsync -r %q %q", s.o.Address, address))
	for _, f := range s.folders("") {
		s.writeBlock("CREATE OR REPLACE EXTERNAL TABLE %s (\n%s\n)\nOPTIONS (description = %s, format = 'PARQUET', uris = [%s]);", s.table(f.name),
			s.listColumns(f.columns, func(c schema.Column) string { return s.ident(c.Name) + " " + s.columnType(c.Type) }),
			escapedString(plain(f.doc)), escapedString(address+"/"+f.path+"/*.parquet"))
	}
	s.writeRowViews("", s.monthOfDate("format_date('%Y-%m', f.event_date)"))
	return nil
}
