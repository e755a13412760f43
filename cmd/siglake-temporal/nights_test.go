//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/worker"
	"google.golang.org/protobuf/encoding/protojson"
)

const smallJobs = `version: 1
defaults:
  lake: BUCKETlake-{shard}
  base-url: URL
  plan: unlimited
  rate: 0
  shard: SHARD/3
  S3
jobs:
  nightly:
    list: accounts.csv
    signals: [news, growth]
    max-credits: 5000
  compact:
    command: compact
    min-files: 2
  other:
    list: accounts.csv
    signals: [news]
    lake: BUCKETother
    shard: 0/1
    max-credits: 5000
`

// domainList is a list of companies.
func domainList(n int) string {
	text := "domain\n"
	for i := range n {
		text += fmt.Sprintf("company-%04d.example\n", i)
	}
	return text
}

// historyJSON is the history of a workflow.
func historyJSON(ctx context.Context, t *testing.T, c client.Client, id string) []byte {
	t.Helper()
	var all history.History
	for it := c.GetWorkflowHistory(ctx, id, "", false, 0); it.HasNext(); {
		event, err := it.Next()
		if err != nil {
			t.Fatal(err)
		}
		all.Events = append(all.Events, event)
	}
	raw, err := protojson.Marshal(&all)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// decodeReport is the report that start --wait prints.
func decodeReport(t *testing.T, stdout string) (r nightReport) {
	t.Helper()
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatalf("%s: %v", stdout, err)
	}
	return r
}

// TestNight: the jobs of a night run in turn, the shards of one side by side, each with its own lake; the report, the
// search attributes and the simulator's bill agree, and the history has no secret.
func TestNight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, smallJobs, domainList(30))
	w.startWorker(2)
	r := decodeReport(t, w.mustRun("start", "--wait"))
	if r.Outcome != "complete" || len(r.Parts) != 7 {
		t.Errorf("outcome %s with %d parts, want complete with 7", r.Outcome, len(r.Parts))
	}
	var jobs []string
	var lines int64
	for _, p := range r.Parts {
		jobs = append(jobs, p.Job)
		if lines += p.Lines; p.Job == "nightly" && p.Lake != w.store.URI("lake-"+strings.TrimSuffix(p.Shard, "/3")) {
			t.Errorf("%s bought into %s", p.part, p.Lake)
		}
	}
	if want := []string{"nightly", "nightly", "nightly", "compact", "compact", "compact", "other"}; !slices.Equal(jobs, want) || lines != 60 {
		t.Errorf("jobs %q with %d lines, want %q with 60", jobs, lines, want)
	}
	bill := w.bill()
	if r.Credits != bill || bill == 0 {
		t.Errorf("the report states %d credits, and the bill %d", r.Credits, bill)
	}
	d, err := w.dial().DescribeWorkflow(t.Context(), "siglake-night", "")
	if err != nil {
		t.Fatal(err)
	}
	credits, _ := d.TypedSearchAttributes.GetInt64(creditsAttribute)
	outcome, _ := d.TypedSearchAttributes.GetKeyword(outcomeAttribute)
	lists, _ := d.TypedSearchAttributes.GetKeywordList(listAttribute)
	if list := filepath.Join(w.dir, "accounts.csv"); credits != bill || outcome != "complete" || !slices.Equal(lists, []string{list}) {
		t.Errorf("search attributes %d, %s, %q, want %d, complete, %s", credits, outcome, lists, bill, list)
	}
	w.checkHistory("siglake-night", "night.json")
}

// bill is what the simulator has charged.
func (w *world) bill() int64 {
	w.t.Helper()
	var bill struct{ Credits int64 }
	if err := json.Unmarshal(w.get("/_simulator/bill"), &bill); err != nil {
		w.t.Fatal(err)
	}
	return bill.Credits
}

// TestStop: a night that is asked to stop lets the job that runs publish what is paid, and begins no other; the next
// night requests the rest, and nothing twice.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowJobs, domainList(400), "--latency", "500ms")
	w.startWorker(1)
	server := w.dial()
	w.mustRun("start", "--heartbeat", "4s", "--pause", "1s", "--job", "slow", "--job", "other")
	if code, _, stderr := w.run("start"); code != exitStorage || !strings.Contains(stderr, "is under way") {
		t.Errorf("a second night: exit %d, %s, want %d and that one is under way", code, stderr, exitStorage)
	}
	w.await("the first charge", func() bool { return w.bill() > 0 })
	w.mustRun("stop")
	var r nightReport
	if err := server.GetWorkflow(t.Context(), "siglake-night", "").Get(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Parts) != 2 || r.Outcome != outcomeStopped || r.ExitCode != exitDeferred || r.Parts[0].Deferred == 0 || r.Parts[1].Outcome != outcomeStopped {
		t.Errorf("a night that was stopped: %+v", r)
	}
	if bill := w.bill(); r.Credits != bill || bill == 0 {
		t.Errorf("the night that was stopped states %d credits, the bill %d", r.Credits, bill)
	}
	w.checkHistory("siglake-night", "stop.json")
	if code, _, stderr := w.run("stop"); code != exitStorage || !strings.Contains(stderr, "no night siglake-night is under way") {
		t.Errorf("stop without a night: exit %d, %s", code, stderr)
	}
	before := r.Credits
	w.mustRun("start", "--heartbeat", "4s", "--job", "slow")
	w.await("a heartbeat with progress", func() bool {
		m := w.heartbeat(server)
		return m.Lines > 0 && m.Of == 400 && m.Credits > 0
	})
	r = nightReport{}
	if err := server.GetWorkflow(t.Context(), "siglake-night", "").Get(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if bill := w.bill(); r.Parts[0].Deferred != 0 || r.Parts[0].Lines != 400 || r.Credits != bill && before+r.Credits != bill {
		t.Errorf("the night after it: %+v, the bill %d, %d before", r, bill, before)
	}
}

// heartbeat is what the newest heartbeat of the night says.
func (w *world) heartbeat(c client.Client) (m memory) {
	w.t.Helper()
	d, err := c.DescribeWorkflow(w.t.Context(), "siglake-night", "")
	if err != nil {
		w.t.Fatal(err)
	}
	for _, a := range d.RawResponse.GetPendingActivities() {
		if p := a.GetHeartbeatDetails(); len(p.GetPayloads()) > 0 {
			if err := converter.GetDefaultDataConverter().FromPayloads(p, &m); err != nil {
				w.t.Fatal(err)
			}
		}
	}
	return m
}

const slowJobs = `version: 1
defaults:
  lake: BUCKETlake
  base-url: URL
  plan: unlimited
  rate: 0
  concurrency: 1
  batch-size: 10
  max-credits: 100000
  S3
jobs:
  slow: {list: accounts.csv, signals: [news]}
  other: {list: accounts.csv, signals: [growth]}
  broken: {list: missing.csv, signals: [news]}
`

// TestWorkerStops: a worker that is asked to stop hands its job to another one, which continues the run: no call is
// left in doubt, and the bill is what the runs state.
func TestWorkerStops(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowJobs, domainList(200), "--latency", "500ms")
	first := w.startWorker(1)
	w.mustRun("start", "--heartbeat", "4s", "--pause", "1h", "--job", "slow")
	w.await("the first charge", func() bool { return w.bill() > 0 })
	if err := first.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	w.startWorker(1)
	var r nightReport
	if err := w.dial().GetWorkflow(t.Context(), "siglake-night", "").Get(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if bill := w.bill(); r.Outcome != "complete" || r.Credits != bill || r.Parts[0].Attempt < 2 {
		t.Errorf("%+v, want complete by a second attempt, with the %d credits of the bill", r, bill)
	}
	w.checkHistory("siglake-night", "worker-stops.json")
}

// TestFailedNight: a job that cannot succeed is not repeated, keeps no other job from running, and fails the night with its
// exit code and reason.
func TestFailedNight(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowJobs, domainList(20))
	w.startWorker(1)
	code, stdout, stderr := w.run("start", "--wait", "--job", "broken", "--job", "other")
	r := decodeReport(t, stdout)
	if code != exitUsage || r.ExitCode != exitUsage || len(r.Parts) != 2 || r.Parts[1].Outcome != "complete" || !strings.Contains(r.Parts[0].Reason, "missing.csv") || !strings.Contains(stderr, "missing.csv") {
		t.Errorf("exit %d, %s%s, want %d, the reason, and the other job complete", code, stdout, stderr, exitUsage)
	}
	w.checkHistory("siglake-night", "failed.json")
	if code, _, stderr := w.run("start", "--wait", "--job", "nightly2"); code != exitUsage || !strings.Contains(stderr, `has no job "nightly2"`) {
		t.Errorf("a job that is not there: exit %d, %s", code, stderr)
	}
}

// TestSchedule: a schedule is created, starts nights, is changed and is deleted; stop finds its nights.
func TestSchedule(t *testing.T) {
	t.Parallel()
	w := newWorld(t, slowJobs, domainList(400), "--latency", "500ms")
	w.startWorker(1)
	server := w.dial()
	if said := w.mustRun("schedule", "--cron", "17 2 * * *", "--job", "slow", "--heartbeat", "4s"); !strings.Contains(said, "was created") || !strings.Contains(said, "02:17 UTC") {
		t.Errorf("schedule said %s", said)
	}
	if said := w.mustRun("schedule", "--cron", "30 3 * * *", "--job", "slow", "--heartbeat", "4s"); !strings.Contains(said, "was changed") || !strings.Contains(said, "03:30 UTC") {
		t.Errorf("schedule said %s", said)
	}
	schedule := server.ScheduleClient().GetHandle(t.Context(), "siglake-night")
	if err := schedule.Trigger(t.Context(), client.ScheduleTriggerOptions{}); err != nil {
		t.Fatal(err)
	}
	w.await("the first charge", func() bool { return w.bill() > 0 })
	said := ""
	w.await("the night in the list of workflows", func() bool {
		_, said, _ = w.run("stop")
		return strings.Contains(said, "night siglake-night-2")
	})
	id := strings.Fields(said)[1]
	var r nightReport
	if err := server.GetWorkflow(t.Context(), id, "").Get(t.Context(), &r); err != nil || r.Outcome != outcomeStopped {
		t.Errorf("the night of the schedule: %+v, %v, want stopped", r, err)
	}
	if said := w.mustRun("schedule", "--delete"); !strings.Contains(said, "was deleted") {
		t.Errorf("schedule --delete said %s", said)
	}
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--delete"}, exitStorage, "there is no schedule siglake-night"},
		{nil, exitUsage, "--cron is missing"},
		{[]string{"--cron", "nonsense"}, exitUsage, "refuses schedule"},
		{[]string{"--cron", "1 2 * * *", "--time-zone", "Mars/Olympus"}, exitUsage, "Mars/Olympus"},
		{[]string{"--cron", "1 2 * * *", "--workflow-id", "a'b"}, exitUsage, "--workflow-id"},
		{[]string{"--cron", "1 2 * * *", "--pause", "1ms"}, exitUsage, "--pause"},
	} {
		if code, _, stderr := w.run("schedule", c.args...); code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("schedule %q: exit %d, %s, want %d and %q", c.args, code, stderr, c.code, c.want)
		}
	}
}

// record makes the tests write the histories that TestReplay reads.
var record = flag.Bool("record", false, "write the histories of nights into testdata")

// checkHistory expects that a history replays, and that it holds no secret; with -record it becomes one of TestReplay.
func (w *world) checkHistory(id, file string) {
	w.t.Helper()
	raw := historyJSON(w.t.Context(), w.t, w.dial(), id)
	replayer := worker.NewWorkflowReplayer()
	registerNight(replayer)
	events, err := client.HistoryFromJSON(bytes.NewReader(raw), client.HistoryJSONOptions{})
	if err == nil {
		err = replayer.ReplayWorkflowHistory(nil, events)
	}
	if err != nil {
		w.t.Errorf("the history does not replay: %v", err)
	}
	plain := payload.ReplaceAllStringFunc(string(raw), func(found string) string {
		data, err := base64.StdEncoding.DecodeString(payload.FindStringSubmatch(found)[1])
		if err != nil {
			w.t.Fatal(err)
		}
		return `"data":"` + string(data) + `"`
	})
	for _, secret := range []string{canaryKey, canaryServer, w.store.AccessKey, w.store.SecretKey} {
		if strings.Contains(plain, secret) {
			w.t.Errorf("the history holds the secret %s", secret)
		}
	}
	if !strings.Contains(plain, `"outcome":`) {
		w.t.Error("the history holds no report: its payloads were not read")
	}
	if *record {
		w.recordHistory(raw, file)
	}
}

// payload is one of a history in JSON.
var payload = regexp.MustCompile(`"data": ?"([A-Za-z0-9+/=]*)"`)

// identity is who did something, in a history.
var identity = regexp.MustCompile(`"identity": ?"[^"]*"`)

// stickyQueue is the queue of one worker, which has the name of its machine.
var stickyQueue = regexp.MustCompile(`"name": ?"[^":]+:([0-9a-f-]{36})"`)

// recordHistory writes a history without what is particular to this machine.
func (w *world) recordHistory(raw []byte, file string) {
	w.t.Helper()
	neutral := strings.NewReplacer(w.dir, "/etc/siglake", w.store.URL, "https://s3.example.com")
	text := neutral.Replace(string(raw))
	text = identity.ReplaceAllString(text, `"identity":"worker"`)
	text = stickyQueue.ReplaceAllString(text, `"name":"worker:$1"`)
	text = payload.ReplaceAllStringFunc(text, func(found string) string {
		data, err := base64.StdEncoding.DecodeString(payload.FindStringSubmatch(found)[1])
		if err != nil {
			w.t.Fatal(err)
		}
		return `"data":"` + base64.StdEncoding.EncodeToString([]byte(neutral.Replace(string(data)))) + `"`
	})
	var indented bytes.Buffer
	if err := json.Indent(&indented, []byte(text), "", " "); err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join("testdata", file), append(indented.Bytes(), '\n'), 0o644); err != nil {
		w.t.Fatal(err)
	}
}
