package sinks

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"
	"math"

	"github.com/siglake/siglake/schema"
)

// digest is the SHA-256 of a file's rows: what they say, not how they are
// encoded. It covers the table's name, version, column names and types, then
// every value in row order. Each value is preceded by a byte that says whether
// it is null, and each text by its length, so that no two contents look alike.
// All NaN count as one. Numbers are little-endian.
type digest struct {
	hash hash.Hash
	buf  []byte
	rows uint64
}

func newDigest(t *schema.Table) *digest {
	d := &digest{hash: sha256.New(), buf: make([]byte, 0, 64<<10)}
	d.text([]byte("siglake rows 1"))
	d.text([]byte(t.Name))
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(t.Version))
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(len(t.Columns)))
	for _, c := range t.Columns {
		d.text([]byte(c.Name))
		d.text([]byte(c.Type.String()))
	}
	return d
}

func (d *digest) text(s []byte) {
	d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(len(s)))
	d.buf = append(d.buf, s...)
}

func (d *digest) add(r row) {
	for i := range r.b.cols {
		c := &r.b.cols[i]
		if c.null(r.i) {
			d.buf = append(d.buf, 0)
			continue
		}
		d.buf = append(d.buf, 1)
		switch c.typ {
		case schema.String:
			d.text(c.str(r.i))
		case schema.Int64, schema.Time:
			d.buf = binary.LittleEndian.AppendUint64(d.buf, uint64(c.long(r.i)))
		case schema.Double:
			v := c.real(r.i)
			if v != v {
				v = math.NaN()
			}
			d.buf = binary.LittleEndian.AppendUint64(d.buf, math.Float64bits(v))
		case schema.Date:
			d.buf = binary.LittleEndian.AppendUint32(d.buf, uint32(c.day(r.i)))
		case schema.Bool:
			b := byte(0)
			if c.bit(r.i) {
				b = 1
			}
			d.buf = append(d.buf, b)
		}
	}
	d.rows++
	if len(d.buf) >= 32<<10 {
		d.hash.Write(d.buf)
		d.buf = d.buf[:0]
	}
}

// sum ends the digest and gives it in hexadecimal.
func (d *digest) sum() string {
	d.buf = binary.LittleEndian.AppendUint64(d.buf, d.rows)
	d.hash.Write(d.buf)
	return hex.EncodeToString(d.hash.Sum(nil))
}
