package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/jobfile"
	"github.com/siglake/siglake/internal/notify"
	"github.com/siglake/siglake/internal/report"
)

// notifier tells the addresses of a job how it fares. What it cannot deliver is warned about, and
// changes nothing else.
type notifier struct {
	job     *job
	env     *app.Env
	console *console
	runID   string
	began   time.Time

	checkOnly bool // the job only looks at its options
	repeats   bool // people have been notified of this end already; a monitor of healthchecks expects it every time
}

func newNotifier(j *job, inv *invocation) *notifier {
	return &notifier{job: j, env: inv.env, console: inv.console, runID: newUUID(), began: inv.env.Now(), checkOnly: inv.checkOnly}
}

// newUUID is a random UUID.
func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// start says that the job begins.
func (n *notifier) start(ctx context.Context) {
	title := "siglake job " + n.job.name + " begins"
	n.send(ctx, &notify.Message{Event: notify.Start, Title: title, Text: title + "\n", Document: n.document(notify.Start, nil, 0)})
}

// end says how the job ended. A request to stop the job does not keep it from saying so.
func (n *notifier) end(ctx context.Context, ends []*report.RunEnd, code int) {
	event := notify.Failure
	if (&report.RunEnd{ExitCode: code}).IsSuccess() {
		event = notify.Success
	}
	var text bytes.Buffer
	lines := make([]string, len(ends))
	for i, e := range ends {
		lines[i] = report.EndLine(e)
		report.PrintEnd(&text, e)
	}
	title := fmt.Sprintf("siglake job %s: exit %d. %s", n.job.name, code, strings.Join(lines, "; "))
	ctx = context.WithoutCancel(ctx)
	for _, e := range ends {
		if e.Warning != "" {
			warning := fmt.Sprintf("siglake job %s: %s", n.job.name, format.Text(e.Warning))
			n.send(ctx, &notify.Message{Event: notify.Warning, ExitCode: code, Title: warning, Text: warning + "\n", Document: n.document(notify.Warning, ends, code)})
		}
	}
	n.repeats = event == notify.Failure && !slices.ContainsFunc(ends, func(e *report.RunEnd) bool { return !e.Repeats })
	n.send(ctx, &notify.Message{Event: event, ExitCode: code, Title: title, Text: title + "\n\n" + text.String(), Document: n.document(event, ends, code)})
}

// jobDocument is a notification for machines.
type jobDocument struct {
	Event    notify.Event        `json:"event"`
	Job      string              `json:"job"`
	RunID    string              `json:"rid"`
	Started  time.Time           `json:"started"`
	Finished *time.Time          `json:"finished,omitempty"`
	ExitCode *int                `json:"exit_code,omitempty"`
	Runs     []report.RunSummary `json:"runs,omitempty"`
}

func (n *notifier) document(event notify.Event, ends []*report.RunEnd, code int) jobDocument {
	d := jobDocument{Event: event, Job: n.job.name, RunID: n.runID, Started: n.began.UTC()}
	if event == notify.Start {
		return d
	}
	now := n.env.Now().UTC()
	d.Finished, d.ExitCode = &now, &code
	for _, e := range ends {
		d.Runs = append(d.Runs, e.Summary())
	}
	return d
}

// send sends a message to the addresses that want its event.
func (n *notifier) send(ctx context.Context, m *notify.Message) {
	m.RunID = n.runID
	if n.checkOnly {
		return
	}
	sender := notify.Sender{Transport: n.env.Transport, Sleep: n.env.Sleep}
	for _, target := range n.job.notify {
		if !slices.Contains(target.On, string(m.Event)) || n.repeats && target.Format != jobfile.Formats[0] {
			continue
		}
		address, err := addressOf(target)
		if err == nil {
			err = sender.Send(ctx, address, target.Format, m)
		}
		if err != nil {
			n.console.print(slog.LevelWarn, fmt.Sprintf("the notification %q to %s failed: %s", m.Event, format.Text(target.Address()), format.Text(err.Error())))
		}
	}
}

// addressOf is the secret address of a notification.
func addressOf(n jobfile.Notification) (string, error) {
	if n.URL != "" {
		return n.URL, nil
	}
	raw, err := os.ReadFile(n.URLFile)
	if err != nil {
		return "", err
	}
	address := strings.TrimSpace(string(raw))
	return address, jobfile.CheckURL(address)
}
