package signals

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Options is what may be asked about one object.
type Options struct {
	Object         schema.Object
	Signals        []string // keys, without the vendor's "all" pseudo-key
	NewsEventTypes []string
	Departments    []string
	Locations      []pipeline.Location
	Raw            json.RawMessage // the answer as received, compact
	Clock          *Clock          // nil: the answer bore no date
}

// Clock is how far the server's clock is ahead of ours, as the date of one answer
// tells: Ahead, give or take Within.
type Clock struct{ Ahead, Within time.Duration }

func clockOf(call *pipeline.Call) *Clock {
	stated, err := http.ParseTime(headerOf(call).Get("Date"))
	if err != nil {
		return nil
	}
	// It was written at some moment between request and answer, and names the
	// second that had begun.
	middle := call.Sent.Add(call.Duration / 2)
	return &Clock{Ahead: stated.Add(time.Second / 2).Sub(middle), Within: call.Duration/2 + time.Second/2}
}

// Options asks which signal types and filters the API knows today. It is free
// of charge, repeated when it fails, and ends with ctx. The error is a
// *RefusalError when the API refused.
func (c *Client) Options(ctx context.Context, object schema.Object) (*Options, error) {
	call, err := c.free(ctx, "/api/signals/filters/"+string(object), nil)
	if err != nil {
		return nil, fmt.Errorf("signal options for %s: %w", object, err)
	}
	o, err := decodeOptions(object, call.Body)
	if err != nil {
		return nil, fmt.Errorf("signal options for %s: %w", object, err)
	}
	o.Clock = clockOf(call)
	return o, nil
}

func decodeOptions(object schema.Object, body []byte) (*Options, error) {
	o := &Options{Object: object}
	listed := false
	err := fields(body, func(name string, value json.RawMessage) {
		switch name {
		case "signals", "signalTypes":
			listed = true
			for _, key := range list(value) {
				if key != allSignals && !slices.Contains(o.Signals, key) {
					o.Signals = append(o.Signals, key)
				}
			}
		case "filterOptions":
			o.filters(value)
		}
	})
	if err != nil {
		return nil, err
	}
	if !listed {
		return nil, fmt.Errorf("the answer lists no signals: %s", shorten(string(body), 200))
	}
	d := document(body)
	o.Raw = d.value()
	return o, nil
}

func (o *Options) filters(value json.RawMessage) {
	_ = fields(value, func(name string, value json.RawMessage) { // null and the like hold no filters
		switch name {
		case "newsEventTypes":
			o.NewsEventTypes = list(value)
		case "hiringByDepartments":
			o.Departments = list(value)
		case "hiringByLocations":
			for _, text := range list(value) {
				place := pipeline.Location{Country: text}
				_ = fields([]byte(text), func(name string, value json.RawMessage) { // else it is a country's name
					switch name {
					case "country":
						place.Country, _ = textOf(value)
					case "state":
						place.State, _ = textOf(value)
					}
				})
				o.Locations = append(o.Locations, place)
			}
		}
	})
}

// fields walks the members of a document that is one object.
func fields(body []byte, member func(name string, value json.RawMessage)) error {
	c := document(body)
	if c.open('{'); c.err != nil {
		return c.err
	}
	for first := true; c.more(first, '}'); first = false {
		name := string(c.name())
		if value := c.value(); c.err == nil {
			member(name, value)
		}
	}
	c.end()
	return c.err
}

// freeAttempts is how often a free request is made before it counts as failed.
const freeAttempts = 4

// free makes a request that costs nothing, and repeats it on anything that may
// pass; turn, if there is one, waits before each. It ends with ctx, at once.
func (c *Client) free(ctx context.Context, path string, turn func(context.Context) bool) (*pipeline.Call, error) {
	for try := 1; ; try++ {
		if ctx.Err() != nil || turn != nil && !turn(ctx) {
			return nil, context.Cause(ctx)
		}
		call := &pipeline.Call{Attempt: try, Endpoint: http.MethodGet + " " + path}
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		c.exchange(limited, http.MethodGet, path, nil, call)
		cancel()
		if c.count != nil && call.Outcome != pipeline.NotCharged { // otherwise it never left
			c.count(1)
		}
		v := verdictOf(call)
		if call.Status/100 == 2 && call.Problem == "" && v.Status == call.Status {
			return call, nil // whether it is what was asked for, its decoder says
		}
		if call.Status/100 == 2 && call.Problem != "" {
			v.Message = call.Problem
		}
		longest := time.Second << (try - 1)
		again := max(time.Duration(rand.Float64()*float64(longest)), v.Wait)
		deadline, ends := ctx.Deadline()
		inVain := ends && time.Until(deadline) < again // there will be no time for another
		if try == freeAttempts || !passing(v.Class) || again > time.Minute || inVain {
			return nil, &RefusalError{v}
		}
		if !wait(ctx, again) {
			return nil, context.Cause(ctx)
		}
	}
}

// passing reports whether a free request may succeed a moment later.
func passing(c Class) bool {
	switch c {
	case ClassUnsent, ClassLost, ClassGaveUp, ClassServer, ClassRateBurst, ClassProxy, ClassUnknown, ClassOK:
		return true
	}
	return false
}
