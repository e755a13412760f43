package lakereport

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/format"
)

// show is a value as people read it. What is missing is said.
func show(k Kind, v any) string {
	if v == nil {
		return missing[k]
	}
	switch k {
	case Count:
		return format.Thousands(v.(int64))
	case Decimal:
		whole, rest, _ := strings.Cut(v.(string), ".")
		n, err := strconv.ParseInt(whole, 10, 64)
		if err != nil {
			return v.(string)
		}
		text := format.Thousands(n) + "." + rest
		if n == 0 && strings.HasPrefix(whole, "-") {
			text = "-" + text
		}
		return text
	case Percent:
		return strconv.FormatFloat(v.(float64), 'f', 1, 64) + " %"
	case Time:
		t, err := time.Parse(time.RFC3339, v.(string))
		if err != nil {
			return v.(string)
		}
		return t.UTC().Format("2006-01-02 15:04")
	}
	return fmt.Sprint(v)
}

// missing is what stands for a value that is missing. Of shares and quotients it is missing if there is
// nothing to divide by.
var missing = map[Kind]string{Text: "none", Count: "unknown", Decimal: "–", Percent: "–", Day: "no date", Time: "no time"}
