package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/simulator"
	"github.com/siglake/siglake/schema"
)

// TestErasureRequests: a contact that opts out is listed, is never asked about again whatever identifier a list has, and
// is left out of the views; a copy of the notice changes nothing, and the requests survive checkpoints and rebuilds.
func TestErasureRequests(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Seed: 11})
	list := "key,linkedin\n"
	for i := range 12 {
		list += fmt.Sprintf("k%d,https://www.linkedin.com/in/sample-%d\n", i, i)
	}
	flags := []string{"--signals", "contact", "--since", "180d", "--api", "v2"}
	if v := r.exec(t.Context(), []string{"run", "-"}, list, flags...); v.code != exitComplete {
		t.Fatalf("exit %d: %s", v.code, v.stderr)
	}
	r.manifest = r.readManifest()
	contact, sample := "", ""
	for _, a := range r.accountRows() {
		if id, ok := a["entity_id"].(string); ok && id != "" && a["status"] == string(schema.Enriched) {
			contact, sample = id, "sample-"+strings.TrimPrefix(a["account_key"].(string), "k")
		}
	}
	if contact == "" {
		t.Fatalf("no contact has an id: %v", r.accountRows())
	}
	notice := fmt.Sprintf(`{"contactId":%q,"fullName":"Ada Sample","companyName":"Harbor Quill","linkedinUrl":"https://LinkedIn.com/in/%s/","contactOptOutDate":"2026-05-06 07:41:02.090","datapoints":[{"datapointId":"Ada@Harborquill.example","datapointType":"email"},{"datapointId":"ada@private.example","datapointType":"personalEmail"},{"datapointId":"+4755500199","datapointType":"phone"}],"partnerClientId":null}`, contact, sample)
	receive(t, r.lake, delivered{delivery: inbox.Delivery{ID: "opt-out-1", Kind: inbox.OptOut, Received: time.Date(2026, 5, 6, 8, 0, 0, 0, time.UTC), Stamp: "1", Body: []byte(notice)}})
	erasures := func() (listed []app.ErasureRequest) {
		t.Helper()
		code, stdout, stderr := runProgram(t, "erase", "list", "--lake", r.lake, "--json")
		if err := json.Unmarshal([]byte(stdout), &listed); err != nil || code != exitComplete {
			t.Fatalf("exit %d: %s%s", code, stdout, stderr)
		}
		return listed
	}
	if _, out, _ := runProgram(t, "erase", "list", "--lake", r.lake); len(erasures()) != 0 || !strings.Contains(out, "1 further notice") {
		t.Errorf("before publication: %s", out)
	}
	publish(t, r.lake)
	publish(t, r.lake)
	if got := erasures(); len(got) != 1 || got[0].Contact != contact || got[0].Requested.Format(time.DateTime) != "2026-05-06 07:41:02" || got[0].Due.Format(time.DateOnly) != "2026-06-05" {
		t.Errorf("requests %+v", got)
	}

	for name, line := range map[string]string{"linkedin": "key,linkedin\nx,linkedin.com/in/" + sample + "\n", "email": "key,email\nx,ada@harborquill.example\n", "id": "key,lusha contact id\nx," + contact + "\n",
		"name": "key,full name,company\nx,ADA Sample,Harbor Quill\n", "another e-mail": "key,email\nx,Ada@private.example\n"} {
		for _, api := range []string{"v2", "v3"} {
			before := len(r.sim.Bill().Entries)
			v := r.exec(t.Context(), []string{"run", "-"}, line, "--signals", "contact", "--since", "10d", "--api", api, "--refresh")
			for _, e := range r.sim.Bill().Entries[before:] {
				if e.Entities > 0 {
					t.Errorf("%s, %s: asked %s", name, api, e.Path)
				}
			}
			r.manifest = r.readManifest()
			if v.code != exitComplete || r.manifest.Accounts.ByStatus[schema.Restricted] != 1 {
				t.Errorf("%s, %s: exit %d, %v: %s", name, api, v.code, r.manifest.Accounts.ByStatus, v.stderr)
			}
		}
	}
	code, script, stderr := runProgram(t, "ddl", "--lake", r.lake)
	if code != exitComplete || strings.Count(script, "IN ('"+contact+"')") < 3 {
		t.Errorf("ddl: exit %d, %d conditions about the contact: %s", code, strings.Count(script, "IN ('"+contact+"')"), stderr)
	}
	if code, _, stderr := runProgram(t, "verify", "--lake", r.lake); code != exitComplete {
		t.Errorf("verify: exit %d: %s", code, stderr)
	}
	into := t.TempDir() + "/rebuilt"
	if code, _, stderr := runProgram(t, "rebuild", "--lake", r.lake, "--into", into); code != exitComplete {
		t.Fatalf("rebuild: exit %d: %s", code, stderr)
	}
	r.lake = into
	if got := erasures(); len(got) != 1 || got[0].Contact != contact {
		t.Errorf("after a rebuild: %+v", got)
	}
	if code, _, stderr := runProgram(t, "verify", "--lake", r.lake); code != exitComplete {
		t.Errorf("verify of the rebuilt lake: exit %d: %s", code, stderr)
	}
}

// TestErasuresOfInboxAlone: a lake that has received notices and bought nothing lists them, and plans with them.
func TestErasuresOfInboxAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, simulator.Config{Seed: 11})
	if code, _, stderr := runProgram(t, "erase", "list", "--lake", r.lake); code != exitUsage {
		t.Errorf("without a lake: exit %d: %s", code, stderr)
	}
	receive(t, r.lake, delivered{delivery: inbox.Delivery{ID: "opt-out-1", Kind: inbox.OptOut, Received: time.Date(2026, 5, 6, 8, 0, 0, 0, time.UTC), Stamp: "1", Body: []byte(`{"contactId":"12","contactOptOutDate":"2026-05-06 07:41:02"}`)}})
	if _, out, _ := runProgram(t, "erase", "list", "--lake", r.lake); !strings.Contains(out, "0 requests") || !strings.Contains(out, "1 further notice") {
		t.Errorf("with an inbox alone: %s", out)
	}
	v := r.exec(t.Context(), []string{"run", "-"}, "key,lusha contact id\nx,12\n", "--signals", "contact", "--since", "10d", "--api", "v2")
	if v.entities != 0 || v.code != exitComplete {
		t.Errorf("exit %d, asked about %d persons: %s", v.code, v.entities, v.stderr)
	}
	if _, out, _ := runProgram(t, "erase", "list", "--lake", r.lake); !strings.Contains(out, "contact 12") {
		t.Errorf("after a run: %s", out)
	}
}
