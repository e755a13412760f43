package bucket

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/smithy-go/logging"
	"github.com/google/go-cmp/cmp"

	"github.com/siglake/siglake/internal/bucket/buckettest"
)

// startFront puts a front end before a store, which changes requests and answers.
func startFront(t *testing.T, s *buckettest.Store, request func(*http.Request), answer func(*http.Response)) *buckettest.Store {
	t.Helper()
	to, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host // it is signed
			request(r.Out)
		},
		ModifyResponse: func(r *http.Response) error {
			answer(r)
			return nil
		},
	})
	t.Cleanup(server.Close)
	front := *s
	front.URL = server.URL
	return &front
}

// TestFrontEnd: a front end that changes Accept-Encoding, and marks ETags as those of
// compressed answers, changes neither signatures nor conditions.
func TestFrontEnd(t *testing.T) {
	for _, etag := range []string{`W/%s`, `%s`, `%.33s-gzip"`, `W/%.33s--gzip"`, `%.33s;gzip"`, `%.33s-df"`} {
		t.Run(etag, func(t *testing.T) {
			var mu sync.Mutex
			var sent []string
			front := startFront(t, buckettest.Start(t), func(r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				sent = append(sent, r.Header.Get("Accept-Encoding"))
				if strings.Contains(r.Header.Get("Authorization"), "accept-encoding") {
					t.Errorf("%s %s signs Accept-Encoding", r.Method, r.URL.Path)
				}
				if m := r.Header.Get("If-Match"); strings.HasPrefix(m, "W/") || strings.Contains(m, "gzip") {
					t.Errorf("%s %s states If-Match %s, which the store does not know", r.Method, r.URL.Path, m)
				}
				r.Header.Set("Accept-Encoding", "gzip, identity;q=0.5")
			}, func(r *http.Response) {
				if e := r.Header.Get("ETag"); len(e) == 34 { // an MD5 in quotes, not that of an upload in parts
					r.Header.Set("ETag", fmt.Sprintf(etag, e))
				}
			})
			b := openBucket(t, front)
			if err := b.ProbeConditions(t.Context(), "probe"); err != nil {
				t.Fatalf("ProbeConditions() = %v", err)
			}
			if err := b.Create(t.Context(), "o", []byte("one")); err != nil {
				t.Fatal(err)
			}
			_, version, err := b.Get(t.Context(), "o")
			if err != nil {
				t.Fatal(err)
			}
			o, err := b.Stat(t.Context(), "o")
			if err != nil || o.ETag != version {
				t.Errorf("Stat() = %q, %v; want %q as Get says", o.ETag, err, version)
			}
			for listed, err := range b.List(t.Context(), "o") {
				if err != nil || strings.Trim(listed.ETag, `"`) != strings.Trim(version, `"`) {
					t.Errorf("List() = %q, %v; want %q as Get says", listed.ETag, err, version)
				}
			}
			body, err := b.ReadRange(t.Context(), o, 1, -1)
			if err != nil {
				t.Fatal(err)
			}
			if data, err := io.ReadAll(body); string(data) != "ne" || err != nil {
				t.Errorf("ReadRange() = %q, %v", data, err)
			}
			_ = body.Close()
			large := randomBytes(minPartSize + 1)
			if err := errors.Join(b.Swap(t.Context(), "o", version, []byte("two")), b.Upload(t.Context(), "p", bytes.NewReader(large), int64(len(large)))); err != nil {
				t.Error(err)
			}
			if err := b.Swap(t.Context(), "o", version, []byte("three")); !errors.Is(err, ErrChanged) {
				t.Errorf("Swap() of an old version = %v, want %v", err, ErrChanged)
			}
			if i := slices.IndexFunc(sent, func(s string) bool { return s != "identity" }); i >= 0 {
				t.Errorf("Accept-Encoding %q was sent, want identity", sent[i])
			}
		})
	}
}

// TestListedKeys: keys with characters that XML cannot express are listed, whether or not
// the store encodes keys.
func TestListedKeys(t *testing.T) {
	keys := []string{"a folder/a\x01b", "a folder/a b+c%41", "a folder/naïve/\u202e", "a folder/%zz"}
	for _, encodes := range []bool{true, false} {
		t.Run(fmt.Sprint(encodes), func(t *testing.T) {
			want := keys
			if !encodes {
				want = keys[1:] // the first cannot be listed
			}
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Query().Get("encoding-type") != "url" {
					t.Error("the listing does not ask for encoded keys")
				}
				fmt.Fprint(w, `<ListBucketResult>`)
				if encodes {
					fmt.Fprint(w, `<EncodingType>url</EncodingType>`)
				}
				for _, key := range want {
					if encodes {
						key = strings.ReplaceAll(url.QueryEscape(key), "%2F", "/")
					}
					fmt.Fprintf(w, `<Contents><Key>%s</Key><Size>1</Size><ETag>"x"</ETag></Contents>`, key)
				}
				fmt.Fprint(w, `</ListBucketResult>`)
			}))
			defer server.Close()
			b := openBucket(t, &buckettest.Store{URL: server.URL, Bucket: "b", AccessKey: "k", SecretKey: "secretsecret", Region: "us-east-1"})
			var got []string
			for o, err := range b.List(t.Context(), "") {
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, "a folder/"+o.Name)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("keys (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChecksums: an upload carries a checksum when the flag, a variable of the SDK or the
// profile says so, in this order; without any of them, stores other than AWS get none.
func TestChecksums(t *testing.T) {
	var mu sync.Mutex
	var carried bool
	front := startFront(t, buckettest.Start(t), func(r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		carried = carried || r.Header.Get("X-Amz-Checksum-Crc32") != "" || r.Header.Get("X-Amz-Trailer") != ""
	}, func(*http.Response) {})
	profile := filepath.Join(t.TempDir(), "config")
	if err := os.WriteFile(profile, []byte("[default]\nrequest_checksum_calculation = when_supported\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, tt := range []struct {
		flag          Checksums
		variable      string
		useProfile    bool
		wantsChecksum bool
	}{
		{"", "", false, false}, {WhenSupported, "", false, true}, {WhenRequired, "", false, false},
		{"", "when_supported", false, true}, {"", "WHEN_REQUIRED", true, false}, {"", "", true, true},
		{WhenRequired, "when_supported", true, false}, {WhenSupported, "when_required", false, true},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			front.Setenv(t)
			t.Setenv("AWS_REQUEST_CHECKSUM_CALCULATION", tt.variable)
			if tt.useProfile {
				t.Setenv("AWS_CONFIG_FILE", profile)
			}
			b, err := Open(t.Context(), front.URI("sums"), Config{Endpoint: front.URL, Region: front.Region, PathStyle: true, PartSize: minPartSize, Checksums: tt.flag})
			if err != nil {
				t.Fatal(err)
			}
			large := randomBytes(minPartSize + 1)
			for what, write := range map[string]func() error{
				"Create": func() error { return b.Create(t.Context(), fmt.Sprint("o", i), []byte("x")) },
				"Upload": func() error {
					return b.Upload(t.Context(), fmt.Sprint("p", i), bytes.NewReader(large), int64(len(large)))
				},
			} {
				carried = false
				if err := write(); err != nil || carried != tt.wantsChecksum {
					t.Errorf("%s with %+v: %v, a checksum: %t, want %t", what, tt, err, carried, tt.wantsChecksum)
				}
			}
		})
	}
}

// TestObjectLock: a store that demands checksums, as buckets with Object Lock do, is
// recognised, and the message names the flag for it.
func TestObjectLock(t *testing.T) {
	store := buckettest.Start(t)
	locked := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut && r.Header.Get("X-Amz-Checksum-Crc32") == "" && r.Header.Get("Content-Md5") == "" {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `<Error><Code>InvalidRequest</Code><Message>Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters</Message></Error>`)
			return
		}
		w.Header().Set("ETag", `"x"`)
	}))
	defer locked.Close()
	front := *store
	front.URL = locked.URL
	if err := openBucket(t, &front).Create(t.Context(), "o", []byte("x")); err == nil || !strings.Contains(err.Error(), "--s3-checksum when-supported") || errors.Is(err, fs.ErrExist) {
		t.Errorf("Create() = %v, want what to do", err)
	}
	if err := openBucket(t, &front, func(c *Config) { c.Checksums = WhenSupported }).Create(t.Context(), "o", []byte("x")); err != nil {
		t.Errorf("Create() with checksums = %v", err)
	}
}

// TestWrongSettings: errors of wrong settings say what to do.
func TestWrongSettings(t *testing.T) {
	for _, tt := range []struct {
		status     int
		body, says string
	}{
		{301, `<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message><Region>eu-west-3</Region></Error>`, `the region "eu-west-3", not "us-east-1": use --s3-region eu-west-3`},
		{301, `<Error><Code>PermanentRedirect</Code><Message>elsewhere</Message></Error>`, `set --s3-region`},
		{400, `<Error><Code>AuthorizationHeaderMalformed</Code><Message>wrong region</Message><Region>eu-central-1</Region></Error>`, `use --s3-region eu-central-1`},
		{403, `<Error><Code>InvalidAccessKeyId</Code><Message>no</Message></Error>`, "AWS_ACCESS_KEY_ID"},
		{403, `<Error><Code>SignatureDoesNotMatch</Code><Message>no</Message></Error>`, "AWS_SECRET_ACCESS_KEY"},
		{403, `<Error><Code>RequestTimeTooSkewed</Code><Message>no</Message></Error>`, "clock of this machine"},
		{404, `<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>`, "name of the bucket"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(tt.status)
			_, _ = io.WriteString(w, tt.body)
		}))
		b := openBucket(t, &buckettest.Store{URL: server.URL, Bucket: "b", AccessKey: "k", SecretKey: "secretsecret", Region: "us-east-1"})
		if _, _, err := b.Get(t.Context(), "o"); err == nil || !strings.Contains(err.Error(), tt.says) || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Get() with %d %s = %v, want %q", tt.status, tt.body, err, tt.says)
		}
		server.Close()
	}
}

// TestUnreachable: an error of a store that no response came from names its address and what to check.
func TestUnreachable(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "key")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	plain := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	for _, c := range []struct{ name, endpoint, says string }{
		{"nothing listens", closed.URL, "check --s3-endpoint"},
		{"no TLS", strings.Replace(plain.URL, "http://", "https://", 1), "use http://"},
		{"another authority", secure.URL, "AWS_CA_BUNDLE"},
	} {
		b, err := Open(t.Context(), "s3://bucket/lake", Config{Endpoint: c.endpoint, PathStyle: true, MaxAttempts: 1})
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := b.Get(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), c.endpoint+" cannot be reached") {
			t.Errorf("%s: Get() = %v, want %q and the address", c.name, err, c.says)
		}
	}
	b, err := Open(t.Context(), "s3://bucket/lake", Config{Endpoint: "http://store.invalid", MaxAttempts: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.Get(t.Context(), "x"); err == nil || !strings.Contains(err.Error(), "--s3-path-style") {
		t.Errorf("the bucket in the host: Get() = %v, want --s3-path-style", err)
	}
}

// TestEndpoint: the address of a store comes from the configuration, a variable, or a profile.
func TestEndpoint(t *testing.T) {
	profile := filepath.Join(t.TempDir(), "config")
	text := "[profile one]\nendpoint_url = http://one:9000\n\n[profile two]\nservices = two\n\n[services two]\ns3 =\n  endpoint_url = http://two:9000\n"
	if err := os.WriteFile(profile, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_CONFIG_FILE", profile)
	for _, name := range []string{"AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	for _, c := range []struct {
		name, variable, profile string
		cfg                     Config
		want                    string
	}{
		{name: "AWS"},
		{name: "configured", cfg: Config{Endpoint: "http://flag:9000", Profile: "one"}, want: "http://flag:9000"},
		{name: "a variable", variable: "http://variable:9000", cfg: Config{Profile: "one"}, want: "http://variable:9000"},
		{name: "a profile", cfg: Config{Profile: "one"}, want: "http://one:9000"},
		{name: "the profile of the environment", profile: "one", want: "http://one:9000"},
		{name: "a service of a profile", cfg: Config{Profile: "two"}, want: "http://two:9000"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL_S3", c.variable)
			t.Setenv("AWS_PROFILE", c.profile)
			if got, err := Endpoint(t.Context(), c.cfg); err != nil || got != c.want {
				t.Errorf("Endpoint() = %q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestNoCredentials: a request that cannot be signed says what to set, and the SDK prints nothing of its own.
func TestNoCredentials(t *testing.T) {
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(metadata.Close)
	for _, name := range []string{"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	for name, value := range map[string]string{"AWS_EC2_METADATA_SERVICE_ENDPOINT": metadata.URL, "AWS_EC2_METADATA_DISABLED": "true"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(name, value)
			b, err := Open(t.Context(), "s3://bucket/prefix", Config{Endpoint: "http://127.0.0.1:9"})
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err = b.Get(t.Context(), "x"); !errors.Is(err, ErrNoCredentials) || !strings.Contains(err.Error(), "AWS_ACCESS_KEY_ID") || strings.Contains(err.Error(), "IMDS") {
				t.Errorf("Get() = %v, want what to set", err)
			}
			if cfg, err := (Config{}).LoadAWS(t.Context()); err != nil || cfg.Logger != logging.Logger(logging.Nop{}) {
				t.Errorf("the SDK logs to %T, %v", cfg.Logger, err)
			}
		})
	}
}
