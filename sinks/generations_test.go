package sinks

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/siglake/siglake/pipeline"
)

// TestCurrentChecksum: every change of current.json is noticed. A file of an earlier version, which
// has no checksum, is read.
func TestCurrentChecksum(t *testing.T) {
	t.Parallel()
	want := generationRef{Generation: 7, Path: manifestName(7), SHA256: "aa11", Snapshot: &pipeline.Link{Path: "_meta/snapshot/00000007-bb.ndjson", SHA256: "bb22"}}
	raw, err := want.encode()
	if err != nil {
		t.Fatal(err)
	}
	got, err := decodeRef(raw)
	if err != nil || got.Checksum == "" || got.Generation != 7 || *got.Snapshot != *want.Snapshot {
		t.Fatalf("decodeRef(%s) = %+v, %v", raw, got, err)
	}
	var plain generationRef
	if err := json.Unmarshal(raw, &plain); err != nil { // as readers do that know nothing of checksums
		t.Errorf("%s: %v", raw, err)
	}
	for at := range raw {
		for bit := range 8 {
			flipped := bytes.Clone(raw)
			flipped[at] ^= 1 << bit
			if got, err := decodeRef(flipped); err == nil {
				t.Errorf("decodeRef(%q) = %+v, want an error", flipped, got)
			}
		}
		if got, err := decodeRef(raw[:at]); err == nil {
			t.Errorf("decodeRef(%q) = %+v, want an error", raw[:at], got)
		}
	}
	for _, changed := range [][]byte{
		append(bytes.Clone(raw), ' '), append(bytes.Clone(raw), raw...), slices.Concat([]byte(" "), raw),
		bytes.Replace(raw, []byte("aa11"), []byte("aa12"), 1), bytes.Replace(raw, []byte("{"), []byte("{\n  \"new\": 1,"), 1),
	} {
		if got, err := decodeRef(changed); err == nil {
			t.Errorf("decodeRef(%q) = %+v, want an error", changed, got)
		}
	}
	again, err := got.encode() // of what was read
	if err != nil || !bytes.Equal(again, raw) {
		t.Errorf("encode() = %q, %v, want %q", again, err, raw)
	}
	for _, old := range []string{
		`{"generation": 7, "path": "_meta/manifest/00000007.json", "sha256": "aa11"}`,
		"{\n  \"generation\": 7,\n  \"path\": \"_meta/manifest/00000007.json\",\n  \"sha256\": \"aa11\",\n  \"snapshot\": {\n    \"path\": \"p\",\n    \"sha256\": \"bb\"\n  }\n}\n",
	} {
		if got, err := decodeRef([]byte(old)); err != nil || got.Generation != 7 || got.SHA256 != "aa11" {
			t.Errorf("decodeRef(%s) = %+v, %v, want generation 7", old, got, err)
		}
	}
}
