// Package manual holds the manual pages that siglake help TOPIC prints.
//
// A page is a Markdown file in this folder, named for its topic. Its title is
// "# topic: summary". Tests execute its blocks of code: console blocks here,
// against the built program and a simulator, and sql blocks in
// internal/crosscheck, in DuckDB. Render lays a page out for a terminal.
package manual

import (
	"embed"
	"slices"
	"strings"
)

//go:embed *.md
var files embed.FS

// Page is one manual page.
type Page struct {
	Topic   string // its name on the command line
	Summary string // one line for a list of topics
	Text    string // Markdown
}

// order is the reading order.
var order = []string{"lists", "money", "nights", "deliveries", "receiving", "jobs", "deploy", "shards", "temporal", "lake", "sql", "contract", "sheets", "reports", "iceberg", "s3", "api", "simulator", "exit-codes", "glossary"}

// Pages gives every page, in reading order.
func Pages() []Page {
	pages := make([]Page, 0, len(order))
	for _, topic := range order {
		if p, ok := Lookup(topic); ok {
			pages = append(pages, p)
		}
	}
	return pages
}

// Lookup gives the page of a topic.
func Lookup(topic string) (Page, bool) {
	if !slices.Contains(order, topic) {
		return Page{}, false
	}
	text, err := files.ReadFile(topic + ".md")
	if err != nil {
		return Page{}, false
	}
	return Page{Topic: topic, Summary: summary(string(text)), Text: string(text)}, true
}

// summary is what the title says behind the topic.
func summary(text string) string {
	title, _, _ := strings.Cut(text, "\n")
	_, summary, _ := strings.Cut(title, ": ")
	return summary
}
