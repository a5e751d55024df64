"""The fields of a policy entry and what each may be.

Three kinds: selectors (which sites), settings (what softfx does) and options (what the soft operator is
told). Which options exist is read from the rule table; here is only how a known option's value is checked. To
add a setting, write one line in SETTINGS and give `Resolved` the attribute.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from softfx.decisions.policy.methods import METHOD_NAMES
from softfx.errors import did_you_mean
from softtorch.methods.sorting_network import NETWORKS, SWAPS
from softtorch.modes import MODES

__all__ = ["FAMILIES", "OPTIONS", "SELECTORS", "SETTINGS", "Legal", "wrong"]


@dataclass(frozen=True)
class Legal:
    """What a field may be: a test, and the words for it."""

    accepts: Callable[[object], bool]
    described: str
    names: tuple[str, ...] = ()


def _one_of(*names: str) -> Legal:
    return Legal(lambda value: isinstance(value, str) and value in names, "one of " + ", ".join(names), names)


def _subset_of(*names: str) -> Legal:
    def accepts(value: object) -> bool:
        return isinstance(value, list | tuple) and all(isinstance(item, str) and item in names for item in value)

    return Legal(accepts, "a list of " + ", ".join(names), names)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_patterns(value: object) -> bool:
    return isinstance(value, str) or _is_list_of_text(value)


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, str) for item in value)


_BOOL = Legal(lambda value: isinstance(value, bool), "true or false")
_POSITIVE = Legal(lambda value: _is_number(value) and float(str(value)) > 0, "a number above 0")
_NUMBER = Legal(lambda value: _is_number(value) and float(str(value)) >= 0, "a number, 0 or more")
_COUNT = Legal(
    lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0,
    "a whole number above 0",
)
_ANY = Legal(
    lambda value: isinstance(value, str | int | float | bool | dict),
    "a string, a number, true, false or a table",
)

FAMILIES = ("discrete", "kink", "selection", "random", "unsafe", "normalization")

SELECTORS: Mapping[str, Legal] = {
    "op": Legal(
        lambda value: _is_text(value) or _is_list_of_text(value),
        'an operation name, a code, "@family" or "*", or a list of these',
    ),
    "module": Legal(_is_patterns, 'a pattern for the module path such as "layers.*.router" ("" is the model itself)'),
    "source": Legal(_is_patterns, 'a pattern for the file such as "*/router.py", ":LINE" allowed'),
}

SETTINGS: Mapping[str, Legal] = {
    "action": _one_of("soft", "straight_through", "guard", "keep"),
    "scope": _one_of("operation", "region", "model"),
    "estimator": _one_of("soft", "identity", "reinmax", "rotation", "gumbel"),
    "lift_no_grad": _BOOL,
    "lift_detach": _BOOL,
    "allow_partial": _BOOL,
    "on_blocked": _one_of("keep", "error"),
    "outputs": _one_of("distribution", "hard"),
}

OPTIONS: Mapping[str, Legal] = {
    "softness": _POSITIVE,
    "mode": _one_of(*(mode for mode in MODES if mode != "hard")),
    "method": _one_of(*METHOD_NAMES),
    "standardize": _BOOL,
    "gated": _BOOL,
    "gated_grad": _BOOL,
    "use_geometric_mean": _BOOL,
    "error_free": _BOOL,
    "variant": _one_of("abs", "rectified"),
    "swap": _one_of(*SWAPS),
    "layout": _one_of(*NETWORKS),
    "gaussian": _BOOL,
    "neighbor_radius": _COUNT,
    "epsilon": _NUMBER,
}


def wrong(key: str, value: object, legal: Legal) -> str | None:
    """What is wrong with `key = value`, or None."""
    if legal.accepts(value):
        return None
    parts = value if isinstance(value, list | tuple) else [value]
    strange = [part for part in parts if part not in legal.names] if legal.names else []
    hint = did_you_mean(strange[0], legal.names) if strange else ""
    if not hint and key == "mode" and value == "hard":
        hint = ' To leave an operation hard write action = "keep".'
    return f"{key} = {_toml_like(value)} is not legal. Use {legal.described}.{hint}"


def legal_option(name: str) -> Legal:
    """How the value of an operator's option is checked."""
    return OPTIONS.get(name, _ANY)


def _toml_like(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
