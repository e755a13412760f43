package pipeline

import (
	"regexp"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
)

// KeptColumn is a column of a list that accounts.extra holds, with the narrowest type that all of its
// cells have. Empty cells have any type.
type KeptColumn struct {
	Name string   `json:"name"`
	Type KeptType `json:"type,omitempty"` // empty: every cell is empty
	// Of numbers: the most digits before and after the decimal point.
	Digits int `json:"digits,omitempty"`
	Scale  int `json:"scale,omitempty"`
}

// KeptType is the type of the cells of a kept column.
type KeptType string

// The types. What could lose a digit or a zero as a number is a text: 007, 1,000 and 20 digits are.
const (
	KeptInteger KeptType = "integer" // at most maxKeptDigits digits
	KeptDecimal KeptType = "decimal" // with digits after the point: at most maxKeptDigits on either side
	KeptDate    KeptType = "date"    // YYYY-MM-DD
	KeptText    KeptType = "text"
)

const (
	maxKeptDigits  = 18
	maxKeptColumns = 2000 // of which a run states the type
)

var keptNumber = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(?:\.([0-9]+))?$`)

// keptCell is the type of one cell.
func keptCell(text string) (c KeptColumn) {
	switch m := keptNumber.FindStringSubmatch(text); {
	case text == "":
	case m != nil && text != "-0" && len(m[1]) <= maxKeptDigits && len(m[2]) <= maxKeptDigits:
		c.Type, c.Digits, c.Scale = KeptInteger, len(m[1]), len(m[2])
		if c.Scale > 0 {
			c.Type = KeptDecimal
		}
	case isKeptDate(text):
		c.Type = KeptDate
	default:
		c.Type = KeptText
	}
	return c
}

func isKeptDate(text string) bool {
	_, err := time.Parse(time.DateOnly, text)
	return err == nil
}

// widen makes the type one that other cells of the column have, too.
func (c *KeptColumn) widen(o KeptColumn) {
	isNumber := func(t KeptType) bool { return t == KeptInteger || t == KeptDecimal }
	switch {
	case o.Type == "":
	case c.Type == "":
		c.Type, c.Digits, c.Scale = o.Type, o.Digits, o.Scale
	case isNumber(c.Type) && isNumber(o.Type):
		c.Digits, c.Scale = max(c.Digits, o.Digits), max(c.Scale, o.Scale)
		if c.Scale > 0 {
			c.Type = KeptDecimal
		}
	case c.Type != o.Type:
		c.Type, c.Digits, c.Scale = KeptText, 0, 0
	}
}

// KeptColumns collects columns by their names. The zero value is empty.
type KeptColumns struct {
	list []KeptColumn // in the order of their first occurrence
	at   map[string]int
}

// Add adds a column, or widens the one of the same name.
func (k *KeptColumns) Add(c KeptColumn) {
	i, ok := k.at[c.Name]
	switch {
	case ok:
		k.list[i].widen(c)
		return
	case len(k.list) == maxKeptColumns:
		return
	case k.at == nil:
		k.at = map[string]int{}
	}
	k.at[c.Name] = len(k.list)
	k.list = append(k.list, c)
}

// List are the columns in the order in which they were first added; nil: there is none.
func (k *KeptColumns) List() []KeptColumn { return k.list }

// addCells adds the cells of one line, as Account.Kept has them.
func (k *KeptColumns) addCells(kept string) {
	if kept == "" {
		return
	}
	for name, raw := range jsonscan.Members([]byte(kept)) {
		c := keptCell(jsonscan.Text(raw))
		c.Name = strings.Clone(name)
		k.Add(c)
	}
}
