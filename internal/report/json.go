package report

import (
	"encoding/json"
	"io"
)

// PrintJSON prints a value for machines.
func PrintJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
