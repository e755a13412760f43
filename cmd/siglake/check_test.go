package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
)

// TestCheck: check shows how a list is read and what is wrong with its lines, writes the rejected ones to
// a file that can be mended and checked, and opens no network.
func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list, rejects := filepath.Join(dir, "list.csv"), filepath.Join(dir, "rejects.csv")
	if err := os.WriteFile(list, []byte("Firma;Webseite;Kunde Nr;Partner-Web\nNordwind;nordwind-test.de;1;a.de\nSüd;sued-test.de;2;b.de\nOst;;3;c.de\nNordwind;nordwind-test.de;4;d.de\nWest;rj.gov.br;5;\n;?;6;\nGesamt;;;\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	e := envFor(t)
	e.Transport = noNetwork{t}
	check := func(words ...string) (code int, stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		code = e.execute(t.Context(), append([]string{"siglake", "check"}, words...), nil, &out, &errs)
		return code, out.String(), errs.String()
	}
	code, out, errs := check(list, "--rejects", rejects)
	if code != exitRejects {
		t.Errorf("exit %d, want %d\n%s%s", code, exitRejects, out, errs)
	}
	for _, want := range []string{
		"CSV, utf-8, semicolon-separated, header on line 1", "domain = Webseite (header)", "key = Kunde Nr (header)", "Partner-Web",
		"7, as companies: 2 by domain, 2 by name · 1 duplicate · 2 rejected", "line 2      by domain: nordwind-test.de · name Nordwind · key 1", "list.csv:7", "a total, not an account",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("check does not print %q:\n%s", want, out)
		}
	}
	mended, err := os.ReadFile(rejects)
	if err != nil || !strings.HasPrefix(string(mended), "\"siglake_reason company ") || !strings.Contains(string(mended), "\";Firma;Webseite;Kunde Nr;Partner-Web\n\"no company identifier: nothing usable in Webseite, Firma\";;?;6;\n") {
		t.Errorf("the rejects are %q, %v", mended, err)
	}
	if code, _, errs := check(list, "--rejects", rejects); code != exitUsage || !strings.Contains(errs, "exists") {
		t.Errorf("over an existing file: exit %d\n%s", code, errs)
	}
	if err := os.WriteFile(rejects, []byte(strings.Replace(strings.Replace(string(mended), ";?;6;", ";zeta-test.de;6;", 1), "Gesamt;;;", "Gesamt;gesamt-test.de;7;", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, errs := check(rejects); code != exitComplete {
		t.Errorf("the mended rejects: exit %d\n%s%s", code, out, errs)
	}
	if code, out, _ := check(rejects, "--rejects", rejects+"2"); code != exitComplete || !strings.Contains(out, "no line is rejected: ") {
		t.Errorf("--rejects without rejected lines: exit %d\n%s", code, out)
	}
	if _, err := os.Stat(rejects + "2"); err == nil {
		t.Error("a file of rejects was written without rejected lines")
	}
	if code, _, _ := check(list, "--allow-rejected", "2"); code != exitComplete {
		t.Errorf("--allow-rejected 2: exit %d, want %d", code, exitComplete)
	}
	_, out, _ = check(list, "--json")
	var r app.ListReport
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if r.Lines != 7 || r.Rejected != 2 || r.Duplicates != 1 || r.Identifiers[schema.ByDomain] != 2 || r.Input.Format != "csv" || r.Input.HeaderLine != 1 || len(r.First) != 5 || len(r.Reasons) != 2 {
		t.Errorf("--json gives %+v", r)
	}
	shared := filepath.Join(dir, "shared.csv")
	if err := os.WriteFile(shared, []byte("Account ID,Company\n1.23457E+15,Nordwind\n1.23457E+15,Suedstern\n7,Westend\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, out, _ := check(shared); code != exitRejects || !strings.Contains(out, "1.23457E+15: 2 lines") {
		t.Errorf("keys that two lines share: exit %d, want %d and the key\n%s", code, exitRejects, out)
	}
	if code, _, _ := check(shared, "--allow-rejected", "1"); code != exitRejects {
		t.Errorf("--allow-rejected 1 of 2 lines with one key: exit %d, want %d", code, exitRejects)
	}
	if code, _, _ := check(shared, "--allow-rejected", "2"); code != exitComplete {
		t.Errorf("--allow-rejected 2 of 2 lines with one key: exit %d, want %d", code, exitComplete)
	}
	missing := filepath.Join(dir, "none.csv")
	if code, _, errs := check(missing, "--rejects", filepath.Join(dir, "r2.csv")); code != exitUsage || !strings.Contains(errs, "none.csv") {
		t.Errorf("a list that is not there: exit %d\n%s", code, errs)
	}
	if left, err := filepath.Glob(filepath.Join(dir, ".siglake*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "r2.csv")); err == nil {
		t.Error("rejects of a list that cannot be read were written")
	}
}

// TestCheckReadings: check and plan state both readings of a list that may hold companies or contacts, with counts and the
// flag that decides; signals about one of them decide, as in a run.
func TestCheckReadings(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	offices := write("offices.csv", "Company,Website,Email\nA,a-test.com,info@a-test.com\nB,b-test.com,office@b-test.com\nC,,sales@c-test.com\n")
	people := write("people.csv", "Company,Website,Email\nA,a-test.com,ada@a-test.com\nB,b-test.com,bo@b-test.com\n")
	both := write("both.csv", "Company,Website,Email\nA,a-test.com,info@a-test.com\nB,b-test.com,bo@b-test.com\n")
	twice := write("twice.csv", "Company,Website,Info,Sales\nA,a-test.com,info@a-test.com,sales@a-test.com\nB,b-test.com,info@b-test.com,sales@b-test.com\n")
	const companies, contacts = "as companies: 2 by domain: --object company", "as contacts: 2 by email: --object contact"
	for _, c := range []struct {
		words    string
		exit     int
		want     []string
		wantNone string
	}{
		{"check " + offices, exitComplete, []string{"3, as companies: 2 by domain, 1 by name", "or read    as contacts: 3 by email: --object contact"}, ""},
		{"check " + offices + " --signals news", exitComplete, []string{"3, as companies: 2 by domain, 1 by name"}, "or read"},
		{"check " + offices + " --signals contact", exitComplete, []string{"3, as contacts: 3 by email"}, "or read"},
		{"check " + offices + " --signals contact --object company", exitComplete, []string{"3, as companies"}, "or read"},
		{"check " + people, exitComplete, []string{"2, as contacts: 2 by email", "or read    " + companies}, ""},
		{"check " + people + " --signals news", exitComplete, []string{"2, as companies: 2 by domain"}, "or read"},
		{"check " + people + " --signals gnus", exitComplete, []string{`\"gnus\" is no signal type or category that this version knows`}, ""},
		{"check " + twice, exitComplete, []string{"2, as companies: 2 by domain", "--object=contact reads them as contacts"}, "or read"},
		{"check " + both, exitUsage, []string{companies, contacts, "--signals"}, ""},
		{"check " + both + " --signals news", exitComplete, []string{"2, as companies: 2 by domain"}, "or read"},
		{"plan " + people + " --simulate --signals all", exitComplete, []string{"read " + contacts, "or " + companies}, ""},
		{"plan " + people + " --simulate --signals news", exitComplete, []string{"2 by domain"}, contacts},
		{"plan " + both + " --simulate --signals all", exitUsage, []string{companies, contacts}, ""},
		{"run " + both + " --simulate --signals all --lake " + filepath.Join(dir, "lake"), exitUsage, []string{companies, contacts}, ""},
	} {
		e := *envFor(t)
		if strings.HasPrefix(c.words, "check") {
			e.Transport = noNetwork{t}
		}
		var out bytes.Buffer
		code := e.execute(t.Context(), append([]string{"siglake"}, strings.Fields(c.words)...), nil, &out, &out)
		if code != c.exit || c.wantNone != "" && strings.Contains(out.String(), c.wantNone) {
			t.Errorf("%s: exit %d, want %d, and nothing with %q\n%s", c.words, code, c.exit, c.wantNone, &out)
		}
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: does not print %q\n%s", c.words, want, &out)
			}
		}
	}
	var out bytes.Buffer
	var r app.ListReport
	if code := envFor(t).execute(t.Context(), []string{"siglake", "check", "--json", offices}, nil, &out, io.Discard); code != exitComplete || json.Unmarshal(out.Bytes(), &r) != nil ||
		len(r.Readings) != 2 || r.Readings[0].Object != schema.Company || r.Readings[1].Identifiers[schema.ByEmail] != 3 || r.Readings[1].Flag != "--object contact" {
		t.Errorf("check --json: exit %d, readings %+v", code, r.Readings)
	}
}
