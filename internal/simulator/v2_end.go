package simulator

import (
	"net/http"
	"strconv"
	"strings"
)

// v2Prefix begins every path of the older version of the API.
const v2Prefix = "/api/signals/"

// announceV2End says when the older version ends, as RFC 8594 and RFC 9745 have it.
func (x *exchange) announceV2End() {
	end := x.config.V2Ends
	if end.IsZero() {
		return
	}
	announced := dayOf(end).monthsBack(6).midnight()
	if x.now.Before(announced) {
		return
	}
	h := x.w.Header()
	h.Set("Deprecation", "@"+strconv.FormatInt(announced.Unix(), 10))
	h.Set("Sunset", dayOf(end).midnight().Format(http.TimeFormat))
	h.Set("Link", `<https://docs.signals.example/v3-migration>; rel="sunset"; type="text/html"`)
}

// isV2Over reports whether the request is one to the older version after its end.
func (x *exchange) isV2Over() bool {
	return !x.config.V2Ends.IsZero() && strings.HasPrefix(x.path, v2Prefix) && dayOf(x.now) >= dayOf(x.config.V2Ends)
}
