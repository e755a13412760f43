package app

import (
	"context"
	"regexp"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/idmap"
	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
	"github.com/siglake/siglake/sources"
)

// shardSetting holds the shard of a run in its settings; absent: it read the whole list.
const shardSetting = "shard"

// ShardPlaceholder stands for the index of the shard in the value of --lake.
const ShardPlaceholder = "{shard}"

// variableName is that of a variable of the environment.
var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// ParseShard reads the value of --shard: index/count, where the index counts from 0 and may be the name of a
// variable that holds it, such as JOB_COMPLETION_INDEX.
func ParseShard(getenv func(string) string, text string) (s pipeline.Shard, err error) {
	index, count, found := strings.Cut(text, "/")
	refuse := func() (pipeline.Shard, error) {
		return s, UsageErrorf("--shard %q: expected INDEX/COUNT, with an index from 0, such as 3/6 or JOB_COMPLETION_INDEX/6, and a count from 1 to %d", text, pipeline.MaxShards)
	}
	if !found {
		return refuse()
	}
	if variableName.MatchString(index) {
		name := index
		if index = getenv(name); index == "" {
			return s, UsageErrorf("--shard %q: the variable %s is not set; the scheduler that numbers the tasks sets it", text, name)
		}
	}
	var badIndex, badCount error
	s.Index, badIndex = strconv.Atoi(index)
	s.Count, badCount = strconv.Atoi(count)
	if badIndex != nil || badCount != nil || s.Count < 1 || s.Count > pipeline.MaxShards || strings.ContainsAny(index+count, "+-") {
		return refuse()
	}
	if s.Index >= s.Count {
		return s, UsageErrorf("--shard %q: the index is %d, and shards of %d are 0 to %d", text, s.Index, s.Count, s.Count-1)
	}
	return s, nil
}

// ResolveShard is the value of --shard as runs record it; empty: the whole list.
func ResolveShard(getenv func(string) string, text string) (string, error) {
	if text == "" {
		return "", nil
	}
	s, err := ParseShard(getenv, text)
	return s.String(), err
}

// ShardLake is the value of --lake, with the index of a shard, as --shard has it, in place of ShardPlaceholder.
func ShardLake(getenv func(string) string, shard, lake string) (string, error) {
	switch {
	case !strings.Contains(lake, ShardPlaceholder):
		return lake, nil
	case shard == "":
		return "", UsageErrorf("--lake %s: %s stands for the index of a shard, and no shard is named; name it with --shard INDEX/COUNT or the variable SIGLAKE_SHARD", lake, ShardPlaceholder)
	}
	s, err := ParseShard(getenv, shard)
	return shardAddress(lake, s.Index), err
}

// shardAddress is the address of the lake of a shard.
func shardAddress(lake string, index int) string {
	return strings.ReplaceAll(lake, ShardPlaceholder, strconv.Itoa(index))
}

// shard is the part of the list that is read.
func (l *ListOptions) shard() (pipeline.Shard, error) {
	if l.Shard == "" {
		return pipeline.Shard{}, nil
	}
	return ParseShard(func(string) string { return "" }, l.Shard)
}

// part is the shard as a source divides a list.
func (l *ListOptions) part() (*sources.Part, error) {
	s, err := l.shard()
	if err != nil || s.IsWhole() {
		return nil, err
	}
	return &sources.Part{Name: s.String(), Contains: s.Contains}, nil
}

// readsByLine reports whether a service asks about each line of a list, so that the list can be divided.
func readsByLine(s pipeline.Service) bool { return !s.IsPaged() }

// recordedShard is the shard of the runs of a lake that read lists. It is that of the first: others are refused.
func recordedShard(runs []*ledger.Run) (shard string, found bool) {
	for _, r := range runs {
		if isCommand(r) && readsByLine(services[r.Settings[serviceSetting]]) {
			return r.Settings[shardSetting], true
		}
	}
	return "", false
}

// checkShard keeps a lake to its shard. The lake of another one does not know what was bought for this one's
// entities.
func (j *Job) checkShard(ctx context.Context, l *lake) error {
	was, found := recordedShard(l.ledger.Runs())
	if !found || was == j.Source.Shard || !readsByLine(j.Service) {
		return nil
	}
	moved, total, err := countMoved(ctx, j.listInput, was)
	if err != nil {
		return err
	}
	asked := "without --shard"
	if j.Source.Shard != "" {
		asked = "--shard " + j.Source.Shard
	}
	if was == "" {
		return UsageErrorf("%s: the lake %s holds runs of whole lists, so the lakes of the other shards would buy again what it holds; omit --shard, or buy into a new lake for each shard", asked, j.Lake)
	}
	return UsageErrorf("%s: the lake %s is that of shard %s, and knows only what was bought for that one; of %s that this command is about, it would buy %s without knowing what the lakes of other shards hold; use --shard %[3]s, or buy into new lakes to divide the list anew",
		asked, l.uri, was, format.Count(total, "entity"), format.Thousands(moved))
}

// countMoved counts the entities of a list, or part, that do not belong to the shard of a lake, and all of them.
func countMoved(ctx context.Context, in *listInput, was string) (moved, total int64, err error) {
	before, err := (&ListOptions{Shard: was}).shard()
	if err != nil {
		return 0, 0, err
	}
	list, err := in.open(ctx)
	if err != nil {
		return 0, 0, err
	}
	defer list.Close() //nolint:errcheck // it was only read
	if err := list.FindClashes(ctx); err != nil {
		return 0, 0, err
	}
	var counted idmap.Map
	for a, err := range list.Accounts(ctx) {
		if err != nil {
			return 0, 0, runError(err)
		}
		row := uint32(a.Row) //nolint:gosec // a run has fewer
		if a.Identifier() == "" || counted.LoadOrStore(pipeline.IdentityOf(&a), row) != row {
			continue
		}
		if total++; !before.Contains(&a) {
			moved++
		}
	}
	return moved, total, ctx.Err()
}

// checkStateShard keeps the subscriptions of a lake to its shard.
func (s *WebhookSyncer) checkStateShard() error {
	for _, list := range s.state.Lists {
		if list.Shard != s.Source.Shard {
			return UsageErrorf("--shard %q: the subscriptions of the list %s in %s are those of shard %q; use the same --shard, or siglake webhooks remove %[2]s first", s.Source.Shard, list.Name, s.Lake, list.Shard)
		}
	}
	return nil
}
