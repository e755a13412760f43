package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// mutant is one mistake, and the tests that must notice it.
type mutant struct {
	path        string   // of its file, within list/
	consequence string   // for the user of the program
	name        string   // the mistake
	pkg         string   // with the tests that must kill it: a folder, from the module's root
	run         string   // the pattern of those tests, as for go test -run
	diff        string   // the change, for git apply at the module's root
	files       []string // the files that it changes, from the module's root
}

// readMutants reads every .diff of a folder, in the order of their names. Two of
// one name, or one that lacks a part, are an error that names the file.
func readMutants(dir string) ([]mutant, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.diff"))
	if err != nil {
		return nil, err
	}
	var list []mutant
	var errs []error
	names := map[string]string{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		m, err := parseMutant(filepath.Base(path), string(text))
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
			continue
		}
		if other, ok := names[m.name]; ok {
			errs = append(errs, fmt.Errorf("%s: another mutant has this name: %s", path, other))
		}
		names[m.name] = path
		list = append(list, m)
	}
	return list, errors.Join(errs...)
}

// parseMutant reads the text of a .diff: the consequence in the first line, then
// the lines "mutation: NAME" and "tests: PACKAGE PATTERN", then the diff.
func parseMutant(path, text string) (mutant, error) {
	head, diff, ok := strings.Cut(text, "\n--- a/")
	if !ok {
		return mutant{}, errors.New("no unified diff with a line that begins with --- a/")
	}
	m := mutant{path: path, diff: "--- a/" + diff}
	m.consequence, _, _ = strings.Cut(head, "\n")
	for line := range strings.Lines(head) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), ": "); key {
		case "mutation":
			m.name = value
		case "tests":
			m.pkg, m.run, _ = strings.Cut(value, " ")
		}
	}
	for line := range strings.Lines(m.diff) {
		if file, ok := strings.CutPrefix(line, "--- a/"); ok {
			m.files = append(m.files, strings.TrimSpace(file))
		}
	}
	if m.consequence == "" || m.name == "" || m.pkg == "" || m.run == "" {
		return m, errors.New("want a title line, mutation: NAME, tests: PACKAGE PATTERN, and a diff")
	}
	if _, err := regexp.Compile(m.run); err != nil {
		return m, err
	}
	return m, nil
}
