package pipeline

import (
	"context"
	"iter"
)

// recordedAnswer is an answer that the run received before its process ended.
type recordedAnswer struct {
	RecordedAnswer
	batch *Batch        // once it is read
	err   error         // why it could not be read
	done  chan struct{} // closed when it was written
}

// recoverRows records what the run did before its process ended, and returns the rows that have a
// status by that. Answers are read, flattened and written side by side, and written in their order.
func (r *Runner) recoverRows(ctx context.Context, rec *recorder) (done rowSet, err error) {
	if r.Recorded == nil || r.Recorded.Answers == nil {
		return nil, nil
	}
	flatten := func(ctx context.Context, a *recordedAnswer) *flattened {
		f := new(flattened)
		if a.err == nil {
			var read AnsweredBatch
			read, a.err = a.Read(ctx)
			a.batch, f.Reply = read.Batch, read.Reply
		}
		if a.err == nil && !f.isLong() {
			f.rows = rec.maker.flatten(a.batch, f.Reply)
		}
		return f
	}
	reading, stopReading := context.WithCancel(ctx)
	defer stopReading()
	for a, reply := range prefetch(reading, r.concurrency(), r.readRecorded(reading), r.newRecordedRoom(), flatten) {
		err := a.err
		if err == nil {
			err = rec.replayBatch(ctx, a.batch, reply, &done)
		}
		if err != nil {
			stopReading()
			return nil, err
		}
		close(a.done)
	}
	return done, nil
}

// readRecorded yields the answers that the run received. After a long one it yields the next one when that
// one was written, unless ctx ends.
func (r *Runner) readRecorded(ctx context.Context) iter.Seq[*recordedAnswer] {
	return func(yield func(*recordedAnswer) bool) {
		for b, err := range r.Recorded.Answers {
			a := &recordedAnswer{RecordedAnswer: b, err: err, done: make(chan struct{})}
			if !yield(a) || err != nil {
				return
			}
			if a.Length >= longAnswer {
				select {
				case <-a.done:
				case <-ctx.Done():
					return
				}
			}
		}
	}
}

// recordedMemory bounds the bytes of the answers that are read ahead of their turn. They come as fast as
// they are read, so few suffice, and several runs may be replayed at once.
const recordedMemory = 16 << 20

// newRecordedRoom is the room for these answers.
func (r *Runner) newRecordedRoom() *room[*recordedAnswer, *flattened] {
	const withRows = 2 // times the memory of the answer
	expect := func(a *recordedAnswer) int64 { return withRows * (a.Length + int64(a.Entities)*itemMemory) }
	return newRoom(min(r.answerMemory(), recordedMemory), expect, func(_ *recordedAnswer, f *flattened) int64 { return f.memory() })
}
