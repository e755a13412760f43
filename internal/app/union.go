package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sinks"
)

// UnionOptions name the lakes of the shards of a list. DDL says what is made of them.
type UnionOptions struct {
	Lakes []string // or one address with ShardPlaceholder, or a folder or prefix with lakes
	DDL   DDLOptions
}

// UnionReport says how the lakes of the shards of a list stand, and what they cost together.
type UnionReport struct {
	Shards    int           `json:"shards"` // that the list is divided into
	Complete  bool          `json:"complete"`
	Lakes     []ShardStatus `json:"lakes"` // each shard, in order
	Credits   int64         `json:"credits"`
	MaxCost   int64         `json:"credits_most"` // with all that is unsettled
	Liability Liability     `json:"unsettled"`
	Lists     []BillLine    `json:"by_list"`
	Signals   []BillLine    `json:"by_signal_type"`
	// Charged by calls without an event, by other products, and by runs that are not published yet.
	OtherCredits int64      `json:"credits_without_signal_type"`
	Runs         []ShardRun `json:"runs"` // by start
}

// ShardStatus is the lake of one shard.
type ShardStatus struct {
	Shard      int      `json:"shard"`
	Lake       string   `json:"lake,omitempty"` // empty: none was named
	Generation int64    `json:"generation"`
	Runs       int      `json:"runs"`
	Calls      int      `json:"calls"`
	Credits    int64    `json:"credits"`
	MaxCost    int64    `json:"credits_most"`
	Problems   []string `json:"problems"` // what it lacks; none: it is complete

	inDoubt bool
	found   *shardLake // nil: there is none
}

// BillLine is a part of the bill.
type BillLine struct {
	Name    string `json:"name"`
	Service string `json:"service,omitempty"` // of a list
	Runs    int    `json:"runs,omitempty"`
	Calls   int    `json:"calls,omitempty"`
	Credits int64  `json:"credits"`
}

// ShardRun is a run of a shard.
type ShardRun struct {
	Shard int `json:"shard"`
	RunStatus
}

// shardLake is a lake of a union, as it was read.
type shardLake struct {
	address   string // see lakeAddress
	uri       string // as it was named
	shard     pipeline.Shard
	simulated bool
	empty     bool // it has no run
	status    *LakeStatus
	snapshot  *sinks.Snapshot
	optedOut  []string
	// The publication of deliveries that did not end; empty: there is none.
	unpublished string
	bySignal    map[string]int64
	afterwards  map[string]string // the end of the newest window of each list
}

// UnionMember is what a script needs of the lake of a shard.
type UnionMember struct {
	Shard    int
	Address  string
	Snapshot *sinks.Snapshot
}

// Union is the lakes of the shards of a list.
type Union struct {
	Report   UnionReport
	Members  []UnionMember // those that there are, by shard
	OptedOut []string      // contacts, of all
}

// Exit is the exit code for the state of the lakes.
func (u *Union) Exit() int {
	exit := ExitComplete
	for _, s := range u.Report.Lakes {
		switch {
		case s.inDoubt:
			exit = ExitInDoubt
		case len(s.Problems) > 0:
			exit = max(exit, ExitDeferred)
		}
	}
	return exit
}

// ReadUnion reads the lakes of the shards of a list. Lakes of which two hold the same shard, or that divide a list
// into different numbers of shards, are an error; what is missing or unfinished is in the report.
func ReadUnion(ctx context.Context, env *Env, o *UnionOptions) (*Union, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	uris, count, err := o.find(ctx, env)
	if err != nil {
		return nil, err
	}
	var lakes []*shardLake
	for _, uri := range uris {
		l, err := readShardLake(ctx, env, o.DDL.Store, uri)
		if err != nil {
			return nil, err
		}
		lakes = append(lakes, l)
	}
	if count, err = checkShards(lakes, count); err != nil {
		return nil, err
	}
	u := &Union{Report: UnionReport{Shards: count, Signals: []BillLine{}, Lists: []BillLine{}, Runs: []ShardRun{}}}
	u.place(lakes, o.template())
	u.sum()
	return u, nil
}

func (o *UnionOptions) check() error {
	if len(o.Lakes) == 0 {
		return UsageErrorf("union takes the lakes of the shards of a list: their addresses, one with %s in it, or the folder or prefix that they lie in", ShardPlaceholder)
	}
	if o.DDL.Dialect == "" {
		return nil
	}
	o.DDL.Lake = o.Lakes[0]
	return o.DDL.validate()
}

// template is the address of the lakes with ShardPlaceholder in it; empty: they are named otherwise.
func (o *UnionOptions) template() string {
	if len(o.Lakes) == 1 && strings.Contains(o.Lakes[0], ShardPlaceholder) {
		return o.Lakes[0]
	}
	return ""
}

// find finds the lakes. count is the number of shards, if the first lake that was found by a template says it.
func (o *UnionOptions) find(ctx context.Context, env *Env) (uris []string, count int, err error) {
	template, store := o.template(), o.DDL.Store
	switch {
	case template != "":
		return findByTemplate(ctx, env, store, template)
	case len(o.Lakes) > 1:
		return o.Lakes, 0, nil
	}
	if exists, err := lakeExists(ctx, env, store, o.Lakes[0]); exists && err == nil {
		return o.Lakes, 0, nil
	}
	if uris, err = findFolders(ctx, env, store, o.Lakes[0]); err == nil && len(uris) == 0 {
		err = UsageErrorf("%s is neither a lake nor a folder of lakes", o.Lakes[0])
	}
	return uris, 0, err
}

// findByTemplate finds the lakes of all indexes, as many as the first of them says that there are.
func findByTemplate(ctx context.Context, env *Env, o StoreOptions, template string) (uris []string, count int, err error) {
	for index := 0; index <= cmp.Or(count, pipeline.MaxShards-1); index++ { // one more: the lake of another division
		uri := shardAddress(template, index)
		exists, err := lakeExists(ctx, env, o, uri)
		if err != nil {
			return nil, 0, err
		}
		if !exists {
			continue
		}
		uris = append(uris, uri)
		if count > 0 {
			continue
		}
		l, err := openLake(ctx, env, o, uri, readOnly)
		if err != nil {
			return nil, 0, err
		}
		shard, _ := recordedShard(l.ledger.Runs())
		if err := l.close(); err != nil {
			return nil, 0, lakeError(err)
		}
		if s, err := (&ListOptions{Shard: shard}).shard(); err == nil {
			count = s.Count
		}
	}
	if len(uris) == 0 {
		err = UsageErrorf("%s: there is no lake of any shard", template)
	}
	return uris, count, err
}

// findFolders finds the lakes in a folder or below a prefix.
func findFolders(ctx context.Context, env *Env, o StoreOptions, parent string) (uris []string, err error) {
	var names []string
	if sinks.OnS3(parent) {
		b, err := openBucket(ctx, env, o, parent)
		if err != nil {
			return nil, UsageErrorf("%v", err)
		}
		if names, err = b.Folders(ctx); err != nil {
			return nil, &Error{KindStorage, err}
		}
	} else {
		entries, err := os.ReadDir(strings.TrimPrefix(parent, "file://"))
		if errors.Is(err, fs.ErrNotExist) {
			return nil, UsageErrorf("%s does not exist", parent)
		}
		if err != nil {
			return nil, &Error{KindStorage, err}
		}
		for _, e := range entries {
			if e.IsDir() && !strings.HasPrefix(e.Name(), "_") {
				names = append(names, e.Name())
			}
		}
	}
	for _, name := range names {
		uri := strings.TrimRight(parent, "/") + "/" + name
		if exists, err := lakeExists(ctx, env, o, uri); err == nil && exists {
			uris = append(uris, uri)
		} else if err != nil && isLakeDamage(err) {
			return nil, err
		}
	}
	return uris, nil
}

// isLakeDamage reports whether an error is that of a lake, and not that of a folder that is none.
func isLakeDamage(err error) bool {
	var typed *Error
	return errors.As(err, &typed) && typed.Kind != KindUsage
}

// readShardLake reads the lake of a shard.
func readShardLake(ctx context.Context, env *Env, o StoreOptions, uri string) (s *shardLake, err error) {
	s = &shardLake{uri: uri, bySignal: map[string]int64{}, afterwards: map[string]string{}}
	if s.address, err = findLake(uri); err != nil {
		return nil, err
	}
	l, err := openExistingLake(ctx, env, o, uri, readOnly)
	if err != nil {
		return nil, err
	}
	defer l.close() //nolint:errcheck // nothing was written
	runs := l.ledger.Runs()
	shard, found := recordedShard(runs)
	if found && shard == "" {
		return nil, UsageErrorf("%s holds runs of whole lists, made without --shard: it is no lake of a shard; siglake ddl and siglake status read it", uri)
	}
	if s.empty = !found; found {
		if s.shard, err = (&ListOptions{Shard: shard}).shard(); err != nil {
			return nil, err
		}
	}
	if s.status, err = newStatusReader(l).status(ctx, &StatusOptions{Lake: uri}, 0); err != nil {
		return nil, err
	}
	s.simulated = len(runs) > 0 && runs[0].Simulated
	if p := lastPublication(runs); p != nil && p.Published == nil {
		s.unpublished = p.ID
	}
	s.optedOut = l.ledger.Erasures().Contacts()
	for _, r := range runs {
		if _, until := windowOf(r); isCommand(r) && r.Published != nil {
			key := serviceOf(r) + " " + listOf(r)
			s.afterwards[key] = max(s.afterwards[key], until)
		}
	}
	return s, s.readPublished(ctx, l)
}

// readPublished reads what the lake shows.
func (s *shardLake) readPublished(ctx context.Context, l *lake) error {
	inspector, err := sinks.Inspect(ctx, l.uri, l.options)
	if err != nil {
		return &Error{KindStorage, err}
	}
	defer inspector.Close() //nolint:errcheck // it was only read
	if s.snapshot, err = inspector.ReadSnapshot(ctx, 0); err != nil {
		return lakeError(err)
	}
	for m, err := range inspector.Generations(ctx) {
		if err != nil {
			return lakeError(err)
		}
		for signal, credits := range m.Credits.BySignal {
			s.bySignal[signal] += credits
		}
	}
	return nil
}

// checkShards makes sure that lakes are those of different shards of one division, whose number it returns.
func checkShards(lakes []*shardLake, count int) (int, error) {
	seen := map[int]*shardLake{}
	var first *shardLake
	for _, l := range lakes {
		if l.empty {
			continue
		}
		if first == nil {
			first, count = l, l.shard.Count
		}
		switch other := seen[l.shard.Index]; {
		case l.shard.Count != count:
			return 0, UsageErrorf("%s is shard %s and %s is shard %s: a list is divided in one way, or its entities are in two lakes; name the lakes of one division", first.uri, first.shard, l.uri, l.shard)
		case other != nil:
			return 0, UsageErrorf("%s and %s are both shard %s: their rows would count twice; name one of them", other.uri, l.uri, l.shard)
		case l.simulated != first.simulated:
			return 0, UsageErrorf("%s and %s: one holds simulated answers, and the other one real ones; name lakes of one kind", first.uri, l.uri)
		}
		seen[l.shard.Index] = l
	}
	if first == nil {
		return 0, UsageErrorf("%s has no run of a shard; siglake run --shard makes one", lakes[0].uri)
	}
	return count, nil
}

// place gives every shard its lake, and says what is wrong with it.
func (u *Union) place(lakes []*shardLake, template string) {
	latest := map[string]string{}
	byShard := map[int]*shardLake{}
	var idle []string
	for _, l := range lakes {
		if l.empty {
			idle = append(idle, l.uri)
			continue
		}
		byShard[l.shard.Index] = l
		for key, until := range l.afterwards {
			latest[key] = max(latest[key], until)
		}
	}
	for i := range u.Report.Shards {
		s := ShardStatus{Shard: i, Problems: []string{}}
		l := byShard[i]
		switch {
		case l != nil:
			s.fill(l, latest)
			u.Members = append(u.Members, UnionMember{i, l.address, l.snapshot})
			u.OptedOut = append(u.OptedOut, l.optedOut...)
		case template != "" && slices.Contains(idle, shardAddress(template, i)):
			s.Lake, s.Problems = shardAddress(template, i), []string{"no run has begun"}
		case template != "":
			s.Lake, s.Problems = shardAddress(template, i), []string{"missing: there is no lake"}
		case len(idle) > 0:
			s.Problems = []string{fmt.Sprintf("missing: no lake of it was found; no run has begun in %s", strings.Join(idle, ", "))}
		default:
			s.Problems = []string{"missing: no lake of it was found"}
		}
		u.Report.Lakes = append(u.Report.Lakes, s)
	}
	slices.Sort(u.OptedOut)
	u.OptedOut = slices.Compact(u.OptedOut)
}

// fill describes the lake of a shard. latest are the ends of the newest windows of any shard.
func (s *ShardStatus) fill(l *shardLake, latest map[string]string) {
	status := l.status
	s.found, s.Lake, s.Generation = l, l.uri, l.snapshot.Generation
	s.Runs, s.Credits, s.MaxCost = len(status.Runs), status.Credits, status.MaxCost
	onWire := 0
	for _, r := range status.Runs {
		s.Calls, onWire = s.Calls+r.Calls, onWire+r.OnWire
	}
	s.inDoubt = status.Liability.InDoubt.Calls > onWire
	add := func(text string, args ...any) { s.Problems = append(s.Problems, fmt.Sprintf(text, args...)) }
	switch {
	case status.Process != nil:
		add("%s is at work", status.Process.Command)
	case status.Unfinished != "":
		add("run %s is unfinished", status.Unfinished)
	case l.unpublished != "":
		add("publication %s of deliveries is unfinished", l.unpublished)
	case status.Reopened:
		add("calls that siglake held has released are left to request again")
	}
	if status.OpenLines > 0 {
		add("%s left to request", format.Count(status.OpenLines, "line"))
	}
	if s.inDoubt {
		add("%s in doubt", format.Count(status.Liability.InDoubt.Calls-onWire, "call"))
	}
	for _, key := range slices.Sorted(maps.Keys(latest)) {
		_, list, _ := strings.Cut(key, " ")
		switch until := l.afterwards[key]; {
		case until == latest[key]:
		case until == "":
			add("no run about %s is published", list)
		default:
			add("the newest run about %s is of %s, and other shards have one of %s", list, until, latest[key])
		}
	}
}

// sum adds up the bills.
func (u *Union) sum() {
	r := &u.Report
	signals, lists := map[string]int64{}, map[[2]string]*BillLine{}
	r.Complete = true
	for _, s := range r.Lakes {
		if r.Complete = r.Complete && len(s.Problems) == 0; s.found == nil {
			continue
		}
		r.Credits, r.MaxCost = r.Credits+s.Credits, r.MaxCost+s.MaxCost
		r.Liability.add(&s.found.status.Liability)
		for signal, credits := range s.found.bySignal {
			signals[signal] += credits
		}
		for _, run := range s.found.status.Runs {
			r.Runs = append(r.Runs, ShardRun{s.Shard, run})
			line := lists[[2]string{run.List, run.Service}]
			if line == nil {
				line = &BillLine{Name: run.List, Service: run.Service}
				lists[[2]string{run.List, run.Service}] = line
			}
			line.Runs, line.Calls, line.Credits = line.Runs+1, line.Calls+run.Calls, line.Credits+run.Credits
		}
	}
	r.OtherCredits = r.Credits
	for _, signal := range slices.Sorted(maps.Keys(signals)) {
		r.Signals = append(r.Signals, BillLine{Name: signal, Credits: signals[signal]})
		r.OtherCredits -= signals[signal]
	}
	for _, line := range lists {
		r.Lists = append(r.Lists, *line)
	}
	slices.SortFunc(r.Lists, func(a, b BillLine) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Service, b.Service)) })
	slices.SortStableFunc(r.Runs, func(a, b ShardRun) int { return a.Started.Compare(b.Started) })
}

// add adds what may have been charged in another lake.
func (l *Liability) add(o *Liability) {
	for _, part := range [][2]*Share{{&l.UnknownCharge, &o.UnknownCharge}, {&l.InDoubt, &o.InDoubt}, {&l.Retry, &o.Retry}, {&l.WrittenOff, &o.WrittenOff}, {&l.Decided, &o.Decided}} {
		part[0].Calls += part[1].Calls
		part[0].MaxCost += part[1].MaxCost
	}
}
