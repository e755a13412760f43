package lusha

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
)

// parseRate reads the nine rate headers. Their names are in canonical form, which costs no memory.
func parseRate(h http.Header) pipeline.Rate {
	number := func(name string) int64 {
		text := strings.TrimSpace(h.Get(name))
		if text == "" {
			return -1
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	window := func(long, short string) pipeline.Window {
		return pipeline.Window{
			Limit: number("X-Rate-Limit-" + long),
			Used:  number("X-" + short + "-Usage"),
			Left:  number("X-" + short + "-Requests-Left"),
		}
	}
	return pipeline.Rate{Minute: window("Minute", "Minute"), Hour: window("Hourly", "Hourly"), Day: window("Daily", "Daily")}
}

// recordedHeaders are the answer's header fields that a call keeps: rates, waiting times,
// what distinguishes a proxy from the API, and when the API's version ends. Never cookies.
var recordedHeaders = []string{
	"content-encoding", "content-length", "content-type", "date", "deprecation", "link", "location",
	"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "retry-after", "server", "sunset", "via",
	"x-daily-requests-left", "x-daily-usage", "x-hourly-requests-left", "x-hourly-usage",
	"x-minute-requests-left", "x-minute-usage", "x-rate-limit-daily", "x-rate-limit-hourly", "x-rate-limit-minute",
	"x-ratelimit-limit", "x-ratelimit-limit-day", "x-ratelimit-remaining-daily", "x-ratelimit-remaining-day",
	"x-ratelimit-reset-daily", "x-request-id",
}

// canonicalHeaders are the names of recordedHeaders as an http.Header has them.
var canonicalHeaders = func() (names []string) {
	for _, name := range recordedHeaders {
		names = append(names, http.CanonicalHeaderKey(name))
	}
	return names
}()

// encodeHeader writes the kept fields as one JSON object, names in lower case.
func encodeHeader(h http.Header, key Key) []byte {
	var out jsonscan.ObjectBuilder
	for i, name := range recordedHeaders {
		values, limit := h[canonicalHeaders[i]], 256
		if len(values) == 0 {
			continue
		}
		v := values[0]
		if name == "link" { // several fields are one list
			v, limit = strings.Join(values, ", "), 1024
		}
		if v != "" {
			text := key.redact(v)
			out.Add([]byte(name), jsonscan.AppendQuoted(nil, truncateText(text, limit)))
		}
	}
	return out.Build()
}

// decodeHeader reads back what encodeHeader wrote.
func decodeHeader(call *pipeline.Call) http.Header {
	fields := map[string]string{}
	if len(call.Header) == 0 || json.Unmarshal(call.Header, &fields) != nil {
		return nil
	}
	h := make(http.Header, len(fields))
	for name, value := range fields {
		h.Set(name, value)
	}
	return h
}
