package lakereport

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// hostile are texts that try to leave their place in a page or in Markdown.
var hostile = []string{
	"</script><script>alert(1)</script>", `<img src=x onerror="alert(1)">`, "<!--<script>", "=HYPERLINK(\"http://evil.example\")", "a | b", "*bold* _it_ `code` [x](javascript:alert(1))",
	"\u202egnp.exe", "line\nbreak | x", "# title", "{{.}}", "\u2028]]>", "@everyone", `back\slash`, "\x1b[31mred", "caf\xe9",
}

// hostileReport has hostile texts wherever a report has texts from outside.
func hostileReport() *Report {
	all := strings.Join(hostile, " ")
	r := &Report{Lake: Shown(all), Period: "Run " + Shown(all), Created: time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC), Version: "test", Lists: []string{Shown(hostile[0])}}
	table := Table{ID: "signals", Title: "By column " + Shown(hostile[1]), Columns: []Column{{ID: "value", Title: Shown(hostile[4]), Kind: Text}, {ID: "n", Title: "N", Kind: Count}}, SQL: "SELECT " + quoted(all)}
	for _, s := range hostile {
		table.Rows = append(table.Rows, []any{textValue(s), int64(1)})
	}
	table.limit(maxListed, "")
	r.Sections = []Section{{ID: "new", Title: "New", Tables: []Table{table}}}
	return r
}

// TestHostilePage: no text from outside becomes a part of the page, and the model in it is what JSON says.
func TestHostilePage(t *testing.T) {
	t.Parallel()
	var b, text strings.Builder
	r := hostileReport()
	if err := WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, own := range []string{chartJS, pageJS} {
		if !strings.Contains(page, "<script>"+own+"</script>") {
			t.Error("a script does not stand in the page as it is: the policy refuses it")
		}
		page = strings.Replace(page, own, "", 1)
	}
	if n := strings.Count(strings.ToLower(page), "<script"); n != 3 {
		t.Errorf("the page has %d scripts, want 3", n)
	}
	for _, never := range []string{"<img", "<!--", "\u202e", "\x1b", "ZgotmplZ", "http://www", " style=", " onload", "onerror=\""} {
		if strings.Contains(page, never) {
			t.Errorf("the page has %q", never)
		}
	}
	_, rest, _ := strings.Cut(page, `id="model">`)
	model, _, _ := strings.Cut(rest, "</script>")
	if err := WriteJSON(&text, r); err != nil {
		t.Fatal(err)
	}
	var inPage, alone any
	if err := json.Unmarshal([]byte(model), &inPage); err != nil {
		t.Fatalf("the model in the page: %v", err)
	}
	if err := json.Unmarshal([]byte(text.String()), &alone); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(alone, inPage); diff != "" {
		t.Errorf("the model in the page (-json +page):\n%s", diff)
	}
}

// TestHostileMarkdown: each row of a table is one line with its cells, and no text is markup.
func TestHostileMarkdown(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	if err := WriteMarkdown(&b, hostileReport()); err != nil {
		t.Fatal(err)
	}
	for _, never := range []string{"<", "\u202e", "\x1b", "[x](", "*bold*", " @everyone", "://"} {
		if strings.Contains(b.String(), never) {
			t.Errorf("the Markdown has %q:\n%s", never, b.String())
		}
	}
	rows := 0
	for line := range strings.Lines(b.String()) {
		if !strings.HasPrefix(line, "|") {
			continue
		}
		rows++
		if n := strings.Count(strings.ReplaceAll(strings.ReplaceAll(line, `\\`, ""), `\|`, ""), "|"); n != 3 {
			t.Errorf("a row has %d bars, want 3: %s", n, line)
		}
	}
	if rows != 2+maxMarkdownRows {
		t.Errorf("%d rows, want %d", rows, 2+maxMarkdownRows)
	}
}

// TestQuotients: shares and costs are rounded half up, and without a float.
func TestQuotients(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		credits, events int64
		want            any
	}{
		{0, 3, "0.00"}, {1, 3, "0.33"}, {2, 3, "0.67"}, {1, 200, "0.01"}, {1, 201, "0.00"}, {1234567, 1, "1234567.00"}, {5, 0, nil}, {1 << 62, 1 << 61, "2.00"},
	} {
		if got := perEvent(number{tt.credits, true}, tt.events); got != tt.want {
			t.Errorf("perEvent(%d, %d) = %v, want %v", tt.credits, tt.events, got, tt.want)
		}
	}
	if got := perEvent(number{}, 5); got != nil {
		t.Errorf("perEvent of no credits = %v, want nil", got)
	}
	for _, tt := range []struct {
		part, whole int64
		want        any
	}{{1, 3, 33.3}, {1, 1, 100.0}, {1, 2000, 0.1}, {0, 0, nil}} {
		if got := share(tt.part, tt.whole); got != tt.want {
			t.Errorf("share(%d, %d) = %v, want %v", tt.part, tt.whole, got, tt.want)
		}
	}
}

// TestCostOfEvent: what ids and scores cost is no part of what a new event cost, and two doubts are two figures, of
// which none asks for a decision that may have been taken.
func TestCostOfEvent(t *testing.T) {
	t.Parallel()
	n := func(n int64) number { return number{n, true} }
	c := New(Scope{}, nil, nil)
	c.runs.all = []run{
		{id: "1", command: "resolve", list: "a", credits: n(1000), atMost: n(1000)}, {id: "2", command: "score", list: "a", credits: n(7), atMost: n(7)},
		{id: "3", command: "run", list: "a", credits: n(30), atMost: n(90), newEvents: n(20)},
	}
	c.Choose()
	c.events.total, c.calls.inDoubt, c.calls.unknown = 20, 1, 2
	r := c.Report(About{})
	got := map[string]any{}
	for _, f := range r.Figures {
		got[f.ID] = f.Value
		if f.Alarm {
			t.Errorf("%s is an alarm", f.ID)
		}
	}
	for id, want := range map[string]any{"credits": int64(1037), "credits_per_event": "1.50", "calls_in_doubt": int64(1), "unknown_charges": int64(2), "credits_in_doubt": int64(60)} {
		if got[id] != want {
			t.Errorf("%s = %v, want %v", id, got[id], want)
		}
	}
	if row := r.Find("cost_by_list").Rows[0]; row[3] != any(int64(1037)) || row[4] != any(int64(30)) || row[5] != any("1.50") {
		t.Errorf("by list: %v, want 1037 credits, 30 of them for signals, 1.50 for each event", row)
	}
}

func TestShow(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		kind Kind
		v    any
		want string
	}{
		{Count, int64(1234567), "1,234,567"}, {Decimal, "1234.50", "1,234.50"}, {Decimal, "-0.25", "-0.25"}, {Percent, 12.0, "12.0 %"}, {Time, "2026-11-30T01:02:03Z", "2026-11-30 01:02"},
		{Day, nil, "no date"}, {Count, nil, "unknown"}, {Percent, nil, "–"}, {Text, nil, "none"},
	} {
		if got := show(tt.kind, tt.v); got != tt.want {
			t.Errorf("show(%s, %v) = %q, want %q", tt.kind, tt.v, got, tt.want)
		}
	}
}

func TestWeeks(t *testing.T) {
	t.Parallel()
	for day, want := range map[string]string{"2026-11-30": "2026-11-30", "2026-11-29": "2026-11-23", "1970-01-01": "1969-12-29", "1969-12-28": "1969-12-22"} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := dayValue(weekOf(dayOf(at.UnixMicro()))); got != want {
			t.Errorf("the week of %s begins on %v, want %s", day, got, want)
		}
	}
	if got := weekOf(noDay); got != noDay {
		t.Errorf("the week of no day is %d", got)
	}
}

// TestTop: whatever the order in which rows come, the first ones stay.
func TestTop(t *testing.T) {
	t.Parallel()
	kept := top[int]{limit: 7, compare: func(a, b *int) int { return *a - *b }}
	values := rand.New(rand.NewPCG(1, 2)).Perm(500)
	for _, v := range values {
		kept.add(&v)
	}
	if got, want := kept.sorted(), []int{0, 1, 2, 3, 4, 5, 6}; !slices.Equal(got, want) || kept.total != 500 {
		t.Errorf("the first of 500 are %v of %d, want %v", got, kept.total, want)
	}
}

func TestPlainReason(t *testing.T) {
	t.Parallel()
	for _, tt := range [][3]string{
		{`Website "a": b": not a host name`, "Website", "not a host name"}, {"Website: empty", "Website", "empty"}, {"it begins on line 17", "", "it begins on a line"},
	} {
		if got := plainReason(tt[0], tt[1]); got != tt[2] {
			t.Errorf("plainReason(%q, %q) = %q, want %q", tt[0], tt[1], got, tt[2])
		}
	}
}
