package browsermatrix

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/siglake/siglake/internal/lakereport"
)

// hostileNames are names of lists that try to leave their cells.
var hostileNames = []string{
	"Kestrel Loom", "</script><script>window.hacked=1</script>", "<img src=x onerror=window.hacked=1>", `=HYPERLINK("http://evil.example")`, `"><svg onload=window.hacked=1>`,
	"\u202egnp.exe \u200f\u0627\u0633\u0645", "Müller & Söhne", strings.Repeat("long ", 90), strings.Repeat("W", 150), "{{.}} ${1} `x`",
}

// browser is a Chromium with one page, and what was wrong with it.
type browser struct {
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

func (b *browser) report(format string, args ...any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, fmt.Sprintf(format, args...))
}

// check reports problems since the last check.
func (b *browser) check(t *testing.T, during string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		t.Errorf("%s: %s", during, p)
	}
	b.problems = nil
}

// open starts Chromium.
func open(t *testing.T) *browser {
	t.Helper()
	program := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			program = path
			break
		}
	}
	if program == "" {
		t.Fatal("no Chromium: install Debian's package chromium")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.UserDataDir(t.TempDir()))
	allocated, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocated)
	t.Cleanup(cancel)
	b := &browser{ctx: ctx}
	b.run(t) // opens the tab
	err := chromedp.Listen(ctx, func(event any) {
		switch e := event.(type) {
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "file://") {
				b.report("a request for %.200s", e.Request.URL)
			}
		case *runtime.EventExceptionThrown:
			b.report("an exception: %v", e.ExceptionDetails)
		case *runtime.EventConsoleAPICalled:
			b.report("console.%s was called", e.Type)
		case *cdplog.EventEntryAdded:
			b.report("the log says %s: %s", e.Entry.Level, e.Entry.Text)
		case *page.EventJavascriptDialogOpening:
			b.report("a dialog: %s", e.Message)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// emulate makes the page see a medium and a colour scheme.
func (b *browser) emulate(t *testing.T, medium, scheme string) {
	t.Helper()
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Media: medium, Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
	if err != nil {
		t.Fatal(err)
	}
}

// evaluate is the value of a script in the page.
func evaluate[T any](t *testing.T, b *browser, script string, options ...chromedp.EvaluateOption) T {
	t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](script, options...))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// show opens a page in a window of a size, light or dark.
func (b *browser) show(t *testing.T, width int64, scheme string) {
	t.Helper()
	b.emulate(t, "", scheme)
	b.run(t, chromedp.EmulateViewport(width, 900), chromedp.Navigate("file://"+filepath.Join(dir, "report.html")))
}

// dir holds the lake and its reports.
var dir string

func TestMain(m *testing.M) {
	code := m.Run()
	if dir != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// run runs a program in dir. The exit code 10 says that lines were rejected.
func run(words ...string) error {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "XDG_STATE_HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil && cmd.ProcessState.ExitCode() != 10 {
		return fmt.Errorf("%q: %w\n%s", words, err, out)
	}
	return nil
}

// makeReports makes a lake of two lists over three days, and its reports.
var makeReports = sync.OnceValues(func() (model *lakereport.Report, err error) {
	if dir, err = os.MkdirTemp("", "siglake-browser-*"); err != nil {
		return nil, err
	}
	program := filepath.Join(dir, "siglake")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		return nil, err
	}
	if err := run("go", "build", "-C", root, "-o", program, "./cmd/siglake"); err != nil {
		return nil, err
	}
	jobs := "version: 1\njobs:\n"
	for i, columns := range []string{"account_id,company,website,country", "account_id,company,website,Tier"} {
		list := columns + "\n"
		for n := range 60 {
			name := strings.ReplaceAll(hostileNames[n%len(hostileNames)], `"`, `""`)
			list += fmt.Sprintf("\"%s %d\",\"%s\",firm-%d.example,%c\n", name[:min(len(name), 12)], n, name, n+40*i, 'A'+n%3)
		}
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("list%d.csv", i+1)), []byte(strings.ToValidUTF8(list, "?")+"BAD,,no domain,A\n"), 0o600); err != nil {
			return nil, err
		}
		jobs += fmt.Sprintf("  list%d:\n    list: list%[1]d.csv\n    lake: lake\n    simulate: true\n    signals: [all]\n    since: 120d\n    keep: [all]\n    max-credits: 100000\n    quiet: true\n", i+1)
	}
	if err := os.WriteFile(filepath.Join(dir, "siglake.yaml"), []byte(jobs), 0o600); err != nil {
		return nil, err
	}
	for _, words := range [][]string{
		{"job", "list1", "--as-of", "2026-06-01"}, {"job", "list2", "--as-of", "2026-06-04"}, {"job", "list1", "--as-of", "2026-06-09"},
		{"report", "--lake", "lake", "--output", "report.html"}, {"report", "--lake", "lake", "--output", "report.json"},
	} {
		if err := run(append([]string{program}, words...)...); err != nil {
			return nil, err
		}
	}
	text, err := os.ReadFile(filepath.Join(dir, "report.json"))
	if err != nil {
		return nil, err
	}
	model = &lakereport.Report{}
	d := json.NewDecoder(strings.NewReader(string(text)))
	d.UseNumber()
	return model, d.Decode(model)
})

// openReport opens the report in Chromium.
func openReport(t *testing.T, width int64, scheme string) (*browser, *lakereport.Report) {
	t.Helper()
	model, err := makeReports()
	if err != nil {
		t.Fatal(err)
	}
	b := open(t)
	b.show(t, width, scheme)
	return b, model
}

// seen is what the page shows.
type seen struct {
	Figures map[string]string
	Tables  map[string]seenTable
	// How much wider the page is than the window, in pixels.
	Overflow, Images, Scripts, Canvases, Drawn int
	Hacked                                     bool
}

type seenTable struct {
	Columns []int // places in the model
	Rows    [][]string
	Visible int
	Empty   string
}

const readPage = `(() => {
	const tables = {};
	for (const card of document.querySelectorAll("[data-table]")) {
		const rows = [...card.querySelectorAll(".scroll tbody tr")];
		tables[card.dataset.table] = {
			Columns: [...card.querySelectorAll(".scroll thead th")].map(th => Number(th.dataset.column)),
			Rows: rows.map(tr => [...tr.cells].map(td => td.textContent)),
			Visible: rows.filter(tr => tr.getClientRects().length).length,
			Empty: card.querySelector(".empty")?.textContent || "",
		};
	}
	const canvases = [...document.querySelectorAll("canvas")];
	return {
		Figures: Object.fromEntries([...document.querySelectorAll("[data-figure]")].map(li => [li.dataset.figure, li.querySelector("b").textContent])),
		Tables: tables, Overflow: document.documentElement.scrollWidth - window.innerWidth,
		Images: document.querySelectorAll("img, svg, iframe, object, link").length, Scripts: document.scripts.length, Hacked: "hacked" in window,
		Canvases: canvases.length, Drawn: canvases.filter(c => c.getContext("2d").getImageData(0, 0, c.width, c.height).data.some(v => v)).length,
	};
})()`

// plain is a value that the page shows as the model has it.
func plain(k lakereport.Kind, text string) any {
	switch {
	case text == "none" && k == lakereport.Text, text == "no date", text == "no time", text == "unknown" && k == lakereport.Count, text == "–" && k != lakereport.Text:
		return nil
	case k == lakereport.Count:
		return json.Number(strings.ReplaceAll(text, ",", ""))
	case k == lakereport.Percent:
		return json.Number(strings.TrimSuffix(strings.TrimSuffix(text, " %"), ".0"))
	case k == lakereport.Decimal:
		return strings.ReplaceAll(text, ",", "")
	case k == lakereport.Time:
		return strings.Replace(text, " ", "T", 1)
	}
	return text
}

// compare compares what the page shows with the model, and counts the values.
func compare(t *testing.T, got *seen, want *lakereport.Report) (values int) {
	t.Helper()
	for _, f := range want.Figures {
		if v := plain(f.Kind, got.Figures[f.ID]); v != f.Value {
			t.Errorf("figure %s shows %q, want %v", f.ID, got.Figures[f.ID], f.Value)
		}
		values++
	}
	if len(got.Figures) != len(want.Figures) {
		t.Errorf("the page has %d figures, want %d", len(got.Figures), len(want.Figures))
	}
	for _, s := range want.Sections {
		for _, table := range s.Tables {
			shown, ok := got.Tables[table.ID]
			if !ok || len(shown.Rows) != len(table.Rows) || len(table.Rows) == 0 && shown.Empty != table.Empty {
				t.Errorf("table %s has %d rows and says %q, want %d and %q", table.ID, len(shown.Rows), shown.Empty, len(table.Rows), table.Empty)
				continue
			}
			for place, c := range table.Columns {
				says := slices.ContainsFunc(table.Rows, func(row []any) bool { return row[place] != json.Number("0") })
				if !slices.Contains(shown.Columns, place) && len(table.Rows) > 0 && (!c.Sparse || says) {
					t.Errorf("table %s has no column %s", table.ID, c.ID)
				}
			}
			for i, row := range shown.Rows {
				for j, text := range row {
					c := shown.Columns[j]
					want := table.Rows[i][c]
					if moment, ok := want.(string); ok && table.Columns[c].Kind == lakereport.Time {
						want = moment[:len("2006-01-02T15:04")]
					}
					if v := plain(table.Columns[c].Kind, text); v != want {
						t.Errorf("table %s, row %d, column %s shows %q, want %v", table.ID, i, table.Columns[c].ID, text, want)
					}
					values++
				}
			}
		}
	}
	return values
}

// TestPage: in every size and colour scheme the page shows what the model has, fits into the window, draws
// its charts, and makes no request.
func TestPage(t *testing.T) {
	b, model := openReport(t, 1280, "light")
	for _, width := range []int64{1280, 390} {
		for _, scheme := range []string{"light", "dark"} {
			during := fmt.Sprintf("%d pixels, %s", width, scheme)
			b.show(t, width, scheme)
			got := evaluate[seen](t, b, readPage)
			values := compare(t, &got, model)
			if values < 1000 {
				t.Errorf("%s: %d values were compared: the test shows nothing", during, values)
			}
			if got.Overflow > 0 {
				t.Errorf("%s: the page is %d pixels wider than the window", during, got.Overflow)
			}
			if got.Hacked || got.Images != 0 || got.Scripts != 3 {
				t.Errorf("%s: hacked %t, %d images and the like, %d scripts; want none and 3", during, got.Hacked, got.Images, got.Scripts)
			}
			if got.Canvases != 2 || got.Drawn != got.Canvases {
				t.Errorf("%s: %d of %d charts are drawn", during, got.Drawn, got.Canvases)
			}
			b.check(t, during)
			t.Logf("%s: %d values, %d charts", during, values, got.Canvases)
			b.screenshot(t, fmt.Sprintf("report-%d-%s.png", width, scheme))
		}
	}
	b.emulate(t, "print", "dark")
	if shown := evaluate[string](t, b, `getComputedStyle(document.querySelector("nav")).display + getComputedStyle(document.body).backgroundColor`); shown != "nonergb(255, 255, 255)" {
		t.Errorf("in print the navigation and the background are %s", shown)
	}
	b.check(t, "print")
}

// screenshot writes the page to the directory SIGLAKE_SCREENSHOTS, if there is one, to be looked at.
func (b *browser) screenshot(t *testing.T, name string) {
	t.Helper()
	dir := os.Getenv("SIGLAKE_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), picture, 0o600); err != nil {
		t.Fatal(err)
	}
}

// column are the visible cells of a column.
func column(t *testing.T, b *browser, table, id string, model *lakereport.Report) []string {
	t.Helper()
	place := slices.IndexFunc(model.Find(table).Columns, func(c lakereport.Column) bool { return c.ID == id })
	return evaluate[[]string](t, b, fmt.Sprintf(`(() => {
		const card = document.getElementById("table-%s"), at = [...card.querySelectorAll(".scroll thead th")].findIndex(th => th.dataset.column === "%d");
		return [...card.querySelectorAll(".scroll tbody tr")].filter(tr => tr.getClientRects().length).map(tr => tr.cells[at].textContent);
	})()`, table, place))
}

// click clicks on the head of a column, at its very corner and not on its letters.
func click(t *testing.T, b *browser, table, id string, model *lakereport.Report) {
	t.Helper()
	place := slices.IndexFunc(model.Find(table).Columns, func(c lakereport.Column) bool { return c.ID == id })
	type point struct{ X, Y float64 }
	at := evaluate[point](t, b, fmt.Sprintf(`(() => {
		const th = document.querySelector('#table-%s th[data-column="%d"]');
		th.scrollIntoView({block: "center"});
		const r = th.getBoundingClientRect();
		return {X: r.left + 1, Y: r.top + 1};
	})()`, table, place))
	b.run(t, chromedp.MouseClickXY(at.X, at.Y))
}

// TestTables: a table is short until all of it is wanted, is sorted by a click in either direction, and
// searched while typing.
func TestTables(t *testing.T) {
	b, model := openReport(t, 1280, "light")
	all := model.Find("accounts").Rows
	if n := len(column(t, b, "accounts", "events", model)); n != 10 || len(all) < 30 {
		t.Fatalf("the table of accounts shows %d of %d rows at first, want 10 of many", n, len(all))
	}
	b.run(t, chromedp.Click(chromedp.CSS("#table-accounts .more")))
	if n := len(column(t, b, "accounts", "events", model)); n != len(all) {
		t.Errorf("the whole table shows %d rows, want %d", n, len(all))
	}
	events := column(t, b, "accounts", "events", model)
	numbers := func(cells []string) (n []int) {
		for _, c := range cells {
			var v int
			if _, err := fmt.Sscan(strings.ReplaceAll(c, ",", ""), &v); err != nil {
				t.Fatal(err)
			}
			n = append(n, v)
		}
		return n
	}
	want := numbers(events)
	slices.Sort(want)
	click(t, b, "accounts", "events", model) // largest first
	click(t, b, "accounts", "events", model)
	if got := numbers(column(t, b, "accounts", "events", model)); !slices.Equal(got, want) || want[0] == want[len(want)-1] {
		t.Errorf("sorted by events: %v, want %v", got, want)
	}
	click(t, b, "accounts", "newest", model)
	if got := column(t, b, "accounts", "newest", model); !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("sorted by date, the newest first: %q", got)
	}
	b.run(t, chromedp.SendKeys(chromedp.CSS("#table-accounts input"), "FIRM-4"))
	found := column(t, b, "accounts", "identifier", model)
	matching := 0
	for _, row := range all {
		for _, v := range row {
			if s, ok := v.(string); ok && strings.Contains(strings.ToLower(s), "firm-4") {
				matching++
				break
			}
		}
	}
	if len(found) != matching || matching == 0 || matching == len(all) {
		t.Errorf("a search finds %d rows, want %d of %d", len(found), matching, len(all))
	}
	for _, f := range found {
		if !strings.Contains(f, "firm-4") {
			t.Errorf("a search finds %q", f)
		}
	}
	b.check(t, "tables")
}

// TestPolicy: the page may not reach the network, even if a script of its own tried.
func TestPolicy(t *testing.T) {
	b, _ := openReport(t, 1280, "light")
	b.check(t, "opening")
	blocked := evaluate[bool](t, b, `new Promise(done => {
		document.addEventListener("securitypolicyviolation", e => done(e.effectiveDirective === "connect-src"));
		fetch("http://127.0.0.1:9/").catch(() => {});
	})`, chromedp.EvalAwaitPromise)
	if !blocked {
		t.Error("the policy let a request pass")
	}
}
