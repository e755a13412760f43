package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// usage is what a process took.
type usage struct {
	cpu    time.Duration // user and system, of all threads
	wall   time.Duration
	rss    float64 // peak of the resident set, in MiB; 0: not known on this system
	output string
}

// measure runs a program to its end. variables are added to an environment without settings of siglake
// and of the Go runtime.
func measure(ctx context.Context, variables []string, program string, args ...string) (usage, error) {
	cmd := exec.CommandContext(ctx, program, args...) //nolint:gosec // what is measured
	cmd.Env = append(cleanEnviron(), variables...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	began := time.Now()
	err := cmd.Run()
	u := usage{wall: time.Since(began), output: out.String()}
	if cmd.ProcessState != nil {
		u.cpu = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
		u.rss = peakMemory(cmd.ProcessState)
	}
	if err != nil {
		return u, fmt.Errorf("%s %s: %w\n%s%s", program, strings.Join(args, " "), err, out.Bytes(), problems.Bytes())
	}
	return u, nil
}

func cleanEnviron() (list []string) {
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SIGLAKE_") && !strings.HasPrefix(v, "GOMAXPROCS=") && !strings.HasPrefix(v, "GOGC=") && !strings.HasPrefix(v, "GOMEMLIMIT=") {
			list = append(list, v)
		}
	}
	return append(list, "LUSHA_API_KEY=bench")
}

// metrics are the results of Go benchmarks: by the benchmark's name without the number of processors,
// and by unit.
type metrics map[string]map[string]float64

// processorCount is what go test appends to the name of a benchmark.
var processorCount = regexp.MustCompile(`-[0-9]+$`)

// parseMetrics reads what a test binary prints.
func parseMetrics(output string) metrics {
	m := metrics{}
	for line := range strings.Lines(output) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasPrefix(words[0], "Benchmark") {
			continue
		}
		name := processorCount.ReplaceAllString(words[0], "")
		m[name] = map[string]float64{}
		for i := 2; i+1 < len(words); i += 2 {
			if v, err := strconv.ParseFloat(words[i], 64); err == nil {
				m[name][words[i+1]] = v
			}
		}
	}
	return m
}

// sizeOf is the size of the Parquet files in a folder, in bytes.
func sizeOf(dir string) (size int64, err error) {
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".parquet" {
			return err
		}
		info, err := d.Info()
		if err == nil {
			size += info.Size()
		}
		return err
	})
	return size, err
}
