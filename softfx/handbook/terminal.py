"""The views of the handbook in a terminal, and what all views share: the printing, and the colours of families."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.console import Group as Lines
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from softfx.handbook.entries import Entry
from softfx.vocabulary import Family

__all__ = ["rule_view", "rules_view", "show"]

_FAMILY_STYLES: dict[Family, str] = {
    "discrete": "cyan",
    "kink": "magenta",
    "random": "magenta",
    "unsafe": "red",
    "normalization": "blue",
    "control": "green",
    "selection": "dim",
}
_UNLIMITED = 10_000  # columns: how wide the table is where there is room
_INDENT = (0, 0, 0, 7)  # below the operation, beside the code


def show(view: RenderableType, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print a view to a file, stdout by default, in so many columns or the width of the terminal."""
    Console(file=file or sys.stdout, width=width, highlight=False).print(view)


class _Rules:
    """The table of all operations; where its columns have no room, the options stand below their operation."""

    def __init__(self, rules: Sequence[Entry]) -> None:
        self.rules = rules

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
        for column in ("code", "operation", "family", "becomes"):
            table.add_column(column, no_wrap=True)
        widest = max((len(each) + 1 for rule in self.rules for each in rule.texts("options")), default=7)
        table.add_column("options", min_width=widest)
        for rule in self.rules:
            table.add_row(*_cells(rule), Text(", ".join(rule.texts("options"))))
        if console.measure(table, options=options.update(max_width=_UNLIMITED)).minimum <= options.max_width:
            yield table
            return
        for rule in self.rules:
            code, name, family, becomes = _cells(rule)
            yield Text.assemble(code, "  ", name, "  ", family)
            more = (becomes.plain, ", ".join(rule.texts("options")))
            yield from (Padding(Text(line), _INDENT, expand=False) for line in more if line)


def _cells(rule: Entry) -> tuple[Text, Text, Text, Text]:
    family = Text(rule.family, style=_FAMILY_STYLES[rule.family])
    return Text(rule.code, style="bold"), Text(rule.name), family, Text(rule.soft)


def rules_view(rules: Sequence[Entry]) -> RenderableType:
    """The table of all operations."""
    return _Rules(rules)


def rule_view(rule: Entry) -> RenderableType:
    """The page of one operation."""
    title = Text.assemble(
        (rule.code, "bold"), " ", (rule.name, "bold"), "  ", (rule.family, _FAMILY_STYLES[rule.family])
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rule.facts:
        table.add_row(Text(name), Text(text))
    return Lines(title, Text(), table)
