package schedulermatrix

import (
	"context"
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

// airflowReleases are what the DAGs import.
var airflowReleases = []string{"apache-airflow-core==3.3.2", "apache-airflow-task-sdk==1.3.2", "apache-airflow-providers-standard==1.21.0"}

// installAirflow installs Airflow into a virtual environment of the user's cache, once for all tests.
func installAirflow(t *testing.T) (python string) {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	dir := filepath.Join(cache, "siglake-test", "airflow-3.3.2")
	python = filepath.Join(dir, "bin", "python")
	if exec.Command(python, "-c", "import airflow.sdk, airflow.providers.standard").Run() == nil {
		return python
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	defer cancel()
	for _, command := range [][]string{{"python3", "-m", "venv", dir}, append([]string{filepath.Join(dir, "bin", "pip"), "install", "--quiet", "--retries", "1"}, airflowReleases...)} {
		if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("Airflow cannot be installed: %s: %v\n%s", command, err, out)
		}
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
	for file, want := range map[string]dag{
		"airflow/siglake_nightly.py": {Tasks: []string{"nightly"}, Leaves: []string{"nightly"}, Mapped: map[string][]string{}, Codes: codes, Seen: "job nightly"},
		"shards/siglake_shards.py":   {Tasks: []string{"shard", "union"}, Leaves: []string{"union"}, Mapped: map[string][]string{"shard": shards}, Codes: codes, Seen: "3/6 job nightly"},
	} {
		home := t.TempDir()
		found := filepath.Join(home, "found.json")
		c := exec.CommandContext(t.Context(), python, "testdata/dag.py", filepath.Join(deploy, file), found)
		c.Env = slices.Concat(os.Environ(), []string{"AIRFLOW_HOME=" + home, "AIRFLOW__CORE__LOAD_EXAMPLES=False"})
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", file, err, out)
			continue
		}
		raw, err := os.ReadFile(found)
		var got dag
		if err == nil {
			err = json.Unmarshal(raw, &got)
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v; %v", file, got, want, err)
		}
	}
}
