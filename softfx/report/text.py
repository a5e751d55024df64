"""The report as plain text: for a pipe, a log, an editor that reads `path:line:`, and `print(soft.report)`.

Prose is wrapped; paths and source lines are never cut or broken.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from softfx.locations import short_path, shown_place
from softfx.report.record import ReportData
from softfx.report.shown import shown
from softfx.report.words import (
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

__all__ = ["report_text"]


def report_text(report: ReportData, width: int = 100) -> str:
    """The whole report as text, without a newline at the end."""
    return "\n".join(line.rstrip() for line in _lines(shown(report), width))


def _lines(report: ReportData, width: int) -> Iterator[str]:
    yield f"softfx report for {report.target}"
    yield from _prose(" ".join(capture_lines(report)), width)
    for file, groups in by_file(report.sites).items():
        yield ""
        for group in groups:
            yield from _group(short_path(file), group, width)
    if report.breaks:
        yield from ("", "Breaks: what no single graph holds")
        for item in report.breaks:
            yield from _prose(f"{shown_place(item.file, item.line)}: {item.reason}", width, "    ")
    if report.cuts:
        yield from ("", CUTS)
        for item in report.cuts:
            yield from _prose(f"{shown_place(item.file, item.line)}: {item.reason}", width, "    ")
    if report.starved:
        yield from ("", STARVED)
        yield from (f"    {name}{f': {now}' if now else ''}" for name, now, _ in starved_lines(report))
    if found := explanations(report):
        yield from ("", "What the operations do to the gradient")
        for code, op, why in found:
            yield from _prose(f"{code} {op}: {why}", width, "    ")
    yield ""
    yield from _prose(counts_line(report), width)
    for hint in hints(report):
        yield from _prose(hint, width)


def _group(path: str, group: Group, width: int) -> Iterator[str]:
    yield f"{path}:{group.first.line}: {group.title}"
    if group.first.source:
        yield f"    > {group.first.source.strip()}"
    for line in details(group):
        yield from _prose(line, width, "    ")


def _prose(text: str, width: int, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
