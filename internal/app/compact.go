package app

import (
	"context"
	"errors"
	"io/fs"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// CompactOptions say what a compaction merges.
type CompactOptions struct {
	Lake       string
	MinFiles   int
	TargetSize string
	Jobs       int // partitions that are merged at once
	Store      StoreOptions
	Meter      NewWorkMeter
	Restored   func(name string) // is called with the name of a missing file that was written again; nil: not wanted
}

// Check finds options that are wrong by themselves.
func (o *CompactOptions) Check() error {
	if target, ok := parseSize(o.TargetSize); !ok || target < 1<<20 {
		return UsageErrorf("--target-size %q: expected a size from 1MiB, such as 64MiB or 1GiB", o.TargetSize)
	}
	if o.MinFiles < 2 {
		return UsageErrorf("--min-files %d: expected a number from 2", o.MinFiles)
	}
	return checkJobs(o.Jobs)
}

// CompactLake merges a lake's small files; the manifest is nil when there are too few.
func CompactLake(ctx context.Context, env *Env, o CompactOptions) (*pipeline.Manifest, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	target, _ := parseSize(o.TargetSize)
	o.Store.warnOfLittleMemory(env, minMemory)
	l, err := openExistingLake(ctx, env, o.Store, o.Lake, "siglake compact")
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written that matters
	if err := l.recoverRuns(ctx); err != nil {
		return nil, lakeError(err)
	}
	m, err := l.compact(ctx, &o, target)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, &Error{KindDeferred, errors.New("stopped before publishing anything; run the same command again")}
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, sinks.ErrIntegrity):
		return nil, dataError(o.Lake, err)
	case err != nil:
		return nil, lakeError(err)
	}
	return m, nil
}

// compact merges the lake's small files; nil when there are too few.
func (l *lake) compact(ctx context.Context, c *CompactOptions, target int64) (*pipeline.Manifest, error) {
	o, meter := l.options, NewWorkMeter(nil).begin("", 0)
	o.TargetFileSize, o.Jobs = target, c.Jobs
	defer func() { meter.Close() }()
	return sinks.Compact(ctx, l.uri, o, sinks.CompactOptions{
		MinFiles: c.MinFiles, Versions: ComponentVersions(l.env.Build),
		Begin: func(files int) { meter = c.Meter.begin("files", files) },
		Read:  func() { meter.Add(1) }, Restored: c.Restored,
	})
}
