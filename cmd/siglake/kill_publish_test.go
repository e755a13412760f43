package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/schema"
)

// inventedDelivery is a delivery of an event that no other number has, charged with 1 to 3 credits.
func inventedDelivery(number int) delivered {
	s := &schema.Signals[number%len(schema.Signals)]
	entity, object := strconv.Itoa(70_000_000+number), string(s.Object)
	record := fmt.Sprintf(`{"companyId":%q,"companyName":"Ada & Söhne","domain":"ada.example","signalId":"%d","signalDate":"2026-04-%02d"}`, entity, 900_000+number, number%28+1)
	if s.Object == schema.Contact {
		record = fmt.Sprintf(`{"personId":%s,"currentTitle":"Leiter R&D","currentDepartments":[{"id":4,"value":"Finance"}],"signalDate":"2026-04-%02d"}`, entity, number%28+1)
	}
	d := delivered{entity: entity, signal: s.Key, credits: int64(number%3) + 1}
	id := fmt.Sprintf("delivery-%06d", number)
	d.delivery = inbox.Delivery{ID: id, Kind: inbox.Event, Received: time.Date(2026, 11, 1, 0, 0, number, 0, time.UTC), Body: fmt.Appendf(nil,
		`{"id":%q,"type":%q,"entityType":%q,"entityId":%q,"subscriptionId":"66aa","data":%s,"billing":{"creditsCharged":%d}}`, id, s.Key, object, entity, record, d.credits)}
	return d
}

// TestKillPublish kills the publisher before and after any of its operations, over and over, while further deliveries
// arrive, some of them for the second time. In the end each is in the lake once, with its charge, and what the lake
// holds follows from the journal alone.
func TestKillPublish(t *testing.T) {
	t.Parallel()
	lakes, kills := proof.Size(1, 4, 20), proof.Size(6, 50, 100) // kills of each lake
	for seed := range lakes {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			(&killedPublisher{t: t, lake: filepath.Join(t.TempDir(), "lake"), rng: rand.New(rand.NewPCG(uint64(seed), 17))}).play(kills)
		})
	}
}

// killedPublisher is a lake whose publisher is killed.
type killedPublisher struct {
	t        *testing.T
	lake     string
	rng      *rand.Rand
	received []delivered
}

func (k *killedPublisher) play(kills int) {
	k.t.Helper()
	killed, rounds := 0, 0
	for ; killed < kills && !k.t.Failed() && rounds < 20*kills; rounds++ {
		k.receive()
		for deaths := 0; deaths < 4 && k.run(k.killPoint()); deaths++ {
			killed++
		}
	}
	if k.run(0); k.t.Failed() {
		return
	}
	k.check()
	k.t.Logf("%d deliveries, %d kills over %d rounds", len(k.received), killed, rounds)
}

// killPoint is an operation before or after which the publisher dies. A publication has some 300.
func (k *killedPublisher) killPoint() int {
	return (1 + k.rng.IntN(400)) * (1 - 2*k.rng.IntN(2))
}

// receive appends new deliveries, and copies of earlier ones that the inbox has forgotten.
func (k *killedPublisher) receive() {
	var batch []delivered
	for range 1 + k.rng.IntN(5) {
		batch = append(batch, inventedDelivery(len(k.received)))
		k.received = append(k.received, batch[len(batch)-1])
	}
	fresh := len(batch)
	receive(k.t, k.lake, batch...)
	if k.rng.IntN(2) == 0 {
		receiveAgain(k.t, k.lake, []delivered{k.received[k.rng.IntN(len(k.received))], batch[k.rng.IntN(fresh)]})
	}
}

// run runs the publisher and reports whether it was killed.
func (k *killedPublisher) run(killAt int) bool {
	k.t.Helper()
	cmd := childOf(k.t, os.Args[0], killAt, "webhooks", "publish", "--lake", k.lake, "--quiet")
	out, err := cmd.CombinedOutput()
	if err == nil {
		return false
	}
	if cmd.ProcessState.ExitCode() != -1 { // of a signal
		k.t.Errorf("exit %d: %s", cmd.ProcessState.ExitCode(), out)
	}
	return true
}

func (k *killedPublisher) check() {
	k.t.Helper()
	var want, got []string
	var credits, charged, lines int64
	for _, d := range k.received {
		want = append(want, d.entity+" "+d.signal)
		credits += d.credits
	}
	for _, m := range (&rig{t: k.t, lake: k.lake}).generations() {
		at := &rig{t: k.t, lake: k.lake, manifest: m}
		for _, row := range at.events() {
			got = append(got, row["entity_id"].(string)+" "+row["signal_type"].(string))
			if row["ingest_source"] != "webhook" {
				k.t.Errorf("an event came by %v", row["ingest_source"])
			}
		}
		charged += at.sumColumn(schema.Credits, "credits")
		lines += int64(len(at.accountRows()))
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" {
		k.t.Errorf("events (-delivered +published):\n%s", diff)
	}
	if charged != credits || lines != int64(len(k.received)) {
		k.t.Errorf("%d credits and %d lines, want %d and %d", charged, lines, credits, len(k.received))
	}
	verifyLake(k.t, k.lake)
	rebuilt := filepath.Join(k.t.TempDir(), "rebuilt")
	if code, _, stderr := runProgram(k.t, "rebuild", "--lake", k.lake, "--into", rebuilt); code != exitComplete {
		k.t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	if diff := cmp.Diff(eventsOf(k.t, k.lake), eventsOf(k.t, rebuilt)); diff != "" {
		k.t.Errorf("rebuilt events (-before +after):\n%s", diff)
	}
}
