package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/lakereport"
	"github.com/siglake/siglake/internal/simulator"
)

// hostileList has formulas in its header and cells, a duplicate, a line that cannot be requested, and
// ids with leading zeros.
const hostileList = "id_crm;Company;Website;=1+1;Balance\n" +
	"0001;Acme;acme.com;=cmd|' /C calc'!A0;-12,50\n" +
	"0002;Adobe;adobe.com;+49 30 1;-3\n" +
	"0003;Acme again;www.acme.com;\"a;=1\";\n" +
	"0004;;?;@x;5\n" +
	"0005;3M;3m.com;;7\n"

// exportedRows runs siglake export and reads the CSV file that it writes.
func exportedRows(t *testing.T, words ...string) (header []string, rows []map[string]string) {
	t.Helper()
	name := filepath.Join(t.TempDir(), "out.csv")
	code, _, stderr := says(t, append([]string{"export", "--output", name}, words...)...)
	if code != exitComplete {
		t.Fatalf("export %q: exit %d\n%s", words, code, stderr)
	}
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	text, marked := bytes.CutPrefix(content, []byte("\xef\xbb\xbf"))
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil || !marked {
		t.Fatalf("export %q: %v, byte order mark %t", words, err, marked)
	}
	for _, r := range records[1:] {
		row := map[string]string{}
		for i, name := range records[0] {
			row[name] = r[i]
		}
		rows = append(rows, row)
	}
	return records[0], rows
}

// exportRig is a lake that two lists were bought for, and then no network.
func exportRig(t *testing.T) (r *rig, lists []string) {
	t.Helper()
	r = newRig(t, simulator.Config{})
	dir := t.TempDir()
	for i, text := range []string{hostileList, "website\nadobe.com\n3m.com\nairbnb.com\n"} {
		lists = append(lists, filepath.Join(dir, "list"+strconv.Itoa(i+1)+".csv"))
		if err := os.WriteFile(lists[i], []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := says(t, r.args([]string{"run", lists[i], "--signals", "all", "--since", "365d"})[1:]...); code != exitComplete && code != exitRejects {
			t.Fatalf("run %d: exit %d\n%s", i, code, stderr)
		}
	}
	envFor(t).Transport = noNetwork{t}
	return r, lists
}

// TestExport: every line of a list has its own cells and the events of its company, also a duplicate and
// one that another list bought; the lake stays as it is.
func TestExport(t *testing.T) {
	t.Parallel()
	r, lists := exportRig(t)
	before := tree(t, r.lake)
	events := map[string]int{} // by domain
	for _, m := range r.generations() {
		r.manifest = m
		for _, e := range r.events() {
			events[e["company_domain"].(string)]++
		}
	}
	if events["acme.com"] == 0 || events["adobe.com"]+events["3m.com"]+events["airbnb.com"] == 0 {
		t.Fatalf("the simulator has no events to export: %v", events)
	}
	header, rows := exportedRows(t, "--lake", r.lake, "--list", lists[0])
	if diff := cmp.Diff([]string{"id_crm", "Company", "Website", "'=1+1", "Balance", "siglake_list"}, header[:6]); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	var got [][]string
	for _, row := range rows {
		got = append(got, []string{row["id_crm"], row["Website"], row["'=1+1"], row["Balance"], row["siglake_account_key"], row["siglake_status"] + row["siglake_reason"], row["siglake_events"]})
	}
	want := [][]string{
		{"0001", "acme.com", "'=cmd|' /C calc'!A0", "-12,50", "0001", "enriched", strconv.Itoa(events["acme.com"])},
		{"0002", "adobe.com", "'+49 30 1", "-3", "0002", rows[1]["siglake_status"] + rows[1]["siglake_reason"], strconv.Itoa(events["adobe.com"])},
		{"0003", "www.acme.com", "a;'=1", "", "0003", "enriched", strconv.Itoa(events["acme.com"])},
		{"0004", "?", "'@x", "5", "0004", rows[3]["siglake_status"] + rows[3]["siglake_reason"], "0"},
		{"0005", "3m.com", "", "7", "0005", rows[4]["siglake_status"] + rows[4]["siglake_reason"], strconv.Itoa(events["3m.com"])},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	for _, row := range rows {
		sum := 0
		for name, text := range row {
			if n, err := strconv.Atoi(text); strings.HasSuffix(name, "_count") && err == nil {
				sum += n
			}
		}
		if strconv.Itoa(sum) != row["siglake_events"] {
			t.Errorf("the signals of %s add up to %d, and siglake_events is %s", row["id_crm"], sum, row["siglake_events"])
		}
	}
	if s := rows[3]["siglake_status"]; s != "rejected" {
		t.Errorf("the line without a website has the status %s", s)
	}
	// Adobe was bought for the first list and is cached in the second.
	_, second := exportedRows(t, "--lake", r.lake, "--list", lists[1])
	if len(second) != 3 || second[0]["siglake_events"] != rows[1]["siglake_events"] || second[0]["siglake_status"] != rows[1]["siglake_status"] {
		t.Errorf("the second list has %v, want what the first has of adobe.com: %v", second[0], rows[1])
	}
	_, all := exportedRows(t, "--lake", r.lake)
	var keys []string
	for _, row := range all {
		keys = append(keys, filepath.Base(row["list"])+" "+row["account_key"]+" "+row["events"])
	}
	wantKeys := []string{}
	for _, row := range rows {
		wantKeys = append(wantKeys, "list1.csv "+row["id_crm"]+" "+row["siglake_events"])
	}
	for _, row := range second {
		wantKeys = append(wantKeys, "list2.csv "+row["website"]+" "+row["siglake_events"])
	}
	if diff := cmp.Diff(wantKeys, keys); diff != "" {
		t.Errorf("the lines of the lake (-of the lists +got):\n%s", diff)
	}
	_, eventRows := exportedRows(t, "--lake", r.lake, "--events", "--list", lists[1])
	if want := events["adobe.com"] + events["3m.com"] + events["airbnb.com"]; len(eventRows) != want {
		t.Errorf("%d rows of events, want %d", len(eventRows), want)
	}
	if _, first := exportedRows(t, "--lake", r.lake, "--generation", "1", "--list", lists[1]); first[2]["siglake_status"] != "not_requested" {
		t.Errorf("before the second run airbnb.com is %s", first[2]["siglake_status"])
	}
	if diff := cmp.Diff(before, tree(t, r.lake)); diff != "" {
		t.Errorf("export changes the lake:\n%s", diff)
	}
}

// TestExportFormats: Parquet, read by another library, and standard output have what CSV has.
func TestExportFormats(t *testing.T) {
	t.Parallel()
	r, lists := exportRig(t)
	dir := t.TempDir()
	_, want := exportedRows(t, "--lake", r.lake, "--list", lists[1])
	name := filepath.Join(dir, "out.parquet")
	r.mustExit(exitComplete, "export", "--list", lists[1], "-o", name)
	rows := readParquet(t, name)
	if len(rows) != len(want) {
		t.Fatalf("%d rows, want %d", len(rows), len(want))
	}
	for i, row := range rows {
		if n, ok := row["siglake_events"].(int64); !ok || strconv.FormatInt(n, 10) != want[i]["siglake_events"] || row["website"] != want[i]["website"] {
			t.Errorf("row %d is %v, want %v", i, row, want[i])
		}
	}
	out := r.mustExit(exitComplete, "export", "--list", lists[1], "-o", "-")
	if !strings.HasPrefix(out, "website,siglake_list,") || strings.Count(out, "\n") != len(want)+1 {
		t.Errorf("standard output has\n%s", out)
	}
	book := filepath.Join(dir, "OUT.XLSX")
	if out := r.mustExit(exitComplete, "export", "--list", lists[1], "-o", book, "--json"); !strings.Contains(out, `"rows": 3`) {
		t.Errorf("--json prints %s", out)
	}
	// A workbook is a list, too.
	if _, again := exportedRows(t, "--lake", r.lake, "--list", book); again[1]["website"] != "3m.com" || again[1]["siglake_events (2)"] != want[1]["siglake_events"] {
		t.Errorf("the workbook reads as %v", again[1])
	}
	// siglake's columns keep their names, also if the list has them.
	marked := filepath.Join(dir, "marked.csv")
	if err := os.WriteFile(marked, []byte("website,siglake_status,Siglake_Status\n3m.com,mine,other\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	header, again := exportedRows(t, "--lake", r.lake, "--list", marked)
	if got := again[0]; got["siglake_status"] != want[1]["siglake_status"] || got["siglake_status (2)"] != "mine" || got["Siglake_Status (3)"] != "other" || header[1] != "siglake_status (2)" {
		t.Errorf("a list with a column siglake_status is exported as %q: %v", header, got)
	}
}

// TestExportRefuses: nothing is overwritten or written into the lake, and what fails leaves nothing.
func TestExportRefuses(t *testing.T) {
	t.Parallel()
	r, lists := exportRig(t)
	dir := t.TempDir()
	taken := filepath.Join(dir, "taken.csv")
	if err := os.WriteFile(taken, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		why   string
		words []string
	}{
		{"exists", []string{"-o", taken}},
		{"no format", []string{"-o", filepath.Join(dir, "out.txt")}},
		{"--format", []string{"-o", filepath.Join(dir, "out.csv"), "--format", "ods"}},
		{"lies in the lake", []string{"-o", filepath.Join(r.lake, "data", "out.csv")}},
		{"not a file", []string{"-o", dir, "--format", "csv", "--force"}},
		{"--bom", []string{"-o", filepath.Join(dir, "out.csv"), "--bom", "perhaps"}},
		{"--bom yes applies to CSV only", []string{"-o", filepath.Join(dir, "out.parquet"), "--bom", "yes"}},
		{"--bom yes applies to CSV only", []string{"-o", "-", "--format", "xlsx", "--bom", "yes"}},
		{"no/such does not exist", []string{"-o", filepath.Join(dir, "no", "such", "out.csv")}},
		{"did you mean", []string{"-o", filepath.Join(dir, "out.csv"), "--signals", "riskNew"}},
		{"--since", []string{"-o", filepath.Join(dir, "out.csv"), "--since", "yesterday"}},
		{"no generation 9", []string{"-o", filepath.Join(dir, "out.csv"), "--generation", "9"}},
		{"none.csv", []string{"-o", filepath.Join(dir, "out.csv"), "--list", filepath.Join(dir, "none.csv")}},
		{"says another format", []string{"-o", filepath.Join(dir, "q.csv"), "--format", "xlsx"}},
		{"is a file of the list itself", []string{"-o", lists[0], "--list", lists[0], "--force"}},
		{"is a file of the list itself", []string{"-o", lists[1], "--list", filepath.Dir(lists[0]), "--force"}},
		{"name the list with --list", []string{"-o", filepath.Join(dir, "out.csv"), "--map", "domain=website"}},
		{"name the list with --list", []string{"-o", filepath.Join(dir, "out.csv"), "--encoding", "utf-8"}},
		{"no arguments", []string{"-o", filepath.Join(dir, "out.csv"), lists[0]}},
	} {
		code, _, stderr := says(t, append([]string{"export", "--lake", r.lake}, c.words...)...)
		if code != exitUsage || !strings.Contains(stderr, c.why) {
			t.Errorf("%q: exit %d, want %d and %q\n%s", c.words, code, exitUsage, c.why, stderr)
		}
	}
	if code, _, stderr := says(t, "export", "--lake", filepath.Join(dir, "no-lake"), "-o", filepath.Join(dir, "out.csv")); code != exitUsage {
		t.Errorf("no lake: exit %d\n%s", code, stderr)
	}
	if content, err := os.ReadFile(taken); string(content) != "mine" {
		t.Errorf("the taken file holds %q, %v", content, err)
	}
	r.mustExit(exitComplete, "export", "-o", taken, "--force")
	if content, err := os.ReadFile(taken); err != nil || !bytes.Contains(content, []byte("account_key")) {
		t.Errorf("--force: %v\n%s", err, content)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left: %v, %v", entries, err)
	}
}

// TestExportDamagedLake: a file that the lake lists and lacks, or that is damaged, is damage; the message says what repairs it.
func TestExportDamagedLake(t *testing.T) {
	t.Parallel()
	r, _ := exportRig(t)
	files, err := filepath.Glob(filepath.Join(r.lake, "ledger", "accounts", "*.parquet")) // one of each run
	if err != nil || len(files) != 2 {
		t.Fatalf("files of accounts: %q, %v", files, err)
	}
	output := filepath.Join(t.TempDir(), "out.csv")
	export, compact := []string{"export", "-o", output}, []string{"compact", "--min-files", "2"}
	for _, c := range []struct {
		damage   func(name string) error
		commands [][]string
	}{
		{func(name string) error { return os.WriteFile(name, []byte("no Parquet"), 0o600) }, [][]string{export}},
		{os.Remove, [][]string{export, compact}},
	} {
		if err := c.damage(files[0]); err != nil {
			t.Fatal(err)
		}
		for _, args := range c.commands {
			code, _, stderr := says(t, append(args, "--lake", r.lake)...)
			for _, part := range []string{filepath.Base(files[0]), "siglake verify --lake " + r.lake, "siglake rebuild --lake " + r.lake + " --into DIR"} {
				if code != exitIntegrity || !strings.Contains(stderr, part) {
					t.Errorf("%s: exit %d, %q; want %d and %q", args, code, stderr, exitIntegrity, part)
				}
			}
		}
		if _, err := os.Stat(output); err == nil {
			t.Error("an incomplete file is there")
		}
	}
}

// TestExportEmptyLake: before the first run a list has its own columns, and a lake only a header.
func TestExportEmptyLake(t *testing.T) {
	t.Parallel()
	lake := t.TempDir()
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := errors.Join(os.WriteFile(list, []byte("website\nadobe.com\n"), 0o600), os.Mkdir(filepath.Join(lake, "_meta"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if _, rows := exportedRows(t, "--lake", lake, "--list", list, "--signals", "news"); len(rows) != 1 || rows[0]["siglake_status"] != "not_requested" || rows[0]["riskNews_count"] != "0" {
		t.Errorf("the list has %v", rows)
	}
	if header, rows := exportedRows(t, "--lake", lake); len(rows) != 0 || header[2] != "account_key" {
		t.Errorf("the lake has %v, %v", header, rows)
	}
}

// TestExportS3: a lake in a bucket gives what the same lake in a directory does, and the same report.
func TestExportS3(t *testing.T) {
	store := buckettest.Start(t)
	flags := append(s3LakeFlags(t, store), "--lake", store.URI("lake"))
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("website\nadobe.com\n3m.com\nairbnb.com\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var want []map[string]string
	var figures []lakereport.Figure
	for _, target := range [][]string{{"--lake", filepath.Join(t.TempDir(), "lake")}, flags} {
		if code, _, stderr := says(t, append([]string{"run", list, "--signals", "news", "--simulate", "--seed", "7"}, target...)...); code != exitComplete {
			t.Fatalf("run: exit %d\n%s", code, stderr)
		}
		_, rows := exportedRows(t, append([]string{"--list", list}, target...)...)
		for _, row := range rows {
			delete(row, "siglake_run_id")
		}
		if want == nil {
			want, figures = rows, reportOf(t, target...).Figures
		}
		if diff := cmp.Diff(want, rows); diff != "" {
			t.Errorf("%v (-directory +bucket):\n%s", target, diff)
		}
	}
	if diff := cmp.Diff(figures, reportOf(t, flags...).Figures); diff != "" {
		t.Errorf("reports (-directory +bucket):\n%s", diff)
	}
	if n, err := strconv.Atoi(want[0]["siglake_events"]); err != nil || len(want) != 3 {
		t.Errorf("%d rows, %d events, %v", len(want), n, err)
	}
}
