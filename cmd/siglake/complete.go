package main

import (
	"cmp"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/cmd/siglake/manual"
	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/ddl"
	"github.com/siglake/siglake/internal/format"
	"github.com/siglake/siglake/internal/simulator"
)

// completeCommand is what the shells' scripts ask for the words that may follow.
const completeCommand = "__complete"

// flagValues are the values of flags that take one of a few, by the flag's name.
// A test holds them against what the program accepts.
var flagValues = map[string][]string{
	"api":          {"auto", "v2", "v3"},
	"contract":     {"evolve", "freeze"},
	"delimiter":    {"auto", "tab", "none"},
	"dialect":      ddl.Dialects(),
	"encoding":     {"auto", "utf-8", "utf-16le", "utf-16be", "windows-1252", "windows-1250", "windows-1251", "shift_jis", "euc-jp", "euc-kr", "gbk", "big5"},
	"format":       {"md", "json"},
	"for":          {"run", "resolve", "score"},
	"header":       {"auto", "yes", "no"},
	"in-doubt":     {"hold", "retry", "probe"},
	"log-format":   {"text", "json"},
	"keep":         {"all"},
	"object":       {"auto", "company", "contact"},
	"partition-by": {"month", "day"},
	"plan":         {"free", "starter", "pro", "premium", "scale", "legacy", "unlimited"},
	"s3-checksum":  {"when-supported", "when-required"},
	"s3-sse":       {"AES256", "aws:kms"},
	"sim-lateness": latenessNames(),
	"sim-plan":     {"free", "pro", "premium", "scale", "legacy", "unlimited"},
	"since":        {"7d", "30d", "90d", "6m", "1y"},
}

// mapFields are what --map can name.
var mapFields = []string{"key", "id", "domain", "name", "first_name", "last_name", "linkedin", "email", "company_name", "company_domain"}

// valuesOf are the values that completion offers for a flag.
func valuesOf(flag string) []string {
	switch flag {
	case "signals":
		return app.SignalWords()
	case "map":
		return affixed(mapFields, "", "=")
	case "fault":
		var kinds []string
		for _, k := range simulator.FaultKinds() {
			kinds = append(kinds, k.Name)
		}
		return affixed(kinds, "", "@1")
	case "switch":
		var pairs []string
		for _, s := range simulator.SwitchDocs() {
			pairs = append(pairs, affixed(s.Values, s.Name+"=", "")...)
		}
		return pairs
	}
	return flagValues[flag]
}

func affixed(words []string, before, after string) []string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = before + w + after
	}
	return out
}

// completions are the words that may stand where the last of words, which may be
// the beginning of one or empty, stands: words is the command line without the
// program's name. None means that the shell should offer files.
func completions(program *cli.App, words []string) []string {
	last := words[len(words)-1]
	cmd, _, rest := commandOfArgs(program, words[:len(words)-1])
	var offered []string
	switch before := strings.Join(rest[max(0, len(rest)-1):], ""); {
	case cmd == nil && len(rest) > 0:
		return nil
	case cmd != nil && strings.HasPrefix(before, "-") && takesValue(flagNamed(cmd, strings.TrimLeft(before, "-"))):
		return valueCompletions(flagNamed(cmd, strings.TrimLeft(before, "-")), last)
	case cmd != nil && strings.HasPrefix(last, "-") && strings.Contains(last, "="):
		flag, value, _ := strings.Cut(last, "=")
		if f := flagNamed(cmd, strings.TrimLeft(flag, "-")); takesValue(f) {
			return affixed(valueCompletions(f, value), flag+"=", "")
		}
		return nil
	case strings.HasPrefix(last, "-"):
		offered = flagCompletions(cmd, rest)
	case cmd == nil || len(cmd.Subcommands) > 0:
		offered = commandCompletions(program, cmd)
	default:
		offered = argumentCompletions(program, cmd.Name)
	}
	return beginning(offered, last)
}

// beginning keeps the words that begin as typed.
func beginning(words []string, typed string) []string {
	return slices.DeleteFunc(slices.Clone(words), func(w string) bool { return !strings.HasPrefix(w, typed) })
}

// valueCompletions completes a flag's value; of a list, the part after the last comma.
func valueCompletions(f cli.Flag, last string) []string {
	before := ""
	if _, isList := f.(*cli.StringSliceFlag); isList {
		if i := strings.LastIndex(last, ","); i >= 0 {
			before, last = last[:i+1], last[i+1:]
		}
	}
	return affixed(beginning(valuesOf(f.Names()[0]), last), before, "")
}

// flagCompletions are the flags that a command still takes.
func flagCompletions(cmd *cli.Command, given []string) []string {
	if cmd == nil {
		return []string{"--help", "--version"}
	}
	var words []string
	for _, group := range groupFlags(cmd) {
		for _, f := range group.flags {
			_, isList := f.(*cli.StringSliceFlag)
			for _, name := range f.Names() {
				if len(name) > 1 && (isList || !slices.Contains(given, "--"+name)) {
					words = append(words, "--"+name)
				}
			}
		}
	}
	return append(words, "--help")
}

func commandCompletions(program *cli.App, cmd *cli.Command) (words []string) {
	commands := program.Commands
	if cmd != nil {
		commands = cmd.Subcommands
	}
	for _, c := range commands {
		if !c.Hidden {
			words = append(words, c.Name)
		}
	}
	return words
}

// argumentCompletions are a command's arguments, where they are not files.
func argumentCompletions(program *cli.App, command string) []string {
	switch command {
	case "completion":
		return []string{"bash", "zsh", "fish"}
	case "signals":
		return app.SignalWords()[1:]
	case "job", "check", "show":
		env := program.Metadata[envKey].(*app.Env)
		jobs, err := loadJobs(cmp.Or(env.Getenv(configVariable), configDefault), env)
		if err != nil {
			return nil // the command says why
		}
		return jobs.names()
	case "help":
		words := commandCompletions(program, nil)
		for _, p := range manual.Pages() {
			words = append(words, p.Topic)
		}
		return words
	}
	return nil
}

// answersCompletion prints the words that may follow, one a line; false when the
// arguments do not ask for them.
func answersCompletion(program *cli.App, args []string, w io.Writer) bool {
	if len(args) < 3 || args[1] != completeCommand {
		return false
	}
	for _, word := range completions(program, args[2:]) {
		format.Fprintf(w, "%s\n", word)
	}
	return true
}

// The scripts hand the words up to the cursor to the program, and offer files
// where it has none to offer. bash breaks words at "=" and ":"; the function puts
// them together, and takes what stands before the break off what it offers.
var completionScripts = map[string]string{
	"bash": `_siglake() {
  local line="${COMP_LINE:0:COMP_POINT}" IFS=$' \t\n'
  local -a words
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  local cur="${words[${#words[@]}-1]}"
  local IFS=$'\n'
  COMPREPLY=($("${words[0]}" ` + completeCommand + ` "${words[@]:1}" 2>/dev/null))
  if ((${#COMPREPLY[@]} == 0)); then
    return
  fi
  local broken="${cur%"${cur##*[=:]}"}"
  if [[ -n "$broken" && "$COMP_WORDBREAKS" == *[=:]* ]]; then
    COMPREPLY=("${COMPREPLY[@]#"$broken"}")
  fi
  if ((${#COMPREPLY[@]} == 1)) && [[ "${COMPREPLY[0]}" == *= ]]; then
    compopt -o nospace
  fi
}
complete -o default -F _siglake siglake
`,
	"zsh": `#compdef siglake
_siglake() {
  local -a offered
  offered=("${(@f)$("${words[1]}" ` + completeCommand + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "${offered[1]}" ]]; then
    compadd -a offered
  else
    _files
  fi
}
compdef _siglake siglake
`,
	"fish": `function __siglake_complete
  set -l words (commandline --tokenize --cut-at-cursor) (commandline --current-token --cut-at-cursor)
  set -l offered ($words[1] ` + completeCommand + ` $words[2..-1] 2>/dev/null)
  if test (count $offered) -gt 0
    printf '%s\n' $offered
  else
    __fish_complete_path (commandline --current-token --cut-at-cursor)
  end
end
complete --command siglake --no-files --keep-order --arguments '(__siglake_complete)'
`,
}
