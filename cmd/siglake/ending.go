package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/report"
)

// finish notes how the command ended, whatever ended it, and ends its JSON log.
func (inv *invocation) finish(cmd *cli.Command, code int, message error) {
	e := inv.end
	e.Finished, e.ExitCode = inv.env.Now(), code
	if e.Started.IsZero() { // it did not begin
		e.Started = e.Finished
	}
	if message != nil {
		e.Reason = message.Error()
	}
	e.Free = cmd != nil && !isPurchase(cmd)
	if cmd == nil || !isPurchase(cmd) || inv.checkOnly {
		return
	}
	if e.Lake == "" { // the flags, or their values, were refused
		e.Lake = inv.flagText(cmd, "lake")
	}
	inv.metricsFile = inv.flagText(cmd, metricsFlagName)
	quiet, _ := flagNamed(cmd, "quiet").(*cli.BoolFlag)
	if inv.console.json.Load() && (!e.IsSuccess() || quiet == nil || !*quiet.Destination) {
		report.LogEnd(slog.New(slog.NewJSONHandler(format.NewWriter(inv.console.w), nil)), e)
	}
}

// isPurchase reports whether a command buys something.
func isPurchase(cmd *cli.Command) bool {
	return flagNamed(cmd, "max-credits") != nil && cmd.Name != "plan"
}

// flagText is the value of a flag that holds a text: as far as flags were read, or else as the job
// sets it.
func (inv *invocation) flagText(cmd *cli.Command, name string) string {
	f, ok := flagNamed(cmd, name).(*cli.StringFlag)
	if ok && f.Destination != nil && *f.Destination != "" {
		return *f.Destination
	}
	for _, s := range inv.settings {
		if s.flag == name && ok {
			return s.values[0]
		}
	}
	return ""
}

// metricsFlagName is the flag for a file of metrics.
const metricsFlagName = "metrics-file"

// metricsFlag names a file of metrics.
func metricsFlag(o *OutputOptions) []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: metricsFlagName, Destination: &o.MetricsFile, EnvVars: []string{"SIGLAKE_METRICS_FILE"}, Category: "Output", TakesFile: true,
		Usage: "`FILE` that siglake replaces when the command ends, however it ends: figures for a monitor in the OpenMetrics text format"}}
}

// maxMetricsFile is more than any file of metrics is long.
const maxMetricsFile = 16 << 20

// writeMetrics replaces a file of metrics. A monitor's file is no reason for a run to fail: what
// goes wrong is warned about.
func (c *console) writeMetrics(path string, ends []*report.RunEnd) {
	if path == "" || len(ends) == 0 {
		return
	}
	var text bytes.Buffer
	report.WriteMetrics(&text, ends, readEarlier(path))
	if err := replaceFile(path, text.Bytes()); err != nil {
		c.print(slog.LevelWarn, format.Text(err.Error())+"; the monitor keeps what it has")
	}
}

// readEarlier is the text of a file of metrics; empty if there is none.
func readEarlier(path string) string {
	f, err := os.Open(path) //nolint:gosec // it is the user's to name
	if err != nil {
		return ""
	}
	defer f.Close() //nolint:errcheck // it was only read
	raw, err := io.ReadAll(io.LimitReader(f, maxMetricsFile))
	if err != nil {
		return ""
	}
	return string(raw)
}

// replaceFile replaces a file as a whole: a reader sees the old text or the new one. Monitors run
// under accounts of their own, so all users may read it.
func replaceFile(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return app.NewFileError("--"+metricsFlagName+" "+path, filepath.Dir(path), err)
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err = errors.Join(err, f.Chmod(0o644), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("--%s %s: %w", metricsFlagName, path, err)
	}
	return nil
}
