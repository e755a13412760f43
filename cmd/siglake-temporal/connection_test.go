package main

import (
	"encoding/pem"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestConnection: a key and the files of TLS switch TLS on, and a key reaches the options from a file, too.
func TestConnection(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	defer server.Close()
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	key, empty := write("key", []byte("secret\n")), write("empty", nil)
	for _, c := range []struct {
		name           string
		c              connection
		variable       string
		hasTLS, hasKey bool
		wantErr        string
	}{
		{"plain", connection{}, "", false, false, ""},
		{"TLS", connection{tls: true}, "", true, false, ""},
		{"a server name", connection{tlsName: "x"}, "", true, false, ""},
		{"an authority", connection{caFile: authority}, "", true, false, ""},
		{"a key in a file", connection{apiKeyFile: key}, "", true, true, ""},
		{"a key in a variable", connection{}, "secret", true, true, ""},
		{"no authority in the file", connection{caFile: empty}, "", false, false, "no certificate"},
		{"no file of a key", connection{apiKeyFile: filepath.Join(dir, "none")}, "", false, false, "--api-key-file"},
		{"a certificate without a key", connection{certFile: authority}, "", false, false, "belong together"},
		{"no certificate in the file", connection{certFile: empty, keyFile: key}, "", false, false, "--tls-cert-path"},
	} {
		t.Setenv(apiKeyVariable, c.variable)
		o, err := c.c.options(slog.New(slog.DiscardHandler))
		if c.wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), c.wantErr) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: %v, want %q", c.name, err, c.wantErr)
			}
			continue
		}
		if err != nil || (o.ConnectionOptions.TLS != nil) != c.hasTLS || (o.Credentials != nil) != c.hasKey {
			t.Errorf("%s: TLS %t, key %t, %v, want %t and %t", c.name, o.ConnectionOptions.TLS != nil, o.Credentials != nil, err, c.hasTLS, c.hasKey)
		}
	}
}
