"""``palaver completion``: the script that lets a shell complete palaver's commands, options and their values."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")


@click.command(
    epilog="\b\n"
    "To have it in every new shell:\n"
    "  bash  palaver completion bash > ~/.local/share/bash-completion/completions/palaver\n"
    "  zsh   palaver completion zsh > ~/.zfunc/_palaver\n"
    "        (with  fpath+=~/.zfunc; autoload -Uz compinit; compinit  in ~/.zshrc)\n"
    "  fish  palaver completion fish > ~/.config/fish/completions/palaver.fish\n"
    "\n"
    "\b\n"
    "In this shell alone:\n"
    '  eval "$(palaver completion bash)"     # zsh: the same with zsh\n'
    "  palaver completion fish | source",
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    It completes commands, options, names of models and the choices of settings. The command must be found as `palaver`
    by the shell.
    """
    script = get_completion_class(shell)
    if script is None:  # click knows all three; another version may not
        raise click.ClickException(f"click has no completion for {shell}.")
    click.echo(script(context.find_root().command, {}, "palaver", "_PALAVER_COMPLETE").source())
