package schedulermatrix

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

const deploy = "../../cmd/siglake/deploy"

// decode decodes a manifest strictly: a field that the API does not know, or that stands twice, is an error.
func decode(t *testing.T, text string, into any) {
	t.Helper()
	if err := yaml.UnmarshalStrict([]byte(text), into); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
}

// manifests are the documents of a file.
func manifests(t *testing.T, name string) []string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(deploy, name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(raw), "\n---\n")
}

// TestKubernetes: the API of Kubernetes has every field of the manifests, and they keep to its rules about jobs that
// the types do not state.
func TestKubernetes(t *testing.T) {
	jobs := 0
	for _, file := range []string{"kubernetes/siglake.yaml", "shards/kubernetes.yaml"} {
		for _, text := range manifests(t, file) {
			var kind struct {
				Kind string `json:"kind"`
			}
			if err := yaml.Unmarshal([]byte(text), &kind); err != nil {
				t.Fatal(err)
			}
			switch kind.Kind {
			case "ConfigMap":
				decode(t, text, new(core.ConfigMap))
			case "PersistentVolumeClaim":
				decode(t, text, new(core.PersistentVolumeClaim))
			case "CronJob":
				var c batch.CronJob
				decode(t, text, &c)
				checkJob(t, c.Name, &c.Spec.JobTemplate.Spec)
				jobs++
			default:
				t.Errorf("%s: kind %q is not checked", file, kind.Kind)
			}
		}
	}
	if jobs != 3 {
		t.Errorf("%d jobs were checked, want 3", jobs)
	}
}

// checkJob holds a job against the rules of the API server, as its documentation states them.
func checkJob(t *testing.T, name string, j *batch.JobSpec) {
	t.Helper()
	indexed := j.CompletionMode != nil && *j.CompletionMode == batch.IndexedCompletion
	pod := &j.Template.Spec
	switch {
	case indexed && (j.Completions == nil || *j.Completions < 2):
		t.Errorf("%s: an indexed job needs completions", name)
	case j.BackoffLimitPerIndex != nil && (!indexed || j.BackoffLimit != nil):
		t.Errorf("%s: backoffLimitPerIndex is for indexed jobs, and instead of backoffLimit", name)
	case j.MaxFailedIndexes != nil && (j.BackoffLimitPerIndex == nil || *j.MaxFailedIndexes > *j.Completions):
		t.Errorf("%s: maxFailedIndexes needs backoffLimitPerIndex, and is at most completions", name)
	case pod.RestartPolicy != core.RestartPolicyNever:
		t.Errorf("%s: podFailurePolicy needs restartPolicy Never", name)
	}
	var containers, volumes []string
	for _, c := range pod.Containers {
		containers = append(containers, c.Name)
	}
	for _, v := range pod.Volumes {
		volumes = append(volumes, v.Name)
	}
	for _, c := range pod.Containers {
		for _, m := range c.VolumeMounts {
			if !slices.Contains(volumes, m.Name) {
				t.Errorf("%s: there is no volume %s", name, m.Name)
			}
		}
	}
	if j.PodFailurePolicy == nil {
		return
	}
	for _, r := range j.PodFailurePolicy.Rules {
		if r.Action == batch.PodFailurePolicyActionFailIndex && j.BackoffLimitPerIndex == nil {
			t.Errorf("%s: FailIndex needs backoffLimitPerIndex", name)
		}
		if codes := r.OnExitCodes; codes != nil && (codes.ContainerName == nil || !slices.Contains(containers, *codes.ContainerName) || !slices.IsSorted(codes.Values) || codes.Operator == batch.PodFailurePolicyOnExitCodesOpIn && slices.Contains(codes.Values, 0)) {
			t.Errorf("%s: rule about exit codes %+v", name, codes)
		}
	}
}
