package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"sync"
)

// checker finds out whether a mutated package compiles. It checks types with the compiler's rules
// in this process, which takes a tenth of a build.
type checker struct {
	packages map[string]listedPackage // by folder
	exports  map[string]string        // files of the compiler with what a package exports, by import path

	// One check at a time: packages that were imported are completed while they are used.
	mu        sync.Mutex
	positions *token.FileSet
	importer  types.Importer
}

// listedPackage is a package as go list describes it.
type listedPackage struct {
	ImportPath, Dir, Export string
	GoFiles                 []string // without those of other systems, and of tests
}

// newChecker lists the packages of the module at root, and builds what they import.
func newChecker(ctx context.Context, root string) (*checker, error) {
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, "go", "list", "-export", "-deps", "-json=ImportPath,Dir,Export,GoFiles", "./...")
	cmd.Dir, cmd.Stderr = root, &errs
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w: %s", err, errs.String())
	}
	c := &checker{packages: map[string]listedPackage{}, exports: map[string]string{}, positions: token.NewFileSet()}
	for list := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listedPackage
		if err := list.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		c.packages[p.Dir], c.exports[p.ImportPath] = p, p.Export
	}
	c.importer = importer.ForCompiler(c.positions, "gc", func(path string) (io.ReadCloser, error) {
		if c.exports[path] == "" {
			return nil, fmt.Errorf("%s is not built", path)
		}
		return os.Open(c.exports[path])
	})
	return c, nil
}

// check checks the package of a folder, with files of another folder in place of some of its own:
// mutated says where, by the path of the original.
func (c *checker) check(dir string, mutated map[string]string) error {
	p, ok := c.packages[dir]
	if !ok {
		return fmt.Errorf("%s: no package", dir)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var files []*ast.File
	for _, name := range p.GoFiles {
		name = filepath.Join(dir, name)
		if other := mutated[name]; other != "" {
			name = other
		}
		file, err := parser.ParseFile(c.positions, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		files = append(files, file)
	}
	config := types.Config{Importer: c.importer, Sizes: types.SizesFor("gc", runtime.GOARCH)}
	_, err := config.Check(p.ImportPath, c.positions, files, nil)
	return err
}

// folderOf is the folder of a mutant's files; empty if they lie in several.
func folderOf(m *mutant) string {
	dir := path.Dir(m.files[0])
	for _, file := range m.files {
		if path.Dir(file) != dir {
			return ""
		}
	}
	return dir
}
