package sources

import "slices"

// Format is the type of a file, whatever its name says.
type Format string

// The formats of a list.
const (
	FormatCSV  Format = "csv"  // several columns
	FormatText Format = "text" // one identifier a line, perhaps under a header
	FormatXLSX Format = "xlsx" // a sheet of an Excel workbook
)

// Reason says why a column holds a field.
type Reason string

// The reasons, weakest last.
const (
	ReasonMap     Reason = "map"     // --map names the column
	ReasonHeader  Reason = "header"  // the header is a known word for the field
	ReasonContent Reason = "content" // the cells are identifiers of the kind
	// The column is read where that of the field has no usable cell.
	ReasonFallback Reason = "fallback"
)

// LooksCompanyPage is Column.Looks of a column of company pages on LinkedIn, which cannot be
// requested.
const LooksCompanyPage = "company page"

// Column describes how a column of a list is read. A column may hold several fields, such as key
// and domain.
type Column struct {
	Number int    // from 1
	Name   string // its header, or "column 3"
	// Fields that the column holds, by the names of --map; empty: it is not used.
	Fields []ColumnField
	// Field that at least nine in ten filled cells of the sample could be (domain, email, linkedin,
	// id), or LooksCompanyPage; empty: none. A column that has it and no
	// Fields looks like an identifier and is not used.
	Looks string
	// Filled is the number of filled cells of the sample, Alike of those that Looks is about.
	Filled, Alike int
	// Why a column that looks like an identifier is not used; empty for other columns.
	Unused string
}

// ColumnField is a field that a column holds.
type ColumnField struct {
	Field  string // by the names of --map
	Reason Reason
}

// describeColumns describes every column of the layout.
func (l *draft) describeColumns() {
	l.described = make([]Column, len(l.names))
	for i, name := range l.names {
		c := Column{Number: i + 1, Name: name}
		for f, column := range l.columns {
			switch {
			case column == i:
				c.Fields = append(c.Fields, ColumnField{fieldNames[f], l.reasons[f]})
			case column >= 0 && slices.Contains(l.alternatives[f], i):
				c.Fields = append(c.Fields, ColumnField{fieldNames[f], ReasonFallback})
			}
		}
		content := &l.contents[i]
		c.Filled = content.filled
		switch k := content.kind(); k {
		case kindCompany:
			c.Looks, c.Alike = LooksCompanyPage, content.count[k]
		default:
			if f, ok := kindFields[k]; ok {
				c.Looks, c.Alike = fieldNames[f], content.count[k]
			}
		}
		if c.Looks != "" && len(c.Fields) == 0 {
			if c.Unused = l.unused[i].reason; c.Unused == "" {
				c.Unused = l.reasonUnused(i, content.kind())
			}
		}
		l.described[i] = c
	}
}
