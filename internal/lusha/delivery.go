package lusha

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// UnreadableDelivery is the type of a delivery that holds no event that can be read. It is an event of a type
// that the catalogue does not have, so that nothing that may have been charged is lost.
const UnreadableDelivery = "unreadableDelivery"

// maxType is the length of a type in bytes from which on it cannot be one.
const maxType = 200

// Delivery is what the body of a delivery says.
type Delivery struct {
	Type         string // of the event, as the catalogue spells it if it has the type
	Entity       schema.Entity
	Subscription string // empty: it states none
	Charge       pipeline.Charge
	events       []pipeline.RawEvent
	aliases      []string
	unknown      json.RawMessage
	warnings     []string
}

// ReadDelivery reads the body of a delivery. What cannot be read is an event of the type UnreadableDelivery.
func ReadDelivery(body []byte) *Delivery {
	if cursor, ok := jsonscan.NewPlainCursor(body); ok {
		if e := (deliveryReader{Cursor: cursor}); e.read() {
			return e.finish(body)
		}
	}
	e := deliveryReader{Cursor: jsonscan.NewCursor(body)}
	if !e.read() {
		return &Delivery{
			Type: UnreadableDelivery, Entity: schema.Entity{Object: schema.Company},
			events: []pipeline.RawEvent{unreadable(body, "the delivery is no JSON object")},
		}
	}
	return e.finish(body)
}

// deliveryReader reads the document of a delivery.
type deliveryReader struct {
	jsonscan.Cursor
	signalType, entityType, entityID, subscription string
	data                                           json.RawMessage
	note                                           string // about the repair of data
	charge                                         chargeFields
	unknown                                        jsonscan.ObjectBuilder
	warnings                                       []string
}

// read walks the document, and reports whether it is valid.
func (e *deliveryReader) read() bool {
	if e.PeekByte() != '{' {
		return false
	}
	e.Enter('{')
	for first := true; e.HasNext(first, '}'); first = false {
		name := e.ReadName()
		if e.Err != nil {
			return false
		}
		switch string(name) {
		case "id", "timestamp": // the inbox has them
			e.SkipValue()
		case "type", "signal_type", "signalType":
			e.readText(name, &e.signalType)
		case "entityType":
			e.readText(name, &e.entityType)
		case "entityId":
			e.readText(name, &e.entityID)
		case "subscriptionId", "subscription_id":
			e.readText(name, &e.subscription)
		case "data":
			e.readData(name)
		case "creditCharged", "creditsCharged":
			e.charge.addField(string(name), e.ReadValue())
		case "billing":
			e.charge.addBilling(e.ReadValue(), &e.unknown)
		default:
			e.unknown.Add(name, e.ReadValue())
		}
	}
	e.ExpectEnd()
	return e.Err == nil
}

// readText reads a text that a delivery states once.
func (e *deliveryReader) readText(name []byte, into *string) {
	value := e.ReadValue()
	if e.Err != nil || jsonscan.IsNull(value) {
		return
	}
	switch text, ok := jsonscan.ScalarText(value); {
	case ok && *into == "":
		*into = text
	case !ok || *into != text:
		e.unknown.Add(name, value)
		e.warnings = appendWarning(e.warnings, "%s cannot be read, or differs from what the delivery says before", name)
	}
}

func (e *deliveryReader) readData(name []byte) {
	start := e.Offset()
	value := e.ReadValue()
	if e.Err != nil {
		return
	}
	if e.data != nil {
		e.unknown.Add(name, value)
		return
	}
	e.data, e.note = value, repairNote(e.CountRepairs(start))
}

// finish makes the delivery of a document.
func (e *deliveryReader) finish(body []byte) *Delivery {
	d := &Delivery{Type: e.signalType, Subscription: e.subscription, Charge: e.charge.result()}
	if s, ok := schema.LookupSignal(d.Type); ok {
		d.Type = s.Key
	}
	entry := entry{}
	entry.reply.Warnings = e.warnings
	if e.data != nil && d.Type != "" && len(d.Type) <= maxType {
		eventList{&entry, d.Type, []byte("data")}.add(e.data, e.note)
	}
	d.events = entry.reply.Events
	switch {
	case d.Type == "" || len(d.Type) > maxType:
		d.events = []pipeline.RawEvent{unreadable(body, "the delivery states no type, or none that can be one")}
	case len(d.events) == 0:
		d.events = []pipeline.RawEvent{unreadable(body, fmt.Sprintf("the delivery of type %q holds no event", truncateText(d.Type, 80)))}
	}
	if d.events[0].Type == UnreadableDelivery {
		d.Type = UnreadableDelivery
	}
	e.identify(d)
	for name, value := range jsonscan.Members(entry.unknown.Build()) {
		e.unknown.Add([]byte(name), value)
	}
	d.unknown, d.warnings = e.unknown.Build(), entry.reply.Warnings
	return d
}

// identify says which entity the delivery is about: the one that the subscription names, else that of the
// event.
func (e *deliveryReader) identify(d *Delivery) {
	switch object := schema.Object(strings.ToLower(e.entityType)); object {
	case schema.Contact, schema.Company:
		d.Entity.Object = object
	default:
		s, _ := schema.LookupSignal(d.Type)
		if d.Entity.Object = s.Object; s.Object == "" {
			d.Entity.Object = schema.Company
		}
	}
	if d.Type != UnreadableDelivery {
		identifyFromEvent(d.events[0].Raw, &d.Entity)
	}
	if stated := d.Entity.ID; e.entityID != "" {
		d.Entity.ID = e.entityID
		d.aliases = appendAlias(nil, d.Entity.ID, stated)
	}
}

// unreadable is the event of a delivery that holds none. Its record is the delivery, or has it as a text.
func unreadable(body []byte, note string) pipeline.RawEvent {
	event := pipeline.RawEvent{Type: UnreadableDelivery, Note: note}
	c := jsonscan.NewCursor(body)
	if document := c.ReadValue(); c.Err == nil && document[0] == '{' {
		if c.ExpectEnd(); c.Err == nil {
			event.Raw = document
			return event
		}
	}
	var b jsonscan.ObjectBuilder
	b.Add([]byte("body"), jsonscan.AppendQuoted(nil, strings.ToValidUTF8(string(body), "\uFFFD")))
	event.Raw = b.Build()
	return event
}

// decodeDelivery reads the delivery that a call stands for. The vendor charges for it when it arrives, and the
// body states the charge. A call without a body is one that was not recorded: the inbox has the delivery.
func decodeDelivery(call *pipeline.Call) []pipeline.ItemReply {
	if call.Status/100 != 2 {
		call.Outcome = pipeline.NotCharged
		return []pipeline.ItemReply{{Status: schema.Deferred, Reason: "not recorded", CallID: call.ID}}
	}
	d := ReadDelivery(call.Body)
	call.Outcome, call.Charge, call.Problem = pipeline.Charged, d.Charge, ""
	call.UnknownFields, call.Warnings = d.unknown, nil
	return []pipeline.ItemReply{{
		Status: schema.Enriched, CallID: call.ID, Entity: d.Entity, Events: d.events, Aliases: d.aliases, Warnings: d.warnings,
	}}
}
