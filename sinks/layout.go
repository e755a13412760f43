package sinks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go"

	"github.com/siglake/siglake/schema"
)

// ReadLayout is the layout of a table as one of its files states it: names, types, units and meanings of the
// columns that the file has. A file that siglake did not write is an error.
func ReadLayout(r io.ReaderAt, size int64) (t schema.Table, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not a readable Parquet file: %v", p)
		}
	}()
	file, err := parquet.OpenFile(r, size, parquet.SkipPageIndex(true), parquet.SkipBloomFilters(true))
	if err != nil {
		return t, fmt.Errorf("not a readable Parquet file: %w", err)
	}
	name, ok := file.Lookup(schema.MetaTable)
	if !ok {
		return t, errors.New("it is not a file of siglake: it names no table")
	}
	t.Name = name
	t.Doc, _ = file.Lookup(schema.MetaDoc)
	version, _ := file.Lookup(schema.MetaVersion)
	if t.Version, err = strconv.Atoi(version); err != nil {
		return t, fmt.Errorf("it states no schema version: %q", version)
	}
	known, _ := schema.TableNamed(name)
	for _, f := range file.Schema().Fields() {
		c, err := statedColumn(file, f, &known)
		if err != nil {
			return t, err
		}
		t.Columns = append(t.Columns, c)
	}
	return t, nil
}

// statedColumn is a column as its file states it. Small files do not describe their columns: what they mean is
// known, unless a later version of the program wrote the file.
func statedColumn(file *parquet.File, f parquet.Field, known *schema.Table) (c schema.Column, err error) {
	c.Name = f.Name()
	text, ok := file.Lookup(metaColumn + f.Name())
	if !ok {
		if at := known.ColumnIndex(c.Name); at >= 0 {
			c.Doc, c.Unit = known.Columns[at].Doc, known.Columns[at].Unit
		}
		c.Type, err = columnType(f)
		return c, err
	}
	var stated struct{ Type, Doc, Unit string }
	if err := json.Unmarshal([]byte(text), &stated); err != nil {
		return c, fmt.Errorf("it does not describe its column %q: %w", f.Name(), err)
	}
	c.Doc, c.Unit = stated.Doc, stated.Unit
	if c.Type, ok = schema.TypeNamed(stated.Type); !ok {
		return c, fmt.Errorf("its column %q has an unknown type %q", f.Name(), stated.Type)
	}
	return c, nil
}

// columnType is the type of which leafNode makes the type of a column in a file.
func columnType(f parquet.Field) (schema.Type, error) {
	for t := schema.String; f.Leaf() && t <= schema.Time; t++ {
		if leafNode(schema.Column{Type: t}, &Options{}, true).Type().String() == f.Type().String() {
			return t, nil
		}
	}
	return schema.String, fmt.Errorf("its column %q has an unknown type %s", f.Name(), f)
}

// ReadLayouts are the layouts of the tables of a snapshot in the newest version of the schema that it has, in the order
// of schema.Tables. It opens two files of a table at most.
func (i *Inspector) ReadLayouts(ctx context.Context, s *Snapshot) (tables []schema.Table, err error) {
	for _, t := range schema.Tables {
		var newest schema.Table
		for _, path := range newestFiles(s.Files, t.Name) {
			layout, err := readLayout(ctx, i.published.backend, path)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			if layout.Version > newest.Version {
				newest = layout
			}
		}
		if newest.Version > 0 {
			tables = append(tables, newest)
		}
	}
	return tables, nil
}

func readLayout(ctx context.Context, b backend, path string) (t schema.Table, err error) {
	o, err := b.openObject(ctx, path)
	if err != nil {
		return t, err
	}
	defer func() { err = errors.Join(err, o.Close()) }()
	return ReadLayout(o, o.Size())
}

// newestFiles are the files of a table that the newest run and the newest compaction wrote, as far as there are any.
// Either may be of a later version of the schema: a compaction keeps that of its siglake.
func newestFiles(files []DataFile, table string) (paths []string) {
	var newest [2]DataFile // of runs, of compactions
	for _, f := range files {
		of := &newest[0]
		if !f.Globbed {
			of = &newest[1]
		}
		if f.Table == table && f.Run > of.Run {
			*of = f
		}
	}
	for _, f := range newest {
		if f.Path != "" {
			paths = append(paths, f.Path)
		}
	}
	return paths
}
