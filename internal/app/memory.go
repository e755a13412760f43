package app

import (
	"cmp"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/policy"
)

// Memory is what a command may take of the machine's memory, in bytes, and how it is divided. Of the
// default of 256 MiB:
//
//	64 MiB  answers under way and answers that wait for their turn (pipeline.Runner.AnswerMemory)
//	48 MiB  rows to be sorted, of all partitions (sinks.Options.SortMemory)
//	96 MiB  the rest of the heap: the list, the journal's index, one long answer that is decoded,
//	        encoders, and what is not collected yet
//	48 MiB  outside of the heap: the program, stacks, and what the system takes back late
//
// The first three are the heap, whose size Go's collector keeps to. The heap exceeds it rather than
// that something paid for is lost: a single answer may be longer than all answers together should be,
// and a list of many millions of lines takes some 40 bytes a line.
//
// Commands that read the journal again have no answers under way. Instead they work on several runs or
// files at once, of which each takes some memory besides its share for sorting: see [Memory.decodedAtOnce].
type Memory struct {
	Total   int64
	Heap    int64 // what the collector keeps to
	Answers int64
	Sort    int64
}

const (
	// DefaultMemory is the memory of a command on a machine that has more.
	DefaultMemory = 256 << 20
	// minMemory is the least that --memory gives: in that, rebuild, verify and compact read a run or a
	// partition at a time, sort its rows and encode them.
	minMemory = 160 << 20
	// minDefault is the least without --memory, in a small container. Short answers need no more. Commands that can need more
	// warn: see warnOfLittleMemory.
	minDefault = 96 << 20
	// programMemory is what the process takes outside of its heap.
	programMemory = 48 << 20
	// decodedMemory is what a further run takes that is read again at the same time: answers that are read
	// ahead, their rows, and what is not collected yet. A file whose rows are read takes less.
	decodedMemory = 48 << 20
)

// NewMemory divides the size that --memory gives; without one, what the process may take. answers is
// the size of --answer-memory; empty: a quarter of the whole.
func NewMemory(env *Env, total, answers string) (m Memory, err error) {
	m.Total = max(cmp.Or(env.Memory, DefaultMemory), minDefault)
	if total != "" {
		n, ok := parseSize(total)
		if !ok || n < minMemory {
			return m, UsageErrorf("--memory %q: expected a size from 160MiB in MiB, GiB or TiB, such as 512MiB or 2GiB", total)
		}
		m.Total = n
	}
	m.Heap, m.Answers, m.Sort = m.Total-programMemory, m.Total/4, m.Total/16*3
	if answers != "" {
		n, ok := parseSize(answers)
		if !ok || n < 1<<20 {
			return m, UsageErrorf("--answer-memory %q: expected a size from 1MiB in MiB, GiB or TiB, such as 64MiB or 1GiB", answers)
		}
		if most := m.Heap/10*9 - m.Sort; n > most {
			return m, UsageErrorf("--answer-memory %s: of %s that --memory gives to the command, answers can take %s at most; give it more with --memory", answers, format.Bytes(m.Total), format.Bytes(most))
		}
		m.Answers = n
	}
	return m, nil
}

// decodedAtOnce is how many runs are read from the journal and sorted at once, or how many files are
// decoded, of those that jobs allows.
func (m *Memory) decodedAtOnce(jobs int) int {
	return int(min(int64(jobs), 1+max(0, m.Total-minMemory)/decodedMemory))
}

// checkedMemory is what all runs together may take for sorting that are compared with their answers, so many at
// once. Nothing is encoded then, so what the memory has for further runs goes to the rows of few.
func (m *Memory) checkedMemory(atOnce int) int64 {
	unused := max(0, (m.Total-minMemory)/decodedMemory-int64(atOnce))
	return m.Sort + min(m.Sort, unused*decodedMemory)
}

// answerTarget is the length that no answer should exceed.
func (m *Memory) answerTarget(env *Env) int64 {
	return cmp.Or(env.AnswerTarget, min(policy.DefaultAnswerTarget, cmp.Or(m.Answers, policy.DefaultAnswerTarget)))
}

// warnOfLittleMemory warns if a small container, or GOMEMLIMIT, gives a command less than it can need: the kernel kills a
// process that exceeds its container. A size that --memory gives is as the user wants it.
func (o *StoreOptions) warnOfLittleMemory(env *Env, needs int64) {
	if env.Memory == 0 || env.Memory >= needs || o.Memory != "" {
		return
	}
	env.Log.Warn("the memory of the container, or GOMEMLIMIT, is less than this command can need: if it is killed, raise that, and repeat it",
		"memory", format.Bytes(env.Memory), "can_need", format.Bytes(needs), "container_from", format.Bytes(needs/3*4))
}

// memory is that of a command on a lake. Options that cannot be read are refused where they are set.
func (o *StoreOptions) memory(env *Env) Memory {
	m, _ := NewMemory(env, o.Memory, "")
	return m
}
