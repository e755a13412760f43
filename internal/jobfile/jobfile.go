// Package jobfile reads siglake.yaml, which describes jobs for a scheduler:
//
//	version: 1
//	defaults:
//	  lake: lake
//	jobs:
//	  nightly:
//	    command: run
//	    list: accounts.csv
//	    max-credits: 5000
//
// The package knows the shape of the file, and where in the file everything stands. It does
// not know the settings: they are the flags of the program's commands, which the caller
// compares them with. All problems of a file are collected, so that its owner sees them at once.
package jobfile

import (
	"fmt"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxSize is the length in bytes that a job file may have.
const maxSize = 1 << 20

// supportedVersion is the version of the format that this package reads.
const supportedVersion = "1"

// File is a job file. Its problems are those of its shape, and those that the caller adds.
type File struct {
	Path     string
	Defaults []Field // settings of every job that takes them
	Jobs     []Job   // in the order of the file

	lines    []string
	problems []problem
	suggest  Suggest
}

// Job is a named job, with all that its section says.
type Job struct {
	Name     string
	At       Position
	Settings []Field // command, list and notify among them
}

// Suggest says, for a message, which known word resembles one that is not known; empty: none.
type Suggest func(word string, known []string) string

// Position is a place in the file, counted from 1; zero: the file as a whole.
type Position struct{ Line, Column int }

// Kind is the kind of a value.
type Kind int

// The kinds of values. Null stands for a key without a value.
const (
	Null Kind = iota
	Scalar
	List
	Mapping
)

// Value is a value of the file. A scalar is kept as it is written: 007 is no number yet.
type Value struct {
	At     Position
	Kind   Kind
	Text   string  // of a scalar
	Items  []Value // of a list
	Fields []Field // of a mapping
}

// Field is a key of a mapping with its value.
type Field struct {
	Key   string
	At    Position
	Value Value
}

// Parse reads a file. What is wrong with it is in File.Err.
func Parse(path string, raw []byte, suggest Suggest) *File {
	f := &File{Path: path, suggest: suggest}
	root := f.load(raw)
	if len(f.problems) == 0 {
		f.interpret(root)
	}
	return f
}

// load turns the text into a tree of values.
func (f *File) load(raw []byte) (root Value) {
	switch {
	case len(raw) > maxSize:
		f.Report(Position{}, "is longer than 1 MiB: that is no job file")
		return root
	case strings.HasPrefix(string(raw), "\xff\xfe"), strings.HasPrefix(string(raw), "\xfe\xff"):
		f.Report(Position{}, "is UTF-16; save it as UTF-8")
		return root
	}
	text := strings.TrimPrefix(string(raw), "\ufeff") // editors on Windows write it
	f.lines = strings.Split(text, "\n")
	for i, line := range f.lines {
		f.lines[i] = strings.TrimSuffix(line, "\r")
	}
	if at := f.firstTab(); at != (Position{}) {
		f.Report(at, "a tab in the indentation: YAML takes blanks only")
		return root
	}
	// A list of documents does not stop behind the first one, as a single target does.
	var documents []yaml.Node
	if err := yaml.Load([]byte(text), &documents, yaml.WithAllDocuments()); err != nil {
		f.reportSyntax(err)
		return root
	}
	switch {
	case len(documents) == 0:
		f.Report(Position{}, "is empty: a job file begins with version: 1 and has a section jobs")
		return root
	case len(documents) > 1:
		f.Report(positionOf(content(&documents[1])), "a second document: a job file is one document, without a line ---")
	}
	return f.convert(content(&documents[0]), 0)
}

// firstTab is the first tab that stands before the first word of a line.
func (f *File) firstTab() Position {
	for i, line := range f.lines {
		indentation := line[:len(line)-len(strings.TrimLeft(line, " \t"))]
		rest := line[len(indentation):]
		if at := strings.IndexByte(indentation, '\t'); at >= 0 && rest != "" && rest[0] != '#' {
			return Position{i + 1, at + 1}
		}
	}
	return Position{}
}

// content is the root of a document.
func content(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		return n.Content[0]
	}
	return n
}

func positionOf(n *yaml.Node) Position { return Position{n.Line, n.Column} }

// maxDepth is how deep a job file can be nested: jobs, a job, its notifications, one of them,
// its events.
const maxDepth = 6

// convert makes a value of a node.
func (f *File) convert(n *yaml.Node, depth int) Value {
	v := Value{At: positionOf(n)}
	switch {
	case depth > maxDepth:
		f.Report(v.At, "nested too deeply for a job file")
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		f.Report(v.At, "anchors and aliases are not supported: what jobs share belongs into defaults")
	case n.Kind == yaml.ScalarNode:
		v.Kind, v.Text = Scalar, n.Value
		switch tag := n.ShortTag(); {
		case tag == "!!null":
			v.Kind = Null
		case !strings.HasPrefix(tag, "!!"), tag == "!!binary":
			f.Report(v.At, "tags such as !x are not supported")
		}
	case n.Kind == yaml.SequenceNode:
		v.Kind = List
		for _, item := range n.Content {
			v.Items = append(v.Items, f.convert(item, depth+1))
		}
	case n.Kind == yaml.MappingNode:
		v.Kind = Mapping
		v.Fields = f.fields(n, depth)
	}
	return v
}

// fields are the pairs of a mapping. A key that comes twice is a problem.
func (f *File) fields(n *yaml.Node, depth int) (fields []Field) {
	first := map[string]Position{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, at := n.Content[i], positionOf(n.Content[i])
		if key.Kind != yaml.ScalarNode || key.Value == "<<" {
			f.Report(at, "expected a plain word as key")
			continue
		}
		value := f.convert(n.Content[i+1], depth+1)
		if before, twice := first[key.Value]; twice {
			f.Report(at, "key %q is already in line %d", key.Value, before.Line)
			continue
		}
		first[key.Value] = at
		fields = append(fields, Field{key.Value, at, value})
	}
	return fields
}

// interpret takes the sections of the file.
func (f *File) interpret(root Value) {
	if root.Kind != Mapping {
		f.Report(root.At, "expected the keys version, defaults and jobs")
		return
	}
	sections := map[string]*Field{"version": nil, "defaults": nil, "jobs": nil}
	for i, field := range root.Fields {
		if _, known := sections[field.Key]; !known {
			f.ReportKey(field, "section", []string{"version", "defaults", "jobs"})
			continue
		}
		sections[field.Key] = &root.Fields[i]
	}
	switch version := sections["version"]; {
	case version == nil:
		f.Report(root.At, "version is missing: a job file begins with version: %s", supportedVersion)
	case version.Value.Kind != Scalar || version.Value.Text != supportedVersion:
		f.Report(version.Value.At, "this siglake reads version %s of the job file", supportedVersion)
	}
	if defaults := sections["defaults"]; defaults != nil && defaults.Value.Kind != Null {
		f.Defaults = f.mapping(*defaults, "settings")
	}
	if jobs := sections["jobs"]; jobs == nil {
		f.Report(root.At, "jobs is missing: nothing to run")
	} else {
		f.interpretJobs(*jobs)
	}
}

func (f *File) interpretJobs(jobs Field) {
	named := f.mapping(jobs, "jobs by name")
	if jobs.Value.Kind == Mapping && len(named) == 0 {
		f.Report(jobs.At, "jobs is empty: nothing to run")
	}
	for _, job := range named {
		if !isName(job.Key) {
			f.Report(job.At, "job name %q: expected letters, digits, hyphens, underscores and dots, a letter or digit first", job.Key)
		}
		f.Jobs = append(f.Jobs, Job{job.Key, job.At, f.mapping(job, "settings")})
	}
}

// isName reports whether a word can name a job: on a command line, in a metric, in a message.
func isName(word string) bool {
	for i, r := range word {
		isLetter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
		if !isLetter && (i == 0 || !strings.ContainsRune("-_.", r)) {
			return false
		}
	}
	return word != ""
}

// mapping are the fields of a section, which must be a mapping.
func (f *File) mapping(section Field, of string) []Field {
	if section.Value.Kind == Null {
		f.Report(section.At, "%s has no value: expected %s", section.Key, of)
	} else if section.Value.Kind != Mapping {
		f.Report(section.Value.At, "%s: expected %s, one \"key: value\" a line", section.Key, of)
	}
	return section.Value.Fields
}

// Job finds a job by its name; nil if there is none.
func (f *File) Job(name string) *Job {
	for i := range f.Jobs {
		if f.Jobs[i].Name == name {
			return &f.Jobs[i]
		}
	}
	return nil
}

// Names are the names of the jobs, in the order of the file.
func (f *File) Names() (names []string) {
	for _, j := range f.Jobs {
		names = append(names, j.Name)
	}
	return names
}

// Strings are the texts of a scalar or of a list of scalars. The key is for messages.
func (f *File) Strings(field Field) (texts []string) {
	switch v := field.Value; v.Kind {
	case Null:
		f.Report(field.At, "%s has no value", field.Key)
	case Mapping:
		f.Report(v.At, "%s: expected a value or a list, not keys", field.Key)
	case Scalar:
		return []string{v.Text}
	case List:
		if len(v.Items) == 0 {
			f.Report(v.At, "%s: the list is empty", field.Key)
		}
		for _, item := range v.Items {
			if item.Kind != Scalar {
				f.Report(item.At, "%s: expected one value an item", field.Key)
				continue
			}
			texts = append(texts, item.Text)
		}
	}
	return texts
}

// Text is the text of a scalar.
func (f *File) Text(field Field) (text string, ok bool) {
	switch v := field.Value; v.Kind {
	case Scalar:
		return v.Text, true
	case Null:
		f.Report(field.At, "%s has no value", field.Key)
	default:
		f.Report(v.At, "%s: expected one value", field.Key)
	}
	return "", false
}

// String is the position for a message.
func (p Position) String() string { return fmt.Sprintf("%d:%d", p.Line, p.Column) }
