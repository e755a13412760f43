package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Env is what a command depends on outside of its arguments. Tests replace parts
// of it; they can run commands in parallel, because nothing of it is global.
type Env struct {
	// Now is the clock that windows end by, and that ids age by. Rehearse sets it to another day.
	Now func() time.Time
	// The day that Rehearse set Now to. Empty: none.
	rehearsedDay string
	// Transport carries requests to the API. Nil: the network.
	Transport http.RoundTripper
	// Sleep waits between attempts at a notification, and reports whether the time has passed before
	// ctx ended. Nil: by the clock of the machine.
	Sleep func(ctx context.Context, d time.Duration) bool
	// Hook surrounds every operation on the files of a lake and its journal. Nil: none.
	Hook func(op, path string, do func() error) error
	// Getenv reads a variable of the process environment; empty: not set. The
	// variables of flags are read by the flag library.
	Getenv func(name string) string
	// Environ lists the variables of the process environment as "name=value". Nil: none are known.
	Environ func() []string
	// SetUmask sets the permissions that new files and directories never get. Nil: those of
	// the process apply.
	SetUmask func(mask int)
	// Memory is what a command may take without --memory, in bytes. 0: DefaultMemory.
	Memory int64
	// LimitHeap sets the size that the heap of the process should keep to, in bytes. Nil: it has none.
	LimitHeap func(bytes int64)
	// Version is that of the program, and Build the same with its commit.
	Version, Build string
	// Published is called after each publication to a lake. Nil: not wanted.
	Published func(Publication)
	// Log receives the log lines of a command. Every command replaces it by a
	// logger with the level and format that its flags ask for.
	Log *slog.Logger

	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Interactive says that a person reads Stderr and answers on Stdin.
	Interactive bool

	// UsageSettles is how long the vendor may take to book a call in the account's usage.
	// 0: 45 s.
	UsageSettles time.Duration
	// AnswerTarget is the length that no answer should exceed: batches are cut to it. 0: 64 MiB.
	// AnswerLimit is the length up to which every answer is read, 0: 256 MiB; AnswerPiece is that
	// of the pieces in which the journal holds a longer one, 0: 8 MiB.
	AnswerTarget, AnswerLimit int64
	AnswerPiece               int
	// JournalRetryFor is how long writes to a journal in a bucket are retried, while
	// paid answers wait. 0: the journal's default.
	JournalRetryFor time.Duration
	// CheckpointEvery is ledger.Options.CheckpointEvery of the journals of lakes.
	CheckpointEvery int64
	// BucketMaxBackoff is the longest wait between attempts at a request to a bucket.
	// 0: the bucket's default.
	BucketMaxBackoff time.Duration
}

// ChildEnviron are the variables of a program that siglake starts: its own without the API key and the secrets of
// webhooks, and without some others. Case does not matter, as on Windows.
func (env *Env) ChildEnviron(without ...string) []string {
	if env.Environ == nil {
		return []string{}
	}
	without = append(without, KeyVariable, SecretVariable)
	return slices.DeleteFunc(env.Environ(), func(v string) bool {
		name, _, _ := strings.Cut(v, "=")
		return slices.ContainsFunc(without, func(other string) bool { return strings.EqualFold(name, other) })
	})
}

// Publication is what a command has published.
type Publication struct {
	Lake, Run  string // the lake's address; the run, or what a compaction or pruning is called
	Generation int64
	Then       string // StoreOptions.AfterPublish
}

func (env *Env) notePublication(o StoreOptions, lake string, m *pipeline.Manifest) {
	if env.Published != nil {
		env.Published(Publication{Lake: lake, Run: m.Run.ID, Generation: m.Generation, Then: o.AfterPublish})
	}
}

// ComponentVersions names the parts whose version decides what a file looks like:
// the build of the program, and what it is built with.
func ComponentVersions(build string) map[string]string {
	v := map[string]string{
		"siglake":  build,
		"go":       runtime.Version(),
		"platform": runtime.GOOS + "/" + runtime.GOARCH,

		pipeline.SchemaComponent: strconv.Itoa(schema.Version),
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	for _, d := range info.Deps {
		switch d.Path {
		case "github.com/apache/arrow/go/v17":
			v["arrow"] = d.Version
		case "github.com/parquet-go/parquet-go":
			v["parquet-go"] = d.Version
		}
	}
	return v
}
