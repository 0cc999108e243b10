"""``semanifold completion``: the script that completes commands and options in a shell."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Annotated, Literal

from semanifold.actions.terminal import say
from semanifold.commands.arguments import option, parser
from semanifold.commands.base import Command

FUNCTIONS = {
    "bash": """_semanifold() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" words=""
    if [ "$COMP_CWORD" -eq 1 ]; then words="{commands}"; else
        case "${{COMP_WORDS[1]}}" in
{cases}
        esac
    fi
    if [[ "$word" == -* || "$COMP_CWORD" -eq 1 ]]; then COMPREPLY=($(compgen -W "$words" -- "$word"));
    else COMPREPLY=($(compgen -f -- "$word")); fi
}}
complete -o filenames -F _semanifold semanifold""",
    "zsh": """#compdef semanifold
autoload -U +X bashcompinit && bashcompinit
{bash}""",
    "fish": "{lines}",
}


@dataclass(frozen=True, kw_only=True)
class Completion(Command):
    """Print the script that completes commands and options in your shell: ``eval "$(semanifold completion bash)"``.

    Attributes:
        shell: bash, zsh or fish.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], option("bash|zsh|fish")] = field(kw_only=False)

    def run(self) -> int:
        """Print the script."""
        from semanifold.cli import COMMANDS, JSON, QUIET, command_class  # noqa: PLC0415  (the table names this module)

        options = {}
        for name in COMMANDS:
            arguments = parser(command_class(name), name).assemble_argument_collection()
            names = [each for argument in arguments if argument.show for each in argument.names if re.match(r"--[a-z]", each)]
            options[name] = sorted({*names, "--help", QUIET[0], JSON})
        cases = "\n".join(f'            {name}) words="{" ".join(words)}";;' for name, words in options.items())
        bash = FUNCTIONS["bash"].format(commands=" ".join(COMMANDS), cases=cases)
        lines = [f"complete -c semanifold -f -n __fish_use_subcommand -a {name} -d '{COMMANDS[name][1]}'" for name in COMMANDS]
        for name, words in options.items():
            condition = f"-n '__fish_seen_subcommand_from {name}'"
            lines += [f"complete -c semanifold {condition} -l {word.removeprefix('--')}" for word in words]
        say({"bash": bash, "zsh": FUNCTIONS["zsh"].format(bash=bash), "fish": "\n".join(lines)}[self.shell])
        return 0
