package main

import (
	"cmp"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/jobfile"
)

// jobFile is what a night has to know of a job file. All else is the business of siglake, which reads the file again.
type jobFile struct {
	path  string
	names []string
	parts map[string][]part
}

// loadJobs reads a job file.
func loadJobs(path string) (*jobFile, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, usageErrorf("job file: %w; name it with --config FILE or SIGLAKE_CONFIG", err)
	}
	parsed := jobfile.Parse(path, raw, func(string, []string) string { return "" })
	if err := parsed.Err(); err != nil {
		return nil, usageErrorf("%w", err)
	}
	f := &jobFile{path: path, parts: map[string][]part{}}
	for _, j := range parsed.Jobs {
		shards, err := countShards(j.Settings, parsed.Defaults)
		if err != nil {
			return nil, usageErrorf("%s: job %s: %w", path, j.Name, err)
		}
		f.names = append(f.names, j.Name)
		f.parts[j.Name] = partsOf(j.Name, shards)
	}
	return f, nil
}

// maxShards is the largest count that siglake takes.
const maxShards = 10_000

// dividedShard is the shard of a job that a scheduler divides: its index is the name of a variable.
var dividedShard = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*/([0-9]+)$`)

// countShards is the number of shards of a job; 0: it is not divided. A job is divided if its shard leaves the index to a
// variable, and it reads a shard of a list or has the lake of one.
func countShards(own, defaults []jobfile.Field) (int, error) {
	shard, isOwn := text(own, "shard")
	if !isOwn {
		shard, _ = text(defaults, "shard")
	}
	lake, hasLake := text(own, "lake")
	if !hasLake {
		lake, _ = text(defaults, "lake")
	}
	m := dividedShard.FindStringSubmatch(shard)
	if m == nil || !isOwn && !strings.Contains(lake, "{shard}") {
		return 0, nil
	}
	n, err := strconv.Atoi(m[1])
	if err != nil || n < 1 || n > maxShards {
		return 0, fmt.Errorf("shard %q: expected VARIABLE/COUNT with a count from 1 to %d", shard, maxShards)
	}
	return n, nil
}

// text is the value of a setting.
func text(settings []jobfile.Field, key string) (value string, found bool) {
	i := slices.IndexFunc(settings, func(f jobfile.Field) bool { return f.Key == key })
	if i < 0 {
		return "", false
	}
	return settings[i].Value.Text, true
}

// partsOf are the activities of a job.
func partsOf(name string, shards int) (parts []part) {
	if shards == 0 {
		return []part{{Job: name}}
	}
	for i := range shards {
		parts = append(parts, part{Job: name, Shard: fmt.Sprintf("%d/%d", i, shards)})
	}
	return parts
}

// choose gives the parts of jobs, of all jobs if none is named.
func (f *jobFile) choose(names []string) (all [][]part, err error) {
	if len(names) == 0 {
		names = f.names
	}
	for _, name := range names {
		parts, found := f.parts[name]
		if !found {
			return nil, usageErrorf("%s has no job %q; its jobs are %s", f.path, name, cmp.Or(strings.Join(f.names, ", "), "none"))
		}
		all = append(all, parts)
	}
	return all, nil
}
