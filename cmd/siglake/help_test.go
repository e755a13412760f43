package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/cmd/siglake/manual"
	"github.com/siglake/siglake/internal/app"
	"github.com/siglake/siglake/internal/proof"
)

// says runs the program on a command line that asks nothing of the API.
func says(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = envFor(t).execute(context.Background(), append([]string{"siglake"}, args...), strings.NewReader(""), &out, &err)
	return code, out.String(), err.String()
}

// everyCommand calls do with each command and its full name.
func everyCommand(do func(cmd *cli.Command, path string)) {
	var walk func([]*cli.Command, string)
	walk = func(commands []*cli.Command, under string) {
		for _, c := range commands {
			path := strings.TrimSpace(under + " " + c.Name)
			do(c, path)
			walk(c.Subcommands, path)
		}
	}
	walk(newCLI(&app.Env{}).Commands, "")
}

func TestHelpListsEverything(t *testing.T) {
	t.Parallel()
	_, help, _ := says(t)
	listed := map[string]int{}
	for _, g := range commandGroups {
		for _, name := range g.names {
			listed[name]++
		}
	}
	for _, c := range newCLI(&app.Env{}).Commands {
		if listed[c.Name] != 1 || !strings.Contains(help, "\n  "+c.Name+" ") {
			t.Errorf("%s is in %d groups of siglake --help, want one", c.Name, listed[c.Name])
		}
		delete(listed, c.Name)
	}
	if len(listed) > 0 {
		t.Errorf("groups of siglake --help name commands that there are not: %v", listed)
	}
	for _, p := range manual.Pages() {
		if !strings.Contains(help, "\n  "+p.Topic+" ") {
			t.Errorf("siglake --help does not list the page %s", p.Topic)
		}
	}
}

func TestHelpOfCommands(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	everyCommand(func(cmd *cli.Command, path string) {
		seen[path] = true
		words := strings.Fields(path)
		code, help, _ := says(t, append(words, "--help")...)
		if code != exitComplete || !strings.HasPrefix(help, "siglake "+path+" - ") {
			t.Errorf("siglake %s --help: exit %d, %.80q", path, code, help)
		}
		if _, other, _ := says(t, append([]string{"help"}, words...)...); other != help {
			t.Errorf("siglake help %s prints something else than siglake %s --help", path, path)
		}
		for _, line := range strings.Split(help, "\n") {
			if utf8.RuneCountInString(line) > helpWidth && !strings.HasPrefix(line, "  ") {
				t.Errorf("siglake %s --help: longer than a line: %q", path, line)
			}
		}
		for _, f := range cmd.VisibleFlags() {
			if n := strings.Count(help, "\n  --"+f.Names()[0]); n < 1 {
				t.Errorf("siglake %s --help does not show --%s", path, f.Names()[0])
			}
		}
		for _, sub := range cmd.Subcommands {
			if !strings.Contains(help, "\n  "+sub.Name+" ") {
				t.Errorf("siglake %s --help does not list %s in a column of its own", path, sub.Name)
			}
		}
		g, ok := guides[path]
		if !ok || len(g.examples) == 0 {
			t.Errorf("siglake %s --help has no examples", path)
		}
		for _, e := range g.examples {
			if !strings.Contains(e, "siglake "+path) {
				t.Errorf("example %q of siglake %s is of another command", e, path)
			}
		}
		for _, topic := range g.topics {
			if _, known := manual.Lookup(topic); !known {
				t.Errorf("siglake %s --help names the page %s, which there is not", path, topic)
			}
		}
	})
	for path := range guides {
		if !seen[path] {
			t.Errorf("guides has %q, which is no command", path)
		}
	}
}

func TestHelpAnywhere(t *testing.T) {
	t.Parallel()
	_, want, _ := says(t, "run", "--help")
	for _, args := range [][]string{
		{"run", "-h"}, {"run", "accounts.csv", "--help"}, {"run", "--lake", "x", "accounts.csv", "-h"},
		{"run", "--no-such-flag", "--help"}, {"help", "run"}, {"h", "run"},
	} {
		if code, got, _ := says(t, args...); code != exitComplete || got != want {
			t.Errorf("siglake %q: exit %d, want the help of run", args, code)
		}
	}
	if _, got, _ := says(t, "signals", "--", "--help"); got == want || strings.Contains(got, "Usage:") {
		t.Errorf("siglake signals -- --help printed help")
	}
}

// TestHelpOfUnknown: a word that is no command is an error, also with --help, and a message names the whole command.
func TestHelpOfUnknown(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		`unknown command "webhooks create"`:       {"webhooks", "create", "--help"},
		`unknown command "sync"`:                  {"sync", "--help"},
		`unknown command "held shwo"`:             {"held", "shwo", "-h"},
		`see siglake webhooks sync --help`:        {"webhooks", "sync", "a", "b", "--lake", "l"},
		`webhooks sync takes one list, and none `: {"webhooks", "sync", "--lake", "l"},
		`see siglake webhooks audit --help`:       {"webhooks", "audit", "a", "--lake", "l"},
		`see siglake run --help`:                  {"run", "a", "b", "--lake", "l"},
	} {
		if code, out, problems := says(t, args...); code != exitUsage || out != "" || !strings.Contains(problems, want) {
			t.Errorf("siglake %q: exit %d, %q, %q; want %q", args, code, out, problems, want)
		}
	}
}

// TestFirstFlags: those that people need first stand first, in their order.
func TestFirstFlags(t *testing.T) {
	t.Parallel()
	groups := groupFlags(newCLI(&app.Env{}).Command("run"))
	var first, titles []string
	for _, g := range groups {
		titles = append(titles, g.title)
	}
	for _, f := range groups[0].flags {
		first = append(first, f.Names()[0])
	}
	if diff := cmp.Diff(firstFlags, first); diff != "" {
		t.Errorf("flags of run under the first heading (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append([]string{"Flags"}, flagGroups...), titles); diff != "" {
		t.Errorf("headings of run (-want +got):\n%s", diff)
	}
}

// TestVariables: help states the rule by which a flag's variable is named, and
// the exceptions.
func TestVariables(t *testing.T) {
	t.Parallel()
	everyCommand(func(cmd *cli.Command, path string) {
		for _, f := range cmd.VisibleFlags() {
			d, ok := f.(cli.DocGenerationFlag)
			switch own := variableOf(f); {
			case !ok || len(d.GetEnvVars()) == 0:
				t.Errorf("siglake %s --%s has no variable", path, f.Names()[0])
			case own != "" && path+" "+own != "demo SIGLAKE_DEMO_LAKE":
				t.Errorf("siglake %s --%s has the variable %s, want that of the rule", path, f.Names()[0], own)
			}
		}
	})
}

func TestHelpTopics(t *testing.T) {
	t.Parallel()
	for _, p := range manual.Pages() {
		if code, got, _ := says(t, "help", p.Topic); code != exitComplete || got != p.Text {
			t.Errorf("siglake help %s: exit %d, want its text", p.Topic, code)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		args []string
		near string // empty for none
	}{
		{[]string{"rnu"}, "run"},
		{[]string{"satus"}, "status"},
		{[]string{"xyzzy"}, ""},
		{[]string{"held", "retyr"}, "held|retry"},
		{[]string{"help", "glosary"}, "glossary"},
		{[]string{"run", "l.csv", "--max-credit", "5"}, "--max-credits"},
		{[]string{"held", "list", "--laek", "x"}, "--lake"},
		{[]string{"run", "l.csv", "--frobnicate"}, ""},
		{[]string{"signals", "riskNew"}, "riskNews"},
		{[]string{"signals", "grwoth"}, "growth"},
	} {
		code, _, stderr := says(t, c.args...)
		_, near, _ := strings.Cut(c.near, "|")
		if near == "" {
			near = c.near
		}
		if asks := strings.Contains(stderr, "did you mean"); code != exitUsage || asks != (near != "") || !strings.Contains(stderr, "did you mean "+near) && asks {
			t.Errorf("siglake %q: exit %d, %q; want %d and the suggestion %q", c.args, code, stderr, exitUsage, near)
		}
	}
}

func TestCompletions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		words []string
		has   []string // some of what is offered, in that order
		not   []string
	}{
		{[]string{""}, []string{"demo", "plan", "run", "help"}, []string{"--help", "__complete"}},
		{[]string{"re"}, []string{"resume", "resolve", "rebuild"}, []string{"run"}},
		{[]string{"held", ""}, []string{"list", "reread", "retry", "accept-loss"}, nil},
		{[]string{"run", "--"}, []string{"--lake", "--signals", "--max-credits", "--concurrency", "--help"}, []string{"-s", "--for"}},
		{[]string{"run", "--lake", "x", "--la"}, []string{"--latency"}, []string{"--lake"}},
		{[]string{"held", "list", "--"}, []string{"--lake", "--json"}, []string{"--signals"}},
		{[]string{"run", "--signals", "risk"}, []string{"risk", "riskNews"}, []string{"news"}},
		{[]string{"run", "-s", "news,head"}, []string{"news,headcountIncrease1m"}, []string{"news,news"}},
		{[]string{"run", "--signals=gro"}, []string{"--signals=growth"}, nil},
		{[]string{"run", "l.csv", "--in-doubt", ""}, []string{"hold", "retry", "probe"}, nil},
		{[]string{"run", "--map", "comp"}, []string{"company_name=", "company_domain="}, nil},
		{[]string{"simulate", "--switch", "billing="}, []string{"billing=per_event", "billing=per_type"}, []string{"status=200"}},
		{[]string{"run", "--fault", "drop-"}, []string{"drop-before@1", "drop-after-charge@1"}, nil},
		{[]string{"completion", ""}, []string{"bash", "zsh", "fish"}, nil},
		{[]string{"help", "mon"}, []string{"money"}, []string{"run"}},
		{[]string{"run", ""}, nil, []string{"--lake"}},
		{[]string{"run", "--lake", ""}, nil, []string{"--signals"}},
		{[]string{"bogus", ""}, nil, []string{"run"}},
	} {
		_, out, _ := says(t, append([]string{completeCommand}, c.words...)...)
		offered, at := strings.Fields(out), -1
		for _, w := range c.has {
			i := slices.Index(offered, w)
			if i <= at {
				t.Errorf("%q offers %q, want %q behind the others of %q", c.words, offered, w, c.has)
				break
			}
			at = i
		}
		for _, w := range c.not {
			if slices.Contains(offered, w) {
				t.Errorf("%q offers %q, want no %q", c.words, offered, w)
			}
		}
		if len(c.has) == 0 && len(offered) > 0 {
			t.Errorf("%q offers %q, want nothing, so that the shell offers files", c.words, offered)
		}
	}
}

// TestFlagValues: what completion offers is what the program accepts.
func TestFlagValues(t *testing.T) {
	t.Parallel()
	list := filepath.Join(t.TempDir(), "list.csv")
	if err := os.WriteFile(list, []byte("domain,key\nadobe.com,1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	everyCommand(func(cmd *cli.Command, path string) {
		for _, f := range cmd.Flags {
			found[f.Names()[0]] = true
		}
	})
	for name, values := range flagValues {
		if !found[name] {
			t.Errorf("flagValues has --%s, which is no flag", name)
		}
		command := []string{"plan", list, "--simulate", "--signals", "news,growth", "--quiet"}
		switch name {
		case "dialect": // Athena reads no lake on this disk
			command, values = []string{"ddl", "--lake", filepath.Join(t.TempDir(), "lake")}, values[:1]
			if code, _, stderr := says(t, "run", list, "--simulate", "--signals", "news", "--quiet", "--lake", command[2]); code != exitComplete {
				t.Fatalf("exit %d: %s", code, stderr)
			}
		case "format":
			command = []string{"schema", "docs"}
		case "in-doubt":
			command = append(command, "--in-doubt-budget", "100")
			values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "hold" }) // the default, without a budget
		}
		for _, v := range values {
			if name == "encoding" && strings.HasPrefix(v, "utf-16") || name == "delimiter" && v != "auto" || name == "header" && v == "no" || v == "contact" {
				continue // not those of this list
			}
			if code, _, stderr := says(t, append(command, "--"+name, v)...); code != exitComplete {
				t.Errorf("siglake %q --%s %s: exit %d, %s", command, name, v, code, stderr)
			}
		}
		if name == "s3-sse" {
			continue // only looked at with a bucket
		}
		if code, _, _ := says(t, append(command, "--"+name, "nonsense")...); code != exitUsage {
			t.Errorf("siglake %q --%s nonsense: exit %d, want %d", command, name, code, exitUsage)
		}
	}
}

// TestCompletionScripts runs the scripts in bash, and in those others that are installed.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	program := buildProgram(t)
	for shell, try := range map[string]string{
		"bash": `source <(siglake completion bash)
			for COMP_LINE in "siglake held re" "siglake run --simulate --signals news,riskN" "siglake run --switch billing=per_type_" "siglake run --in-doubt "; do
				COMP_POINT=${#COMP_LINE}; _siglake; echo "${COMPREPLY[*]}"
			done`,
		"zsh": `autoload -Uz compinit; compinit -u -d "$HOME/dump"; source <(siglake completion zsh)
			function compadd() { print -r -- ${(P)2} }
			for line in "held re" "run --simulate --signals news,riskN" "run --switch billing=per_type_" "run --in-doubt "; do
				words=(siglake "${(@s: :)line}"); CURRENT=$#words; _siglake
			done`,
		"fish": `siglake completion fish | source
			for line in "siglake held re" "siglake run --simulate --signals news,riskN" "siglake run --switch billing=per_type_" "siglake run --in-doubt "
				echo (complete --do-complete $line)
			end`,
	} {
		path, err := exec.LookPath(shell)
		if err != nil && shell != "bash" {
			t.Logf("not run: %v", err) // CI installs them all
			continue
		}
		t.Run(shell, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), path, "-c", try)
			cmd.Env = []string{"PATH=" + filepath.Dir(program) + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + t.TempDir()}
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			want := "reread retry\nnews,riskNews\nbilling=per_type_min1\nhold retry probe\n"
			if shell == "bash" { // which breaks words at "="
				want = strings.Replace(want, "billing=", "", 1)
			}
			if diff := cmp.Diff(want, string(out)); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

// TestManPages writes the pages for man(1): of every command and topic, and whole.
func TestManPages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if proof.IsShort() {
		if said, err := exec.CommandContext(t.Context(), "go", "run", "-ldflags=-s -w", "-tags", "man", ".", dir).CombinedOutput(); err != nil {
			t.Fatalf("go run: %v\n%s", err, said)
		}
	} else if err := writeManPages(dir); err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, c := range newCLI(&app.Env{}).Commands {
		want = append(want, "siglake-"+c.Name+".1")
	}
	for _, p := range manual.Pages() {
		want = append(want, "siglake-"+p.Topic+".7")
	}
	for _, name := range append(want, "siglake.1") {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if text := string(raw); !strings.Contains(text, ".TH SIGLAKE") || !strings.Contains(text, ".SH NAME") {
			t.Errorf("%s is no page of a manual: %.200s", name, text)
		}
	}
}
