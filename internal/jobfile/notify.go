package jobfile

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Notification is an address that hears how a job fares.
type Notification struct {
	At      Position
	URL     string   // a secret; empty: in URLFile
	URLFile string   // as written
	On      []string // events
	Format  string
}

// Events are what a notification can be about, and Formats what it can look like; the first
// format is the default.
var (
	Events  = []string{"start", "success", "failure", "warning"}
	Formats = []string{"healthchecks", "json", "slack"}
)

// notificationKeys are the keys of a notification.
var notificationKeys = []string{"url", "url-file", "on", "format"}

// Notifications reads a list of notifications.
func (f *File) Notifications(field Field) (all []Notification) {
	if field.Value.Kind != List {
		f.Report(field.At, "%s: expected a list; each item has url or url-file, on, and format", field.Key)
		return nil
	}
	for _, item := range field.Value.Items {
		if item.Kind != Mapping {
			f.Report(item.At, "%s: expected the keys %s", field.Key, strings.Join(notificationKeys, ", "))
			continue
		}
		all = append(all, f.notification(item))
	}
	return all
}

func (f *File) notification(item Value) Notification {
	n := Notification{At: item.At, Format: Formats[0]}
	for _, field := range item.Fields {
		switch field.Key {
		case "url":
			n.URL, _ = f.Text(field)
			if err := CheckURL(n.URL); n.URL != "" && err != nil {
				f.Report(field.At, "%v", err)
			}
		case "url-file":
			n.URLFile, _ = f.Text(field)
		case "format":
			n.Format, _ = f.Text(field)
			if !slices.Contains(Formats, n.Format) {
				f.Report(field.Value.At, "unknown format %q%s: expected %s", n.Format, f.suggest(n.Format, Formats), strings.Join(Formats, ", "))
			}
		case "on":
			n.On = f.Strings(field)
			for _, event := range n.On {
				if !slices.Contains(Events, event) {
					f.Report(field.Value.At, "unknown event %q%s: expected %s", event, f.suggest(event, Events), strings.Join(Events, ", "))
				}
			}
		default:
			f.ReportKey(field, "key", notificationKeys)
		}
	}
	if (n.URL == "") == (n.URLFile == "") {
		f.Report(item.At, "a notification needs url or url-file, one of the two")
	}
	if len(n.On) == 0 { // all
		n.On = Events
		if n.Format != Formats[0] { // of which a start interests monitors only
			n.On = Events[1:]
		}
	}
	return n
}

// CheckURL finds what is wrong with the address of a notification, without repeating it.
func CheckURL(address string) error {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return fmt.Errorf("the address of a notification must begin with https:// or http:// and name a host")
	}
	return nil
}

// Address is where a notification goes, for people: of an address, its scheme and host.
func (n *Notification) Address() string {
	if n.URL == "" {
		return "address in " + n.URLFile
	}
	return PublicURL(n.URL)
}

// PublicURL is the part of an address that is no secret: scheme and host.
func PublicURL(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" {
		return "…"
	}
	return u.Scheme + "://" + u.Host + "/…"
}
