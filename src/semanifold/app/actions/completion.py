"""What ``semanifold completion`` does.

Our own: the scripts of cyclopts end names of folders with a space, leave zsh's ``eval`` without a function to call, and know no
options that all commands share.
"""

from __future__ import annotations

import re

from semanifold.app.answers import Answer, Caller
from semanifold.app.commands.arguments import parser
from semanifold.app.commands.completion import Completion
from semanifold.app.commands.table import COMMANDS, JSON, QUIET, command_class

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


def script(command: Completion, caller: Caller) -> Answer:
    """Return the script."""
    options = {}
    for name in COMMANDS:
        arguments = parser(command_class(name), name).assemble_argument_collection()
        names = [word for argument in arguments if argument.show for word in argument.names if re.match(r"--[a-z]", word)]
        options[name] = sorted({*names, "--help", QUIET[0], JSON})
    cases = "\n".join(f'            {name}) words="{" ".join(words)}";;' for name, words in options.items())
    bash = FUNCTIONS["bash"].format(commands=" ".join(COMMANDS), cases=cases)
    lines = [f"complete -c semanifold -f -n __fish_use_subcommand -a {name} -d '{COMMANDS[name][1]}'" for name in COMMANDS]
    for name, words in options.items():
        condition = f"-n '__fish_seen_subcommand_from {name}'"
        lines += [f"complete -c semanifold {condition} -l {word.removeprefix('--')}" for word in words]
    scripts = {"bash": bash, "zsh": FUNCTIONS["zsh"].format(bash=bash), "fish": "\n".join(lines)}
    return Answer(said=(scripts[command.shell],))
