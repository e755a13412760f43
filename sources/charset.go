package sources

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/wlynxg/chardet"
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/htmlindex"
	utf16 "golang.org/x/text/encoding/unicode"
)

// This file knows the encodings of lists: their names, and how to recognise one that is neither
// UTF-8 nor UTF-16. A wrong guess turns names into others that are then paid for, so a code page is
// used only where all others make no sense of the text.

// extraEncodings are names that the WHATWG standard lacks and that people use.
var extraEncodings = map[string]struct {
	name     string // canonical
	encoding encoding.Encoding
}{
	"cp437": {"ibm437", charmap.CodePage437}, "ibm437": {"ibm437", charmap.CodePage437},
	"cp850": {"ibm850", charmap.CodePage850}, "ibm850": {"ibm850", charmap.CodePage850},
	"cp852": {"ibm852", charmap.CodePage852}, "ibm852": {"ibm852", charmap.CodePage852},
}

// aliases are other spellings of WHATWG labels.
var aliases = map[string]string{"cp932": "shift_jis", "cp936": "gbk", "cp949": "euc-kr", "cp950": "big5", "cp874": "windows-874",
	"mac-roman": "macintosh", "macroman": "macintosh", "latin-1": "windows-1252", "ansi": "windows-1252"}

// namedEncoding returns the encoding with a name, as users write it, and its canonical name. marked
// is the encoding that the byte order mark says: "utf-16" without a byte order means that of the
// mark, or little endian without a mark.
func namedEncoding(label, marked string) (e encoding.Encoding, name string, ok bool) {
	label = strings.ToLower(strings.TrimSpace(label))
	switch strings.NewReplacer("-", "", "_", "", " ", "").Replace(label) {
	case "utf8", "utf8sig":
		return nil, utf8Name, true
	case "utf16le":
		label = utf16leName
	case "utf16be":
		label = utf16beName
	case "utf16":
		if label = utf16leName; marked == utf16beName {
			label = utf16beName
		}
	}
	switch label {
	case utf16leName:
		return utf16.UTF16(utf16.LittleEndian, utf16.IgnoreBOM), label, true
	case utf16beName:
		return utf16.UTF16(utf16.BigEndian, utf16.IgnoreBOM), label, true
	}
	if extra, ok := extraEncodings[label]; ok {
		return extra.encoding, extra.name, true
	}
	if alias, ok := aliases[label]; ok {
		label = alias
	}
	e, err := htmlindex.Get(label)
	if err != nil {
		return nil, "", false
	}
	switch name, _ = htmlindex.Name(e); name {
	case "replacement", "x-user-defined", "": // these decode nothing
		return nil, "", false
	case utf8Name, utf16leName, utf16beName:
		return namedEncoding(name, marked)
	}
	return e, name, true
}

// deepSample is how much of a text is looked at if its beginning is not plainly UTF-8.
const deepSample = 1 << 20

// validity counts what a text is under the assumption that it is UTF-8.
type validity struct {
	good, bad       int // characters of several bytes, invalid bytes
	lines, badLines int
	firstBad        int // number of the first line with an invalid byte, from 1
}

func countUTF8(text []byte) (v validity) {
	for line := range bytes.Lines(text) {
		v.lines++
		bad := v.bad
		for i := 0; i < len(line); {
			if line[i] < utf8.RuneSelf {
				i++
				continue
			}
			r, n := utf8.DecodeRune(line[i:])
			if r == utf8.RuneError && n == 1 {
				v.bad++
			} else {
				v.good++
			}
			i += n
		}
		if v.bad > bad {
			if v.badLines++; v.firstBad == 0 {
				v.firstBad = v.lines
			}
		}
	}
	return v
}

// guessEncoding recognises the encoding of a text that has no byte order mark.
//
// A text with some invalid lines is UTF-8 if valid characters outnumber the invalid bytes, or if
// one or two lines in hundreds are invalid: reading all of it in a code page would garble the intact
// lines. Anything else is in a code page, which is an error if it is not clear.
func guessEncoding(p *preview) (name string, err error) {
	head, atEOF := p.peek(sampleSize)
	if name := guessUTF16(head); name != "" {
		return name, nil
	}
	whole := func() []byte {
		if !atEOF {
			return head[:len(head)-partialRuneLen(head)]
		}
		return head
	}
	v := countUTF8(whole())
	if v.bad > v.good && !atEOF {
		head, atEOF = p.peek(deepSample)
		v = countUTF8(whole())
	}
	if v.bad <= v.good || v.badLines <= 2 && v.lines >= 100*v.badLines {
		return utf8Name, nil
	}
	text := foreignLines(whole())
	if name := guessLatin(text); name != "" {
		return name, nil
	}
	name, clear := guessScript(text)
	if clear {
		return name, nil
	}
	fix := "save the list as UTF-8, or name its encoding: --encoding windows-1252, shift_jis, gbk, big5, euc-kr or any other that browsers know"
	if name != "" {
		fix = fmt.Sprintf("save the list as UTF-8, or name its encoding: perhaps --encoding %s", name)
	}
	return "", &Error{Line: int64(v.firstBad), Fix: fix, Expected: "UTF-8, UTF-16, or enough text to recognise the code page",
		Problem: fmt.Sprintf("the text is not UTF-8, and its encoding is not clear: %d of the first %d lines have other characters", v.badLines, v.lines)}
}

// foreignLines are the lines of a text with bytes that are no ASCII, up to the size of a sample.
func foreignLines(text []byte) (lines [][]byte) {
	size := 0
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, "\r\n"); slices.ContainsFunc(line, func(b byte) bool { return b >= utf8.RuneSelf }) {
			lines = append(lines, line)
			if size += len(line); size > sampleSize {
				break
			}
		}
	}
	return lines
}

// scripts says how sure the detector must be of an encoding, and which letters the text must
// consist of.
var scripts = []struct {
	detected, name string
	confidence     float64
	letters        []*unicode.RangeTable
	// Letters of other scripts do not occur in one word with these.
	pure bool
	// Characters that must be there: a short text in one of these fits the others, too.
	enough int
}{
	{"windows-1251", "windows-1251", 0.85, []*unicode.RangeTable{unicode.Cyrillic}, true, 8},
	{"koi8-r", "koi8-r", 0.85, []*unicode.RangeTable{unicode.Cyrillic}, true, 12},
	{"ibm866", "ibm866", 0.85, []*unicode.RangeTable{unicode.Cyrillic}, true, 12},
	{"maccyrillic", "x-mac-cyrillic", 0.9, []*unicode.RangeTable{unicode.Cyrillic}, true, 20},
	{"iso-8859-5", "iso-8859-5", 0.85, []*unicode.RangeTable{unicode.Cyrillic}, true, 12},
	{"iso-8859-7", "windows-1253", 0.85, []*unicode.RangeTable{unicode.Greek}, true, 12},
	{"windows-1253", "windows-1253", 0.85, []*unicode.RangeTable{unicode.Greek}, true, 12},
	{"windows-1255", "windows-1255", 0.9, []*unicode.RangeTable{unicode.Hebrew}, true, 12},
	{"iso-8859-8", "windows-1255", 0.9, []*unicode.RangeTable{unicode.Hebrew}, true, 12},
	{"gb2312", "gbk", 0.9, []*unicode.RangeTable{unicode.Han}, false, 12},
	{"gb18030", "gb18030", 0.9, []*unicode.RangeTable{unicode.Han}, false, 12},
	{"big5", "big5", 0.9, []*unicode.RangeTable{unicode.Han}, false, 20},
	{"shift_jis", "shift_jis", 0.6, []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana}, false, 20},
	{"cp932", "shift_jis", 0.6, []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana}, false, 20},
	{"euc-jp", "euc-jp", 0.6, []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana}, false, 20},
	{"euc-kr", "euc-kr", 0.9, []*unicode.RangeTable{unicode.Hangul}, false, 12},
	{"cp949", "euc-kr", 0.9, []*unicode.RangeTable{unicode.Hangul}, false, 12},
}

// guessScript recognises the encoding of a text in another script than the Latin one, by the
// frequency of its letters. clear says whether it is certain enough to be used.
func guessScript(lines [][]byte) (name string, clear bool) {
	text := bytes.Join(lines, []byte("\n"))
	found := chardet.Detect(text)
	for _, s := range scripts {
		if strings.EqualFold(found.Encoding, s.detected) {
			e, _, _ := namedEncoding(s.name, "")
			decoded, err := e.NewDecoder().Bytes(text)
			return s.name, err == nil && found.Confidence >= s.confidence && fitsScript(string(decoded), s.letters, s.pure, s.enough) &&
				(!slices.Contains(s.letters, unicode.Katakana) || bytes.ContainsFunc(decoded, isKana))
		}
	}
	return "", false
}

// isKana reports whether r is a letter that only Japanese has: kanji alone may be Chinese.
func isKana(r rune) bool { return unicode.In(r, unicode.Hiragana, unicode.Katakana) }

// fitsScript reports whether nearly all foreign characters of a text are letters of a script, and
// stand together as in words.
func fitsScript(text string, letters []*unicode.RangeTable, pure bool, enough int) bool {
	fitting, odd, words, oddWords := 0, 0, 0, 0
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsMark(r) && r < utf8.RuneSelf }) {
		foreign, latin, oddCase := 0, 0, false
		previous := ' '
		for _, r := range word {
			switch {
			case r < utf8.RuneSelf:
				latin++
			case r == utf8.RuneError || unicode.IsControl(r) || unicode.Is(unicode.Co, r):
				return false
			case unicode.IsOneOf(letters, r):
				foreign++
			case unicode.IsLetter(r) && !unicode.Is(unicode.Lm, r):
				odd++
			}
			oddCase = oddCase || unicode.IsLower(previous) && unicode.IsUpper(r)
			previous = r
		}
		fitting += foreign
		if foreign > 0 {
			if words++; pure && latin > 0 || oddCase {
				oddWords++
			}
		}
	}
	return fitting >= enough && 20*odd <= fitting && 10*oddWords <= words
}

// wrongPages are the code pages in which UTF-8 is read by mistake. lead are the characters that the
// first bytes of the most frequent UTF-8 characters become; one sequence that begins with one of
// them is proof, of others it takes two.
var wrongPages = []struct {
	page *charmap.Charmap
	lead string
}{
	{charmap.Windows1252, "ÃÂâ"}, {charmap.Windows1251, ""}, {charmap.Windows1250, "ĂÂ"}, {charmap.Macintosh, "√¬‚"}, {charmap.CodePage437, "├┬"}, {charmap.CodePage850, "├┬"},
}

// mojibake reports whether a text is the result of a wrong conversion: UTF-8 that was read in a code
// page ("MÃ¼ller"), or a text in another script that was read as a Western one ("Þæíàÿ").
func mojibake(s string) bool {
	return !isTidy(s) && !hasSingleLetters(s) && anyMojibake(s)
}

func anyMojibake(s string) bool {
	if strings.Contains(s, "锟斤拷") || strings.Count(s, "縺")+strings.Count(s, "繧")+strings.Count(s, "繝") >= 2 {
		return true // U+FFFD read as GBK; kana read as Shift_JIS
	}
	runs := strings.FieldsFunc(s, func(r rune) bool { return r < utf8.RuneSelf })
	for _, run := range runs {
		for _, w := range wrongPages {
			if isReadWrong(run, w.page, w.lead) {
				return true
			}
		}
	}
	return isOtherScript(runs)
}

// hasSingleLetters reports whether each letter outside ASCII stands alone and is none of Asia: a wrong conversion
// yields two at least.
func hasSingleLetters(s string) bool {
	ascii := true
	for _, r := range s {
		if r >= utf8.RuneSelf && !ascii || r >= 0x2e80 {
			return false
		}
		ascii = r < utf8.RuneSelf
	}
	return true
}

// isReadWrong reports whether characters are UTF-8 that was read in a code page.
func isReadWrong(run string, page *charmap.Charmap, lead string) bool {
	var raw []byte
	for _, r := range run {
		b, ok := page.EncodeRune(r)
		if !ok && r < 0x100 { // such as U+0081, which Windows-1252 does not define
			b, ok = byte(r), true
		}
		if !ok || len(raw) == 0 && (b < 0xc2 || b > 0xf4) { // no first byte of UTF-8
			return false
		}
		raw = append(raw, b)
	}
	if !utf8.Valid(raw) {
		return false
	}
	first, _ := utf8.DecodeRuneInString(run)
	return utf8.RuneCount(raw) >= 2 || strings.ContainsRune(lead, first)
}

// isOtherScript reports whether the foreign characters of a name are runs of Western letters and
// symbols that no language writes.
func isOtherScript(runs []string) bool {
	for _, run := range runs {
		distinct := map[rune]bool{}
		for _, r := range run {
			if _, ok := charmap.Windows1252.EncodeRune(r); !ok {
				return false
			}
			distinct[r] = true
		}
		if utf8.RuneCountInString(run) >= 4 && len(distinct) >= 3 && strings.ContainsFunc(run, unicode.IsLetter) {
			return true
		}
	}
	return false
}
