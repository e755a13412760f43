package report

import (
	"io"
	"net/url"
	"regexp"
	"strings"

	"github.com/siglake/siglake/internal/format"
)

// JobListing is a job of a job file.
type JobListing struct {
	Name, Command string
	Lists         []string
	Settings      []JobSetting
	Notify        []JobNotification
}

// JobSetting is the value of a flag in a job, and where it comes from.
type JobSetting struct {
	Flag   string
	Values []string
	Origin string
}

// JobNotification is where a job sends notifications: an address without its secret part, or else
// the file that holds it.
type JobNotification struct {
	URL, URLFile string
	On           []string
	Format       string
}

// PrintJobs lists the jobs of a file in its notation, with the origin of each setting.
func PrintJobs(w io.Writer, path string, jobs []JobListing) {
	format.Fprintf(w, "# %s\n", path)
	for _, j := range jobs {
		format.Fprintf(w, "%s:\n", j.Name)
		printSetting(w, JobSetting{Flag: "command", Values: []string{j.Command}})
		if len(j.Lists) > 0 {
			printSetting(w, JobSetting{Flag: "list", Values: j.Lists})
		}
		for _, s := range j.Settings {
			printSetting(w, s)
		}
		if len(j.Notify) > 0 {
			format.Fprintf(w, "  notify:\n")
		}
		for _, n := range j.Notify {
			key, value := "url", n.URL
			if n.URL == "" {
				key, value = "url-file", n.URLFile
			}
			format.Fprintf(w, "  - {%s: %s, on: %s, format: %s}\n", key, yamlValue(value), yamlValues(n.On), n.Format)
		}
	}
}

func printSetting(w io.Writer, s JobSetting) {
	text := s.Flag + ": " + yamlValues(s.Values)
	if s.Origin == "" {
		format.Fprintf(w, "  %s\n", text)
		return
	}
	format.Fprintf(w, "  %-40s # %s\n", text, s.Origin)
}

func yamlValues(values []string) string {
	if len(values) == 1 {
		return yamlValue(values[0])
	}
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = yamlValue(v)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// plainValue is what YAML reads as the same text without quotes.
var plainValue = regexp.MustCompile(`^[\p{L}\p{N}./_][\p{L}\p{N}./_:@+-]*$`)

// yamlValue writes a value as YAML, without a password in an address.
func yamlValue(v string) string {
	if u, err := url.Parse(v); err == nil && u.User != nil {
		v = u.Scheme + "://…@" + u.Host + u.Path
	}
	if plainValue.MatchString(v) && !strings.HasSuffix(v, ":") {
		return v
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(v) + `"`
}
