package sources

import (
	"bytes"
	"context"
	"fmt"
	"testing"
)

// BenchmarkCSV reads a plain list of 200,000 lines, each with a name and a domain.
func BenchmarkCSV(b *testing.B) {
	const lines = 200_000
	var list bytes.Buffer
	list.WriteString("name,domain\n")
	tlds := []string{"com", "co.uk", "de", "com.br", "io", "org"}
	for i := range lines {
		fmt.Fprintf(&list, "Acme Holdings %d,acme-%d.%s\n", i, i, tlds[i%len(tlds)])
	}
	b.SetBytes(int64(list.Len()))
	b.ReportAllocs()
	for b.Loop() {
		l, err := Open(context.Background(), "-", Options{Stdin: bytes.NewReader(list.Bytes())})
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for a, err := range l.Accounts(context.Background()) {
			if err != nil || a.Reject != nil {
				b.Fatalf("line %d: %v %v", a.Line, a.Reject, err)
			}
			n++
		}
		if n != lines {
			b.Fatalf("read %d accounts, want %d", n, lines)
		}
	}
	b.ReportMetric(float64(lines)*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}
