package lusha

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
)

// OptOut is the notice that a contact has opted out.
type OptOut struct {
	Contact   string    // the contact's id
	LinkedIn  string    // the address of the profile, as the vendor writes it; empty: none is stated
	Emails    []string  // likewise
	Name      string    // likewise, the full one
	Company   string    // likewise, the name of the employer
	Requested time.Time // when the contact opted out; zero: that cannot be read
}

// ReadOptOut reads the body of a notice; nil: it names no contact.
func ReadOptOut(body []byte) *OptOut {
	o := &OptOut{}
	err := jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		text, _ := jsonscan.ScalarText(value)
		switch name {
		case "contactId":
			o.Contact = text
		case "fullName":
			o.Name = text
		case "companyName":
			o.Company = text
		case "linkedinUrl":
			o.LinkedIn = text
		case "contactOptOutDate":
			o.Requested = parseOptOutTime(text)
		case "datapoints":
			for point := range jsonscan.Elements(value) {
				o.addDatapoint(point)
			}
		}
	})
	if err != nil || o.Contact == "" {
		return nil
	}
	return o
}

func (o *OptOut) addDatapoint(value []byte) {
	kind, text := "", ""
	_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) {
		switch name {
		case "datapointType":
			kind, _ = jsonscan.ScalarText(value)
		case "datapointId":
			text, _ = jsonscan.ScalarText(value)
		}
	})
	if strings.Contains(strings.ToLower(kind), "email") && text != "" { // it may say whose
		o.Emails = append(o.Emails, text)
	}
}

// parseOptOutTime reads a time in UTC with a blank between date and time, or one as elsewhere in the API.
func parseOptOutTime(text string) time.Time {
	if t, err := time.Parse("2006-01-02 15:04:05", text); err == nil { // a fraction may follow
		return t
	}
	return parseHookTime(text)
}
