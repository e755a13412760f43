package main

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"github.com/siglake/siglake/cmd/siglake/manual"
	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/format"
)

// helpWidth is how wide help is laid out, on every terminal: longer lines are
// hard to read.
const helpWidth = 80

// commandGroups say under which heading siglake --help lists a command, and in
// what order.
var commandGroups = []struct {
	title string
	names []string
}{
	{"Start here", []string{"demo", "check", "plan", "run", "resume", "job", "config"}},
	{"Other purchases", []string{"resolve", "score", "lookalikes", "visitors"}},
	{"Webhooks", []string{"webhooks", "listen", "erase"}},
	{"Lakes", []string{"status", "runs", "held", "verify", "rebuild", "salvage", "compact", "prune", "ddl", "union", "files", "schema", "export", "report"}},
	{"Account and tools", []string{"doctor", "usage", "signals", "simulate", "examples", "completion", "version", "help"}},
}

// firstFlags are those that a command's help shows before all others, together
// with the flags of that command alone.
var firstFlags = []string{"lake", "signals", "since", "max-results", "max-credits", "simulate"}

// flagGroups is the order of the categories of the other flags.
var flagGroups = []string{"What to request", "Nights (--since last)", "Money", "List", "API", "Work", "Output", "S3", "Simulator"}

// guide is what help shows of a command besides its flags.
type guide struct {
	examples []string
	topics   []string // manual pages
}

// guides are the examples and manual pages of the commands. The manual's tests
// execute the examples.
var guides = map[string]guide{
	"demo":  {[]string{"siglake demo"}, []string{"simulator"}},
	"check": {[]string{"siglake check accounts.csv", "siglake check accounts.csv --rejects rejects.csv"}, []string{"lists"}},
	"plan": {[]string{
		"siglake plan accounts.csv --lake lake --signals news,growth",
		`siglake plan accounts.csv --lake lake --signals all --price-per-credit "0.02 USD"`,
	}, []string{"money"}},
	"run": {[]string{
		"siglake run accounts.csv --lake trial-lake --signals news,growth --simulate",
		"siglake run accounts.csv --lake lake --signals news --since 30d --max-results 5 --max-credits 5000",
		"cat accounts.csv | siglake run - --lake lake --signals growth --max-credits 5000",
		"siglake run accounts.csv --lake lakes/shard-{shard} --shard 0/2 --signals news",
		"siglake run accounts.csv --lake lakes/shard-{shard} --shard 1/2 --signals news",
	}, []string{"lists", "money", "nights", "lake", "exit-codes"}},
	"resume":       {[]string{"siglake resume --lake lake"}, []string{"money", "nights"}},
	"job":          {[]string{"siglake job nightly", "siglake job nightly --max-credits 100"}, []string{"jobs", "nights", "deploy"}},
	"config":       {[]string{"siglake config check", "siglake config show nightly"}, []string{"jobs"}},
	"config check": {[]string{"siglake config check"}, []string{"jobs"}},
	"config show":  {[]string{"siglake config show", "siglake config show nightly --effective"}, []string{"jobs"}},
	"resolve":      {[]string{"siglake resolve accounts.csv --lake lake"}, []string{"api", "lists"}},
	"score":        {[]string{"siglake score accounts.csv --lake lake --max-credits 500"}, []string{"api", "lists"}},
	"lookalikes":   {[]string{"siglake lookalikes --seeds customers.csv --limit 20 --lake lake"}, []string{"api"}},
	"visitors":     {[]string{"siglake visitors --domain shop.example.com --since 30d --lake lake"}, []string{"api"}},
	"usage":        {[]string{"siglake usage --simulate"}, []string{"money"}},
	"webhooks": {[]string{
		"siglake webhooks sync accounts.csv --lake lake --signals news --url https://hooks.example.com/in",
	}, []string{"deliveries"}},
	"webhooks sync": {[]string{
		"siglake webhooks sync accounts.csv --lake lake --signals news --url https://hooks.example.com/in",
		"siglake webhooks sync accounts.csv --lake lake --signals news --max-credits 50 --yes",
	}, []string{"deliveries", "lists"}},
	"webhooks remove":        {[]string{"siglake webhooks remove accounts --lake lake"}, []string{"deliveries"}},
	"webhooks list":          {[]string{"siglake webhooks list --lake lake", "siglake webhooks list --lake lake --all"}, []string{"deliveries"}},
	"webhooks pause":         {[]string{"siglake webhooks pause --lake lake"}, []string{"deliveries"}},
	"webhooks resume":        {[]string{"siglake webhooks resume --lake lake"}, []string{"deliveries"}},
	"webhooks test":          {[]string{"siglake webhooks test --lake lake"}, []string{"deliveries"}},
	"webhooks rotate-secret": {[]string{"siglake webhooks rotate-secret --secret-file secrets"}, []string{"deliveries"}},
	"webhooks opt-outs":      {[]string{"siglake webhooks opt-outs --lake lake"}, []string{"deliveries"}},
	"webhooks stats":         {[]string{"siglake webhooks stats --lake lake"}, []string{"deliveries"}},
	"webhooks audit":         {[]string{"siglake webhooks audit --lake lake", "siglake webhooks audit --lake lake --since 30d"}, []string{"deliveries", "exit-codes"}},
	"webhooks cap":           {[]string{"siglake webhooks cap --lake lake --max-credits-per-day 500"}, []string{"deliveries"}},
	"webhooks publish":       {[]string{"siglake webhooks publish --lake lake"}, []string{"deliveries"}},
	"erase":                  {[]string{"siglake erase list --lake lake"}, []string{"deliveries"}},
	"erase list":             {[]string{"siglake erase list --lake lake"}, []string{"deliveries"}},
	"status":                 {[]string{"siglake status --lake lake", "siglake status --lake lake --max-age 26h"}, []string{"lake", "money", "nights"}},
	"held":                   {[]string{"siglake held list --lake lake", "siglake held reread --lake lake", "siglake held retry --lake lake"}, []string{"money"}},
	"held list":              {[]string{"siglake held list --lake lake"}, []string{"money"}},
	"held reread":            {[]string{"siglake held reread --lake lake", "siglake held reread 20261129T230643Z-0e5af8bb/000001-1 --lake lake"}, []string{"money"}},
	"held retry":             {[]string{"siglake held retry --lake lake"}, []string{"money"}},
	"runs":                   {[]string{"siglake runs --lake lake", "siglake runs --lake lake --month"}, []string{"nights", "exit-codes"}},
	"held accept-loss": {[]string{
		"siglake held accept-loss --lake lake",
	}, []string{"money"}},
	"verify":  {[]string{"siglake verify --lake lake"}, []string{"lake"}},
	"salvage": {[]string{"siglake salvage --lake lake", "siglake salvage --lake lake --accept-loss"}, []string{"lake"}},
	"rebuild": {[]string{"siglake rebuild --lake lake --into new-lake"}, []string{"lake"}},
	"compact": {[]string{"siglake compact --lake lake", "siglake compact --lake lake --min-files 2"}, []string{"lake"}},
	"prune":   {[]string{"siglake prune --lake lake --older-than 30d", "siglake prune --lake lake --journal --older-than 400d"}, []string{"lake", "nights"}},
	"ddl":     {[]string{"siglake ddl --lake lake > lake.sql"}, []string{"sql", "iceberg"}},
	"union": {[]string{
		"siglake union lakes/shard-{shard}",
		"siglake union lakes --dialect duckdb > lakes.sql",
	}, []string{"shards", "sql"}},
	"files":       {[]string{"siglake files --lake lake --table news", "siglake files --lake lake --generation 3 --json"}, []string{"sql"}},
	"schema":      {[]string{"siglake schema show growth", "siglake schema diff lake 5"}, []string{"contract", "sql"}},
	"schema docs": {[]string{"siglake schema docs --table growth", "siglake schema docs --format json > dictionary.json"}, []string{"contract"}},
	"schema show": {[]string{"siglake schema show", "siglake schema show growth"}, []string{"contract"}},
	"schema diff": {[]string{"siglake schema diff lake 5"}, []string{"contract"}},
	"schema dbt":  {[]string{"siglake schema dbt > sources.yml"}, []string{"contract", "sql"}},
	"export": {[]string{
		"siglake export --lake lake --list accounts.csv --output prospects.xlsx",
		"siglake export --lake lake --list accounts.csv --signals news --since 30d --output news.csv",
		"siglake export --lake lake --events --output events.parquet",
	}, []string{"sheets", "lists"}},
	"report": {[]string{
		"siglake report --lake lake --output report.html",
		"siglake report --lake lake --since 7d --format md --output -",
		"siglake report --lake lake --run last --output night.html",
	}, []string{"reports", "sql"}},
	"doctor":     {[]string{"siglake doctor --lake lake --simulate"}, []string{"nights", "s3"}},
	"signals":    {[]string{"siglake signals", "siglake signals riskNews", "siglake signals growth --json"}, []string{"api"}},
	"listen":     {[]string{"siglake listen --lake lake --secret-file secrets.txt"}, []string{"receiving", "deploy", "exit-codes"}},
	"simulate":   {[]string{"siglake simulate --list-faults"}, []string{"simulator"}},
	"examples":   {[]string{"siglake examples", "siglake examples systemd", "siglake examples cron siglake-retry"}, []string{"deploy", "jobs", "exit-codes"}},
	"completion": {[]string{"siglake completion bash > siglake.bash"}, nil},
	"version":    {[]string{"siglake version"}, nil},
	"help":       {[]string{"siglake help run", "siglake help money"}, nil},
}

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Aliases:   []string{"h"},
		Usage:     "show the help of a command or a manual page",
		ArgsUsage: "[COMMAND | TOPIC]",
		Description: "siglake help lists commands and topics. On a terminal it formats a manual page for reading; elsewhere it\n" +
			"prints the page as Markdown.",
		Action: func(c *cli.Context) error { return printHelp(c.App, c.App.Writer, c.Args().Slice()) },
	}
}

// dress gives every command the errors that a command line of this program ends
// with.
func dress(program *cli.App) { dressAll(program.Commands, "") }

func dressAll(commands []*cli.Command, under string) {
	for _, cmd := range commands {
		path := strings.TrimSpace(under + " " + cmd.Name)
		cmd.HideHelp = true // answersHelp prints it
		cmd.OnUsageError = func(c *cli.Context, err error, _ bool) error { return flagError(cmd, path, invocationOf(c).args, err) }
		cmd.Before = requireFlags(cmd, path)
		if len(cmd.Subcommands) > 0 && cmd.Action == nil {
			cmd.Action = func(c *cli.Context) error {
				return app.UsageErrorf("unknown command %q%s; see siglake %s --help", path+" "+c.Args().First(), suggestCommand(cmd.Subcommands, c.Args().First()), path)
			}
		}
		dressAll(cmd.Subcommands, path)
	}
}

// requireFlags takes the check of a command's required flags over from the flag library, which prints a help of its
// own layout; nil if there are none.
func requireFlags(cmd *cli.Command, path string) cli.BeforeFunc {
	var required []*cli.StringFlag
	for _, f := range cmd.Flags {
		if text, ok := f.(*cli.StringFlag); ok && text.Required {
			text.Required = false
			required = append(required, text)
		}
	}
	if len(required) == 0 {
		return nil
	}
	return func(c *cli.Context) error {
		for _, f := range required {
			switch {
			case *f.Destination != "":
				continue
			case f.Name == "lake" && c.NArg() == 1 && cmd.ArgsUsage == "":
				return app.UsageErrorf("name the lake with --lake: siglake %s --lake %s", path, shellWord(c.Args().First()))
			case f.Name == "lake":
				return app.ErrNoLake
			}
			usage, word := f.Usage, "VALUE"
			if _, rest, quoted := strings.Cut(usage, "`"); quoted {
				word, _, _ = strings.Cut(rest, "`")
			}
			return app.UsageErrorf("%s needs --%s %s; see siglake %s --help", path, f.Name, word, path)
		}
		return nil
	}
}

// answersHelp prints the help or version that the arguments want, wherever the
// flag stands among them; false when they want something else.
func answersHelp(program *cli.App, args []string) bool {
	switch {
	case len(args) < 2:
		printAppHelp(program, program.Writer)
		return true
	case args[1] == "--version" || args[1] == "-v":
		fmt.Fprintln(program.Writer, versionLine())
		return true
	}
	cmd, path, rest := commandOfArgs(program, args[1:])
	switch {
	case namesUnknown(cmd, rest): // its error says so
	case wantsHelp(cmd, rest) || cmd != nil && len(cmd.Subcommands) > 0 && len(rest) > 0 && (rest[0] == "help" || rest[0] == "h"),
		cmd != nil && len(cmd.Subcommands) > 0 && len(rest) == 0:
		if cmd == nil {
			printAppHelp(program, program.Writer)
		} else {
			printCommandHelp(program.Writer, cmd, path)
		}
		return true
	}
	return false
}

// commandOfArgs is the command that arguments begin with, its full name, and
// what stands behind it; nil when they begin with none.
func commandOfArgs(program *cli.App, args []string) (cmd *cli.Command, path string, rest []string) {
	for commands := program.Commands; len(args) > 0; commands, args = cmd.Subcommands, args[1:] {
		i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(args[0]) })
		if i < 0 {
			break
		}
		cmd = commands[i]
		path = strings.TrimSpace(path + " " + cmd.Name)
	}
	return cmd, path, args
}

// namesUnknown reports whether a word stands where a command should, and is none. cmd is the command before it; nil: none.
func namesUnknown(cmd *cli.Command, rest []string) bool {
	return (cmd == nil || len(cmd.Subcommands) > 0) && len(rest) > 0 && !strings.HasPrefix(rest[0], "-") && rest[0] != "help" && rest[0] != "h"
}

// wantsHelp reports whether --help or -h stands among a command's arguments,
// other than as the value of a flag.
func wantsHelp(cmd *cli.Command, args []string) bool {
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		switch name := strings.TrimLeft(args[i], "-"); {
		case args[i] == "--help" || args[i] == "-help" || args[i] == "-h":
			return true
		case cmd != nil && name != args[i] && takesValue(flagNamed(cmd, name)):
			i++
		}
	}
	return false
}

// flagNamed is a command's flag; nil when it has none of the name.
func flagNamed(cmd *cli.Command, name string) cli.Flag {
	i := slices.IndexFunc(cmd.Flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	if i < 0 {
		return nil
	}
	return cmd.Flags[i]
}

func takesValue(f cli.Flag) bool {
	d, ok := f.(cli.DocGenerationFlag)
	return ok && d.TakesValue()
}

// printHelp prints what siglake help NAMES is to show.
func printHelp(program *cli.App, w io.Writer, names []string) error {
	if len(names) == 0 {
		printAppHelp(program, w)
		return nil
	}
	cmd, path, rest := commandOfArgs(program, names)
	switch page, known := manual.Lookup(names[0]); {
	case cmd != nil && len(rest) == 0:
		printCommandHelp(w, cmd, path)
	case known && len(names) == 1 && isTerminal(w):
		fmt.Fprint(format.Below(w), manual.Render(page.Text, helpWidth, manual.Terminal)) // with colours
	case known && len(names) == 1:
		fmt.Fprint(w, page.Text)
	default:
		var all []string
		for _, c := range program.VisibleCommands() {
			all = append(all, c.Name)
		}
		for _, p := range manual.Pages() {
			all = append(all, p.Topic)
		}
		return app.UsageErrorf("unknown command or manual page %q%s; siglake help lists them", strings.Join(names, " "), app.DidYouMean(names[0], all))
	}
	return nil
}

// isTerminal reports whether a person reads what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := format.Below(w).(*os.File)
	return ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// isInteractive reports whether a person reads standard error and answers on standard input.
func isInteractive() bool { return term.IsTerminal(int(os.Stdin.Fd())) && isTerminal(os.Stderr) }

func printAppHelp(program *cli.App, w io.Writer) {
	fmt.Fprint(w, manual.Wrap(program.Name+" - "+program.Usage, helpWidth, "", "  "))
	fmt.Fprintf(w, "\nUsage:\n  %s COMMAND [ARGUMENTS] [FLAGS]\n", program.Name)
	for _, g := range commandGroups {
		var commands []*cli.Command
		for _, name := range g.names {
			if c := program.Command(name); c != nil {
				commands = append(commands, c)
			}
		}
		fmt.Fprintf(w, "\n%s:\n", g.title)
		printUsages(w, commands)
	}
	fmt.Fprintf(w, "\nManual (%s help TOPIC):\n", program.Name)
	var topics [][2]string
	for _, p := range manual.Pages() {
		topics = append(topics, [2]string{p.Topic, p.Summary})
	}
	printColumns(w, topics)
	fmt.Fprintf(w, "\n%s COMMAND --help shows a command's flags and examples.\n", program.Name)
}

// printCommandHelp prints a command's help: what it does, how it is used, and its
// flags, those first that people need first.
func printCommandHelp(w io.Writer, cmd *cli.Command, path string) {
	fmt.Fprint(w, manual.Wrap("siglake "+path+" - "+cmd.Usage, helpWidth, "", "  "))
	fmt.Fprintf(w, "\nUsage:\n  siglake %s\n", usageLine(cmd, path))
	if cmd.Description != "" {
		fmt.Fprint(w, "\n"+reflow(cmd.Description))
	}
	if len(cmd.Subcommands) > 0 {
		fmt.Fprint(w, "\nCommands:\n")
		printUsages(w, cmd.Subcommands)
	}
	g := guides[path]
	if len(g.examples) > 0 {
		fmt.Fprint(w, "\nExamples:\n")
		for _, e := range g.examples {
			fmt.Fprintf(w, "  $ %s\n", e)
		}
	}
	for _, group := range groupFlags(cmd) {
		fmt.Fprintf(w, "\n%s:\n", group.title)
		for _, f := range group.flags {
			printFlag(w, f)
		}
	}
	printVariableRule(w, cmd)
	if len(g.topics) > 0 {
		fmt.Fprintf(w, "See also: siglake help %s\n", strings.Join(g.topics, ", "))
	}
}

// printUsages prints what each command is for.
func printUsages(w io.Writer, commands []*cli.Command) {
	var rows [][2]string
	for _, c := range commands {
		rows = append(rows, [2]string{c.Name, c.Usage})
	}
	printColumns(w, rows)
}

// printColumns prints names and texts in two columns, of which the first is as wide as the longest name.
func printColumns(w io.Writer, rows [][2]string) {
	width := 11
	for _, row := range rows {
		width = max(width, len(row[0]))
	}
	for _, row := range rows {
		fmt.Fprint(w, manual.Wrap(row[1], helpWidth, fmt.Sprintf("  %-*s ", width, row[0]), strings.Repeat(" ", width+3)))
	}
}

func usageLine(cmd *cli.Command, path string) string {
	line := path
	if len(cmd.Subcommands) > 0 {
		line += " COMMAND"
	}
	if cmd.ArgsUsage != "" {
		line += " " + cmd.ArgsUsage
	}
	return line + " [FLAGS]"
}

// printVariableRule says which variable sets a flag, by the first flag that follows the rule.
func printVariableRule(w io.Writer, cmd *cli.Command) {
	for _, group := range groupFlags(cmd) {
		for _, f := range group.flags {
			if d, ok := f.(cli.DocGenerationFlag); ok && len(d.GetEnvVars()) > 0 && variableOf(f) == "" {
				fmt.Fprint(w, "\n"+manual.Wrap(fmt.Sprintf("Each flag can be set by an environment variable: --%s by %s.", f.Names()[0], d.GetEnvVars()[0]), helpWidth, "", ""))
				return
			}
		}
	}
}

// reflow lays out a description: paragraphs are wrapped, lines that begin with a
// blank stay as they are.
func reflow(text string) string {
	var out, paragraph []string
	flush := func() {
		if len(paragraph) > 0 {
			out = append(out, strings.TrimSuffix(manual.Wrap(strings.Join(paragraph, " "), helpWidth, "", ""), "\n"))
			paragraph = nil
		}
	}
	for _, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == ' ' {
			flush()
			out = append(out, line)
			continue
		}
		paragraph = append(paragraph, line)
		if strings.HasSuffix(line, ":") {
			flush()
		}
	}
	flush()
	return strings.Join(out, "\n") + "\n"
}

// flagGroup is the flags under one heading of a command's help.
type flagGroup struct {
	title string
	flags []cli.Flag
}

// groupFlags sorts a command's visible flags under headings: firstFlags and those
// without a category, then by category.
func groupFlags(cmd *cli.Command) []flagGroup {
	byTitle := map[string][]cli.Flag{}
	for _, f := range cmd.VisibleFlags() {
		name, title := f.Names()[0], ""
		if c, ok := f.(cli.CategorizableFlag); ok && !slices.Contains(firstFlags, name) {
			title = c.GetCategory()
		}
		if name != "help" {
			byTitle[title] = append(byTitle[title], f)
		}
	}
	rank := func(list []string, word string) int {
		if i := slices.Index(list, word); i >= 0 {
			return i
		}
		return len(list)
	}
	slices.SortStableFunc(byTitle[""], func(a, b cli.Flag) int {
		return cmp.Compare(rank(firstFlags, a.Names()[0]), rank(firstFlags, b.Names()[0]))
	})
	var groups []flagGroup
	for title, flags := range byTitle {
		groups = append(groups, flagGroup{title, flags})
	}
	slices.SortFunc(groups, func(a, b flagGroup) int {
		return cmp.Or(cmp.Compare(min(len(a.title), 1), min(len(b.title), 1)), cmp.Compare(rank(flagGroups, a.title), rank(flagGroups, b.title)), cmp.Compare(a.title, b.title))
	})
	if len(groups) > 0 && groups[0].title == "" {
		groups[0].title = "Flags"
	}
	return groups
}

// printFlag prints a flag in two columns.
func printFlag(w io.Writer, f cli.Flag) {
	names, usage := flagText(f)
	const column = 26
	first := "  " + names
	if len(first) > column-2 {
		fmt.Fprintln(w, first)
		first = ""
	}
	fmt.Fprint(w, manual.Wrap(usage, helpWidth, fmt.Sprintf("%-*s", column, first), strings.Repeat(" ", column)))
}

// flagText gives a flag's names with the word for its value, and its usage with
// its values and its default.
func flagText(f cli.Flag) (names, usage string) {
	for _, n := range f.Names() {
		names += ", " + map[bool]string{true: "-", false: "--"}[len(n) == 1] + n
	}
	names = names[2:]
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return names, ""
	}
	usage = d.GetUsage()
	if d.TakesValue() {
		word := "VALUE"
		if _, rest, quoted := strings.Cut(usage, "`"); quoted {
			word, _, _ = strings.Cut(rest, "`")
		} else if kind, known := valueWords[fmt.Sprintf("%T", f)]; known {
			word = kind
		}
		names += " " + word
		usage = strings.ReplaceAll(usage, "`", "")
	}
	if own := variableOf(f); own != "" {
		usage += " (variable: " + own + ")"
	}
	if text := strings.Trim(d.GetDefaultText(), `"`); d.TakesValue() && text != "" && text != "0s" {
		usage += " (default: " + text + ")"
	}
	return names, usage
}

// variableOf is the variable that sets a flag, when it is another than the rule
// says.
func variableOf(f cli.Flag) string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok || len(d.GetEnvVars()) == 0 {
		return ""
	}
	if own := d.GetEnvVars()[0]; own != "SIGLAKE_"+strings.ToUpper(strings.ReplaceAll(f.Names()[0], "-", "_")) {
		return own
	}
	return ""
}

// valueWords are the words for values of flags that name none.
var valueWords = map[string]string{
	"*cli.IntFlag": "N", "*cli.Int64Flag": "N", "*cli.Uint64Flag": "N", "*cli.Float64Flag": "N",
	"*cli.DurationFlag": "TIME", "*cli.StringSliceFlag": "VALUE,…",
}
