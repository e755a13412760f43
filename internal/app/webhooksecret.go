package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/siglake/siglake/internal/durable"
	"github.com/siglake/siglake/internal/lusha"
	"github.com/siglake/siglake/internal/policy"
	"github.com/siglake/siglake/pipeline"
)

// SecretOptions say how the secret by which deliveries are signed is replaced.
type SecretOptions struct {
	API     APIOptions
	OpenAPI func(context.Context) (Endpoint, error)
	File    string // with one secret a line, as siglake listen reads it
	// How long the old secret stays in the file, for deliveries that are under way. 0: it is dropped at once.
	Overlap time.Duration
	// Only drop the old secrets that an earlier rotation left.
	DropOld bool
	// Write the account's secret as it is, and do not replace it.
	Existing bool
}

// DefaultOverlap is how long an old secret stays in the file: the vendor's last retry comes much earlier.
const DefaultOverlap = 15 * time.Minute

// SecretReport says what was done, without any secret.
type SecretReport struct {
	File     string    `json:"file"`
	Replaced bool      `json:"replaced"` // the account has a new secret
	Old      int       `json:"old"`      // secrets that stay in the file besides the new one
	Until    time.Time `json:"until"`    // when they are dropped; zero: they are not there
}

// RotateSecret replaces the account's signing secret. The vendor uses the new one at once and has forgotten the old
// one, so the file gets the new one as soon as it is known. written is called then, if old ones stay for a while.
func RotateSecret(ctx context.Context, env *Env, o SecretOptions, written func(*SecretReport)) (*SecretReport, error) {
	switch {
	case o.File == "":
		return nil, UsageErrorf("name the file with the secrets of siglake listen with --secret-file; a secret is never printed")
	case o.Overlap < 0 || o.Overlap > 24*time.Hour:
		return nil, UsageErrorf("--overlap %s: expected a duration from 0 to 24h, such as 15m", o.Overlap)
	case o.DropOld && o.Existing:
		return nil, UsageErrorf("--drop-old and --existing exclude each other: omit one of them")
	}
	f := secretFile(o.File)
	old, err := f.read()
	if err != nil {
		return nil, err
	}
	report := &SecretReport{File: o.File}
	if o.DropOld {
		return report, f.write(old[:min(len(old), 1)])
	}
	if err := f.probe(); err != nil { // before the secret is replaced, it is known that the file can be
		return nil, err
	}
	secret, err := fetchSecret(ctx, env, o)
	if err != nil {
		return nil, err
	}
	report.Replaced = !o.Existing
	current := secret.Reveal()
	old = slices.DeleteFunc(old, func(s string) bool { return s == current })
	if o.Overlap == 0 || o.Existing {
		old = nil
	}
	if err := f.write(append([]string{current}, old[:min(len(old), 1)]...)); err != nil {
		return report, fmt.Errorf("the account has a new secret, and it could not be written: deliveries are refused until it is; siglake webhooks rotate-secret --existing writes it: %w", err)
	}
	if report.Old = min(len(old), 1); report.Old == 0 {
		return report, nil
	}
	report.Until = env.Now().UTC().Add(o.Overlap)
	written(report)
	if !env.sleep(ctx, o.Overlap) {
		return report, &Error{KindDeferred, errors.New("stopped; the new secret is in use, and the old one still stands in the file: siglake webhooks rotate-secret --drop-old removes it")}
	}
	report.Old = 0
	return report, f.write([]string{current})
}

// sleep waits by the clock of Env.
func (env *Env) sleep(ctx context.Context, d time.Duration) bool {
	if env.Sleep != nil {
		return env.Sleep(ctx, d)
	}
	return policy.Sleep(ctx, d)
}

// fetchSecret makes the vendor replace the secret, or reads it as it is.
func fetchSecret(ctx context.Context, env *Env, o SecretOptions) (lusha.Key, error) {
	conn, err := connectAPI(ctx, env, o.API, o.OpenAPI)
	if err != nil {
		return lusha.Key{}, err
	}
	defer conn.disconnect()
	client := conn.client.Webhooks()
	if !o.Existing {
		secret, err := client.ReplaceSecret(ctx)
		if refusal := new(lusha.RefusalError); err != nil && (!errors.As(err, &refusal) || refusal.Outcome == pipeline.InDoubt) {
			return secret, &Error{KindDeferred, fmt.Errorf("%w; whether the secret was replaced is not known: siglake webhooks rotate-secret --existing writes the present one, else run the same command again", err)}
		}
		if err != nil {
			return secret, webhookError(ctx, err)
		}
		return secret, nil
	}
	secret, err := client.Secret(ctx)
	switch {
	case err != nil:
		return secret, webhookError(ctx, err)
	case secret.IsEmpty():
		return secret, UsageErrorf("the account has no signing secret: omit --existing, and the vendor creates one")
	}
	return secret, nil
}

// secretFile is the name of a file with one secret a line, the newest first. Only its owner may read it.
type secretFile string

// read gives the secrets; none if there is no file.
func (f secretFile) read() (secrets []string, err error) {
	text, err := readKey(string(f), false, "secret", "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, &Error{KindUsage, fmt.Errorf("--secret-file: %w", err)}
	}
	return strings.Fields(string(text)), nil
}

// probe makes sure that the file can be written.
func (f secretFile) probe() error {
	return f.stage("", func(dir *durable.Dir, temporary string) error { return dir.Remove(temporary) })
}

// write replaces the file, durably and as a whole: a listener that reads it sees the old secrets or the new ones.
func (f secretFile) write(secrets []string) error {
	text := strings.Join(secrets, "\n")
	if text != "" {
		text += "\n"
	}
	return f.stage(text, func(dir *durable.Dir, temporary string) error {
		if err := dir.Rename(temporary, filepath.Base(string(f))); err != nil {
			return err
		}
		return dir.SyncDir(".")
	})
}

// stage writes a temporary file in the folder of the file, and calls then with its name.
func (f secretFile) stage(text string, then func(dir *durable.Dir, temporary string) error) error {
	folder, err := filepath.Abs(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	dir, err := durable.Open(folder, nil)
	if err != nil {
		return NewFileError("--secret-file "+string(f), folder, err)
	}
	defer dir.Close() //nolint:errcheck // what was written is durable
	temporary := "." + filepath.Base(string(f)) + ".tmp"
	_ = os.Remove(filepath.Join(folder, temporary)) // of a command that was killed, perhaps with other permissions
	out, err := dir.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = out.Write([]byte(text))
		err = errors.Join(err, out.SyncAndClose())
	}
	if err == nil {
		err = then(dir, temporary)
	}
	if err != nil {
		return &Error{KindStorage, fmt.Errorf("--secret-file: %w", err)}
	}
	return nil
}
