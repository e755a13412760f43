package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/xuri/excelize/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
)

// TestSharedKeys: lines whose keys a spreadsheet turned into one number are requested, and the run
// says so with its exit code and in the manifest.
func TestSharedKeys(t *testing.T) {
	t.Parallel()
	r := newRig(t, fixedDayConfig(t))
	const list = "Account ID,Company,Website\n1.23457E+15,Nordwind Ltd,nordwind-test.com\n1.23457E+15,Suedstern Inc,suedstern-test.com\n123,Westend,westend-test.com\n"
	r.run(list, "--signals", "news")
	shared := r.manifest.Input.SharedKeys
	if r.code != exitRejects || len(shared) != 1 || shared[0].Lines != 2 || len(shared[0].Places) != 2 {
		t.Errorf("exit %d, shared keys %+v, want %d and one key of 2 lines", r.code, shared, exitRejects)
	}
	if n := r.manifest.Accounts.ByStatus[schema.Rejected]; n != 0 {
		t.Errorf("%d lines rejected, want 0", n)
	}
	for _, c := range []struct {
		allowed string
		code    int
	}{{"1", exitRejects}, {"2", exitComplete}, {"50%", exitRejects}, {"67%", exitComplete}} {
		if v := r.rerun(list, "--signals", "news", "--allow-rejected", c.allowed); v.code != c.code || v.calls != 0 {
			t.Errorf("nothing to do with --allow-rejected %s: exit %d and %d calls, want %d and none", c.allowed, v.code, v.calls, c.code)
		}
		if v := r.rerun(list, "--signals", "growth", "--allow-rejected", c.allowed, "--refresh", "--quiet"); v.code != c.code || strings.Contains(v.stderr, "run ended") != (c.code == exitRejects) {
			t.Errorf("--allow-rejected %s: exit %d, want %d, and a warning unless it is %d: %s", c.allowed, v.code, c.code, exitComplete, v.stderr)
		}
		var h app.History
		r.decode([]byte(r.mustExit(exitComplete, "runs", "--json")), &h)
		if exit := h.Runs[len(h.Runs)-1].Exit; exit == nil || *exit != c.code {
			t.Errorf("runs after --allow-rejected %s: exit code %v, want %d", c.allowed, exit, c.code)
		}
	}
}

// TestWorkbookList: a sheet of a workbook is a list, whose run is known again by the sheet.
func TestWorkbookList(t *testing.T) {
	t.Parallel()
	f := excelize.NewFile()
	for cell, text := range map[string]string{"A1": "Website", "A2": "nordwind-test.com"} {
		if err := f.SetCellValue("Sheet1", cell, text); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := f.NewSheet("Other"); err != nil {
		t.Fatal(err)
	}
	for cell, text := range map[string]string{"A1": "Website", "A2": "suedstern-test.com", "A3": "westend-test.com"} {
		if err := f.SetCellValue("Other", cell, text); err != nil {
			t.Fatal(err)
		}
	}
	var book bytes.Buffer
	if err := f.Write(&book); err != nil {
		t.Fatal(err)
	}
	list := filepath.Join(t.TempDir(), "list.xlsx")
	if err := os.WriteFile(list, book.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, fixedDayConfig(t))
	r.runList(t.Context(), nil, list, "--signals", "news")
	if in := r.manifest.Input; r.code != exitComplete || in.Format != "xlsx" || in.Sheet != "Sheet1" || in.Records != 1 {
		t.Errorf("exit %d, input %+v, want the line of Sheet1", r.code, in)
	}
	r.runList(t.Context(), nil, list, "--signals", "news", "--sheet", "other")
	if in := r.manifest.Input; r.code != exitComplete || in.Sheet != "Other" || in.Records != 2 || r.manifest.Accounts.ByStatus[schema.Cached] != 0 {
		t.Errorf("exit %d, input %+v, want the 2 lines of Other", r.code, in)
	}
}
