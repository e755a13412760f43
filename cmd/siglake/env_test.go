package main

import (
	"context"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
)

// testEnv is the Env of the commands that a test runs in this process, and the
// variables of its environment.
type testEnv struct {
	app.Env
	vars *sync.Map // values by name
}

// testEnvs holds the Env of every running test by the test's name.
var testEnvs sync.Map

// envFor is the Env of a test. Subtests share that of the test around them.
func envFor(t testing.TB) *testEnv {
	t.Helper()
	for name, more := t.Name(), true; more; {
		if e, ok := testEnvs.Load(name); ok {
			return e.(*testEnv)
		}
		i := strings.LastIndexByte(name, '/')
		if more = i >= 0; more {
			name = name[:i]
		}
	}
	e := &testEnv{Env: app.Env{Version: version, Build: buildVersion(), Now: time.Now, UsageSettles: time.Millisecond, CheckpointEvery: 1, Log: slog.New(slog.DiscardHandler)}}
	e.useVars(new(sync.Map))
	e.set(app.KeyVariable, canary)
	e.set("XDG_STATE_HOME", t.TempDir())
	return e.register(t)
}

// ownEnv gives a subtest an Env of its own, with the variables of that of the test around it.
func ownEnv(t testing.TB) *testEnv {
	t.Helper()
	around := envFor(t)
	e := &testEnv{Env: around.Env}
	e.useVars(new(sync.Map))
	around.vars.Range(func(name, value any) bool {
		e.vars.Store(name, value)
		return true
	})
	return e.register(t)
}

func (e *testEnv) register(t testing.TB) *testEnv {
	t.Helper()
	testEnvs.Store(t.Name(), e)
	t.Cleanup(func() { testEnvs.Delete(t.Name()) })
	return e
}

func (e *testEnv) useVars(vars *sync.Map) {
	e.vars = vars
	e.Getenv = func(name string) string {
		value, _ := vars.Load(name)
		text, _ := value.(string)
		return text
	}
}

// set sets a variable of the environment; empty: it is not set.
func (e *testEnv) set(name, value string) { e.vars.Store(name, value) }

// pairs are the variables as os/exec takes them.
func (e *testEnv) pairs() (pairs []string) {
	e.vars.Range(func(name, value any) bool {
		pairs = append(pairs, name.(string)+"="+value.(string))
		return true
	})
	return pairs
}

// setNow stops the clock of a test's commands, until the test ends.
func setNow(t testing.TB, now func() time.Time) {
	t.Helper()
	e := envFor(t)
	before := e.Now
	e.Now = now
	t.Cleanup(func() { e.Now = before })
}

// setHook surrounds the operations on files of a test's commands, until the test
// ends or removes it.
func setHook(t testing.TB, hook func(op, path string, do func() error) error) {
	t.Helper()
	e := envFor(t)
	e.Hook = hook
	t.Cleanup(func() { e.Hook = nil })
}

func clearHook(t testing.TB) { envFor(t).Hook = nil }

// execute runs a command in the Env.
func (e *testEnv) execute(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	env := e.Env
	if stdin == nil {
		stdin = strings.NewReader("")
	}
	env.Stdin, env.Stdout, env.Stderr = stdin, stdout, stderr
	return execute(ctx, env, args)
}
