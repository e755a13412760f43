//go:build unix

package main

import (
	"errors"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// TestTimeoutCommand: timeout(1), which signals the process and then its group, stops a
// run politely: what was on the wire is paid and kept, nothing is in doubt.
func TestTimeoutCommand(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("timeout"); err != nil {
		t.Fatalf("the test needs timeout(1) of GNU coreutils: %v", err)
	}
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, signal := range []string{"TERM", "INT"} {
		t.Run(signal, func(t *testing.T) {
			t.Parallel()
			kept := int64(0)
			trials := proof.Size(1, 3, 20)
			for range trials {
				kept += stopByTimeout(t, program, signal)
			}
			t.Logf("%d runs stopped politely, %d calls on the wire or before were charged and kept, none in doubt", trials, kept)
		})
	}
}

// stopByTimeout has a run stopped by timeout(1), and counts the calls that it was charged for.
func stopByTimeout(t *testing.T, program, signal string) int64 {
	t.Helper()
	r := newRig(t, simulator.Config{Latency: 300 * time.Millisecond})
	cmd := exec.Command("timeout", append([]string{"--preserve-status", "--signal", signal, "2", program},
		r.args([]string{"run", writeList(t, "stopped", 3000), "--signals", "news", "--batch-size", "5", "--concurrency", "4"})[1:]...)...)
	cmd.Env = append(os.Environ(), runAsProgram+"=0", app.KeyVariable+"="+canary, "XDG_STATE_HOME="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or timeout signals this test, too
	out, err := cmd.CombinedOutput()
	var status *exec.ExitError
	if !errors.As(err, &status) || status.ExitCode() != exitDeferred {
		t.Fatalf("%v, want exit %d: %s", err, exitDeferred, out)
	}
	r.manifest = r.readManifest()
	if r.manifest == nil {
		t.Fatalf("the run published nothing: %s", out)
	}
	r.check()
	if n := r.manifest.Accounts.ByStatus[schema.InDoubt]; n != 0 || r.manifest.Run.Stop == nil || r.manifest.Run.Stop.Kind != pipeline.StopInterrupted {
		t.Errorf("%d lines in doubt, stop %+v; want none, and %s", n, r.manifest.Run.Stop, pipeline.StopInterrupted)
	}
	return r.manifest.Calls.ByOutcome[pipeline.Charged]
}
