package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/siglake/siglake/cmd/siglake/manual"
	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/simulator"
)

// TestExamples: every embedded file belongs to a kind, and is printed as it is.
func TestExamples(t *testing.T) {
	t.Parallel()
	_, list, _ := says(t, "examples")
	files := 0
	err := fs.WalkDir(deployFiles, "deploy", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files++
		kind, file := path.Base(path.Dir(name)), path.Base(name)
		raw, err := fs.ReadFile(deployFiles, name)
		if err != nil {
			return err
		}
		if code, got, stderr := says(t, "examples", kind, file); code != exitComplete || got != string(raw) || len(raw) == 0 {
			t.Errorf("examples %s %s: exit %d, %d bytes of %d: %s", kind, file, code, len(got), len(raw), stderr)
		}
		if _, all, _ := says(t, "examples", kind); !strings.Contains(all, string(raw)) || !strings.Contains(list, file) {
			t.Errorf("examples %s, or the list, leaves %s out", kind, file)
		}
		return nil
	})
	if err != nil || files < 8 {
		t.Errorf("%d files, %v", files, err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"systmd"}, "(did you mean systemd?)"},
		{[]string{"cron", "siglake-rety"}, "(did you mean siglake-retry?)"},
		{[]string{"cron", "../job/siglake.yaml"}, "there are: siglake-retry, siglake.cron"},
		{[]string{".."}, "no examples of kind"},
		{[]string{"cron", "siglake.cron", "x"}, `got "x" too`},
	} {
		if code, stdout, stderr := says(t, append([]string{"examples"}, c.args...)...); code != exitUsage || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("examples %q: exit %d, %q; want %d and %q", c.args, code, stderr, exitUsage, c.want)
		}
	}
}

// TestExamplesInManual: the manual page quotes the files exactly.
func TestExamplesInManual(t *testing.T) {
	t.Parallel()
	for _, kind := range exampleKindNames() {
		page, _ := manual.Lookup("deploy")
		if topic := map[string]string{"webhooks": "receiving", "watch": "receiving", "shards": "shards"}[kind]; topic != "" {
			page, _ = manual.Lookup(topic)
		}
		_, printed, _ := says(t, "examples", kind)
		if want := "```console\n$ siglake examples " + kind + "\n" + printed + "```\n"; !strings.Contains(page.Text, want) {
			t.Errorf("the page %s does not quote what siglake examples %s prints", page.Topic, kind)
		}
	}
}

// group is the submatch of a pattern in an example.
func group(t *testing.T, kind, file, pattern string) string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(exampleText(kind, file))
	if m == nil {
		t.Fatalf("%s does not match %s", file, pattern)
	}
	return m[1]
}

// codesIn are the numbers in a text, in order.
func codesIn(text string) (codes []int) {
	for _, word := range regexp.MustCompile(`\d+`).FindAllString(text, -1) {
		n, _ := strconv.Atoi(word)
		codes = append(codes, n)
	}
	slices.Sort(codes)
	return codes
}

// TestExampleExitCodes: the examples treat every code of the page exit-codes, each in the same way.
func TestExampleExitCodes(t *testing.T) {
	t.Parallel()
	page, _ := manual.Lookup("exit-codes")
	var all []int
	for _, m := range regexp.MustCompile(`(?m)^\| (\d+) \|`).FindAllStringSubmatch(page.Text, -1) {
		all = append(all, codesIn(m[1])...)
	}
	all = slices.DeleteFunc(all, func(code int) bool { return code == exitStale || code == exitDiffers || code == app.ExitUndelivered }) // of status, schema diff and webhooks audit, which are no jobs of these
	complete := []int{exitComplete, exitRejects, exitUnexplained}
	repeat := []int{exitDeferred, exitStorage, exitLocked, exitKilled}
	person := []int{exitAfter, exitInDoubt, exitDrift, exitAuth, exitIntegrity, exitUsage}
	if diff := cmp.Diff(all, slices.Sorted(slices.Values(slices.Concat(complete, repeat, person)))); diff != "" {
		t.Fatalf("codes of the page, and those that the examples know (-page +examples):\n%s", diff)
	}
	for _, code := range all {
		if isCompleteCode(code) != slices.Contains(complete, code) {
			t.Errorf("isCompleteCode(%d) = %t", code, isCompleteCode(code))
		}
	}
	for _, c := range []struct {
		name, text string
		want       []int
	}{
		{"script, complete", group(t, "cron", "siglake-retry", `\n\t([\d |]+)\) exit 0 `), complete},
		{"script, repeat", group(t, "cron", "siglake-retry", `\n\t([\d |]+)\) ;;`), append(repeat, 137, 143)},
		{"script, person", group(t, "cron", "siglake-retry", `\*\) exit "\$code" ;; *# ([\d, ]+)`), person},
		{"systemd, complete", "0 " + group(t, "systemd", "siglake-nightly.service", `\nSuccessExitStatus=(.*)`), complete},
		{"systemd, repeat", group(t, "systemd", "siglake-nightly.service", `\nRestartForceExitStatus=(.*)`), repeat},
		{"systemd, person", group(t, "systemd", "siglake-nightly.service", `# After ([\d, and]+) a person`), person},
		{"kubernetes, repeat", group(t, "kubernetes", "siglake.yaml", `podFailurePolicy: # ([\d, and]+) are retried`), repeat},
		{"kubernetes, person", group(t, "kubernetes", "siglake.yaml", `values: \[(.*)\]`), person},
		{"airflow, complete", group(t, "airflow", "siglake_nightly.py", `\nCOMPLETE = \{(.*)\}`), complete},
		{"airflow, repeat", group(t, "airflow", "siglake_nightly.py", `\nRETRY = \{DEFERRED, (.*)\}`) + group(t, "airflow", "siglake_nightly.py", `\nDEFERRED =( \d+)`), append(repeat, 137, 143)},
		{"shards in kubernetes, repeat", group(t, "shards", "kubernetes.yaml", `podFailurePolicy: # ([\d, and]+) are retried`), repeat},
		{"shards in kubernetes, person", group(t, "shards", "kubernetes.yaml", `values: \[(.*)\]`), person},
		{"shards in airflow, complete", group(t, "shards", "siglake_shards.py", `\nCOMPLETE = \{(.*)\}`), complete},
		{"shards in airflow, repeat", group(t, "shards", "siglake_shards.py", `\nRETRY = \{DEFERRED, (.*)\}`) + group(t, "shards", "siglake_shards.py", `\nDEFERRED =( \d+)`), append(repeat, 137, 143)},
	} {
		if diff := cmp.Diff(slices.Sorted(slices.Values(c.want)), codesIn(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.name, diff)
		}
	}
}

// cronJob is what the test looks at of the CronJob.
type cronJob struct {
	Spec struct {
		Schedule          string `yaml:"schedule"`
		ConcurrencyPolicy string `yaml:"concurrencyPolicy"`
		JobTemplate       struct {
			Spec struct {
				Template struct {
					Spec struct {
						RestartPolicy string         `yaml:"restartPolicy"`
						Security      map[string]any `yaml:"securityContext"`
						Containers    []struct {
							Name     string
							Args     []string
							Env      []map[string]string
							Security map[string]any `yaml:"securityContext"`
						}
					}
				}
			}
		} `yaml:"jobTemplate"`
	}
}

// kubernetesDocuments are the documents of the example, by kind. The library refuses keys that stand
// twice.
func kubernetesDocuments(t *testing.T) map[string]yaml.Node {
	t.Helper()
	var nodes []yaml.Node
	if err := yaml.Load([]byte(exampleText("kubernetes", "siglake.yaml")), &nodes, yaml.WithAllDocuments()); err != nil {
		t.Fatal(err)
	}
	byKind := map[string]yaml.Node{}
	for _, n := range nodes {
		var head struct{ Kind string }
		if err := n.Decode(&head); err != nil {
			t.Fatal(err)
		}
		byKind[head.Kind] = n
	}
	return byKind
}

// TestExampleKubernetes: one pod at a time, whose exit code reaches the policy, with no more rights than
// it needs.
func TestExampleKubernetes(t *testing.T) {
	t.Parallel()
	documents := kubernetesDocuments(t)
	var job cronJob
	node := documents["CronJob"]
	if err := node.Decode(&job); err != nil {
		t.Fatal(err)
	}
	pod := job.Spec.JobTemplate.Spec.Template.Spec
	if job.Spec.ConcurrencyPolicy != "Forbid" || pod.RestartPolicy != "Never" || pod.Security["runAsNonRoot"] != true {
		t.Errorf("concurrency %s, restart %s, %v; want Forbid, Never, no root", job.Spec.ConcurrencyPolicy, pod.RestartPolicy, pod.Security)
	}
	if len(pod.Containers) != 1 || pod.Containers[0].Security["readOnlyRootFilesystem"] != true || !slices.Contains(pod.Containers[0].Args, "--"+completeExitsZero) {
		t.Errorf("containers %+v, want one with a read-only root and --%s", pod.Containers, completeExitsZero)
	}
	var config struct{ Data map[string]string }
	node = documents["ConfigMap"]
	if err := node.Decode(&config); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"kubernetes": config.Data["siglake.yaml"], "job": exampleText("job", "siglake.yaml")} {
		if code, _, stderr := says(t, "config", "check", "--config", writeJobFile(t, text, nil)); code != exitComplete {
			t.Errorf("config check of the job file of %s: exit %d, %s", name, code, stderr)
		}
		if !strings.Contains(text, "max-credits-per-day: ") || strings.Contains(text, "max-credits: ") {
			t.Errorf("the job file of %s does not cap the day: repeated runs would each have a cap of their own", name)
		}
	}
}

// cronLine is a line of /etc/cron.d.
type cronLine struct{ schedule, user, command string }

var cronFields = []struct{ low, high int }{{0, 59}, {0, 23}, {1, 31}, {1, 12}, {0, 7}}

// parseCron reads a file of /etc/cron.d: its variables, and its lines.
func parseCron(text string) (variables []string, lines []cronLine, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		if regexp.MustCompile(`^[A-Z_]+=`).MatchString(line) {
			variables = append(variables, line)
			continue
		}
		words := strings.SplitN(line, " ", len(cronFields)+2)
		if len(words) < len(cronFields)+2 || strings.Contains(line, "%") { // which cron takes for a line break
			return nil, nil, fmt.Errorf("cron line %q", line)
		}
		for i, f := range cronFields {
			if n, err := strconv.Atoi(strings.TrimPrefix(words[i], "*/")); words[i] != "*" && (err != nil || n < f.low || n > f.high) {
				return nil, nil, fmt.Errorf("field %d of cron line %q", i+1, line)
			}
		}
		lines = append(lines, cronLine{strings.Join(words[:5], " "), words[5], words[6]})
	}
	return variables, lines, nil
}

// TestExampleSchedules: all start at the same time of the night.
func TestExampleSchedules(t *testing.T) {
	t.Parallel()
	const want = "17 2 * * *"
	for _, kind := range []string{"cron", "docker"} {
		_, lines, err := parseCron(exampleText(kind, "siglake.cron"))
		if err != nil || len(lines) != 1 || lines[0].schedule != want {
			t.Errorf("%s: %v, %v; want one line at %q", kind, lines, err, want)
		}
	}
	for _, got := range []string{group(t, "kubernetes", "siglake.yaml", `schedule: "(.*)"`), group(t, "airflow", "siglake_nightly.py", `schedule="(.*)"`)} {
		if got != want {
			t.Errorf("schedule %q, want %q", got, want)
		}
	}
	if got := group(t, "systemd", "siglake-nightly.timer", `OnCalendar=(.*)`); got != "*-*-* 02:17:00 UTC" {
		t.Errorf("OnCalendar=%s, want 02:17", got)
	}
}

// TestExampleWatch: every scheduler starts the three jobs about webhooks, and takes a pause at the cap for no failure.
func TestExampleWatch(t *testing.T) {
	t.Parallel()
	if code, _, stderr := says(t, "config", "check", "--config", writeJobFile(t, exampleText("watch", "siglake.yaml"), nil)); code != exitComplete {
		t.Errorf("config check: exit %d, %s", code, stderr)
	}
	_, lines, err := parseCron(exampleText("watch", "siglake-watch.cron"))
	if err != nil || len(lines) != 2 || lines[0].schedule != "*/10 * * * *" || lines[0].command != "siglake job webhooks-cap --quiet" {
		t.Errorf("cron: %v, %v; want the cap every ten minutes, without a repetition", lines, err)
	}
	var list struct{ Items []cronJob }
	if err := yaml.Load([]byte(exampleText("watch", "kubernetes.yaml")), &list); err != nil || len(list.Items) != 3 {
		t.Fatalf("%d items, %v", len(list.Items), err)
	}
	var pods, timed strings.Builder
	for _, j := range list.Items {
		pod := j.Spec.JobTemplate.Spec.Template.Spec
		if j.Spec.ConcurrencyPolicy != "Forbid" || pod.RestartPolicy != "Never" || pod.Security["runAsNonRoot"] != true || len(pod.Containers) != 1 || pod.Containers[0].Security["readOnlyRootFilesystem"] != true || len(pod.Containers[0].Env) == 0 {
			t.Errorf("CronJob %+v; want one pod at a time, without root", j)
			continue
		}
		pods.WriteString(strings.Join(pod.Containers[0].Args, " ") + "\n")
	}
	for _, file := range []string{"siglake-cap", "siglake-webhooks"} {
		timed.WriteString(exampleText("watch", file+".service"))
		group(t, "watch", file+".timer", `OnCalendar=(.*)`)
	}
	for name, text := range map[string]string{"cron": exampleText("watch", "siglake-watch.cron"), "kubernetes": pods.String(), "systemd": timed.String()} {
		for _, job := range []string{"job webhooks-cap --quiet", "job webhooks-sync --quiet", "job webhooks-audit --quiet"} {
			if !strings.Contains(text, job) {
				t.Errorf("%s does not start %q", name, job)
			}
		}
	}
	if got := codesIn(group(t, "watch", "siglake-cap.service", `\nSuccessExitStatus=(.*)`)); !slices.Equal(got, []int{exitDeferred}) {
		t.Errorf("SuccessExitStatus %v of the cap, want 20", got)
	}
}

// TestExampleSecrets: the key stands in files only.
func TestExampleSecrets(t *testing.T) {
	t.Parallel()
	for _, kind := range exampleKindNames() {
		for _, file := range exampleFiles(kind) {
			text := exampleText(kind, file)
			if strings.Contains(text, "LUSHA_API_KEY=") || strings.Contains(text, "name: LUSHA_API_KEY") || strings.Contains(text, `"LUSHA_API_KEY"`) {
				t.Errorf("%s/%s passes the key in a variable", kind, file)
			}
			if strings.Contains(text, "SIGLAKE_INSECURE_KEY_FILE") || strings.Contains(text, "--insecure-key-file") {
				t.Errorf("%s/%s accepts a key file that others can read", kind, file)
			}
		}
	}
}

// TestExampleDockerfile: known instructions, the Go of go.mod, a static program, no root.
func TestExampleDockerfile(t *testing.T) {
	t.Parallel()
	text := strings.ReplaceAll(exampleText("docker", "Dockerfile"), "\\\n", "")
	last := map[string]string{}
	for line := range strings.Lines(text) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "" || word == "#" {
			continue
		}
		if !slices.Contains([]string{"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "ENTRYPOINT"}, word) {
			t.Errorf("instruction %q", line)
		}
		last[word] = rest
	}
	goMod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(goMod)[1]
	if !strings.Contains(text, "FROM golang:"+string(version)+" AS build\n") {
		t.Errorf("it does not build with Go %s, as go.mod says", version)
	}
	if last["FROM"] != "scratch" || !strings.Contains(last["RUN"], "CGO_ENABLED=0 ") || last["ENTRYPOINT"] != `["/siglake"]` {
		t.Errorf("%v, want a static program in an empty image", last)
	}
	if user := codesIn(last["USER"]); len(user) != 2 || user[0] == 0 {
		t.Errorf("USER %s, want numbers other than root's", last["USER"])
	}
}

// TestCompleteExitsZero: complete jobs exit 0, others as ever.
func TestCompleteExitsZero(t *testing.T) {
	t.Parallel()
	r, config := jobRig(t, simulator.Config{}, nightlyFile, map[string]string{"a.csv": domainLines(2), "b.csv": "domain\nb1.example\nnot a domain\n"})
	for _, c := range []struct {
		flags    []string
		variable string
		code     int
	}{
		{nil, "", exitRejects},
		{[]string{"--complete-exits-0"}, "", exitComplete},
		{[]string{"--complete-exits-0=false"}, "true", exitRejects},
		{nil, "1", exitComplete},
		{nil, "perhaps", exitUsage},
		{[]string{"--complete-exits-0", "--max-credits", "many"}, "", exitUsage},
	} {
		envFor(t).set(completeVariable, c.variable)
		r.job(append([]string{"job", "nightly", "--config", config}, c.flags...)...)
		if r.code != c.code {
			t.Errorf("%q, variable %q: exit %d, want %d\n%s", c.flags, c.variable, r.code, c.code, r.stderr)
		}
	}
	if billed := r.sim.Bill().Credits; r.statusJSON().Credits != billed {
		t.Errorf("%d credits in status, %d by the simulator", r.statusJSON().Credits, billed)
	}
}

// batchDefinition is what TestExampleBatch needs of a job definition of AWS Batch.
type batchDefinition struct {
	Name       string                     `json:"jobDefinitionName"`
	Type       string                     `json:"type"`
	Platforms  []string                   `json:"platformCapabilities"`
	Container  map[string]json.RawMessage `json:"containerProperties"`
	Timeout    map[string]int             `json:"timeout"`
	RetryRules struct {
		Attempts int `json:"attempts"`
		Rules    []struct {
			Code   string `json:"onExitCode"`
			Action string `json:"action"`
		} `json:"evaluateOnExit"`
	} `json:"retryStrategy"`
}

// TestExampleBatch: AWS Batch, which takes five rules, goes by the first that matches, and repeats what none matches,
// treats every code like the other examples.
func TestExampleBatch(t *testing.T) {
	t.Parallel()
	var d batchDefinition
	decoder := json.NewDecoder(strings.NewReader(exampleText("shards", "aws-batch.json")))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if n := len(d.RetryRules.Rules); n > 5 || d.RetryRules.Attempts > 10 {
		t.Errorf("%d rules and %d attempts, want at most 5 and 10", n, d.RetryRules.Attempts)
	}
	for code, want := range map[int]string{
		exitDeferred: "RETRY", exitStorage: "RETRY", exitLocked: "RETRY", exitKilled: "RETRY", 137: "RETRY", 143: "RETRY",
		exitAfter: "EXIT", exitInDoubt: "EXIT", exitDrift: "EXIT", exitAuth: "EXIT", exitIntegrity: "EXIT", exitUsage: "EXIT",
	} {
		action := "RETRY"
		for _, r := range d.RetryRules.Rules {
			prefix, isPrefix := strings.CutSuffix(r.Code, "*")
			if text := strconv.Itoa(code); text == r.Code || isPrefix && strings.HasPrefix(text, prefix) {
				action = r.Action
				break
			}
		}
		if action != want {
			t.Errorf("exit code %d: %s, want %s", code, action, want)
		}
	}
}
