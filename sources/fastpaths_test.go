package sources

import (
	"bytes"
	"context"
	"fmt"
	"hash/maphash"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"

	"github.com/siglake/siglake/schema"
)

// oddCells are at the edges of the fast paths.
var oddCells = []string{"", "=", "#", "# ", "İ", "ß", "ǅ", "ﬁ", "e\u0301", "\u00ad", "a\u00a0b", "Ⅷ", "１２", "acme.com:", "http://", "https://.", "www.acme.com.", "http://a..b", "x@y.z",
	"HTTPS://Acme.COM/Über", "acme-.com", "-acme.com", "xn--mller-kva.de", "müller-.de", "mü--ller.de", "MÜLLER.de", "straße.de", "ÿ÷.de", "a.b.google.co.uk/maps", "maps.google.de", "hotmail.fr", "yahoo.co.jp",
	"Müller & Söhne GmbH & Co. KG", "Société Générale S.A.", "Łódź Sp. z o.o.", "Ltd.", "AB Volvo", "L'Oréal", "Æon Ærø", "SÃ¼d", "k.A.", "K.Ä.", "Kéine Angabé", "1.5E+3", "1e5", "7,0", "-1.0"}

// corpusCells are the cells of the malformed lists, and parts of them, without duplicates.
func corpusCells(tb testing.TB) []string {
	tb.Helper()
	files, err := filepath.Glob(filepath.Join(accounts, "*", "*"))
	if err != nil {
		tb.Fatal(err)
	}
	cells := slices.Clone(oddCells)
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil || len(data) > 1<<16 || bytes.IndexByte(data, 0) >= 0 {
			continue
		}
		for line := range strings.Lines(string(data)) {
			cells = append(cells, line)
			cells = append(cells, strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(",;\t\r\n", r) })...)
		}
	}
	slices.Sort(cells)
	return slices.Compact(cells)
}

// TestFastPaths: what most cells take is what all cells could take.
func TestFastPaths(t *testing.T) {
	t.Parallel()
	for _, s := range corpusCells(t) {
		checkFastPaths(t, s)
	}
	for r := range rune(0x2a0) {
		checkFastPaths(t, string(r))
		checkFastPaths(t, "a"+string(r)+".de")
		checkFastPaths(t, "No "+string(r)+" N"+string(r)+"ne")
	}
}

// FuzzFastPaths is TestFastPaths for any text.
func FuzzFastPaths(f *testing.F) {
	for _, s := range oddCells {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkFastPaths(t, s) })
}

func checkFastPaths(t *testing.T, s string) {
	t.Helper()
	if a, ok := plainAddress(s); ok {
		if slow, err := parseAnyAddress(s); err != nil || a != slow {
			t.Errorf("plainAddress(%q) = %+v, want %+v, %v", s, a, slow, err)
		}
	}
	if isPlainInternational(s) {
		slow, slowErr := idnaProfile.ToASCII(s)
		if got, err := asciiHost(s); got != strings.Trim(slow, ".") || (err == nil) != (slowErr == nil) {
			t.Errorf("asciiHost(%q) = %q, %v, want %q, %v", s, got, err, slow, slowErr)
		}
	}
	page := firstElement(s)
	for host := range strings.FieldsSeq(s) {
		fast, _ := lookup(sites.shared, host, page)
		if slow, _ := lookupEntry(sites.shared, host, page); fast != slow {
			t.Errorf("lookup(%q, %q) = %v, want %v", host, page, fast, slow)
		}
		_, fastWrap := lookup(sites.wrappers, host, page)
		if _, slow := lookupEntry(sites.wrappers, host, page); fastWrap != slow {
			t.Errorf("lookup(%q, %q) among wrappers = %t, want %t", host, page, fastWrap, slow)
		}
	}
	if got, want := tidyText(s), tidyAnyText(s); got != want {
		t.Errorf("tidyText(%q) = %q, want %q", s, got, want)
	}
	if got, want := mojibake(s), anyMojibake(s); got != want {
		t.Errorf("mojibake(%q) = %t, want %t", s, got, want)
	}
	if got, want := foldLetters(s), foldAnyLetters(strings.ToLower(s)); got != want {
		t.Errorf("foldLetters(%q) = %q, want %q", s, got, want)
	}
	words := strings.Join(nameWords(s), "")
	if got := joinedWords(s); got != words {
		t.Errorf("joinedWords(%q) = %q, want %q", s, got, words)
	}
	written := strings.Join(nameWords(hostUmlauts.Replace(strings.ToLower(norm.NFC.String(s)))), "")
	if written == words {
		written = ""
	}
	if plain, long := spellings(s); plain != words || long != written {
		t.Errorf("spellings(%q) = %q, %q, want %q, %q", s, plain, long, words, written)
	}
	if got, want := isMangled(s), len(s) > 1 && strings.Trim(s, "#") == "" || scientific.MatchString(s) || decimal.MatchString(s); got != want {
		t.Errorf("isMangled(%q) = %t, want %t", s, got, want)
	}
	if got, want := isOtherFormula(s), otherFormula.MatchString(s); got != want {
		t.Errorf("isOtherFormula(%q) = %t, want %t", s, got, want)
	}
	if got, want := isPlaceholder(s), isSlowPlaceholder(s); got != want {
		t.Errorf("isPlaceholder(%q) = %t, want %t", s, got, want)
	}
	var b strings.Builder
	for _, r := range s {
		if got, want := runeClassOf(r), classifyRune(r); got != want {
			t.Errorf("runeClassOf(%q) = %d, want %d", r, got, want)
		}
		foldAnyRune(&b, r)
	}
	var fast strings.Builder
	for _, r := range s {
		foldRune(&fast, r)
	}
	if fast.String() != b.String() {
		t.Errorf("foldRune of %q writes %q, want %q", s, fast.String(), b.String())
	}
}

// isSlowPlaceholder is isPlaceholder by what the sets hold alone.
func isSlowPlaceholder(s string) bool {
	n := notAccounts
	switch {
	case len(s) > n.longest+len("[[]] ."):
		return false
	case s == `\N`, s == `\n`, strings.Trim(s, "-–—_.?* ") == "":
		return true
	case strings.HasPrefix(s, "#") && n.isError(s), n.abbreviations[strings.ToLower(s)]:
		return true
	case strings.ContainsAny(s, "0123456789"):
		return n.placeholders[strings.ToLower(s)]
	case strings.HasPrefix(s, "#"):
		return false
	}
	folded := strings.ReplaceAll(foldWords(s), " ", "")
	return folded != "" && n.placeholders[folded]
}

// TestPlaceholdersFit: no placeholder is longer than what isPlaceholder looks at.
func TestPlaceholdersFit(t *testing.T) {
	t.Parallel()
	if n := notAccounts.longest + len("[[]] ."); n > maxPlaceholder {
		t.Errorf("the longest placeholder needs %d bytes, more than the limit of %d", n, maxPlaceholder)
	}
}

// TestListedHostsHaveDots: an entry of one label would escape mayList.
func TestListedHostsHaveDots(t *testing.T) {
	t.Parallel()
	for end := range sites.ends {
		if strings.Count(end, ".") != 1 {
			t.Errorf("sites.txt has an entry that ends in %q, want two labels", end)
		}
	}
	for _, entry := range []string{"acme.jimdofree.com", "www.google.co.uk", "mail.yahoo.co.jp"} {
		if !sites.mayList(entry) {
			t.Errorf("mayList(%q) = false, want true", entry)
		}
	}
	if suffix, _ := publicsuffix.PublicSuffix("acme.de"); sites.mayList("acme." + suffix) {
		t.Error("mayList(acme.de) = true, want false: every line of every list would take the slow path")
	}
}

// TestSearchClash: the light search finds the claims that whole accounts have.
func TestSearchClash(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob(filepath.Join(accounts, "*", "*"))
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range files {
		light, whole := &Clashes{seed: maphash.MakeSeed()}, &Clashes{}
		whole.seed = light.seed
		l, err := Open(t.Context(), file, Options{Clashes: light})
		if err != nil || !l.canClash {
			continue
		}
		f := l.first
		for {
			rec, err := f.csv.next()
			if err != nil {
				break
			}
			f.layout.clashes = light
			f.layout.parseAccount(&rec)
			f.layout.clashes = whole
			r := rowParser{layout: &f.layout, cells: rec.cells, account: &schema.Account{Object: f.layout.object}}
			if rec.fault == nil && r.checkRecord(&rec) == nil {
				if f.layout.object == schema.Contact {
					r.readContact()
				} else {
					r.readCompany()
				}
			}
			lines++
		}
		if diff := cmp.Diff(whole.claims, light.claims, cmp.AllowUnexported(claim{})); diff != "" {
			t.Errorf("claims of %s (-want +got):\n%s", file, diff)
		}
		_ = l.Close()
	}
	if lines < 500 {
		t.Errorf("%d lines of lists whose lines can clash, want 500 at least", lines)
	}
}

// BenchmarkKinds reads lists of 20,000 lines of several kinds: no kind should cost more than twice as much a line as the
// plain one.
func BenchmarkKinds(b *testing.B) {
	const lines = 20_000
	kinds := []struct{ name, header, line string }{
		{"plain", "id,company,website,city", "%[1]d,Acme Holdings %[1]d,https://www.acme-%[1]d.com/about,Bonn"},
		{"people", "First Name,Last Name,Email,LinkedIn URL,Company", "Anna,Kramer%[1]d,anna.k%[1]d@acme-%[1]d.com,https://www.linkedin.com/in/anna-k-%[1]x/,Acme Holdings %[1]d"},
		{"quoted umlauts", "Kundennummer;Firma;Website;Ort", `"K%[1]d";"Müller & Söhne ""%[1]d"" GmbH";"http://www.mueller-%[1]d.de";"Köln"`},
		{"international", "id,company,website,city", "%[1]d,Müller Söhne %[1]d,https://www.müller-%[1]d.de/über,Köln"},
		{"names", "id,company,city,owner,type", "%[1]d,\"Acme Holdings %[1]d, Inc.\",Bonn,Jane Doe,Prospect"},
		{"bare names", "", "Acme Holdings %[1]d"},
		{"shared sites", "id,company,website,city", "%[1]d,Acme Holdings %[1]d,https://acme%[1]d.myshopify.com/,Bonn"},
	}
	for _, k := range kinds {
		var list bytes.Buffer
		if k.header != "" {
			list.WriteString(k.header + "\n")
		}
		for i := range lines {
			fmt.Fprintf(&list, k.line+"\n", i)
		}
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				l, err := Open(context.Background(), "-", Options{Stdin: bytes.NewReader(list.Bytes())})
				if err != nil {
					b.Fatal(err)
				}
				n := 0
				for _, err := range l.Accounts(context.Background()) {
					if err != nil {
						b.Fatal(err)
					}
					n++
				}
				if n != lines {
					b.Fatalf("read %d accounts, want %d", n, lines)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(lines)/float64(b.N), "ns/line")
		})
	}
}
