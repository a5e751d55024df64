"""Entries of the handbook as plain text and as markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from softfx.handbook.entries import Entry

__all__ = ["page_text", "rules_markdown", "rules_text"]

_COLUMN = 12  # the longest name of a fact, and two spaces


def page_text(title: str, facts: Iterable[tuple[str, str]], width: int) -> str:
    """A page of facts as plain text."""
    lines = [title, ""]
    indent = " " * _COLUMN
    for name, text in facts:
        parts = [textwrap.wrap(part, width - _COLUMN, break_long_words=False) for part in text.splitlines()]
        block = textwrap.indent("\n".join(line for part in parts for line in part), indent)
        lines.append(name.ljust(_COLUMN) + block.removeprefix(indent))
    return "\n".join(lines)


def rules_text(rules: Sequence[Entry]) -> str:
    """All operations in columns, one a line."""
    width = max((len(rule.name) for rule in rules), default=0)
    lines = (f"{rule.code}  {rule.name:<{width}}  {rule.family:<9}  {rule.becomes}" for rule in rules)
    return "\n".join(lines)


def rules_markdown(rules: Sequence[Entry]) -> str:
    """All operations as a markdown table."""
    lines = ["| code | operation | family | becomes | options |", "|---|---|---|---|---|"]
    for rule in rules:
        cells = (rule.code, f"`{rule.name}`", rule.family, rule.becomes, ", ".join(rule.texts("options")))
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
