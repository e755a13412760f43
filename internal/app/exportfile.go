package app

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/export"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

// exportFile is where an export is written: standard output, or a file that appears under its name when
// it is complete.
type exportFile struct {
	name      string // empty: standard output
	force     bool   // replace a file of that name
	temporary string
	file      *os.File // nil: standard output
	w         io.Writer
}

// formatOf is the format that --format names, or else the name of the file.
func (o *ExportOptions) formatOf() (export.Format, error) {
	text, named := o.Format, strings.TrimPrefix(strings.ToLower(filepath.Ext(o.Output)), ".")
	if text == "" {
		text = named
	}
	if text == "" && o.Output == "-" {
		text = string(export.CSV)
	}
	for _, f := range export.Formats {
		if !strings.EqualFold(text, string(f)) {
			continue
		}
		if named != string(f) && slices.Contains(export.Formats, export.Format(named)) {
			return "", contradiction(o.Output, o.Format)
		}
		return f, nil
	}
	if o.Format != "" {
		return "", UsageErrorf("--format %q: expected csv, xlsx or parquet", o.Format)
	}
	return "", UsageErrorf("--output %s: the name says no format; end it with .csv, .xlsx or .parquet, or add --format", o.Output)
}

// contradiction is the error of a file whose name says another format than --format: programs go by the name.
func contradiction(output, format string) error {
	return UsageErrorf("--format %s: the name of --output %s says another format; omit --format, or name another file", strings.ToLower(format), output)
}

// needsBOM reports whether the file begins with a byte order mark, which only CSV can.
func (o *ExportOptions) needsBOM(f export.Format) (bool, error) {
	switch o.BOM {
	case "yes":
		if f != export.CSV {
			return false, UsageErrorf("--bom yes applies to CSV only, and the format is %s: omit --bom, or add --format csv", f)
		}
		return true, nil
	case "no":
		return false, nil
	case "auto":
		return o.Output != "-", nil
	}
	return false, UsageErrorf("--bom %q: expected auto, yes or no", o.BOM)
}

// createExport creates the temporary file of an export, in the folder of the file that it becomes.
func createExport(env *Env, o *ExportOptions) (*exportFile, error) {
	switch {
	case o.Output == "":
		return nil, UsageErrorf("name the file with --output: prospects.csv, prospects.xlsx, prospects.parquet, or - for standard output")
	case o.Output == "-":
		return &exportFile{w: format.Below(env.Stdout)}, nil
	}
	e := &exportFile{name: o.Output, force: o.Force}
	if err := e.checkName(o.Lake); err != nil {
		return nil, err
	}
	var err error
	if e.file, err = createLocked(filepath.Dir(e.name), exportPrefix, 0o666); err != nil {
		return nil, NewFileError("--output "+e.name, filepath.Dir(e.name), err)
	}
	e.temporary, e.w = e.file.Name(), e.file
	return e, nil
}

// exportPrefix begins the names of temporary files of exports.
const exportPrefix = ".siglake-export-"

// checkName makes sure that nothing is overwritten that should not be, and that the file lies in no lake.
func (e *exportFile) checkName(lake string) error {
	info, err := os.Lstat(e.name)
	switch {
	case err == nil && !info.Mode().IsRegular():
		return UsageErrorf("--output %s: it is not a file; name a file, or - for standard output", e.name)
	case err == nil && !e.force:
		return UsageErrorf("--output %s: it exists; add --force to replace it, or name another file", e.name)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return NewFileError("--output "+e.name, filepath.Dir(e.name), err)
	case sinks.OnS3(lake):
		return nil
	}
	root, err := sinks.CheckDir(lake)
	if err != nil {
		return nil //nolint:nilerr // opening the lake reports it
	}
	if inside, err := liesIn(root, e.name); err != nil || !inside {
		return err
	}
	return UsageErrorf("--output %s lies in the lake, where readers may take it for a part of it; name a file elsewhere", e.name)
}

// refuseList makes sure that the file replaces none of those of the list.
func (e *exportFile) refuseList(files []sources.Object) error {
	if e.file == nil {
		return nil
	}
	output, err := os.Stat(e.name)
	if err != nil {
		return nil //nolint:nilerr // nothing is replaced
	}
	for _, f := range files {
		if info, err := os.Stat(strings.TrimPrefix(f.URI, "file://")); err == nil && os.SameFile(output, info) {
			return UsageErrorf("--output %s is a file of the list itself, which the export would replace; name another file", e.name)
		}
	}
	return nil
}

// liesIn reports whether a file that may not exist yet lies in a folder.
func liesIn(root, name string) (bool, error) {
	parent, err := filepath.Abs(filepath.Dir(name))
	if err != nil {
		return false, err
	}
	if real, err := filepath.EvalSymlinks(parent); err == nil {
		parent = real
	}
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real
	}
	relative, err := filepath.Rel(root, parent)
	return err == nil && relative != ".." && !strings.HasPrefix(relative, ".."+string(filepath.Separator)), nil
}

func (e *exportFile) storageError(err error) error {
	name := e.name
	if name == "" {
		name = "-"
	}
	return &Error{KindStorage, fmt.Errorf("--output %s: %w", name, err)}
}

// publish gives the complete file its name.
func (e *exportFile) publish() error {
	if e.file == nil {
		return nil
	}
	file := e.file
	e.file = nil
	err := errors.Join(file.Sync(), file.Close())
	if err == nil && e.force {
		err = os.Rename(e.temporary, e.name)
	} else if err == nil {
		err = renameNew(e.temporary, e.name)
	}
	if err != nil {
		return e.storageError(errors.Join(err, os.Remove(e.temporary)))
	}
	return nil
}

// renameNew renames a file unless the name is taken.
func renameNew(from, to string) error {
	err := os.Link(from, to)
	if err == nil {
		return os.Remove(from)
	}
	if !errors.Is(err, fs.ErrExist) { // a file system without links
		if _, err = os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(from, to)
		}
	}
	return errors.New("it has appeared in the meantime; add --force to replace it")
}

// discard removes a file that is not complete.
func (e *exportFile) discard() {
	if e.file != nil {
		_ = errors.Join(e.file.Close(), os.Remove(e.temporary)) // the error that led here counts
		e.file = nil
	}
}
