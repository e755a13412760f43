package journal

import (
	"encoding/json"
	"fmt"

	"github.com/klauspost/compress/zstd"
)

// Both may be used concurrently. The window is small: answers are, and several
// are compressed at once.
var (
	encoder = must(zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true)))
	decoder = must(zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<30), zstd.WithDecoderConcurrency(2)))
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err) // of constant options
	}
	return v
}

// deflate compresses a body; nothing stays nothing.
func deflate(p []byte) []byte {
	if len(p) == 0 {
		return nil
	}
	return encoder.EncodeAll(p, nil)
}

func inflate(p []byte) ([]byte, error) {
	if len(p) == 0 {
		return nil, nil
	}
	out, err := decoder.DecodeAll(p, nil)
	if err != nil {
		return nil, fmt.Errorf("%w: a body: %w", ErrCorrupt, err)
	}
	return out, nil
}

// pack writes a value as compressed JSON.
func pack(v any) ([]byte, error) {
	text, err := json.Marshal(v)
	return deflate(text), err
}

func unpack(p []byte, v any) error {
	text, err := inflate(p)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	return nil
}
