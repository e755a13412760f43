package app

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/sinks"
)

// duckFile is a database file that the program of DuckDB writes. It appears under its name when it is
// complete.
type duckFile struct {
	name    string
	program string
	// The view that files of siglake have, and other files do not.
	mark string
	// The variables of the program.
	environ []string
}

// WriteDuckDB writes the database file that a script makes. A file of that name is replaced if an earlier
// call wrote it. lakes are the addresses of what it shows, and mark is a view of the script.
func WriteDuckDB(ctx context.Context, env *Env, o *DDLOptions, lakes []string, script, mark string) error {
	f := duckFile{o.Into, o.DuckDB, mark, env.ChildEnviron()}
	for _, lake := range lakes {
		if sinks.OnS3(lake) {
			continue
		}
		if inside, err := liesIn(filepath.FromSlash(lake), f.name); err != nil || inside {
			return UsageErrorf("--into %s lies in the lake %s, where readers may take it for a part of it; name a file elsewhere", f.name, lake)
		}
	}
	if err := f.checkName(ctx); err != nil {
		return err
	}
	temporary := filepath.Join(filepath.Dir(f.name), ".siglake-ddl-"+rand.Text()+".tmp")
	defer func() { _, _ = os.Remove(temporary), os.Remove(temporary+".wal") }() // what is left of it
	if _, err := f.run(ctx, temporary, script); err != nil {
		return &Error{KindStorage, fmt.Errorf("--into %s: %w", f.name, err)}
	}
	if _, err := f.readMark(ctx, temporary); err != nil {
		return &Error{KindStorage, fmt.Errorf("--into %s: %s left no readable file: %w", f.name, f.program, err)}
	}
	if err := f.publish(temporary); err != nil {
		return &Error{KindStorage, fmt.Errorf("--into %s: %w", f.name, err)}
	}
	return nil
}

// checkName makes sure that nothing is replaced but what siglake has written.
func (f *duckFile) checkName(ctx context.Context) error {
	for _, name := range []string{f.name, f.name + ".wal"} {
		info, err := os.Lstat(name)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return &Error{KindStorage, fmt.Errorf("--into %s: %w", f.name, err)}
		case name != f.name:
			return UsageErrorf("--into %s: a program is writing it, or ended while it did: %s exists", f.name, name)
		case !info.Mode().IsRegular():
			return UsageErrorf("--into %s: it is not a file", f.name)
		}
		if tables, err := f.readMark(ctx, f.name); isInUse(err) {
			return &Error{KindLocked, fmt.Errorf("--into %s: it is in use: %w; repeat the command when no program has it open for writing", f.name, err)}
		} else if err != nil {
			return UsageErrorf("--into %s: it exists, and siglake did not write it (%v); name another file, or remove it first", f.name, err)
		} else if tables != "0" {
			return UsageErrorf("--into %s: it has tables, which siglake did not write; name another file, or remove it first", f.name)
		}
	}
	return nil
}

// readMark returns the number of tables in a file of siglake.
func (f *duckFile) readMark(ctx context.Context, name string) (tables string, err error) {
	out, err := f.run(ctx, name, fmt.Sprintf(
		"SELECT CASE WHEN (SELECT count(*) FROM duckdb_views() WHERE view_name = '%s') = 1 THEN (SELECT count(*) FROM duckdb_tables()) ELSE error('it has no view %[1]s') END AS tables;\n", f.mark), "-readonly")
	return strings.TrimSpace(out), err
}

// isInUse reports whether DuckDB could not open a file because a program has it open for writing.
func isInUse(err error) bool {
	return err != nil && strings.Contains(err.Error(), "Could not set lock on file")
}

// run runs a script in a database file, without what a user set up for sessions.
func (f *duckFile) run(ctx context.Context, name, script string, flags ...string) (string, error) {
	path, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	var out, problems bytes.Buffer
	c := exec.CommandContext(ctx, f.program, append(flags, "-init", os.DevNull, "-bail", "-batch", "-csv", "-noheader", path)...) //nolint:gosec // the user names it
	c.Env, c.Stdin, c.Stdout, c.Stderr = f.environ, strings.NewReader(script), &out, &problems
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", f.program, err, format.Text(fmt.Sprintf("%.500s", strings.TrimSpace(problems.String()))))
	}
	return out.String(), nil
}

// publish gives the complete file its name.
func (f *duckFile) publish(temporary string) error {
	file, err := os.OpenFile(temporary, os.O_RDWR, 0)
	if err == nil {
		err = errors.Join(file.Sync(), file.Close())
	}
	if err == nil {
		err = os.Rename(temporary, f.name)
	}
	return err
}
