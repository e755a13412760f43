package app

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// SecretVariable holds secrets by which deliveries are signed, separated by white space. They are never in argv.
const SecretVariable = "SIGLAKE_WEBHOOK_SECRET" //nolint:gosec // the name of a variable

const (
	mostSecrets    = 8
	shortestSecret = 8 // characters; a shorter one was cut
)

// fileStamp tells whether a file is another one than before.
type fileStamp struct {
	info os.FileInfo
	err  string
}

func stampOf(name string) fileStamp {
	info, err := os.Stat(name)
	if err != nil {
		return fileStamp{err: err.Error()}
	}
	return fileStamp{info: info}
}

func (s fileStamp) equals(other fileStamp) bool {
	if s.info == nil || other.info == nil {
		return s.info == nil && other.info == nil && s.err == other.err
	}
	return os.SameFile(s.info, other.info) && s.info.Size() == other.info.Size() && s.info.ModTime().Equal(other.info.ModTime())
}

// signingSecrets are the secrets by which deliveries may be signed. A file with them is read again when it
// changes: the vendor replaces a secret at once.
type signingSecrets struct {
	log   *slog.Logger
	file  string
	fixed []string // of the environment

	mu      sync.Mutex
	stamp   fileStamp
	current []string
}

// openSecrets reads the secrets, of which there must be one.
func openSecrets(env *Env, file string) (*signingSecrets, error) {
	s := &signingSecrets{log: env.Log, file: file, fixed: strings.Fields(env.Getenv(SecretVariable))}
	s.stamp = stampOf(file)
	var err error
	if s.current, err = s.read(); err != nil {
		return nil, &Error{KindAuth, err}
	}
	if len(s.current) == 0 {
		return nil, &Error{KindAuth, fmt.Errorf("no secret to verify deliveries with: name a file with --secret-file, one secret a line, or set the variable %s; siglake webhooks rotate-secret --existing writes the account's", SecretVariable)}
	}
	return s, nil
}

// read reads all secrets.
func (s *signingSecrets) read() ([]string, error) {
	all := slices.Clone(s.fixed)
	if s.file != "" {
		text, err := readSecretFile(s.file)
		if err != nil {
			return nil, fmt.Errorf("--secret-file: %w", err)
		}
		all = append(strings.Fields(text), all...)
		if text == "" {
			return nil, fmt.Errorf("--secret-file %s is empty", s.file)
		}
	}
	for i, secret := range all {
		if len(secret) < shortestSecret {
			return nil, fmt.Errorf("secret number %d of %s is shorter than %d characters: it was cut", i+1, s.origin(), shortestSecret)
		}
	}
	if len(all) > mostSecrets {
		return nil, fmt.Errorf("%s hold %d secrets, and at most %d are tried for a delivery", s.origin(), len(all), mostSecrets)
	}
	return all, nil
}

func (s *signingSecrets) origin() string {
	if s.file == "" {
		return SecretVariable
	}
	return s.file + " and " + SecretVariable
}

// readSecretFile reads a file with secrets, which only its owner may read.
func readSecretFile(name string) (string, error) {
	if info, err := os.Stat(name); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s is not a regular file: it is read again whenever it changes", name)
	}
	raw, err := readKey(name, false, "secret", "")
	return strings.TrimSpace(string(raw)), err
}

// list are the secrets at the moment. If the file cannot be read any more, they are those that it had.
func (s *signingSecrets) list() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == "" {
		return s.current
	}
	stamp := stampOf(s.file)
	if stamp.equals(s.stamp) {
		return s.current
	}
	s.stamp = stamp
	read, err := s.read()
	if err != nil {
		s.log.Warn("the secrets were not read again; those from before are used", "error", err)
		return s.current
	}
	s.current = read
	s.log.Info("read the secrets again", "file", s.file, "secrets", len(read))
	return s.current
}

// certificate is the certificate of a server, read again when one of its files changes.
type certificate struct {
	log               *slog.Logger
	certFile, keyFile string

	mu      sync.Mutex
	stamps  [2]fileStamp
	current *tls.Certificate
}

// tlsConfig is nil without a certificate.
func (o *ListenOptions) tlsConfig(env *Env) (*tls.Config, error) {
	if o.CertFile == "" {
		return nil, nil
	}
	c := &certificate{log: env.Log, certFile: o.CertFile, keyFile: o.KeyFile}
	if err := c.read(); err != nil {
		return nil, UsageErrorf("--tls-cert and --tls-key: %w", err)
	}
	return &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(), nil },
	}, nil
}

func (c *certificate) read() error {
	stamps := [2]fileStamp{stampOf(c.certFile), stampOf(c.keyFile)}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	c.stamps = stamps
	if err == nil {
		c.current = &pair
	}
	return err
}

// get is the certificate at the moment. While its files do not fit together, it is the one from before.
func (c *certificate) get() *tls.Certificate {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stamps[0].equals(stampOf(c.certFile)) && c.stamps[1].equals(stampOf(c.keyFile)) {
		return c.current
	}
	before := c.current.Leaf
	if err := c.read(); err != nil {
		c.log.Warn("the certificate was not read again; the one from before is used", "file", c.certFile, "error", err)
		return c.current
	}
	c.log.Info("read the certificate again", "file", c.certFile, "until", c.current.Leaf.NotAfter.UTC().Format(time.RFC3339), "before_until", before.NotAfter.UTC().Format(time.RFC3339))
	return c.current
}
