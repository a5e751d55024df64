"""One entry of the handbook for each rule, and how to look one up."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from softfx.vocabulary import Family

__all__ = ["FILE", "Entry", "Value", "entries", "find", "nearest", "serialized"]

Value = str | bool | list[str]
FILE = Path(__file__).with_name("rules.json")


@dataclass(frozen=True)
class Entry:
    """What is shown of one operation.

    becomes: in words what it becomes when it is softened. facts: the page of it, as (name, text) in their order.
    data: the same for machines.
    """

    code: str
    name: str
    family: Family
    becomes: str
    facts: tuple[tuple[str, str], ...]
    data: dict[str, Value]

    @property
    def title(self) -> str:
        """The code and the name."""
        return f"{self.code} {self.name}"

    @property
    def soft(self) -> str:
        """The soft form in one word, or that there is none."""
        return str(self.data["soft"]) or "stays hard"

    def texts(self, key: str) -> list[str]:
        """A list of names among the data: the options or the aliases."""
        value = self.data[key]
        return value if isinstance(value, list) else [str(value)]


@cache
def entries() -> tuple[Entry, ...]:
    """All entries, by code."""
    read = json.loads(FILE.read_text(encoding="utf-8"))
    return tuple(Entry(**each | {"facts": tuple((name, text) for name, text in each["facts"])}) for each in read)


def find(name: str) -> Entry | None:
    """The entry of a code or of any name of an operation, in capitals or not; None where there is none.

    >>> find("SX206").name, find("sx206").name
    ('topk', 'topk')
    """
    wanted = name.lower()
    for entry in entries():
        if wanted in (entry.code.lower(), entry.name, *entry.texts("aliases")):
            return entry
    return None


def nearest(name: str) -> str:
    """The sentence that names the nearest known operation or code, or nothing."""
    known = [word for entry in entries() for word in (entry.name, entry.code)]
    near = difflib.get_close_matches(name, known, 1)
    return f" Did you mean {near[0]!r}?" if near else ""


def serialized(all_entries: Iterable[Entry]) -> str:
    """The text of rules.json for these entries."""
    lines = (json.dumps(asdict(entry), ensure_ascii=True) for entry in all_entries)
    return "[\n" + ",\n".join(lines) + "\n]\n"
