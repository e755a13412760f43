package sources

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/schema"
)

// TestContent reads lists whose headers do not say all: fields maps fields to columns, fails is a
// part of the error, note a part of a note.
func TestContent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text  string
		o           Options
		fields      map[string]string
		note, fails string
	}{
		{name: "one column of domains under an unknown header", text: "Firma,Netzort\nAcme,acme.com\nBeta,www.beta.com/de/\n",
			fields: map[string]string{"name": "Firma", "domain": "Netzort"}, note: "Netzort is read as domain: 2 of 2"},
		{name: "nine in ten", text: "Firma,Netzort\n" + strings.Repeat("Acme,acme.com\nBeta,beta.com\nGamma,gamma.de\n", 3) + "Delta,Nordhafen\n",
			fields: map[string]string{"name": "Firma", "domain": "Netzort"}, note: "9 of 10"},
		{name: "placeholders are empty cells", text: "Firma,Netzort\nAcme,acme.com\nBeta,N/A\nGamma,-\n",
			fields: map[string]string{"name": "Firma", "domain": "Netzort"}, note: "1 of 1"},
		{name: "two columns of domains", text: "Firma,Ort A,Ort B\nAcme,acme.com,acme.de\nBeta,beta.com,beta.de\n",
			fails: `may be in 2 "Ort A" (2 of 2 sampled cells are domains), 3 "Ort B" (2 of 2 sampled cells are domains); without it, siglake would request by name (Firma); expected one column that is meant; fix: add --map domain="Ort A" or --map domain="Ort B" or --map name=Firma`},
		{name: "two columns, and the user wants names", text: "Firma,Ort A,Ort B\nAcme,acme.com,acme.de\nBeta,beta.com,beta.de\n", o: Options{Map: map[string]string{"name": "Firma"}},
			fields: map[string]string{"name": "Firma"}, note: `Ort A holds domains and is not used: --map domain="Ort A" uses it`},
		{name: "a known header needs no content", text: "Firma,Website,Ort B\nAcme,acme.com,acme.de\n", fields: map[string]string{"name": "Firma", "domain": "Website"}},
		{name: "pages are doubtful", text: "Firma,Stellen\nAcme,https://acme.com/karriere/jobs\nBeta,https://beta.com/jobs/list\n", fails: "--map domain=Stellen or --map name=Firma"},
		{name: "sites of many companies", text: "Firma,Seite\nAcme,https://www.facebook.com/acme\nBeta,https://www.facebook.com/beta\n",
			fields: map[string]string{"name": "Firma"}, note: "Seite holds domains and is not used: the addresses lie on sites that many companies share"},
		{name: "domains in some cells", text: "Firma,Netzort\nAcme,acme.com\nBeta,folgt noch\nGamma,gamma.de\n",
			fields: map[string]string{"name": "Firma"}, note: "Netzort holds domains and is not used: --map domain=Netzort uses it"},
		{name: "links that only their owner can open", text: "First Name,Last Name,Company,Lead\nAda,King,Acme,https://www.linkedin.com/sales/lead/ACwAA1\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "First Name", "last_name": "Last Name", "company_name": "Company"}, note: "no public profiles"},
		{name: "links into one system", text: "Firma,Eintrag\nAcme,https://crm.example/1\nBeta,https://crm.example/2\nGamma,https://crm.example/3\nDelta,https://crm.example/4\n",
			fields: map[string]string{"name": "Firma"}, note: "most of the addresses lie on one site"},
		{name: "another company's domain", text: "Company,Competitor Domain\nAcme,rival.com\nBeta,foe.com\n", fields: map[string]string{"name": "Company"}, note: "Competitor Domain holds domains and is not used: its header names another entity"},
		{name: "perhaps the company's domain", text: "Company,Partner Domain\nAcme,rival.com\nBeta,foe.com\n", fails: `--map domain="Partner Domain" or --map name=Company`},
		{name: "domain of e-mail addresses against another column", text: "Company,Email Domain,Netzort\nAcme,mail.acme.com,acme.com\nBeta,beta.net,beta.com\n",
			fails: `--map domain=Netzort or --map domain="Email Domain"`},
		{name: "domain of e-mail addresses alone", text: "Company,Email Domain\nAcme,acme.com\nBeta,beta.net\n", fields: map[string]string{"name": "Company", "domain": "Email Domain"}},
		{name: "names are domains", text: "Company\nacme.com\nbeta.com\n", fields: map[string]string{"domain": "Company"}, note: "Company is read as domain"},
		{name: "the domains are e-mail addresses", text: "Company,Domain\nAcme,ada@acme.com\nBeta,bo@beta.com\n", o: Options{Object: schema.Company},
			fields: map[string]string{"name": "Company", "domain": "Domain"}, note: "Domain holds e-mail addresses, not domains"},
		{name: "the domains of contacts are their addresses", text: "First Name,Last Name,Company,Domain\nAda,King,Acme,ada@acme.com\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "First Name", "last_name": "Last Name", "company_name": "Company", "email": "Domain"}, note: "Domain is read as email"},
		{name: "shifted header", text: "Company,Website,City\n1,Acme,acme.com\n2,Beta,beta.com\n", o: Options{Object: schema.Company},
			fields: map[string]string{"domain": "City"}, note: "Company is not used: the sample of it holds numbers"},
		{name: "an empty column of the right name", text: "Company,Website,Netzort\nAcme,,acme.com\nBeta,,beta.com\n", fields: map[string]string{"name": "Company", "domain": "Netzort"}, note: "Website is not used: the sample of it holds nothing"},
		{name: "two columns of one role", text: "Company,Website,Homepage\nAcme,acme.com,acme.com\nBeta,,beta.com\n", fields: map[string]string{"name": "Company", "domain": "Website"}, note: "Homepage is read where Website has no usable cell"},
		{name: "names of fields in an object", text: "company.name,company.site,company.city\nAcme,acme.com,Bonn\n", fields: map[string]string{"name": "company.name", "domain": "company.site"}},
		{name: "domains alike are no header", text: "acme.com,acme.de\nbeta.com,beta.de\n", fails: "both look like domain"},
		{name: "addresses only", text: "Email\nada@acme.com\n", o: Options{Object: schema.Company}, fails: "add --map domain=Email"},
		{name: "company pages under an unknown header", text: "Company,Link\nAcme,linkedin.com/company/acme\n", fields: map[string]string{"name": "Company"}, note: "Link holds LinkedIn company pages and is not used"},
		{name: "a fuller column", text: "Company,Website,Netzort\nAcme,acme.com,acme.com\nBeta,,beta.com\n", fields: map[string]string{"name": "Company", "domain": "Website"}, note: "--map domain=Netzort uses it"},
		{name: "addresses and domains under each other's header", text: "Company,Domain,Email\nAcme,ada@acme.com,acme.com\nBeta,bo@beta.com,beta.com\n", o: Options{Object: schema.Company}, fields: map[string]string{"name": "Company", "domain": "Email"}, note: "Email is read as domain"},
		{name: "a column without a header", text: "Company,,City\nAcme,acme.com,Bonn\nBeta,beta.com,Ulm\n", fields: map[string]string{"name": "Company", "domain": "column 2"}},
		{name: "company pages under a header", text: "LinkedIn,City\nlinkedin.com/company/acme,Bonn\n", fails: "LinkedIn company pages, which cannot be requested"},
		{name: "a title in the first of several cells", text: "Accounts,,\nAccount Name,Industry,City\nAcme,Tools,Bonn\n", fields: map[string]string{"name": "Account Name"}, note: "line 1 is above the header"},
		{name: "a header of --map below a title", text: "Export,,\nWer,Netz,Ort\nAcme,acme.com,Bonn\n", o: Options{Map: map[string]string{"domain": "Netz"}},
			fields: map[string]string{"domain": "Netz"}, note: "line 1 is above the header"},
		{name: "a website of profiles", text: "Name,Employer,Website\nAda King,Acme,https://linkedin.com/in/ada\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"name": "Name", "company_name": "Employer", "linkedin": "Website"}, note: "Website is read as linkedin"},
		{name: "a website of company pages", text: "Company,Website\nAcme,linkedin.com/company/acme\n", fields: map[string]string{"name": "Company"}, note: "Website holds LinkedIn company pages"},
		{name: "profiles under an unknown header", text: "Vorname;Nachname;Firma;Netzwerk\nAda;King;Acme;https://linkedin.com/in/ada\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "Vorname", "last_name": "Nachname", "company_name": "Firma", "linkedin": "Netzwerk"}, note: "Netzwerk is read as linkedin"},
		{name: "profiles of others", text: "First Name,Last Name,Company,Manager Profile\nAda,King,Acme,https://linkedin.com/in/boss\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "First Name", "last_name": "Last Name", "company_name": "Company"}, note: "another entity"},
		{name: "contacts by name beside two columns of domains", text: "First Name,Last Name,Company,A1,B1\nAda,King,Acme,acme.com,acme.de\n", o: Options{Object: schema.Contact},
			fails: "--map company_domain=A1 or --map company_domain=B1"},
		{name: "contacts by address beside two columns of domains", text: "First Name,Last Name,Company,Email,A1,B1\nAda,King,Acme,ada@acme.com,acme.com,acme.de\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "First Name", "last_name": "Last Name", "company_name": "Company", "email": "Email"}},
		{name: "ids of the API", text: "Firma,Kennzeichen\nAcme,v1.kJ8xQ2mmPq\nBeta,v1.aB9yR3nnQr\n", fields: map[string]string{"name": "Firma", "id": "Kennzeichen"}, note: "Kennzeichen is read as id"},
		{name: "a key of domains", text: "ID,Company\nacme.com,Acme\nbeta.com,Beta\n", fields: map[string]string{"key": "ID", "name": "Company", "domain": "ID"}, note: "ID is read as domain"},
		{name: "companies or contacts", text: "Firma,Kontaktweg\nAcme,ada@acme.com\n", fails: "--object=contact or --object=company"},
		{name: "contacts by content", text: "Wer,Kontaktweg\nAda,ada@acme.com\n", fields: map[string]string{"email": "Kontaktweg"}, note: "Kontaktweg is read as email"},
		{name: "companies by name beside addresses", text: "Firma,E-Mail\nAcme,ada@acme.com\n", o: Options{Object: schema.Company}, fields: map[string]string{"name": "Firma"}, note: "--map domain=E-Mail requests them by the domains"},
		{name: "the first column is empty", text: "Company,Domain,Website\nAcme,,acme.com\nBeta,,beta.com\n", fields: map[string]string{"name": "Company", "domain": "Domain"}, note: "Website is read where Domain has no usable cell"},
		{name: "a sorted list", text: "Company,Website,Website 2\n" + numbered(120, "Acme %[1]d,n/a,acme%[1]d-shop.com\n") + "Beta,beta.com,beta-shop.com\n",
			fields: map[string]string{"name": "Company", "domain": "Website"}, note: "Website 2 is read where Website has no usable cell"},
		{name: "a sorted list in words", text: "Company,Website,Website 2\n" + numbered(120, "Acme %[1]d,no website yet,acme%[1]d-shop.com\n") + "Beta,beta.com,beta-shop.com\n",
			fields: map[string]string{"name": "Company", "domain": "Website"}, note: "Website 2 is read where Website has no usable cell"},
		{name: "a sorted list with domains of addresses", text: "Name,Website,Email domain\n" + numbered(120, "Acme %[1]d,,acme%[1]d.com\n") + "Beta,beta.com,mail-beta.com\n", o: Options{Object: schema.Company},
			fields: map[string]string{"name": "Name", "domain": "Website"}, note: "Email domain is read where Website has no usable cell"},
		{name: "one cell in nine", text: "Company,Website,Homepage\n" + numbered(9, "Acme %[1]d,acme%[1]d.com,acme%[1]d-shop.com\nBeta %[1]d,later,\n"), fields: map[string]string{"name": "Company", "domain": "Website"}, note: "Homepage is read where Website has no usable cell"},
		{name: "records in a CRM", text: "Company,Website,URL\nAcme,acme.com,https://app.pipedrive.com/1\nBeta,,https://app.pipedrive.com/2\n", fields: map[string]string{"name": "Company", "domain": "Website"}, note: "URL is not used: its addresses are those of pages"},
		{name: "records in a CRM under a suffix", text: "Company,Website,URL\nAcme,acme.com,https://crm.us.com/1\nBeta,later,https://crm.us.com/2\n", fields: map[string]string{"name": "Company", "domain": "Website"}, note: "URL is not used: all of its addresses lie on one site"},
		{name: "one record in a CRM", text: "Company,Website,URL\nAcme,acme.com,https://crm.mycorp.com/1\nBeta,later,\n", fields: map[string]string{"name": "Company", "domain": "Website"}, note: "URL is not used: its addresses are those of pages"},
		{name: "the account of a person", text: "First Name,Last Name,Email,Account Id\nAda,King,ada@lov.org,7\nBo,Li,bo@lov.org,8\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "First Name", "last_name": "Last Name", "email": "Email", "key": "Account Id"}},
		{name: "the account of an employer", text: "First Name,Last Name,Email,Account Id\nAda,King,ada@lov.org,7\nBo,Li,bo@lov.org,7\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "First Name", "last_name": "Last Name", "email": "Email"}, note: "Account Id is not used: it is the id of the employer"},
		{name: "given name and name", text: "Vorname;Name;Firma\nAda;King;Acme\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "Vorname", "last_name": "Name", "company_name": "Firma"}},
		{name: "given name and full name", text: "Vorname;Name;Firma\nAda;Ada King;Acme\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "Vorname", "name": "Name", "company_name": "Firma"}},
		{name: "nom and prénom", text: "Nom;Prénom;Société\nKing;Ada;Acme\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "Prénom", "last_name": "Nom", "company_name": "Société"}},
		{name: "nombre and apellidos", text: "Nombre;Apellidos;Empresa\nAda;King;Acme\n", o: Options{Object: schema.Contact},
			fields: map[string]string{"first_name": "Nombre", "last_name": "Apellidos", "company_name": "Empresa"}},
		{name: "nombre alone", text: "Nombre;Web\nAcme;acme.es\n", o: Options{Object: schema.Company}, fields: map[string]string{"name": "Nombre", "domain": "Web"}},
		{name: "a quoted --map", text: "Firma,\"Ort, A\",Ort$B\nAcme,acme.com,acme.de\n", fails: "add --map domain=2 or --map domain=3"},
		{name: "no header, one usable column of two", text: "Acme,acme.com,https://www.facebook.com/acme\nBeta,beta.com,https://www.facebook.com/beta\n", fields: map[string]string{"domain": "column 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Stdin = strings.NewReader(c.text)
			l, err := Open(context.Background(), "-", c.o)
			if err != nil {
				if c.fails == "" || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("Open() = %v, want an error with %q", err, c.fails)
				}
				return
			}
			defer l.Close()
			in := l.Input()
			if c.fails != "" {
				t.Fatalf("Open() reads %v, want an error with %q", in.Mapping, c.fails)
			}
			if len(in.Mapping) != len(c.fields) {
				t.Errorf("read as %v, want %v", in.Mapping, c.fields)
			}
			for f, column := range c.fields {
				if in.Mapping[f] != column {
					t.Errorf("%s = %q, want %q", f, in.Mapping[f], column)
				}
			}
			if notes := strings.Join(in.Notes, "\n"); !strings.Contains(notes, c.note) {
				t.Errorf("notes are\n%s\nwant one with %q", notes, c.note)
			}
		})
	}
}

// numbered are n lines with their numbers in them.
func numbered(n int, line string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, line, i)
	}
	return text.String()
}

// TestContentOfManyFiles: a file with few domains is read like another one with the same header.
func TestContentOfManyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"1.csv": "Firma,Netzort\nAcme,acme.com\nBeta,beta.com\n",
		"2.csv": "Firma,Netzort\nGamma,gamma.de\nDelta,folgt\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(context.Background(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var got []string
	for a, err := range l.Accounts(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, a.Domain)
	}
	if want := []string{"acme.com", "beta.com", "gamma.de", ""}; !slices.Equal(got, want) {
		t.Errorf("domains are %q, want %q", got, want)
	}
}

// TestObjectOfManyFiles: files with one header are read as one object, whatever the content of each decides.
func TestObjectOfManyFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.csv": "Company,Website,Email\nA,a-test.com,info@a-test.com\n",
		"b.csv": "Company,Website,Email\nB,b-test.com,ada@b-test.com\n",
		"c.csv": "Company,Website,Email\nC,c-test.com,ada@c-test.com\nD,d-test.com,info@d-test.com\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	l, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(a.Object)+" "+a.Domain)
	}
	if diff := cmp.Diff([]string{"company a-test.com", "company b-test.com", "company c-test.com", "company d-test.com"}, got); diff != "" || l.Input().OtherObject != schema.Contact {
		t.Errorf("accounts (-want +got), which could be %q:\n%s", l.Input().OtherObject, diff)
	}
}
