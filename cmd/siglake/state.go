package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/internal/journal"
	"github.com/siglake/siglake/internal/signals"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
	"github.com/siglake/siglake/sources"
)

// today, which a test may stop, is the clock that windows end by, and that ids
// age by.
var today = time.Now

// state is a lake's journal, with the lock that keeps other runs away.
type state struct {
	lake    string // as the user named it
	options sinks.Options
	vault   vault
	journal *journal.Journal
}

// openState locks a lake for who, and opens its journal. An onlooker locks nothing
// and writes nothing, while others may be at work.
func openState(c *cli.Context, lake, who string) (s *state, err error) {
	s = &state{lake: lake, options: sinkOptions(c)}
	if s.vault, err = openVault(c, lake, who); err != nil {
		return nil, err
	}
	if s.journal, err = journal.Open(c.Context, s.vault.store, journal.Options{Decode: decodeAgain, ReadOnly: who == onlooker, Now: today}); err != nil {
		return nil, errors.Join(&exitError{storageCode(err), err}, s.close())
	}
	return s, nil
}

// openExisting opens the journal of a lake that must be there.
func openExisting(c *cli.Context, who string) (*state, error) {
	lake := c.String("lake")
	if there, err := lakeExists(c, lake); err != nil || !there {
		if err == nil {
			err = usagef("--lake %s: there is no lake of siglake", lake)
		}
		return nil, err
	}
	return openState(c, lake, who)
}

// moved reports whether the journal was written since it was opened to be read.
func (s *state) moved(ctx context.Context) bool {
	j, err := journal.Open(ctx, s.vault.store, journal.Options{Decode: decodeAgain, ReadOnly: true})
	if err != nil {
		return false
	}
	defer j.Close() //nolint:errcheck // it was only read
	return j.Mark() != s.journal.Mark()
}

// runs are those of the journal; none of a lake that is not there.
func (s *state) runs() []*journal.Run {
	if s == nil {
		return nil
	}
	return s.journal.Runs()
}

// sink opens a lake for the files of one run; it need not be the state's own.
func (s *state) sink(ctx context.Context, lake, runID string) (*sinks.Lake, error) {
	o := s.options
	o.RunID = runID
	return sinks.Open(ctx, lake, o)
}

// guard gives a context that ends, too, when another process may have the lock:
// then no new call is made. release must be called; it waits for the goroutine
// that watches.
func (s *state) guard(ctx context.Context) (guarded context.Context, release func()) {
	guarded, cancel := context.WithCancel(ctx)
	lost := s.vault.lock.Lost()
	if lost == nil {
		return guarded, cancel
	}
	done := make(chan struct{})
	go func() { // ends with the run
		defer close(done)
		select {
		case <-lost:
			slog.Error("the lock of the lake was lost: nothing more is asked", "lake", s.lake, "error", s.vault.lock.Err())
			cancel()
		case <-guarded.Done():
		}
	}()
	return guarded, func() {
		cancel()
		<-done
	}
}

// close lets go of what was opened; what was written is durable before.
func (s *state) close() (err error) {
	if s.journal != nil {
		err = s.journal.Close()
	}
	if s.vault.close != nil {
		err = errors.Join(err, s.vault.close())
	}
	if s.vault.lock != nil {
		err = errors.Join(err, s.vault.lock.Close())
	}
	s.journal, s.vault = nil, vault{}
	return err
}

func storageCode(err error) int {
	if errors.Is(err, journal.ErrCorrupt) || errors.Is(err, sinks.ErrIntegrity) {
		return exitIntegrity
	}
	return exitStorage
}

// decodeAgain reads an answer from the journal as the client read it.
func decodeAgain(b *pipeline.Batch, c *pipeline.Call) (items, strays []pipeline.ItemReply) {
	items, strays, _ = signals.DecodeAnswer(b, c) // what is no answer is told by the call's outcome
	return items, strays
}

// recoverRuns finishes what processes that died had begun: a run whose files
// were staged is published.
func (s *state) recoverRuns(ctx context.Context) error {
	for _, r := range s.journal.Runs() {
		if r.Done != nil || r.Staged == nil {
			continue
		}
		m, err := s.journal.Manifest(ctx, r)
		if err != nil {
			return err
		}
		sink, err := s.sink(ctx, s.lake, r.ID)
		if err != nil {
			return err
		}
		s.journal.Attach(r)
		if err = sink.Publish(ctx, m); errors.Is(err, os.ErrNotExist) {
			// The staged files are gone with their directory; the journal has their rows.
			m, err = s.replay(ctx, r, sink, m.Run.Stop.Again())
		} else if err == nil {
			err = s.journal.Commit(m)
		}
		if err = errors.Join(err, sink.Close()); err != nil {
			return fmt.Errorf("completing the publication of run %s: %w", r.ID, err)
		}
		slog.Info("completed the publication of a run whose process had ended", "run", r.ID, "generation", m.Generation)
	}
	return nil
}

// abandon publishes what an unfinished run paid for, and ends it.
func (s *state) abandon(ctx context.Context, r *journal.Run) error {
	sink, err := s.sink(ctx, s.lake, r.ID)
	if err != nil {
		return err
	}
	s.journal.Attach(r)
	m, err := s.replay(ctx, r, sink, &pipeline.Stop{Kind: pipeline.StopInterrupted, Reason: "given up for another run"})
	if err = errors.Join(err, sink.Close()); err != nil {
		return fmt.Errorf("publishing what run %s paid for: %w", r.ID, err)
	}
	slog.Info("published what an unfinished run had paid for", "run", r.ID, "credits", m.Credits.Charged, "generation", m.Generation)
	return nil
}

// replay publishes a run from the journal alone.
func (s *state) replay(ctx context.Context, r *journal.Run, sink pipeline.Sink, stop *pipeline.Stop) (*pipeline.Manifest, error) {
	runner := s.replayer(ctx, r, sink)
	runner.Journal = s.journal
	return runner.Replay(ctx, stop)
}

// replayInto makes a run's rows again, elsewhere; the journal does not notice.
func (s *state) replayInto(ctx context.Context, r *journal.Run, sink pipeline.Sink, stop *pipeline.Stop) (*pipeline.Manifest, error) {
	return s.replayer(ctx, r, sink).Replay(ctx, stop)
}

func (s *state) replayer(ctx context.Context, r *journal.Run, sink pipeline.Sink) *pipeline.Runner {
	ask, search := asks(r.Queries)
	return &pipeline.Runner{
		Queries: ask, Searches: search, Sink: sink, RunID: r.ID, PartitionBy: r.Partition, Started: r.First, Past: s.past(ctx, r),
		Versions: r.Versions, Endpoint: r.Endpoint, Choice: r.Choice, Simulated: r.Simulated, Continues: r.Continues,
		Input: func() pipeline.Input { return pipeline.Input{URI: r.URI, SHA256: r.Input} },
	}
}

func (s *state) past(ctx context.Context, r *journal.Run) *pipeline.Past {
	return &pipeline.Past{Answers: s.journal.Answers(ctx, r), Lines: s.journal.Lines(ctx, r)}
}

// command is what a user asks for, as far as it decides what is bought and what
// the rows look like: two runs with the same command are one and the same.
type command struct {
	settings map[string]string
	input    string // SHA-256 of the list
	refresh  bool   // buy again: another purchase of the same
}

// serviceSetting holds the name of the command in the settings of every run but
// those of siglake run.
const serviceSetting = "service"

// simulatedAddress and a seed stand for the address of an embedded simulator.
const simulatedAddress = "simulator, seed "

// commandOf collects the settings that matter.
func commandOf(c *cli.Context, service pipeline.Service, input string) command {
	cmd := command{settings: map[string]string{}, input: input, refresh: c.Bool("refresh")}
	for _, name := range []string{"since", "object", "header", "delimiter", "encoding", "partition-by"} {
		cmd.settings[name] = c.String(name)
	}
	for _, name := range []string{"signals", "news-event-types", "hiring-departments", "hiring-locations", "map"} {
		words := splitWords(c.StringSlice(name))
		slices.Sort(words)
		cmd.settings[name] = strings.Join(words, ",")
	}
	cmd.settings["max-results"] = fmt.Sprint(c.Int("max-results"))
	for name, s := range services {
		if s == service {
			cmd.settings[serviceSetting] = name
		}
	}
	// What came later is there only when it says something, so that a command is
	// known again that an earlier version carried out.
	if api := c.String("api"); api != "" && api != apiAuto {
		cmd.settings["api"] = api
	}
	if c.Bool("send-filters") {
		cmd.settings["send-filters"] = "true"
	}
	for _, name := range []string{"intent-categories", "domain"} {
		if words := splitWords(c.StringSlice(name)); len(words) > 0 {
			slices.Sort(words)
			cmd.settings[name] = strings.Join(words, ",")
		}
	}
	for _, name := range []string{"limit", "page-size"} {
		if n := c.Int(name); n > 0 {
			cmd.settings[name] = fmt.Sprint(n)
		}
	}
	cmd.settings["base-url"] = c.String("base-url")
	if c.Bool("simulate") {
		cmd.settings["base-url"] = simulatedAddress + fmt.Sprint(c.Uint64("seed"))
	}
	return cmd
}

func (cmd command) digest() string {
	text, err := json.Marshal(cmd.settings) // keys are sorted
	if err != nil {
		panic(err) // of texts
	}
	sum := sha256.Sum256(append(text, cmd.input...))
	return hex.EncodeToString(sum[:])
}

// differs says what is not as it was in a run.
func (cmd command) differs(r *journal.Run) string {
	if now, was := wordOr(cmd.settings[serviceSetting], "run"), wordOr(r.Settings[serviceSetting], "run"); now != was {
		return fmt.Sprintf("it is one of siglake %s, not of siglake %s", was, now)
	}
	var parts []string
	for name, now := range cmd.settings {
		if was := r.Settings[name]; was != now {
			parts = append(parts, fmt.Sprintf("--%s was %q and is %q", name, was, now))
		}
	}
	slices.Sort(parts)
	if cmd.refresh && !r.Refresh {
		parts = append(parts, "--refresh was not given and is")
	}
	if r.Input != cmd.input {
		parts = append(parts, fmt.Sprintf("the list %s has other content", r.URI))
	}
	return strings.Join(parts, "; ")
}

// decision is how a command relates to the lake's runs.
type decision struct {
	resume    *journal.Run // go on with it
	continues *journal.Run // ask about what it left
	done      *journal.Run // nothing is left to do
	other     *journal.Run // another command's, unfinished: it is in the way
}

// decide finds out whether a command begins a run or goes on with one.
func (s *state) decide(ctx context.Context, c *cli.Context, cmd command) (decision, error) {
	if err := s.recoverRuns(ctx); err != nil {
		return decision{}, &exitError{storageCode(err), err}
	}
	known := s.relate(c, cmd)
	if known.other == nil {
		return known, nil
	}
	if !c.Bool("new-run") {
		if c.Command.Name == resumeName {
			return decision{}, s.cannotResume(known.other.ID, cmd)
		}
		return decision{}, usagef("%s.\nRepeat its command to go on with it (siglake resume does), or add --new-run to leave it; what it paid for is kept either way",
			otherCommand(known.other, cmd))
	}
	if err := s.abandon(ctx, known.other); err != nil {
		return decision{}, &exitError{storageCode(err), err}
	}
	return decision{}, nil
}

// otherCommand says that a run is in the way of a command, and why.
func otherCommand(r *journal.Run, cmd command) string {
	return fmt.Sprintf("run %s, begun %s, is not finished, and this is another command: %s", r.ID, r.First.Format("2006-01-02 15:04 UTC"), cmd.differs(r))
}

// relate finds the runs that a command is about. It changes nothing.
func (s *state) relate(c *cli.Context, cmd command) decision {
	runs := s.journal.Runs()
	if len(runs) == 0 {
		return decision{}
	}
	if last := runs[len(runs)-1]; last.Done == nil {
		if last.Command == cmd.digest() && !c.Bool("new-run") && (last.Refresh || !cmd.refresh) {
			return decision{resume: last}
		}
		return decision{other: last}
	}
	for _, r := range slices.Backward(runs) {
		if r.Command != cmd.digest() || c.Bool("new-run") {
			continue
		}
		if c.Bool("refresh") && (!r.Refresh || !r.Left() && !s.journal.Reopened(r)) {
			break
		}
		today := today().UTC().Truncate(24 * time.Hour)
		switch until := untilOf(r); {
		case s.journal.Reopened(r) && until.Equal(today):
			return decision{continues: r}
		case r.Left() && stillAsked(r):
			return decision{continues: r}
		case !r.Left() && until.Equal(today):
			return decision{done: r}
		}
		break
	}
	return decision{}
}

// stillAsked reports whether the lines that a run left are still asked about in
// its own window: that of today, or of a night that has gone on past midnight.
func stillAsked(r *journal.Run) bool {
	return !untilOf(r).Before(today().UTC().Truncate(24*time.Hour).AddDate(0, 0, -1))
}

// sameWorld keeps invented answers out of a lake of real ones, and the reverse.
func (s *state) sameWorld(c *cli.Context) error {
	for _, r := range s.journal.Runs() {
		switch {
		case r.Simulated == c.Bool("simulate"):
		case r.Simulated:
			return usagef("the lake %s holds simulated answers; choose another one for real ones", s.lake)
		default:
			return usagef("the lake %s holds real answers; choose another one for simulated ones", s.lake)
		}
	}
	return nil
}

// mustKnow makes sure that the journal is the one of what lies in the lake. One
// that was lost, or has not come along, would let all be bought again.
func (s *state) mustKnow(ctx context.Context, sink *sinks.Lake) error {
	newest, err := sink.Newest(ctx)
	if err == nil && newest != nil && len(s.journal.Runs()) == 0 {
		err = fmt.Errorf("%w: %s has generation %d, and its journal knows no run: what was paid for would be bought again; bring %s back as it was, or name another lake",
			sinks.ErrIntegrity, s.lake, newest.Generation, stateDir)
	}
	return err
}

// untilOf is the day that a run's window ends.
func untilOf(r *journal.Run) (day time.Time) {
	for _, q := range r.Queries {
		if t, err := time.Parse(time.DateOnly, q.Until); err == nil && t.After(day) {
			day = t
		}
	}
	return day
}

// input is a list that can be read twice: once for its digest, once for its
// lines. A pipe is copied first, so that nothing is paid for before all of it
// is there. Of objects on S3 the digest is that of their URIs, ETags and sizes,
// so that a huge one is not fetched twice; they are then read in these versions
// or not at all.
type input struct {
	uri     string
	stdin   io.Reader // what "-" stands for
	objects []sources.Object
	digest  string
	spool   *os.File
}

func openInput(ctx context.Context, uri string, o sources.Options) (*input, error) {
	in := &input{uri: uri, stdin: o.Stdin}
	if uri != "-" {
		path := strings.TrimPrefix(uri, "file://")
		info, err := os.Stat(path)
		if err != nil || info.Mode().IsRegular() || info.IsDir() {
			return in, in.find(ctx, o)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, &exitError{exitUsage, err}
		}
		defer f.Close() //nolint:errcheck // it was only read
		in.uri, in.stdin = "-", f
	}
	var err error
	if in.spool, err = os.CreateTemp("", "siglake-list-*"); err != nil {
		return nil, &exitError{exitStorage, err}
	}
	h := sha256.New()
	copied := make(chan error, 1)
	go func() { // ends with the pipe, or with the process: a read cannot be taken back
		_, err := io.Copy(io.MultiWriter(in.spool, h), in.stdin)
		copied <- err
	}()
	select {
	case err = <-copied:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err == nil {
		_, err = in.spool.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("reading the list from standard input: %w", err), in.close())
	}
	in.digest, in.stdin = hex.EncodeToString(h.Sum(nil)), in.spool
	return in, nil
}

// find looks for the files of the list.
func (in *input) find(ctx context.Context, o sources.Options) (err error) {
	switch in.objects, err = sources.Find(ctx, in.uri, o); {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return &exitError{exitUsage, err}
	}
	in.digest = sources.Fingerprint(in.objects)
	return nil
}

// rewind makes the list readable from its beginning again.
func (in *input) rewind() error {
	if in.spool == nil {
		return nil
	}
	_, err := in.spool.Seek(0, io.SeekStart)
	return err
}

func (in *input) close() error {
	if in.spool == nil {
		return nil
	}
	return errors.Join(in.spool.Close(), os.Remove(in.spool.Name()))
}
