package app

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/siglake/siglake/internal/lease"
	"github.com/siglake/siglake/internal/subscriptions"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/schema"
	"github.com/siglake/siglake/sinks"
)

// webhooksName is the file or object with the state of a lake's webhooks.
const webhooksName = StateDir + "/webhooks.json"

// webhooksLock is its lock: a directory with a file, or an object.
const (
	webhooksLock      = StateDir + "/webhooks"
	webhooksLeaseName = StateDir + "/webhooks/lock.json"
)

// webhookStore keeps the state of a lake's webhooks, apart from the lake's journal and under a lock of its own,
// so that a run and a change of subscriptions do not wait for each other.
type webhookStore struct {
	stateFile
	lock lease.Lock // nil: it was opened to be read
	text []byte     // as it was read or written
}

// openWebhooks opens the store for a holder of its lock, or to be read. The lake need not be there.
func openWebhooks(ctx context.Context, env *Env, o StoreOptions, uri, holder string) (s *webhookStore, err error) {
	s = &webhookStore{stateFile: stateFile{uri: uri, name: webhooksName}}
	defer func() {
		if err != nil {
			_ = s.close()
		}
	}()
	if sinks.OnS3(uri) {
		if s.bucket, err = openBucket(ctx, env, o, uri); err != nil {
			return s, UsageErrorf("%v", err)
		}
		if holder != readOnly {
			held, err := lease.Acquire(ctx, s.bucket, webhooksLeaseName, holder, lease.Options{})
			if err != nil {
				return s, webhooksLockError(uri, err)
			}
			s.lock = held
		}
		return s, nil
	}
	path, err := sinks.CheckDir(uri)
	if err != nil {
		return s, notLake(err)
	}
	if holder != readOnly {
		held, err := lease.AcquireFlock(filepath.Join(path, filepath.FromSlash(webhooksLock)), holder)
		if err != nil {
			return s, webhooksLockError(uri, err)
		}
		s.lock = held
	}
	return s, s.openDir(path, env)
}

func webhooksLockError(uri string, err error) error {
	if errors.Is(err, lease.ErrLocked) {
		return &Error{KindLocked, fmt.Errorf("another command is at work on the webhooks of %s%s; wait until it has ended, then repeat this one", uri, lease.HolderText(err))}
	}
	return &Error{KindStorage, fmt.Errorf("the webhooks of %s: %w", uri, err)}
}

// read reads the state; the zero state if there is none.
func (s *webhookStore) read(ctx context.Context) (*subscriptions.State, error) {
	text, err := s.readText(ctx)
	if err != nil {
		return nil, &Error{KindStorage, err}
	}
	if s.text = text; text == nil {
		return &subscriptions.State{}, nil
	}
	state, err := subscriptions.Decode(s.text)
	if err != nil {
		return nil, &Error{KindIntegrity, fmt.Errorf("%s/%s is damaged: %w; restore an earlier version of it", s.uri, webhooksName, err)}
	}
	return state, nil
}

// write replaces the state durably, as a whole, unless it has not changed.
func (s *webhookStore) write(ctx context.Context, state *subscriptions.State) error {
	text := state.Encode()
	if bytes.Equal(text, s.text) {
		return nil
	}
	if !s.lock.Valid() {
		return webhooksLockError(s.uri, s.lock.Err())
	}
	if err := s.replace(ctx, text); err != nil {
		return &Error{KindStorage, err}
	}
	s.text = text
	return nil
}

func (s *webhookStore) close() (err error) {
	err = s.closeDir()
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	return err
}

// WebhookState is what a lake knows of its webhooks: the zero state if it has none.
func WebhookState(ctx context.Context, env *Env, o StoreOptions, uri string) (*subscriptions.State, error) {
	s, err := openWebhooks(ctx, env, o, uri, readOnly)
	if err != nil {
		return nil, err
	}
	defer s.close() //nolint:errcheck // it was only read
	return s.read(ctx)
}

// webhooks is what the lake knows of its webhooks, with the entities of which they may not have delivered events. A run
// does not depend on it: what cannot be read is warned about.
func (l *lake) webhooks(ctx context.Context, o StoreOptions) *subscriptions.State {
	state := readWebhooks(ctx, l.env, o, l.uri, "events that webhooks have not delivered are not polled")
	for i := range state.Gaps {
		if noted := state.Gaps[i].Noted; noted.After(l.gapNoted) {
			l.gapNoted = noted
		}
	}
	return state
}

// readWebhooks is what a lake knows of its webhooks; if that cannot be read, the zero state, with a warning about the
// consequence.
func readWebhooks(ctx context.Context, env *Env, o StoreOptions, uri, consequence string) *subscriptions.State {
	state, err := WebhookState(ctx, env, o, uri)
	if err != nil {
		env.Log.Warn(consequence+": the state of the webhooks cannot be read", "error", err)
		return &subscriptions.State{}
	}
	return state
}

// closeGaps notes which gaps a nightly run has filled. One that left anything fills them again when it is continued.
func (s *session) closeGaps(ctx context.Context, m *pipeline.Manifest) {
	if len(s.webhooks.Gaps) == 0 || s.schedule == nil || m.Run.Stop != nil || m.Accounts.ByStatus[schema.Deferred]+m.Accounts.ByStatus[schema.InDoubt] > 0 {
		return
	}
	err := changeWebhooks(context.WithoutCancel(ctx), s.job.env, s.job.Store, s.lake.uri, "siglake "+s.job.Command, func(state *subscriptions.State) {
		state.PollGaps(s.webhooks.Gaps, func(g subscriptions.Gap) []string {
			return s.schedule.Polled(pipeline.IdentityByID(g.Object, g.EntityID))
		})
	})
	if err != nil {
		s.job.env.Log.Warn("the next nightly run polls again what webhooks have not delivered", "error", err)
	}
}

// changeWebhooks changes the state of a lake's webhooks.
func changeWebhooks(ctx context.Context, env *Env, o StoreOptions, uri, holder string, change func(*subscriptions.State)) error {
	s, err := openWebhooks(ctx, env, o, uri, holder)
	if err != nil {
		return err
	}
	defer s.close() //nolint:errcheck // what was written is durable
	state, err := s.read(ctx)
	if err != nil {
		return err
	}
	change(state)
	return s.write(ctx, state)
}

// copyWebhooks gives a rebuilt lake the webhooks of the original: whichever of the two is used from then on has them.
func copyWebhooks(ctx context.Context, env *Env, o StoreOptions, from, to string) error {
	original, err := WebhookState(ctx, env, o, from)
	if err != nil || original.Lake == "" {
		return err
	}
	return changeWebhooks(ctx, env, o, to, rebuildHolder, func(state *subscriptions.State) { *state = *original })
}
