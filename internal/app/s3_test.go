package app

import (
	"os"
	"testing"
)

func TestParseSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int64{"1": 1, "64KiB": 64 << 10, "256MiB": 256 << 20, " 2 GiB ": 2 << 30, "1.5MiB": -1, "MiB": -1, "": -1, "1MB": -1, "99999999999GiB": -1} {
		got, ok := parseSize(text)
		if !ok {
			got = -1
		}
		if got != want {
			t.Errorf("parseSize(%q) = %d, %t, want %d", text, got, ok, want)
		}
	}
}

// TestEndpointOf: only a lake on S3 has the endpoint of the variables.
func TestEndpointOf(t *testing.T) {
	const endpoint = "http://store.example:9000"
	t.Setenv("AWS_ENDPOINT_URL_S3", endpoint)
	env := &Env{Getenv: os.Getenv}
	for uri, want := range map[string]string{"s3://bucket/lake": endpoint, "lake": "", "file:///lake": ""} {
		if got := new(S3Options).endpointOf(env, uri); got != want {
			t.Errorf("endpointOf(%q) = %q, want %q", uri, got, want)
		}
	}
}
