package schedulermatrix

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"
)

// installers are the commands that install Airflow into a virtual environment. uv takes seconds, and pip minutes:
// Airflow has 130 packages. All of their versions are stated, so that no release of one of them changes the test.
func installers(dir string) [][]string {
	python, tool := filepath.Join(dir, "bin", "python"), filepath.Join(dir, "bin", "uv")
	return [][]string{
		{"python3", "-m", "venv", dir},
		{python, "-m", "pip", "install", "--quiet", "--retries", "1", "uv==0.13.9"},
		{tool, "pip", "install", "--quiet", "--python", python, "--no-deps", "--requirements", filepath.Join("testdata", "airflow.txt")},
	}
}

// installAirflow installs Airflow into the user's cache, once for all tests.
func installAirflow(t *testing.T) (python string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	versions, err := os.ReadFile(filepath.Join("testdata", "airflow.txt"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(cache, "siglake-test", fmt.Sprintf("airflow-%x", sha256.Sum256(versions))[:len("airflow-")+16])
	python = filepath.Join(dir, "bin", "python")
	complete := filepath.Join(dir, "complete") // loading Airflow, to see that it is there, takes seconds
	if _, err := os.Stat(complete); err == nil {
		return python
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	for _, command := range installers(dir) {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("Airflow cannot be installed: %s: %v\n%s", command, err, out)
		}
	}
	if err := os.WriteFile(complete, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	return python
}

// dag is what Airflow makes of a file.
type dag struct {
	Tasks  []string            `json:"tasks"`
	Leaves []string            `json:"leaves"`
	Mapped map[string][]string `json:"mapped"` // the arguments of the tasks
	Codes  map[int][]string    `json:"codes"`  // what becomes of a task: in its first try, and in its last one
	Seen   string              `json:"seen"`   // of siglake: the shard, and the arguments
}

// TestAirflow: Airflow loads the DAGs, maps the tasks of the shards, and completes, repeats and fails tasks by the exit code.
func TestAirflow(t *testing.T) {
	python := installAirflow(t)
	codes := map[int][]string{}
	for n, want := range map[string][]int{"success": {0, 10, 12}, "fail": {13, 21, 23, 30, 60, 64}, "retry": {40, 50, 130}} {
		for _, code := range want {
			codes[code] = []string{n, n}
		}
	}
	codes[20] = []string{"retry", "skip"}
	var shards []string
	for i := range 6 {
		shards = append(shards, fmt.Sprintf("%d/6", i))
	}
	files := []string{filepath.Join(deploy, "airflow", "siglake_nightly.py"), filepath.Join(deploy, "shards", "siglake_shards.py")}
	want := []dag{
		{Tasks: []string{"nightly"}, Leaves: []string{"nightly"}, Mapped: map[string][]string{}, Codes: codes, Seen: "job nightly"},
		{Tasks: []string{"shard", "union"}, Leaves: []string{"union"}, Mapped: map[string][]string{"shard": shards}, Codes: codes, Seen: "3/6 job nightly"},
	}
	home := t.TempDir()
	found := filepath.Join(home, "found.json")
	c := exec.CommandContext(t.Context(), python, slices.Concat([]string{filepath.Join("testdata", "dag.py")}, files, []string{found})...)
	c.Env = slices.Concat(os.Environ(), []string{"AIRFLOW_HOME=" + home, "AIRFLOW__CORE__LOAD_EXAMPLES=False"})
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	raw, err := os.ReadFile(found)
	var got []dag
	if err == nil {
		err = json.Unmarshal(raw, &got)
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q: %+v, want %+v; %v", files, got, want, err)
	}
}
