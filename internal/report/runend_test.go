package report

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// TestRetryAt: the last line of the log and the summary for machines state when it is useful to run again, and
// only if that is known.
func TestRetryAt(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 12, 1, 15, 0, 0, 0, time.FixedZone("", 3600))
	for _, c := range []struct {
		stop *pipeline.StopInfo
		want any
	}{
		{&pipeline.StopInfo{RetryAt: &at}, "2026-12-01T14:00:00Z"},
		{&pipeline.StopInfo{}, nil},
		{nil, nil},
	} {
		e := &RunEnd{Runs: []*pipeline.Manifest{{Run: pipeline.RunInfo{Stop: c.stop}}}}
		var out bytes.Buffer
		LogEnd(slog.New(slog.NewJSONHandler(&out, nil)), e)
		var line map[string]any
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatal(err)
		}
		if line["retry_at"] != c.want {
			t.Errorf("stop %+v: the log states retry_at %v, want %v", c.stop, line["retry_at"], c.want)
		}
		if s := e.Summary(); (s.RetryAt != nil) != (c.want != nil) {
			t.Errorf("stop %+v: the summary states %v", c.stop, s.RetryAt)
		}
	}
}
