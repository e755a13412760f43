package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
	"github.com/apache/arrow/go/v17/parquet"
	"github.com/apache/arrow/go/v17/parquet/compress"
	"github.com/apache/arrow/go/v17/parquet/pqarrow"

	"github.com/siglake/siglake/schema"
)

// recordRows is the number of rows of an Arrow record.
const recordRows = 1024

// tables are the files that a run writes.
type tables struct {
	out        string // folder; empty: no files
	accountKey map[string]string
	files      map[string]*file
	events     int
}

func newTables(out string, accounts []account) *tables {
	t := &tables{out: out, accountKey: map[string]string{}, files: map[string]*file{}}
	for _, a := range accounts {
		t.accountKey[a.id] = a.key
	}
	return t
}

// add reads an answer into the columns.
func (t *tables) add(r reply) error {
	var answer struct {
		Companies map[string]map[string]json.RawMessage `json:"companies"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil {
		return err
	}
	for id, entry := range answer.Companies {
		for key, list := range entry {
			signal, known := schema.LookupSignal(key)
			if !known {
				continue // the company's own fields
			}
			var records []json.RawMessage
			if err := json.Unmarshal(list, &records); err != nil {
				return err
			}
			for _, raw := range records {
				e, err := newEvent(signal, id, t.accountKey[id], r, raw)
				if err != nil {
					return err
				}
				if err := t.append(e); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// append appends a row to the file of its table and month.
func (t *tables) append(e *event) error {
	if len(e.date) < len("2026-06") {
		return fmt.Errorf("event %s has no date", e.uid)
	}
	name := filepath.Join(string(e.signal.Category), "event_month="+e.date[:len("2026-06")])
	f := t.files[name]
	if f == nil {
		var err error
		if f, err = newFile(t.out, name, schema.EventTable(e.signal.Category)); err != nil {
			return err
		}
		t.files[name] = f
	}
	t.events++
	return f.append(e)
}

func (t *tables) close() (err error) {
	for _, f := range t.files {
		err = errors.Join(err, f.close())
	}
	return err
}

// file is a Parquet file that is being written.
type file struct {
	table   schema.Table
	builder *array.RecordBuilder
	writer  *pqarrow.FileWriter // nil: rows are dropped
	rows    int                 // in the builder
}

func newFile(out, name string, table schema.Table) (*file, error) {
	f := &file{table: table, builder: array.NewRecordBuilder(memory.DefaultAllocator, table.Arrow())}
	if out == "" {
		return f, nil
	}
	dir := filepath.Join(out, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	w, err := os.Create(filepath.Join(dir, "plain.parquet"))
	if err != nil {
		return nil, err
	}
	f.writer, err = pqarrow.NewFileWriter(table.Arrow(), w, parquet.NewWriterProperties(parquet.WithCompression(compress.Codecs.Zstd)), pqarrow.NewArrowWriterProperties(pqarrow.WithStoreSchema()))
	return f, err
}

func (f *file) append(e *event) error {
	for i, c := range f.table.Columns {
		if err := e.appendTo(f.builder.Field(i), c.Name); err != nil {
			return err
		}
	}
	if f.rows++; f.rows == recordRows {
		return f.flush()
	}
	return nil
}

func (f *file) flush() error {
	record := f.builder.NewRecord()
	defer record.Release()
	f.rows = 0
	if f.writer == nil {
		return nil
	}
	return f.writer.WriteBuffered(record)
}

func (f *file) close() error {
	err := f.flush()
	if f.writer != nil {
		err = errors.Join(err, f.writer.Close())
	}
	return err
}
