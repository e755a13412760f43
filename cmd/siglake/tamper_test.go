package main

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
	"github.com/siglake/siglake/internal/proof"
	"github.com/siglake/siglake/internal/simulator"
)

// tamperings change a file: another one of its kind and an older copy are given, nil: there is none.
// A nil result means that the file is removed.
var tamperings = []struct {
	name   string
	change func(raw, other, older []byte) []byte
}{
	{"delete", func(_, _, _ []byte) []byte { return nil }},
	{"flip", func(raw, _, _ []byte) []byte {
		raw = slices.Clone(raw)
		raw[len(raw)/2] ^= 4
		return raw
	}},
	{"cut", func(raw, _, _ []byte) []byte { return raw[:len(raw)*2/3] }},
	{"append", func(raw, _, _ []byte) []byte { return append(slices.Clone(raw), "appended"...) }},
	{"swap", func(raw, other, _ []byte) []byte { return other }},
	{"older", func(raw, _, older []byte) []byte { return older }},
}

// tamperedKind is a kind of files of a lake, by the beginning of their names. Where money follows, a
// run must refuse, too.
type tamperedKind struct {
	prefix string
	newest bool // the last by name, not the first
	money  bool
	// It lies behind a checkpoint: a run with nothing to buy need not read it.
	behind bool
	spared string // the tampering that changes nothing that counts
}

// tamperedFiles are the kinds of every lake but for its journal.
var tamperedFiles = []tamperedKind{
	{prefix: "_meta/current.json", spared: "delete"}, // it is written again from the manifests
	{prefix: "_meta/manifest/"},
	{prefix: "_meta/manifest/", newest: true, money: true},
	{prefix: "_meta/snapshot/"},
	{prefix: "_meta/snapshot/", newest: true},
	{prefix: "data/"},
	{prefix: "data/", newest: true},
	{prefix: "ledger/accounts/"},
	{prefix: "ledger/calls/"},
	{prefix: "ledger/credits/"},
	{prefix: "compact/"},
}

// tamperedJournal are those of a journal in a directory.
var tamperedJournal = []tamperedKind{
	// What lies behind the end of a segment is no part of the journal: a crash leaves such bytes, too.
	{prefix: "_state/journal/", money: true, behind: true, spared: "append"},
	{prefix: "_state/journal/", newest: true, money: true, spared: "append"},
}

// tamperedObjects are those of a journal in a bucket.
var tamperedObjects = []tamperedKind{
	{prefix: "_state/journal.json", money: true, spared: "cut"},                    // of the line break at its end
	{prefix: "_state/journal/whole/", money: true, behind: true, spared: "delete"}, // the same is in the parts
	{prefix: "_state/journal/segments/00000003", money: true},
	{prefix: "_state/journal/parts/00000003/", money: true},
	{prefix: "_state/journal/parts/00000003/", newest: true, money: true, spared: "delete"}, // a seal, which the next process writes
}

// TestTampering: verify finds every change of every kind of file, and a run does where it would pay
// for something again.
func TestTampering(t *testing.T) {
	t.Parallel()
	freezeDay(t)
	r := newRig(t, simulator.Config{})
	l := &storedLake{rig: r, uri: r.lake}
	l.tamperAll(append(tamperedJournal, tamperedFiles...), proof.Size(5, 1, 1))
}

// TestTamperingBucket: the same of a lake on S3. Where the last segment of the journal has no copy in
// one object, as after a kill, its parts count.
func TestTamperingBucket(t *testing.T) {
	freezeDay(t)
	r, store := newRig(t, simulator.Config{}), buckettest.Start(t)
	l := &storedLake{rig: r, uri: store.URI("lakes/tampered"), access: s3LakeFlags(t, store)}
	l.bucket = openTestBucket(t, store, l.uri)
	l.tamperAll(append(tamperedObjects, tamperedFiles...), proof.Size(17, 1, 1))
}

// tamperAll builds a lake and changes files of every kind, every step-th change alone.
func (l *storedLake) tamperAll(kinds []tamperedKind, step int) {
	t := l.t
	t.Helper()
	for _, name := range []string{"one", "two"} {
		l.mustBuy(writeList(t, name, 40))
	}
	if code, output := l.look("compact", "--min-files", "2"); code != exitComplete {
		t.Fatalf("compact: exit %d: %s", code, output)
	}
	before, list := l.files(""), writeList(t, "three", 40)
	l.mustBuy(list)
	if l.bucket != nil {
		l.remove("_state/journal/whole/00000003")
	}
	whole, n := l.files(""), 0
	for _, kind := range kinds {
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(whole)), func(name string) bool { return !strings.HasPrefix(name, kind.prefix) })
		if len(names) == 0 {
			t.Errorf("no file begins with %s", kind.prefix)
			continue
		}
		name, other := names[0], names[len(names)-1]
		if kind.newest {
			name, other = other, name
		}
		for _, tampering := range tamperings {
			if n++; n%step != 0 {
				continue
			}
			changed := tampering.change(whole[name], whole[other], before[name])
			if string(changed) == string(whole[name]) || kind.spared == tampering.name || tampering.name != "delete" && changed == nil {
				continue // nothing changes, or there is no other file or older copy
			}
			l.tamper(name, changed, tampering.name, list, kind)
			l.restore(whole)
		}
	}
	if code, output := l.look("verify"); code != exitComplete {
		t.Errorf("verify in the end: exit %d: %s", code, output)
	}
}

// restore gives a lake the files that it had: a process that found nothing wrong may have added some.
func (l *storedLake) restore(files map[string][]byte) {
	now := l.files("")
	for name := range now {
		if _, had := files[name]; !had {
			l.remove(name)
		}
	}
	for name, text := range files {
		if there, ok := now[name]; !ok || string(there) != string(text) {
			l.write(name, text)
		}
	}
}

// tamper changes a file and checks that siglake notices.
func (l *storedLake) tamper(name string, changed []byte, how, list string, kind tamperedKind) {
	l.t.Helper()
	if changed == nil {
		l.remove(name)
	} else {
		l.write(name, changed)
	}
	if code, output := l.look("verify"); code != exitIntegrity {
		l.t.Errorf("%s of %s: verify: exit %d, want %d: %s", how, name, code, exitIntegrity, output)
	}
	if !kind.money {
		return
	}
	if code, output, requests := l.buy(append([]string{"run", list}, baseFlags...)...); code != exitIntegrity && (code != exitComplete || !kind.behind) || requests != 0 {
		l.t.Errorf("%s of %s: run: exit %d after %d requests, want %d and none: %s", how, name, code, requests, exitIntegrity, output)
	}
}
