package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
	"golang.org/x/term"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
)

// logInterval is the least time between two progress lines of an unattended run.
const logInterval = 15 * time.Second

// newMeter makes a meter. total is the expected number of lines, 0 if unknown; activity is that of a
// run, nil while a list is only read.
func newMeter(w io.Writer, log *slog.Logger, quiet bool, total int64, activity *pipeline.Activity) app.Meter {
	none := app.Meter{Show: func(pipeline.Progress) {}, Close: func() {}}
	if quiet {
		return none
	}
	if f := terminalOf(w); f != nil {
		return newBarMeter(f, total, activity)
	}
	lastLogged := time.Now()
	return app.Meter{
		Show: func(p pipeline.Progress) {
			if time.Since(lastLogged) < logInterval {
				return
			}
			lastLogged = time.Now()
			if activity == nil {
				log.Info("reading the list", "lines", p.Lines, "of", total)
				return
			}
			log.Info("progress", "lines", p.Lines, "of", total, "calls", p.Calls, "events", p.Events, "credits", p.Credits, "deferred", p.Deferred, "held", p.InDoubt)
		},
		Close: func() {},
	}
}

// terminalOf is the terminal that a writer writes to; nil: it is none, or one that shows nothing.
func terminalOf(w io.Writer) *os.File {
	if f, ok := format.Below(w).(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return f
		}
	}
	return nil
}

// newWorkMeter makes the meters of commands that work on a lake. They show nothing where there is no
// terminal.
func newWorkMeter(w io.Writer, quiet bool) app.NewWorkMeter {
	f := terminalOf(w)
	if quiet || f == nil {
		return nil
	}
	return func(what string, total int) app.WorkMeter { return newWorkBar(f, what, int64(max(total, 1))) }
}

func newWorkBar(w io.Writer, what string, total int64) app.WorkMeter {
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(24), mpb.WithRefreshRate(150*time.Millisecond))
	bar := bars.AddBar(total, // what is counted may turn out more
		mpb.PrependDecorators(decor.CountersNoUnit(what+" %d / %d ")),
		mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}), "")),
		mpb.BarRemoveOnComplete(),
	)
	var done atomic.Int64
	return app.WorkMeter{
		Add: func(n int) {
			// The bar ends when the work does, and not when as much is done as was expected.
			bar.SetCurrent(min(done.Add(int64(n)), total-1))
		},
		Close: func() {
			bar.SetTotal(-1, true)
			bars.Wait()
		},
	}
}

// activityText says what a run waits for that makes no further calls; empty for any other.
func activityText(a *pipeline.Activity) string {
	switch n := a.Calls(); {
	case a.Stopping() && n > 0:
		return fmt.Sprintf(" · stopping: %s on the wire", format.Count(n, "call"))
	case a.Stopping() && a.Publishing():
		return " · stopping: publishing what is paid"
	case a.Stopping():
		return " · stopping: no further calls"
	case a.Publishing():
		return " · publishing"
	}
	return ""
}

func newBarMeter(w io.Writer, total int64, activity *pipeline.Activity) app.Meter {
	var now atomic.Pointer[pipeline.Progress]
	now.Store(&pipeline.Progress{})
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(24), mpb.WithRefreshRate(150*time.Millisecond))
	text := decor.Any(func(decor.Statistics) string {
		p := now.Load()
		if activity == nil {
			return " read"
		}
		s := fmt.Sprintf(" %s · %s · %s", format.Count(p.Batches, "batch"), format.Count(p.Events, "event"), format.Count(p.Credits, "credit"))
		if p.Rate != nil && p.Rate.Minute.Limit > 0 {
			s += fmt.Sprintf(" · %d/%d this minute", p.Rate.Minute.Used, p.Rate.Minute.Limit)
		}
		return s + activityText(activity)
	})
	var bar *mpb.Bar
	if total > 0 {
		bar = bars.AddBar(total,
			mpb.PrependDecorators(decor.CountersNoUnit("lines %d / %d ")),
			mpb.AppendDecorators(decor.Percentage(decor.WCSyncSpace), text, decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}), "")),
		)
	} else {
		bar = bars.AddSpinner(0, mpb.PrependDecorators(decor.CurrentNoUnit("lines %d ")), mpb.AppendDecorators(text))
	}
	return app.Meter{
		Show: func(p pipeline.Progress) {
			now.Store(&p)
			if total > 0 && p.Lines > total {
				bar.SetTotal(p.Lines+1, false)
			}
			bar.SetCurrent(p.Lines)
		},
		Close: func() {
			bar.SetTotal(-1, true)
			bars.Wait()
		},
	}
}
