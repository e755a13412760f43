package lakereport

import (
	"time"
	"unicode/utf8"

	"github.com/siglake/siglake/internal/format"
)

// Report is what the formats show.
type Report struct {
	Lake       string    `json:"lake"`
	Generation int64     `json:"generation"` // 0: nothing is published
	Created    time.Time `json:"created_at"`
	Version    string    `json:"siglake_version"`
	Period     string    `json:"period"` // what the report is about, for people
	Run        string    `json:"run_id,omitempty"`
	Since      string    `json:"since,omitempty"` // day
	Runs       int64     `json:"runs"`
	FirstRun   string    `json:"first_run_started,omitempty"` // of the period, RFC 3339
	LastRun    string    `json:"last_run_started,omitempty"`
	Simulated  bool      `json:"simulated"` // a run of the period was answered by the simulator
	Lists      []string  `json:"lists"`
	Notes      []string  `json:"notes,omitempty"` // what the lake cannot tell

	Figures  []Figure  `json:"figures"`
	Sections []Section `json:"sections"`
}

// Kind says how a value is shown.
type Kind string

// The kinds, with the types of their values. A missing value is nil.
const (
	Text    Kind = "text"    // string, see Shown
	Count   Kind = "count"   // int64
	Decimal Kind = "decimal" // string with two digits after the point: exact, which a JSON number need not stay
	Percent Kind = "percent" // float64, at most one digit after the point
	Day     Kind = "day"     // string, 2026-11-30
	Time    Kind = "time"    // string, RFC 3339 in UTC, to the second
)

// Figure is a headline number.
type Figure struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Kind  Kind   `json:"kind"`
	Value any    `json:"value"`
	Alarm bool   `json:"alarm,omitempty"` // it asks for something to be done
	SQL   string `json:"sql"`
}

// Section is a part of the page.
type Section struct {
	ID     string  `json:"id"`
	Title  string  `json:"title"`
	About  string  `json:"about,omitempty"`
	Tables []Table `json:"tables"`
}

// Table is a table, and a chart of it.
type Table struct {
	ID      string   `json:"id"`
	Title   string   `json:"title"`
	About   string   `json:"about,omitempty"`
	Columns []Column `json:"columns"`
	Rows    [][]any  `json:"rows"`
	Total   int64    `json:"total_rows"`     // of which Rows are the first
	Rest    string   `json:"rest,omitempty"` // where the others are, if there are any
	Empty   string   `json:"empty"`          // what it says without a row
	SQL     string   `json:"sql"`
	Chart   *Chart   `json:"chart,omitempty"`
}

// Column is a column of a table. Its ID is the name in the result of the SQL.
type Column struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	Kind  Kind   `json:"kind"`
	Minor bool   `json:"minor,omitempty"` // a small screen leaves it out
	// The page leaves it out if every row has 0.
	Sparse bool `json:"sparse,omitempty"`
}

// Chart shows columns of a table over one of its days.
type Chart struct {
	X      string   `json:"x"`
	Series []string `json:"series"` // stacked
	Step   int      `json:"step_days"`
	Unit   string   `json:"unit"`
}

// maxText is how many characters of a text are shown.
const maxText = 200

// Shown is a text from outside as the report has it.
func Shown(s string) string {
	if len(s) > maxText && utf8.RuneCountInString(s) > maxText {
		s = string([]rune(s)[:maxText-1]) + "…"
	}
	return format.Text(s)
}

// Heading is the period with the days on which its first and its last run started.
func (r *Report) Heading() string {
	first, last := dayOfTime(r.FirstRun), dayOfTime(r.LastRun)
	switch {
	case first == "":
		return r.Period
	case first == last:
		return r.Period + ", " + first
	}
	return r.Period + ", " + first + " to " + last
}

func dayOfTime(moment string) string { return moment[:min(len(moment), len(time.DateOnly))] }

// fillEmpty makes lists without an entry empty ones: in JSON each is [], never null.
func (r *Report) fillEmpty() {
	if r.Lists == nil {
		r.Lists = []string{}
	}
	for i := range r.Sections {
		for j := range r.Sections[i].Tables {
			if t := &r.Sections[i].Tables[j]; t.Rows == nil {
				t.Rows = [][]any{}
			}
		}
	}
}

// Find returns a table by its ID; nil: there is none.
func (r *Report) Find(id string) *Table {
	for i := range r.Sections {
		for j := range r.Sections[i].Tables {
			if t := &r.Sections[i].Tables[j]; t.ID == id {
				return t
			}
		}
	}
	return nil
}
