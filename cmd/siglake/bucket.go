package main

import (
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/bucket"
)

func s3Flags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "s3-endpoint", EnvVars: []string{"SIGLAKE_S3_ENDPOINT"}, Category: "S3"},
		&cli.StringFlag{Name: "s3-region", EnvVars: []string{"SIGLAKE_S3_REGION"}, Category: "S3"},
		&cli.BoolFlag{Name: "s3-path-style", EnvVars: []string{"SIGLAKE_S3_PATH_STYLE"}, Category: "S3"},
	}
}

func bucketConfig(c *cli.Context) (bucket.Config, error) {
	return bucket.Config{Endpoint: c.String("s3-endpoint"), Region: c.String("s3-region"), PathStyle: c.Bool("s3-path-style")}, nil
}
