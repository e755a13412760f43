package main

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/catalog"
	_ "github.com/apache/iceberg-go/catalog/glue"
	_ "github.com/apache/iceberg-go/catalog/hive"
	_ "github.com/apache/iceberg-go/catalog/rest"
	sqlcatalog "github.com/apache/iceberg-go/catalog/sql"
	icebergio "github.com/apache/iceberg-go/io"
	_ "github.com/apache/iceberg-go/io/gocloud/s3" // warehouses on S3
	"github.com/apache/iceberg-go/utils"
	_ "modernc.org/sqlite"

	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/sinks"
)

// catalogOptions say which catalogue knows the tables.
type catalogOptions struct {
	Kind      string // sql, rest, glue or hive
	URI       string // of a REST or Hive catalogue; the file of an SQLite catalogue
	Name      string // under which an SQL catalogue keeps the tables
	Warehouse string // where tables keep their metadata, a URI; of a REST catalogue: its name
	// Files with the client's id and secret, a token, or the key of a gateway, for a REST catalogue.
	CredentialFile, TokenFile, APIKeyFile string
	Properties                            []string // key=value
	S3                                    app.S3Options
}

// The variables with secrets of a REST catalogue.
const (
	credentialVariable = "SIGLAKE_ICEBERG_CREDENTIAL" //nolint:gosec // its name
	tokenVariable      = "SIGLAKE_ICEBERG_TOKEN"      //nolint:gosec // its name
	apiKeyVariable     = "SIGLAKE_ICEBERG_API_KEY"    //nolint:gosec // its name
)

var kinds = []string{"sql", "rest", "glue", "hive"}

// metadataDir is where a lake has the metadata of its Iceberg tables, and the catalogue in SQLite: inside, so
// that they are copied, moved and removed together. Readers of the lake skip names that begin with _.
const metadataDir = "_iceberg"

// connection is an open catalogue.
type connection struct {
	catalog.Catalog
	warehouse string          // of new tables; empty: the catalogue decides
	ctx       context.Context //nolint:containedctx // the library takes the configuration of S3 from it
}

// connect opens the catalogue for a lake.
func (o *catalogOptions) connect(ctx context.Context, env *app.Env, lake string) (*connection, error) {
	properties, err := o.properties(env, lake)
	if err != nil {
		return nil, err
	}
	if ctx, err = o.withS3(ctx, properties, lake); err != nil {
		return nil, err
	}
	opened, err := catalog.Load(ctx, o.Name, properties)
	if err != nil {
		return nil, &app.Error{Kind: app.KindStorage, Err: fmt.Errorf("catalogue %s: %w", o.Kind, err)}
	}
	c := &connection{Catalog: opened, ctx: ctx}
	if o.Kind != "rest" {
		c.warehouse = properties["warehouse"]
	}
	return c, nil
}

func (c *connection) close() error {
	if closer, ok := c.Catalog.(catalog.Closer); ok {
		return closer.Close()
	}
	return nil
}

// properties are what the library is given.
func (o *catalogOptions) properties(env *app.Env, lake string) (iceberg.Properties, error) {
	p := iceberg.Properties{"type": o.Kind}
	for _, text := range o.Properties {
		key, value, ok := strings.Cut(text, "=")
		switch {
		case !ok || key == "":
			return nil, app.UsageErrorf("--catalog-property %q: expected KEY=VALUE", text)
		case secretKey.MatchString(key):
			return nil, app.UsageErrorf("--catalog-property %s: secrets are visible on a command line; use %s, %s, %s, the AWS variables or a file", key, credentialVariable, tokenVariable, apiKeyVariable)
		}
		if err := checkPassword("--catalog-property "+key, value); err != nil {
			return nil, err
		}
		p[key] = value
	}
	if err := checkPassword("--catalog-uri", o.URI); err != nil {
		return nil, err
	}
	p["warehouse"] = strings.TrimRight(o.Warehouse, "/")
	if o.Warehouse == "" && o.Kind != "rest" {
		p["warehouse"] = app.AddressURI(lake) + "/" + metadataDir
	} else if o.Kind != "rest" {
		if err := checkWarehouse(o.Warehouse); err != nil {
			return nil, err
		}
	}
	switch o.Kind {
	case "sql":
		return p, o.setSQLite(p, lake)
	case "rest", "hive":
		if p["uri"] = o.URI; o.URI == "" {
			return nil, app.UsageErrorf("--catalog %s needs --catalog-uri", o.Kind)
		}
	case "glue":
		if o.URI != "" {
			return nil, app.UsageErrorf("--catalog-uri does not apply to --catalog glue; its address follows from the AWS variables and files")
		}
	default:
		return nil, app.UsageErrorf("--catalog %q: expected %s", o.Kind, strings.Join(kinds, ", "))
	}
	return p, o.setSecrets(env, p)
}

// secretKey matches the properties that the library takes secrets from, or sends as headers with secrets. The address of
// rest.authorization-url is none.
var secretKey = regexp.MustCompile(`(?i)secret|token|credential|passw|passphrase|(access|api|private|shared|account|sas|json)[-_.]?key|connection[-_.]?string|authorization$|cookie|signature`)

// checkPassword refuses an address with a password.
func checkPassword(flag, address string) error {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		if _, ok := u.User.Password(); ok {
			return app.UsageErrorf("%s: the address has a password, which is visible on a command line; use %s or %s", flag, credentialVariable, tokenVariable)
		}
	}
	return nil
}

// checkWarehouse wants an address that every reader understands alike.
func checkWarehouse(uri string) error {
	u, err := url.Parse(uri)
	if err != nil || !slices.Contains([]string{"file", "s3", "s3a"}, u.Scheme) {
		return app.UsageErrorf("--warehouse %q: expected file:///path or s3://bucket/path", uri)
	}
	return nil
}

// setSQLite is an SQL catalogue in a file. Programs that commit at once wait for each other.
func (o *catalogOptions) setSQLite(p iceberg.Properties, lake string) error {
	path := o.URI
	if path == "" {
		if sinks.OnS3(lake) {
			return app.UsageErrorf("--catalog sql needs --catalog-uri FILE for a lake on S3, on a disk of this machine; other machines need another --catalog")
		}
		path = filepath.Join(filepath.FromSlash(lake), metadataDir, "catalog.db")
	}
	path, err := filepath.Abs(localPath(strings.TrimPrefix(path, "sqlite://")))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil { // the umask limits it, as that of the lake
		return &app.Error{Kind: app.KindStorage, Err: err}
	}
	dsn := url.URL{Scheme: "file", Opaque: (&url.URL{Path: filepath.ToSlash(path)}).EscapedPath(), RawQuery: url.Values{"_pragma": {"busy_timeout(30000)"}, "_txlock": {"immediate"}}.Encode()}
	p["uri"], p[sqlcatalog.DriverKey], p[sqlcatalog.DialectKey] = dsn.String(), "sqlite", string(sqlcatalog.SQLite)
	return nil
}

// drivePath is the path in an address that begins with a drive of Windows: file:///C:/lake.
var drivePath = regexp.MustCompile(`^/[A-Za-z]:(/|$)`)

// localPath is the path of a file that is given as a path or as file:///path.
func localPath(address string) string {
	path := strings.TrimPrefix(address, "file://")
	if drivePath.MatchString(path) {
		path = path[1:]
	}
	return path
}

// setSecrets takes secrets from files or the environment.
func (o *catalogOptions) setSecrets(env *app.Env, p iceberg.Properties) error {
	for _, s := range []struct{ property, flag, file, variable string }{
		{"credential", "--credential-file", o.CredentialFile, credentialVariable}, {"token", "--token-file", o.TokenFile, tokenVariable},
		{"header.x-api-key", "--api-key-file", o.APIKeyFile, apiKeyVariable},
	} {
		secret := env.Getenv(s.variable)
		if s.file != "" {
			raw, err := os.ReadFile(s.file)
			if err != nil {
				return app.UsageErrorf("%s: %w", s.flag, err)
			}
			secret = string(raw)
		}
		if secret = strings.TrimSpace(secret); strings.ContainsFunc(secret, unicode.IsControl) {
			return app.UsageErrorf("%s or %s: expected one line", s.flag, s.variable)
		}
		if secret != "" && o.Kind == "rest" {
			p[s.property] = secret
		}
	}
	return nil
}

// withS3 lets the library reach S3 as siglake does.
func (o *catalogOptions) withS3(ctx context.Context, p iceberg.Properties, lake string) (context.Context, error) {
	if o.Kind != "glue" && !sinks.OnS3(lake) && !strings.HasPrefix(p["warehouse"], "s3") {
		return ctx, nil
	}
	cfg, err := o.S3.Config()
	if err != nil {
		return nil, err
	}
	endpoint, err := bucket.Endpoint(ctx, cfg)
	if err != nil {
		return nil, &app.Error{Kind: app.KindStorage, Err: err}
	}
	if endpoint != "" {
		p[icebergio.S3EndpointURL] = endpoint
		p[icebergio.S3ForceVirtualAddressing] = strconv.FormatBool(!cfg.PathStyle)
	}
	loaded, err := cfg.LoadAWS(ctx)
	if err != nil {
		return nil, &app.Error{Kind: app.KindStorage, Err: err}
	}
	return utils.WithAwsConfig(ctx, &loaded), nil
}

// checkAddress refuses a lake whose path engines would read in different ways.
func checkAddress(lake string) error {
	if path := strings.TrimPrefix(app.AddressURI(lake), "file://"); (&url.URL{Path: path}).EscapedPath() != path && !sinks.OnS3(lake) {
		return app.UsageErrorf("--lake %q: an Iceberg table names files by address, and engines differ about blanks and signs such as %%, # and ?; move the lake to a path without them", lake)
	}
	return nil
}
