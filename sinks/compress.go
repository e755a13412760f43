package sinks

import (
	"runtime"

	kzstd "github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/compress/zstd"
)

// pageCodec compresses pages as [zstd.Codec] does, byte for byte, with encoders
// that outlive a garbage collection: one takes 1.3 MB, and the pool of the
// library makes a new one for the first page after every collection.
type pageCodec struct{ zstd.Codec }

// pageEncoder is safe for concurrent use. Pages are complete in memory, so that
// it holds no window.
var pageEncoder = newPageEncoder()

func newPageEncoder() *kzstd.Encoder {
	e, err := kzstd.NewWriter(nil, kzstd.WithEncoderLevel(zstd.DefaultLevel), kzstd.WithZeroFrames(true), kzstd.WithEncoderCRC(false),
		kzstd.WithEncoderConcurrency(min(4, runtime.GOMAXPROCS(0))))
	if err != nil {
		panic(err) // of constant options
	}
	return e
}

// Encode appends nothing to dst but reuses its memory, as the interface asks.
func (*pageCodec) Encode(dst, src []byte) ([]byte, error) {
	return pageEncoder.EncodeAll(src, dst[:0]), nil
}
