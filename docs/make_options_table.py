"""Write the table of all options of all commands into ``docs/commands.md``; ``--check`` only says whether it is up to date."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from semanifold.app.commands.arguments import parser
from semanifold.app.commands.table import COMMANDS, command_class

PAGE = Path(__file__).parent / "commands.md"
BEGIN, END = "<!-- options: written by make_options_table.py -->", "<!-- end of options -->"


def is_choice(hint: Any) -> bool:
    """Whether a value is one of a few words."""
    return get_origin(hint) is Literal


def options() -> dict[str, dict[str, list[str]]]:
    """Return the commands that take each option, by its spelling and value, then by its help."""
    found: dict[str, dict[str, list[str]]] = {}
    for command in COMMANDS:
        for argument in parser(command_class(command), command).assemble_argument_collection(parse_docstring=True):
            names = [name for name in argument.names if name.startswith("--")]
            positional = argument.field_info.kind is argument.field_info.POSITIONAL_OR_KEYWORD
            if positional or not names or not argument.show:
                continue
            value = argument.parameter.metavar or "|".join(map(str, get_args(argument.hint)) if is_choice(argument.hint) else ())
            called = f"`{', '.join(names)}{f' {value}' if value else ''}`"
            text = " ".join((argument.parameter.help or "").split()).rstrip(".")
            found.setdefault(called, {}).setdefault(text, []).append(command)
    return dict(sorted(found.items()))


def table() -> str:
    """Return the table in Markdown, one row per option and meaning."""
    rows = ["| option | what | commands |", "|---|---|---|"]
    for called, meanings in options().items():
        for text, commands in meanings.items():
            cells = (called, text, ", ".join(commands))
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    rows.append("| `--quiet, -q` | print results only: no progress, remarks and next commands | all |")
    rows.append("| `--json` | print one JSON object, for programs | all |")
    rows.append("| `--help, -h` | print the arguments of the command | all |")
    return "\n".join(rows)


def page(text: str) -> str:
    """Return the text of the page with a new table."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def main() -> int:
    """Write the page, or check it."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" not in sys.argv:
        PAGE.write_text(new, encoding="utf-8")
    elif new != old:
        print(f"{PAGE.name} lacks the present options; run: python {Path(__file__).name}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
