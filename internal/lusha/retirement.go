package lusha

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/pipeline"
)

// Retirement is what answers say about the end of the version of the API that gave them.
type Retirement struct {
	Sunset     time.Time // from then on the version may no longer answer (RFC 8594); zero: not stated
	Deprecated time.Time // from then on it should not be used (RFC 9745); zero: not stated
	Link       string    // address of a page about it; empty: not stated
}

// isStated reports whether an answer says anything about an end.
func (r *Retirement) isStated() bool { return !r.Sunset.IsZero() || !r.Deprecated.IsZero() }

// parseRetirement reads the header fields about an end. A field that is malformed says nothing.
func parseRetirement(h http.Header, base *url.URL) Retirement {
	var r Retirement
	for _, value := range h.Values("Sunset") {
		if t, err := http.ParseTime(strings.TrimSpace(value)); err == nil && r.Sunset.IsZero() && isPlausible(t) {
			r.Sunset = t.UTC()
		}
	}
	for _, value := range h.Values("Deprecation") {
		if t, ok := parseFieldDate(value); ok && r.Deprecated.IsZero() && isPlausible(t) {
			r.Deprecated = t
		}
	}
	if r.isStated() {
		r.Link = findLink(h.Values("Link"), base, "sunset", "deprecation")
	}
	return r
}

// isPlausible reports whether an end could lie at a time. Others are errors of a server.
func isPlausible(t time.Time) bool { return t.Year() >= 2000 && t.Year() < 2200 }

// parseFieldDate reads a date of structured fields (RFC 9651): @ and seconds since 1970. Parameters
// mean nothing here.
func parseFieldDate(value string) (time.Time, bool) {
	item, _, _ := strings.Cut(value, ";")
	digits, isDate := strings.CutPrefix(strings.TrimSpace(item), "@")
	if !isDate || len(digits) > 15 || strings.HasPrefix(digits, "+") {
		return time.Time{}, false
	}
	seconds, err := strconv.ParseInt(digits, 10, 64)
	return time.Unix(seconds, 0).UTC(), err == nil
}

// maxLink is the length up to which an address is shown.
const maxLink = 512

// findLink returns the address of the first web link (RFC 8288) with one of the relations, the
// relations in order of preference.
func findLink(fields []string, base *url.URL, relations ...string) string {
	for _, relation := range relations {
		for _, field := range fields {
			for target, relations := range webLinks(field) {
				if slices.Contains(relations, relation) {
					if address := resolveLink(base, target); address != "" {
						return address
					}
				}
			}
		}
	}
	return ""
}

// resolveLink gives a link's absolute address; empty when people cannot open it.
func resolveLink(base *url.URL, target string) string {
	u, err := base.Parse(target)
	if err != nil || u.User != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || len(u.String()) > maxLink {
		return ""
	}
	return u.String()
}

// webLinks yields the targets of a Link field, each with its relations in lower case. It ends at the
// first fault.
func webLinks(field string) func(yield func(target string, relations []string) bool) {
	return func(yield func(string, []string) bool) {
		for rest := field; ; {
			rest = strings.TrimLeft(rest, " \t,")
			if !strings.HasPrefix(rest, "<") {
				return
			}
			target, after, closed := strings.Cut(rest[1:], ">")
			if !closed {
				return
			}
			relations, after, ok := linkRelations(after)
			if !ok || !yield(target, relations) {
				return
			}
			rest = after
		}
	}
}

// linkRelations reads a link's parameters up to the next link.
func linkRelations(text string) (relations []string, rest string, ok bool) {
	for {
		text = strings.TrimLeft(text, " \t")
		if text == "" || text[0] == ',' {
			return relations, text, true
		}
		if text[0] != ';' {
			return nil, "", false
		}
		text = strings.TrimLeft(text[1:], " \t")
		end := strings.IndexAny(text, "=;, \t")
		if end < 0 {
			return relations, "", true // a name without a value
		}
		name := text[:end]
		text = strings.TrimLeft(text[end:], " \t")
		value := ""
		if after, hasValue := strings.CutPrefix(text, "="); hasValue {
			if value, text, ok = linkValue(strings.TrimLeft(after, " \t")); !ok {
				return nil, "", false
			}
		}
		if strings.EqualFold(name, "rel") && relations == nil {
			relations = strings.Fields(strings.ToLower(value))
		}
	}
}

// linkValue reads a parameter's value, in quotes or without.
func linkValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ";, \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// versionOf is the version of the API that serves a path, if only one does.
func versionOf(path string) (v pipeline.APIVersion, only bool) {
	switch {
	case strings.HasPrefix(path, "/api/signals/"):
		return pipeline.V2, true
	case strings.HasPrefix(path, "/v3/"):
		return pipeline.V3, true
	}
	return "", false
}

// noteRetirement keeps what an answer says about the end of its version. The first statement of an
// end is passed on.
func (c *Client) noteRetirement(path string, h http.Header) {
	version, only := versionOf(path)
	stated := parseRetirement(h, c.base)
	if !only || !stated.isStated() {
		return
	}
	c.retirementMu.Lock()
	before, known := c.retirements[version]
	isNew := !known || before.Sunset.IsZero() && !stated.Sunset.IsZero()
	if isNew {
		c.retirements[version] = stated
	}
	c.retirementMu.Unlock()
	if isNew && c.onRetirement != nil {
		c.onRetirement(version, stated)
	}
}

// Retirement is what answers said about the end of a version; zero: nothing.
func (c *Client) Retirement(version pipeline.APIVersion) Retirement {
	c.retirementMu.Lock()
	defer c.retirementMu.Unlock()
	return c.retirements[version]
}
