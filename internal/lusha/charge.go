package lusha

import (
	"encoding/json"
	"slices"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
)

// chargeFields collects everything in a document that states the charge.
type chargeFields struct {
	present   bool
	malformed bool
	text      string
	credits   int64
	seen      [3]bool
}

// chargeNames in the order of look-up; the name decides nothing else, since
// names that disagree make the charge unknown.
var chargeNames = [3]string{"creditCharged", "creditsCharged", "billing.creditsCharged"}

// addField takes one field that states the charge. Every one must be a whole
// number, none may stand twice, and all must agree: a charge that can be read
// in two ways is not known.
func (c *chargeFields) addField(name string, value json.RawMessage) {
	n, whole := jsonscan.WholeNumber(value)
	index := slices.Index(chargeNames[:], name)
	if !whole || c.seen[index] || c.present && c.credits != n {
		c.malformed = true
	}
	c.seen[index] = true
	c.present = true
	c.credits = n
	if c.text != "" {
		c.text += ", "
	}
	c.text = truncateText(c.text+name+": "+truncateText(string(value), 80), 200)
}

// addBilling takes the billing object; its other members go to the unknown fields.
func (l *chargeFields) addBilling(value json.RawMessage, unknown *jsonscan.ObjectBuilder) {
	if len(value) == 0 || string(value) == "null" {
		return
	}
	if value[0] != '{' {
		l.addField(chargeNames[2], value)
		l.malformed = true
		return
	}
	var rest jsonscan.ObjectBuilder
	c := jsonscan.Cursor{Doc: value}
	c.Enter('{')
	for first := true; c.HasNext(first, '}'); first = false {
		name := string(c.ReadName())
		v := c.ReadValue()
		if name == "creditsCharged" {
			l.addField(chargeNames[2], v)
		} else {
			rest.Add([]byte(name), v)
		}
	}
	if unknown != nil && !rest.IsEmpty() {
		unknown.Add([]byte("billing"), rest.Build())
	}
}

func (c *chargeFields) result() pipeline.Charge {
	if !c.present || c.malformed {
		return pipeline.Charge{Text: c.text}
	}
	return pipeline.StatedCharge(c.credits, c.text)
}
