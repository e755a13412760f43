package sources

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"

	"github.com/siglake/siglake/schema"
)

// siteExamples are addresses of each kind in sites.txt that tenants, customers or anyone may have.
var siteExamples = map[string]string{
	"mail": "gmail.com", "portal": "web.de", "mailbox": "ada@zoho.com", "ats": "https://boards.greenhouse.io/acme", "jobs": "indeed.com/cmp/acme",
	"social": "https://www.facebook.com/acme", "code": "github.com/acme", "document": "acme.notion.site", "app": "https://play.google.com/store/apps/details?id=acme",
	"directory": "https://www.google.co.uk/maps/place/acme", "builder": "acme.jimdofree.com", "links": "https://linktr.ee/acme", "host": "acme.wpengine.com", "service": "acme.zendesk.com",
	"market": "acme.en.alibaba.com", "record": "https://app.hubspot.com/contacts/1/company/2", "placeholder": "www2.example.com/x", "sample": "https://test.com/x", "archive": "https://archive.ph/x", "shortener": "https://bit.ly/x", "wrapper": "https://l.facebook.com/l.php?h=x",
}

// TestSites checks the form of sites.txt, that each of its kinds is recognised, and that it says
// nothing about companies that users ask for.
func TestSites(t *testing.T) {
	t.Parallel()
	examples := 0
	for _, k := range sites.kinds {
		if k.phrase == "" || k.source == "" || k.size < 3 {
			t.Errorf("kind %s has the phrase %q, the source %q and %d entries", k.name, k.phrase, k.source, k.size)
		}
		if k.name == "registry" {
			continue
		}
		examples++
		if _, _, err := Domain(siteExamples[k.name]); err == nil || !strings.Contains(err.Error(), k.phrase) {
			t.Errorf("Domain(%q) = error %v, want one that contains %q", siteExamples[k.name], err, k.phrase)
		}
	}
	if examples != len(siteExamples) {
		t.Errorf("%d kinds have examples, want %d", examples, len(siteExamples))
	}
	for line := range strings.Lines(sitesText) {
		if line = strings.TrimSpace(line); line == "" || strings.ContainsAny(line[:1], "#[") || strings.HasPrefix(line, "source:") {
			continue
		}
		if words := strings.Split(line, " "); !slices.IsSorted(words) || len(line) > 200 && len(words) > 1 {
			t.Errorf("sites.txt: %q is not sorted, or too long", line)
		}
	}
	for _, d := range []string{"google.com", "microsoft.com", "apple.com", "amazon.com", "alibaba.com", "meta.com", "salesforce.com", "oracle.com", "sap.com", "ibm.com", "shopify.com",
		"hubspot.com", "atlassian.com", "github.com", "linkedin.com", "facebook.com", "zendesk.com", "telia.com", "sky.com", "zoho.com", "booking.com", "wix.com", "stackoverflow.com", "ebay.com", "walmart.com"} {
		if got, note, err := Domain(d); got != d || note != "" || err != nil {
			t.Errorf("Domain(%q) = %q, %q, %v, want the domain itself", d, got, note, err)
		}
	}
	for _, d := range []string{"gmail.com", "outlook.com", "hotmail.co.uk", "yahoo.com", "gmx.net"} {
		if got, _, err := Domain("www." + d); err == nil {
			t.Errorf("Domain(www.%s) = %q, want an error: a free mail provider says nothing about the company", d, got)
		}
	}
}

// TestSiteEntries checks that every entry of sites.txt is a host in its spelling.
func TestSiteEntries(t *testing.T) {
	t.Parallel()
	check := func(entry string) {
		host, _, _ := strings.Cut(entry, "/")
		host = strings.Replace(host, ".*", ".com", 1)
		if err := checkHost(host); err != nil || strings.ToLower(entry) != entry {
			t.Errorf("sites.txt: %s: %v", entry, err)
		}
		suffix, icann := publicsuffix.PublicSuffix(host)
		if !icann && !strings.Contains(suffix, ".") || icann && suffix == host {
			t.Errorf("sites.txt: %s is no host of the internet", entry)
		}
	}
	for entry := range sites.shared {
		check(entry)
	}
	for entry, ways := range sites.wrappers {
		check(entry)
		if ways[0] == "" {
			t.Errorf("sites.txt: the wrapper %s does not say where its target is", entry)
		}
	}
	for suffix := range sites.registry {
		if got, icann := publicsuffix.PublicSuffix("acme." + suffix); got != suffix || icann {
			t.Errorf("sites.txt: %s is not in the private section of the public suffix list", suffix)
		}
	}
	for text, want := range map[string]string{
		"a.com\n": "precedes", "[x] y\na.com a.com\n": "twice", "[x] y\na.{com,de} a.de\n": "twice", "[wrapper] y\na.com=u a.com=v\n": "twice",
	} {
		if _, err := parseSites(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("parseSites(%q) = %v, want an error that contains %q", text, err, want)
		}
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		company, domain string
		own, like       bool
	}{
		{"Zendesk, Inc.", "zendesk.com", true, true},
		{"The Zendesk", "zendesk.com", true, true},
		{"Help Desk Co", "zendesk.com", false, true},
		{"Booking.com B.V.", "booking.com", true, true},
		{"Facebook (Front End)", "facebook.com", true, true},
		{"Müller & Söhne GmbH", "mueller-soehne.de", true, true},
		{"Müller & Söhne GmbH", "muller-sohne.de", true, true},
		{"Société Générale S.A.", "societegenerale.com", true, true},
		{"Bücher AG", "xn--bcher-kva.de", true, true},
		{"International Business Machines", "ibm.com", false, true},
		{"Acme Germany", "acme-group.com", false, true},
		{"Acme", "facebook.com", false, false},
		{"Limited", "limited.com", true, true},
		{"GitHub", "github.io", true, true},
		{"", "acme.com", false, false},
	} {
		if got := isNameOf(c.company, c.domain); got != c.own {
			t.Errorf("isNameOf(%q, %q) = %v, want %v", c.company, c.domain, got, c.own)
		}
		if got := domainLikeName(c.domain, c.company); got != c.like {
			t.Errorf("domainLikeName(%q, %q) = %v, want %v", c.domain, c.company, got, c.like)
		}
	}
}

// hostRow is a made-up line: own is the company's own domain if the address shows it.
type hostRow struct{ class, name, address, own string }

// makeHosts makes up rows of every class: addresses that are the company's own, and such that only
// lead to it or to nothing.
func makeHosts(n int) (rows []hostRow) {
	rng := rand.New(rand.NewPCG(14, 4))
	pick := func(from ...string) string { return from[rng.IntN(len(from))] }
	var builders, services, mails, directories, shorteners []string
	for entry, kind := range sites.shared {
		if strings.ContainsAny(entry, "/*") {
			continue
		}
		switch kind.name {
		case "builder", "host":
			builders = append(builders, entry)
		case "service", "ats", "market":
			services = append(services, entry)
		case "mail", "portal":
			mails = append(mails, entry)
		case "directory", "social", "jobs", "code":
			directories = append(directories, entry)
		case "shortener":
			shorteners = append(shorteners, entry)
		}
	}
	for _, list := range []*[]string{&builders, &services, &mails, &directories, &shorteners} {
		slices.Sort(*list)
	}
	builders = append(builders, "github.io", "myshopify.com", "blogspot.de", "netlify.app", "azurewebsites.net", "wixsite.com", "herokuapp.com")
	escape := strings.NewReplacer(":", "%3A", "/", "%2F").Replace
	for i := 0; len(rows) < n; i++ {
		first := pick("Nord", "Sued", "Ost", "West", "Berg", "Tal", "See", "Wald") + pick("wind", "stern", "fluss", "blick", "bach", "feld") + fmt.Sprint(i)
		trade := pick("Bau", "Cafe", "Yoga", "Hotel", "Logistics", "Robotics", "Foods")
		label, name := strings.ToLower(first), first+" "+trade+pick("", " GmbH", ", Inc.", " Ltd")
		own := pick(label, label+"-"+strings.ToLower(trade), fmt.Sprintf("brand%d", i)) + pick(".com", ".de", ".co.uk", ".io", ".uk.com")
		add := func(class, address, own string) {
			switch {
			case class != "unlisted" && rng.IntN(4) == 0:
				rows = append(rows, hostRow{class + ", no name", "", address, own})
			default:
				rows = append(rows, hostRow{class, name, address, own})
			}
		}
		switch i % 10 {
		case 0, 1:
			add("own", pick("", "www.", "https://", "http://www.", "ww.")+own, own)
		case 2:
			add("own", pick("https://careers."+own+"/jobs", "https://"+own+"/about/us", "info@"+own, "mail."+own, "https://www."+own+"/de?utm=x"), own)
		case 3:
			add("tenant", pick("", "https://", "www.")+label+"."+pick(append(builders, services...)...)+pick("", "/", "/shop"), "")
		case 4:
			add("free mail", pick("", "www.", "http://", "info@", "@")+pick(mails...), "")
		case 5:
			add("wrapped", pick("https://eur03.safelinks.protection.outlook.com/?url="+escape("https://www."+own+"/x")+"&data=05",
				"https://www.google.com/url?sa=t&url="+escape("https://"+own+"/"), "https://urldefense.com/v3/__https://"+own+"/__;!!Ab$",
				"https://l.facebook.com/l.php?u="+escape("http://"+own), "https://web.archive.org/web/2021/http://"+own+"/"), own)
		case 6:
			add("directory", "https://"+pick("www.", "")+pick(directories...)+"/"+pick("company/", "in/", "")+label, "")
		case 7:
			add("shortener", "https://"+pick(shorteners...)+"/"+fmt.Sprintf("%x", rng.Uint32()), "")
		case 8: // named for the company
			add("unlisted", pick("https://"+label+".", "www."+label+".")+fmt.Sprintf("pages%d.com", i%7), "")
		default: // with other lines there
			add("unlisted", fmt.Sprintf("https://pages%d.com/%s/%x", i%7, pick("c", "kunden"), rng.Uint32()), "")
		}
	}
	return rows[:n]
}

// TestConfusion reads made-up addresses, and compares what is requested with what was meant: never
// the domain of another company, and always the company's own if the address shows it.
func TestConfusion(t *testing.T) {
	t.Parallel()
	rows := makeHosts(500)
	var list strings.Builder
	list.WriteString("id,company,website\n")
	for i, r := range rows {
		fmt.Fprintf(&list, "%d,%q,%q\n", i, r.name, r.address)
	}
	l, err := Open(t.Context(), "-", Options{Stdin: strings.NewReader(list.String())})
	if err != nil {
		t.Fatal(err)
	}
	outcomes := []string{"own domain", "by name", "rejected", "wrong"}
	table := map[string]map[string]int{}
	for a, err := range l.Accounts(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		r := rows[a.Row-1]
		outcome := "wrong"
		switch a.Identifier() {
		case schema.ByDomain:
			if a.Domain == r.own {
				outcome = "own domain"
			}
		case schema.ByName:
			if outcome = "by name"; r.own != "" || !strings.HasPrefix(a.Name, strings.Fields(r.name)[0]) {
				outcome = "wrong"
			}
		default:
			if outcome = "rejected"; r.own != "" || r.name != "" {
				outcome = "wrong"
			}
		}
		if table[r.class] == nil {
			table[r.class] = map[string]int{}
		}
		table[r.class][outcome]++
		if outcome == "wrong" {
			t.Errorf("%s: %q, %q is requested as %q (%q, %v), want %q or the name", r.class, r.name, r.address, a.Domain, a.Name, a.Reject, r.own)
		}
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%-20s", "")
	for _, o := range outcomes {
		fmt.Fprintf(&text, "%12s", o)
	}
	for _, class := range slices.Sorted(maps.Keys(table)) {
		fmt.Fprintf(&text, "\n%-20s", class)
		for _, o := range outcomes {
			fmt.Fprintf(&text, "%12d", table[class][o])
		}
	}
	t.Logf("of %d rows:\n%s", len(rows), text.String())
}
