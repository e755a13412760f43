package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// history is what a lake has published, as far as a replay needs it.
type history struct {
	lake   *sinks.Inspector
	newest int64 // generation; 0: nothing has been published
	since  int64 // manifests of the generations after this one are known
	// By generation, and the SHA-256 of the manifests, that of since among them.
	manifests map[int64]*pipeline.Manifest
	sums      map[int64]string
	// By path: the generation whose files replaced a file that prunings have removed since.
	removed map[string]int64
}

// readHistory reads the manifests after a generation. If one of them removes files, it reads all, to know when
// those were replaced.
func readHistory(ctx context.Context, lake *sinks.Inspector, since int64) (*history, error) {
	link, newest, err := lake.CurrentGeneration(ctx)
	if err != nil || newest == 0 {
		return &history{lake: lake}, err
	}
	h := &history{lake: lake, newest: newest, since: min(since, newest), manifests: map[int64]*pipeline.Manifest{}, sums: map[int64]string{newest: link.SHA256}}
	prunes := false
	for m, err := range lake.Generations(ctx) {
		switch {
		case err != nil:
			return nil, err
		case m.Generation > newest: // published meanwhile
			continue
		case m.Generation <= h.since && !prunes:
			return h, nil
		}
		h.manifests[m.Generation] = m
		if m.Previous != nil {
			h.sums[m.Generation-1] = m.Previous.SHA256
		}
		prunes = prunes || m.Generation > h.since && len(m.Removes) > 0
	}
	if prunes {
		h.findRemoved()
	}
	return h, nil
}

// findRemoved finds out when the files were replaced that prunings removed.
func (h *history) findRemoved() {
	gone := map[string]bool{}
	for _, m := range h.manifests {
		if m.Generation > h.since {
			for _, path := range m.Removes {
				gone[path] = true
			}
		}
	}
	h.removed = map[string]int64{}
	for _, m := range h.manifests {
		for _, path := range m.Replaces {
			if gone[path] {
				h.removed[path] = m.Generation
			}
		}
	}
}

// floor is the oldest generation whose files of a table are all there, as far as prunings since have removed some; 0: they
// have removed none.
func (h *history) floor(table string) (floor int64) {
	for path, generation := range h.removed {
		if tableOf(path) == table {
			floor = max(floor, generation)
		}
	}
	return floor
}

// files are the files of a table as of a generation.
func (h *history) files(ctx context.Context, table string, generation int64) (map[string]sinks.DataFile, error) {
	snapshot, err := h.lake.ReadSnapshot(ctx, generation)
	if err != nil {
		return nil, fmt.Errorf("files of generation %d: %w", generation, err)
	}
	files := map[string]sinks.DataFile{}
	for _, f := range snapshot.Files {
		if f.Table == table {
			files[f.Path] = f
		}
	}
	return files, nil
}

// tableOf is the table of a file, by its path in the lake.
func tableOf(path string) string {
	parts := strings.Split(strings.TrimPrefix(path, "compact/"), "/")
	if len(parts) < 2 {
		return ""
	}
	return parts[1]
}

// monthOf is the month of a file's partition, which may be a day: "event_day=2026-03-09".
func monthOf(partition string) string {
	key, value, _ := strings.Cut(partition, "=")
	switch {
	case key == schema.ByDay && value == schema.UnknownDay:
		return schema.UnknownPartition
	case key == schema.ByDay && len(value) > len("2026-03"):
		return value[:len("2026-03")]
	}
	return value
}
