package receiver

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"github.com/siglake/siglake/internal/inbox"
	"github.com/siglake/siglake/internal/jsonscan"
)

// classified is a delivery, and the id that its acknowledgement repeats.
type classified struct {
	inbox.Delivery
	echo string
}

// envelope is what of a body says what it is.
type envelope struct {
	id, signal         string
	hasData, isFree    bool
	contact, optOutDay string
}

// classify finds out what a body with a right signature is. One that it cannot read is a delivery, too:
// it may have been charged.
func classify(body []byte) classified {
	e, err := readEnvelope(body)
	d := classified{echo: e.id}
	d.ID = e.id
	switch {
	case err != nil:
		d.Kind, d.ID, d.echo = inbox.Unreadable, "", ""
	case e.optOutDay != "" && e.contact != "" && e.id == "":
		d.Kind, d.ID = inbox.OptOut, "opt-out-"+digestText([]byte(e.contact+"\x00"+e.optOutDay))
	case e.hasData && e.signal != "" && (e.isFree || e.id == ""):
		d.Kind = inbox.Test
	case e.hasData && e.signal != "":
		d.Kind = inbox.Event
	default:
		d.Kind = inbox.Unreadable
	}
	if d.ID == "" || len(d.ID) > maxID {
		d.ID = "sha256-" + digestText(body)
	}
	return d
}

func digestText(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readEnvelope reads the members of a delivery that say what it is. Names are compared exactly.
func readEnvelope(body []byte) (e envelope, err error) {
	err = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		text, isText := jsonscan.ScalarText(value)
		switch {
		case name == "data":
			e.hasData = len(value) > 0 && value[0] == '{'
		case name == "billing":
			e.isFree = statesNoCharge(value)
		case !isText:
		case name == "id":
			e.id = text
		case name == "type", name == "signal_type", name == "signalType":
			e.signal = text
		case name == "contactId":
			e.contact = text
		case name == "contactOptOutDate":
			e.optOutDay = text
		}
	})
	return e, err
}

// statesNoCharge reports whether an account of the charge states that it is 0. One that states nothing
// does not.
func statesNoCharge(billing []byte) (free bool) {
	for name, value := range jsonscan.Members(billing) {
		if name == "creditsCharged" {
			n, ok := jsonscan.WholeNumber(value)
			free = ok && n == 0
		}
	}
	return free
}
