package wal

import (
	"bytes"
	"encoding/hex"
	"os"
	"testing"
)

// goldenSegment is a segment with three records in two groups, as the build of
// commit 16ee196 encoded it, in hexadecimal, 32 bytes a line. Never regenerate
// it: journals on disk hold the same bytes.
const goldenSegment = "testdata/segment.hex"

// segmentOf encodes the golden segment with the present code.
func segmentOf() []byte {
	const id = 0x0123456789abcdef
	raw := header{number: 2, id: id, previousID: 0xfedcba9876543210, previousEnd: 4711}.encode()
	record := func(group []byte, kind byte, head, body string) []byte {
		f := frame{kind: kind, headLen: int64(len(head)), bodyLen: int64(len(body)), headSum: checksum([]byte(head)), bodySum: checksum([]byte(body))}
		return appendFrame(group, f, []byte(head), []byte(body))
	}
	for _, group := range [][]byte{
		record(nil, 1, `{"run":"first"}`, ""),
		record(record(nil, 3, `{"run":"second"}`, "a body of 23 bytes, odd"), 12, "", "\x00\x00\x00\x00\x00\x00\x00\x00 after zeros"),
	} {
		finishGroup(group, id, int64(len(raw)))
		raw = append(raw, group...)
	}
	return raw
}

// TestFrameGolden: a segment is encoded as it was, and a segment that was
// written before is read.
func TestFrameGolden(t *testing.T) {
	text, err := os.ReadFile(goldenSegment)
	if err != nil {
		t.Fatal(err)
	}
	want, err := hex.DecodeString(string(bytes.ReplaceAll(text, []byte("\n"), nil)))
	if err != nil {
		t.Fatal(err)
	}
	if got := segmentOf(); !bytes.Equal(got, want) {
		t.Errorf("the segment is\n%x\nwant\n%x", got, want)
	}
	h, ok := decodeHeader(want[:segmentHeaderSize])
	if !ok || h.number != 2 || h.previousEnd != 4711 {
		t.Fatalf("header %+v, %v", h, ok)
	}
	scan := &scanner{src: bytes.NewReader(want), id: h.id, end: int64(len(want))}
	var kinds []byte
	off := int64(segmentHeaderSize)
	for off < scan.end {
		f, ok, err := scan.readFrame(off, true)
		if err != nil || !ok {
			t.Fatalf("frame at %d: %+v, %v, %v", off, f, ok, err)
		}
		kinds = append(kinds, f.kind)
		off += f.size()
	}
	if !bytes.Equal(kinds, []byte{1, 3, 12}) {
		t.Errorf("kinds %v, want 1, 3, 12", kinds)
	}
}
