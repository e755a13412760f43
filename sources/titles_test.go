package sources

import (
	"strings"
	"testing"
)

// TestTitles: the lines above a header are set aside if they are surely titles; no account is ever taken for one.
func TestTitles(t *testing.T) {
	t.Parallel()
	const data = "Nordwind,Bonn,nordwind-test.com\nSuedstern,Kiel,suedstern-test.com\n"
	for name, c := range map[string]struct {
		list  string
		line  int64  // of the header; 0: there is none
		first int64  // line of the first account
		fails string // part of the error
	}{
		"a header on the first line":                 {list: "Company,City,Website\n" + data, line: 1, first: 2},
		"one title":                                  {list: "Accounts of May\nCompany,City,Website\n" + data, line: 2, first: 3},
		"padded titles":                              {list: "Accounts of May,,\nOwner,Ada,\n,,\nCompany,City,Website\n" + data, line: 4, first: 5},
		"a title with a known word":                  {list: "Company,,\nCompany,City,Website\n" + data, line: 2, first: 3},
		"a header that is repeated":                  {list: "Company,City,Website\n" + data + "Company,City,Website\n" + data, line: 1, first: 2},
		"one known word, below one filled cell":      {list: "Accounts of May,,\nCompany,City,Country\nNordwind,Bonn,DE\nSuedstern,Kiel,DE\n", line: 2, first: 3},
		"one known word, below two filled cells":     {list: "Report,May,\nCompany,City,Country\nNordwind,Bonn,DE\nSuedstern,Kiel,DE\n", fails: "line 2"},
		"domains above the header":                   {list: "nordwind-test.com,,\nCompany,City,Website\n" + data, fails: "line 2"},
		"full records above the header":              {list: "Westend,Ulm,9\nCompany,City,Website\n" + data, fails: "no header"},
		"shorter records above the header":           {list: "Westend,Ulm,DE,\nCompany,City,Website,Country\nNordwind,Bonn,nordwind-test.com,DE\nSuedstern,Kiel,suedstern-test.com,DE\n", fails: "line 2"},
		"a header above records of all widths":       {list: "Company,City,Note\nWestend,Ulm\nOstfluss,Linz\nName,Website,City,Domain\n" + strings.Repeat("Nordwind,nordwind-test.com,Bonn,nordwind-test.com\n", 3), fails: "line 4"},
		"an unknown header below a title":            {list: "Accounts of May,,\nAlpha,Beta,Gamma\n" + data, fails: "line 2"},
		"an unknown header":                          {list: "Alpha,Beta,Gamma\n" + data, line: 1, first: 2},
		"a header that a later line looks more like": {list: "Company,City,Note\nName,Website,Domain\n" + data, fails: "line 2"},
		"a filled row of a report above the header":  {list: "Report,Accounts,2024\n\nCompany,City,Website\n" + data, fails: "header seems to be on line 3"},
		"filters above the header":                   {list: "Owner,Account,Stage\nfilter: all,all,2024\n\nCompany,City,Website\n" + data, fails: "header seems to be on line 4"},
		"labels and values above the header":         {list: "Customer:,Acme Group,Country:\nCompany,City,Region\nNordwind,Bonn,West\nSuedstern,Kiel,North\n", fails: "header seems to be on line 2"},
		"a header of years, above a known word":      {list: "Company,2023,2024\nContact,5,7\nNordwind,8,9\n", line: 1, first: 2},
		"a header narrower than its lines":           {list: "Company,City\nAccount,Bonn,West\nSuedstern,Kiel,North\nWestend,Ulm,South\n", line: 1, first: 2},
		"an address behind a label":                  {list: "Source: https://crm.nordwind-test.com/r/1\n\nCompany,City,Website\n" + data, line: 3, first: 4},
		"an address in a note":                       {list: "Notes:\n\"Some addresses are missing, see https://nordwind-test.com/help.\"\n\nCompany,City,Website\n" + data, line: 4, first: 5},
	} {
		l, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader(c.list)})
		if err != nil || c.fails != "" {
			if err == nil || c.fails == "" || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: Open = %v, want an error that contains %q", name, err, c.fails)
			}
			continue
		}
		for a, err := range l.Accounts(t.Context()) {
			if in := l.Input(); err != nil || in.HeaderLine != c.line || a.Line != c.first {
				t.Errorf("%s: the header is on line %d, and the first account on line %d (%v), want %d and %d", name, in.HeaderLine, a.Line, err, c.line, c.first)
			}
			break
		}
	}
}
