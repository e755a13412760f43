package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// TestSevenNights is the week of a first user: a job about a real list, each night of which is charged
// for new events alone. Neither a reader who globs nor one of the newest snapshot finds an event twice.
// SIGLAKE_NIGHTS_LIST names another list for the full size.
func TestSevenNights(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "testdata", "accounts", "hiring.csv")
	if other := os.Getenv("SIGLAKE_NIGHTS_LIST"); other != "" && proof.IsFull() {
		path = other
	}
	list, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	n := newNights(t, simulator.Config{CountDistinct: true}, nil)
	config := writeJobFile(t, `version: 1
jobs:
  nightly:
    list: crm.csv
    signals: [news, growth]
    nightly-types: [news, growth]
    max-credits: 20000
`, map[string]string{"crm.csv": string(list)})
	var credits, events []string
	for night := range proof.Size(6, 7, 7) {
		n.today.Store(int64(night))
		before := n.sim.Bill().Credits
		v := n.exec(t.Context(), []string{"job", "nightly", "--config", config, "--as-of", n.day(night).Format(time.DateOnly)}, "")
		bill := n.sim.Bill()
		if v.code != exitComplete && v.code != exitRejects {
			t.Fatalf("night %d: exit %d: %s", night, v.code, v.stderr)
		}
		if bill.Credits != bill.Distinct || n.manifest.Credits.Charged != bill.Credits-before {
			t.Errorf("night %d: %d credits, the manifest says %d; %d credits so far for %d events", night, bill.Credits-before, n.manifest.Credits.Charged, bill.Credits, bill.Distinct)
		}
		credits = append(credits, fmt.Sprint(bill.Credits-before))
		events = append(events, fmt.Sprint(n.manifest.Events.New))
	}
	rows, distinct := int64(0), n.boughtEvents()
	for event, copies := range distinct {
		if rows += int64(copies); copies != 1 {
			t.Errorf("a reader who globs finds %d rows of %s", copies, event)
		}
	}
	if total := n.sim.Bill().Credits; rows != total || rows == 0 {
		t.Errorf("%d rows for %d credits, want one each", rows, total)
	}
	for uid, copies := range n.uids(n.generations()...) {
		if copies != 1 {
			t.Errorf("the snapshot has %d rows of the event %s", copies, uid)
		}
	}
	t.Logf("%s: credits %s; new events %s; %d rows of %d events", filepath.Base(path), strings.Join(credits, " "), strings.Join(events, " "), rows, len(distinct))
	n.mustExit(exitComplete, "verify")
}
