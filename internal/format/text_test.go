package format

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
)

func TestText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, want string }{
		{"Müller & Söhne 株式会社 👩‍💻", "Müller & Söhne 株式会社 👩‍💻"},
		{"می\u200cخواهم", "می\u200cخواهم"}, // joiners belong to the word
		{"\x1b]0;title\x07", `\u001b]0;title\u0007`},
		{"line\nsiglake: forged\r\ttab", `line\u000asiglake: forged\u000d\u0009tab`},
		{"\u202egpj.exe\u2066", `\u202egpj.exe\u2066`},
		{"\u009b31m\u007f", `\u009b31m\u007f`},
		{"\x9b31m", `\x9b31m`},
		{"\u2028\ufeff\u00ad", `\u2028\ufeff\u00ad`},
		{"a\U000E0041b", `a\udb40\udc41b`},
	} {
		if got := Text(tt.in); got != tt.want {
			t.Errorf("Text(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if got := Text(Text(tt.in)); got != tt.want {
			t.Errorf("Text of Text(%q) = %q, want %q", tt.in, got, tt.want)
		}
	}
}

// TestFprintf: every kind of argument is escaped, numbers keep their verbs.
func TestFprintf(t *testing.T) {
	t.Parallel()
	type name string
	const hostile = "a\x1b\nb"
	var out bytes.Buffer
	Fprintf(&out, "%s|%s|%v|%v|%v|%s|%03d|%t\n", hostile, name(hostile), errors.New(hostile), []string{hostile}, nil, Lines("x\x1b\n\ty"), 7, true)
	want := `a\u001b\u000ab|a\u001b\u000ab|a\u001b\u000ab|[a\u001b\u000ab]|<nil>|x\u001b` + "\n\ty|007|true\n"
	if out.String() != want {
		t.Errorf("Fprintf wrote %q, want %q", out.String(), want)
	}
}

// TestWriter: whatever the division of the output into writes, nothing that steers a
// terminal passes, and a JSON document means the same.
func TestWriter(t *testing.T) {
	t.Parallel()
	const text = "a\u202eb\u009b\u007f\U000E0041 日本\x1b[2J\nc\td"
	const want = `a\u202eb\u009b\u007f\udb40\udc41 日本\u001b[2J` + "\nc\td"
	for size := 1; size <= len(text); size++ {
		var out bytes.Buffer
		w := NewWriter(&out)
		for rest := text; rest != ""; rest = rest[min(size, len(rest)):] {
			if n, err := w.Write([]byte(rest[:min(size, len(rest))])); err != nil || n != min(size, len(rest)) {
				t.Fatalf("Write gave %d, %v", n, err)
			}
		}
		if out.String() != want {
			t.Errorf("in writes of %d bytes: %q, want %q", size, out.String(), want)
		}
	}

	var out bytes.Buffer
	if err := json.NewEncoder(NewWriter(&out)).Encode(text); err != nil {
		t.Fatal(err)
	}
	var read string
	if err := json.Unmarshal(out.Bytes(), &read); err != nil || read != text {
		t.Errorf("%s reads as %q, %v; want %q", out.Bytes(), read, err, text)
	}
	if Text(out.String()[:out.Len()-1]) != out.String()[:out.Len()-1] {
		t.Errorf("%q holds something to escape", out.String())
	}
}
