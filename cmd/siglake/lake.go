package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// stateDir is where a lake's journal and lock lie, inside the lake and outside
// of what readers of data look at.
const stateDir = "_state"

// fileHook, when a test sets it, is called around every operation on the files
// of a lake and its journal, to make them fail.
var fileHook func(op, path string, do func() error) error

// journalPatience, when a test shortens it, is how long a journal in a bucket
// that cannot be written is tried again, while paid answers wait.
var journalPatience time.Duration

// bucketPatience, when a test shortens it, is the longest wait between attempts
// at a request to a bucket.
var bucketPatience time.Duration

// storeFlags say where things are kept.
func storeFlags() []cli.Flag {
	return joinFlags([]cli.Flag{
		&cli.StringFlag{Name: "scratch", EnvVars: []string{"SIGLAKE_SCRATCH"}, Category: "S3",
			Usage: "local `DIR` for sorting and staging what goes to a lake on S3; default: siglake in the user's cache directory"},
		&cli.StringFlag{Name: "state", EnvVars: []string{"SIGLAKE_STATE"}, Category: "S3",
			Usage: "local `DIR` for the journal of a lake on S3; default: the bucket, so that a run can be gone on with from any machine"},
	}, s3Flags())
}

// openBucket opens the bucket of an s3:// address as the flags say.
func openBucket(c *cli.Context, uri string) (*bucket.Bucket, error) {
	cfg, err := bucketConfig(c)
	if err != nil {
		return nil, err
	}
	cfg.Patience = bucketPatience
	return bucket.Open(c.Context, uri, cfg)
}

// sinkOptions is how a lake is written, whatever the run.
func sinkOptions(c *cli.Context) sinks.Options {
	return sinks.Options{
		Version: version, Hook: fileHook, Scratch: c.String("scratch"),
		Bucket: func(_ context.Context, uri string) (sinks.Bucket, error) { return openBucket(c, uri) },
	}
}

// vault is where a lake's journal is kept, locked.
type vault struct {
	lock  journal.Hold
	store journal.Store
	close func() error // of the store
}

// openVault opens the store of a lake's journal, and locks the lake for who;
// an onlooker locks nothing.
func openVault(c *cli.Context, lake, who string) (v vault, err error) {
	defer func() {
		if err != nil && v.lock != nil {
			err = errors.Join(err, v.lock.Close())
		}
	}()
	if sinks.OnS3(lake) {
		return openBucketVault(c, lake, who)
	}
	if c.String("state") != "" {
		return v, usagef("--state is for lakes on S3: the journal of a lake in a directory lies in it")
	}
	path, err := sinks.Check(lake)
	if err != nil {
		return v, &exitError{exitStorage, err}
	}
	dir := filepath.Join(path, stateDir)
	if who != onlooker {
		if v.lock, err = journal.Acquire(dir, who); err != nil {
			return vault{}, lockError(lake, err)
		}
	}
	return v, v.openDir(filepath.Join(dir, "journal"))
}

// onlooker is who needs no lock.
const onlooker = ""

func (v *vault) openDir(path string) error {
	store, err := journal.OpenDir(path, fileHook)
	if err != nil {
		return &exitError{exitStorage, err}
	}
	v.store, v.close = store, store.Close
	return nil
}

func lockError(lake string, err error) error {
	code := exitStorage
	if errors.Is(err, journal.ErrLocked) {
		code = exitLocked
	}
	return &exitError{code, fmt.Errorf("lake %s: %w", lake, err)}
}

// openBucketVault takes the lease of a lake on S3. Its journal lies in the bucket
// or, if the first run was told so, in a directory of one machine.
func openBucketVault(c *cli.Context, lake, who string) (v vault, err error) {
	b, err := openBucket(c, lake)
	if err != nil {
		return v, usagef("%v", err)
	}
	if who != onlooker {
		lease, err := journal.AcquireLease(c.Context, b, stateDir+"/lock.json", who, journal.LeaseOptions{})
		if err != nil {
			return v, lockError(lake, err)
		}
		v.lock = lease
	}
	home, err := homeOf(c)
	if err != nil {
		return v, err
	}
	if err := home.agree(c.Context, b, who != onlooker); err != nil {
		return v, err
	}
	if home.Directory != "" {
		return v, v.openDir(filepath.Join(home.Directory, "journal"))
	}
	store := journal.NewObjects(b, journalPrefix, journal.ObjectsOptions{Patience: journalPatience})
	v.store, v.close = store, store.Close
	return v, nil
}

// journalPrefix is where a journal lies in a bucket.
const journalPrefix = stateDir + "/journal/"

// whileHeld is the last thing that a call passes before the wire: it leaves only
// while nobody else can have the lock of the lake. What is recorded of one that
// does not is that it was never sent.
type whileHeld struct {
	pipeline.Fetcher
	lock journal.Hold
}

// Fetch asks the client, unless the lock may be another process's by now.
func (w whileHeld) Fetch(ctx context.Context, b *pipeline.Batch) (*pipeline.Reply, error) {
	if w.lock.Valid() {
		return w.Fetcher.Fetch(ctx, b)
	}
	return &pipeline.Reply{}, &pipeline.Stop{
		Kind: pipeline.StopStorage, Reason: "the lock of the lake could not be renewed in time, and may be another run's by now",
		Advice: "see to the way to the bucket, then run the same command again",
	}
}

// home says where the journal of a lake on S3 is. It is written once: a run that
// looked elsewhere would know nothing of what was paid for, and buy it again.
type home struct {
	Host      string `json:"host,omitempty"`
	Directory string `json:"directory,omitempty"` // empty: the bucket
}

func homeOf(c *cli.Context) (h home, err error) {
	if h.Directory = c.String("state"); h.Directory == "" {
		return h, nil
	}
	if h.Directory, err = filepath.Abs(h.Directory); err != nil {
		return h, err
	}
	h.Host, err = os.Hostname()
	return h, err
}

func (h home) String() string {
	if h.Directory == "" {
		return "in the bucket"
	}
	return fmt.Sprintf("in %s on %s", h.Directory, h.Host)
}

// agree makes sure that the journal is where the lake says it is. If the lake
// does not say so yet, and settle is set, it is told.
func (h home) agree(ctx context.Context, b *bucket.Bucket, settle bool) error {
	const name = stateDir + "/journal.json"
	text, err := json.Marshal(h)
	if err != nil {
		return err
	}
	raw, _, err := b.Get(ctx, name)
	if errors.Is(err, fs.ErrNotExist) {
		if !settle {
			return nil
		}
		if err := h.claim(b.URI("")); err != nil {
			return err
		}
		if err = b.Create(ctx, name, append(text, '\n')); err == nil {
			return nil
		}
		if errors.Is(err, fs.ErrExist) { // by somebody else at the same moment
			raw, _, err = b.Get(ctx, name)
		}
	}
	if err != nil {
		return &exitError{exitStorage, err}
	}
	var there home
	if err := json.Unmarshal(raw, &there); err != nil {
		return &exitError{exitIntegrity, fmt.Errorf("%s: %w", b.URI(name), err)}
	}
	if there != h {
		mend := "leave --state out"
		if there.Directory != "" {
			mend = fmt.Sprintf("run there, with --state %s", there.Directory)
		}
		return usagef("the journal of this lake is %s, and would be looked for %s: what was paid for would not be found; %s", there, h, mend)
	}
	return h.mustHold(b.URI(""))
}

// ownerFile names the lake whose journal lies beside it. It is there before the
// lake says that its journal is.
const ownerFile = "lake"

// owner is the lake whose journal lies in the directory; empty: none.
func (h home) owner() (lake string, err error) {
	text, err := os.ReadFile(filepath.Join(h.Directory, ownerFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", &exitError{exitStorage, err}
	}
	return strings.TrimSpace(string(text)), nil
}

// claim makes a directory that of a lake's journal. It must not be another's: what
// was bought for that one would pass as bought for this one, and be in neither.
func (h home) claim(lake string) error {
	if h.Directory == "" {
		return nil
	}
	owner, err := h.owner()
	if err != nil || owner == lake {
		return err
	}
	if owner == "" {
		owner = "another lake"
		if _, err := os.Stat(filepath.Join(h.Directory, "journal")); errors.Is(err, fs.ErrNotExist) {
			owner = ""
		}
	}
	if owner != "" {
		return usagef("--state %s holds the journal of %s: name a directory of its own for this lake", h.Directory, owner)
	}
	if err := h.sign(lake); err != nil {
		return &exitError{exitStorage, err}
	}
	return nil
}

// sign writes the owner. What makes the journal beside the file outlive a crash
// does the same for its name.
func (h home) sign(lake string) error {
	if err := os.MkdirAll(h.Directory, 0o700); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(h.Directory, ownerFile))
	if err != nil {
		return err
	}
	_, err = f.WriteString(lake + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// mustHold makes sure that the directory still has the lake's journal: an empty
// one in its place would know nothing of what was paid for.
func (h home) mustHold(lake string) error {
	if h.Directory == "" {
		return nil
	}
	switch owner, err := h.owner(); {
	case err != nil:
		return err
	case owner == "":
		return &exitError{exitIntegrity, fmt.Errorf("the journal of this lake was in %s and is not there any more: restore that directory, or what was paid for would be bought again", h.Directory)}
	case owner != lake:
		return usagef("--state %s holds the journal of %s now, not that of %s", h.Directory, owner, lake)
	}
	return nil
}

// lakeExists reports whether there is a lake with a journal.
func lakeExists(c *cli.Context, lake string) (bool, error) {
	if !sinks.OnS3(lake) {
		path, err := sinks.Check(lake)
		if err == nil {
			_, err = os.Stat(filepath.Join(path, stateDir))
		}
		if errors.Is(err, fs.ErrNotExist) {
			return false, nil
		}
		if err != nil {
			return false, &exitError{exitStorage, err}
		}
		return true, nil
	}
	b, err := openBucket(c, lake)
	if err != nil {
		return false, usagef("%v", err)
	}
	_, err = b.Stat(c.Context, stateDir+"/journal.json")
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, &exitError{exitStorage, err}
	}
	return true, nil
}

// emptyStore opens the store of a journal that is to be copied somewhere; the
// place must be empty.
func emptyStore(c *cli.Context, lake string) (store journal.Store, closer io.Closer, err error) {
	if sinks.OnS3(lake) {
		b, err := openBucket(c, lake)
		if err != nil {
			return nil, nil, usagef("%v", err)
		}
		if err := (home{}).agree(c.Context, b, true); err != nil {
			return nil, nil, err
		}
		objects := journal.NewObjects(b, journalPrefix, journal.ObjectsOptions{Patience: journalPatience})
		return objects, objects, nil
	}
	path, err := sinks.Check(lake)
	if err != nil {
		return nil, nil, &exitError{exitStorage, err}
	}
	dir, err := journal.OpenDir(filepath.Join(path, stateDir, "journal"), fileHook)
	if err != nil {
		return nil, nil, &exitError{exitStorage, err}
	}
	return dir, dir, nil
}
