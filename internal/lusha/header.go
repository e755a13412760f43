package lusha

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/jsonscan"
	"github.com/siglake/siglake/pipeline"
)

// parseRate reads the nine rate headers.
func parseRate(h http.Header) pipeline.Rate {
	number := func(name string) int64 {
		n, err := strconv.ParseInt(strings.TrimSpace(h.Get(name)), 10, 64)
		if err != nil || n < 0 {
			return -1
		}
		return n
	}
	window := func(long, short string) pipeline.Window {
		return pipeline.Window{
			Limit: number("x-rate-limit-" + long),
			Used:  number("x-" + short + "-usage"),
			Left:  number("x-" + short + "-requests-left"),
		}
	}
	return pipeline.Rate{Minute: window("minute", "minute"), Hour: window("hourly", "hourly"), Day: window("daily", "daily")}
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

// encodeHeader writes the kept fields as one JSON object, names in lower case.
func encodeHeader(h http.Header, key Key) []byte {
	var out jsonscan.ObjectBuilder
	for _, name := range recordedHeaders {
		v, limit := h.Get(name), 256
		if name == "link" { // several fields are one list
			v, limit = strings.Join(h.Values(name), ", "), 1024
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
