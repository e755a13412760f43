package export

import (
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/extsort/rowtest"
	"github.com/siglake/siglake/schema"
)

// TestHeadline: rows without a summary have the sentence that summary_text would have, and an article has its title.
func TestHeadline(t *testing.T) {
	t.Parallel()
	var d describer // one for all: a summary must not depend on the row before
	for _, c := range []struct {
		signal string
		values map[string]any
		want   string
	}{
		{"companyChange", map[string]any{"current_title": "VP Sales", "current_company_name": "Acme", "previous_title": "Director", "previous_company_name": "Beta"}, "VP Sales at Acme, before: Director at Beta"},
		{"companyChange", map[string]any{"current_company_name": "Acme"}, "Acme"},
		{"promotion", map[string]any{"current_title": "CFO", "current_company_name": "Acme", "previous_title": "Controller", "previous_company_name": "Acme"}, "CFO at Acme, before: Controller"},
		{"promotion", nil, "promotion"},
		{"headcountIncrease3m", map[string]any{"change_rate_percent_abs": 12.54, "baseline_employees_count": int64(100), "new_employees_count": int64(112)}, "Headcount increase of 12.54 % in 3 months, from 100 to 112 people"},
		{"websiteTrafficDecrease", nil, "Website traffic decrease"},
		{"surgeInHiringByDepartment", map[string]any{"department": "Sales", "country": "Germany", "new_jobs_posted_last_week": int64(12), "new_jobs_posted_last_4_weeks": int64(40)}, "Hiring surge in Sales, Germany: 40 jobs posted in four weeks"},
		{"newJobPost", map[string]any{"job_title": "Engineer", "city": "Berlin", "country": "Germany"}, "Job post: Engineer, Berlin, Germany"},
		{"newLocation", map[string]any{"city": "Austin", "state": "Texas"}, "New location: Austin, Texas"},
		{"intentByGeography", map[string]any{"topic_name": "CRM", "country": "France"}, "Interest: CRM, France"},
		{"websiteVisitors", map[string]any{"total_sessions": int64(12), "unique_visitors": int64(5)}, "Website visits of 5 people in 12 sessions"},
		{"linkedinActivityIntent", map[string]any{"activity_summary": "<p>Looks for a <b>CRM</b></p>"}, "Looks for a CRM"},
		{"peopleNews", map[string]any{"article_title": "Acme &amp; Sons hires", "event_summary": "long"}, "Acme & Sons hires"},
		{"peopleNews", map[string]any{"event_summary": "Acme hires"}, "Acme hires"},
		{"peopleNews", map[string]any{"article_title": "Title", "summary_text": "Summary"}, "Title"},
		{"newLocation", map[string]any{"city": "Austin", "summary_text": "New location: Austin, Texas"}, "New location: Austin, Texas"},
		{"somethingNew", nil, "somethingNew"},
	} {
		signal, _ := schema.LookupSignal(c.signal)
		if signal.Category == "" {
			signal.Category = schema.CategoryOther
		}
		table := schema.EventTable(signal.Category)
		names := wantedOf(table)
		values := make(rowtest.Values, len(names))
		chosen := schema.Table{Name: table.Name}
		for i, name := range names {
			values[i] = c.values[name]
			chosen.Columns = append(chosen.Columns, table.Columns[table.ColumnIndex(name)])
		}
		rec := rowtest.NewRecord(t, chosen, []rowtest.Values{values})
		view, columns := openRecord(table, names, rec)
		e := Event{Signal: c.signal}
		d.describe(&e, &recordRow{view.Row(0), columns})
		if e.Headline != c.want {
			t.Errorf("%s: headline %q, want %q", c.signal, e.Headline, c.want)
		}
		rec.Release()
	}
}

// TestWantedColumns: every wanted column is one of some event table, with the type by which it is read.
func TestWantedColumns(t *testing.T) {
	t.Parallel()
	for _, name := range wantedColumns {
		found := false
		for _, table := range schema.EventTables {
			found = found || table.ColumnIndex(name) >= 0
		}
		if !found {
			t.Errorf("no event table has a column %s", name)
		}
	}
	for _, name := range accountColumns {
		if schema.Accounts.ColumnIndex(name) < 0 {
			t.Errorf("accounts has no column %s", name)
		}
	}
}

func TestPlainText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain": "plain", " a\n b\u200b ": "a b", "5 < 6 and 7 > 3": "5 < 6 and 7 > 3", "a <b>c</b>": "a c", "re<b>mark</b>able": "remarkable", "<script>x()</script>y<!-- z -->": "y",
		"&lt;b&gt;bold&lt;/b&gt;": "bold", "&amp;lt;i&amp;gt;x": "x", "AT&amp;T": "AT&T", "a<br/>b": "a b", "<img src=x onerror=\"y\">": "", "R&D": "R&D",
		strings.Repeat("ä", 400): strings.Repeat("ä", maxHeadline-1) + "…",
	} {
		if got := plainText(text); got != want {
			t.Errorf("plainText(%q) = %q, want %q", text, got, want)
		}
	}
}

// BenchmarkHeadline describes a row without a summary.
func BenchmarkHeadline(b *testing.B) {
	table := schema.EventTable(schema.CategoryOther)
	names := wantedOf(table)
	chosen := schema.Table{Name: table.Name}
	for _, name := range names {
		chosen.Columns = append(chosen.Columns, table.Columns[table.ColumnIndex(name)])
	}
	rec := rowtest.NewRecord(b, chosen, []rowtest.Values{make(rowtest.Values, len(names))})
	defer rec.Release()
	view, columns := openRecord(table, names, rec)
	var d describer
	for b.Loop() {
		d.describe(&Event{Signal: "promotion"}, &recordRow{view.Row(0), columns})
	}
}
