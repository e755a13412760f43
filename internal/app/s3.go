package app

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/bucket"
	"github.com/siglake/siglake/sinks"
)

// Config is how buckets are opened.
func (o *S3Options) Config() (bucket.Config, error) {
	cfg := bucket.Config{
		Endpoint: o.Endpoint, Region: o.Region, PathStyle: o.PathStyle, Profile: o.Profile, Role: o.Role, ExternalID: o.ExternalID,
		Encryption: o.Encryption, KMSKey: o.KMSKey, StorageClass: o.StorageClass, Checksums: bucket.Checksums(o.Checksum),
	}
	if e := cfg.Endpoint; e != "" && !strings.HasPrefix(e, "http://") && !strings.HasPrefix(e, "https://") {
		return cfg, UsageErrorf("--s3-endpoint %q: expected http:// or https:// and a host", e)
	}
	if !slices.Contains([]string{"", "AES256", "aws:kms"}, cfg.Encryption) {
		return cfg, UsageErrorf("--s3-sse %q: expected AES256 or aws:kms", cfg.Encryption)
	}
	if cfg.KMSKey != "" && cfg.Encryption != "aws:kms" {
		return cfg, UsageErrorf("--s3-kms-key goes with --s3-sse aws:kms")
	}
	if cfg.ExternalID != "" && cfg.Role == "" {
		return cfg, UsageErrorf("--s3-external-id goes with --s3-role")
	}
	if !slices.Contains([]bucket.Checksums{"", bucket.WhenSupported, bucket.WhenRequired}, cfg.Checksums) {
		return cfg, UsageErrorf("--s3-checksum %q: expected %s or %s", o.Checksum, bucket.WhenSupported, bucket.WhenRequired)
	}
	if text := o.PartSize; text != "" { // empty: the default
		size, ok := parseSize(text)
		if !ok || size < 5<<20 || size > 5<<30 {
			return cfg, UsageErrorf("--s3-part-size %q: expected a size from 5MiB to 5GiB", text)
		}
		cfg.PartSize = size
	}
	return cfg, nil
}

// endpointOf is the address of the store of a lake if that is not AWS, from the flag, from the
// variables of the SDK, or from the profile; empty: AWS, or a lake in a directory.
func (o *S3Options) endpointOf(env *Env, uri string) string {
	if !sinks.OnS3(uri) {
		return ""
	}
	if cfg, err := o.Config(); err == nil && o.Endpoint == "" {
		if endpoint, err := bucket.Endpoint(context.Background(), cfg); err == nil && endpoint != "" { // it reads files only
			return endpoint
		}
	}
	return cmp.Or(o.Endpoint, env.Getenv("AWS_ENDPOINT_URL_S3"), env.Getenv("AWS_ENDPOINT_URL"))
}

// parseSize reads a number of bytes, with or without a binary unit.
func parseSize(text string) (bytes int64, ok bool) {
	for _, unit := range []struct {
		name  string
		shift int
	}{{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"B", 0}, {"", 0}} {
		if number, found := strings.CutSuffix(strings.TrimSpace(text), unit.name); found {
			n, err := strconv.ParseInt(strings.TrimSpace(number), 10, 64)
			return n << unit.shift, err == nil && n >= 0 && n <= math.MaxInt64>>unit.shift
		}
	}
	return 0, false
}
