"""The printing of results to stdout, in the format asked for.

To add a format of the report, write it under `softfx.report` and name it in `_REPORTS` and in `arguments`.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout

from softfx.auditing.calibration import Calibration
from softfx.auditing.report import AuditReport
from softfx.cli.files import write
from softfx.cli.formats import format_of, note, text_width
from softfx.cli.project import Outcome
from softfx.cli.project_report import project_text, summary_lines
from softfx.locations import shown_place
from softfx.plots.metering import Passed
from softfx.report import Report, terminal
from softfx.report.markdown import report_markdown
from softfx.report.page import page
from softfx.report.record import Site
from softfx.report.sarif import report_sarif
from softfx.report.shown import json_text, shown
from softfx.report.text import report_text
from softfx.report.words import ACTION_WORDS, settings
from softfx.visible import visible

__all__ = [
    "destination",
    "print_audit",
    "print_calibration",
    "print_code",
    "print_decisions",
    "print_diff",
    "print_gradients",
    "print_project",
    "print_report",
]

_REPORTS: dict[str, Callable[[Report], str]] = {
    "text": lambda report: report_text(report, text_width()),
    "json": lambda report: json_text(report.to_dict()),
    "markdown": report_markdown,
    "sarif": report_sarif,
    "html": lambda report: page(report.to_dict()),
}


@contextmanager
def destination(arguments: argparse.Namespace) -> Iterator[None]:
    """What is printed inside goes to the file of --out, or to stdout where none is named."""
    if arguments.out is None:
        yield
        return
    with redirect_stdout(io.StringIO()) as text:
        yield
    write(arguments.out, text.getvalue(), arguments.force)
    note(arguments, f"wrote {arguments.out}")


def print_report(arguments: argparse.Namespace, report: Report) -> None:
    """Print a report."""
    kind = format_of(arguments, *_REPORTS)
    if kind == "rich":
        terminal.show(terminal.report_view(report))
    else:
        print(_REPORTS[kind](report))


def print_project(arguments: argparse.Namespace, outcomes: Sequence[Outcome]) -> None:
    """Print the reports of a project's targets and, for people, a summary."""
    kind = format_of(arguments, *_REPORTS)
    with destination(arguments):
        if kind not in ("rich", "text"):
            print(project_text(outcomes, kind))
            return
        for outcome in outcomes:
            if outcome.report is not None:
                terminal.show(terminal.report_view(outcome.report)) if kind == "rich" else print(
                    report_text(outcome.report, text_width())
                )
                print()
        print("\n".join(summary_lines(outcomes)))


def print_decisions(arguments: argparse.Namespace, report: Report) -> None:
    """Print the decision for each site."""
    sites = report.sites
    kind = format_of(arguments, "json", "html")
    keys = (
        "id",
        "code",
        "op",
        "module",
        "file",
        "line",
        "action",
        "mode",
        "method",
        "softness",
        "decided_by",
        "reason",
    )
    if kind == "json":
        print(json_text([{key: getattr(site, key) for key in keys} for site in sites]))
    elif kind == "html":
        print(page(report.to_dict(), kind="policy show"))
    elif kind == "rich":
        rows = [(site, shown_place(site.file, site.line), settings(site)) for site in sites]
        terminal.show(terminal.decisions_view(rows))
    else:
        for site in sites:
            print(_decision(site))


def _decision(site: Site) -> str:
    site = shown(site)
    words = settings(site)
    facts = [ACTION_WORDS[site.action] + (f" ({words})" if words else "")]
    facts += [f"in {site.module}"] if site.module else []
    facts += [f"decided by {site.decided_by}"]
    return f"{shown_place(site.file, site.line)}: {site.code} {site.op}: " + "; ".join(facts)


def print_gradients(arguments: argparse.Namespace, passed: Sequence[Passed]) -> None:
    """Print a line for each site, with its gradient norm before and after softening."""
    for each in passed:
        site = shown(each.site)
        place = f"{shown_place(site.file, site.line)}: {site.code} {site.op}"
        place += f" in {site.module}" if site.module else ""
        print(f"{each.before:10.3g} -> {each.after:10.3g}  {ACTION_WORDS[site.action]:16} {place}")


def print_audit(arguments: argparse.Namespace, report: AuditReport) -> None:
    """Print the verdict on the gradient of each site and parameter."""
    kind = format_of(arguments, "json", "html")
    if kind == "json":
        print(json_text(report.to_dict()))
    else:
        print(report.to_html() if kind == "html" else visible(str(report), keep="\n"))


def print_calibration(arguments: argparse.Namespace, found: Calibration) -> None:
    """Print the table of a calibration and the policy that follows."""
    as_json = format_of(arguments, "json") == "json"
    print(json_text(found.to_dict()) if as_json else visible(str(found), keep="\n").rstrip("\n"))


def print_diff(arguments: argparse.Namespace, text: str, report: Report) -> None:
    """Print a unified diff; a page of it has the report, too."""
    kind = format_of(arguments, "html")
    if kind == "html":
        print(page(report.to_dict(), diff=text, kind="diff"))
    elif kind == "rich":
        terminal.show_diff(text)
    else:
        print(text.rstrip("\n"))


def print_code(arguments: argparse.Namespace, text: str) -> None:
    """Print Python code, in colour only on a terminal."""
    if not sys.stdout.isatty() or format_of(arguments) != "rich":
        print(text.rstrip("\n"))
    else:
        terminal.show_code(text)
