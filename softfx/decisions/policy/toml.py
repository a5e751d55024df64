"""TOML read and written: text to data with line numbers, and data to text.

tomllib gives no line numbers, so `Lines` finds tables and keys in the text by itself. It only serves messages: where
it is unsure it answers with the line of the table, never with an error.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from softfx.errors import PolicyError
from softfx.visible import is_plain

__all__ = ["Lines", "read", "write_pairs", "write_value"]

_TABLE = re.compile(r"\s*(\[\[?)([^\[\]]+)\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*("[^"]*"|'[^']*'|[A-Za-z0-9_-]+)\s*[.=]""")
_STRINGS = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'')
# A policy of 20,000 entries has 2 MB.
_MOST_BYTES = 16 * 2**20
_LONG_NUMBER = re.compile(r"[\d_]{4300}")
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


class Lines:
    """The line of each table and key of a TOML text."""

    def __init__(self, text: str) -> None:
        self._lines: dict[tuple[str, int, str], int] = {}
        seen: Counter[str] = Counter()
        table, index, depth = "", 0, 0
        for number, line in enumerate(_without_long_strings(text).splitlines(), start=1):
            header = _TABLE.match(line) if depth == 0 else None
            if header:
                table = header[2].replace(" ", "")
                index = seen[table]
                seen[table] += header[1] == "[["
                self._lines.setdefault((table, index, ""), number)
                continue
            key = _KEY.match(line) if depth == 0 else None
            if key:
                self._lines.setdefault((table, index, key[1].strip("\"'")), number)
            plain = _STRINGS.sub("", line).partition("#")[0]
            depth += sum(plain.count(c) for c in "[{") - sum(plain.count(c) for c in "]}")

    def of(self, table: str, index: int = 0, key: str = "") -> int:
        """The line of a key, else of its table, else 1; `table` is "" for the top level."""
        places = ((table, index, key), (key if not table else "", 0, ""), (table, index, ""), ("", 0, table))
        return next((self._lines[place] for place in places if place in self._lines), 1)


def _without_long_strings(text: str) -> str:
    """The text with the contents of multi-line strings blanked, line breaks kept."""

    def blank(match: re.Match[str]) -> str:
        return '""' + "\n" * match[0].count("\n")

    return re.sub(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'', blank, text)


def read(path: Path, name: str) -> tuple[dict[str, object], Lines]:
    """The data of a policy file and the lines of its tables and keys."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise PolicyError(
                f"{name}: the policy file has {path.stat().st_size:,} bytes. A policy is a short TOML file."
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise PolicyError(f"{name}: the policy file cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise PolicyError(f"{name}: the policy file is not UTF-8 text. A policy is a TOML file.") from error
    try:
        return tomllib.loads(text), Lines(text)
    except RecursionError as error:
        wrong = "brackets are nested too deeply. A policy has lists of names, and no deeper ones"
        raise PolicyError(f"{name}:{_deepest_line(text)}: {wrong}.") from error
    except tomllib.TOMLDecodeError as error:
        message = re.sub(r"\s*\(at (line (\d+), column \d+|end of document)\)", "", str(error))
        place = re.search(r"at line (\d+)", str(error))
        line = place[1] if place else str(text.count("\n") + 1)
        raise PolicyError(f"{name}:{line}: not valid TOML: {message}. Strings need quotes, lists brackets.") from error

    except ValueError as error:  # an integer of more digits than Python reads
        line = next((n for n, line in enumerate(text.splitlines(), 1) if _LONG_NUMBER.search(line)), 1)
        raise PolicyError(f"{name}:{line}: a number has too many digits. Write a number such as 0.05.") from error


def _deepest_line(text: str) -> int:
    """The line in which most brackets are opened."""
    return max(enumerate(text.splitlines(), 1), key=lambda item: item[1].count("[") + item[1].count("{"))[0]


def write_value(value: object) -> str:
    """A Python value as TOML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _string(value)
    if isinstance(value, list | tuple):
        return "[" + ", ".join(write_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{_key(key)} = {write_value(item)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    return repr(value)


def _string(text: str) -> str:
    """A text in quotes; TOML has no escape for half a surrogate pair, and in a pattern `?` is any character."""
    text = "".join("?" if 0xD800 <= ord(c) < 0xE000 else c for c in text)
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if is_plain(c) else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}" for c in quoted)


def write_pairs(data: Mapping[str, object]) -> str:
    """`key = value` lines."""
    return "".join(f"{_key(key)} = {write_value(value)}\n" for key, value in data.items())


def _key(key: str) -> str:
    return key if _BARE.match(key) else _string(key)
