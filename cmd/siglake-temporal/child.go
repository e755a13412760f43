package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// process is a siglake job that runs.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended, and its log is read
	code int           // valid when done
	// Valid when done: a signal ended it.
	signaled bool
}

// logPoll is how often the log of a process is read.
const logPoll = 250 * time.Millisecond

// startProcess starts siglake and hands every line of its log to read. The log is a file without a name, not a
// pipe: a process whose worker is killed would be killed by its next line. It ends by one request to stop, which
// the kernel makes, too, when the worker dies.
func startProcess(program string, args, environ []string, read func(line []byte)) (*process, error) {
	log, err := os.CreateTemp("", "siglake-temporal-*.log")
	if err != nil {
		return nil, err
	}
	reader, err := os.Open(log.Name())
	err = errors.Join(err, removeOpen(log.Name()))
	if err != nil {
		log.Close()
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(context.Background(), program, args...), done: make(chan struct{})} //nolint:gosec // a request to stop is a signal, not a kill
	p.cmd.Env, p.cmd.Stderr = environ, log
	p.cmd.SysProcAttr = childAttributes()
	started := make(chan error)
	ended := make(chan struct{})
	go func() {
		// The signal at the worker's death comes at the death of the thread that started the process.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			_ = p.cmd.Wait() // its state says how it ended
		}
		close(ended)
	}()
	if err := <-started; err != nil {
		log.Close()
		reader.Close()
		return nil, fmt.Errorf("siglake cannot be started: %w; name the program with --siglake", err)
	}
	go func() {
		defer close(p.done)
		defer log.Close()
		defer reader.Close()
		followLog(reader, ended, read)
		p.code, p.signaled = endOf(p.cmd.ProcessState)
	}()
	return p, nil
}

// followLog reads lines until the process has ended and its log is read to the end.
func followLog(log io.Reader, ended <-chan struct{}, read func(line []byte)) {
	var pending []byte
	buffer := make([]byte, 64<<10)
	for last := false; ; {
		n, err := log.Read(buffer)
		pending = append(pending, buffer[:n]...)
		for {
			line, rest, found := bytes.Cut(pending, []byte("\n"))
			if !found {
				break
			}
			read(line)
			pending = rest
		}
		switch {
		case err == nil:
			continue
		case last:
			return
		}
		select {
		case <-ended:
			last = true
		case <-time.After(logPoll):
		}
	}
}

// endOf is the exit code of a process; of one that a signal ended, as a shell has it.
func endOf(state *os.ProcessState) (code int, isSignaled bool) {
	if code = state.ExitCode(); code >= 0 {
		return code, false
	}
	return exitKilled, true
}

// childEnviron is the environment of a job: that of the worker, without what is Temporal's, and with a log that
// can be read.
func childEnviron(worker []string, shard string) (environ []string) {
	for _, pair := range worker {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "TEMPORAL_") || name == "SIGLAKE_COMPLETE_EXITS_0" {
			continue
		}
		environ = append(environ, pair)
	}
	environ = append(environ, "SIGLAKE_LOG_FORMAT=json", "SIGLAKE_QUIET=false")
	if shard != "" { // it counts more than the job's own, and names the lake of commands that read no list, too
		environ = append(environ, "SIGLAKE_SHARD="+shard)
	}
	return environ
}
