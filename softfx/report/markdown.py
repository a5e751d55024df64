"""The report as markdown: for an issue, a pull request or a page of documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator

from softfx.locations import short_path, shown_place
from softfx.report.record import ReportData
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
    starved_lines,
)

__all__ = ["report_markdown"]


def report_markdown(report: ReportData) -> str:
    """The whole report as markdown, without a newline at the end."""
    return "\n".join(_lines(shown(report)))


def _lines(report: ReportData) -> Iterator[str]:
    yield f"# softfx report for {_code(report.target)}"
    yield from ("", _escape(" ".join(capture_lines(report))), "", counts_line(report))
    for file, groups in by_file(report.sites).items():
        yield from ("", f"## {_code(short_path(file))}", "")
        yield "| line | code | operation | decision | source | details |"
        yield "|---:|---|---|---|---|---|"
        yield from map(_row, groups)
    if report.breaks:
        yield from ("", "## Breaks: what no single graph holds", "")
        yield from (f"- {_code(f'{shown_place(b.file, b.line)}')}: {_escape(b.reason)}" for b in report.breaks)
    if report.cuts:
        yield from ("", f"## {CUTS}", "")
        yield from (f"- {_code(f'{shown_place(c.file, c.line)}')}: {_escape(c.reason)}" for c in report.cuts)
    if report.starved:
        yield from ("", f"## {STARVED}", "")
        yield from (f"- {_code(name)}{f': {now}' if now else ''}" for name, now, _ in starved_lines(report))
    if found := explanations(report):
        yield from ("", "## What the operations do to the gradient", "")
        yield from (f"- **{code} {_escape(op)}**: {_escape(why)}" for code, op, why in found)


def _row(group: Group) -> str:
    site = group.first
    times = f" ({len(group.sites)} sites)" if len(group.sites) > 1 else ""
    cells = (
        str(site.line),
        site.code,
        _escape(site.op),
        ACTION_WORDS[site.action] + times,
        _cell(site.source.strip()),
        _escape("; ".join(details(group))),
    )
    return "| " + " | ".join(cells) + " |"


def _code(text: str) -> str:
    """The text as code, whatever backticks it holds: the fence is longer than any row of them."""
    if not text:
        return ""
    fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
    pad = " " if "`" in text else ""
    return f"{fence}{pad}{text}{pad}{fence}"


def _cell(text: str) -> str:
    """The text as code in a cell of a table, which a bar would end.

    A bar is escaped by a backslash; where one stands before it already, two of them would escape each other.
    """
    if "\\|" not in text:
        return _code(text.replace("|", r"\|"))
    return "<code>" + "".join(c if c.isalnum() or c in " .,()=" else f"&#{ord(c)};" for c in text) + "</code>"


def _escape(text: str) -> str:
    """The text as text: what would be markup inside of a line has a backslash before it."""
    return re.sub(r"[|*<>`\[\]\\&~$]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", text)
