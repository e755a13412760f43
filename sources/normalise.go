package sources

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
	"golang.org/x/text/unicode/norm"
)

// The functions of this file convert a cell, as the user wrote it, into what siglake sends. Each
// returns the value and, if its meaning and not only its spelling changed, a note; or an error that
// says what was found and what was expected. They are pure: the same text always yields the same
// value.

// maxName is the maximum length of a name, in characters.
const maxName = 255

// Domain extracts the registrable domain from a domain, host, URL or e-mail address:
// "https://www.Careers.Acme.com/jobs" becomes acme.com, with a note that careers. was cut. A link
// wrapper is followed to its target, if that is in the link.
//
// An address that is not a company's own site is an error: see sites.go. The bare domain of a site
// that many companies share denotes its owner.
func Domain(s string) (domain, note string, err error) {
	d, err := companyDomain(s, "")
	return d.domain, d.note, err
}

// ownDomain is a domain as a company's own.
type ownDomain struct {
	domain, note string
	// A sub-domain or a path was dropped, which may be what tells the company from others.
	cut bool
}

// companyDomain is Domain for the company of a name, which may be empty: the name decides about
// addresses that may be the company's own or not.
func companyDomain(s, company string) (d ownDomain, err error) {
	if isPlainDomain(s) {
		return reduceHost(address{host: s}, company)
	}
	a, err := parseAddress(s)
	if err != nil {
		return d, err
	}
	a, via := unwrapLink(a)
	written := a.host
	if a.host, err = asciiHost(a.host); err != nil {
		return d, err
	}
	if d, err = reduceHost(a, company); err != nil {
		return ownDomain{}, err
	}
	if a.host != written {
		d.note = joinNotes(fmt.Sprintf("%s is written %s", written, a.host), d.note)
	}
	if a.mail {
		d.note = joinNotes("taken from an e-mail address", d.note)
	}
	if via != "" {
		d.note = joinNotes(fmt.Sprintf("the link by way of %s leads to %s", via, a.host), d.note)
	}
	d.note = joinNotes(a.note, d.note)
	return d, nil
}

// isPlainDomain reports whether s needs no cleaning.
func isPlainDomain(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return false
		}
	}
	return s != "" && s[0] != '.' && s[len(s)-1] != '.' && !strings.Contains(s, "xn--")
}

// address is a URL, host or e-mail address in parts.
type address struct {
	host string // lower case, may contain any character
	path string // with its first slash; case preserved
	// The host followed the @ of an e-mail address.
	mail bool
	note string
}

// parseAddress splits what users write into a domain column.
func parseAddress(s string) (address, error) {
	if a, ok := plainAddress(s); ok {
		return a, nil
	}
	return parseAnyAddress(s)
}

// plainHostBytes and plainPathBytes are the bytes that parseAnyAddress leaves as they are, in a host and in a path.
var plainHostBytes, plainPathBytes = byteSet("-."), byteSet("-._~/?#=&%+!$*@")

// byteSet is the set of ASCII letters, digits and further bytes.
func byteSet(others string) (set [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789" + others) {
		set[c] = true
	}
	return set
}

// plainAddress is the fast path of parseAnyAddress, for a host with dots, perhaps behind https:// and before a
// path. Most addresses of most lists are plain.
func plainAddress(s string) (a address, ok bool) {
	if rest, web := strings.CutPrefix(s, "https://"); web {
		s = rest
	} else if rest, web := strings.CutPrefix(s, "http://"); web {
		s = rest
	}
	n, dot := 0, 0 // dot: the place of the first one
	for n < len(s) && plainHostBytes[s[n]] {
		if s[n] == '.' && dot == 0 {
			dot = n
		}
		n++
	}
	if dot == 0 || s[0] == '.' || s[n-1] == '.' || n < len(s) && s[n] != '/' && s[n] != '?' && s[n] != '#' {
		return a, false
	}
	for i := n; i < len(s); i++ {
		if !plainPathBytes[s[i]] {
			return a, false
		}
	}
	return address{host: strings.ToLower(s[:n]), path: s[n:]}, true
}

func parseAnyAddress(s string) (address, error) {
	var a address
	s = strings.ReplaceAll(tidyText(separateControls(s)), `\`, "/")
	if i, j := strings.IndexByte(s, '<'), strings.LastIndexByte(s, '>'); i > 0 && j > i { // Ada <ada@acme.com>
		if mail, note, err := firstMail(s); err == nil {
			s, a.note = mail, note
		}
	}
	s = strings.Trim(s, "<>\"'`()[]{},;: ")
	if m := labelled.FindStringSubmatch(s); m != nil { // Website: acme.com
		s = m[1]
	}
	parts := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == ',' || r == ';' || r == '|' })
	if len(parts) > 1 {
		parts = slices.DeleteFunc(parts, func(p string) bool { return conjunctions[strings.ToLower(p)] })
	}
	if len(parts) > 1 && allHosts(parts) {
		a.note = fmt.Sprintf("the first of %d addresses is used", len(parts))
		s = parts[0]
	}
	rest, web := stripScheme(s)
	rest = strings.TrimLeft(rest, "/")
	cut := strings.IndexAny(rest, "/?#")
	if cut < 0 {
		cut = len(rest)
	}
	a.host, a.path = rest[:cut], rest[cut:]
	if i := strings.LastIndexByte(a.host, '@'); i >= 0 {
		a.mail = i > 0 && !web
		a.host = a.host[i+1:]
	}
	if host, port, ok := strings.Cut(a.host, ":"); ok {
		if strings.Contains(port, ":") {
			return a, fmt.Errorf("is an IP address; expected a domain such as acme.com")
		}
		if strings.Trim(port, "0123456789") != "" {
			return a, fmt.Errorf("%q is not a port; expected a domain such as acme.com", truncate(port))
		}
		a.host = host
	}
	a.host = strings.ToLower(strings.Trim(a.host, "."))
	a.host = strings.TrimPrefix(a.host, "*.")
	if a.host == "" {
		return a, errors.New("contains no host; expected a domain such as acme.com")
	}
	return a, nil
}

// labelled is an address behind what it is.
var labelled = regexp.MustCompile(`^\p{L}[\p{L} -]{1,20}: +(\S+)$`)

// conjunctions stand between two addresses.
var conjunctions = wordSet("/ & + - and or und oder et ou y o e i lub en of")

// separateControls replaces control characters, which separate cells of some exports, by spaces: an
// address that lost one would be another company's.
func separateControls(s string) string {
	if isTidy(s) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// allHosts reports whether the host of each part contains a dot.
func allHosts(parts []string) bool {
	for _, p := range parts {
		p, _ = stripScheme(p)
		host, _, _ := strings.Cut(p, "/")
		if i := strings.IndexByte(host, '.'); i <= 0 || i == len(host)-1 {
			return false
		}
	}
	return true
}

// stripScheme removes schemes, including mistyped ones ("http//", "https:/", "http://http://"). web
// is false for mailto and without a scheme.
func stripScheme(s string) (rest string, web bool) {
	for {
		n := strings.IndexAny(s, ":/.@?#")
		if n <= 0 || s[n] != ':' && s[n] != '/' {
			return s, web
		}
		rest := strings.TrimLeft(s[n:], ":/")
		switch scheme := strings.ToLower(s[:n]); scheme {
		case "http", "https", "htp", "htps", "htttp", "htttps", "hhttps", "hhttp", "ttps", "ttp", "hxxp", "hxxps", "ftp":
			s, web = rest, true
		case "mailto":
			s = rest
		default:
			if strings.HasPrefix(s[n:], "://") {
				return rest, true
			}
			return s, web
		}
	}
}

// idnaProfile maps Unicode hosts like browsers do. It leaves the check of ASCII hosts to
// registrableDomain, which admits underscores in the labels that are cut.
var idnaProfile = idna.New(idna.MapForLookup(), idna.BidiRule(), idna.Transitional(false), idna.StrictDomainName(false))

// asciiHost converts a host to punycode.
func asciiHost(host string) (string, error) {
	ascii := true
	for i := range len(host) {
		if host[i] >= utf8.RuneSelf {
			ascii = false
			break
		}
	}
	if ascii && !strings.Contains(host, "xn--") {
		return host, nil
	}
	profile := idnaProfile
	if isPlainInternational(host) {
		profile = idna.Punycode // which neither maps nor checks
	}
	h, err := profile.ToASCII(host)
	if err != nil {
		return "", fmt.Errorf("%q is not a valid international domain name", truncate(host))
	}
	return strings.Trim(h, "."), nil
}

// isPlainInternational reports whether a host consists of ASCII labels and small letters of Latin-1 that are written
// as they are.
func isPlainInternational(host string) bool {
	last := '.'
	for _, r := range host {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9', r >= 'à' && r <= 'ÿ' && r != '÷':
		case r == '-' || r == '.':
			if last == '-' || last == '.' {
				return false
			}
		default:
			return false
		}
		last = r
	}
	return last != '-' && last != '.'
}

// privateTLDs never denote a company on the internet.
var privateTLDs = map[string]bool{"local": true, "localhost": true, "localdomain": true, "internal": true, "intranet": true,
	"lan": true, "home": true, "corp": true, "invalid": true, "arpa": true, "onion": true}

// reduceHost reduces an address with an ASCII host to the company's domain.
func reduceHost(a address, company string) (d ownDomain, err error) {
	r, err := registrableDomain(a.host)
	if err != nil {
		return d, err
	}
	cut := strings.TrimSuffix(strings.TrimSuffix(a.host, r.domain), ".")
	below, page := cut != "" && !isWWW(cut), firstElement(a.path)
	if err := checkOwn(a, page, r, below, company); err != nil {
		return d, err
	}
	d = ownDomain{domain: r.domain, note: r.note, cut: below || page != "" && !isFrontPage(page)}
	if d.cut && isTenant(cut, page, d.domain, company) {
		return ownDomain{}, &tenantError{a.host, page, d.domain}
	}
	if below {
		d.note = joinNotes(a.host+" reduced to "+d.domain, d.note)
	}
	return d, nil
}

// tenantError says that an address is on the site of another company. Lists have millions, and few are printed.
type tenantError struct{ host, page, domain string }

func (e *tenantError) Error() string {
	return fmt.Sprintf("%s names the company only outside %s, which is probably another company's domain", strings.TrimRight(e.host+"/"+e.page, "/"), e.domain)
}

// isFrontPage reports whether a first element of a path means no particular page.
func isFrontPage(page string) bool {
	name, _, _ := strings.Cut(page, ".")
	return name == "index" || name == "home" || name == "default"
}

// registered is a domain that someone registered.
type registered struct {
	domain, note string
	// The host is below a shared host, and the domain is that of its operator.
	shared bool
}

// registrableDomain reduces an ASCII host to the domain that its owner registered. Below a shared
// host (acme.github.io) that is the domain of the host's operator.
func registrableDomain(host string) (r registered, err error) {
	if err := checkHost(host); err != nil {
		return r, err
	}
	suffix, icann := publicsuffix.PublicSuffix(host)
	listed := icann || strings.Contains(suffix, ".")
	r.domain, r.shared = host, !icann && listed && !sites.registry[suffix]
	switch i := len(host) - len(suffix) - 1; {
	case r.shared:
		r.domain = suffix
	case i > 0:
		r.domain = host[strings.LastIndexByte(host[:i], '.')+1:]
		if !listed && isWWW(r.domain[:len(r.domain)-len(suffix)-1]) {
			return r, errors.New("is a single word behind www; expected a domain such as acme.com")
		}
	case listed:
		return r, fmt.Errorf("is the public suffix %s, under which anyone can register; expected a company's domain below it", host)
	}
	switch {
	case strings.ContainsRune(r.domain, '_'):
		return r, fmt.Errorf("has an underscore in %s; expected letters, digits and hyphens", r.domain)
	case listed:
	case len(suffix) == 1:
		return r, fmt.Errorf("ends in .%s, which is no top-level domain; expected a domain such as acme.com", suffix)
	case privateTLDs[suffix]:
		return r, fmt.Errorf("ends in .%s, which is for private networks; expected a domain on the internet", suffix)
	default:
		r.note = fmt.Sprintf("the top-level domain .%s is not on the public suffix list", suffix)
	}
	return r, nil
}

// isWWW reports whether a host prefix is www, www2 and the like, or www mistyped.
func isWWW(prefix string) bool {
	w := strings.TrimRight(prefix, "0123456789")
	return len(w) > 1 && strings.Trim(w, "w.") == ""
}

// checkHost checks an ASCII host label by label, and that it is a name and not an address.
func checkHost(host string) error {
	if len(host) > 253 {
		return fmt.Errorf("is %d characters long; expected a domain of at most 253", len(host))
	}
	dots, start := 0, 0
	for i := 0; i <= len(host); i++ {
		if i < len(host) && host[i] != '.' {
			switch c := host[i]; {
			case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
				continue
			case c == ' ':
				return errors.New("has a space in it; expected one domain such as acme.com")
			default:
				return fmt.Errorf("has the character %q in it; expected a domain such as acme.com", c)
			}
		}
		label := host[start:i]
		switch {
		case label == "":
			return errors.New("has an empty part between dots; expected a domain such as acme.com")
		case len(label) > 63:
			return fmt.Errorf("has a part of %d characters; expected at most 63 between dots", len(label))
		case label[0] == '-' || label[len(label)-1] == '-':
			return fmt.Errorf("has a part %q that begins or ends with a hyphen", label)
		case i == len(host) && dots > 0 && strings.Trim(label, "0123456789") == "":
			if _, err := netip.ParseAddr(host); err == nil {
				return errors.New("is an IP address; expected a domain such as acme.com")
			}
			return errors.New("ends in a number; expected a domain such as acme.com")
		}
		if i < len(host) {
			dots++
		}
		start = i + 1
	}
	if dots == 0 {
		return errors.New("is a single word; expected a domain such as acme.com")
	}
	return nil
}

// looksLikeDomain reports whether a cell is certainly a domain, host or URL, and not a name that
// happens to contain a dot.
func looksLikeDomain(s string) bool {
	if !strings.Contains(s, ".") {
		return false
	}
	a, err := parseAddress(s)
	if err != nil {
		return false
	}
	host, err := asciiHost(a.host)
	if err != nil || checkHost(host) != nil {
		return false
	}
	suffix, icann := publicsuffix.PublicSuffix(host)
	if rest, web := stripScheme(s); web && rest != "" {
		return true
	}
	return icann || strings.Contains(suffix, ".") || suffix == "example" || suffix == "test"
}

// LinkedIn converts the address of a person's profile to its canonical form,
// https://www.linkedin.com/in/<slug>: host, query and what follows the slug are dropped, and the
// slug is lower case and percent-encoded.
func LinkedIn(s string) (profile, note string, err error) {
	s = tidyText(s)
	if lower := strings.ToLower(s); strings.HasPrefix(lower, "in/") || strings.HasPrefix(lower, "/in/") {
		s = "linkedin.com/" + strings.TrimLeft(s, "/")
	}
	a, err := parseAddress(s)
	if err != nil || a.mail {
		return "", "", errors.New("is not a LinkedIn address; expected linkedin.com/in/…")
	}
	a, via := unwrapLink(a)
	if via != "" {
		a.note = joinNotes(a.note, "the link by way of "+via+" leads to it")
	}
	if a.host == "lnkd.in" {
		return "", "", errors.New("is a LinkedIn short link; open it and use the address it leads to")
	}
	if a.host != "linkedin.com" && !strings.HasSuffix(a.host, ".linkedin.com") {
		return "", "", fmt.Errorf("%s is not LinkedIn; expected linkedin.com/in/…", truncate(a.host))
	}
	section, parts, err := profilePath(a.path)
	if err != nil {
		return "", "", err
	}
	slug, err := url.PathUnescape(parts[0])
	if strings.ContainsRune(slug, '%') { // encoded twice
		slug, err = url.PathUnescape(slug)
	}
	if err != nil || !utf8.ValidString(slug) {
		return "", "", errors.New("has broken percent-encoding")
	}
	slug = strings.TrimRight(slug, ".,;:)>\"'")
	if section == "pub" && len(parts) > 1 {
		if slug, err = slugFromOldURL(slug, parts[1:]); err != nil {
			return "", "", err
		}
		note = "old public address rewritten as /in/" + slug
	}
	slug = norm.NFC.String(slug)
	if isInternalSlug(slug) {
		note = joinNotes(note, internalProfile)
	} else {
		slug = strings.ToLower(slug)
	}
	if err := checkSlug(slug); err != nil {
		return "", "", err
	}
	return profilePrefix + url.PathEscape(slug), joinNotes(a.note, note), nil
}

// profilePath splits the path of a person's profile into its section, "in" or "pub", and the parts
// after it, of which there is at least one.
func profilePath(path string) (section string, parts []string, err error) {
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	parts = strings.FieldsFunc(path, func(r rune) bool { return r == '/' })
	if len(parts) > 0 && (strings.EqualFold(parts[0], "mwlite") || strings.EqualFold(parts[0], "comm")) {
		parts = parts[1:] // pages for old telephones, links in mails of LinkedIn
	}
	if len(parts) == 0 {
		return "", nil, errors.New("has no profile in it; expected linkedin.com/in/…")
	}
	section = strings.ToLower(parts[0])
	if page, ok := linkedInSections[section]; ok {
		return "", nil, fmt.Errorf("is %s; expected a person's profile, linkedin.com/in/…", page)
	}
	if section != "in" && section != "pub" {
		return "", nil, fmt.Errorf("/%s is not a person's profile; expected linkedin.com/in/…", truncate(section))
	}
	if len(parts) < 2 {
		return "", nil, errors.New("has no profile in it; expected linkedin.com/in/…")
	}
	return section, parts[1:], nil
}

const (
	profilePrefix   = "https://www.linkedin.com/in/"
	internalProfile = "the address is LinkedIn's internal one, which may not be found"
)

// isInternalSlug reports whether the last part of a profile is an internal id of LinkedIn, as Sales
// Navigator and scrapers write it. One in lower case has lost what it says.
func isInternalSlug(slug string) bool {
	lower := strings.ToLower(slug)
	return len(slug) > len("ACoAA") && (strings.HasPrefix(slug, "ACoAA") || strings.HasPrefix(slug, "ACwAA") ||
		slug == lower && len(slug) > 30 && (strings.HasPrefix(lower, "acoaa") || strings.HasPrefix(lower, "acwaa")))
}

// isInternalProfile reports whether a normalised profile is LinkedIn's internal address.
func isInternalProfile(profile string) bool {
	slug, ok := strings.CutPrefix(profile, profilePrefix)
	return ok && isInternalSlug(slug)
}

// slugFromOldURL rewrites the tail of an address such as /pub/ada-king/a7/576/b50, which
// distinguishes people with the same name: the newer address has its parts in reverse order. How
// short parts were padded is unknown, so they are refused.
func slugFromOldURL(slug string, tail []string) (string, error) {
	if len(tail) < 3 || len(tail[0]) != 2 || len(tail[1]) != 3 || len(tail[2]) > 3 ||
		strings.Trim(strings.ToLower(tail[0]+tail[1]+tail[2]), "0123456789abcdef") != "" {
		return "", errors.New("is an old public address; open it and use the /in/ address it leads to")
	}
	return slug + "-" + tail[2] + tail[1] + tail[0], nil
}

// emptySlugs stand where LinkedIn, or an export, has no profile to show.
var emptySlugs = wordSet("unavailable me undefined null none unknown edit self")

func checkSlug(slug string) error {
	if emptySlugs[slug] {
		return fmt.Errorf("/in/%s is no person's profile", slug)
	}
	if n := utf8.RuneCountInString(slug); n == 0 || n > 150 {
		return errors.New("has no profile in it; expected linkedin.com/in/…")
	}
	for _, r := range slug {
		if unicode.IsSpace(r) || unicode.IsControl(r) || isInvisible(r) || r == utf8.RuneError || strings.ContainsRune(`/\<>"@?#,;:|{}[]()`, r) {
			return fmt.Errorf("has %q in the profile's name; expected linkedin.com/in/…", r)
		}
	}
	return nil
}

// Email converts an e-mail address to lower case and its domain to punycode. In "Ada
// <ada@acme.com>" it uses the address; of several addresses it uses the first: see mailAddresses.
func Email(s string) (address, note string, err error) {
	if !isPlainMail(s) {
		if s, note, err = firstMail(s); err != nil {
			return "", "", err
		}
	}
	local, host, ok := strings.Cut(strings.ToLower(s), "@")
	if !ok || host == "" || strings.Contains(host, "@") {
		return "", "", errors.New("is not an e-mail address; expected ada@acme.com")
	}
	if err := checkLocal(local); err != nil {
		return "", "", err
	}
	host = strings.TrimSuffix(host, ".")
	if isSampleMail(local, host) {
		return "", "", errors.New("stands for no address; expected that of a person")
	}
	ascii, err := asciiHost(host)
	if err != nil {
		return "", "", err
	}
	if _, err := registrableDomain(ascii); err != nil {
		return "", "", fmt.Errorf("the part after the @ %w", err)
	}
	if ascii != host {
		note = joinNotes(note, fmt.Sprintf("%s is written %s", host, ascii))
	}
	return local + "@" + ascii, note, nil
}

// checkLocal checks the part before the @ as a dot-atom, the form of real addresses. Quoted forms
// are refused.
func checkLocal(local string) error {
	switch {
	case local == "":
		return errors.New("has nothing before the @; expected ada@acme.com")
	case len(local) > 64:
		return fmt.Errorf("has %d characters before the @; expected at most 64", len(local))
	case strings.Contains(local, "**"):
		return errors.New("is masked; expected ada@acme.com")
	case local[0] == '.' || local[len(local)-1] == '.' || strings.Contains(local, ".."):
		return errors.New("has a misplaced dot before the @")
	}
	for _, r := range local {
		if (r < 'a' || r > 'z') && (r < '0' || r > '9') && !strings.ContainsRune(".!#$%&'*+-/=?^_`{|}~", r) {
			return fmt.Errorf("has the character %q before the @", r)
		}
	}
	return nil
}

// Name normalises the name of a company: it collapses white space, removes invisible characters,
// composes Unicode, and drops a share class, so that "Alphabet Inc. (Class A)" and "(Class C)" are
// requested as one company. An address that is not a company's own site is no name: see checkNoSite.
func Name(s string) (name, note string, err error) {
	if err := checkText(s); err != nil {
		return "", "", err
	}
	name = tidyText(s)
	if company, class := cutShareClass(name); class != "" {
		name, note = company, class+" dropped: one company, whatever the share class"
	}
	if err := checkName(name); err != nil {
		return "", "", err
	}
	if err := checkNoSite(name); err != nil {
		return "", "", err
	}
	return name, note, nil
}

// FullName normalises the name of a person. It must have two parts: the API refuses less.
func FullName(s string) (name, note string, err error) {
	if err := checkText(s); err != nil {
		return "", "", err
	}
	name = tidyText(s)
	if err := checkName(name); err != nil {
		return "", "", err
	}
	switch {
	case strings.Contains(name, ";"):
		return "", "", errors.New("lists several; expected one name")
	case strings.Contains(name, "@"):
		return "", "", errors.New("has an e-mail address in it; expected a name alone")
	case !strings.Contains(name, " "):
		return "", "", errors.New("has one part; expected a first and a last name")
	}
	return name, "", nil
}

// checkText finds what a wrong or earlier conversion leaves in a text: tidyText would remove it,
// and a name with missing letters would be requested.
func checkText(s string) error {
	if isTidy(s) {
		return nil
	}
	if mojibake(s) {
		return errors.New("is the result of a wrong conversion of its characters, before or in this list; export it again as UTF-8, or name the encoding with --encoding")
	}
	for _, r := range s {
		switch {
		case r == utf8.RuneError:
			return errors.New("has the sign of a failed conversion in it (U+FFFD); expected a name")
		case r >= 0x80 && r < 0xa0 && r != 0x85:
			return fmt.Errorf("has the control character %U in it, so the encoding is probably another one; save the list as UTF-8", r)
		}
	}
	return nil
}

func checkName(name string) error {
	switch {
	case !strings.ContainsFunc(name, func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }):
		return errors.New("has no letter or digit in it; expected a name")
	case strings.Contains(name, "@") && kindOf(name) == kindEmail:
		return errors.New("is an e-mail address; expected a name, or map the column as domain")
	case strings.Contains(name, "://"):
		return errors.New("is a URL; expected a name, or map the column as domain")
	case strings.HasSuffix(name, "@") && !strings.Contains(name, " "):
		return errors.New("is a part of an e-mail address; expected a name")
	case utf8.RuneCountInString(name) > maxName:
		return fmt.Errorf("is longer than %d characters; expected a name", maxName)
	case len(name) >= minNumber && strings.Trim(name, "0123456789") == "":
		return errors.New("is a number, as a spreadsheet writes dates and keys; expected a name")
	case hasLostLetter(name):
		return errors.New("has a question mark within a word, where a conversion lost a letter; export the list again as UTF-8")
	case strings.IndexByte(name, '<') >= 0 && htmlTag.MatchString(name):
		return errors.New("has HTML in it; expected a name")
	case isSetApart(name):
		return errSetApart
	case len(name) <= maxMangledDate && mangledDate.MatchString(name):
		return errors.New("is a date, into which a spreadsheet may have turned a name; expected a name")
	}
	if what := otherID(name); what != "" {
		return fmt.Errorf("is %s; expected a name", what)
	}
	return nil
}

const maxMangledDate = 10

// minNumber is the number of digits from which on digits alone are no name: 3M, 1822 and 4711 are companies, 45352 is a date.
const minNumber = 5

// hasLostLetter reports whether a question mark stands within a word: M?ller.
func hasLostLetter(name string) bool {
	return strings.IndexByte(name, '?') >= 0 && strings.IndexByte(name, '/') < 0 && lostLetter.MatchString(name)
}

// lostLetter wants both neighbours in one case: "Who?What" is two words.
var lostLetter = regexp.MustCompile(`\p{Ll}\?+\p{Ll}|\p{Lu}\?\p{Lu}{2}|(?:^| )\p{Lu}?\?\p{Ll}`)

// mangledDate is a date as spreadsheets show what they took for one: 5-Jan, Mar-26, 05. Mai.
var mangledDate = regexp.MustCompile(`^(?i:(?:[0-3]?\d(?:-|\. )(?:` + months + `)|(?:` + months + `)-\d\d))\.?$`)

// months are their short names in the languages of the vocabulary.
const months = "jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec|mrz|mär|mai|okt|dez|janv|févr|mars|avr|juin|juil|août|déc|ene|abr|ago|dic|fev|set|out|gen|mag|giu|lug|ott|mrt|mei|sty|lut|kwi|maj|cze|lip|sie|wrz|paź|lis|gru"

// cutShareClass splits "Acme (Class A)" into the company and "Class A".
func cutShareClass(name string) (company, class string) {
	i := strings.LastIndexByte(name, '(')
	if i < 0 || !strings.HasSuffix(name, ")") {
		return name, ""
	}
	class = name[i+1 : len(name)-1]
	word, letter, _ := strings.Cut(class, " ")
	if !strings.EqualFold(word, "class") && !strings.EqualFold(word, "series") || len(letter) != 1 {
		return name, ""
	}
	return strings.TrimSpace(name[:i]), class
}

// ID normalises a Lusha id: digits without leading zeros, or an opaque token with a version prefix
// ("v1.…"). A number that a spreadsheet reformatted is refused, because digits may be lost.
func ID(s string) (id, note string, err error) {
	s = tidyText(s)
	if rest, ok := strings.CutPrefix(s, "'"); ok {
		s = rest // a spreadsheet's marker for text
	}
	if isToken(s) {
		return s, "", nil
	}
	if digits, ok := strings.CutSuffix(s, ".0"); ok && len(digits) <= 15 && strings.Trim(digits, "0123456789") == "" {
		s, note = digits, "the id was written as a decimal number"
	}
	if s == "" || strings.Trim(s, "0123456789") != "" {
		if strings.ContainsAny(s, "0123456789") && strings.Trim(s, "0123456789.,'+-eE \u00a0") == "" {
			return "", "", errors.New("was turned into a formatted number by a spreadsheet, and digits may be lost; format the column as text and export again")
		}
		return "", "", errors.New("is not a Lusha id; expected digits, or a token such as v1.…")
	}
	id = strings.TrimLeft(s, "0")
	switch {
	case id == "":
		return "", "", errors.New("is zero; expected a Lusha id")
	case len(id) > 19:
		return "", "", fmt.Errorf("has %d digits; expected at most 19", len(id))
	case id != s:
		note = joinNotes(note, "leading zeros dropped")
	}
	return id, note, nil
}

// isToken reports whether s is an opaque id such as v1.kJ8x.
func isToken(s string) bool {
	if len(s) < 4 || len(s) > 1024 || s[0] != 'v' {
		return false
	}
	version, token, _ := strings.Cut(s[1:], ".")
	return version != "" && strings.Trim(version, "0123456789") == "" && len(token) > 0 &&
		strings.Trim(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~+/=") == ""
}

// tidyText removes invisible and control characters, replaces each run of white space by one space,
// trims, and composes (NFC).
func tidyText(s string) string {
	if isTidy(s) || isTidyLatin(s) {
		return s
	}
	return tidyAnyText(s)
}

func tidyAnyText(s string) string {
	var b strings.Builder
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
			continue
		case isInvisible(r) || unicode.IsControl(r):
			continue
		}
		if space {
			b.WriteByte(' ')
			space = false
		}
		b.WriteRune(r)
	}
	return norm.NFC.String(b.String())
}

// isTidy is the fast path for printable ASCII.
func isTidy(s string) bool {
	last := byte(' ')
	for i := range len(s) {
		c := s[i]
		if c < ' ' || c > '~' || c == ' ' && last == ' ' {
			return false
		}
		last = c
	}
	return s == "" || last != ' '
}

// isTidyLatin is isTidy for texts with letters of Western and Central Europe. They are composed, because combining
// characters come behind them.
func isTidyLatin(s string) bool {
	last := ' '
	for _, r := range s {
		if r < ' ' || r > '~' && r <= 0xa0 || r == 0xad || r >= 0x250 || r == ' ' && last == ' ' {
			return false
		}
		last = r
	}
	return last != ' '
}

// isInvisible reports whether r is a format character: zero-width spaces and joiners, soft hyphens,
// direction marks, byte order marks.
func isInvisible(r rune) bool {
	return r >= 0xad && unicode.Is(unicode.Cf, r)
}

// joinNotes joins two notes.
func joinNotes(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	}
	return a + "; " + b
}
