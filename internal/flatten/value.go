package flatten

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/columns"
	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/schema"
)

// value is a JSON value as a column has it.
type value struct {
	set     bool
	text    []byte
	n       int64
	problem string // why the column is null; empty: nothing is wrong
}

// parse parses one JSON value as the type of a column. It is liberal if the meaning is clear (a number
// in quotes, a timestamp for a date); else it describes the problem and leaves the value null.
func (t *texts) parse(c *schema.Column, raw []byte) value {
	switch b := raw[0]; {
	case b == 'n':
		return value{}
	case b == '{' || b == '[' || c.List == schema.ListJSON:
		return t.parseList(c, raw)
	}
	text := t.text(raw)
	switch {
	case c.Host:
		host := t.bareHost(text)
		return value{set: len(host) > 0, text: host}
	case c.Type == schema.String:
		return value{set: true, text: text}
	case c.Type == schema.Int64:
		if n, ok := wholeNumber(text); ok {
			return value{set: true, n: n}
		}
	case c.Type == schema.Double:
		if d, ok := readDecimal(text); ok {
			return value{set: true, n: int64(math.Float64bits(d.float()))}
		}
	case c.Type == schema.Date:
		if day, ok := readDate(text); ok && isPlausible(day) {
			return value{set: true, n: day}
		}
	}
	return parseText(c.Type, strings.TrimSpace(string(text)))
}

// parseText parses the text of a value that is no String.
func parseText(t schema.Type, s string) (v value) {
	if s == "" {
		return value{}
	}
	ok := false
	switch t {
	case schema.Int64:
		v.n, ok = parseInteger(s)
	case schema.Double:
		f, err := strconv.ParseFloat(s, 64)
		v.n, ok = int64(math.Float64bits(f)), err == nil && !math.IsInf(f, 0) && !math.IsNaN(f) && !strings.ContainsAny(s, "xX_")
	case schema.Bool:
		v.n, ok = map[string]int64{"true": 1, "false": 0}[s]
	case schema.Date:
		if v.n, ok = parseDate(s); ok && !isPlausible(v.n) {
			return value{problem: implausibleDate(s)}
		}
	case schema.Time:
		t, err := time.Parse(time.RFC3339Nano, s)
		if err == nil && !isPlausibleYear(t.UTC().Year()) {
			return value{problem: implausibleDate(s)}
		}
		v.n, ok = t.UnixMicro(), err == nil
	}
	if !ok {
		return value{problem: fmt.Sprintf("not a %s: %s", strings.ToLower(t.String()), truncate(s, 60))}
	}
	v.set = true
	return v
}

// isPlausible reports whether a date of a record can be meant. Vendors write 0001-01-01 for no
// date, and pandas and Spark fail on a whole file because of one.
func isPlausible(day int64) bool { return isPlausibleYear(time.Unix(day*86400, 0).UTC().Year()) }

func isPlausibleYear(year int) bool { return minYear <= year && year <= maxYear }

// minYear and maxYear bound the dates of records.
const minYear, maxYear = 1900, 2200

func implausibleDate(s string) string {
	return fmt.Sprintf("%s%d to %d: %s", implausible, minYear, maxYear, truncate(s, 60))
}

// implausible begins the problem of a date that is one, but cannot be meant.
const implausible = "outside "

// parseList parses a list or an object into a String column. For ListJSON, a single value becomes a
// list of one.
func (t *texts) parseList(c *schema.Column, raw []byte) value {
	problemWith := func(raw []byte) string {
		return fmt.Sprintf("not a %s: %s", strings.ToLower(c.Type.String()), truncate(string(raw), 60))
	}
	switch c.List {
	case schema.ListJSON:
		var b bytes.Buffer
		if err := json.Compact(&b, raw); err != nil {
			return value{problem: problemWith(raw)}
		}
		if raw[0] != '[' {
			return value{set: true, text: []byte("[" + b.String() + "]")}
		}
		return value{set: true, text: b.Bytes()}
	case schema.ListJoined:
		var parts []string
		problem := ""
		for e := range jsonscan.Elements(raw) {
			named := e[0] != '{' && e[0] != '['
			if named && !jsonscan.IsNull(e) {
				parts = append(parts, jsonscan.Text(e))
			}
			for key, val := range jsonscan.Members(e) {
				if key == "value" {
					if named = true; !jsonscan.IsNull(val) {
						parts = append(parts, jsonscan.Text(val))
					}
				}
			}
			if !named && problem == "" {
				problem = problemWith(e)
			}
		}
		text := strings.Join(parts, "; ")
		return value{set: text != "", text: []byte(text), problem: problem}
	default:
		return value{problem: problemWith(raw)}
	}
}

// parseInteger parses an integer exactly. It accepts a fraction of zeros and an exponent that
// leaves an integer.
func parseInteger(s string) (int64, bool) {
	if n, err := strconv.ParseInt(s, 10, 64); err == nil {
		return n, true
	}
	mantissa, exponent, hasExponent := strings.Cut(strings.ToLower(s), "e")
	if !strings.ContainsAny(mantissa, "0123456789") {
		return 0, false
	}
	shift := 0
	if hasExponent {
		var err error
		if shift, err = strconv.Atoi(exponent); err != nil || shift < -30 || shift > 30 {
			return 0, false
		}
	}
	integer, fraction, _ := strings.Cut(mantissa, ".")
	digits := integer + fraction
	shift -= len(fraction)
	for ; shift < 0; shift++ {
		if !strings.HasSuffix(digits, "0") {
			return 0, false
		}
		digits = digits[:len(digits)-1]
	}
	n, err := strconv.ParseInt(digits+strings.Repeat("0", shift), 10, 64)
	return n, err == nil
}

// wholeNumber parses an integer of few digits; it leaves all others to parseInteger.
func wholeNumber(text []byte) (n int64, ok bool) {
	digits := text
	if len(digits) > 0 && digits[0] == '-' {
		digits = digits[1:]
	}
	if len(digits) == 0 || len(digits) > 18 {
		return 0, false
	}
	for _, b := range digits {
		if b < '0' || b > '9' {
			return 0, false
		}
		n = 10*n + int64(b-'0')
	}
	if len(digits) < len(text) {
		n = -n
	}
	return n, true
}

// decimal is a number in plain notation, with so few digits that its value is exact.
type decimal struct {
	mantissa int64 // without its sign
	negative bool
	fraction int // digits of the fraction
	integer  int // and before it
}

// maxExactDigits is the number of decimal digits that a float64 holds, whatever they are.
const maxExactDigits = 15

// readDecimal parses a decimal; it leaves all other numbers to strconv.
func readDecimal(text []byte) (d decimal, ok bool) {
	if len(text) > 0 && text[0] == '-' {
		d.negative, text = true, text[1:]
	}
	digits := &d.integer
	for _, b := range text {
		switch {
		case '0' <= b && b <= '9':
			d.mantissa = 10*d.mantissa + int64(b-'0')
			if *digits++; d.integer+d.fraction > maxExactDigits {
				return d, false
			}
		case b == '.' && digits == &d.integer:
			digits = &d.fraction
		default:
			return d, false
		}
	}
	return d, d.integer > 0 && *digits > 0
}

// float is the nearest floating-point number: both operands of the division are exact.
func (d *decimal) float() float64 {
	f := float64(d.mantissa) / powersOfTen[d.fraction]
	if d.negative {
		f = -f
	}
	return f
}

var powersOfTen = [maxExactDigits + 1]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// DateValue is the value of a text that is a plausible date; null if it is none.
func DateValue(s string) columns.Value {
	n, ok := parseDate(s)
	return columns.Value{Set: ok && isPlausible(n), N: n}
}

// parseDate parses a date, or the date of a timestamp, as days since 1970.
func parseDate(s string) (int64, bool) {
	if len(s) > 10 && (s[10] == 'T' || s[10] == ' ') {
		s = s[:10]
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return 0, false
	}
	return t.Unix() / 86400, true // midnight UTC: divides exactly, before 1970 too
}

// readDate is parseDate for the usual spelling; it leaves all others to parseDate.
func readDate(text []byte) (day int64, ok bool) {
	if len(text) < 10 || len(text) > 10 && text[10] != 'T' && text[10] != ' ' || text[4] != '-' || text[7] != '-' {
		return 0, false
	}
	year, ok1 := wholeNumber(text[:4])
	month, ok2 := wholeNumber(text[5:7])
	date, ok3 := wholeNumber(text[8:10])
	if !ok1 || !ok2 || !ok3 || year < minYear || year > maxYear || month < 1 || month > 12 || date < 1 || date > 28 && date > daysIn(year, month) {
		return 0, false
	}
	if month -= 2; month < 1 { // the year begins in March, so that a leap day is its last
		month += 12
		year--
	}
	return 365*year + year/4 - year/100 + year/400 + 367*month/12 + date - daysTo1970, true
}

// daysTo1970 is what readDate counts up to 1970-01-01.
const daysTo1970 = 719499

func daysIn(year, month int64) int64 {
	switch {
	case month == 2 && year%4 == 0 && (year%100 != 0 || year%400 == 0):
		return 29
	case month == 2:
		return 28
	case month == 4, month == 6, month == 9, month == 11:
		return 30
	}
	return 31
}

// bareHost is schema.BareHost.
func (t *texts) bareHost(text []byte) []byte {
	for _, b := range text {
		if !isHostByte[b] {
			return t.keep(schema.BareHost(string(text)))
		}
	}
	host := bytes.TrimRight(text, ".")
	if rest, found := bytes.CutPrefix(host, []byte("www.")); found && bytes.IndexByte(rest, '.') >= 0 {
		return rest
	}
	return host
}

// isHostByte marks the bytes of a host that schema.BareHost does not change.
var isHostByte = func() (t [256]bool) {
	for _, b := range []byte("abcdefghijklmnopqrstuvwxyz0123456789-_.") {
		t[b] = true
	}
	return t
}()
