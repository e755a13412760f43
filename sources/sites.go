package sources

import (
	_ "embed"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"
)

// The domain column of a list often holds an address that is not a company's own site: a free mail
// provider, a page about the company on a network, its shop below a site builder's domain. The
// registrable domain of such an address is that of the site's operator, and requesting it would pay
// for the wrong company. sites.txt lists such sites by kind, with the sources.
//
// An entry matches the host itself and every host below it; an entry with a slash also requires the
// first element of the path. What a match means depends on the kind, on what is before and after
// the entry, and on the name that the line gives the company:
//
//	address                             name    kind            is the company's domain
//	anything                            any     mail            no
//	gmx.de                              GMX     portal          yes
//	gmx.de                              none    portal          no
//	zendesk.com, www.zendesk.com        Zendesk other, mailbox  yes
//	www.zendesk.com/de, x.zendesk.com   Zendesk other, mailbox  yes
//	zendesk.com, www.zendesk.com        none    other, mailbox  yes
//	www.github.com/about                none    other, mailbox  yes: see ownPages
//	x.zendesk.com, facebook.com/x       none    other, mailbox  no
//	anything                            another any             no
//	ada@gmx.de, ada@zoho.com            any     mail ... mailbox no
//	acme.uk.com                         any     registry        yes, acme.uk.com
//
// A name is the operator's if it is the label before the public suffix, or the whole domain, but
// for case, punctuation and legal forms: see isNameOf. Every other name is another company's, so a
// line with a name falls back to the name, which is what the user wrote, and never to a guess.
//
// A name may be written as a host, too: Booking.com is a company, and gmail.com in the column of the employer is a mail
// provider. A host that is not listed may be a name. One that is listed is the name of its operator if it is bare and not
// of namelessKinds; else it is no name, and the line falls back to what else it has: see checkNoSite.
//
// The sections wrapper and registry have a meaning of their own: see unwrapLink and
// registrableDomain. The private section of the public suffix list counts as a section, but for the
// suffixes in registry: acme.github.io is a customer's address at a shared host. Universities are in
// it, too, so their bare domains need only be like the name.

//go:embed sites.txt
var sitesText string

// siteKind is a section of sites.txt.
type siteKind struct {
	name   string // as in the file
	phrase string // as in messages
	source string
	size   int // entries
}

// sharedHost is the kind of the private section of the public suffix list.
var sharedHost = &siteKind{name: "host", phrase: "a shared host", source: "public suffix list, private section"}

// siteTable is sites.txt.
type siteTable struct {
	kinds    []*siteKind
	shared   map[string]*siteKind // by entry; without wrappers and registries
	wrappers map[string][]string  // ways to find the target, by entry
	registry map[string]bool
	// Labels of entries that have any public suffix.
	anySuffix map[string]bool
	// First elements of paths in entries.
	pages map[string]bool
	// Last labels of the hosts of all other entries, two of each: see mayList.
	ends map[string]bool
}

var sites = func() *siteTable {
	t, err := parseSites(sitesText)
	if err != nil {
		panic("sites.txt: " + err.Error()) // it is part of the program, and a test reads it
	}
	return t
}()

func lastLabel(host string) string { return host[strings.LastIndexByte(host, '.')+1:] }

// parseSites parses sites.txt.
func parseSites(text string) (*siteTable, error) {
	t := &siteTable{shared: map[string]*siteKind{}, wrappers: map[string][]string{}, registry: map[string]bool{}, anySuffix: map[string]bool{}, pages: map[string]bool{}, ends: map[string]bool{}}
	var kind *siteKind
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if name, phrase, ok := strings.Cut(strings.TrimPrefix(line, "["), "] "); ok && line[0] == '[' {
			kind = &siteKind{name: name, phrase: phrase}
			t.kinds = append(t.kinds, kind)
			continue
		}
		if kind == nil {
			return nil, fmt.Errorf("%q precedes the first section", line)
		}
		if source, ok := strings.CutPrefix(line, "source: "); ok {
			kind.source = source
			continue
		}
		for _, word := range strings.Fields(line) {
			for _, entry := range expandEntry(word) {
				if err := t.add(kind, entry); err != nil {
					return nil, err
				}
			}
		}
	}
	return t, nil
}

// expandEntry expands name.{com,de}.
func expandEntry(word string) (entries []string) {
	before, rest, ok := strings.Cut(word, "{")
	inner, after, closed := strings.Cut(rest, "}")
	if !ok || !closed {
		return []string{word}
	}
	for alternative := range strings.SplitSeq(inner, ",") {
		entries = append(entries, before+alternative+after)
	}
	return entries
}

func (t *siteTable) add(kind *siteKind, entry string) error {
	duplicate := false
	site, ways, _ := strings.Cut(entry, "=")
	if _, page, ok := strings.Cut(site, "/"); ok {
		t.pages[page] = true
	}
	switch kind.name {
	case "wrapper":
		duplicate = t.wrappers[site] != nil
		t.wrappers[site] = strings.Split(ways, ",")
	case "registry":
		duplicate = t.registry[entry]
		t.registry[entry] = true
	default:
		duplicate = t.shared[entry] != nil
		t.shared[entry] = kind
	}
	if duplicate {
		return fmt.Errorf("%s is listed twice", entry)
	}
	kind.size++
	host, _, _ := strings.Cut(site, "/")
	if label, _, ok := strings.Cut(host, ".*"); ok {
		t.anySuffix[lastLabel(label)] = true
	} else {
		t.ends[lastLabels(host)] = true
	}
	return nil
}

// mayList reports whether an entry may be that of a host: one ends like the host, or has one of its labels and any
// suffix. Most hosts of most lists are refused here.
func (t *siteTable) mayList(host string) bool {
	if t.ends[lastLabels(host)] {
		return true
	}
	for start, i := 0, 0; i <= len(host); i++ {
		if i == len(host) || host[i] == '.' {
			if t.anySuffix[host[start:i]] {
				return true
			}
			start = i + 1
		}
	}
	return false
}

// lastLabels are the last two labels of a host.
func lastLabels(host string) string {
	i := strings.LastIndexByte(host, '.')
	return host[strings.LastIndexByte(host[:max(i, 0)], '.')+1:]
}

// lookup finds the entry of a table that an address lies in. It prefers the most specific host.
func lookup[V any](table map[string]V, host, page string) (v V, ok bool) {
	if !sites.mayList(host) {
		return v, false
	}
	return lookupEntry(table, host, page)
}

func lookupEntry[V any](table map[string]V, host, page string) (v V, ok bool) {
	if !sites.pages[page] {
		page = ""
	}
	for h, more := host, true; more; _, h, more = strings.Cut(h, ".") {
		if v, ok = lookupHost(table, h, page); ok {
			return v, true
		}
	}
	for h, more := host, true; more; _, h, more = strings.Cut(h, ".") {
		label, _, _ := strings.Cut(h, ".")
		if !sites.anySuffix[label] {
			continue
		}
		suffix, _ := publicsuffix.PublicSuffix(host)
		for h := host; len(h) > len(suffix); _, h, _ = strings.Cut(h, ".") {
			if v, ok = lookupHost(table, h[:len(h)-len(suffix)]+"*", page); ok {
				return v, true
			}
		}
		return v, false
	}
	return v, false
}

// lookupHost finds the entry of a host itself.
func lookupHost[V any](table map[string]V, host, page string) (v V, ok bool) {
	if page != "" {
		if v, ok = table[host+"/"+page]; ok {
			return v, true
		}
	}
	v, ok = table[host]
	return v, ok
}

// kindOfSite is the kind of shared site that an address lies in; nil if it may be a company's own.
// privateSuffix says that its public suffix is in the private section.
func kindOfSite(host, page string, privateSuffix bool) *siteKind {
	if _, ok := lookup(sites.wrappers, host, page); ok {
		return wrapperKind
	}
	if kind, ok := lookup(sites.shared, host, page); ok {
		return kind
	}
	if privateSuffix {
		return sharedHost
	}
	return nil
}

var wrapperKind = sites.kinds[slices.IndexFunc(sites.kinds, func(k *siteKind) bool { return k.name == "wrapper" })]

// checkOwn returns why a host, reduced to a domain, is not the own site of a company; nil if it may
// be. below says that the host is below the domain, by more than www.
func checkOwn(a address, page string, r registered, below bool, company string) error {
	domain, kind := r.domain, kindOfSite(a.host, page, r.shared)
	if kind == nil {
		return nil
	}
	mailbox := kind.name == "mail" || kind.name == "portal" || kind.name == "mailbox"
	switch {
	case kind.name == "mail", a.mail && mailbox:
	case isNameOf(company, domain), kind == sharedHost && !below && domainLikeName(domain, company):
		return nil
	case kind.name == "portal":
	case below, page != "" && !ownPages[page]:
	case company == "":
		return nil
	case !mailbox:
		return &otherSite{a.host, kind, true}
	}
	return &otherSite{a.host, kind, false}
}

// otherSite says that a host is not the own site of a company. Lists have millions, and few are printed.
type otherSite struct {
	host string
	kind *siteKind
	own  bool // of its operator
}

func (e *otherSite) Error() string {
	if e.own {
		return fmt.Sprintf("%s is the own site of another company (%s)", e.host, e.kind.phrase)
	}
	return fmt.Sprintf("%s is %s, not the company's own domain", e.host, e.kind.phrase)
}

// namelessKinds are the kinds of sites whose bare host is no name of a company, such as bit.ly: their operators, if anyone
// asks for them, are written otherwise.
var namelessKinds = wordSet("mail portal links host shortener wrapper placeholder record")

// checkNoSite returns why a name is the address of a site that is not a company's own; nil if it is not, or may be the
// name of a company.
func checkNoSite(name string) error {
	if !hasInnerDot(name) || !looksLikeDomain(name) {
		return nil
	}
	if host, kind, bare := siteOf(name); kind != nil && (!bare || namelessKinds[kind.name]) {
		return &siteAsName{host, kind}
	}
	return nil
}

// siteOf is the kind of shared site that a text is the address of, perhaps by way of a rewritten link; nil: of none. bare
// says that it is the host of the site, without a page.
func siteOf(text string) (host string, kind *siteKind, bare bool) {
	a, err := parseAddress(text)
	if err == nil {
		a, _ = unwrapLink(a)
		a.host, err = asciiHost(a.host)
	}
	var r registered
	if err == nil {
		r, err = registrableDomain(a.host)
	}
	if err != nil {
		return "", nil, false
	}
	page := firstElement(a.path)
	return a.host, kindOfSite(a.host, page, r.shared), page == "" && (a.host == r.domain || isWWW(strings.TrimSuffix(a.host, "."+r.domain)))
}

// hasInnerDot reports whether a dot stands between two characters that are no spaces, as in a host.
func hasInnerDot(name string) bool {
	for i := 1; i+1 < len(name); i++ {
		if name[i] == '.' && name[i-1] != ' ' && name[i+1] != ' ' && name[i+1] != ',' {
			return true
		}
	}
	return false
}

// siteAsName says that a name is the address of a site that many companies share. Lists have millions, and few are printed.
type siteAsName struct {
	host string
	kind *siteKind
}

func (e *siteAsName) Error() string {
	return fmt.Sprintf("%s is %s, not the name of a company", e.host, e.kind.phrase)
}

// firstElement is the first element of a path, in lower case.
func firstElement(path string) string {
	path = strings.TrimLeft(path, "/")
	if i := strings.IndexAny(path, "/?#;"); i >= 0 {
		path = path[:i]
	}
	if decoded, err := url.PathUnescape(path); err == nil {
		path = decoded
	}
	return strings.ToLower(path)
}

// ownPages are paths that belong to the owner of the site even if the other paths belong to other
// companies: github.com/about is GitHub.
var ownPages = wordSet("about careers career")

// linkedInSections are pages on LinkedIn that are not a public profile.
var linkedInSections = map[string]string{
	"company":   "a company page",
	"school":    "a school page",
	"showcase":  "a showcase page",
	"sales":     "a Sales Navigator link, which only its owner can open",
	"recruiter": "a Recruiter link, which only its owner can open",
	"talent":    "a Recruiter link, which only its owner can open",
	"profile":   "an internal profile link",
	"groups":    "a group",
	"posts":     "a post",
	"feed":      "a post",
	"pulse":     "an article",
	"jobs":      "a job post",
	"search":    "a search",
	"redir":     "a redirect",
	"learning":  "a course",
	"products":  "a product page",
	"events":    "an event",
}

func wordSet(words string) map[string]bool {
	m := map[string]bool{}
	for _, w := range strings.Fields(words) {
		m[w] = true
	}
	return m
}
