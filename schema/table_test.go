package schema

import (
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/google/go-cmp/cmp"
)

func tables() []Table { return Tables }

var snake = regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)

func TestTablesAreValid(t *testing.T) {
	names := map[string]bool{}
	for _, table := range tables() {
		if names[table.Name] || !snake.MatchString(table.Name) {
			t.Errorf("table name %q: want unique snake case", table.Name)
		}
		names[table.Name] = true
		if table.Doc == "" || table.Version < 1 {
			t.Errorf("%s: doc, version = %q, %d, want both", table.Name, table.Doc, table.Version)
		}
		columns, from := map[string]bool{}, map[string]string{}
		for _, c := range table.Columns {
			if columns[c.Name] || !snake.MatchString(c.Name) {
				t.Errorf("%s: column name %q: want unique snake case", table.Name, c.Name)
			}
			columns[c.Name] = true
			if c.Doc == "" || strings.HasSuffix(c.Doc, ".") {
				t.Errorf("%s.%s: doc = %q, want a sentence without a full stop", table.Name, c.Name, c.Doc)
			}
			if c.List != ListRejected && c.Type != String {
				t.Errorf("%s.%s: list mode on a %s column, want it on VARCHAR only", table.Name, c.Name, c.Type)
			}
			for _, key := range c.From {
				if other, taken := from[key]; taken {
					t.Errorf("%s: field %s is read by %s and %s, want one", table.Name, key, other, c.Name)
				}
				from[key] = c.Name
			}
		}
		for _, name := range slices.Concat(table.Sort, table.Bloom) {
			if !columns[name] {
				t.Errorf("%s: sort or bloom filter column %q is not a column of the table", table.Name, name)
			}
		}
		if len(table.Sort) == 0 || table.Unique != "" && !columns[table.Unique] {
			t.Errorf("%s: Sort, Unique = %q, %q, want columns", table.Name, table.Sort, table.Unique)
		}
	}
}

// The first columns are the same in every event table, so that a query over several tables can rely
// on them.
func TestEventTablesShareTheirHead(t *testing.T) {
	want := strings.Fields("event_uid signal_type object_type entity_id account_key event_date fetched_at run_id call_id " +
		"ingest_source schema_version notes raw")
	for i, table := range EventTables {
		var got []string
		for _, c := range table.Columns[:len(want)] {
			got = append(got, c.Name)
			if len(c.From) > 0 {
				t.Errorf("%s.%s is read from %q, want it derived", table.Name, c.Name, c.From)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("first columns of %s (-want +got):\n%s", table.Name, diff)
		}
		if table.Name != string(Categories[i]) || table.Unique != "event_uid" {
			t.Errorf("EventTables[%d] = %s, unique by %q, want %s by event_uid", i, table.Name, table.Unique, Categories[i])
		}
	}
}

func TestColumnsCoverEveryDocumentedField(t *testing.T) {
	if len(payloads) != len(Signals) {
		t.Fatalf("%d keys have payloads, want %d", len(payloads), len(Signals))
	}
	read := map[string]bool{} // table.field
	for _, s := range Signals {
		table := EventTable(s.Category)
		for _, field := range strings.Fields(payloads[s.Key]) {
			i := slices.IndexFunc(table.Columns, func(c Column) bool { return slices.Contains(c.From, field) })
			if i < 0 {
				t.Errorf("%s: no column of %s is read from %s", s.Key, table.Name, field)
				continue
			}
			read[table.Name+"."+field] = true
			if got, want := table.Columns[i].Type, fieldTypes[field]; got != want { // the zero Type is String
				t.Errorf("%s: %s.%s reads field %s as %s, want %s", s.Key, table.Name, table.Columns[i].Name, field, got, want)
			}
		}
	}

	// No column reads a field that no document names, except for the spellings of API V3.
	spellings := strings.Fields("contact.id contact.newCompany contact.previousCompany intent.metadata.topicScore intent.metadata.topicTrend")
	for _, table := range EventTables {
		for _, c := range table.Columns {
			for _, field := range c.From {
				name := table.Name + "." + field
				if table.Name != "other" && !read[name] && !slices.Contains(spellings, name) {
					t.Errorf("%s.%s reads %s, a field of no key", table.Name, c.Name, field)
				}
			}
		}
	}
	if i := EventTable(CategoryNews).ColumnIndex("is_risk"); i < 0 {
		t.Error("news has no is_risk column")
	}
	if i := EventTable(CategoryRisk).ColumnIndex("article_url"); i >= 0 {
		t.Error("risk has columns of news, want riskNews in news only")
	}
}

func TestArrow(t *testing.T) {
	want := map[Type]arrow.DataType{
		String: arrow.BinaryTypes.String,
		Int64:  arrow.PrimitiveTypes.Int64,
		Double: arrow.PrimitiveTypes.Float64,
		Bool:   arrow.FixedWidthTypes.Boolean,
		Date:   arrow.FixedWidthTypes.Date32,
		Time:   &arrow.TimestampType{Unit: arrow.Microsecond, TimeZone: "UTC"},
	}
	for _, table := range tables() {
		s := table.Arrow()
		if got, want := s.NumFields(), len(table.Columns); got != want {
			t.Fatalf("%s: Arrow() has %d fields, want %d", table.Name, got, want)
		}
		for i, c := range table.Columns {
			f := s.Field(i)
			if f.Name != c.Name || !f.Nullable || !arrow.TypeEqual(f.Type, want[c.Type]) {
				t.Errorf("%s: Arrow() field %d = %s, want nullable %s %s", table.Name, i, f, c.Name, want[c.Type])
			}
			if got := metadata(f.Metadata, "doc"); got != c.Doc {
				t.Errorf("%s.%s: doc = %q, want %q", table.Name, c.Name, got, c.Doc)
			}
			if got := metadata(f.Metadata, "unit"); got != c.Unit {
				t.Errorf("%s.%s: unit = %q, want %q", table.Name, c.Name, got, c.Unit)
			}
			if c.Unit == "" && f.Metadata.FindKey("unit") >= 0 {
				t.Errorf("%s.%s: has an empty unit, want none", table.Name, c.Name)
			}
		}
		for key, want := range map[string]string{MetaTable: table.Name, MetaVersion: strconv.Itoa(table.Version), MetaDoc: table.Doc} {
			if got := metadata(s.Metadata(), key); got != want {
				t.Errorf("%s: %s = %q, want %q", table.Name, key, got, want)
			}
		}
	}

	contact := EventTable(CategoryContact)
	for column, want := range map[string]string{
		"event_uid":            "siglake",
		"current_title":        "answer field currentTitle",
		"current_company_name": "answer field currentCompanyName, else newCompany",
	} {
		if got := metadata(contact.Arrow().Field(contact.ColumnIndex(column)).Metadata, "source"); got != want {
			t.Errorf("source of %s = %q, want %q", column, got, want)
		}
	}
}

func metadata(md arrow.Metadata, key string) string {
	v, _ := md.GetValue(key)
	return v
}

func TestTypeString(t *testing.T) {
	for typ, want := range map[Type]string{String: "VARCHAR", Int64: "BIGINT", Double: "DOUBLE", Bool: "BOOLEAN", Date: "DATE", Time: "TIMESTAMP"} {
		if got := typ.String(); got != want {
			t.Errorf("Type(%d).String() = %q, want %q", int(typ), got, want)
		}
	}
}

func TestTableLookups(t *testing.T) {
	for _, want := range tables() {
		if got, ok := TableNamed(want.Name); !ok || got.Name != want.Name {
			t.Errorf("TableNamed(%q) = %q, %t, want itself", want.Name, got.Name, ok)
		}
	}
	if _, ok := TableNamed("nothing"); ok {
		t.Error(`TableNamed("nothing") = _, true, want false`)
	}
	for _, c := range Categories {
		if got := EventTable(c).Name; got != string(c) {
			t.Errorf("EventTable(%s) = %s, want itself", c, got)
		}
	}
	if got := EventTable("weather").Name; got != "other" {
		t.Errorf(`EventTable("weather") = %s, want other`, got)
	}
	if got := Accounts.ColumnIndex("status"); Accounts.Columns[got].Name != "status" {
		t.Errorf(`Accounts.ColumnIndex("status") = %d, want its position`, got)
	}
	if got := Accounts.ColumnIndex("colour"); got != -1 {
		t.Errorf(`Accounts.ColumnIndex("colour") = %d, want -1`, got)
	}
}
