package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sources"
)

// listInput is a list that can be read more than once: for its digest, and for its
// lines. A pipe is copied first, so that nothing is paid for before all of it is
// there. Of objects on S3 the digest is that of their URIs, ETags and sizes, so
// that a huge one is not fetched twice; they are then read in these versions or
// not at all.
type listInput struct {
	uri       string
	options   sources.Options // with the objects that were found
	digest    string
	spool     *os.File // a copy of a pipe; nil: there is none
	spoolName string   // empty: it has lost its name
	spoolSize int64
	logged    bool // how it is read
}

func openListInput(ctx context.Context, uri string, o sources.Options) (*listInput, error) {
	in := &listInput{uri: uri, options: o}
	in.options.Clashes = &sources.Clashes{}
	if uri == "-" {
		return in, in.copyPipe(ctx, o.Stdin)
	}
	path := strings.TrimPrefix(uri, "file://")
	info, err := os.Stat(path)
	if err != nil || info.Mode().IsRegular() || info.IsDir() {
		return in, in.findFiles(ctx)
	}
	if info.Mode()&os.ModeDevice != 0 {
		return nil, UsageErrorf("%s is a device, not a list: name a file, a folder or a pipe, or - for standard input", uri)
	}
	in.uri = "-"
	return in, in.copyPipe(ctx, &lateFile{path: path})
}

// lateFile is a file that is opened when it is first read: opening a pipe waits for its writer.
type lateFile struct {
	path string
	file *os.File
}

func (l *lateFile) Read(p []byte) (n int, err error) {
	if l.file == nil {
		if l.file, err = os.Open(l.path); err != nil {
			return 0, err
		}
	}
	if n, err = l.file.Read(p); err != nil {
		_ = l.file.Close() // it was only read
	}
	return n, err
}

// copyPipe copies a list that can be read only once.
func (in *listInput) copyPipe(ctx context.Context, pipe io.Reader) (err error) {
	if in.spool, in.spoolName, err = createNameless("", "siglake-list-*"); err != nil {
		return &Error{KindStorage, err}
	}
	hash := sha256.New()
	copied := make(chan error, 1)
	go func() { // ends with the pipe, or with the process: a read cannot be taken back
		var err error
		in.spoolSize, err = io.Copy(io.MultiWriter(in.spool, hash), pipe)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		err = belowTemporary(in.spool.Name(), err)
		return errors.Join(fmt.Errorf("reading the list from standard input: %w", err), in.close())
	}
	in.digest = hex.EncodeToString(hash.Sum(nil))
	return nil
}

// findFiles looks for the files of the list.
func (in *listInput) findFiles(ctx context.Context) (err error) {
	switch in.options.Objects, err = sources.Find(ctx, in.uri, in.options); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &Error{KindUsage, err}
	}
	in.digest = sources.Fingerprint(in.options.Objects)
	return nil
}

// drawSample makes a sample of so many lines all that is read of the list from now on; 0: all of it is read.
func (in *listInput) drawSample(ctx context.Context, lines int, seed uint64) error {
	if lines == 0 {
		return nil
	}
	o := in.options
	defer func() { in.options.Rejects = o.Rejects }()
	in.options.Rejects = nil
	list, err := in.open(ctx)
	if err != nil {
		return err
	}
	defer list.Close() //nolint:errcheck // it was only read
	if in.options.Sample, err = list.DrawSample(ctx, lines, seed); err != nil && ctx.Err() == nil {
		return &Error{KindUsage, err}
	}
	return err
}

// open opens the list at its beginning. What was opened before can be read on.
func (in *listInput) open(ctx context.Context) (*sources.List, error) {
	o := in.options
	if in.spool != nil {
		o.Stdin = io.NewSectionReader(in.spool, 0, in.spoolSize)
	}
	list, err := sources.Open(ctx, in.uri, o)
	if err != nil {
		return nil, &Error{KindUsage, in.describeUndecided(ctx, err)}
	}
	return list, nil
}

// openWhole is open for all shards of the list: what one of them goes by, the others go by, too.
func (in *listInput) openWhole(ctx context.Context) (*sources.List, error) {
	whole := *in
	whole.options.Part, whole.options.Rejects = nil, nil
	return whole.open(ctx)
}

// findOpaqueID is an id of the list that is no number; empty when there is none.
// The lines of a list with ids are read once more for it.
func (in *listInput) findOpaqueID(ctx context.Context, list *sources.List) (string, error) {
	if list.Input().Mapping["id"] == "" {
		return "", nil
	}
	list, err := in.openWhole(ctx)
	if err != nil {
		return "", err
	}
	defer list.Close() //nolint:errcheck // it was only read
	for a, err := range list.Accounts(ctx) {
		if err != nil {
			return "", nil // reading the lines reports it
		}
		if strings.Trim(a.ID, "0123456789") != "" {
			return a.ID, nil
		}
	}
	return "", nil
}

// readAccounts reads all lines of a list that is sent as a whole.
func (in *listInput) readAccounts(ctx context.Context) ([]schema.Account, error) {
	list, err := in.open(ctx)
	if err != nil {
		return nil, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	return readAccounts(ctx, list)
}

// reading is a list that is read from its beginning, perhaps more than once.
type reading struct {
	input *listInput
	*sources.List
}

// reopen moves to the beginning of the list.
func (r *reading) reopen(ctx context.Context) error {
	list, err := r.input.open(ctx)
	if err != nil {
		return err
	}
	r.close()
	r.List = list
	return nil
}

func (r *reading) close() { _ = r.List.Close() } // it was only read

// expectedLines is the number of lines of a plain local file but for its header, for
// the progress bar; 0 when it cannot be known without reading the list once more.
func (in *listInput) expectedLines(list *sources.List) int64 {
	if in.options.Sample != nil {
		return int64(in.options.Sample.Len())
	}
	if in.options.Part != nil {
		return 0
	}
	objects, read := in.options.Objects, list.Input()
	if len(objects) != 1 || objects[0].URI != in.uri || objects[0].Lines == 0 || read.Compression != "" || read.Format == sources.FormatXLSX {
		return 0
	}
	if read.Header != nil {
		return objects[0].Lines - 1
	}
	return objects[0].Lines
}

func (in *listInput) close() error {
	if in.spool == nil {
		return nil
	}
	err := in.spool.Close()
	if in.spoolName != "" {
		err = errors.Join(err, os.Remove(in.spoolName))
	}
	return err
}
