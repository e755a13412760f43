package sources

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// language is a language in Latin letters.
type language struct {
	name    string
	letters string
	// Share of each of the letters among those of the language that are no ASCII.
	share map[rune]float64
}

// newLanguage reads letters with their shares in thousandths: "ü450 ö200". Shares are rounded from the frequencies of
// letters in texts. Rare letters are left out: what decides is which of two readings is the usual one.
func newLanguage(name, letters string) language {
	l := language{name: name, share: map[rune]float64{}}
	for _, word := range strings.Fields(letters) {
		r, size := utf8.DecodeRuneInString(word)
		n, err := strconv.Atoi(word[size:])
		if err != nil {
			panic(name + ": " + word) // it is part of the program
		}
		l.letters += string(r)
		l.share[r] = float64(n) / 1000
	}
	return l
}

var (
	german    = newLanguage("German", "ü420 ö200 ä230 ß130 é10")
	czech     = newLanguage("Czech, Slovak", "í170 á170 é100 ě90 č90 š90 ř80 ž80 ý70 ů35 ú20 ň8 ť5 ď5 ó8 ľ10 ô10 ä5")
	polish    = newLanguage("Polish", "ł280 ó140 ą140 ę130 ż110 ś90 ć60 ń40 ź10")
	croatian  = newLanguage("Croatian, Slovenian", "č320 š300 ž220 ć110 đ50")
	hungarian = newLanguage("Hungarian", "é270 á270 ö90 ó90 ő80 ü60 í60 ú30 ű25")
	turkish   = newLanguage("Turkish", "ı270 ü170 ş160 ç120 ö110 ğ110 â10 û5 î5")
)

// western languages are written in Windows-1252 and in the code pages of DOS and the Macintosh.
var western = []language{
	german,
	newLanguage("French", "é640 è120 à60 ê60 ç50 ô20 î15 û10 â15 ù5 ë10 ï5 œ5 æ1 ü1 ÿ1"),
	newLanguage("Spanish", "ó290 í230 á190 é130 ñ100 ú50 ü5 ª2 º2"),
	newLanguage("Portuguese", "ã230 ç190 á130 é120 í90 ó80 ê50 õ40 â30 ú30 à10 ô20 º2 ª2"),
	newLanguage("Italian", "à340 è290 ò120 ì100 ù100 é50 î2"),
	newLanguage("Catalan", "ó220 à210 è120 é120 í120 ç60 ò60 ú50 ï30 ü10"),
	newLanguage("Dutch", "ë480 é260 ï120 ó40 è40 ö30 ü20 ê10"),
	newLanguage("Danish, Norwegian", "ø430 å310 æ210 é20 ö10 ä10 ü10 ô2"),
	newLanguage("Swedish, Finnish", "ä470 ö280 å210 é20 ü10 à2"),
	newLanguage("Icelandic", "á200 í180 ð150 ó100 ö90 æ90 ú70 þ60 é60 ý40"),
}

// latinPages are the code pages with Latin letters, the most common one first.
var latinPages = []struct {
	name      string
	languages []language
	// Languages that are written in the page, but not what it is made for: they alone do not speak for it.
	others []language
	rare   bool // it takes more than two lines to believe it
}{
	{cp1252Name, western, nil, false},
	{"windows-1250", []language{
		czech, polish, hungarian,
		croatian,
		newLanguage("Romanian", "ă350 î190 ş190 ţ180 â90"),
		newLanguage("German", "ü420 ö210 ä230 ß140"),
	}, nil, false},
	{"windows-1254", []language{turkish}, western[:len(western)-1], false},
	{"windows-1257", []language{
		newLanguage("Lithuanian", "ė240 š170 ų140 ž120 ą90 į90 ū80 č50 ę40"),
		newLanguage("Latvian", "ā380 ī170 ē160 š100 ņ50 ļ40 ū40 ž30 ģ15 ķ15 č10"),
		newLanguage("Estonian", "ä380 õ300 ü220 ö90 š5 ž3"),
	}, []language{german}, false},
	{"macintosh", western, nil, true},
	{"ibm850", western, nil, true},
	{"ibm852", []language{czech, polish, hungarian}, []language{german, croatian}, true},
}

// latinReading is a text as it reads in one of latinPages.
type latinReading struct {
	page int // index in latinPages
	text []string
	fits []bool // a line fits one of the languages of the page
	good int    // lines that fit
}

// guessLatin recognises the code page of a text with Latin letters; empty if none fits, or if two
// fit and read it differently: by the letters of its lines or, if they do not decide, by how often each occurs.
func guessLatin(lines [][]byte) string {
	readings := make([]latinReading, len(latinPages))
	for i, page := range latinPages {
		e, _, _ := namedEncoding(page.name, "")
		r := latinReading{page: i}
		for _, line := range lines {
			decoded, _ := e.NewDecoder().Bytes(line) // code pages have no errors
			text := string(decoded)
			fits := fitsLatin(text, page.languages)
			if fits {
				r.good++
			}
			r.text, r.fits = append(r.text, text), append(r.fits, fits)
		}
		readings[i] = r
	}
	scores := make([]frequencies, len(readings))
	best := 0
	for i := range readings {
		if scores[i] = readings[i].frequencies(); scores[i].likelihood > scores[best].likelihood {
			best = i
		}
	}
	if i := guessByLines(readings); i >= 0 {
		if b, s := scores[best], scores[i]; b.likelihood > s.likelihood && b.fitting >= s.fitting && readings[best].differingLetters(&readings[i]) > 0 {
			return "" // its letters are rare in the languages that fit
		}
		return latinPages[i].name
	}
	if isClear(readings, scores, best) {
		return latinPages[best].name
	}
	return ""
}

// guessByLines recognises the code page by the lines that fit a language of it as a whole; -1: none is clear.
//
// Two pages that read a text differently are compared by their lines: one must fit the languages of
// its page where the other does not, and hardly ever the other way round.
func guessByLines(readings []latinReading) int {
	for i, r := range readings {
		lines := len(r.text)
		if 10*r.good < 9*lines || latinPages[i].rare && lines < 3 {
			continue
		}
		if !slices.ContainsFunc(readings, func(other latinReading) bool {
			return other.page != i && 10*other.good >= 5*lines && !r.beats(&other)
		}) {
			return i
		}
	}
	return -1
}

// beats reports whether a reading is clearly better than another.
func (r *latinReading) beats(other *latinReading) bool {
	differ, only, onlyOther, acute := 0, 0, 0, 0
	for i := range r.text {
		if r.text[i] != other.text[i] {
			differ++
		} else if strings.Contains(r.text[i], "é") {
			acute++
		}
		if r.fits[i] && !other.fits[i] {
			only++
		}
		if other.fits[i] && !r.fits[i] {
			onlyOther++
		}
	}
	return differ == 0 || only > 4*onlyOther || only == 0 && onlyOther == 0 && acute >= differ
}

const (
	// unlikely is the share of letters that a language does not have.
	unlikely = 1e-4
	// unlikelySymbol is the share of symbols that are no punctuation, and may stand in place of a letter.
	unlikelySymbol = 0.01
	// clearEvidence is the difference of two log-likelihoods from which one reading is clearly the better one: ten
	// thousand to one. In a long text each letter that is read differently must count, too.
	clearEvidence, clearLetter = 9.2, 0.7
)

// isClear reports whether a reading whose lines mix languages, such as "Weiß & Ångström", is plausible and clearly better
// than the others: each word may be of another language of the page, and the letters are as frequent as they are in these
// languages. A text with many ø is Danish, because a Czech one has many á and í next to ř.
func isClear(readings []latinReading, scores []frequencies, best int) bool {
	b, lines := scores[best], len(readings[best].text)
	if 10*b.fitting < 9*b.words || 10*b.sound < 9*lines || b.own == 0 || latinPages[best].rare && lines < 3 {
		return false
	}
	for i, s := range scores {
		differ := readings[best].differingLetters(&readings[i])
		if i != best && differ > 0 && b.likelihood-s.likelihood < max(clearEvidence, clearLetter*float64(differ)) {
			return false
		}
	}
	return true
}

// frequencies say how plausible the letters of a reading are.
type frequencies struct {
	likelihood float64 // its logarithm
	words      int     // with letters that are no ASCII
	fitting    int     // words of one of the languages
	own        int     // words of the languages that the page is made for
	sound      int     // lines without symbols or capitals in place of letters
}

func (r *latinReading) frequencies() (f frequencies) {
	page := &latinPages[r.page]
	for _, line := range r.text {
		if isSoundLatin(line) {
			f.sound++
		} else {
			f.likelihood += math.Log(unlikely)
		}
		for _, r := range line {
			if r >= utf8.RuneSelf && !unicode.IsLetter(r) && !strings.ContainsRune("“”‘’„‚–—•·®™\u00a0", r) {
				f.likelihood += math.Log(unlikelySymbol)
			}
		}
		for _, word := range strings.FieldsFunc(line, func(r rune) bool { return !unicode.IsLetter(r) }) {
			if isTidy(word) {
				continue
			}
			own, fitsOwn := likelihoodOf(word, page.languages)
			other, fitsOther := likelihoodOf(word, page.others)
			f.likelihood += max(own, other)
			f.words++
			if fitsOwn || fitsOther {
				f.fitting++
			}
			if fitsOwn {
				f.own++
			}
		}
	}
	return f
}

// likelihoodOf is the logarithm of the likelihood of the letters of a word in the language that it fits best, and
// whether that has all of them.
func likelihoodOf(word string, languages []language) (best float64, fits bool) {
	best = math.Inf(-1)
	for _, l := range languages {
		sum, all := 0.0, true
		for _, r := range word {
			if r < utf8.RuneSelf {
				continue
			}
			share := l.share[unicode.ToLower(r)]
			if r == 'İ' && l.share['ı'] > 0 {
				share = 0.05
			}
			all = all && share > 0
			sum += math.Log(max(share, unlikely))
		}
		if sum > best {
			best, fits = sum, all
		}
	}
	return best, fits
}

// differingLetters counts the letters that two readings read differently.
func (r *latinReading) differingLetters(other *latinReading) (n int) {
	for i, line := range r.text {
		theirs := []rune(other.text[i])
		for j, c := range []rune(line) {
			if j < len(theirs) && c != theirs[j] {
				n++
			}
		}
	}
	return n
}

// fitsLatin reports whether a line is plausible in one of the languages: it is sound, and has no other letters.
func fitsLatin(line string, languages []language) bool {
	return isSoundLatin(line) && slices.ContainsFunc(languages, func(l language) bool {
		for _, r := range line {
			if r >= utf8.RuneSelf && unicode.IsLetter(r) && !strings.ContainsRune(l.letters, unicode.ToLower(r)) && r != 'İ' {
				return false
			}
		}
		return true
	})
}

// isSoundLatin reports whether a line has no capital inside a word, and no symbol in place of a letter.
func isSoundLatin(line string) bool {
	previous, run := ' ', 0
	runes := []rune(line)
	for i, r := range runes {
		next := ' '
		if i+1 < len(runes) {
			next = runes[i+1]
		}
		if run++; r < utf8.RuneSelf {
			run = 0
		}
		switch {
		case r < utf8.RuneSelf:
			if previous >= utf8.RuneSelf && unicode.IsLower(previous) && unicode.IsUpper(r) {
				return false
			}
		case r < 0xa0 || r == utf8.RuneError || run > 3:
			return false // no character of the page, or no word
		case unicode.IsLetter(r):
			if unicode.IsUpper(r) && unicode.IsLower(previous) {
				return false
			}
		case !strings.ContainsRune("“‘«„¡¿‹’–—•·\u00a0", r) && (unicode.IsLetter(next) || !strings.ContainsRune("”»›®™©°…²³€£§´", r)):
			return false
		}
		previous = r
	}
	return true
}
