package sources

import (
	"bytes"
	"compress/gzip"
	"io"
	"unicode/utf8"

	"github.com/klauspost/compress/zstd"
)

// sampleSize is the number of bytes at the beginning of a list that decide how to read it.
const sampleSize = 64 << 10

// maxWindow bounds the memory that a zstd frame may demand. It admits everything up to "zstd
// --long=27".
const maxWindow = 128 << 20

// The encodings of a list.
const (
	utf8Name    = "utf-8"
	utf16leName = "utf-16le"
	utf16beName = "utf-16be"
	cp1252Name  = "windows-1252"
)

// decompress recognises gzip and zstd by content, whatever the name of the file. Both continue over
// concatenated members. Nothing is read before it is needed, so a decompression bomb runs into the
// limits of the record reader like any long line.
func decompress(stored io.Reader) (plain io.ReadCloser, name string, err error) {
	p := &preview{r: stored}
	head, _ := p.peek(4)
	switch {
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(p)
		if err != nil {
			return nil, "", &Error{Problem: "the gzip header is damaged: " + err.Error(), Expected: "a complete gzip file",
				Fix: "fetch or export the file again", Err: err}
		}
		return z, "gzip", nil
	// The second form is a skippable frame, which may precede the data.
	case bytes.HasPrefix(head, []byte("\x28\xb5\x2f\xfd")), len(head) == 4 && head[0]&0xf0 == 0x50 && string(head[1:]) == "\x2a\x4d\x18":
		z, err := zstd.NewReader(p, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, "", err
		}
		return z.IOReadCloser(), "zstd", nil
	}
	return io.NopCloser(p), "", nil
}

// decodeText converts the bytes of a list to UTF-8 without a byte order mark and names the
// encoding. UTF-8 is passed on unchanged: the record reader rejects single lines that are not
// valid.
func decodeText(p *preview, wanted string) (*preview, string, error) {
	head, _ := p.peek(sampleSize)
	if f, foreign := binaryFormat(head); foreign {
		return nil, "", f.refuse()
	}
	name, bomSize := encodingFromBOM(head)
	switch {
	case wanted != "":
		_, known, ok := namedEncoding(wanted, name)
		if !ok {
			return nil, "", &Error{Problem: "unknown encoding " + wanted, Expected: "utf-8, windows-1252, or any other name that browsers know, such as shift_jis or windows-1251"}
		}
		if bomSize > 0 && known != name {
			return nil, "", &Error{Problem: "begins with the byte order mark of " + name, Expected: known,
				Fix: "omit the encoding, so that it is detected"}
		}
		name = known
	case name == "":
		var err error
		if name, err = guessEncoding(p); err != nil {
			return nil, "", err
		}
	}
	p.head = p.head[bomSize:]
	if name == utf8Name {
		return p, name, nil
	}
	e, _, _ := namedEncoding(name, "")
	return &preview{r: e.NewDecoder().Reader(p)}, name, nil
}

// encodingFromBOM reads the byte order mark and returns its length.
func encodingFromBOM(head []byte) (name string, bomSize int) {
	switch {
	case bytes.HasPrefix(head, []byte("\xef\xbb\xbf")):
		return utf8Name, 3
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return utf16leName, 2
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return utf16beName, 2
	}
	return "", 0
}

// guessUTF16 recognises ASCII text in UTF-16 without a byte order mark; empty for anything else.
func guessUTF16(head []byte) string {
	var zeros [2]int
	for i, b := range head {
		if b == 0 {
			zeros[i&1]++
		}
	}
	half := len(head) / 2
	switch {
	case half > 1 && zeros[1] > half/4 && zeros[0] <= half/20:
		return utf16leName
	case half > 1 && zeros[0] > half/4 && zeros[1] <= half/20:
		return utf16beName
	}
	return ""
}

// partialRuneLen is the length of the incomplete character at the end of a sample.
func partialRuneLen(b []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(b); n++ {
		if utf8.RuneStart(b[len(b)-n]) {
			if utf8.FullRune(b[len(b)-n:]) {
				return 0
			}
			return n
		}
	}
	return 0
}
