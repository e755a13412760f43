package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/simulator"
)

// TestUnclearColumns: a list with two columns of domains under unknown headers is refused before
// anything is requested, and the option that the error prints decides.
func TestUnclearColumns(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{})
	var text strings.Builder
	text.WriteString("Firma,Ort A,Ort B\n")
	for i, domain := range strings.Fields(domainLines(4))[1:] {
		text.WriteString("Firma " + string(rune('A'+i)) + "," + domain + ",other-" + domain + "\n")
	}
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	code := envFor(t).execute(t.Context(), r.args([]string{"run", list, "--signals", "news"}), nil, &out, &errs)
	if code != exitUsage || !strings.Contains(errs.String(), `--map domain="Ort A" or --map domain="Ort B" or --map name=Firma`) || r.sim.Bill().Requests != 0 {
		t.Errorf("exit %d with %d requests, want %d with none\n%s", code, r.sim.Bill().Requests, exitUsage, errs.String())
	}
	r.runList(t.Context(), strings.NewReader(""), list, "--signals", "news", "--map", "domain=Ort A") // reconciles the bill
	if r.code != exitComplete || r.manifest.Input.Mapping["domain"] != "Ort A" {
		t.Errorf("with --map: exit %d, read as %v\n%s", r.code, r.manifest.Input.Mapping, r.stderr)
	}
}
