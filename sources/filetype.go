package sources

import (
	"bytes"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// This file recognises files that are no list by their content, whatever their names: a web page
// that a server sent in place of an export, a README in the folder of the lists. A single file is
// refused with its format and what to do about it; in a folder it is skipped with a note.

// format is what a file is instead of a list.
type format struct{ what, fix string }

// refuse returns the error for a file of the format.
func (f format) refuse() error {
	return &Error{Problem: "is " + f.what, Expected: "CSV text, plain or as gzip or zstd, or an Excel workbook (.xlsx)", Fix: f.fix, foreign: true}
}

// What to do about a file of another format.
const (
	fixExport  = "export the list as CSV"
	fixSheet   = "open it in a spreadsheet and save the sheet as CSV UTF-8"
	fixUnpack  = "unpack it, and name the list in it"
	fixRepack  = "unpack it, or compress with gzip or zstd"
	fixOther   = "name the list, or move this file out of the folder"
	fixFetched = "check how the file was fetched: the server may have answered with an error page"
)

var textUTF32 = format{"UTF-32 text", "save it as UTF-8"}

// signatures are the first bytes of binary formats, the more specific ones first.
var signatures = []struct {
	magic string
	format
}{
	{"PAR1", format{"a Parquet file", fixExport}},
	{"PARE", format{"an encrypted Parquet file", fixExport}},
	{"Obj\x01", format{"an Avro file", fixExport}},
	{"ARROW1", format{"an Arrow file", fixExport}},
	{"FEA1", format{"a Feather file", fixExport}},
	{"\x89HDF", format{"an HDF5 file", fixExport}},
	{"SQLite format", format{"an SQLite database", "export the table as CSV"}},
	{"PGDMP", format{"a PostgreSQL dump", "export the table as CSV"}},
	{"%PDF", format{"a PDF document", fixExport}},
	{"%!PS", format{"a PostScript document", fixExport}},
	{"BZh", format{"a bzip2 archive", fixRepack}},
	{"\xfd7zXZ", format{"an xz archive", fixRepack}},
	{"7z\xbc\xaf", format{"a 7z archive", fixUnpack}},
	{"Rar!\x1a", format{"a RAR archive", fixUnpack}},
	{"\x04\x22\x4d\x18", format{"an lz4 file", fixRepack}},
	{"\x1f\x9d", format{"a file of compress (.Z)", fixRepack}},
	{"\xff\x06\x00\x00sNaPpY", format{"a Snappy file", fixRepack}},
	{"\x1f\x8b", format{"compressed twice", "unpack it once"}},
	{"\x28\xb5\x2f\xfd", format{"compressed twice", "unpack it once"}},
	{"\xff\xfe\x00\x00", textUTF32},
	{"\x00\x00\xfe\xff", textUTF32},
	{"\x89PNG", format{"a PNG image", fixOther}},
	{"\xff\xd8\xff", format{"a JPEG image", fixOther}},
	{"GIF8", format{"a GIF image", fixOther}},
	{"\x7fELF", format{"a program", fixOther}},
	// Workbooks of Excel 2 to 5, which have no container.
	{"\x09\x00\x04\x00", format{"an old Excel workbook", fixSheet}},
	{"\x09\x02\x06\x00", format{"an old Excel workbook", fixSheet}},
	{"\x09\x04\x06\x00", format{"an old Excel workbook", fixSheet}},
	{"\x09\x08\x08\x00", format{"an old Excel workbook", fixSheet}},
	{"\x09\x08\x10\x00", format{"an old Excel workbook", fixSheet}},
}

// zipMembers tell zip-based formats apart, by the name that a member begins with.
var zipMembers = []struct {
	member string
	format
}{
	{"xl/workbook.bin", format{"a binary Excel workbook (.xlsb)", "save it as an Excel workbook (.xlsx) or as CSV UTF-8"}},
	{"word/", format{"a Word document", fixExport}},
	{"ppt/", format{"a PowerPoint presentation", fixExport}},
	{"Index/", format{"an Apple Numbers spreadsheet", "export it as CSV or as an Excel workbook"}},
}

// openDocuments are the media types that an OpenDocument file begins with.
var openDocuments = []struct {
	mediaType string
	format
}{
	{"application/vnd.oasis.opendocument.spreadsheet", format{"an OpenDocument spreadsheet (ODS)", fixSheet}},
	{"application/vnd.oasis.opendocument.", format{"an OpenDocument file", fixExport}},
	{"application/epub", format{"an e-book", fixOther}},
}

// isZip reports whether a file is a zip archive, perhaps an empty one.
func isZip(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || bytes.HasPrefix(head, []byte("PK\x05\x06")) || bytes.HasPrefix(head, []byte("PK\x07\x08"))
}

// mayBeWorkbook reports whether the beginning of a zip archive looks like that of an Excel workbook.
func mayBeWorkbook(head []byte) bool {
	if _, foreign := zipFormat(head); foreign {
		return false
	}
	return slices.ContainsFunc(zipNames(head), func(name string) bool {
		return strings.HasPrefix(name, "xl/") || strings.HasPrefix(name, "_rels/") || strings.HasPrefix(name, "docProps/") || strings.EqualFold(name, "[Content_Types].xml")
	})
}

// zipFormat recognises the zip-based formats that are no list.
func zipFormat(head []byte) (format, bool) {
	names := zipNames(head)
	if len(names) > 0 && names[0] == "mimetype" {
		for _, d := range openDocuments {
			if bytes.Contains(head[:min(len(head), 256)], []byte(d.mediaType)) {
				return d.format, true
			}
		}
	}
	for _, m := range zipMembers {
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, m.member) }) {
			return m.format, true
		}
	}
	return format{}, false
}

// zipNames returns the names of the members of a zip archive whose headers are in head.
func zipNames(head []byte) (names []string) {
	const header = 30 // bytes before the name
	for {
		i := bytes.Index(head, []byte("PK\x03\x04"))
		if i < 0 || len(head) < i+header {
			return names
		}
		head = head[i:]
		size := int(head[26]) | int(head[27])<<8
		if len(head) < header+size {
			return names
		}
		names = append(names, string(head[header:header+size]))
		head = head[header+size:]
	}
}

// binaryFormat recognises a format that is not text by the beginning of a file.
func binaryFormat(head []byte) (format, bool) {
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.magic)) && (s.magic != "BZh" || len(head) < 10 || bytes.HasPrefix(head[4:], []byte("1AY&SY"))) {
			return s.format, true
		}
	}
	switch {
	case isZip(head):
		if f, ok := zipFormat(head); ok {
			return f, true
		}
		return format{"a zip archive", fixUnpack}, true
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		if bytes.Contains(head, utf16Text("EncryptedPackage")) {
			return format{"an Excel workbook with a password", "save it without the password, or as CSV UTF-8"}, true
		}
		if bytes.Contains(head, utf16Text("WordDocument")) {
			return format{"an old Word document", fixExport}, true
		}
		return format{"an old Excel workbook", fixSheet}, true
	case isTar(head):
		return format{"a tar archive", fixUnpack}, true
	case !isBinary(head):
		return format{}, false
	case bytes.HasPrefix(head, []byte("ORC")):
		return format{"an ORC file", fixExport}, true
	case bytes.Contains(head, []byte("varchar")) || bytes.Contains(head, []byte("bigint")):
		return format{"the metadata of an Athena query", "name the .csv file next to it"}, true
	}
	return format{"binary data", fixExport}, true
}

// utf16Text is ASCII text in UTF-16, as the directories of old Office files hold it.
func utf16Text(s string) []byte {
	out := make([]byte, 0, 2*len(s))
	for i := range len(s) {
		out = append(out, s[i], 0)
	}
	return out
}

// isTar reports whether a file begins with a header of tar: its checksum, at offset 148, is the sum
// of its bytes, with spaces for the checksum itself.
func isTar(head []byte) bool {
	const block, at, size = 512, 148, 8
	if len(head) < block || head[0] == 0 {
		return false
	}
	text := strings.Trim(string(head[at:at+size]), " \x00")
	want, err := strconv.ParseInt(text, 8, 64)
	if err != nil {
		return false
	}
	sum := int64(size * ' ')
	for i, c := range head[:block] {
		if i < at || i >= at+size {
			sum += int64(c)
		}
	}
	return sum == want
}

// isBinary reports whether bytes are no text in any encoding: a twentieth of them are control
// characters that no list contains, and not by chance. Text in UTF-16 has NUL bytes at every second place.
func isBinary(head []byte) bool {
	if e := guessUTF16(head); e != "" {
		return false
	}
	if _, bom := encodingFromBOM(head); bom > 0 {
		return false
	}
	controls := 0
	for _, c := range head {
		if c < ' ' && !strings.ContainsRune("\t\n\v\f\r\x1a\x1b", rune(c)) && !strings.ContainsRune(delimiters, rune(c)) {
			controls++
		}
	}
	return controls >= 8 && controls*20 > len(head)
}

// htmlTags are the elements that a web page, or the part of one, begins with.
var htmlTags = strings.Fields("html head body title meta link script style table thead tbody tr th td div span center font p br h1 h2 h3 form section main")

var (
	// tagStart is the first element of HTML or XML.
	tagStart = regexp.MustCompile(`^<([a-z][a-z0-9:_.-]*)(?:[\s/][^<>]*)?>`)
	// jsonStart is the beginning of a JSON object or array, or of a JavaScript literal.
	jsonStart = regexp.MustCompile(`^(?:\{\s*(?:"|\}|'|[A-Za-z_]\w*\s*:)|\[\s*(?:[\[{"]|\]\s*$|$))`)
	// sqlStart is the first statement of a dump or a query.
	sqlStart = regexp.MustCompile(`^(?:create\s+(?:table|database|schema|or|temp|unique|index)|insert\s+into|drop\s+(?:table|database)|lock\s+tables|set\s+(?:names|\w+\s*=|@)|copy\s+\S+\s*\(.*from\s+stdin|begin(?:\s+transaction)?;|pragma\s|use\s+\S+;|select\s.+\sfrom\s|alter\s+table|/\*!\d+|start\s+transaction;)`)
	// checksumLine is a line of md5sum, of its kin, or of their BSD form.
	checksumLine = regexp.MustCompile(`^(?:\\?[0-9A-Fa-f]{32,128}(?:\s[ *]?\S.*)?|[A-Z0-9-]+ ?\(.+\) = [0-9A-Fa-f]{32,128})$`)
	// yamlLine and yamlKey are lines of YAML, and those that only YAML has.
	yamlLine = regexp.MustCompile(`^\s*(?:#.*|-(?:\s.*)?|[\w"'./ -]+:(?:\s.*)?|\.\.\.)$`)
	yamlKey  = regexp.MustCompile(`^\s*(?:-\s+)?[\w"'./-]+:(?:\s|$)`)
	// mailLine is a line of the header of an e-mail, mboxLine that before one in a mailbox.
	mailLine = regexp.MustCompile(`(?i)^(?:from|to|cc|subject|date|message-id|content-type|reply-to|x-[a-z-]+): `)
	mboxLine = regexp.MustCompile(`^From \S+@\S+ +(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) `)
	// drawnLine is a border of a table that a program drew for a terminal.
	drawnLine = regexp.MustCompile(`^(?:\+[-=+]{3,}\+|[┌╔┏][─═━┬╦┳]{3,}[┐╗┓]|[╭][─┬]{3,}[╮])$`)
	// cueLine says when a subtitle is shown.
	cueLine   = regexp.MustCompile(`^\d\d:\d\d:\d\d[,.]\d{3} --> \d\d:\d\d`)
	uuencoded = regexp.MustCompile(`^begin(?:-base64)? [0-7]{3,4} \S`)
	iniLine   = regexp.MustCompile(`^\s*(?:[;#].*|\[[^\]]+\]|[\w.-]+\s*=.*)$`)
)

var (
	patch     = format{"a patch", fixOther}
	subtitles = format{"a file of subtitles", fixOther}
)

// textStarts are the beginnings of text formats, in lower case.
var textStarts = []struct {
	start string
	format
}{
	{"begin:vcard", format{"a vCard file", "export the contacts as CSV"}},
	{"begin:vcalendar", format{"an iCalendar file", fixOther}},
	{`{\rtf`, format{"an RTF document", "save it as plain text, or export the list as CSV"}},
	{`\documentclass`, format{"a LaTeX document", fixExport}},
	{"%yaml", format{"YAML", fixExport}},
	{"---\n", format{"YAML", fixExport}},
	{"mime-version:", format{"an e-mail or a web archive", fixExport}},
	{"return-path:", format{"an e-mail", fixExport}},
	{"received: ", format{"an e-mail", fixExport}},
	{"#!", format{"a script", fixOther}},
	{"-----begin ", format{"a key or a certificate", fixOther}},
	{"diff --git ", patch},
	{"#extm3u", format{"a list of media to play", fixOther}},
	{"webvtt", subtitles},
	{"dn: ", format{"an LDIF file", fixExport}},
	{"version https://git-lfs.github.com/spec/", format{"a pointer of Git LFS, not the file itself", "fetch the file: git lfs pull"}},
	{"/annex/objects/", format{"a pointer of git-annex, not the file itself", "fetch the file: git annex get"}},
	{"http/1.0 ", format{"an answer of a web server", fixFetched}},
	{"http/1.1 ", format{"an answer of a web server", fixFetched}},
	{"http/2 ", format{"an answer of a web server", fixFetched}},
	{"delivered-to: ", format{"an e-mail", fixExport}},
}

// textFormat recognises a text that is no list by its beginning. name is that of its file.
func textFormat(text []byte, name string) (format, bool) {
	text = bytes.TrimLeft(text, "\ufeff \t\r\n")
	lower := bytes.ReplaceAll(bytes.ToLower(text[:min(len(text), 4096)]), []byte("\r\n"), []byte("\n"))
	for _, s := range textStarts {
		if bytes.HasPrefix(lower, []byte(s.start)) {
			return s.format, true
		}
	}
	if f, ok := markupFormat(text, lower, name); ok {
		return f, true
	}
	switch {
	case jsonStart.Match(lower):
		return format{"JSON", fixExport}, true
	case sqlStart.Match(skipSQLComments(lower)):
		return format{"an SQL dump", "export the table as CSV"}, true
	}
	lines := nonBlankLines(text)
	matching := func(of *regexp.Regexp) int {
		n := 0
		for _, line := range lines {
			if of.MatchString(line) {
				n++
			}
		}
		return n
	}
	share := func(n int) bool { return n > 0 && 10*n >= 9*len(lines) }
	switch {
	case len(lines) > 0 && mboxLine.MatchString(lines[0]), len(lines) > 2 && mailLine.MatchString(lines[0]) && mailLine.MatchString(lines[1]) && mailLine.MatchString(lines[2]):
		return format{"an e-mail", fixExport}, true
	case len(lines) > 0 && drawnLine.MatchString(lines[0]):
		return format{"a table drawn for a terminal", "export it with a delimiter: mysql --batch, psql --csv"}, true
	case len(lines) > 0 && uuencoded.MatchString(lines[0]):
		return format{"an encoded file (uuencode)", "decode it first"}, true
	case len(lines) > 1 && strings.HasPrefix(lines[0], "--- ") && strings.HasPrefix(lines[1], "+++ "):
		return patch, true
	case len(lines) > 1 && cueLine.MatchString(lines[1]):
		return subtitles, true
	case share(matching(checksumLine)):
		return format{"a file of checksums", fixOther}, true
	case len(lines) > 1 && share(matching(yamlLine)) && 3*matching(yamlKey) >= len(lines):
		return format{"YAML", fixExport}, true
	case len(lines) > 1 && strings.HasPrefix(lines[0], "[") && share(matching(iniLine)):
		return format{"a configuration file", fixOther}, true
	case len(lines) > 0 && !slices.ContainsFunc(lines, func(line string) bool { return !strings.HasPrefix(strings.Trim(line, `"`), "s3://") }):
		return format{"a list of objects on S3", "name the objects themselves, or the prefix they are under"}, true
	}
	return format{}, false
}

// markupFormat recognises HTML and XML. lower is the beginning of text, in lower case.
func markupFormat(text, lower []byte, name string) (format, bool) {
	if !bytes.HasPrefix(lower, []byte("<")) {
		return format{}, false
	}
	tag := ""
	if m := tagStart.FindSubmatch(lower); m != nil {
		tag = string(m[1])
	}
	switch {
	case bytes.Contains(lower, []byte("urn:schemas-microsoft-com:office:spreadsheet")):
		return format{"an Excel 2003 workbook (XML)", fixSheet}, true
	case bytes.HasPrefix(lower, []byte("<!doctype html")), bytes.Contains(lower, []byte("<html")), slices.Contains(htmlTags, tag),
		bytes.HasPrefix(lower, []byte("<!--")) && bytes.Contains(lower, []byte("<table")):
		if !bytes.Contains(bytes.ToLower(text), []byte("<table")) {
			return format{"a web page", fixFetched}, true
		}
		table := "an HTML table"
		if ext := path.Ext(name); strings.EqualFold(ext, ".xls") || strings.EqualFold(ext, ".xlsx") {
			table += " under " + ext
		}
		return format{"a web page (" + table + ")", fixSheet}, true
	case bytes.HasPrefix(lower, []byte("<?xml")), bytes.HasPrefix(lower, []byte("<!doctype")),
		tag != "" && (bytes.Contains(text, []byte("</")) || bytes.Contains(text, []byte("/>"))):
		return format{"an XML document", fixExport}, true
	}
	return format{}, false
}

// skipSQLComments removes the comments at the beginning of a dump.
func skipSQLComments(text []byte) []byte {
	for {
		text = bytes.TrimLeft(text, " \t\n;")
		switch {
		case bytes.HasPrefix(text, []byte("--")):
			_, text, _ = bytes.Cut(text, []byte("\n"))
		case bytes.HasPrefix(text, []byte("/*")) && !bytes.HasPrefix(text, []byte("/*!")):
			_, text, _ = bytes.Cut(text, []byte("*/"))
		default:
			return text
		}
	}
}

// nonBlankLines are the first whole lines of a text that are not blank.
func nonBlankLines(text []byte) (lines []string) {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimRight(line, " \t\r\n"); len(line) > 0 {
			lines = append(lines, string(line))
		}
		if len(lines) == sampleRecords {
			break
		}
	}
	return lines
}

// columnlessFormat recognises a text of one column without a header whose lines are no names: it is read only where
// nothing else was found.
func columnlessFormat(text []byte) (format, bool) {
	if isProse(text) {
		return prose, true
	}
	lines := nonBlankLines(text)
	share := func(of *regexp.Regexp, tenths int) bool {
		n := 0
		for _, line := range lines {
			if of.MatchString(line) {
				n++
			}
		}
		return n > 1 && 10*n >= tenths*len(lines)
	}
	switch {
	case len(lines) > 0 && errorLine.MatchString(lines[0]):
		return format{"a message about an error", fixFetched}, true
	case len(lines) > 1 && headingLine.MatchString(lines[0]) && slices.ContainsFunc(lines, bulletLine.MatchString) && !slices.ContainsFunc(lines, holdsIdentifier):
		return format{"a Markdown document", fixExport}, true
	case share(directoryLine, 5):
		return format{"a listing of a directory", fixOther}, true
	case share(logLine, 7):
		return format{"a log or a file of hosts", fixOther}, true
	case share(base64Line, 10) && len(lines[0]) >= 60:
		return format{"an encoded file (base64)", "decode it first"}, true
	case share(alignedLine, 9):
		return format{"a table whose columns are aligned with spaces", "export it with a delimiter"}, true
	case share(codeLine, 5):
		return format{"source code or a configuration file", fixOther}, true
	}
	return format{}, false
}

var (
	// logLine begins with an address or a time.
	logLine = regexp.MustCompile(`^\[?(?:\d{1,3}(?:\.\d{1,3}){3}\s+\S|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d|(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +\d{1,2} \d\d:\d\d:\d\d )`)
	// errorLine is what a program says in place of its output.
	errorLine = regexp.MustCompile(`^(?:(?:ERROR|FATAL)(?: \d+)?(?: \(\w+\))?|Error|Fatal error|fatal|panic|[\w.]*(?:Exception|Error)): \S`)
	// headingLine and bulletLine are lines of Markdown.
	headingLine = regexp.MustCompile(`^#{1,6} \S`)
	bulletLine  = regexp.MustCompile("^(?:[-*+] |\\d+\\. |```|> )\\S?")
	// directoryLine is a line of ls -l.
	directoryLine = regexp.MustCompile(`^[-dlbcps](?:[r-][w-][xsStT-]){3}[.+@]? +\d+ `)
	base64Line    = regexp.MustCompile(`^[A-Za-z0-9+/]*={0,2}$`)
	alignedLine   = regexp.MustCompile(`\S {2,}\S`)
	// codeLine is an assignment, a call, a setting, or a line that ends like a statement.
	codeLine = regexp.MustCompile(`^\s*(?:(?:import|from|def|class|return|for|while|function|var|let|const|using|include|require|export|package|public|private|try|except|elif|FROM|RUN|CMD|COPY|ENTRYPOINT|ENV|WORKDIR) .*|@\w+\{.*|[\w.$-]+ ?[:+]?= ?\S.*|[\w./-]+:(?:\s.*)?|[\w.$]+\(.*\);?|.*(?:[{};]|\):|=>)|\[[\w.-]+\])$`)
)

// proseWords occur in sentences and hardly in the names of companies and people: pronouns,
// auxiliaries, conjunctions, negations.
var proseWords = func() map[string]bool {
	m := map[string]bool{}
	for _, word := range strings.Fields(`
		please is are was were be been do does did not this these that those which you your we our they their it its will would must
		should shall can could may might has have had if when where because there here then than but cannot don't see contains
		bitte ist sind war wird werden nicht kein keine diese dieser dieses wir sie muss müssen soll kann können darf wenn weil
		aber oder enthält siehe
		est sont était n'est pas ne veuillez cette ces nous vous votre leur doit doivent peut peuvent parce mais voir
		está están este esta estos estas nosotros usted debe deben puede pueden cuando porque pero
		não são estes deve devem pode podem quando mas
		è sono questo questa questi queste devono può possono quando perché
		dit deze zijn niet wordt worden moet moeten kan kunnen als maar wanneer
		jest są nie musi można kiedy ale`) {
		m[word] = true
	}
	return m
}()

var prose = format{"prose", fixOther}

// isProse reports whether a text consists of sentences: a third of its lines have words that names
// hardly have, or end like a sentence, and few hold an identifier.
func isProse(text []byte) bool {
	lines := nonBlankLines(text)
	sentences, found, identifiers := 0, 0, 0
	for _, line := range lines {
		if holdsIdentifier(line) {
			identifiers++
		}
		words := strings.FieldsFunc(strings.ToLower(line), func(r rune) bool { return !unicode.IsLetter(r) && r != '\'' })
		n := 0
		for _, w := range words {
			if proseWords[w] {
				n++
			}
		}
		if n > 0 && len(words) >= 3 || endsSentence(line, len(words)) || letterLine.MatchString(line) || len(lines) == 1 && endsSentence(line, len(words)+2) {
			sentences++
			found += max(n, 1)
		}
	}
	return 3*sentences >= len(lines) && (found >= 2 || len(lines) == 1 && found > 0) && 2*identifiers < len(lines)
}

// letterLine begins or ends a letter.
var letterLine = regexp.MustCompile(`^(?i:(?:dear|hi|hello|hallo|liebe|lieber|sehr geehrte|sehr geehrter|guten tag|bonjour|cher|chère|madame|monsieur|estimado|estimada|querido|querida|prezado|prezada|olá|ciao|gentile|geachte|beste|szanowny|szanowna|szanowni)\b.*[,!]|(?:best regards|kind regards|warm regards|regards|sincerely|yours sincerely|mit freundlichen grüßen|viele grüße|cordialement|saludos|atenciosamente|cordiali saluti|met vriendelijke groet|pozdrawiam|z poważaniem),?)$`)

// holdsIdentifier reports whether a line has a domain, an address or a profile in it.
func holdsIdentifier(line string) bool {
	for _, word := range strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || strings.ContainsRune(delimiters, r) }) {
		if _, ok := kindFields[kindOf(strings.TrimRight(word, "."))]; ok {
			return true
		}
	}
	return false
}

// endsSentence reports whether a line ends like a sentence and not like the name of a company, such
// as "Acme Inc.".
func endsSentence(line string, words int) bool {
	if strings.HasSuffix(line, "。") {
		return true
	}
	body, ended := strings.CutSuffix(line, ".")
	if !ended || words < 5 {
		return false
	}
	last := body[strings.LastIndexByte(body, ' ')+1:]
	r, _ := utf8.DecodeRuneInString(last)
	return unicode.IsLower(r) && utf8.RuneCountInString(last) > 4
}
