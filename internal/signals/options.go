package signals

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
)

// Options is what may be asked about one object.
type Options struct {
	Object           schema.Object
	Signals          []string // keys, without the vendor's "all" pseudo-key
	NewsEventTypes   []string // of a filter that lists nothing, any value may be asked for
	Departments      []string
	Locations        []pipeline.Location
	IntentCategories []string        // of V3
	Notes            []string        // what could not be found out, and why
	Raw              json.RawMessage // the answer that lists the signals, as received, compact
	Clock            *Clock          // nil: the answer bore no date
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

// OptionsV3 asks the same of V3, which has an endpoint for the signal types and,
// about companies, one for the filters and one for the values of each. Only the
// first has to answer: a filter whose values cannot be found out is unlisted,
// and Notes says why. Places are never listed, since they have to be searched
// for.
func (c *Client) OptionsV3(ctx context.Context, object schema.Object) (*Options, error) {
	base := "/v3/" + plural(object) + "/signals/"
	call, err := c.free(ctx, base+"types", nil)
	if err != nil {
		return nil, fmt.Errorf("signal types for %s: %w", object, err)
	}
	o, err := decodeOptions(object, call.Body)
	if err != nil {
		return nil, fmt.Errorf("signal types for %s: %w", object, err)
	}
	o.Clock = clockOf(call)
	if object != schema.Company {
		return o, nil
	}
	names, err := c.filtersV3(ctx, base+"filters")
	if err != nil {
		o.Notes = append(o.Notes, fmt.Sprintf("the filters are not listed: %s", err))
	}
	for _, f := range []struct {
		name string
		to   *[]string
	}{
		{"newsEventTypes", &o.NewsEventTypes},
		{"hiringByDepartments", &o.Departments},
		{"intentCategories", &o.IntentCategories},
	} {
		if !slices.Contains(names, f.name) {
			continue
		}
		if *f.to, err = c.valuesV3(ctx, base+"filters/"+f.name); err != nil {
			o.Notes = append(o.Notes, fmt.Sprintf("the values of %s are not listed: %s", f.name, err))
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("signal filters for %s: %w", object, context.Cause(ctx))
	}
	return o, nil
}

// filtersV3 names the filters whose values can be listed without a search.
func (c *Client) filtersV3(ctx context.Context, path string) ([]string, error) {
	call, err := c.free(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return decodeFilters(call.Body)
}

func decodeFilters(body []byte) (names []string, err error) {
	listed := false
	err = fields(body, func(name string, value json.RawMessage) {
		if name != "availableFilters" {
			return
		}
		listed = true
		for _, text := range offered(value) {
			filter, search := text, "" // a name, unless it is an object
			_ = fields([]byte(text), func(name string, value json.RawMessage) {
				switch name {
				case "filterType":
					filter, _ = textOf(value)
				case "requiresQuery":
					search, _ = textOf(value)
				}
			})
			if search != "true" {
				names = append(names, filter)
			}
		}
	})
	if err == nil && !listed {
		err = fmt.Errorf("the answer lists no filters: %s", shorten(string(body), 200))
	}
	return names, err
}

func (c *Client) valuesV3(ctx context.Context, path string) ([]string, error) {
	call, err := c.free(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return decodeValues(call.Body)
}

// decodeValues reads the values of a filter. Only texts can be sent as such.
func decodeValues(body []byte) (values []string, err error) {
	listed := false
	err = fields(body, func(name string, value json.RawMessage) {
		if name == "values" {
			listed, values = true, offered(value)
		}
	})
	switch odd := slices.IndexFunc(values, func(v string) bool { return len(v) > 0 && (v[0] == '{' || v[0] == '[') }); {
	case err != nil:
		return nil, err
	case !listed:
		return nil, fmt.Errorf("the answer lists no values: %s", shorten(string(body), 200))
	case odd >= 0:
		return nil, fmt.Errorf("a value is not a text: %s", shorten(values[odd], 200))
	}
	return values, nil
}

func decodeOptions(object schema.Object, body []byte) (*Options, error) {
	o := &Options{Object: object}
	listed := false
	err := fields(body, func(name string, value json.RawMessage) {
		switch name {
		case "signals", "signalTypes":
			listed = true
			for _, key := range offered(value) {
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
			o.NewsEventTypes = offered(value)
		case "hiringByDepartments":
			o.Departments = offered(value)
		case "hiringByLocations":
			for _, text := range offered(value) {
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

// offered reads a list of values, however long: what is not in it is refused.
func offered(value json.RawMessage) []string { return texts(value, math.MaxInt) }

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
