package sources

import (
	_ "embed"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// role is the meaning of a header name before it is known whether the list holds companies or
// contacts: "company" is the name in a list of companies and the employer in a list of contacts.
type role int

const (
	roleNone role = iota - 1
	roleKey
	rolePersonKey
	roleID
	roleCompanyID
	rolePersonID
	roleSite
	roleOrganisation
	roleName
	roleNameOrFirst
	roleNameOrLast
	rolePerson
	roleFirstName
	roleLastName
	roleLinkedIn
	roleCompanyPage // known, and of no use
	roleEmail
	numRoles
)

// roleNumber is the role of a phrase that is a key only with a word for a company or a contact.
const roleNumber = numRoles

// sectionRoles are the sections of the vocabulary that define phrases of a role.
var sectionRoles = map[string]role{
	"key": roleKey, "person-key": rolePersonKey, "id": roleID, "company-id": roleCompanyID, "person-id": rolePersonID,
	"site": roleSite, "organisation": roleOrganisation, "name": roleName, "name-or-first": roleNameOrFirst, "name-or-last": roleNameOrLast,
	"person": rolePerson, "first-name": roleFirstName, "last-name": roleLastName, "linkedin": roleLinkedIn, "email": roleEmail, "number": roleNumber, "none": roleNone,
}

// wordClass is a class of words that may surround a phrase. A word may be of several classes.
type wordClass int

const (
	wordCompany wordClass = 1 << iota
	wordContact
	wordVendor
	wordQualifier
	wordSecondary
	wordLink
	wordOther
	wordPerhapsOther
	wordTrait
	wordHeading
)

// wordsApart are the classes of words that may not surround a phrase.
const wordsApart = wordOther | wordPerhapsOther | wordTrait | wordHeading

// sectionClasses are the sections of the vocabulary that define a class of words.
var sectionClasses = map[string]wordClass{
	"company": wordCompany, "contact": wordContact, "vendor": wordVendor, "qualifier": wordQualifier,
	"secondary": wordSecondary, "link": wordLink, "other": wordOther, "perhaps-other": wordPerhapsOther,
	"trait": wordTrait, "heading": wordHeading,
}

// The ranks of a role: of two columns with the same role, the one with the lower rank is used.
const (
	rankStep        = 1000 // between two sections of a role
	rankEmailDomain = 4 * rankStep
	rankSecondary   = 100 // "Secondary E-mail"
	rankNumber      = 200 // "E-mail 2", and more for higher numbers
	rankVendor      = 500 // "Salesforce Account Name"
	// Keys that are recognised by their last word only, or belong to another program.
	rankLoose = 100_000
)

// meaning is what a header name says.
type meaning struct {
	role role
	rank int
}

// phrase is an entry of the vocabulary with a role.
type phrase struct {
	text, language string
	meaning
}

// vocabulary is the content of vocabulary.txt.
type vocabulary struct {
	phrases  []phrase
	meanings map[string]meaning // by folded phrase
	classes  map[string]wordClass
}

//go:embed vocabulary.txt
var vocabularyText string

var headerWords = func() *vocabulary {
	v, err := parseVocabulary(vocabularyText)
	if err != nil {
		panic(err) // the tests read the same text
	}
	return v
}()

// parseVocabulary reads sections of lines such as "de: Webseite, Homepage".
func parseVocabulary(text string) (*vocabulary, error) {
	v := &vocabulary{meanings: map[string]meaning{}, classes: map[string]wordClass{}}
	var current meaning
	var class wordClass
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch section, inSection := strings.CutPrefix(line, "["); {
		case line == "" || line[0] == '#':
		case inSection:
			name, rank, _ := strings.Cut(strings.TrimSuffix(section, "]"), " ")
			r, isRole := sectionRoles[name]
			class = sectionClasses[name]
			if !isRole && class == 0 {
				return nil, fmt.Errorf("line %d: unknown section %q", n+1, name)
			}
			step, _ := strconv.Atoi(rank) // absent: one section
			current = meaning{r, step * rankStep}
		default:
			language, list, ok := strings.Cut(line, ": ")
			if !ok || current == (meaning{}) && class == 0 {
				return nil, fmt.Errorf("line %d: expected LANGUAGE: PHRASE, PHRASE", n+1)
			}
			for text := range strings.SplitSeq(list, ",") {
				text = strings.TrimSpace(text)
				if class != 0 {
					for _, key := range foldedForms(text, nil) {
						v.classes[key] |= class
					}
					continue
				}
				v.phrases = append(v.phrases, phrase{text, language, current})
				if current.role == roleKey {
					current.rank++
				}
			}
		}
	}
	for _, p := range v.phrases {
		for _, key := range foldedForms(p.text, v) {
			if _, known := v.meanings[key]; !known {
				v.meanings[key] = p.meaning
			}
		}
	}
	return v, nil
}

// foldedForms are the folded spellings of a phrase: with umlauts as one letter and as two, and, with
// a vocabulary, without its articles.
func foldedForms(text string, v *vocabulary) []string {
	var forms []string
	for _, spelling := range []string{text, umlauts.Replace(text)} {
		words := headerTokens(spelling)
		if v != nil {
			words = v.withoutLinks(words)
		}
		if folded := strings.Join(words, ""); !slices.Contains(forms, folded) {
			forms = append(forms, folded)
		}
	}
	return forms
}

var umlauts = strings.NewReplacer("ä", "ae", "ö", "oe", "ü", "ue", "Ä", "Ae", "Ö", "Oe", "Ü", "Ue")

// withoutLinks removes articles and prepositions, unless nothing else is left.
func (v *vocabulary) withoutLinks(words []string) []string {
	var kept []string
	for _, w := range words {
		if v.classes[w]&wordLink == 0 {
			kept = append(kept, w)
		}
	}
	if len(kept) == 0 {
		return words
	}
	return kept
}

// meaningOf looks up the meaning of a header name. exact is false for a key that is recognised by
// its last word ("Salesforce Opportunity Id"), which is not enough to take a line for a header.
func meaningOf(name string) (m meaning, exact, ok bool) {
	tokens := headerTokens(name)
	if m, ok = headerWords.match(tokens); !ok {
		if before, in, cut := strings.Cut(norm.NFKC.String(name), "("); cut { // "Domain (without www)"
			m, ok = headerWords.match(headerTokens(before))
			m.rank += rankSecondary
			if in := headerTokens(in); m.role == roleName && headerWords.names(wordCompany, in) && !headerWords.names(wordContact, in) {
				m.role = roleOrganisation // "Name (Adressattyp Unternehmen)"
			}
		}
	}
	if !ok {
		m, ok = headerWords.matchNumbered(tokens)
	}
	if ok {
		return m, m.rank < rankLoose, true
	}
	if n := len(tokens); n > 1 && (tokens[n-1] == "id" || tokens[n-1] == "key") && !headerWords.names(wordOther, tokens) {
		return meaning{roleKey, 2 * rankLoose}, false, true
	}
	return meaning{}, false, false
}

// names reports whether a header name has a word of a class, such as "Parent Company".
func (v *vocabulary) names(class wordClass, tokens []string) bool {
	return slices.ContainsFunc(v.splitCompounds(tokens), func(w string) bool { return v.classes[w]&class != 0 })
}

// match finds the phrase of a header name, if all words around it are of a known class.
func (v *vocabulary) match(tokens []string) (meaning, bool) {
	if len(tokens) == 0 || len(tokens) > 12 {
		return meaning{}, false
	}
	tokens = v.withoutLinks(v.splitCompounds(v.joinNames(tokens)))
	from, to := 0, 0
	var found meaning
	for i := range tokens {
		for j := len(tokens); j > i; j-- {
			m, ok := v.lookup(strings.Join(tokens[i:j], ""))
			if !ok || !v.surround(tokens[:i]) || !v.surround(tokens[j:]) {
				continue
			}
			// The last phrase is the head of the name, as in "Contact Company", unless it is part of
			// a longer one.
			if j > to {
				from, to, found = i, j, m
			}
			break
		}
	}
	if to == 0 || found.role == roleNone {
		return meaning{}, false
	}
	return v.inContext(found, slices.Concat(tokens[:from], tokens[to:]))
}

// matchNumbered finds the phrase of a header name with a number inside it, such as "E-mail 2 Address".
func (v *vocabulary) matchNumbered(tokens []string) (meaning, bool) {
	for i := 1; i+1 < len(tokens); i++ {
		if !isNumber(tokens[i]) {
			continue
		}
		m, ok := v.match(slices.Concat(tokens[:i], tokens[i+1:], tokens[i:i+1]))
		return m, ok && isFallback(m.role)
	}
	return meaning{}, false
}

// lookup finds a phrase, also in the English plural.
func (v *vocabulary) lookup(folded string) (meaning, bool) {
	m, ok := v.meanings[folded]
	if singular, plural := strings.CutSuffix(folded, "s"); !ok && plural {
		m, ok = v.meanings[singular]
	}
	return m, ok
}

// surround reports whether words may stand around a phrase.
func (v *vocabulary) surround(tokens []string) bool {
	for _, w := range tokens {
		if v.classes[w]&^wordsApart == 0 && !isNumber(w) {
			return false
		}
	}
	return true
}

// inContext is the meaning of a phrase among other words.
func (v *vocabulary) inContext(m meaning, around []string) (meaning, bool) {
	var class wordClass
	lusha := false
	for _, w := range around {
		class |= v.classes[w]
		lusha = lusha || w == "lusha"
		if n, err := strconv.Atoi(w); err == nil && n > 1 {
			m.rank += rankNumber + min(n, 100)
		}
	}
	if class&wordSecondary != 0 {
		m.rank += rankSecondary
	}
	if class&wordVendor != 0 {
		m.rank += rankVendor
	}
	company, contact := class&wordCompany != 0, class&wordContact != 0
	switch m.role {
	case roleName, roleNameOrFirst, roleNameOrLast:
		switch {
		case contact && m.role == roleName:
			m.role = rolePerson
		case company && !contact:
			m.role = roleOrganisation
		}
	case roleOrganisation:
		if m.rank >= 2*rankStep && slices.Contains(around, "linkedin") { // "LinkedIn der Firma"
			m.role = roleCompanyPage
		}
	case roleLinkedIn:
		if company && !contact {
			m.role = roleCompanyPage
		}
	case roleEmail:
		// The address of a company is no contact's, except as "Corporate E-mail".
		if company && !contact && class&wordQualifier == 0 {
			return meaning{}, false
		}
	case roleNumber, roleKey, rolePersonKey:
		return v.keyInContext(m, class, lusha)
	}
	return m, true
}

// keyInContext is the meaning of an id or number among other words.
func (v *vocabulary) keyInContext(m meaning, class wordClass, lusha bool) (meaning, bool) {
	company, contact := class&wordCompany != 0, class&wordContact != 0 || m.role == rolePersonKey
	switch {
	case lusha && contact:
		return meaning{role: rolePersonID}, true
	case lusha && (company || m.role == roleKey && m != v.meanings["id"]): // "Lusha Account Id"
		return meaning{role: roleCompanyID}, true
	case lusha:
		return meaning{role: roleID}, true
	case m.role == roleNumber && !company && !contact && class&wordVendor == 0:
		return meaning{}, false
	}
	if class&wordVendor != 0 {
		m.rank += rankLoose
	}
	if m.role == roleNumber {
		m.rank += rankStep / 2
	}
	m.role = roleKey
	if contact {
		m.role = rolePersonKey
	}
	return m, true
}

// joinNames joins the parts of names such as LinkedIn and ZoomInfo.
func (v *vocabulary) joinNames(tokens []string) []string {
	var joined []string
	for i := 0; i < len(tokens); i++ {
		if i+1 < len(tokens) && v.classes[tokens[i]+tokens[i+1]]&wordVendor != 0 {
			joined = append(joined, tokens[i]+tokens[i+1])
			i++
			continue
		}
		joined = append(joined, tokens[i])
	}
	return joined
}

// splitCompounds splits words such as "Firmenwebseite" and 会社ドメイン into words of the vocabulary.
func (v *vocabulary) splitCompounds(tokens []string) []string {
	var words []string
	for _, w := range tokens {
		words = append(words, v.splitCompound(w, 2)...)
	}
	return words
}

// splitCompound splits a word into a known phrase behind up to depth known words; if that is
// impossible it returns the word.
func (v *vocabulary) splitCompound(word string, depth int) []string {
	if _, known := v.lookup(word); known || v.classes[word] != 0 || depth == 0 {
		return []string{word}
	}
	for i, r := range word {
		first := word[:i]
		if i == 0 || v.classes[first]&^(wordsApart|wordLink) == 0 || r < 0x80 && i < 3 {
			continue
		}
		rest := v.splitCompound(word[i:], depth-1)
		last := rest[len(rest)-1]
		if _, known := v.lookup(last); known {
			return append([]string{first}, rest...)
		}
	}
	return []string{word}
}

// foldName removes the differences between spellings of a header name: case, accents, spaces,
// underscores, hyphens, byte order marks.
func foldName(name string) string { return strings.Join(headerTokens(name), "") }

// headerTokens splits a header name into folded words: at all that is no letter or digit, between
// letters and digits, at capitals in the middle of a word ("companyName"), and where the script
// changes. A number sign becomes the word "number".
func headerTokens(name string) []string {
	var tokens []string
	var word strings.Builder
	flush := func() {
		if word.Len() > 0 {
			tokens = append(tokens, word.String())
			word.Reset()
		}
	}
	runes := []rune(norm.NFKC.String(name))
	previous := runeOther
	for i, r := range runes {
		class, next := runeClassOf(r), runeOther
		if i+1 < len(runes) {
			next = runeClassOf(runes[i+1])
		}
		if endsWord(previous, class, next) {
			flush()
		}
		previous = class
		switch {
		case r == '#':
			tokens = append(tokens, "number")
		case class != runeOther:
			foldRune(&word, r)
		}
	}
	flush()
	return tokens
}

// endsWord reports whether a word ends between two characters; next follows the second.
func endsWord(previous, class, next runeClass) bool {
	switch {
	case previous == runeUpper && class == runeLower: // "Name"
		return false
	case previous == runeUpper && class == runeUpper: // "URLLink"
		return next == runeLower
	}
	return class != previous
}

// runeClass says where a word may end.
type runeClass int

const (
	runeOther runeClass = iota
	runeLower
	runeUpper
	runeDigit
	runeAsian // letters without case
	runeParticle
)

func runeClassOf(r rune) runeClass {
	if uint32(r) < uint32(len(latinClasses)) {
		return latinClasses[r]
	}
	return classifyRune(r)
}

// latinClasses are the classes of the characters of Western and Central Europe, and latinFolded their spellings
// without case and accents.
var latinClasses, latinFolded = func() (classes [0x250]runeClass, folded [0x250]string) {
	for r := range folded {
		classes[r] = classifyRune(rune(r))
		var b strings.Builder
		foldAnyRune(&b, rune(r))
		folded[r] = b.String()
	}
	return classes, folded
}()

func classifyRune(r rune) runeClass {
	switch {
	case r == 'の':
		return runeParticle
	case unicode.IsDigit(r):
		return runeDigit
	case unicode.IsUpper(r):
		return runeUpper
	case unicode.Is(unicode.Mn, r):
		return runeLower
	case unicode.In(r, unicode.Latin, unicode.Greek, unicode.Cyrillic):
		return runeLower
	case unicode.IsLetter(r):
		return runeAsian
	}
	return runeOther
}

// foldRune writes a letter in lower case and without accents.
func foldRune(w *strings.Builder, r rune) {
	if uint32(r) < uint32(len(latinFolded)) {
		w.WriteString(latinFolded[r])
		return
	}
	foldAnyRune(w, r)
}

func foldAnyRune(w *strings.Builder, r rune) {
	if r < 0x80 {
		w.WriteRune(unicode.ToLower(r))
		return
	}
	r = unicode.ToLower(r)
	switch r {
	case 'ß':
		w.WriteString("ss")
	case 'ø':
		w.WriteString("o")
	case 'ł':
		w.WriteString("l")
	case 'æ':
		w.WriteString("ae")
	case 'œ':
		w.WriteString("oe")
	case 'đ', 'ð':
		w.WriteString("d")
	case 'ı':
		w.WriteString("i")
	default:
		if !unicode.Is(unicode.Latin, r) {
			if !unicode.Is(unicode.Mn, r) {
				w.WriteRune(r)
			}
			return
		}
		for _, part := range norm.NFD.String(string(r)) {
			if !unicode.Is(unicode.Mn, part) {
				w.WriteRune(part)
			}
		}
	}
}
