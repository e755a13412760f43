package sources

import (
	"context"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/siglake/siglake/schema"
)

// TestRoles makes 300 lists with headers of the vocabulary, in all languages, in the spellings and
// with the prefixes of exporters, among columns of other meaning, in any order. A list is right if
// every line is requested by the identifier that was put into it; it may stop with a --map line that
// reads it. Nothing may be requested by anything else.
func TestRoles(t *testing.T) {
	t.Parallel()
	const lists = 300
	right, stopped, wrong := 0, 0, 0
	for i := range lists {
		g := &listMaker{Rand: rand.New(rand.NewPCG(14, uint64(i))), language: languages[i%len(languages)]}
		g.makeList(i/len(languages)%2 == 0)
		switch verdict := g.read(t, nil); {
		case verdict == "":
			right++
		case strings.HasPrefix(verdict, "stopped"):
			stopped++
			t.Logf("list %d (%s): %s\n%s", i, g.language, verdict, g.text())
		default:
			wrong++
			t.Errorf("list %d (%s): %s\n%s", i, g.language, verdict, g.text())
		}
	}
	t.Logf("of %d lists %d (%.1f%%) are read right, %d stop with a --map line that works, %d are wrong", lists, right, float64(100*right)/lists, stopped, wrong)
	if right*100 < lists*98 {
		t.Errorf("%d of %d lists are read right, want at least 98%%", right, lists)
	}
}

// listMaker makes one list.
type listMaker struct {
	*rand.Rand
	language string
	object   schema.Object
	auto     bool // the object is not given
	columns  []testColumn
	want     []string // identifiers to request, by row
}

type testColumn struct {
	header string
	cells  []string
}

const testRows = 6

// makeList chooses the columns. One list in fifty is ambiguous on purpose.
func (g *listMaker) makeList(companies bool) {
	g.want = make([]string, testRows)
	g.object, g.auto = schema.Contact, g.IntN(4) == 0
	if companies {
		g.object = schema.Company
		g.makeCompanies()
	} else {
		g.makeContacts()
	}
	g.addOthers()
	g.Shuffle(len(g.columns), func(i, j int) { g.columns[i], g.columns[j] = g.columns[j], g.columns[i] })
}

func (g *listMaker) makeCompanies() {
	if g.IntN(3) > 0 {
		g.add(g.header("Organization - ", "Account: ", roleKey), func(i int) string { return fmt.Sprint("K-", i) })
	}
	if g.IntN(4) == 0 { // of offices, which companies have, too
		office := []string{"info", "kontakt", "ventas", "no-reply"}[g.IntN(4)]
		g.add(g.header("Organization - ", "Account: ", roleEmail), func(i int) string { return office + "@" + testDomain(i) })
	}
	named, site := g.IntN(5) > 0, g.IntN(6) > 0
	if named || !site {
		g.add(g.header("Organization - ", "Company: ", roleOrganisation), testName)
	}
	if !site {
		for i := range g.want {
			g.want[i] = testName(i)
		}
		return
	}
	header := g.header("Organization - ", "Account: ", roleSite)
	if g.IntN(5) == 0 {
		header = g.unknown()
		if named && g.IntN(5) == 0 {
			g.add(g.unknown()+" 2", func(i int) string { return fmt.Sprintf("other-%d-test.com", i) })
		}
	}
	empty := -1
	if named && g.IntN(4) == 0 {
		empty = g.IntN(testRows)
	}
	spelling := g.IntN(3)
	g.add(header, func(i int) string {
		if i == empty {
			return ""
		}
		return []string{"", "https://www.", "www."}[spelling] + testDomain(i)
	})
	for i := range g.want {
		if g.want[i] = testDomain(i); i == empty {
			g.want[i] = testName(i)
		}
	}
	if g.IntN(3) == 0 {
		m, _, ok := meaningOf(header)
		if h := g.header("", "", roleSite); ok && m.rank < rankEmailDomain {
			if w, _, _ := meaningOf(h); w.rank >= rankEmailDomain { // a domain of e-mail addresses ranks below
				g.add(h, func(int) string { return "gmail.com" })
			}
		}
	}
}

func (g *listMaker) makeContacts() {
	if g.IntN(2) == 0 {
		g.add(g.header("Person - ", "Contact: ", rolePersonKey), func(i int) string { return fmt.Sprint("P-", i) })
	}
	if g.IntN(2) == 0 {
		g.add(g.header("Person - ", "Contact: ", rolePerson), testPerson)
	} else {
		last := roleLastName
		if g.language == "fr" && g.IntN(2) == 0 {
			last = roleNameOrLast
		}
		g.add(g.header("Person - ", "Contact: ", roleFirstName), func(i int) string { first, _, _ := strings.Cut(testPerson(i), " "); return first })
		g.add(g.header("", "Contact: ", last), func(i int) string { _, last, _ := strings.Cut(testPerson(i), " "); return last })
	}
	g.add(g.header("Organization - ", "Account: ", roleOrganisation), testName)
	by := g.IntN(4)
	if by > 1 { // 0: by name and employer, 1: by address, 2: by profile, 3: both
		header := g.header("Person - ", "Contact: ", roleLinkedIn)
		if g.IntN(5) == 0 {
			header = g.unknown()
		}
		g.add(header, func(i int) string { return fmt.Sprintf("https://www.linkedin.com/in/ada-%d-test", i) })
	}
	if by == 1 || by == 3 {
		header := g.header("Person - ", "Contact: ", roleEmail)
		if g.IntN(5) == 0 {
			header = g.unknown() + " 3"
		}
		g.add(header, func(i int) string { return fmt.Sprintf("ada.%d@%s", i, testDomain(i)) })
	}
	if g.IntN(2) == 0 {
		g.add(g.header("Organization - ", "Account: ", roleSite), testDomain)
	}
	for i := range g.want {
		g.want[i] = []string{testPerson(i), fmt.Sprintf("ada.%d@%s", i, testDomain(i)), fmt.Sprintf("https://www.linkedin.com/in/ada-%d-test", i), fmt.Sprintf("https://www.linkedin.com/in/ada-%d-test", i)}[by]
	}
}

// addOthers adds columns that identify nothing, or something else.
func (g *listMaker) addOthers() {
	others := []testColumn{
		{header: "Company LinkedIn Url"}, {header: "Facebook"}, {header: "City"}, {header: "Umsatz, EUR"}, {header: "Email Status"}, {header: "Ville"}, {header: "Parent Company Website"}, {header: "資本金"}, {header: "Owner Email"},
	}
	for _, o := range others {
		if g.IntN(4) != 0 {
			continue
		}
		g.add(o.header, func(i int) string {
			switch o.header {
			case "Company LinkedIn Url":
				return fmt.Sprintf("https://www.linkedin.com/company/n%d", i)
			case "Facebook":
				return fmt.Sprintf("https://www.facebook.com/n%d", i)
			case "Parent Company Website":
				return fmt.Sprintf("parent-%d-test.com", i)
			case "Owner Email":
				return fmt.Sprintf("owner%d@seller-test.com", i)
			case "Umsatz, EUR":
				return fmt.Sprintf("%d,50", 100+i)
			}
			return "Text"
		})
	}
}

func (g *listMaker) add(header string, cell func(i int) string) {
	c := testColumn{header: header}
	for i := range testRows {
		c.cells = append(c.cells, cell(i))
	}
	g.columns = append(g.columns, c)
}

// header is a phrase of the role in a spelling of an exporter.
func (g *listMaker) header(prefix, otherPrefix string, r role) string {
	var phrases []phrase
	for _, p := range headerWords.phrases {
		if p.role == r && p.language == g.language {
			phrases = append(phrases, p)
		}
	}
	p := phrases[g.IntN(len(phrases))].text
	switch g.IntN(10) {
	case 0:
		p = strings.ToUpper(p)
	case 1:
		p = strings.ReplaceAll(strings.ToLower(p), " ", "_")
	case 2:
		p = umlauts.Replace(p)
	case 3:
		p = strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Mn, r) {
				return -1
			}
			return r
		}, norm.NFD.String(p))
		if g.language == "ja" {
			p = norm.NFC.String(p)
		}
	case 4, 5:
		p = prefix + p
	case 6:
		p = otherPrefix + p
	case 7:
		p += " 1 - Value"
	case 8:
		p += " *"
	}
	return p
}

// unknown is a header that no vocabulary knows.
func (g *listMaker) unknown() string {
	return []string{"Feld", "Netzort", "Colonne", "Campo", "Veld", "Pole", "項目"}[g.IntN(7)] + " X"
}

func testName(i int) string   { return fmt.Sprintf("Nordwind %d GmbH", i) }
func testDomain(i int) string { return fmt.Sprintf("nordwind-%d-test.de", i) }
func testPerson(i int) string {
	return []string{"Ada", "Bo", "Cy", "Di", "Ed", "Flo"}[i] + fmt.Sprintf(" King%d", i)
}

func (g *listMaker) text() string {
	var b strings.Builder
	for row := -1; row < testRows; row++ {
		for i, c := range g.columns {
			cell := c.header
			if row >= 0 {
				cell = c.cells[row]
			}
			if i > 0 {
				b.WriteByte(';')
			}
			b.WriteString(cell)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var mapOption = regexp.MustCompile(`--map (\w+)=(?:"([^"]+)"|(\S+))`)

// read reads the list. It returns what is wrong; "stopped: …" if the list cannot be read, but can
// with the first --map option of the error.
func (g *listMaker) read(t *testing.T, mapped map[string]string) string {
	o := Options{Stdin: strings.NewReader(g.text()), Object: g.object, Map: mapped}
	if g.auto {
		o.Object = ""
	}
	l, err := Open(context.Background(), "-", o)
	if err != nil {
		option := mapOption.FindStringSubmatch(err.Error())
		if mapped != nil || option == nil {
			return fmt.Sprintf("no way out: %v", err)
		}
		if again := g.read(t, map[string]string{option[1]: option[2] + option[3]}); again != "" && !g.isOther(option[2]+option[3]) {
			return fmt.Sprintf("%v; with it: %s", err, again)
		}
		return "stopped: " + err.Error()
	}
	defer l.Close()
	row := 0
	for a, err := range l.Accounts(context.Background()) {
		if err != nil {
			return err.Error()
		}
		value := map[schema.Identifier]string{schema.ByID: a.ID, schema.ByLinkedIn: a.LinkedIn, schema.ByEmail: a.Email, schema.ByDomain: a.Domain, schema.ByName: a.Name}[a.Identifier()]
		if value != g.want[row] {
			return fmt.Sprintf("row %d is requested by %s %q, want %q; read as %v", row+1, a.Identifier(), value, g.want[row], l.Input().Mapping)
		}
		row++
	}
	if row != testRows {
		return fmt.Sprintf("%d rows, want %d", row, testRows)
	}
	return ""
}

// isOther reports whether a column holds other domains than those of the companies: the error offers
// it too, and a person decides.
func (g *listMaker) isOther(header string) bool {
	return slices.ContainsFunc(g.columns, func(c testColumn) bool {
		return c.header == header && strings.HasPrefix(c.cells[0], "other-")
	})
}
