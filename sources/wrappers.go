package sources

import (
	"encoding/base64"
	"net/url"
	"strings"
)

// maxWraps is the maximum number of wrappers around one link: a mail passes through few gateways.
const maxWraps = 5

// unwrapLink follows an address inside a link wrapper (Safelinks, urldefense, a redirect) to the
// target, if the target is in the link; nothing is fetched. via is the host of the first wrapper.
func unwrapLink(a address) (target address, via string) {
	for range maxWraps {
		ways, ok := lookup(sites.wrappers, a.host, firstElement(a.path))
		if !ok || a.mail {
			return a, via
		}
		link := ""
		for _, way := range ways {
			if link = linkTarget(a.path, way); link != "" {
				break
			}
		}
		next, err := parseAddress(link)
		if link == "" || err != nil || next.mail || !strings.Contains(next.host, ".") {
			return a, via
		}
		if via == "" {
			via = a.host
		}
		next.note = a.note
		a = next
	}
	return a, via
}

// linkTarget finds the target in the path and query of a wrapped link; empty if it is not there.
func linkTarget(path, way string) string {
	switch way {
	case "v2":
		return proofpointV2(queryValue(path, "u"))
	case "v3":
		return enclosed(path)
	case "tail":
		return tailTarget(path)
	case "bing": // a1 and base64url
		return decodeBase64(strings.TrimPrefix(queryValue(path, "u"), "a1"))
	case "u64":
		return decodeBase64(queryValue(path, "u"))
	case "RU":
		return searchTarget(path)
	}
	return queryValue(path, way)
}

// queryValue is a parameter of the query or, as some exports have it, of the fragment.
func queryValue(path, name string) string {
	i := strings.IndexAny(path, "?#")
	if i < 0 {
		return ""
	}
	for pair := range strings.FieldsFuncSeq(path[i+1:], func(r rune) bool { return strings.ContainsRune("&?#;", r) }) {
		key, value, ok := strings.Cut(strings.TrimPrefix(pair, "amp;"), "=")
		if !ok || !strings.EqualFold(key, name) || value == "" {
			continue
		}
		if decoded, err := url.QueryUnescape(value); err == nil {
			return strings.TrimSpace(decoded)
		}
		return value
	}
	return ""
}

// proofpointV2 decodes a link of urldefense version 2, which writes - for % and _ for /. Version 1
// has the link as it was.
func proofpointV2(s string) string {
	if strings.Contains(s, "://") {
		return s
	}
	decoded, err := url.PathUnescape(strings.NewReplacer("-", "%", "_", "/").Replace(s))
	if err != nil {
		return ""
	}
	return decoded
}

// enclosed is the link between two pairs of underscores, as urldefense version 3 and Avanan write
// it. Characters of its path may stand further behind; the host is complete.
func enclosed(path string) string {
	_, rest, ok := strings.Cut(path, "__")
	if !ok {
		return ""
	}
	link, _, _ := strings.Cut(strings.TrimLeft(rest, "_"), "__")
	if unescaped, err := url.PathUnescape(link); err == nil {
		link = unescaped
	}
	return link
}

// tailTarget is the last link in a path, after its own beginning: /web/2020/https://acme.com.
func tailTarget(path string) string {
	if unescaped, err := url.PathUnescape(path); err == nil {
		path = unescaped
	}
	lower := strings.ToLower(path)
	for _, scheme := range []string{"https://", "http://", "https:/", "http:/"} {
		if i := strings.Index(lower, scheme); i >= 0 {
			return path[i:]
		}
	}
	if _, rest, ok := strings.Cut(lower, "/s/"); ok { // an AMP page
		return rest
	}
	return ""
}

// searchTarget is the target of a result of Yahoo's search: /RU=https%3a%2f%2facme.com/RK=2.
func searchTarget(path string) string {
	_, rest, ok := strings.Cut(path, "/RU=")
	rest, _, _ = strings.Cut(rest, "/")
	decoded, err := url.PathUnescape(rest)
	if !ok || err != nil {
		return ""
	}
	return decoded
}

func decodeBase64(s string) string {
	s = strings.TrimRight(strings.NewReplacer("+", "-", "/", "_").Replace(s), "=")
	decoded, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || !strings.Contains(string(decoded), ".") {
		return ""
	}
	return string(decoded)
}
