package report

import (
	"encoding/json"
	"io"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/sinks"
)

// PrintFiles prints the addresses of the files of a generation, one a line, or for machines one object a
// line; table leaves out those of others.
func PrintFiles(w io.Writer, address string, s *sinks.Snapshot, table string, asJSON bool) error {
	e := json.NewEncoder(w)
	for _, f := range s.Files {
		if table != "" && f.Table != table {
			continue
		}
		f.Path = address + "/" + f.Path
		if !asJSON {
			format.Fprintf(w, "%s\n", f.Path)
		} else if err := e.Encode(f); err != nil {
			return err
		}
	}
	return nil
}
