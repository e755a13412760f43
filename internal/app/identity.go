package app

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/siglake/siglake/internal/ledger"
)

// Identity is what a user asks for, as far as it decides what is bought and what
// the rows look like: two runs with the same command are one and the same.
type Identity struct {
	Settings    map[string]string
	inputDigest string // SHA-256 of the list
	refresh     bool   // buy again: another purchase of the same
}

// serviceSetting holds the name of the command in the settings of every run but
// those of siglake run.
const serviceSetting = "service"

// simulatedAddress and a seed stand for the address of an embedded simulator.
const simulatedAddress = "simulator, seed "

// NewIdentity collects the settings that matter. Every run is recognised by
// their names and values: a change of either would have it bought again.
func NewIdentity(o *RunOptions, inputDigest string) Identity {
	list := func(words []string) string {
		words = SplitWords(words)
		slices.Sort(words)
		return strings.Join(words, ",")
	}
	settings := map[string]string{
		"signals": list(o.Query.Signals), "since": o.Query.Since, "max-results": strconv.Itoa(o.Query.MaxResults),
		"news-event-types": list(o.Query.NewsEventTypes), "hiring-departments": list(o.Query.HiringDepartments), "hiring-locations": list(o.Query.HiringLocations),
		"map": list(o.Source.Map), "object": o.Source.Object, "header": o.Source.Header, "delimiter": o.Source.Delimiter, "encoding": o.Source.Encoding,
		"partition-by": o.Work.PartitionBy, "base-url": o.API.BaseURL,
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
	if o.Query.SendFilters {
		settings["send-filters"] = "true"
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
	return Identity{Settings: settings, inputDigest: inputDigest, refresh: o.Money.Refresh}
}

func setIfAny(settings map[string]string, name, value string) {
	if value != "" {
		settings[name] = value
	}
}

// RestoreOptions sets the options that NewIdentity reads to those of an earlier
// run. It is the inverse of NewIdentity.
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
		Signals: list("signals"), Since: settings["since"], MaxResults: number("max-results"),
		NewsEventTypes: list("news-event-types"), HiringDepartments: list("hiring-departments"), HiringLocations: list("hiring-locations"),
		IntentCategories: list("intent-categories"), SendFilters: settings["send-filters"] == "true", APIVersion: settings["api"],
	}
	o.Pages = PageOptions{Exclude: settings["exclude"], Sites: list("domain"), Limit: number("limit"), PageSize: number("page-size")}
	o.Source = ListOptions{
		Map: list("map"), Object: settings["object"], Header: settings["header"], Delimiter: settings["delimiter"], Encoding: settings["encoding"],
	}
	o.Work.PartitionBy = settings["partition-by"]
	if seed, simulated := strings.CutPrefix(settings["base-url"], simulatedAddress); !simulated {
		o.API.BaseURL = settings["base-url"]
	} else if o.API.Simulate = true; err == nil {
		o.API.Seed, err = strconv.ParseUint(seed, 10, 64)
	}
	return err
}

func (id Identity) digest() string {
	text, err := json.Marshal(id.Settings) // keys are sorted
	if err != nil {
		panic(err) // of texts
	}
	sum := sha256.Sum256(append(text, id.inputDigest...))
	return hex.EncodeToString(sum[:])
}

// changesFrom says what is not as it was in a run.
func (id Identity) changesFrom(r *ledger.Run) string {
	if now, before := orDefault(id.Settings[serviceSetting], "run"), orDefault(r.Settings[serviceSetting], "run"); now != before {
		return fmt.Sprintf("its command was siglake %s, not siglake %s", before, now)
	}
	var parts []string
	for name, now := range id.Settings {
		if before := r.Settings[name]; before != now {
			parts = append(parts, fmt.Sprintf("--%s was %q and is now %q", name, before, now))
		}
	}
	slices.Sort(parts)
	if id.refresh && !r.Refresh {
		parts = append(parts, "--refresh is new")
	}
	if r.Input != id.inputDigest {
		parts = append(parts, fmt.Sprintf("the list %s has changed since", r.URI))
	}
	return strings.Join(parts, "; ")
}
