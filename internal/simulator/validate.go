package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonObject is a decoded object that keeps the order of its members.
type jsonObject struct {
	keys   []string
	values []any
}

func (o *jsonObject) get(key string) (any, bool) {
	for i, k := range o.keys {
		if k == key {
			return o.values[i], true
		}
	}
	return nil, false
}

const maxDepth = 16

// decodeStrict reads one JSON document: objects as *jsonObject, lists as []any, numbers as
// json.Number. Unlike encoding/json it refuses a repeated key, because the meaning of such a
// request is ambiguous.
func decodeStrict(body []byte) (any, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("body is not valid UTF-8")
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	v, err := decodeValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("body holds more than one JSON value")
	}
	return v, nil
}

func decodeValue(dec *json.Decoder, depth int) (any, error) {
	token, err := dec.Token()
	if err != nil {
		return nil, errors.New("body is not valid JSON")
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return token, nil
	}
	if depth == maxDepth {
		return nil, errors.New("body is nested too deeply")
	}
	if delim == '[' {
		list := []any{}
		for dec.More() {
			v, err := decodeValue(dec, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		if _, err := dec.Token(); err != nil {
			return nil, errors.New("body is not valid JSON")
		}
		return list, nil
	}
	obj := &jsonObject{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, errors.New("body is not valid JSON")
		}
		key, ok := token.(string)
		if !ok {
			return nil, errors.New("body is not valid JSON")
		}
		if _, repeated := obj.get(key); repeated {
			return nil, fmt.Errorf("property %s is given twice", key)
		}
		v, err := decodeValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		obj.keys, obj.values = append(obj.keys, key), append(obj.values, v)
	}
	if _, err := dec.Token(); err != nil {
		return nil, errors.New("body is not valid JSON")
	}
	return obj, nil
}

// checker collects what is wrong with a request; each message names the field at fault.
type checker struct {
	errors     []string
	errorCount int // includes those beyond the list's capacity
	nameErrors int // of these, unusable full names
}

// A request can be wrong in a hundred places; the answer does not list them all.
const maxErrors = 20

func (c *checker) addError(field, format string, args ...any) {
	c.errorCount++
	if len(c.errors) < maxErrors {
		c.errors = append(c.errors, strings.TrimSpace(field+" "+fmt.Sprintf(format, args...)))
	}
}

// readObject checks that v is an object without keys other than the allowed ones.
func (c *checker) readObject(field string, v any, allowed ...string) *jsonObject {
	obj, ok := v.(*jsonObject)
	if !ok {
		c.addError(field, "must be an object")
		return nil
	}
	for _, key := range obj.keys {
		if !slices.Contains(allowed, key) {
			c.addError(joinPath(field, key), "is not a known property")
		}
	}
	return obj
}

func joinPath(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}

// readText reads an optional text. The second result is false when it is missing or wrong.
func (c *checker) readText(field string, obj *jsonObject, key string) (string, bool) {
	v, ok := obj.get(key)
	if !ok {
		return "", false
	}
	s, ok := v.(string)
	switch {
	case !ok:
		c.addError(joinPath(field, key), "must be a string")
	case strings.TrimSpace(s) == "":
		c.addError(joinPath(field, key), "must not be empty")
	case len(s) > 2048:
		c.addError(joinPath(field, key), "must not be longer than 2048 bytes")
	default:
		return s, true
	}
	return "", false
}

// readList reads a list with a minimum number of items.
func (c *checker) readList(field string, obj *jsonObject, key string, required bool, minItems int) []any {
	v, ok := obj.get(key)
	field = joinPath(field, key)
	if !ok {
		if required {
			c.addError(field, "is required")
		}
		return nil
	}
	items, ok := v.([]any)
	if !ok {
		c.addError(field, "must be a list")
		return nil
	}
	if len(items) < minItems {
		c.addError(field, "must contain at least %d items", minItems)
	}
	return items
}

// maxBatch is the largest number of items in one request.
const maxBatch = 100

// readBatch reads the list of items of a request: at least one, at most a hundred.
func (c *checker) readBatch(s *Server, field string, obj *jsonObject, key string) []any {
	items := c.readList(field, obj, key, true, 1)
	if len(items) <= maxBatch {
		return items
	}
	if s.switches.Over100 == "refuse" {
		c.addError(joinPath(field, key), "must contain no more than %d items", maxBatch)
		return nil
	}
	return items[:maxBatch]
}

// parseInteger reads an integer written without fraction or exponent.
func parseInteger(v any) (int64, bool) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, false
	}
	i, err := strconv.ParseInt(n.String(), 10, 64)
	return i, err == nil
}
