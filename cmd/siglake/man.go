package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"

	"github.com/siglake/siglake/cmd/siglake/manual"
	"github.com/siglake/siglake/internal/app"
)

// writeManPages writes siglake(1), a page of section 1 for each command, and one
// of section 7 for each topic of the manual. Only programs built with the tag man call it; the
// linker leaves it out of the others.
func writeManPages(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	program := newCLI(&app.Env{})
	if err := writeManPage(dir, "siglake", 1, manOverview(program)); err != nil {
		return err
	}
	for _, cmd := range program.VisibleCommands() {
		if err := writeManPage(dir, "siglake-"+cmd.Name, 1, manCommand(cmd)); err != nil {
			return err
		}
	}
	for _, p := range manual.Pages() {
		_, text, _ := strings.Cut(p.Text, "\n")
		text = tables.ReplaceAllStringFunc(strings.ReplaceAll(text, "\n## ", "\n# "), laidOut)
		text = fmt.Sprintf("# NAME\nsiglake-%s - %s\n\n# DESCRIPTION\n%s", p.Topic, manText(p.Summary), text)
		if err := writeManPage(dir, "siglake-"+p.Topic, 7, text); err != nil {
			return err
		}
	}
	return nil
}

// tables are laid out here: the converter leaves wide cells as wide as they are.
var tables = regexp.MustCompile(`(?m)(^\|.*\n)+`)

func laidOut(table string) string {
	const width = 70 // of 80, without the page's indent
	return "```\n" + manual.Render(table, width, manual.Style{}) + "```\n"
}

func writeManPage(dir, name string, section int, text string) error {
	title := fmt.Sprintf("# %s %d \"\" \"siglake %s\" \"siglake manual\"\n\n", strings.ToUpper(name), section, version)
	file := filepath.Join(dir, fmt.Sprintf("%s.%d", name, section))
	return os.WriteFile(file, md2man.Render([]byte(title+text)), 0o644) //nolint:gosec // everyone may read a manual
}

// manText keeps Markdown from reading marks into a text.
func manText(text string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "|", `\|`, "[", `\[`).Replace(text)
}

func manOverview(program *cli.App) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# NAME\nsiglake - %s\n\n# SYNOPSIS\n**siglake** *COMMAND* [*ARGUMENTS*] [*FLAGS*]\n\n# COMMANDS\n", manText(program.Usage))
	for _, g := range commandGroups {
		fmt.Fprintf(&b, "## %s\n", g.title)
		for _, name := range g.names {
			fmt.Fprintf(&b, "**siglake-%s**(1)\n: %s\n\n", name, manText(program.Command(name).Usage))
		}
	}
	b.WriteString("# MANUAL\n")
	for _, p := range manual.Pages() {
		fmt.Fprintf(&b, "**siglake-%s**(7)\n: %s\n\n", p.Topic, manText(p.Summary))
	}
	return b.String()
}

func manCommand(cmd *cli.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# NAME\nsiglake-%s - %s\n\n# SYNOPSIS\n**siglake** %s\n\n", cmd.Name, manText(cmd.Usage), manText(usageLine(cmd, cmd.Name)))
	manBody(&b, cmd, cmd.Name)
	for _, sub := range cmd.Subcommands {
		fmt.Fprintf(&b, "# %s\n**siglake** %s\n\n%s\n\n", strings.ToUpper(sub.Name), manText(usageLine(sub, cmd.Name+" "+sub.Name)), manText(sub.Usage))
		manBody(&b, sub, cmd.Name+" "+sub.Name)
	}
	b.WriteString("# SEE ALSO\n**siglake**(1)")
	for _, topic := range guides[cmd.Name].topics {
		fmt.Fprintf(&b, ", **siglake-%s**(7)", topic)
	}
	return b.String() + "\n"
}

// manBody writes description, flags and examples; those of a subcommand under
// lesser headings.
func manBody(b *strings.Builder, cmd *cli.Command, path string) {
	head, group := "# ", "## "
	if strings.Contains(path, " ") {
		head, group = "## ", "### "
	}
	if cmd.Description != "" {
		b.WriteString(head + "DESCRIPTION\n")
		for _, line := range strings.Split(cmd.Description, "\n") {
			if strings.HasPrefix(line, " ") {
				line = "\n    " + strings.TrimSpace(line) + "\n"
			} else {
				line = manText(line)
			}
			b.WriteString(line + "\n")
		}
		b.WriteString("\n")
	}
	if groups := groupFlags(cmd); len(groups) > 0 {
		b.WriteString(head + "OPTIONS\n")
		for _, g := range groups {
			if g.title != "Flags" {
				fmt.Fprintf(b, "%s%s\n", group, g.title)
			}
			for _, f := range g.flags {
				names, usage := flagText(f)
				if d, ok := f.(cli.DocGenerationFlag); ok && len(d.GetEnvVars()) > 0 && variableOf(f) == "" {
					usage += " (variable: " + d.GetEnvVars()[0] + ")"
				}
				fmt.Fprintf(b, "**%s**\n: %s\n\n", manText(names), manText(usage))
			}
		}
	}
	if examples := guides[path].examples; len(examples) > 0 {
		fmt.Fprintf(b, "%sEXAMPLES\n\n    %s\n\n", head, strings.Join(examples, "\n    "))
	}
}
