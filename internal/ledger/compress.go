package ledger

import (
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"
	"github.com/siglake/siglake/internal/wal"
)

// Both are safe for concurrent use. The window is small, since answers are small and several
// are compressed at a time.
var (
	zstdEncoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true)))
	zstdDecoder = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<30), zstd.WithDecoderConcurrency(2)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // of constant options
	}
	return v
}

// compressBody compresses a body; nothing stays nothing.
func compressBody(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return zstdEncoder.EncodeAll(p, nil)
}

func decompressBody(p []byte) ([]byte, error) { return appendDecompressed(nil, p) }

// appendDecompressed adds a compressed body to b.
func appendDecompressed(b, p []byte) ([]byte, error) {
	if len(p) == 0 {
		return b, nil
	}
	out, err := zstdDecoder.DecodeAll(p, b)
	if err != nil {
		return nil, fmt.Errorf("%w: a body: %w", wal.ErrCorrupt, err)
	}
	return out, nil
}

// encodeBody writes a value as compressed JSON.
func encodeBody(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return compressBody(text), err
}

func decodeBody(p []byte, v any) error {
	text, err := decompressBody(p)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", wal.ErrCorrupt, err)
	}
	return nil
}
