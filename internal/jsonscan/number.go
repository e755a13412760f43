package jsonscan

import (
	"encoding/json"
	"math"
	"strconv"
)

// WholeNumber reads a JSON number that is a whole, non-negative number of
// 64 bits, exactly: 3, 3.0 and 30e-1 are three; 0.5, -1 and "3" are not whole
// numbers. No floating point is involved.
func WholeNumber(value json.RawMessage) (n int64, ok bool) {
	c := Cursor{Doc: value}
	if len(value) == 0 || !isDigit(value[0]) {
		return 0, false
	}
	if c.skipNumber(); c.Err != nil || c.pos != len(value) {
		return 0, false
	}
	digits := make([]byte, 0, len(value))
	point, exponent := 0, 0
	seen := false
	for i, b := range value {
		if b == 'e' || b == 'E' {
			e, err := strconv.Atoi(string(value[i+1:]))
			if err != nil {
				// Beyond any number of credits, unless it scales nothing.
				e = math.MaxInt32
				if value[i+1] == '-' {
					e = -e
				}
			}
			exponent = max(-math.MaxInt32, min(math.MaxInt32, e))
			break
		}
		if b == '.' {
			seen = true
			continue
		}
		if seen {
			point++
		}
		digits = append(digits, b)
	}
	for len(digits) > 0 && digits[0] == '0' {
		digits = digits[1:]
	}
	if len(digits) == 0 {
		return 0, true
	}
	for digits[len(digits)-1] == '0' {
		digits = digits[:len(digits)-1]
		exponent++
	}
	exponent -= point
	if exponent < 0 || len(digits)+exponent > 19 {
		return 0, false
	}
	for range exponent {
		digits = append(digits, '0')
	}
	n, err := strconv.ParseInt(string(digits), 10, 64)
	return n, err == nil
}
