package main

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/urfave/cli/v2"
)

// Env is what a command depends on outside of its arguments. Tests replace parts
// of it; they can run commands in parallel, because nothing of it is global.
type Env struct {
	// Now is the clock that windows end by, and that ids age by.
	Now func() time.Time
	// Transport carries requests to the API. Nil: the network.
	Transport http.RoundTripper
	// Hook surrounds every operation on the files of a lake and its journal. Nil: none.
	Hook func(op, path string, do func() error) error
	// Getenv reads a variable of the process environment; empty: not set. The
	// variables of flags are read by the flag library.
	Getenv func(name string) string
	// Version is that of the program, and Build the same with its commit.
	Version, Build string
	// Log receives the log lines of a command. Every command replaces it by a
	// logger with the level and format that its flags ask for.
	Log *slog.Logger

	Stdin          io.Reader
	Stdout, Stderr io.Writer

	// JournalRetryFor is how long writes to a journal in a bucket are retried, while
	// paid answers wait. 0: the journal's default.
	JournalRetryFor time.Duration
	// BucketMaxBackoff is the longest wait between attempts at a request to a bucket.
	// 0: the bucket's default.
	BucketMaxBackoff time.Duration
}

// processEnv is the Env of the process.
func processEnv() Env {
	return Env{
		Version: version, Build: buildVersion(),
		Now: time.Now, Getenv: os.Getenv, Log: slog.Default(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr,
	}
}

// envKey is where a command's Env lies in the metadata of the flag library.
const envKey = "env"

// envOf is the Env of a command.
func envOf(c *cli.Context) *Env { return c.App.Metadata[envKey].(*Env) }

// loggingEnv is the Env of a command, with the logger that its flags ask for.
func loggingEnv(c *cli.Context, o OutputOptions) (*Env, error) {
	env := *envOf(c)
	var err error
	env.Log, err = newLogger(&env, o)
	return &env, err
}
