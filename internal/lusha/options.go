package lusha

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"net/http"
	"slices"
	"time"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/internal/policy"
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
	Warnings         []string        // what could not be listed, and why
	Raw              json.RawMessage // the answer that lists the signals, as received, compact
	ClockOffset      *ClockOffset    // nil: the answer bore no date
}

// ClockOffset is how far the server's clock is ahead of ours, by the date of one answer:
// Ahead, plus or minus Within.
type ClockOffset struct{ Ahead, Tolerance time.Duration }

func clockOffsetOf(call *pipeline.Call) *ClockOffset {
	stated, err := http.ParseTime(decodeHeader(call).Get("Date"))
	if err != nil {
		return nil
	}
	// It was written at some moment between request and answer, and names the
	// second that had begun.
	midpoint := call.Sent.Add(call.Duration / 2)
	return &ClockOffset{Ahead: stated.Add(time.Second / 2).Sub(midpoint), Tolerance: call.Duration/2 + time.Second/2}
}

// FetchOptions asks which signal types and filters the API knows today. It is free
// of charge, repeated when it fails, and ends with ctx. The error is a
// *RefusalError when the API refused.
func (c *Client) FetchOptions(ctx context.Context, object schema.Object) (*Options, error) {
	call, err := c.getFree(ctx, "/api/signals/filters/"+string(object), nil)
	if err != nil {
		return nil, fmt.Errorf("signal options for %s: %w", object, err)
	}
	o, err := decodeOptions(object, call.Body)
	if err != nil {
		return nil, fmt.Errorf("signal options for %s: %w", object, err)
	}
	o.ClockOffset = clockOffsetOf(call)
	return o, nil
}

// FetchOptionsV3 asks the same of V3, which has an endpoint for the signal types and,
// about companies, one for the filters and one for the values of each. Only the
// first has to answer: a filter without a list of values is left out,
// and Warnings says why. Places are never listed, since they have to be searched
// for.
func (c *Client) FetchOptionsV3(ctx context.Context, object schema.Object) (*Options, error) {
	base := "/v3/" + pluralName(object) + "/signals/"
	call, err := c.getFree(ctx, base+"types", nil)
	if err != nil {
		return nil, fmt.Errorf("signal types for %s: %w", object, err)
	}
	o, err := decodeOptions(object, call.Body)
	if err != nil {
		return nil, fmt.Errorf("signal types for %s: %w", object, err)
	}
	o.ClockOffset = clockOffsetOf(call)
	if object != schema.Company {
		return o, nil
	}
	names, err := c.fetchFiltersV3(ctx, base+"filters")
	if err != nil {
		o.Warnings = append(o.Warnings, fmt.Sprintf("the filters are not listed: %s", err))
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
		if *f.to, err = c.fetchValuesV3(ctx, base+"filters/"+f.name); err != nil {
			o.Warnings = append(o.Warnings, fmt.Sprintf("the values of %s are not listed: %s", f.name, err))
		}
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("signal filters for %s: %w", object, context.Cause(ctx))
	}
	return o, nil
}

// fetchFiltersV3 names the filters with values that can be listed without a search.
func (c *Client) fetchFiltersV3(ctx context.Context, path string) ([]string, error) {
	call, err := c.getFree(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return decodeFilterNames(call.Body)
}

func decodeFilterNames(body []byte) (names []string, err error) {
	listed := false
	err = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		if name != "availableFilters" {
			return
		}
		listed = true
		for _, text := range readAllTexts(value) {
			filter, search := text, "" // a name, unless it is an object
			_ = jsonscan.WalkObject([]byte(text), func(name string, value json.RawMessage) {
				switch name {
				case "filterType":
					filter, _ = jsonscan.ScalarText(value)
				case "requiresQuery":
					search, _ = jsonscan.ScalarText(value)
				}
			})
			if search != "true" {
				names = append(names, filter)
			}
		}
	})
	if err == nil && !listed {
		err = fmt.Errorf("the answer lists no filters: %s", truncateText(string(body), 200))
	}
	return names, err
}

func (c *Client) fetchValuesV3(ctx context.Context, path string) ([]string, error) {
	call, err := c.getFree(ctx, path, nil)
	if err != nil {
		return nil, err
	}
	return decodeValues(call.Body)
}

// decodeValues reads the values of a filter. Only texts can be sent as such.
func decodeValues(body []byte) (values []string, err error) {
	listed := false
	err = jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		if name == "values" {
			listed, values = true, readAllTexts(value)
		}
	})
	switch invalid := slices.IndexFunc(values, func(v string) bool { return len(v) > 0 && (v[0] == '{' || v[0] == '[') }); {
	case err != nil:
		return nil, err
	case !listed:
		return nil, fmt.Errorf("the answer lists no values: %s", truncateText(string(body), 200))
	case invalid >= 0:
		return nil, fmt.Errorf("a value is not a text: %s", truncateText(values[invalid], 200))
	}
	return values, nil
}

func decodeOptions(object schema.Object, body []byte) (*Options, error) {
	o := &Options{Object: object}
	listed := false
	err := jsonscan.WalkObject(body, func(name string, value json.RawMessage) {
		switch name {
		case "signals", "signalTypes":
			listed = true
			for _, key := range readAllTexts(value) {
				if key != allSignals && !slices.Contains(o.Signals, key) {
					o.Signals = append(o.Signals, key)
				}
			}
		case "filterOptions":
			o.decodeFilters(value)
		}
	})
	if err != nil {
		return nil, err
	}
	if !listed {
		return nil, fmt.Errorf("the answer lists no signals: %s", truncateText(string(body), 200))
	}
	d := jsonscan.NewCursor(body)
	o.Raw = d.ReadValue()
	return o, nil
}

func (o *Options) decodeFilters(value json.RawMessage) {
	_ = jsonscan.WalkObject(value, func(name string, value json.RawMessage) { // null and the like hold no filters
		switch name {
		case "newsEventTypes":
			o.NewsEventTypes = readAllTexts(value)
		case "hiringByDepartments":
			o.Departments = readAllTexts(value)
		case "hiringByLocations":
			for _, text := range readAllTexts(value) {
				place := pipeline.Location{Country: text}
				_ = jsonscan.WalkObject([]byte(text), func(name string, value json.RawMessage) { // else it is a country's name
					switch name {
					case "country":
						place.Country, _ = jsonscan.ScalarText(value)
					case "state":
						place.State, _ = jsonscan.ScalarText(value)
					}
				})
				o.Locations = append(o.Locations, place)
			}
		}
	})
}

// readAllTexts reads a list of values, however long: what is not in it is refused.
func readAllTexts(value json.RawMessage) []string { return readTextsUpTo(value, math.MaxInt) }

// maxFreeAttempts is how often a free request is made before it counts as failed.
const maxFreeAttempts = 4

// getFree makes a request that costs nothing, and repeats it after any failure that
// may be temporary. It calls acquire, unless nil, before each attempt. It returns
// as soon as ctx ends.
func (c *Client) getFree(ctx context.Context, path string, acquire func(context.Context) bool) (*pipeline.Call, error) {
	for try := 1; ; try++ {
		if ctx.Err() != nil || acquire != nil && !acquire(ctx) {
			return nil, context.Cause(ctx)
		}
		call := &pipeline.Call{Attempt: try, Endpoint: http.MethodGet + " " + path}
		limited, cancel := context.WithTimeout(ctx, c.timeout)
		c.sendRequest(limited, http.MethodGet, path, nil, call, bodyReader{limit: maxFreeAnswer})
		cancel()
		if c.onFreeRequest != nil && call.Outcome != pipeline.NotCharged { // otherwise it never left
			c.onFreeRequest(1)
		}
		v := classifyCall(call)
		isAnswer := call.Status/100 == 2 && call.Problem == "" && v.Status == call.Status
		// A refusal has a date, too. It may be that of a machine on the way, so an answer's counts more.
		if offset := clockOffsetOf(call); offset != nil && (isAnswer || c.clockOffset.Load() == nil) {
			c.clockOffset.Store(offset)
		}
		if isAnswer {
			return call, nil // whether it is what was asked for, its decoder says
		}
		if call.Status/100 == 2 && call.Problem != "" {
			v.Message = call.Problem
		}
		maxDelay := time.Second << (try - 1)
		delay := max(time.Duration(rand.Float64()*float64(maxDelay)), v.RetryAfter)
		deadline, ends := ctx.Deadline()
		tooLate := ends && time.Until(deadline) < delay // there will be no time for another
		if try == maxFreeAttempts || !isTransient(v.Class) || delay > time.Minute || tooLate {
			return nil, &RefusalError{v}
		}
		if !policy.Sleep(ctx, delay) {
			return nil, context.Cause(ctx)
		}
	}
}

// isTransient reports whether a free request may succeed a moment later.
func isTransient(c Class) bool {
	switch c {
	case ClassUnsent, ClassLost, ClassTimedOut, ClassServer, ClassRateBurst, ClassProxy, ClassUnknown, ClassOK:
		return true
	}
	return false
}
