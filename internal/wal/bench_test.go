package wal

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

func BenchmarkAppend(b *testing.B) {
	body := make([]byte, 4<<10)
	for i := range body {
		body[i] = byte(i * i)
	}
	for _, writers := range []int{1, 8, 64} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			var syncs atomic.Int64
			l := mustOpenLog(b, b.TempDir(), func(op, _ string, do func() error) error {
				if op == "sync" {
					syncs.Add(1)
				}
				return do()
			}, Options{})
			if _, err := l.Append(1, nil, body); err != nil { // makes the segment
				b.Fatal(err)
			}
			syncs.Store(0)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			b.ResetTimer()
			var left atomic.Int64
			left.Store(int64(b.N))
			done := make(chan error)
			for range writers {
				go func() {
					var err error
					for err == nil && left.Add(-1) >= 0 {
						_, err = l.Append(1, []byte("a head of some bytes"), body)
					}
					done <- err
				}()
			}
			for range writers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			b.StopTimer()
			b.ReportMetric(float64(b.N)/float64(syncs.Load()), "appends/sync")
			if err := l.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkWalk(b *testing.B) {
	body := make([]byte, 4<<10)
	l := mustOpenLog(b, b.TempDir(), nil, Options{})
	const size = 128 << 20
	for range size / len(body) {
		if _, err := l.Write(1, []byte("a head of some bytes"), body); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Flush(); err != nil {
		b.Fatal(err)
	}
	for _, bodies := range []bool{false, true} {
		b.Run(fmt.Sprintf("bodies=%v", bodies), func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for range b.N {
				err := l.Walk(b.Context(), bodies, func(Position, byte, []byte, int64) error { return nil })
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkObjectsOpen opens a segment of 5,000 parts on a real store, in parts
// and as a whole.
func BenchmarkObjectsOpen(b *testing.B) {
	const parts = 5000
	bucket := openBucket(b, buckettest.Start(b))
	l, err := Open(b.Context(), NewObjects(bucket, "j", ObjectsOptions{}), Options{})
	for i := 0; i < parts && err == nil; i++ {
		_, err = l.Append(1, fmt.Append(nil, i), make([]byte, 8<<10))
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, whole := range []bool{false, true} {
		b.Run(fmt.Sprintf("whole=%v", whole), func(b *testing.B) {
			b.ReportAllocs()
			for range b.N {
				b.StopTimer()
				if !whole {
					if err := bucket.Delete(b.Context(), "j/whole/"+segmentName(1)); err != nil {
						b.Fatal(err)
					}
				}
				b.StartTimer()
				if _, err := Open(b.Context(), NewObjects(bucket, "j", ObjectsOptions{}), Options{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
