package app

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/ledger"
	"github.com/siglake/siglake/pipeline"
)

// serviceSetting holds the name of the command in the settings of every run but
// those of siglake run.
const serviceSetting = "service"

// simulatedAddress and a seed stand for the address of an embedded simulator.
const simulatedAddress = "simulator, seed "

// Settings are the options that decide what is bought and what the rows look like, by
// flag. Two runs with the same settings and the same list request the same, and the
// second buys nothing. So names and values never change: a run whose settings have
// another digest is bought again.
func Settings(o *RunOptions) map[string]string {
	list := func(words []string) string {
		words = SplitWords(words)
		slices.Sort(words)
		return strings.Join(words, ",")
	}
	settings := map[string]string{
		"signals": list(o.Query.Signals), "since": o.Query.Since, "max-results": strconv.Itoa(o.Query.MaxResults),
		"news-event-types": list(o.Query.NewsEventTypes), "hiring-departments": list(o.Query.HiringDepartments), "hiring-locations": list(o.Query.HiringLocations),
		"map": list(o.Source.Map), "object": o.Source.Object, "header": o.Source.Header, "delimiter": o.Source.Delimiter, "encoding": o.Source.Encoding,
		partitionSetting: cmp.Or(o.Work.PartitionBy, defaultPartition), "base-url": o.API.BaseURL,
	}
	if o.API.Simulate {
		settings["base-url"] = simulatedAddress + strconv.FormatUint(o.API.Seed, 10)
	}
	for name, s := range services {
		if s == o.Service {
			settings[serviceSetting] = name
		}
	}
	// What came later is there only when it says something, so that a command is
	// known again that an earlier version carried out.
	if api := o.Query.APIVersion; api != APIAuto {
		setIfAny(settings, "api", api)
	}
	setIfAny(settings, "sheet", o.Source.Sheet)
	setIfAny(settings, "keep", list(o.Source.Keep))
	if o.Query.SendFilters {
		settings["send-filters"] = "true"
	}
	if o.Query.Since == sinceLast {
		settings["completeness"], settings["backfill"] = o.Nights.Completeness, o.Nights.Backfill
		setIfAny(settings, "lateness", list(o.Nights.Lateness))
		setIfAny(settings, "nightly-types", list(o.Nights.NightlyTypes))
		setIfAny(settings, "audit", o.Nights.Audit)
	}
	setIfAny(settings, "intent-categories", list(o.Query.IntentCategories))
	setIfAny(settings, "domain", list(o.Pages.Sites))
	setIfAny(settings, "exclude", o.Pages.Exclude)
	if o.Pages.Limit > 0 {
		settings["limit"] = strconv.Itoa(o.Pages.Limit)
	}
	if o.Pages.PageSize > 0 {
		settings["page-size"] = strconv.Itoa(o.Pages.PageSize)
	}
	if o.Source.Sample > 0 {
		settings["sample"], settings["sample-seed"] = strconv.Itoa(o.Source.Sample), strconv.FormatUint(o.Source.SampleSeed, 10)
	}
	setIfAny(settings, shardSetting, o.Source.Shard)
	return settings
}

func setIfAny(settings map[string]string, name, value string) {
	if value != "" {
		settings[name] = value
	}
}

// RestoreOptions sets the options that Settings reads to those of an earlier
// run. It is the inverse of Settings.
func RestoreOptions(o *RunOptions, settings map[string]string) (err error) {
	number := func(name string) (n int) {
		if text := settings[name]; text != "" && err == nil {
			if n, err = strconv.Atoi(text); err != nil {
				err = fmt.Errorf("--%s: %w", name, err)
			}
		}
		return n
	}
	list := func(name string) []string { return SplitWords(strings.Split(settings[name], ",")) }
	o.Service = services[settings[serviceSetting]]
	o.Query = QueryOptions{
		Signals: list("signals"), Since: settings["since"], SinceSet: true, MaxResults: number("max-results"),
		NewsEventTypes: list("news-event-types"), HiringDepartments: list("hiring-departments"), HiringLocations: list("hiring-locations"),
		IntentCategories: list("intent-categories"), SendFilters: settings["send-filters"] == "true", APIVersion: settings["api"],
	}
	if o.Query.Since == sinceLast {
		o.Nights = NightOptions{Completeness: settings["completeness"], Backfill: settings["backfill"], Lateness: list("lateness"), NightlyTypes: list("nightly-types"), Audit: settings["audit"]}
	}
	o.Pages = PageOptions{Exclude: settings["exclude"], Sites: list("domain"), Limit: number("limit"), PageSize: number("page-size")}
	o.Source = ListOptions{
		Map: list("map"), Keep: list("keep"), Object: settings["object"], Header: settings["header"], Delimiter: settings["delimiter"], Encoding: settings["encoding"],
		Sheet: settings["sheet"], Shard: settings[shardSetting],
		Sample: number("sample"), SampleSeed: 1,
	}
	if seed := settings["sample-seed"]; seed != "" && err == nil {
		o.Source.SampleSeed, err = strconv.ParseUint(seed, 10, 64)
	}
	o.Work.PartitionBy = settings[partitionSetting]
	if seed, simulated := strings.CutPrefix(settings["base-url"], simulatedAddress); !simulated {
		o.API.BaseURL = settings["base-url"]
	} else if o.API.Simulate = true; err == nil {
		o.API.Seed, err = strconv.ParseUint(seed, 10, 64)
	}
	return err
}

// commandDigest is the digest of the settings and the list.
func commandDigest(settings map[string]string, inputDigest string) string {
	text, err := json.Marshal(settings) // keys are sorted
	if err != nil {
		panic(err) // of texts
	}
	sum := sha256.Sum256(append(text, inputDigest...))
	return hex.EncodeToString(sum[:])
}

// changesText lists the differences between a run that is asked for and an earlier one.
func changesText(asked *pipeline.RunSpec, r *ledger.Run) string {
	if now, before := orDefault(asked.Settings[serviceSetting], "run"), orDefault(r.Settings[serviceSetting], "run"); now != before {
		return fmt.Sprintf("its command was siglake %s, not siglake %s", before, now)
	}
	var parts []string
	names := maps.Clone(asked.Settings)
	maps.Copy(names, r.Settings)
	for name := range names {
		if now, before := asked.Settings[name], r.Settings[name]; before != now && name != partitionSetting {
			parts = append(parts, fmt.Sprintf("--%s was %q and is now %q", name, before, now))
		}
	}
	slices.Sort(parts)
	switch {
	case asked.Refresh && !r.Refresh:
		parts = append(parts, "--refresh is new")
	case r.Refresh && !asked.Refresh:
		parts = append(parts, "--refresh is missing")
	}
	if r.Input != asked.Input {
		parts = append(parts, fmt.Sprintf("the list %s has changed since", r.URI))
	}
	return strings.Join(parts, "; ")
}
