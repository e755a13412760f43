package main

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/bucket"
)

// s3Flags say how S3 is reached and how objects are kept there. There is none
// for credentials: argv is visible to every user of the machine.
func s3Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "s3-endpoint", EnvVars: []string{"SIGLAKE_S3_ENDPOINT"}, Category: "S3",
			Usage: "`URL` of a store other than AWS"},
		&cli.StringFlag{Name: "s3-region", EnvVars: []string{"SIGLAKE_S3_REGION"}, Category: "S3",
			Usage: "region of the bucket; default: as the AWS variables and files say, else us-east-1"},
		&cli.BoolFlag{Name: "s3-path-style", EnvVars: []string{"SIGLAKE_S3_PATH_STYLE"}, Category: "S3",
			Usage: "the bucket's name in the path, as most stores other than AWS want it"},
		&cli.StringFlag{Name: "s3-profile", EnvVars: []string{"SIGLAKE_S3_PROFILE"}, Category: "S3",
			Usage: "profile of the shared AWS files; credentials come from where every AWS tool finds them"},
		&cli.StringFlag{Name: "s3-role", EnvVars: []string{"SIGLAKE_S3_ROLE"}, Category: "S3",
			Usage: "`ARN` of a role to assume"},
		&cli.StringFlag{Name: "s3-external-id", EnvVars: []string{"SIGLAKE_S3_EXTERNAL_ID"}, Category: "S3",
			Usage: "external `ID` that the role asks for"},
		&cli.StringFlag{Name: "s3-sse", EnvVars: []string{"SIGLAKE_S3_SSE"}, Category: "S3",
			Usage: "encryption of what is written, AES256 or aws:kms; default: the bucket's"},
		&cli.StringFlag{Name: "s3-kms-key", EnvVars: []string{"SIGLAKE_S3_KMS_KEY"}, Category: "S3",
			Usage: "`ID` or ARN of the key for aws:kms; default: the bucket's"},
		&cli.StringFlag{Name: "s3-storage-class", EnvVars: []string{"SIGLAKE_S3_STORAGE_CLASS"}, Category: "S3",
			Usage: "storage `CLASS` of what is written, such as STANDARD_IA; default: the bucket's"},
		&cli.StringFlag{Name: "s3-part-size", Value: "16MiB", EnvVars: []string{"SIGLAKE_S3_PART_SIZE"}, Category: "S3",
			Usage: "`SIZE` from which files are written in parts of that size, 5MiB to 5GiB"},
	}
}

// bucketConfig is what the flags say of S3.
func bucketConfig(c *cli.Context) (bucket.Config, error) {
	cfg := bucket.Config{
		Endpoint: c.String("s3-endpoint"), Region: c.String("s3-region"), PathStyle: c.Bool("s3-path-style"), Profile: c.String("s3-profile"),
		Role: c.String("s3-role"), ExternalID: c.String("s3-external-id"),
		Encryption: c.String("s3-sse"), KMSKey: c.String("s3-kms-key"), StorageClass: c.String("s3-storage-class"),
	}
	if e := cfg.Endpoint; e != "" && !strings.HasPrefix(e, "http://") && !strings.HasPrefix(e, "https://") {
		return cfg, usageErrorf("--s3-endpoint %q: expected http:// or https:// and a host", e)
	}
	if !slices.Contains([]string{"", "AES256", "aws:kms"}, cfg.Encryption) {
		return cfg, usageErrorf("--s3-sse %q: expected AES256 or aws:kms", cfg.Encryption)
	}
	if cfg.KMSKey != "" && cfg.Encryption != "aws:kms" {
		return cfg, usageErrorf("--s3-kms-key goes with --s3-sse aws:kms")
	}
	if cfg.ExternalID != "" && cfg.Role == "" {
		return cfg, usageErrorf("--s3-external-id goes with --s3-role")
	}
	if text := c.String("s3-part-size"); text != "" { // a command without the flag has the default
		size, ok := parseSize(text)
		if !ok || size < 5<<20 || size > 5<<30 {
			return cfg, usageErrorf("--s3-part-size %q: expected a size from 5MiB to 5GiB", text)
		}
		cfg.PartSize = size
	}
	return cfg, nil
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
