"""Where things are printed, and in which format: stdout the result, stderr the notes.

To add a report format, write it under `softfx.report` and name it in `_REPORTS` and in `arguments`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Callable, Sequence

from softfx.plots.metering import Passed
from softfx.report import terminal as render
from softfx.report.markdown import report_markdown
from softfx.report.record import Report, Site
from softfx.report.rule_pages import page_text, rule_data, rule_facts, rules_markdown, rules_text
from softfx.report.sarif import report_sarif
from softfx.report.text import report_text
from softfx.report.words import ACTION_WORDS, settings, visible_path
from softfx.rules.rule import Rule

__all__ = [
    "note",
    "print_code",
    "print_decisions",
    "print_diff",
    "print_gradients",
    "print_page",
    "print_report",
    "print_rules",
]

_PIPE_WIDTH = 100

_REPORTS: dict[str, Callable[[Report], str]] = {
    "text": lambda report: report_text(report, _text_width()),
    "json": lambda report: json.dumps(report.to_dict(), indent=2),
    "markdown": report_markdown,
    "sarif": report_sarif,
}


def note(arguments: argparse.Namespace, text: str) -> None:
    """Something beside the result."""
    if not arguments.quiet:
        print(f"softfx: {text}", file=sys.stderr)


def _format(arguments: argparse.Namespace) -> str:
    """The format asked for; else rich in a terminal that can show it, text elsewhere."""
    if arguments.format:
        return str(arguments.format)
    return "rich" if sys.stdout.isatty() and os.environ.get("TERM") != "dumb" else "text"


def _text_width() -> int:
    """Wide enough for prose in a pipe; COLUMNS and a terminal say otherwise."""
    return max(shutil.get_terminal_size((_PIPE_WIDTH, 24)).columns if sys.stdout.isatty() else _from_columns(), 40)


def _from_columns() -> int:
    columns = os.environ.get("COLUMNS", "")
    return int(columns) if columns.isdigit() and int(columns) > 0 else _PIPE_WIDTH


def print_report(arguments: argparse.Namespace, report: Report) -> None:
    kind = _format(arguments)
    if kind == "rich":
        render.show(render.report_view(report))
    else:
        print(_REPORTS[kind](report))


def print_rules(arguments: argparse.Namespace, rules: Sequence[Rule]) -> None:
    kind = _format(arguments)
    if kind == "rich":
        render.show(render.rules_view(rules))
    elif kind == "json":
        print(json.dumps([rule_data(rule) for rule in rules], indent=2))
    else:
        print(rules_markdown(rules) if kind == "markdown" else rules_text(rules))


def print_page(arguments: argparse.Namespace, rule: Rule) -> None:
    kind = _format(arguments)
    if kind == "rich":
        render.show(render.rule_view(rule, rule_facts(rule)))
    elif kind == "json":
        print(json.dumps(rule_data(rule), indent=2))
    else:
        print(page_text(f"{rule.code} {rule.op}", rule_facts(rule), _text_width()))


def print_decisions(arguments: argparse.Namespace, sites: Sequence[Site]) -> None:
    kind = _format(arguments)
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
        print(json.dumps([{key: getattr(site, key) for key in keys} for site in sites], indent=2))
    elif kind == "rich":
        rows = [(site, f"{visible_path(site.file)}:{site.line}", settings(site)) for site in sites]
        render.show(render.decisions_view(rows))
    else:
        for site in sites:
            print(_decision(site))


def _decision(site: Site) -> str:
    words = settings(site)
    facts = [ACTION_WORDS[site.action] + (f" ({words})" if words else "")]
    facts += [f"in {site.module}"] if site.module else []
    facts += [f"decided by {site.decided_by}"]
    return f"{visible_path(site.file)}:{site.line}: {site.code} {site.op}: " + "; ".join(facts)


def print_gradients(arguments: argparse.Namespace, passed: Sequence[Passed]) -> None:
    """A line for each site: the gradient norm before and after."""
    for each in passed:
        site = each.site
        place = f"{visible_path(site.file)}:{site.line}: {site.code} {site.op}" + f" in {site.module}" * bool(
            site.module
        )
        print(f"{each.before:10.3g} -> {each.after:10.3g}  {ACTION_WORDS[site.action]:16} {place}")


def print_diff(arguments: argparse.Namespace, text: str) -> None:
    if _format(arguments) == "rich":
        render.show(render.diff_view(text))
    else:
        print(text.rstrip("\n"))


def print_code(arguments: argparse.Namespace, text: str) -> None:
    if not sys.stdout.isatty() or _format(arguments) != "rich":
        print(text.rstrip("\n"))
    else:
        render.show(render.code_view(text))
