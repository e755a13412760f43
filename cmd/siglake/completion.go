package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// The scripts ask the program itself for the words that may follow.
const (
	bashCompletion = `_siglake() {
  local words cur="${COMP_WORDS[COMP_CWORD]}"
  if [[ "$cur" == -* ]]; then
    words=$("${COMP_WORDS[@]:0:COMP_CWORD}" "$cur" --generate-bash-completion 2>/dev/null)
  elif ((COMP_CWORD == 1)); then
    words=$("${COMP_WORDS[0]}" --generate-bash-completion 2>/dev/null)
  fi
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _siglake siglake
`
	zshCompletion = `#compdef siglake
_siglake() {
  local -a words_after
  words_after=("${(@f)$("${words[@]:0:$((CURRENT - 1))}" --generate-bash-completion 2>/dev/null)}")
  _describe 'siglake' words_after || _files
}
compdef _siglake siglake
`
)

func completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a shell completion script",
		ArgsUsage: "bash | zsh | fish",
		Description: "bash:  source <(siglake completion bash)\n" +
			"zsh:   source <(siglake completion zsh)\n" +
			"fish:  siglake completion fish | source",
		Action: func(c *cli.Context) error {
			switch shell := c.Args().First(); shell {
			case "bash":
				fmt.Fprint(c.App.Writer, bashCompletion)
			case "zsh":
				fmt.Fprint(c.App.Writer, zshCompletion)
			case "fish":
				script, err := c.App.ToFishCompletion()
				if err != nil {
					return err
				}
				fmt.Fprint(c.App.Writer, script)
			default:
				return usageErrorf("completion knows bash, zsh and fish, not %q", shell)
			}
			return nil
		},
	}
}
