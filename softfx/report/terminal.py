"""The views of softfx in a terminal. This is the only module that knows rich.

Each `*_view` turns plain data into a renderable of rich; `show` prints one, and `progress` reports long work. Nothing
is decided here: the words come from `softfx.report.words`, the facts from the report and the rule table.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.console import Group as Lines
from rich.padding import Padding
from rich.rule import Rule as Ruler
from rich.style import Style
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from softfx.locations import short_path, shown_place
from softfx.report.record import ReportData, Site, SiteAction
from softfx.report.shown import shown
from softfx.report.words import (
    ACTION_WORDS,
    CUTS,
    STARVED,
    Group,
    by_file,
    capture_lines,
    counts_line,
    details,
    explanations,
    hints,
    starved_lines,
)
from softfx.rules.rule import Family, Rule
from softfx.visible import visible

__all__ = [
    "code_view",
    "decisions_view",
    "diff_view",
    "progress",
    "report_view",
    "rule_view",
    "rules_view",
    "show",
]

_THEME = "ansi_dark"  # the terminal's own sixteen colours
_STYLES: dict[SiteAction, str] = {
    "soft": "bold green",
    "straight_through": "bold cyan",
    "guard": "bold blue",
    "keep": "yellow",
    "blocked": "bold red",
}
_FAMILY_STYLES: dict[Family, str] = {
    "discrete": "cyan",
    "kink": "yellow",
    "random": "magenta",
    "unsafe": "red",
    "normalization": "blue",
    "control": "green",
    "selection": "dim",
}
_INDENT = (0, 0, 0, 2)
_GUTTER = 6  # five digits of a line number and a space
_PATIENCE = 1.0  # seconds before work counts as long


def show(view: RenderableType, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print a view to a file, stdout by default, in so many columns or the width of the terminal."""
    Console(file=file or sys.stdout, width=width, highlight=False).print(view)


# -- the report ----------------------------------------------------------------------------------------------


def report_view(report: ReportData) -> RenderableType:
    """The report: sites by file with their source, then breaks, unreached names, explanations, counts and hints."""
    report = shown(report)
    parts: list[RenderableType] = [Text(report.target, style="bold")]
    parts += [Text(line, style="dim") for line in capture_lines(report)]
    for file, groups in by_file(report.sites).items():
        parts += [Text(), _heading(short_path(file), file)]
        line = None
        for group in groups:
            parts += _group(group, with_source=group.first.line != line)
            line = group.first.line
    if report.breaks:
        parts += _section("Breaks: what no single graph holds")
        parts += [_item(f"{shown_place(item.file, item.line)}", item.reason) for item in report.breaks]
    if report.cuts:
        parts += _section(CUTS)
        parts += [_item(f"{shown_place(item.file, item.line)}", item.reason) for item in report.cuts]
    if report.starved:
        parts += _section(STARVED)
        parts += [
            Padding(Text(f"{name}: {now}" if now else name), _INDENT, expand=False)
            for name, now, _ in starved_lines(report)
        ]
    if found := explanations(report):
        parts += _section("What the operations do to the gradient")
        parts += [_item(f"{code} {op}", why) for code, op, why in found]
    parts += [Text(), _counts(report), *(Text(hint, style="dim") for hint in hints(report))]
    return Lines(*parts)


def _group(group: Group, with_source: bool) -> Iterator[RenderableType]:
    site = group.first
    if with_source:
        code = _python(site.source)
        yield _Gutter(str(site.line), code)
    title = Text.assemble(
        (site.code, "bold"), " ", (site.op, "bold"), "  ", (ACTION_WORDS[site.action], _STYLES[site.action])
    )
    if len(group.sites) > 1:
        title.append(f"  {len(group.sites)} sites", style="dim")
    yield _Gutter("", title)
    for line in details(group):
        yield _Gutter("", Text(line, style="dim"), indent=2)


class _Gutter:
    """A line number, a bar, and text that wraps to the right of the bar."""

    def __init__(self, label: str, body: Text, indent: int = 0) -> None:
        self.label, self.body, self.indent = label, body, indent

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = max(options.max_width - _GUTTER - 2 - self.indent, 20)
        for number, line in enumerate(self.body.wrap(console, width)):
            label = self.label if number == 0 else ""
            line.rstrip()
            yield Text.assemble((f"{label:>{_GUTTER - 1}} ", "dim"), ("│ ", "dim"), " " * self.indent, line)


def _heading(title: str, file: str = "") -> RenderableType:
    link = Path(file).as_uri() if file and Path(file).is_absolute() else None
    return Ruler(Text(title, style=Style(bold=True, link=link)), align="left", style="dim")


def _section(title: str) -> list[RenderableType]:
    return [Text(), _heading(title)]


def _item(name: str, text: str) -> RenderableType:
    return Padding(Lines(Text(name, style="bold"), Padding(Text(text), _INDENT, expand=False)), _INDENT, expand=False)


def _counts(report: ReportData) -> Text:
    text = Text(counts_line(report), style="bold")
    for action, word in ACTION_WORDS.items():
        text.highlight_regex(rf"\b\d+ {word}\b", _STYLES[action])
    return text


def _python(source: str) -> Text:
    text = Syntax("", "python", theme=_THEME, background_color="default").highlight(source.strip())
    text.rstrip()
    text.no_wrap, text.overflow = False, "fold"
    return text


# -- rules ---------------------------------------------------------------------------------------------------


def rules_view(rules: Sequence[Rule]) -> RenderableType:
    """The table of all operations."""
    table = _table("code", "operation", "family", "becomes", "options")
    for rule in rules:
        family = Text(rule.family, style=_FAMILY_STYLES.get(rule.family, ""))
        becomes, options = Text(rule.soft or "stays hard"), Text(", ".join(rule.options))
        table.add_row(Text(rule.code, style="bold"), Text(rule.name), family, becomes, options)
    return table


def rule_view(rule: Rule, lines: Iterable[tuple[str, str]]) -> RenderableType:
    """The page of one operation; `lines` are its facts as (name, text)."""
    title = Text.assemble(
        (rule.code, "bold"), " ", (rule.name, "bold"), "  ", (rule.family, _FAMILY_STYLES[rule.family])
    )
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in lines:
        table.add_row(Text(name), Text(text))
    return Lines(title, Text(), table)


# -- policies ------------------------------------------------------------------------------------------------


def decisions_view(rows: Iterable[tuple[Site, str, str]]) -> RenderableType:
    """The decision for each site; rows are (site, place, settings)."""
    parts: list[RenderableType] = []
    for site, place, words in rows:
        site, place = shown(site), visible(place)
        action = (ACTION_WORDS[site.action], _STYLES[site.action])
        parts.append(Text.assemble((place, "bold"), "  ", site.code, " ", site.op, "  ", action))
        facts = [words, f"in {site.module}" if site.module else "", f"decided by {site.decided_by}"]
        parts.append(Padding(Text("; ".join(fact for fact in facts if fact), style="dim"), _INDENT, expand=False))
    return Lines(*parts)


# -- code ----------------------------------------------------------------------------------------------------


def diff_view(text: str) -> RenderableType:
    """A unified diff."""
    return Syntax(text, "diff", theme=_THEME, background_color="default", word_wrap=True)


def code_view(text: str) -> RenderableType:
    """Python code."""
    return Syntax(text, "python", theme=_THEME, background_color="default", word_wrap=True)


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold", no_wrap=column in ("code", "family"))
    return table


# -- progress ------------------------------------------------------------------------------------------------


@contextmanager
def progress(message: str) -> Iterator[None]:
    """Show a message on stderr while the block runs, if stderr is a terminal and the block takes long."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield
        return
    status = console.status(Text(visible(message)))
    timer = threading.Timer(_PATIENCE, status.start)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        status.stop()
