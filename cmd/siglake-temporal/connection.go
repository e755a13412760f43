package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
)

// apiKeyVariable holds a key of Temporal Cloud.
const apiKeyVariable = "TEMPORAL_API_KEY" //nolint:gosec // the name of a variable

// connection says how the server is reached. Flags and variables are those of Temporal's own CLI.
type connection struct {
	address, namespace, taskQueue      string
	tls                                bool
	certFile, keyFile, caFile, tlsName string
	apiKeyFile                         string
}

func defaultConnection() connection {
	return connection{address: "localhost:7233", namespace: "default", taskQueue: "siglake"}
}

func connectionFlags(c *connection) []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "address", Value: c.address, Destination: &c.address, EnvVars: []string{"TEMPORAL_ADDRESS"}, Category: "Temporal", Usage: "`HOST:PORT` of the server"},
		&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, Value: c.namespace, Destination: &c.namespace, EnvVars: []string{"TEMPORAL_NAMESPACE"}, Category: "Temporal", Usage: "namespace of the nights"},
		&cli.StringFlag{Name: "task-queue", Aliases: []string{"t"}, Value: c.taskQueue, Destination: &c.taskQueue, EnvVars: []string{"SIGLAKE_TEMPORAL_TASK_QUEUE"}, Category: "Temporal", Usage: "task queue of the workers"},
		&cli.BoolFlag{Name: "tls", Destination: &c.tls, EnvVars: []string{"TEMPORAL_TLS"}, Category: "Temporal", Usage: "use TLS; implied by an API key and by the files below"},
		&cli.StringFlag{Name: "tls-cert-path", Destination: &c.certFile, EnvVars: []string{"TEMPORAL_TLS_CLIENT_CERT_PATH", "TEMPORAL_TLS_CERT"}, TakesFile: true, Category: "Temporal", Usage: "`FILE` with the certificate of this client"},
		&cli.StringFlag{Name: "tls-key-path", Destination: &c.keyFile, EnvVars: []string{"TEMPORAL_TLS_CLIENT_KEY_PATH", "TEMPORAL_TLS_KEY"}, TakesFile: true, Category: "Temporal", Usage: "`FILE` with its private key"},
		&cli.StringFlag{Name: "tls-ca-path", Destination: &c.caFile, EnvVars: []string{"TEMPORAL_TLS_SERVER_CA_CERT_PATH", "TEMPORAL_TLS_CA"}, TakesFile: true, Category: "Temporal", Usage: "`FILE` with the authority that the server's certificate is from"},
		&cli.StringFlag{Name: "tls-server-name", Destination: &c.tlsName, EnvVars: []string{"TEMPORAL_TLS_SERVER_NAME"}, Category: "Temporal", Usage: "`NAME` in the server's certificate, if it is not that of --address"},
		&cli.StringFlag{Name: "api-key-file", Destination: &c.apiKeyFile, EnvVars: []string{"TEMPORAL_API_KEY_FILE"}, TakesFile: true, Category: "Temporal", Usage: "`FILE` with an API key of Temporal; or in the variable " + apiKeyVariable},
	}
}

// options are those of a client.
func (c *connection) options(logger *slog.Logger) (client.Options, error) {
	o := client.Options{HostPort: c.address, Namespace: c.namespace, Logger: log.NewStructuredLogger(logger)}
	key := os.Getenv(apiKeyVariable)
	if c.apiKeyFile != "" {
		raw, err := os.ReadFile(c.apiKeyFile)
		if err != nil {
			return o, usageErrorf("--api-key-file: %w", err)
		}
		key = strings.TrimSpace(string(raw))
	}
	if key != "" {
		o.Credentials = client.NewAPIKeyStaticCredentials(key)
	}
	secure, err := c.tlsConfig()
	if err != nil {
		return o, err
	}
	if c.tls || key != "" || cmp.Or(c.certFile, c.keyFile, c.caFile, c.tlsName) != "" {
		o.ConnectionOptions.TLS = secure
	}
	return o, nil
}

func (c *connection) tlsConfig() (*tls.Config, error) {
	secure := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.tlsName}
	if c.caFile != "" {
		raw, err := os.ReadFile(c.caFile)
		if err != nil {
			return nil, usageErrorf("--tls-ca-path: %w", err)
		}
		if secure.RootCAs = x509.NewCertPool(); !secure.RootCAs.AppendCertsFromPEM(raw) {
			return nil, usageErrorf("--tls-ca-path %s: the file holds no certificate in PEM", c.caFile)
		}
	}
	if (c.certFile == "") != (c.keyFile == "") {
		return nil, usageErrorf("--tls-cert-path and --tls-key-path belong together: name both")
	}
	if c.certFile != "" {
		pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
		if err != nil {
			return nil, usageErrorf("--tls-cert-path %s: %w", c.certFile, err)
		}
		secure.Certificates = []tls.Certificate{pair}
	}
	return secure, nil
}

// dial connects to the server.
func (c *connection) dial(logger *slog.Logger) (client.Client, error) {
	o, err := c.options(logger)
	if err != nil {
		return nil, err
	}
	server, err := client.Dial(o)
	if err != nil {
		return nil, fmt.Errorf("the Temporal server at %s cannot be reached: %w", c.address, err)
	}
	return server, nil
}

// maxDialPause is the longest pause between two attempts to reach the server.
const maxDialPause = 10 * time.Second

// await connects to the server as soon as it can be reached: workers and the server start in any order.
func (c *connection) await(ctx context.Context, logger *slog.Logger) (client.Client, error) {
	for pause := time.Second; ; pause = min(2*pause, maxDialPause) {
		server, err := c.dial(logger)
		var unreachable *serviceerror.Unavailable
		if !errors.As(err, &unreachable) && !errors.Is(err, context.DeadlineExceeded) {
			return server, err
		}
		logger.Warn("the server cannot be reached; trying again", "address", c.address, "in", pause.String(), "error", err.Error())
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pause):
		}
	}
}
