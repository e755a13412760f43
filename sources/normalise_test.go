package sources

import (
	"strings"
	"testing"
)

// normalised is one row of a table: want is the value, note and fails are parts of the note and of
// the error.
type normalised struct{ in, want, note, fails string }

func (c normalised) check(t *testing.T, name string, f func(string) (string, string, error)) {
	t.Helper()
	got, note, err := f(c.in)
	switch {
	case c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)):
		t.Errorf("%s(%q) = %q, %v, want an error that contains %q", name, c.in, got, err, c.fails)
	case c.fails == "" && err != nil:
		t.Errorf("%s(%q) = error %v, want %q", name, c.in, err, c.want)
	case c.fails == "" && got != c.want:
		t.Errorf("%s(%q) = %q, want %q", name, c.in, got, c.want)
	case c.note == "" && note != "" && err == nil, !strings.Contains(note, c.note):
		t.Errorf("%s(%q) has note %q, want %q", name, c.in, note, c.note)
	}
}

func TestDomain(t *testing.T) {
	label := strings.Repeat("a", 63)
	for _, c := range []normalised{
		{in: "acme.com", want: "acme.com"},
		{in: " ACME.Com. ", want: "acme.com"},
		{in: "www.acme.com", want: "acme.com"},
		{in: "www2.acme.com", want: "acme.com"},
		{in: "https://user:pw@www.acme.co.uk:8443/jobs?x=a@b#c", want: "acme.co.uk"},
		{in: `http:\\acme.com\jobs`, want: "acme.com"},
		{in: "https//acme.com", want: "acme.com"},
		{in: "//acme.com", want: "acme.com"},
		{in: "acme.com/a/b,c", want: "acme.com"},
		{in: "http.com", want: "http.com"},
		{in: "careers.acme.com", want: "acme.com", note: "careers.acme.com reduced to acme.com"},
		{in: "www.careers.acme.com", want: "acme.com", note: "reduced to acme.com"},
		{in: "acme.com; acme.de", want: "acme.com", note: "first of 2"},
		{in: "ada@acme.com", want: "acme.com", note: "e-mail"},
		{in: "mailto:ada@mail.acme.com", want: "acme.com", note: "mail.acme.com reduced"},
		{in: "ada@gmail.com", fails: "free mail"},
		{in: "gmail.com", fails: "free mail"},
		{in: "https://mail.yahoo.co.uk/inbox", fails: "free mail"},
		{in: "zoho.com", want: "zoho.com"},
		{in: "ada@zoho.com", fails: "free mail"},
		{in: "Ada <ada@acme.com>, Bo <bo@beta.com>", want: "acme.com", note: "first of 2"},
		{in: "smtp:ada@acme.com", want: "acme.com", note: "e-mail"},
		{in: "bücher.de", want: "xn--bcher-kva.de", note: "written xn--bcher-kva.de"},
		{in: "XN--BCHER-KVA.de", want: "xn--bcher-kva.de"},
		{in: "xn--a.de", fails: "international"},
		{in: "acme.github.io", fails: "acme.github.io is a shared host"},
		{in: "github.io", want: "github.io"},
		{in: "shop.acme.uk.com", want: "acme.uk.com", note: "reduced"},
		{in: "uk.com", fails: "public suffix uk.com"},
		{in: "www.blogspot.com", want: "blogspot.com"},
		{in: "www.net.cn", want: "www.net.cn"},
		{in: "https://jobs.lever.co/acme", fails: "jobs.lever.co is an applicant-tracking site"},
		{in: "acme.bamboohr.com", fails: "applicant-tracking"},
		{in: "greenhouse.io", want: "greenhouse.io"},
		{in: "https://www.greenhouse.io/", want: "greenhouse.io"},
		{in: "https://github.com/acme", fails: "code host"},
		{in: "https://github.com/about", want: "github.com"},
		{in: "https://about.github.com/about", fails: "code host"},
		{in: "ada@linkedin.com", want: "linkedin.com", note: "e-mail"},
		{in: "https://www.google.com/maps/place/acme", fails: "directory"},
		{in: "https://google.com/careers", want: "google.com"},
		{in: "https://www.google.de/maps/place/acme", fails: "directory"},
		{in: "acme.jimdofree.com", fails: "site builder"},
		{in: "zendesk.com", want: "zendesk.com"},
		{in: "help.acme.zendesk.com", fails: "software service"},
		{in: "w.w.w.acme.com", want: "acme.com"},
		{in: "www.acme", fails: "single word"},
		{in: "acme\x01beta.com", fails: "space"},
		{in: "https://eur01.safelinks.protection.outlook.com/?url=https%3A%2F%2Fwww.acme.com%2Fx&data=05%7C01", want: "acme.com", note: "by way of eur01.safelinks.protection.outlook.com leads to www.acme.com"},
		{in: "co.uk", fails: "public suffix co.uk"},
		{in: "com", fails: "single word"},
		{in: "localhost", fails: "single word"},
		{in: "db.internal", fails: "private networks"},
		{in: "10.0.0.1", fails: "IP address"},
		{in: "http://[::1]/", fails: "IP address"},
		{in: "1.2.3", fails: "ends in a number"},
		{in: "acme com", fails: "space"},
		{in: "acme..com", fails: "empty part"},
		{in: "acme-.com", fails: "hyphen"},
		{in: "a_b.acme.com", want: "acme.com", note: "reduced"},
		{in: "a_b.com", fails: "underscore"},
		{in: label + "a.com", fails: "64 characters"},
		{in: label + ".com", want: label + ".com"},
		{in: strings.Repeat(label+".", 4) + "com", fails: "at most 253"},
		{in: "acme.example", want: "acme.example", note: ".example is not on the public suffix list"},
		{in: "https://", fails: "no host"},
		{in: "", fails: "no host"},
	} {
		c.check(t, "Domain", Domain)
	}
}

func TestLinkedIn(t *testing.T) {
	const ada = "https://www.linkedin.com/in/ada-king"
	for _, c := range []normalised{
		{in: ada, want: ada},
		{in: "HTTP://UK.LinkedIn.com/in/Ada-King/?trk=x#y", want: ada},
		{in: "linkedin.com/in/ada-king/de/details/skills", want: ada},
		{in: "/in/ada-king", want: ada},
		{in: "https://www.linkedin.com/in/ada%2Dking", want: ada},
		{in: "linkedin.com/in/ren%c3%a9", want: "https://www.linkedin.com/in/ren%C3%A9"},
		{in: "linkedin.com/in/rene\u0301", want: "https://www.linkedin.com/in/ren%C3%A9"},
		{in: "linkedin.com/pub/ada-king/a7/576/b50", want: ada + "-b50576a7", note: "old public address"},
		{in: "linkedin.com/pub/ada-king/0/12/3", fails: "old public address"},
		{in: "linkedin.com/comm/in/ada-king", want: ada},
		{in: "linkedin.com/in/ada%2520king", fails: "' '"},
		{in: "linkedin.com/in/ren%25C3%25A9", want: "https://www.linkedin.com/in/ren%C3%A9"},
		{in: "linkedin.com/in/unavailable/", fails: "no person's profile"},
		{in: "linkedin.com/in/me", fails: "no person's profile"},
		{in: "https://www.linkedin.com/authwall?trk=x&sessionRedirect=https%3A%2F%2Fwww.linkedin.com%2Fin%2Fada-king", want: ada, note: "leads to it"},
		{in: "linkedin.com/in/ACoAAB12xY", want: "https://www.linkedin.com/in/ACoAAB12xY", note: "internal"},
		{in: "linkedin.com/sales/people/x,y", fails: "Sales Navigator"},
		{in: "linkedin.com/company/acme", fails: "company page"},
		{in: "linkedin.com/talent/profile/x", fails: "Recruiter"},
		{in: "linkedin.com/in/a%2Fb", fails: "'/'"},
		{in: "linkedin.com/in/%ff", fails: "percent"},
		{in: "linkedin.com/in", fails: "no profile"},
		{in: "linkedin.com", fails: "no profile"},
		{in: "evil-linkedin.com/in/ada", fails: "not LinkedIn"},
		{in: "ada@linkedin.com", fails: "not a LinkedIn address"},
	} {
		c.check(t, "LinkedIn", LinkedIn)
	}
}

func TestEmail(t *testing.T) {
	for _, c := range []normalised{
		{in: "ada@acme.com", want: "ada@acme.com"},
		{in: "  Ada.K+x@Mail.Acme.COM. ", want: "ada.k+x@mail.acme.com"},
		{in: `"King, Ada" <ada@acme.com>`, want: "ada@acme.com"},
		{in: "ada@bücher.de", want: "ada@xn--bcher-kva.de", note: "written"},
		{in: "a@acme.com, b@acme.com", want: "a@acme.com", note: "first of 2"},
		{in: "ada@gmail.com", want: "ada@gmail.com"},
		{in: "Ada King <ada@acme.com>, Bo Lund <bo@beta.com>", want: "ada@acme.com", note: "first of 2"},
		{in: `"King, Ada" <ada@acme.com>; Bo <bo@beta.com>`, want: "ada@acme.com", note: "first of 2"},
		{in: "King, Ada <ada@acme.com>", want: "ada@acme.com"},
		{in: "ada@acme.com ::: bo@beta.com", want: "ada@acme.com", note: "first of 2"},
		{in: "ada@acme.com / bo@beta.com|cy@beta.com", want: "ada@acme.com", note: "first of 3"},
		{in: "ada@acme.com; ADA@acme.com", want: "ada@acme.com"},
		{in: "SMTP:ada@acme.com", want: "ada@acme.com"},
		{in: "smtp:a@acme.com;SMTP:ada@acme.com;X500:/o=Acme/cn=ada@x", want: "ada@acme.com", note: "primary of 2"},
		{in: "X500:/o=Acme/cn=ada;smtp:ada@acme.com", want: "ada@acme.com"},
		{in: "E-Mail: ada@acme.com (work)", want: "ada@acme.com"},
		{in: "[ada@acme.com](mailto:ada@acme.com)", want: "ada@acme.com"},
		{in: "ada\x01bo@acme.com", fails: "not one"},
		{in: "ada", fails: "not an e-mail"},
		{in: "ada@", fails: "not an e-mail"},
		{in: "@acme.com", fails: "nothing before"},
		{in: "a..b@acme.com", fails: "dot"},
		{in: "ada@co.uk", fails: "public suffix"},
		{in: "ada@10.0.0.1", fails: "IP address"},
		{in: strings.Repeat("a", 65) + "@acme.com", fails: "at most 64"},
		{in: "ada king@acme.com", fails: "not one"},
	} {
		c.check(t, "Email", Email)
	}
}

func TestName(t *testing.T) {
	for _, c := range []normalised{
		{in: " Acme\u00a0\u200b  Holdings\t", want: "Acme Holdings"},
		{in: "E\u0301toile", want: "Étoile"},
		{in: "Acme\x00\x1b Inc", want: "Acme Inc"},
		{in: "Ac\u0081me", fails: "U+0081"},
		{in: "(Class A)", fails: "no letter"},
		{in: "Alphabet Inc. (Class A)", want: "Alphabet Inc.", note: "dropped"},
		{in: "News Corp (class b)", want: "News Corp", note: "dropped"},
		{in: "Coca-Cola Company (The)", want: "Coca-Cola Company (The)"},
		{in: "Master (Class Action)", want: "Master (Class Action)"},
		{in: "7-Eleven", want: "7-Eleven"},
		{in: "株式会社", want: "株式会社"},
		{in: "!!", fails: "no letter"},
		{in: "A\ufffdB", fails: "U+FFFD"},
		{in: "http://acme.com", fails: "URL"},
		{in: strings.Repeat("é", 255), want: strings.Repeat("é", 255)},
		{in: strings.Repeat("é", 256), fails: "longer than 255"},
	} {
		c.check(t, "Name", Name)
	}
}

func TestFullName(t *testing.T) {
	for _, c := range []normalised{
		{in: " Ada  King ", want: "Ada King"},
		{in: "Ada", fails: "one part"},
		{in: "- -", fails: "no letter"},
	} {
		c.check(t, "FullName", FullName)
	}
}

func TestID(t *testing.T) {
	for _, c := range []normalised{
		{in: "70114455", want: "70114455"},
		{in: "9223372036854775807", want: "9223372036854775807"},
		{in: "00123", want: "123", note: "leading zeros"},
		{in: "'00123", want: "123", note: "leading zeros"},
		{in: "70114455.0", want: "70114455", note: "decimal"},
		{in: "9007199254740993.0", fails: "spreadsheet"},
		{in: "7.0114455E7", fails: "spreadsheet"},
		{in: "70,114,455", fails: "spreadsheet"},
		{in: "000", fails: "zero"},
		{in: "v1.a-B_c=", want: "v1.a-B_c="},
		{in: "v1.", fails: "not a Lusha id"},
		{in: "v1.a b", fails: "not a Lusha id"},
		{in: "12345678901234567890", fails: "20 digits"},
		{in: "", fails: "not a Lusha id"},
	} {
		c.check(t, "ID", ID)
	}
}

// checkStable checks that normalising a normalised value changes nothing, so that an account is the
// same entity however often it passes through siglake.
func checkStable(t *testing.T, name, in string, f func(string) (string, string, error)) {
	t.Helper()
	once, _, err := f(in)
	if err != nil {
		return
	}
	if twice, _, err := f(once); err != nil || twice != once {
		t.Errorf("%s(%q) = %q, normalised again %q, %v", name, in, once, twice, err)
	}
}

func FuzzDomain(f *testing.F) {
	for _, s := range []string{"acme.com", "https://www.careers.acme.co.uk:80/x", "ada@acme.com", "bücher.de", "a.com, b.com", `http:\\x.y\z`, "[::1]", "日本語。jp", "xn--a.de"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkStable(t, "Domain", s, Domain)
		d, _, err := Domain(s)
		if err == nil && (!strings.Contains(d, ".") || strings.ToLower(d) != d || strings.ContainsAny(d, " /@:_") || len(d) > 253) {
			t.Errorf("Domain(%q) = %q, want a lower-case domain", s, d)
		}
	})
}

func FuzzLinkedIn(f *testing.F) {
	for _, s := range []string{"linkedin.com/in/ada", "https://uk.linkedin.com/pub/ada/a7/576/b50", "in/ren%C3%A9", "linkedin.com/in/ACoAAx", "lnkd.in/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkStable(t, "LinkedIn", s, LinkedIn)
		p, _, err := LinkedIn(s)
		if slug, ok := strings.CutPrefix(p, "https://www.linkedin.com/in/"); err == nil && (!ok || slug == "" || strings.ContainsAny(slug, "/ ?#")) {
			t.Errorf("LinkedIn(%q) = %q, want a profile", s, p)
		}
	})
}

func FuzzEmail(f *testing.F) {
	for _, s := range []string{"ada@acme.com", "Ada <a@b.co>", "a@b.com;c@d.com", "ada@bücher.de", "mailto:a@b.c?x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkStable(t, "Email", s, Email)
		if e, _, err := Email(s); err == nil && (strings.Count(e, "@") != 1 || strings.ToLower(e) != e) {
			t.Errorf("Email(%q) = %q, want one lower-case address", s, e)
		}
	})
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"Acme (Class A)", "A\u200bB", "E\u0301", "Acme (Class A) (Class B)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkStable(t, "FullName", s, FullName)
		checkStable(t, "ID", s, ID)
		if n, _, err := Name(s); err == nil && (n == "" || n != strings.TrimSpace(n) || strings.ContainsAny(n, "\n\r\t\x00")) {
			t.Errorf("Name(%q) = %q, want a trimmed line", s, n)
		}
	})
}
