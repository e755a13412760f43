// Package durabletest simulates disks that lose power, for tests of what a program
// that uses package durable leaves behind.
package durabletest

import (
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// ErrCrashed is the error of every operation after the process has crashed.
var ErrCrashed = errors.New("the process is dead")

// Disk is a directory behind a hook. It knows what of the directory is durable,
// can crash the process at any operation, and can lose power. The hook may be used
// concurrently; everything else by one goroutine, while no operation runs.
type Disk struct {
	Dir        string
	NoAllocate bool // allocation is not supported
	Ops        int  // operations since the last Restart that may have changed something

	mu       sync.Mutex
	rng      *rand.Rand
	crashAt  int // the process crashes at this operation; 0 for never
	crashed  bool
	synced   map[uint64][]byte // durable contents by inode
	unlinked map[uint64][]byte // last contents of files that have lost their last name
	names    map[string]uint64 // durable names
}

// NewDisk returns a disk on which everything in dir is durable.
func NewDisk(dir string, rng *rand.Rand) *Disk {
	d := &Disk{Dir: dir, rng: rng}
	d.syncAll()
	return d
}

// syncAll makes everything in the directory durable.
func (d *Disk) syncAll() {
	d.synced, d.unlinked = map[uint64][]byte{}, map[uint64][]byte{}
	d.names = d.liveNames()
	for name, ino := range d.names {
		d.synced[ino], _ = os.ReadFile(filepath.Join(d.Dir, name))
	}
}

func (d *Disk) liveNames() map[string]uint64 {
	names := map[string]uint64{}
	entries, _ := os.ReadDir(d.Dir)
	for _, e := range entries {
		names[e.Name()] = inode(filepath.Join(d.Dir, e.Name()))
	}
	return names
}

// Hook is a durable.Hook.
func (d *Disk) Hook(op, path string, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.crashed {
		return ErrCrashed
	}
	if d.NoAllocate && op == "allocate" {
		return errors.ErrUnsupported
	}
	if op == "list" || op == "open" || op == "read" {
		return do()
	}
	d.Ops++
	if d.Ops == d.crashAt {
		d.crashed = true
		if d.rng.IntN(2) == 0 {
			return ErrCrashed
		}
	}
	if op == "remove" {
		if data, err := os.ReadFile(path); err == nil {
			d.unlinked[inode(path)] = data
		}
	}
	if err := do(); err != nil {
		return err
	}
	switch op {
	case "create":
		delete(d.synced, inode(path))
	case "sync":
		d.synced[inode(path)], _ = os.ReadFile(path)
	case "syncdir":
		d.names = d.liveNames()
	}
	if d.crashed {
		return ErrCrashed
	}
	return nil
}

// Restart ends the process and keeps the machine running. The next process crashes
// at operation crashAt, 0 for never.
func (d *Disk) Restart(crashAt int) { d.crashed, d.Ops, d.crashAt = false, 0, crashAt }

// Durable returns the least that a disk holds after a power cut, by name: what was
// synced, under the names that were synced. It may be called while operations run.
func (d *Disk) Durable() map[string][]byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for name, ino := range d.names {
		files[name] = d.synced[ino]
	}
	return files
}

// PowerCut leaves in dir what a disk may hold after a power cut, and continues
// there. Every name that was created or removed since its directory was synced is
// there or not; every sector that was written since its file was synced is there or
// not.
func (d *Disk) PowerCut(t testing.TB, dir string) {
	t.Helper()
	live := d.liveNames()
	after := map[string][]byte{}
	names := make([]string, 0, 8)
	for name := range live {
		names = append(names, name)
	}
	for name := range d.names {
		if _, ok := live[name]; !ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		ino, kept := d.names[name]
		if now := live[name]; now != ino && d.rng.IntN(2) == 0 {
			ino, kept = now, now != 0
		}
		if !kept {
			continue
		}
		data, ok := d.unlinked[ino]
		if !ok || live[name] == ino {
			data, _ = os.ReadFile(filepath.Join(d.Dir, name))
		}
		for other, o := range live {
			if o == ino {
				data, _ = os.ReadFile(filepath.Join(d.Dir, other))
			}
		}
		after[name] = d.tearSectors(d.synced[ino], data)
	}
	RestoreFiles(t, dir, after)
	d.Dir = dir
	d.syncAll()
}

const sector = 512

// tearSectors mixes sectors of what was synced and what was written since.
func (d *Disk) tearSectors(synced, written []byte) []byte {
	size := len(written)
	if low, high := min(len(synced), size), max(len(synced), size); d.rng.IntN(2) == 0 {
		size = low + d.rng.IntN(high-low+1)
	}
	odds := []float64{0, 0.1, 0.5, 0.9, 1}[d.rng.IntN(5)]
	out := make([]byte, size)
	copy(out, synced)
	for at := 0; at < size; at += sector {
		to := min(at+sector, size)
		if at < len(written) && d.rng.Float64() < odds {
			clear(out[at:to])
			copy(out[at:to], written[at:])
		}
	}
	return out
}
