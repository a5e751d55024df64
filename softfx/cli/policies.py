"""The policy of a command: --policy with the overrides of --set behind it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from softfx.decisions.policy import Policy
from softfx.errors import TargetError

__all__ = ["load_policy"]

# Numbers as shells and Python write them, and TOML does not.
_NUMBER = re.compile(r"[+-]?(\.\d+|\d+\.)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def load_policy(policy: str | None, settings: Sequence[str]) -> Policy:
    """The policy of that name or file, extended by settings such as `topk.method=lapsum`."""
    loaded = Policy.load(policy)
    for text in settings:
        loaded = loaded.extended(_setting(text), f"--set {text}")
    return loaded


def _setting(text: str) -> dict[str, object]:
    """`softness=0.05`, `topk.method=lapsum` or `families=["kink"]` as policy data."""
    name, equals, value = text.partition("=")
    op, _, key = name.strip().rpartition(".")
    if not equals or not key:
        raise TargetError(f"--set {text}: not [OP.]KEY=VALUE. Write for example softness=0.05 or topk.method=lapsum.")
    parsed = _value(value.strip())
    if key == "families" and not op:
        return {"default": {key: parsed}}
    return {"rule": [{"op": op or "*", key: parsed}]}


def _value(text: str) -> object:
    """A value of TOML, or else a bare word, whose quotes the shell has taken."""
    try:
        data = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):  # no TOML, more digits than Python reads, or brackets without end
        return float(text) if _NUMBER.fullmatch(text) else text
    return data["value"] if len(data) == 1 else text  # a line break began another key
