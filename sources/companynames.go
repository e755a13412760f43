package sources

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"
)

// legalForms are words of a company's name that say nothing about which company it is.
var legalForms = wordSet(`ab ag as asa aps bhd bv bvba co company corp corporation cv doo eg ev eurl gbr gesmbh ggmbh gmbh inc
	incorporated kft kg kgaa kk lda limited llc llp lp ltd ltda mbh nv oao ohg ooo oy oyj pbc plc pllc pt pte pty pvt rt sa sae
	sarl sas sau sdn se sl sls snc spa spol spzoo sro srl srls sprl the ug und vof zao zrt`)

// longestForm is the length of the longest of legalForms.
var longestForm = func() (n int) {
	for form := range legalForms {
		n = max(n, len(form))
	}
	return n
}()

// nameWords are the words of a company's name in lower-case letters and digits, without accents and
// legal forms. Dots and apostrophes join: "S.A." is sa, "Joe's" is joes.
func nameWords(name string) (words []string) {
	all := strings.FieldsFunc(foldLetters(name), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '.' && r != '\'' && r != '’'
	})
	rest := all[:0]
	for _, w := range all {
		if w = squash(w); w != "" {
			rest = append(rest, w)
		}
	}
	for _, w := range rest {
		if !legalForms[w] {
			words = append(words, w)
		}
	}
	if len(words) == 0 {
		return rest // a company that is called Limited
	}
	return words
}

// foldLetters is a text in lower case, without accents.
func foldLetters(s string) string {
	s = strings.ToLower(s)
	if isTidy(s) {
		return s
	}
	if !isBelow(s, len(latinLetters)) {
		return foldAnyLetters(s)
	}
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range s {
		b.WriteString(latinLetters[r])
	}
	return b.String()
}

// latinLetters are the Latin letters without accents, as foldAnyLetters has them.
var latinLetters = func() (folded [0x250]string) {
	for r := range folded {
		folded[r] = foldAnyLetters(string(rune(r)))
	}
	return folded
}()

// latinUmlauts are the Latin letters as hostUmlauts and foldAnyLetters have them.
var latinUmlauts = func() (folded [0x250]string) {
	for r := range folded {
		folded[r] = foldAnyLetters(hostUmlauts.Replace(string(rune(r))))
	}
	return folded
}()

// isBelow reports whether all characters of a text are below a limit.
func isBelow(s string, limit int) bool {
	for _, r := range s {
		if int(r) >= limit {
			return false
		}
	}
	return true
}

func foldAnyLetters(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.Is(unicode.Mn, r):
			return -1
		case r == 'ß':
			return 's'
		case r == 'ø':
			return 'o'
		}
		return r
	}, norm.NFKD.String(s))
}

// squash is a text without anything but letters and digits.
func squash(s string) string {
	plain := true
	for i := range len(s) {
		if c := s[i]; c-'0' >= 10 && c-'a' >= 26 {
			plain = false
			break
		}
	}
	if plain {
		return s
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return r
		}
		return -1
	}, s)
}

// spellings are the ways in which a name is written in a host: without accents, and, if it differs,
// with ae for ä.
func spellings(name string) (plain, long string) {
	if key, ok := asciiKey(name); ok {
		return key, ""
	}
	plain = joinedWords(name)
	var latin bool
	if long, latin = latinKey(name, true); !latin {
		long = joinedWords(hostUmlauts.Replace(strings.ToLower(norm.NFC.String(name))))
	}
	if long == plain {
		long = ""
	}
	return plain, long
}

var hostUmlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "ø", "oe", "å", "aa", "æ", "ae")

// asciiKey is the joined nameWords of an ASCII name, without their cost: every line of a list needs
// it. ok is false for other names.
func asciiKey(name string) (key string, ok bool) {
	var buffer [maxName + 1]byte
	if len(name) >= len(buffer) {
		return "", false
	}
	b, word := buffer[:0], 0
	for i := 0; i <= len(name); i++ {
		c := byte(' ')
		if i < len(name) {
			c = name[i]
		}
		switch {
		case c >= 0x80:
			return "", false
		case c >= 'A' && c <= 'Z':
			b = append(b, c+'a'-'A')
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
			b = append(b, c)
		case c == '.', c == '\'':
		default:
			if n := len(b) - word; n > 0 && n <= longestForm && legalForms[string(b[word:])] {
				b = b[:word]
			}
			word = len(b)
		}
	}
	return string(b), len(b) > 0 // else it consists of legal forms
}

// joinedWords are the joined nameWords of a name.
func joinedWords(name string) string {
	if key, ok := asciiKey(name); ok {
		return key
	}
	if key, ok := latinKey(name, false); ok {
		return key
	}
	return strings.Join(nameWords(name), "")
}

// latinKey is asciiKey for names with letters of Western and Central Europe. long writes ae for ä.
func latinKey(name string, long bool) (key string, ok bool) {
	var buffer [maxName + 1]byte
	b, word := buffer[:0], 0
	endWord := func() {
		if n := len(b) - word; n > 0 && n <= longestForm && legalForms[string(b[word:])] {
			b = b[:word]
		}
		word = len(b)
	}
	for _, c := range name {
		c = unicode.ToLower(c)
		if int(c) >= len(latinLetters) {
			return "", false
		}
		folded := latinLetters[c]
		if long && c >= utf8.RuneSelf {
			folded = latinUmlauts[c]
		}
		for _, r := range folded {
			switch {
			case unicode.IsLetter(r) || unicode.IsDigit(r):
				b = utf8.AppendRune(b, r)
			case r != '.' && r != '\'':
				endWord()
			}
		}
	}
	endWord()
	return string(b), len(b) > 0
}

// isNameOf reports whether a company's name is that of a domain: "Zendesk, Inc." of zendesk.com,
// "Booking.com B.V." of booking.com.
func isNameOf(company, domain string) bool {
	if company == "" {
		return false
	}
	if before, _, ok := strings.Cut(company, "("); ok && strings.TrimSpace(before) != "" { // Acme (Berlin office)
		company = before
	}
	plain, long := spellings(company)
	label := domainLabel(domain)
	for _, name := range []string{plain, long} {
		if name != "" && (equalSquashed(label, name) || equalSquashed(domain, name)) {
			return true
		}
	}
	return false
}

// equalSquashed reports whether squash(s) is name.
func equalSquashed(s, name string) bool {
	for _, r := range s {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
			continue
		}
		n, size := utf8.DecodeRuneInString(name)
		if n != r || size == 0 {
			return false
		}
		name = name[size:]
	}
	return name == ""
}

// domainLabel is the first label of a domain, without accents: what stands before the public suffix.
func domainLabel(domain string) string {
	label, _, _ := strings.Cut(domain, ".")
	if strings.HasPrefix(label, "xn--") {
		if decoded, err := idna.ToUnicode(label); err == nil {
			return foldLetters(decoded)
		}
	}
	return label
}

// minLikeness is the number of letters from which a part of a name tells companies apart.
const minLikeness = 4

// bearsName reports whether a folded label of a host, or an element of a path, is the company's name, or begins like
// it. The name is given in its spellings.
func bearsName(part, plain, long string) bool {
	for _, name := range []string{plain, long} {
		if part == name && name != "" {
			return true
		}
		if len(part) >= minLikeness && len(name) >= minLikeness && (strings.HasPrefix(name, part) || strings.HasPrefix(part, name)) {
			return true
		}
	}
	return false
}

// commonParts are labels and elements of paths that every company's site may have.
var commonParts = wordSet(`about account admin agency app apps blog booking business campus career careers cloud club company connect contact
	corp corporate data design dev digital docs edu energy engineering events europe finance foundation forum global group health help
	home hotel info international intranet invest investor investors jobs lab labs law learn legal life live local login mail market
	marketing media mobile music network news online partner partners people portal press research retail school schools secure
	security service services shop site solutions sport sports start store stores studio support systems team tech technology travel
	university ventures video wiki work world`)

// domainLikeName reports whether a domain may be the company's, judged generously: a word of the
// name is in its label, its label is in the name, or its label is an abbreviation of the name.
func domainLikeName(domain, company string) bool {
	label := squash(domainLabel(domain))
	words := nameWords(company)
	plain, long := spellings(company)
	if len(label) >= 3 && (strings.Contains(plain, label) || strings.Contains(long, label)) {
		return true
	}
	var initials strings.Builder
	for _, w := range words {
		if len(w) >= 3 && strings.Contains(label, w) {
			return true
		}
		first, _ := utf8.DecodeRuneInString(w)
		initials.WriteRune(first)
	}
	short := initials.String()
	return len(label) >= 2 && strings.HasPrefix(short, label) || len(short) >= 3 && strings.HasPrefix(label, short)
}

// isTenant reports whether an address was probably given to the company by the owner of the domain:
// the part that was cut bears the company's name, and the domain does not.
func isTenant(cut, page, domain, company string) bool {
	if company == "" {
		return false
	}
	var plain, long string
	bears := false
	for _, part := range append(strings.Split(cut, "."), page) {
		if bears || part == "" {
			continue
		}
		if part = squash(foldLetters(part)); commonParts[part] {
			continue
		}
		if plain == "" {
			plain, long = spellings(company)
		}
		bears = bearsName(part, plain, long)
	}
	return bears && !domainLikeName(domain, company)
}
