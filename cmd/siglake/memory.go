package main

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync/atomic"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/app"
)

// processMemory is what the process may take, in bytes: as GOMEMLIMIT says, else three quarters of
// what its container has, for the kernel counts cached files as well. A large container is no reason to
// take more than the default; 0: that applies.
func processMemory(getenv func(string) string) int64 {
	if getenv("GOMEMLIMIT") != "" {
		if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 { // as the runtime reads it
			return limit
		}
		return 0
	}
	limit, err := memlimit.FromCgroup()
	if err != nil || limit/4*3 >= app.DefaultMemory { // none, or it cannot be read
		return 0
	}
	return int64(limit / 4 * 3) //nolint:gosec // below the default
}

// heapLimit is the size that the heap of the process should keep to. The collector works harder as
// the heap comes near it, and all the time if what is in use exceeds it. So the limit rises with what is
// in use: a heap may grow by a quarter before it is collected.
type heapLimit struct{ bytes atomic.Int64 }

// heap is that of the process.
var heap heapLimit

// set changes the limit. The first call starts the adjustments, which last as long as the process.
func (l *heapLimit) set(bytes int64) {
	if l.bytes.Swap(bytes) == 0 {
		l.adjustAfterCollections()
	}
	l.adjust()
}

// adjust sets the runtime's limit by what was in use at the last collection.
func (l *heapLimit) adjust() {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}, {Name: "/memory/classes/metadata/other:bytes"}}
	metrics.Read(inUse)
	var sum int64
	for _, s := range inUse {
		sum += int64(s.Value.Uint64()) //nolint:gosec // bytes of this process
	}
	debug.SetMemoryLimit(l.limit(sum))
}

// limit is the runtime's limit if so many bytes are in use.
func (l *heapLimit) limit(inUse int64) int64 { return max(l.bytes.Load(), inUse+inUse/4+minGrowth) }

// garbagePercent is how much garbage a heap below its limit may collect, in percent of what is in use. The limit
// bounds the heap, so a collection that comes later costs no more memory than the command may take.
const garbagePercent = 300

// minGrowth is by how many bytes a heap may grow at least.
const minGrowth = 16 << 20

// adjustAfterCollections adjusts the limit whenever the collector has found an object that is not in
// use.
func (l *heapLimit) adjustAfterCollections() {
	runtime.AddCleanup(new([64]byte), func(l *heapLimit) {
		l.adjust()
		l.adjustAfterCollections()
	}, l)
}

// applyMemory makes the size of --memory that of the process.
func applyMemory(c *cli.Context, text string) error {
	m, err := app.NewMemory(envOf(c), text, "")
	if err == nil && envOf(c).LimitHeap != nil {
		envOf(c).LimitHeap(m.Heap)
	}
	return err
}

// checkAnswerMemory refuses a size of --answer-memory that cannot be read. Whether it fits into --memory is known
// when all flags are.
func checkAnswerMemory(c *cli.Context, text string) error {
	const unbounded = "1048576GiB"
	_, err := app.NewMemory(envOf(c), unbounded, text)
	return err
}
