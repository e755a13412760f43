package main

import (
	"log/slog"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

// processEnv is the Env of the process.
func processEnv() app.Env {
	return app.Env{
		Version: version, Build: buildVersion(),
		Now: time.Now, Getenv: os.Getenv, Environ: os.Environ, Log: slog.Default(), Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, SetUmask: setUmask,
		Interactive: isInteractive(), Memory: processMemory(os.Getenv), LimitHeap: heap.set,
	}
}

// envKey is where a command's Env lies in the metadata of the flag library.
const envKey = "env"

// envOf is the Env of a command.
func envOf(c *cli.Context) *app.Env { return c.App.Metadata[envKey].(*app.Env) }

// loggingEnv is the Env of a command, with the logger that its flags ask for.
func loggingEnv(c *cli.Context, o OutputOptions) (*app.Env, error) {
	env := *envOf(c)
	var err error
	env.Log, err = newLogger(&env, o)
	return &env, err
}
