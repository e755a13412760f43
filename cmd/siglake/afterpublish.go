package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
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

// The variables of the command that say what was published. The command may be siglake, so the run and the generation have
// names that set no flag: a report on the lake would be one on the run. The lake is that of --lake.
const (
	lakeVariable                = "SIGLAKE_LAKE"
	publishedRunVariable        = "SIGLAKE_PUBLISHED_RUN"
	publishedGenerationVariable = "SIGLAKE_PUBLISHED_GENERATION"
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
		return fmt.Errorf("generation %d is published, and the command of --%s failed: %w; run it again, or wait for the next publication", p.Generation, afterPublishFlag, err)
	}
	return nil
}

// publicationEnv are the variables of the command: those of siglake without its key, and what was published. The
// command may be siglake, which must not run it in turn.
func publicationEnv(env *app.Env, p *app.Publication) []string {
	all := env.ChildEnviron(afterPublishVariable, lakeVariable, publishedRunVariable, publishedGenerationVariable)
	lake := p.Lake
	if path, err := filepath.Abs(lake); err == nil && !strings.Contains(lake, "://") {
		lake = path
	}
	return append(all, lakeVariable+"="+lake, publishedRunVariable+"="+p.Run, publishedGenerationVariable+"="+strconv.FormatInt(p.Generation, 10))
}
