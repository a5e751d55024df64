"""The views of softfx in a terminal. Only this module and `softfx.handbook.terminal` know rich.

Each `*_view` turns plain data into a renderable of rich; `show` prints one, and `progress` reports long work. Nothing
is decided here: the words come from `softfx.report.words`, the facts from the report and the rule table.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.console import Group as Lines
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.rule import Rule as Ruler
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.text import Text

from softfx.handbook.terminal import show
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
from softfx.visible import visible

__all__ = [
    "counting",
    "decisions_view",
    "progress",
    "report_view",
    "show",
    "show_code",
    "show_diff",
]

# Of the terminal's own colours those that are read on a dark and on a light background.
_THEME = ANSISyntaxTheme(
    {
        ("Comment",): Style(dim=True),
        ("Keyword",): Style(color="magenta"),
        ("Operator", "Word"): Style(color="magenta"),
        ("Literal", "String"): Style(color="green"),
        ("Literal", "Number"): Style(color="cyan"),
        ("Generic", "Deleted"): Style(color="red"),
        ("Generic", "Inserted"): Style(color="green"),
        ("Generic", "Heading"): Style(bold=True),
        ("Generic", "Subheading"): Style(color="cyan"),
    }
)
_STYLES: dict[SiteAction, str] = {
    "soft": "bold green",
    "straight_through": "bold cyan",
    "guard": "bold blue",
    "keep": "magenta",
    "blocked": "bold red",
}
_INDENT = (0, 0, 0, 2)
_GUTTER = 6  # five digits of a line number and a space
_PATIENCE = 1.0  # seconds before work counts as long


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


def show_diff(text: str, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print a unified diff in colour, no line of it wrapped, for a line that is copied has to be whole."""
    _show_code(text, "diff", file, width)


def show_code(text: str, file: IO[str] | None = None, width: int | None = None) -> None:
    """Print Python code in colour, no line of it wrapped."""
    _show_code(text, "python", file, width)


def _show_code(text: str, language: str, file: IO[str] | None, width: int | None) -> None:
    console = Console(file=file or sys.stdout, width=width, highlight=False)
    code = Syntax("", language, theme=_THEME, background_color="default").highlight(text)
    code.rstrip()
    console.print(code, soft_wrap=True)


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


@contextmanager
def counting(message: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr while the block runs, if stderr is a terminal: what is yielded takes how many of how many."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield lambda done, total: None
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(visible(message).replace("[", "\\["), total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
