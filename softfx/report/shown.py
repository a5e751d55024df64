"""What is shown of a report: its texts with what only looks like text escaped, each on one line.

Every format for people reads a report through `shown`; `to_dict` and JSON hold the texts as they are. `json_text` is
the one way to write JSON.
"""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeVar, cast

from softfx.visible import visible

__all__ = ["json_text", "shown"]

T = TypeVar("T")

# Sentences, whose line breaks mean no more than a space.
_PROSE = ("reason", "why_frontend")


def shown(value: T) -> T:
    """A copy of a report, a site or a break whose texts can be shown to people.

    >>> from softfx.report.record import Break
    >>> shown(Break("one\\ntwo \\x1b[2J", "a\\n# b.py", 3))
    Break(reason='one two \\\\x1b[2J', file='a\\\\n# b.py', line=3)
    """
    return cast(T, _mapped(value, ""))  # only texts in it are replaced


def _mapped(value: Any, name: str) -> Any:
    if isinstance(value, str):
        return visible(" ".join(value.split()) if name in _PROSE else value)
    if isinstance(value, list):
        return [_mapped(item, name) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{item.name: _mapped(getattr(value, item.name), item.name) for item in fields(value)})
    return value


def json_text(data: object, indent: int | None = 2) -> str:
    """`data` as JSON in ASCII; numbers that JSON does not know (NaN and infinities) are null."""
    return json.dumps(_known_numbers(data), indent=indent, allow_nan=False)


def _known_numbers(data: object) -> object:
    if isinstance(data, float):
        return data if math.isfinite(data) else None
    if isinstance(data, dict):
        return {key: _known_numbers(item) for key, item in data.items()}
    if isinstance(data, list | tuple):
        return [_known_numbers(item) for item in data]
    return data
