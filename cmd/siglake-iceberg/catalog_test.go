package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/apache/iceberg-go/table"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/schema"
)

// TestSecretProperties: secrets are refused on the command line, also those in headers and addresses; other settings are not.
func TestSecretProperties(t *testing.T) {
	t.Parallel()
	env := app.Env{Getenv: func(string) string { return "" }}
	for property, refused := range map[string]bool{
		"token=x": true, "credential=x": true, "header.Authorization=x": true, "header.Proxy-Authorization=x": true, "header.x-api-key=x": true, "header.Cookie=x": true,
		"s3.secret-access-key=x": true, "glue.access-key-id=x": true, "adls.connection-string.account=x": true, "adls.auth.shared-key.account.key=x": true, "gcs.jsonkey=x": true,
		"db.passwd=x": true, "oauth2-server-uri=https://id:secret@example.com": true,
		"rest.authorization-url=https://example.com/auth": false, "header.X-Tenant=x": false, "glue.id=123": false, "scope=catalog": false, "oauth2-server-uri=https://id@example.com": false,
	} {
		o := catalogOptions{Kind: "rest", URI: "https://example.com", Properties: []string{property}}
		if _, err := o.properties(&env, "/lake"); (err != nil) != refused {
			t.Errorf("--catalog-property %s: %v, want it refused: %v", property, err, refused)
		}
	}
	o := catalogOptions{Kind: "rest", URI: "https://user:password@example.com"}
	if _, err := o.properties(&env, "/lake"); err == nil {
		t.Error("an address with a password is accepted")
	}
}

// TestAPIKey: the key of a gateway before a REST catalogue comes from a variable or a file, and goes with each request.
func TestAPIKey(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ variable, file, want string }{{"of-the-variable", "", "of-the-variable"}, {"of-the-variable", file, "of-the-file"}, {"", "", ""}} {
		var got []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("x-api-key"))
			_, _ = io.WriteString(w, `{"defaults": {}, "overrides": {}}`)
		}))
		env := app.Env{Getenv: func(name string) string { return map[string]string{apiKeyVariable: tt.variable}[name] }}
		o := catalogOptions{Kind: "rest", URI: server.URL, APIKeyFile: tt.file}
		c, err := o.connect(t.Context(), &env, "/lake")
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.CheckNamespaceExists(t.Context(), table.Identifier{"x"})
		server.Close()
		if len(got) < 2 || slices.ContainsFunc(got, func(key string) bool { return key != tt.want }) {
			t.Errorf("variable %q, file %q: requests with %q, want %q each", tt.variable, tt.file, got, tt.want)
		}
	}
	for name, o := range map[string]catalogOptions{"missing": {APIKeyFile: file + "x"}, "two lines": {}} {
		o.Kind, o.URI = "rest", "https://example.com"
		env := app.Env{Getenv: func(string) string { return "a\nb" }}
		if _, err := o.properties(&env, "/lake"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestAddresses: files are named by URIs, also those on a drive of Windows.
func TestAddresses(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"/data/lake": "file:///data/lake/a", "C:/lake": "file:///C:/lake/a", "s3://bucket/lake": "s3://bucket/lake/a",
	} {
		r := replayer{address: address}
		if got := r.fileAddress("a"); got != want {
			t.Errorf("fileAddress of %s = %s, want %s", address, got, want)
		}
		if err := checkAddress(address); err != nil {
			t.Error(err)
		}
	}
	for address, want := range map[string]string{
		"file:///C:/lake/c.db": "C:/lake/c.db", "C:/c.db": "C:/c.db", "file:///data/c.db": "/data/c.db", "c.db": "c.db", "/C:": "C:", "/Cx/c.db": "/Cx/c.db",
	} {
		if got := localPath(address); got != want {
			t.Errorf("localPath(%s) = %s, want %s", address, got, want)
		}
	}
}

// TestPauses: a replay waits between attempts, longer each time and at random, and not at all when it is stopped.
func TestPauses(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	replayed(t, 0, "--lake", lake)
	r := open(t, lake)
	replica, err := r.ensure(t.Context(), schema.Runs)
	if err != nil {
		t.Fatal(err)
	}
	var pauses []time.Duration
	r.wait = func(_ context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return nil
	}
	attempts := 0
	conflict := func() error { attempts++; return table.ErrCommitFailed }
	err = r.retry(t.Context(), replica, conflict)
	var typed *app.Error
	if !errors.As(err, &typed) || typed.Kind != app.KindLocked || attempts != maxAttempts || len(pauses) != maxAttempts-1 {
		t.Errorf("%d attempts with %d pauses, %v; want %d attempts, and the error of a lock", attempts, len(pauses), err, maxAttempts)
	}
	different := map[time.Duration]bool{}
	for i, d := range pauses {
		if d < 0 || d > min(firstPause<<i, maxPause) {
			t.Errorf("pause %d is %v", i+1, d)
		}
		different[d] = true
	}
	if len(different) < 2 {
		t.Errorf("the pauses are %v", pauses)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r.wait = func(ctx context.Context, _ time.Duration) error {
		cancel()
		return sleep(ctx, time.Hour)
	}
	attempts = 0
	if err := r.retry(ctx, replica, conflict); !errors.Is(err, context.Canceled) || attempts != 1 {
		t.Errorf("a replay that is stopped ends with %v after %d attempts", err, attempts)
	}
}

// TestUnfinishedRebuild: a lake whose rebuild was interrupted is not shown.
func TestUnfinishedRebuild(t *testing.T) {
	t.Parallel()
	lake := filepath.Join(t.TempDir(), "lake")
	night(t, lake, "2026-11-20")
	if err := os.WriteFile(filepath.Join(lake, app.StateDir, "rebuild.json"), []byte(`{"rebuild_of":"/old"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	replayed(t, app.ExitIntegrity, "--lake", lake)
}
