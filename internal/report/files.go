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
		var err error
		if asJSON {
			err = e.Encode(f)
		} else { // a list that is cut would leave out rows
			_, err = io.WriteString(w, format.Text(f.Path)+"\n")
		}
		if err != nil {
			return err
		}
	}
	return nil
}
