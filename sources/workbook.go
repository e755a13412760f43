package sources

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// An Excel workbook becomes the text of a list: one line for each row of a sheet, its cells separated
// by commas, as the sheet shows them. The steps after that are those of any list.
//
// The library that reads workbooks takes a file, loads all parts of it but the largest, and passes
// over damage in silence. So the workbook is copied to a folder for temporary files, one sheet and
// what belongs to it are checked byte by byte, and the library reads those parts only.

// Limits of a workbook. They bound memory, and the disk that a small file can ask for.
const (
	maxWorkbook    = 1 << 30 // bytes as stored
	maxSheet       = 4 << 30 // bytes of the XML of one sheet, or of the shared texts
	maxOtherPart   = 16 << 20
	maxPartInCache = 8 << 20 // larger parts are unpacked to temporary files
)

// workbook reads a sheet as CSV text.
type workbook struct {
	dir    string       // of temporary files
	remove func() error // the directory; nil: there is none
	file   *excelize.File
	rows   *excelize.Rows
	sheet  string
	member *zip.File         // the part of the sheet
	others []string          // other visible sheets
	parts  map[string]string // member of the archive by name of the sheet
	facts  sheetFacts
	// Walks over the special cells, in step with rows; nil if there are none.
	special *sheetScanner
	part    io.ReadCloser // read by special
	pending *specialCell  // the next one
	archive *zip.ReadCloser

	// Targets of the links of cells, by row.
	links map[int][]cellLink

	row    int
	text   bytes.Buffer // not yet read
	failed error
	// What was read, to be read once more; nil: it is not kept.
	kept *os.File
	// The text is read from kept.
	again bool
}

// openWorkbook copies a workbook and opens one of its sheets: the one with the name or number of the options,
// else the first that is visible. Errors of the workbook are *Error.
func openWorkbook(stored io.Reader, o Options) (*workbook, error) {
	w := &workbook{}
	if err := w.open(stored, o); err != nil {
		_ = w.Close() // the error counts
		return nil, err
	}
	return w, nil
}

// makeTempDir is the TempDir of options without one.
func makeTempDir() (dir string, remove func() error, err error) {
	dir, err = os.MkdirTemp("", "siglake-sheet-*")
	return dir, func() error { return os.RemoveAll(dir) }, err
}

func (w *workbook) open(stored io.Reader, o Options) (err error) {
	makeDir := o.TempDir
	if makeDir == nil {
		makeDir = makeTempDir
	}
	if w.dir, w.remove, err = makeDir(); err != nil {
		w.remove = nil
		return spaceError(err)
	}
	name := filepath.Join(w.dir, "workbook.xlsx")
	if err := copyWorkbook(name, stored); err != nil {
		return err
	}
	if w.archive, err = zip.OpenReader(name); err != nil {
		return damagedWorkbook(err)
	}
	if err := w.chooseSheet(o.Sheet); err != nil {
		return err
	}
	parts, err := w.checkParts()
	if err != nil {
		return err
	}
	w.readLinks()
	reduced := filepath.Join(w.dir, "sheet.xlsx")
	if err := writeParts(reduced, parts); err != nil {
		return spaceError(err)
	}
	if w.file, err = excelize.OpenFile(reduced, excelize.Options{UnzipSizeLimit: 4 * maxSheet, UnzipXMLSizeLimit: maxPartInCache, TmpDir: w.dir}); err != nil {
		return damagedWorkbook(err)
	}
	if w.rows, err = w.file.Rows(w.sheet); err != nil {
		return damagedWorkbook(err)
	}
	return nil
}

func damagedWorkbook(err error) *Error {
	return &Error{Problem: "the Excel workbook is damaged or truncated: " + err.Error(), Expected: "a workbook that Excel opens",
		Fix: "fetch or export it again, or save the sheet as CSV UTF-8", Err: err}
}

func spaceError(err error) *Error {
	return &Error{Problem: "the Excel workbook cannot be unpacked: " + err.Error(), Expected: "space for temporary files in " + os.TempDir(),
		Fix: "free space there, let TMPDIR name another folder, or save the sheet as CSV UTF-8", Err: err}
}

func tooLargeWorkbook(what string) *Error {
	return &Error{Problem: "the Excel workbook is too large: " + what, Fix: "save the sheet as CSV UTF-8"}
}

// copyWorkbook copies a workbook to a temporary file. Errors of the source are returned as they are.
func copyWorkbook(name string, stored io.Reader) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return spaceError(err)
	}
	source := &digest{r: io.LimitReader(stored, maxWorkbook+1)}
	_, err = io.Copy(f, source)
	switch closeErr := f.Close(); {
	case source.err != nil:
		return source.err
	case err != nil || closeErr != nil:
		return spaceError(errors.Join(err, closeErr))
	case source.n > maxWorkbook:
		return tooLargeWorkbook(fmt.Sprintf("it has more than %d bytes", maxWorkbook))
	}
	return nil
}

// partName is the name of a part of a workbook as its relations write it.
func partName(name string) string { return strings.TrimPrefix(strings.ReplaceAll(name, `\`, "/"), "/") }

// findPart finds a part of the workbook; nil if there is none.
func (w *workbook) findPart(name string) *zip.File {
	i := slices.IndexFunc(w.archive.File, func(f *zip.File) bool { return strings.EqualFold(partName(f.Name), name) })
	if i < 0 {
		return nil
	}
	return w.archive.File[i]
}

// decodePart decodes a small part of the workbook.
func (w *workbook) decodePart(name string, v any) error {
	f := w.findPart(name)
	if f == nil {
		return fmt.Errorf("%s is missing", name)
	}
	r, err := f.Open()
	if err != nil {
		return err
	}
	defer r.Close() //nolint:errcheck // it was only read
	return xml.NewDecoder(io.LimitReader(r, maxOtherPart)).Decode(v)
}

// relations name the parts that a part refers to.
type relations struct {
	Relations []struct {
		ID     string `xml:"Id,attr"`
		Type   string `xml:"Type,attr"`
		Target string `xml:"Target,attr"`
	} `xml:"Relationship"`
}

// worksheets are the sheets of a workbook that hold cells: no charts.
type worksheets struct {
	parts   map[string]string // member of the archive by name of the sheet
	names   []string          // in the order of the workbook
	visible []string
}

// findRoot returns the member that lists the sheets, and reads the links of the archive.
func (w *workbook) findRoot(links *relations) string {
	root := "xl/workbook.xml"
	if w.decodePart("_rels/.rels", links) == nil {
		for _, r := range links.Relations {
			if strings.HasSuffix(r.Type, "/officeDocument") {
				root = partName(r.Target)
			}
		}
	}
	return root
}

// readSheets reads which sheets there are.
func (w *workbook) readSheets() (*worksheets, error) {
	var links relations
	root := w.findRoot(&links)
	if w.findPart(root) == nil {
		return nil, format{"a zip archive", fixUnpack}.refuse()
	}
	var book struct {
		Sheets []struct {
			Name  string `xml:"name,attr"`
			State string `xml:"state,attr"`
			ID    string `xml:"http://schemas.openxmlformats.org/officeDocument/2006/relationships id,attr"`
			// As the strict variant of the format writes it.
			StrictID string `xml:"http://purl.oclc.org/ooxml/officeDocument/relationships id,attr"`
		} `xml:"sheets>sheet"`
	}
	folder := path.Dir(root)
	if err := errors.Join(w.decodePart(root, &book), w.decodePart(path.Join(folder, "_rels", path.Base(root)+".rels"), &links)); err != nil {
		return nil, damagedWorkbook(err)
	}
	found := &worksheets{parts: map[string]string{}}
	for _, s := range book.Sheets {
		for _, r := range links.Relations {
			if (r.ID == s.ID || r.ID == s.StrictID) && strings.HasSuffix(r.Type, "/worksheet") {
				found.names = append(found.names, s.Name)
				if found.parts[s.Name] = partName(r.Target); !strings.HasPrefix(r.Target, "/") {
					found.parts[s.Name] = path.Join(folder, r.Target)
				}
				if s.State == "" || s.State == "visible" {
					found.visible = append(found.visible, s.Name)
				}
			}
		}
	}
	if len(found.names) == 0 {
		return nil, damagedWorkbook(errors.New("it has no sheet"))
	}
	return found, nil
}

// chooseSheet finds the sheet to read: the wanted one, or else the first visible one.
func (w *workbook) chooseSheet(wanted string) error {
	sheets, err := w.readSheets()
	if err != nil {
		return err
	}
	names := sheets.names
	w.sheet = append(slices.Clone(sheets.visible), names...)[0]
	if wanted != "" {
		i := slices.IndexFunc(names, func(name string) bool { return strings.EqualFold(strings.TrimSpace(name), strings.TrimSpace(wanted)) })
		if n, err := strconv.Atoi(wanted); i < 0 && err == nil && n >= 1 && n <= len(names) {
			i = n - 1
		}
		if i < 0 {
			return &Error{Problem: fmt.Sprintf("--sheet %s: no such sheet", wanted), Expected: "one of " + quoteAll(names),
				Fix: "use the name of the sheet, or its number, counted from 1"}
		}
		w.sheet = names[i]
	}
	w.others = slices.DeleteFunc(sheets.visible, func(name string) bool { return name == w.sheet })
	w.parts = sheets.parts
	if w.member = w.findPart(sheets.parts[w.sheet]); w.member == nil {
		return damagedWorkbook(fmt.Errorf("%s is missing", sheets.parts[w.sheet]))
	}
	return nil
}

// quoteAll lists names for a message.
func quoteAll(names []string) string {
	const most = 20
	var quoted []string
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, strconv.Quote(truncate(name)))
	}
	if len(names) > most {
		quoted = append(quoted, fmt.Sprintf("and %d more", len(names)-most))
	}
	return strings.Join(quoted, ", ")
}

// checkParts reads the sheet and all that it needs to the end, and returns these parts.
func (w *workbook) checkParts() (parts []*zip.File, err error) {
	for _, f := range w.archive.File {
		name := strings.ToLower(partName(f.Name))
		isSheet, isTexts := f == w.member, path.Base(name) == "sharedstrings.xml"
		isOther := strings.HasPrefix(path.Base(name), "workbook.xml") || path.Base(name) == "styles.xml" || strings.Contains(name, "/theme/theme") ||
			name == "[content_types].xml" || name == "_rels/.rels"
		size := f.UncompressedSize64
		switch {
		case (isSheet || isTexts) && size > maxSheet, isOther && size > maxOtherPart,
			isSheet && size > maxPartInCache && !strings.HasPrefix(name, "xl/worksheets/sheet"): // which the library keeps in memory
			return nil, tooLargeWorkbook(fmt.Sprintf("%s unpacks to %d bytes", f.Name, size))
		case !isSheet && !isTexts && !isOther:
			continue
		}
		if err := w.checkPart(f, isSheet, isTexts); err != nil {
			return nil, err
		}
		parts = append(parts, f)
	}
	return parts, nil
}

func (w *workbook) checkPart(f *zip.File, isSheet, isTexts bool) error {
	r, err := f.Open()
	if err != nil {
		return damagedWorkbook(err)
	}
	defer r.Close() //nolint:errcheck // it was only read
	switch {
	case isSheet:
		scanner := newSheetScanner(r)
		for err == nil {
			_, err = scanner.next()
		}
		if err == io.EOF {
			err = nil
		}
		w.facts = scanner.facts
	case isTexts:
		_, err = countTexts(r)
	default:
		_, err = io.Copy(io.Discard, r) //nolint:gosec // nothing is kept, and the size of parts is limited before
	}
	if err != nil {
		return damagedWorkbook(fmt.Errorf("%s: %w", f.Name, err))
	}
	return nil
}

// writeParts writes a workbook that consists of the parts.
func writeParts(name string, parts []*zip.File) error {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	z := zip.NewWriter(f)
	for _, part := range parts {
		if err == nil {
			err = z.Copy(part)
		}
	}
	return errors.Join(err, z.Close(), f.Close())
}

// Read reads the next text of the sheet.
func (w *workbook) Read(p []byte) (int, error) {
	if w.again {
		return w.kept.Read(p)
	}
	for w.text.Len() == 0 && w.failed == nil {
		w.failed = w.readRow()
	}
	if w.text.Len() == 0 {
		return 0, w.failed
	}
	n, err := w.text.Read(p)
	if w.kept != nil {
		if _, err := w.kept.Write(p[:n]); err != nil {
			w.dropText()
		}
	}
	return n, err
}

// keepText keeps the text in a temporary file, so that it can be read twice: reading a sheet takes ten times as long
// as reading its text. Nothing must have been read yet.
func (w *workbook) keepText() {
	w.kept, _ = os.OpenFile(filepath.Join(w.dir, "text.csv"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) // nil: it cannot be kept
}

func (w *workbook) dropText() {
	if w.kept != nil {
		_ = w.kept.Close() // nothing reads it
		_ = os.Remove(w.kept.Name())
		w.kept = nil
	}
}

// rewindText makes Read begin anew, after the text was read to its end.
func (w *workbook) rewindText() error {
	if w.kept == nil || w.failed != io.EOF {
		return errors.New("the text of the sheet was not kept")
	}
	_, err := w.kept.Seek(0, io.SeekStart)
	w.again = err == nil
	return err
}

// readRow appends the line of the next row. Rows without cells are blank lines.
func (w *workbook) readRow() error {
	if !w.rows.Next() {
		switch err := w.rows.Error(); {
		case err != nil:
			return damagedWorkbook(err)
		case w.row < w.facts.lastRow:
			return damagedWorkbook(fmt.Errorf("row %d of %d is the last that can be read", w.row, w.facts.lastRow))
		}
		if err := w.checkSpace(); err != nil {
			return err
		}
		return io.EOF
	}
	w.row++
	cells, err := w.rows.Columns()
	if err != nil {
		return damagedWorkbook(err)
	}
	if w.row == 1 {
		if err := w.checkSpace(); err != nil {
			return err
		}
	}
	if cells, err = w.replaceSpecial(cells); err != nil {
		return damagedWorkbook(err)
	}
	w.linkCells(cells)
	for i, cell := range cells {
		if i > 0 {
			w.text.WriteByte(',')
		}
		writeCell(&w.text, cell)
	}
	w.text.WriteByte('\n')
	return nil
}

// writeCell writes a cell on one line, so that the lines of the text count as the rows of the sheet.
func writeCell(b *bytes.Buffer, cell string) {
	if !strings.ContainsAny(cell, "\",\r\n") && cell == strings.TrimSpace(cell) {
		b.WriteString(cell)
		return
	}
	cell = strings.NewReplacer("\r\n", " ", "\r", " ", "\n", " ", `"`, `""`).Replace(cell)
	b.WriteString(`"` + cell + `"`)
}

// replaceSpecial replaces the special cells of the current row.
func (w *workbook) replaceSpecial(cells []string) ([]string, error) {
	if w.facts.special == 0 {
		return cells, nil
	}
	if w.special == nil {
		var err error
		if w.part, err = w.member.Open(); err != nil {
			return nil, err
		}
		w.special = newSheetScanner(w.part)
	}
	for {
		if w.pending == nil {
			cell, err := w.special.next()
			if err == io.EOF {
				cell.row = w.facts.lastRow + 1
			} else if err != nil {
				return nil, err
			}
			w.pending = &cell
		}
		if w.pending.row > w.row {
			return cells, nil
		}
		for w.pending.row == w.row && len(cells) <= w.pending.column {
			cells = append(cells, "")
		}
		if w.pending.row == w.row {
			cells[w.pending.column] = w.pending.text
		}
		w.pending = nil
	}
}

// cellLink is the target of a link of a cell.
type cellLink struct {
	column int // from 0
	target string
}

// readLinks reads where the links of cells lead. Links are an extra: if they cannot be read, the cells are as they show.
func (w *workbook) readLinks() {
	if len(w.facts.links) == 0 {
		return
	}
	var all relations
	name := partName(w.member.Name)
	if w.decodePart(path.Join(path.Dir(name), "_rels", path.Base(name)+".rels"), &all) != nil {
		return
	}
	targets := map[string]string{}
	for _, r := range all.Relations {
		if strings.HasSuffix(r.Type, "/hyperlink") {
			targets[r.ID] = r.Target
		}
	}
	w.links = map[int][]cellLink{}
	for cell, id := range w.facts.links {
		letters := strings.TrimRight(cell, "0123456789")
		row, err := strconv.Atoi(cell[len(letters):])
		column := columnNumber(letters)
		if target := targets[id]; err == nil && column >= 0 && target != "" {
			w.links[row] = append(w.links[row], cellLink{column, target})
		}
	}
	w.facts.links = nil
}

// linkWords are texts that say only that there is a link. Any other text may be a name: lists from a CRM link the names of
// companies to its own pages.
var linkWords = wordSet(`link links url www web website websitelink weblink site homepage visit visitsite visitwebsite view viewwebsite viewprofile
	open openlink here clickhere profile profilelink linkedin linkedinprofile viewonlinkedin email mail emailme sendemail goto
	webseite zurwebsite zurwebseite besuchen öffnen hier profil lien siteweb voir visiter ici enlace sitioweb visitar ver abrir aquí sito sitoweb
	apri qui vai bekijk strona zobacz otwórz tutaj リンク サイト ホームページ 開く`)

// linkCells writes the links of the current row as formulas, which are read by what their column holds, where a cell
// shows no more than that there is a link.
func (w *workbook) linkCells(cells []string) {
	for _, link := range w.links[w.row] {
		if link.column >= len(cells) {
			continue
		}
		text := tidyText(cells[link.column])
		if !linkWords[squash(strings.ToLower(text))] || w.row == 1 && isColumnName(text) {
			continue
		}
		cells[link.column] = `=HYPERLINK("` + strings.ReplaceAll(link.target, `"`, "%22") + `","` + strings.ReplaceAll(text, `"`, `""`) + `")`
	}
}

// checkSpace makes sure that the disk with the temporary files is not full. The library ignores
// errors when it writes the texts of a large workbook there, and names would be cut off.
func (w *workbook) checkSpace() error {
	f, err := os.CreateTemp(w.dir, "space-*")
	if err != nil {
		return spaceError(err)
	}
	_, err = f.Write(make([]byte, 64<<10))
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return spaceError(err)
	}
	return nil
}

// filledOthers are the other visible sheets that have rows, as far as their beginnings show.
func (w *workbook) filledOthers() []string {
	return slices.DeleteFunc(slices.Clone(w.others), func(name string) bool {
		part := w.findPart(w.parts[name])
		if part == nil {
			return true
		}
		r, err := part.Open()
		if err != nil {
			return true
		}
		defer r.Close() //nolint:errcheck // it was only read
		head, err := io.ReadAll(io.LimitReader(r, sampleSize))
		return err != nil || !bytes.Contains(head, []byte("<v>")) && !bytes.Contains(head, []byte("<t>")) && !bytes.Contains(head, []byte("<t "))
	})
}

// notes say what a user may want to know about the sheet.
func (w *workbook) notes() (notes []string) {
	if len(w.others) > 0 {
		notes = append(notes, fmt.Sprintf("the sheet %q is read; --sheet names another: %s", w.sheet, quoteAll(w.others)))
	}
	switch n := w.facts.hiddenRows; {
	case n == 1:
		notes = append(notes, "1 row of the sheet is hidden, and is read like the others")
	case n > 1:
		notes = append(notes, fmt.Sprintf("%d rows of the sheet are hidden, and are read like the others", n))
	}
	return notes
}

// Close removes the temporary files.
func (w *workbook) Close() error {
	var errs []error
	if w.kept != nil {
		errs = append(errs, w.kept.Close())
	}
	if w.part != nil {
		errs = append(errs, w.part.Close())
	}
	if w.rows != nil {
		errs = append(errs, w.rows.Close())
	}
	if w.file != nil {
		errs = append(errs, w.file.Close())
	}
	if w.archive != nil {
		errs = append(errs, w.archive.Close())
	}
	if w.remove != nil {
		errs = append(errs, w.remove())
	}
	return errors.Join(errs...)
}
