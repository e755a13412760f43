package ddl

import (
	"fmt"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// All engines but DuckDB have tables over folders, and list the files in them when a query runs. Each
// dataset has two: the files of runs, and the files that compactions merged from them. A view takes the
// rows of both that the list of merges shows, so that it has every row once, before a compaction,
// after it, and after a pruning. See package sinks, merges.go.

// folder is a folder of the lake that a table lies over.
type folder struct {
	name    string // of the table
	path    string // relative to the lake
	doc     string
	columns []schema.Column // of the files
	isEvent bool            // the files are divided by date
}

// mergesTable has the lists of merges, and mergedFiles is the view of the one that is in effect.
const (
	mergesTable = "merges"
	mergedFiles = "merged_files"
)

// mergesFolder has the lists of merges.
var mergesFolder = folder{name: mergesTable, path: sinks.MergesDir, doc: "Which files of runs a compaction has merged, and into which files", columns: []schema.Column{
	{Name: "generation", Type: schema.Int64, Doc: "The compaction whose list this is"},
	{Name: "effective_at", Type: schema.Int64, Doc: "From when on the list counts, in seconds since 1970"},
	{Name: "table_name", Type: schema.String, Doc: "Dataset"},
	{Name: "name", Type: schema.String, Doc: "The last folder of the file, and its name"},
	{Name: "shown", Type: schema.Bool, Doc: "The file has the rows of others; false: others have its rows"},
}}

// foldersOf are the folders of a dataset: of the files of runs, and of merged files.
func foldersOf(t schema.Table) []folder {
	return []folder{
		{filesName(t), folderOf(t), t.Doc, t.Columns, t.IsEvent()},
		{mergedName(t), "compact/" + folderOf(t), t.Doc + ". From files that a compaction has merged", t.Columns, t.IsEvent()},
	}
}

func filesName(t schema.Table) string  { return t.Name + "_files" }
func mergedName(t schema.Table) string { return t.Name + "_merged" }

// folders are all folders of a lake.
func folders() []folder {
	all := []folder{mergesFolder}
	for _, t := range schema.Tables {
		all = append(all, foldersOf(t)...)
	}
	return all
}

// writeRowViews writes the views of the datasets over the tables of their folders. month gives
// event_month, of a row of the alias f.
func (s *script) writeRowViews(month string) {
	merges := s.table(mergesTable)
	s.writeBlock("%s %s AS\nSELECT m.table_name AS table_name, m.name AS name, m.shown AS shown FROM %s AS m\nWHERE m.generation = (SELECT max(n.generation) FROM %s AS n WHERE n.effective_at <= %s)%s;",
		s.createView, s.view(mergedFiles), merges, merges, s.now, s.viewEnd)
	for _, t := range schema.Tables {
		columns := s.columnsOf("f", t.Columns)
		if t.IsEvent() {
			columns += fmt.Sprintf(", %s AS %s", month, s.ident(monthColumn))
		}
		rows := func(files, in, shown string) string {
			return fmt.Sprintf("SELECT %s\nFROM %s AS f WHERE %s %s (SELECT m.name FROM %s AS m WHERE m.table_name = '%s' AND %s)",
				columns, s.table(files), s.fileName, in, s.table(mergedFiles), t.Name, shown)
		}
		s.writeBlock("%s %s AS\n%s\nUNION ALL %s%s;", s.createView, s.view(baseName(t)),
			rows(filesName(t), "NOT IN", "NOT m.shown"), rows(mergedName(t), "IN", "m.shown"), s.viewEnd)
	}
}

// monthOfDay is the month of a row of a table that is divided by day, or by month.
func monthOfDay(division string) string {
	if division == monthColumn {
		return "f." + monthColumn
	}
	return fmt.Sprintf("CASE WHEN f.event_day = '%s' THEN '%s' ELSE substr(f.event_day, 1, 7) END", schema.UnknownDay, schema.UnknownPartition)
}
