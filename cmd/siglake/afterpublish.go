package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// afterPublishFlag and afterPublishVariable name the command that follows a publication.
const (
	afterPublishFlag     = "after-publish"
	afterPublishVariable = "SIGLAKE_AFTER_PUBLISH"
)

// afterPublishGrace is how long the command of --after-publish may take to end once it is asked to.
const afterPublishGrace = 10 * time.Second

// afterPublish runs the command of --after-publish if the command has published something. The lake is unlocked
// by then. What the command prints goes to standard error, since standard output may be a JSON document.
func (inv *invocation) afterPublish(ctx context.Context) error {
	p := inv.published
	switch {
	case p == nil || p.Then == "" || inv.checkOnly:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("generation %d is published, and --%s was not run because of the request to stop; the next publication runs it", p.Generation, afterPublishFlag)
	}
	shell := []string{"sh", "-c"}
	if runtime.GOOS == "windows" {
		shell = []string{"cmd", "/C"}
	}
	c := exec.CommandContext(ctx, shell[0], shell[1], p.Then) //nolint:gosec // the command line is the user's own
	c.Env, c.Stdout, c.Stderr = publicationEnv(inv.env, p), format.NewWriter(inv.console.w), format.NewWriter(inv.console.w)
	c.Cancel, c.WaitDelay = func() error { return c.Process.Signal(syscall.SIGTERM) }, afterPublishGrace
	if err := c.Run(); err != nil {
		return fmt.Errorf("generation %d is published, and --%s %q failed: %w; run it again, or wait for the next publication", p.Generation, afterPublishFlag, p.Then, err)
	}
	return nil
}

// publicationEnv are the variables of the command: those of siglake without its key, and what was published. The
// command may be siglake, which must not run it in turn.
func publicationEnv(env *app.Env, p *app.Publication) []string {
	var all []string
	if env.Environ != nil {
		all = slices.DeleteFunc(env.Environ(), func(v string) bool {
			name, _, _ := strings.Cut(v, "=")
			return slices.Contains([]string{app.KeyVariable, afterPublishVariable, "SIGLAKE_LAKE", "SIGLAKE_RUN", "SIGLAKE_GENERATION"}, name)
		})
	}
	lake := p.Lake
	if path, err := filepath.Abs(lake); err == nil && !strings.Contains(lake, "://") {
		lake = path
	}
	return append(all, "SIGLAKE_LAKE="+lake, "SIGLAKE_RUN="+p.Run, "SIGLAKE_GENERATION="+strconv.FormatInt(p.Generation, 10))
}
