package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// profiled adds to a command a flag that help does not show: --profile DIR, for go tool pprof. The files
// bear the command's name; those of an earlier one are replaced. They are written however the command
// ends, also after a polite stop, but not if the process is killed.
func profiled(cmd *cli.Command) *cli.Command {
	dir, action := "", cmd.Action
	cmd.Flags = append(cmd.Flags, &cli.StringFlag{Name: "profile", Destination: &dir, EnvVars: []string{"SIGLAKE_PROFILE"}, Hidden: true,
		Usage: "`DIR` for profiles of the program's CPU time and memory"})
	cmd.Action = func(c *cli.Context) error {
		inv := invocationOf(c)
		if dir == "" || inv.checkOnly {
			return action(c)
		}
		p, err := startProfiles(dir, cmd.Name)
		if err != nil {
			return &app.Error{Kind: app.KindStorage, Err: fmt.Errorf("--profile: %w", err)}
		}
		defer func() {
			if err := p.finish(); err != nil { // no reason for a command that has done its work to fail
				inv.console.print(slog.LevelWarn, "--profile: "+format.Text(err.Error())+"; the profile is incomplete")
			}
		}()
		return action(c)
	}
	return cmd
}

// profiles are those of a process while they are taken.
type profiles struct {
	cpu  *os.File
	heap string // path
}

// startProfiles begins to sample the CPU. A process has one CPU profile at a time.
func startProfiles(dir, command string) (*profiles, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	cpu, err := os.Create(filepath.Join(dir, command+".cpu.pprof"))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return &profiles{cpu, filepath.Join(dir, command+".heap.pprof")}, nil
}

// finish writes the CPU profile, and one of the heap: what is in use, and all that was allocated.
func (p *profiles) finish() error {
	pprof.StopCPUProfile()
	err := p.cpu.Close()
	heap, createErr := os.Create(p.heap)
	if createErr != nil {
		return errors.Join(err, createErr)
	}
	runtime.GC() // the profile shows the heap after the last collection
	return errors.Join(err, pprof.WriteHeapProfile(heap), heap.Close())
}
