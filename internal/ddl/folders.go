package ddl

import (
	"fmt"
	"strings"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// All engines but DuckDB have tables over folders, and list the files in them when a query runs. Each
// dataset has two folders: of the files of runs, and of the files that compactions merged from them. A view
// takes the rows of both that the lists of merges show, so that it has every row once, before a
// compaction, after it, and after a pruning. See package sinks, merges.go.

// folder is what a table lies over: a folder of the lake, or with the column place a folder and the one of
// the same name in compact/.
type folder struct {
	name     string // of the table
	path     string // relative to the lake
	doc      string
	columns  []schema.Column // of the files
	isEvent  bool            // the files are divided by date
	hasPlace bool
}

// mergesTable has the lists of merges, and mergedFiles is the view of what is in effect.
const (
	mergesTable = "merges"
	mergedFiles = "merged_files"
)

// mergesFolder has the lists of merges.
var mergesFolder = folder{name: mergesTable, path: sinks.MergesDir, doc: "Which files of runs a compaction has merged, and into which files", columns: []schema.Column{
	{Name: "generation", Type: schema.Int64, Doc: "The compaction"},
	{Name: "effective_at", Type: schema.Int64, Doc: "From when on this counts, in seconds since 1970"},
	{Name: "table_name", Type: schema.String, Doc: "Dataset"},
	{Name: "name", Type: schema.String, Doc: "The last folder of the file, and its name"},
	{Name: "shown", Type: schema.Bool, Doc: "The file has the rows of others; false: others have its rows"},
}}

// placeColumn is the folder that the folder of a dataset lies in.
const placeColumn = "place"

// places are the values of placeColumn.
func (f *folder) places() []string {
	top, _, _ := strings.Cut(f.path, "/")
	return []string{top, "compact/" + top}
}

// isCombined reports whether one table lies over both folders of a dataset: where the script names the
// folders, and the engine need not list them. Queries with fewer tables stay within the limits of such engines.
func (s *script) isCombined(t schema.Table, division string) bool {
	return s.projects && (!t.IsEvent() || division == monthColumn)
}

func filesName(t schema.Table) string  { return t.Name + "_files" }
func mergedName(t schema.Table) string { return t.Name + "_merged" }

// folders are all that tables lie over. division is the key by which events are divided, where it matters.
func (s *script) folders(division string) []folder {
	all := []folder{mergesFolder}
	for _, t := range schema.Tables {
		files := folder{filesName(t), FolderOf(t), t.Doc, t.Columns, t.IsEvent(), s.isCombined(t, division)}
		all = append(all, files)
		if !files.hasPlace {
			all = append(all, folder{mergedName(t), "compact/" + FolderOf(t), t.Doc + ". From files that a compaction has merged", t.Columns, t.IsEvent(), false})
		}
	}
	return all
}

// writeRowViews writes the views of the datasets over the tables of their folders. month gives
// event_month, of a row of the alias f.
func (s *script) writeRowViews(division, month string) {
	s.writeBlock("%s %s AS\nSELECT m.table_name AS table_name, m.name AS name, m.shown AS shown FROM %s AS m WHERE m.effective_at <= %s%s;",
		s.createView, s.view(mergedFiles), s.table(mergesTable), s.now, s.viewEnd)
	for _, t := range schema.Tables {
		columns := s.columnsOf("f", t.Columns)
		if t.IsEvent() {
			columns += fmt.Sprintf(", %s AS %s", month, s.ident(monthColumn))
		}
		rows := func(files, isRun string) string {
			join, condition := s.shownRows(t, isRun)
			return fmt.Sprintf("SELECT %s\nFROM %s AS f%s\nWHERE %s", columns, s.table(files), join, condition)
		}
		query := rows(filesName(t), "f."+placeColumn+" NOT LIKE 'compact/%'")
		if !s.isCombined(t, division) {
			query = rows(filesName(t), "TRUE") + "\nUNION ALL " + rows(mergedName(t), "FALSE")
		}
		s.writeBlock("%s %s AS\n%s%s;", s.createView, s.view(baseName(t)), query, s.viewEnd)
	}
}

// shownRows is the condition for the rows of a dataset that the lists of merges show, and what it needs to
// be joined with. isRun holds for rows of files that a run has written.
func (s *script) shownRows(t schema.Table, isRun string) (join, condition string) {
	if s.projects { // their joins of unknown size take many stages; one row is joined in none
		return fmt.Sprintf("\nCROSS JOIN (SELECT map_agg(m.name, TRUE) FILTER (WHERE NOT m.shown) AS hidden, map_agg(m.name, TRUE) FILTER (WHERE m.shown) AS shown FROM %s AS m WHERE m.table_name = '%s') AS l",
				s.table(mergedFiles), t.Name),
			fmt.Sprintf("element_at(l.hidden, %s) IS NULL AND (%s OR element_at(l.shown, %[1]s))", s.fileName, isRun)
	}
	names := func(shown string) string {
		return fmt.Sprintf("(SELECT m.name FROM %s AS m WHERE m.table_name = '%s' AND %s)", s.table(mergedFiles), t.Name, shown)
	}
	condition = fmt.Sprintf("%s NOT IN %s", s.fileName, names("NOT m.shown"))
	if isRun == "FALSE" {
		condition += fmt.Sprintf(" AND %s IN %s", s.fileName, names("m.shown"))
	}
	return "", condition
}

// monthOfDay is the month of a row of a table that is divided by day, or by month.
func monthOfDay(division string) string {
	if division == monthColumn {
		return "f." + monthColumn
	}
	return fmt.Sprintf("CASE WHEN f.event_day = '%s' THEN '%s' ELSE substr(f.event_day, 1, 7) END", schema.UnknownDay, schema.UnknownPartition)
}
