package app

import (
	"context"
	"errors"
	"io/fs"
	"os"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/sinks"
)

// stateFile is a small file or object below StateDir that is replaced as a whole. The lake need not be there.
type stateFile struct {
	uri, name string
	dir       *durable.Dir // nil: the lake is in a bucket, or not there
	bucket    *bucket.Bucket
	etag      string // of the object as it was read
}

// openStateFile opens a file that has no lock.
func openStateFile(ctx context.Context, env *Env, o StoreOptions, uri, name string) (*stateFile, error) {
	f := &stateFile{uri: uri, name: name}
	if sinks.OnS3(uri) {
		var err error
		if f.bucket, err = openBucket(ctx, env, o, uri); err != nil {
			return nil, UsageErrorf("%v", err)
		}
		return f, nil
	}
	path, err := sinks.CheckDir(uri)
	if err != nil {
		return nil, notLake(err)
	}
	return f, f.openDir(path, env)
}

// openDir opens the lake in a directory, if it is there.
func (f *stateFile) openDir(path string, env *Env) (err error) {
	if _, err = os.Stat(path); err == nil {
		f.dir, err = durable.Open(path, env.Hook)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &Error{KindStorage, err}
	}
	return nil
}

// readText reads the file; nil if there is none.
func (f *stateFile) readText(ctx context.Context) (text []byte, err error) {
	switch {
	case f.bucket != nil:
		text, f.etag, err = f.bucket.Get(ctx, f.name)
	case f.dir != nil:
		text, err = f.dir.ReadFile(f.name)
	}
	if errors.Is(err, fs.ErrNotExist) || f.bucket == nil && f.dir == nil {
		return nil, nil
	}
	return append([]byte{}, text...), err // an empty file is there
}

// replace replaces the file durably.
func (f *stateFile) replace(ctx context.Context, text []byte) (err error) {
	if f.bucket != nil {
		if err := f.bucket.Swap(ctx, f.name, f.etag, text); err != nil {
			return err
		}
		_, f.etag, err = f.bucket.Get(ctx, f.name)
		return err
	}
	if f.dir == nil {
		return fs.ErrNotExist
	}
	temporary := f.name + ".tmp"
	if err := f.dir.WriteFile(temporary, text); err != nil {
		return err
	}
	if err := f.dir.Rename(temporary, f.name); err != nil {
		return err
	}
	return f.dir.SyncDir(StateDir)
}

func (f *stateFile) closeDir() error {
	if f.dir == nil {
		return nil
	}
	return f.dir.Close()
}
