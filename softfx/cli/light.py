"""The commands that need neither a model nor torch: the pages about rules, and completions.

They are read from `softfx.handbook`, so that they answer at once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence

from softfx.cli.arguments import make_parser
from softfx.cli.completions import completions
from softfx.cli.formats import format_of, text_width
from softfx.errors import TargetError, did_you_mean
from softfx.handbook.entries import Entry, entries, find, nearest
from softfx.handbook.text import page_text, rules_markdown, rules_text
from softfx.vocabulary import FAMILIES

__all__ = ["COMMANDS"]


def _explain(arguments: argparse.Namespace) -> int:
    family = arguments.name.removeprefix("@")
    if family in FAMILIES:
        _print_rules(arguments, _entries_of(family))
        return 0
    if arguments.name.startswith("@"):
        known = [f"@{each}" for each in FAMILIES]
        near = did_you_mean(arguments.name, known)
        raise TargetError(f"explain: unknown family {arguments.name!r}.{near} Families: {', '.join(known)}.")
    entry = find(arguments.name)
    if entry is None:
        near = nearest(arguments.name)
        raise TargetError(f"explain: unknown rule {arguments.name!r}.{near} `softfx rules` lists all.")
    _print_page(arguments, entry)
    return 0


def _rules(arguments: argparse.Namespace) -> int:
    _print_rules(arguments, _entries_of(arguments.family))
    return 0


def _entries_of(family: str | None) -> list[Entry]:
    return [entry for entry in entries() if family in (None, entry.family)]


def _print_rules(arguments: argparse.Namespace, rules: Sequence[Entry]) -> None:
    """Print the table of rules."""
    kind = format_of(arguments)
    if kind == "rich":
        from softfx.handbook import terminal  # here, so that nothing else waits for rich

        terminal.show(terminal.rules_view(rules))
    elif kind == "json":
        print(json.dumps([rule.data for rule in rules], indent=2))
    else:
        print(rules_markdown(rules) if kind == "markdown" else rules_text(rules))


def _print_page(arguments: argparse.Namespace, rule: Entry) -> None:
    """Print the page of one rule."""
    kind = format_of(arguments)
    if kind == "rich":
        from softfx.handbook import terminal  # here, so that nothing else waits for rich

        terminal.show(terminal.rule_view(rule))
    elif kind == "json":
        print(json.dumps(rule.data, indent=2))
    else:
        print(page_text(rule.title, rule.facts, text_width()))


def _completions(arguments: argparse.Namespace) -> int:
    print(completions(make_parser(), arguments.shell), end="")
    return 0


COMMANDS = {"explain": _explain, "rules": _rules, "completions": _completions}
