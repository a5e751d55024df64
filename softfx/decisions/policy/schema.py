"""The fields of a policy entry and the legal values of each.

There are three kinds: selectors (which sites), settings (what softfx does with them) and options (arguments of the
soft operator). The rule table says which options there are; this module only checks their values. To add a setting,
write one line in SETTINGS, one in `Settings`, and give `Resolved` the attribute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict, get_args

from softfx.decisions.policy.methods import METHOD_NAMES
from softfx.errors import brief, did_you_mean
from softfx.vocabulary import FAMILIES
from softtorch.methods.sorting_network import NETWORKS, SWAPS
from softtorch.modes import MODES

__all__ = [
    "AUTO",
    "FAMILIES",
    "OPTIONS",
    "RELATIVE",
    "SELECTORS",
    "SETTINGS",
    "Action",
    "Legal",
    "Settings",
    "legal_option",
    "wrong",
]

Action = Literal["soft", "straight_through", "guard", "keep"]
OnBlocked = Literal["keep", "error"]


class Settings(TypedDict, total=False):
    """The settings of an entry, and of a [default] table its families and softness, once their values are checked."""

    action: Action
    families: Sequence[str]
    softness: float | str | Mapping[str, float]
    scope: str
    estimator: str
    lift_no_grad: bool
    lift_detach: bool
    allow_partial: bool
    on_blocked: OnBlocked
    outputs: str


@dataclass(frozen=True)
class Legal:
    """The legal values of a field: a test, the words for it, and the names if it is a choice among names."""

    accepts: Callable[[object], bool]
    described: str
    names: tuple[str, ...] = ()


def _one_of(*names: str) -> Legal:
    return Legal(lambda value: isinstance(value, str) and value in names, "one of " + ", ".join(names), names)


def _between(low: float, high: float, value: object) -> bool:
    """Return True for a number in these bounds, which also hold back integers beyond all floats."""
    return isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high


def _is_text(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_patterns(value: object) -> bool:
    return isinstance(value, str) or _is_list_of_text(value)


def _is_list_of_text(value: object) -> bool:
    return isinstance(value, list | tuple) and len(value) > 0 and all(isinstance(item, str) for item in value)


_BOOL = Legal(lambda value: isinstance(value, bool), "true or false")
# Within these a number of ordinary size divided by a softness, and the square of that, is finite in float32.
_LEAST, _MOST = 1e-18, 1e18
AUTO = "auto"
RELATIVE = "relative"


def _is_softness(value: object) -> bool:
    number = value[RELATIVE] if isinstance(value, Mapping) and set(value) == {RELATIVE} else value
    return value == AUTO or _between(_LEAST, _MOST, number)


_SOFTNESS = Legal(
    _is_softness,
    f"a number above 0, from {_LEAST:g} to {_MOST:g}",
    (AUTO,),
)
_NUMBER = Legal(lambda value: _between(0, _MOST, value), f"a number, 0 or more, up to {_MOST:g}")
# A staircase computes two curves for each integer: beyond softness 10 a hundred of them reach everything that counts,
# and the memory is 200 times the input's.
_MOST_NEIGHBORS = 100
_COUNT = Legal(
    lambda value: isinstance(value, int) and _between(1, _MOST_NEIGHBORS, value),
    f"a whole number above 0, up to {_MOST_NEIGHBORS}",
)
# A run takes as many forward passes; more than a million of them are a mistake.
_MOST_RUNS = 10**6


def _whole(least: int) -> Legal:
    legal = "a whole number above 0" if least else "a whole number, 0 or more"
    return Legal(
        lambda value: isinstance(value, int) and _between(least, _MOST_RUNS, value), f"{legal}, up to {_MOST_RUNS}"
    )


_ANY = Legal(
    lambda value: isinstance(value, str | int | float | bool | dict),
    "a string, a number, true, false or a table",
)

SELECTORS: Mapping[str, Legal] = {
    "op": Legal(
        lambda value: _is_text(value) or _is_list_of_text(value),
        'an operation name, a code, "@family" or "*", or a list of these',
    ),
    "module": Legal(_is_patterns, 'a pattern for the module path such as "layers.*.router" ("" is the model itself)'),
    "source": Legal(_is_patterns, 'a pattern for the file such as "*/router.py", ":LINE" allowed'),
}

SETTINGS: Mapping[str, Legal] = {
    "action": _one_of(*get_args(Action)),
    "scope": _one_of("operation", "region", "linear", "decision", "module", "model"),
    "estimator": _one_of(
        "soft", "identity", "reinmax", "rotation", "gumbel", "exchange", "turn", "difference", "blend", "membership"
    ),
    "lift_no_grad": _BOOL,
    "lift_detach": _BOOL,
    "allow_partial": _BOOL,
    "on_blocked": _one_of(*get_args(OnBlocked)),
    "outputs": _one_of("distribution", "hard"),
}

OPTIONS: Mapping[str, Legal] = {
    "softness": _SOFTNESS,
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
    "samples": _whole(0),
    "turns": _whole(1),
    "exact": _whole(0),
    "limit": Legal(lambda value: _between(1, _MOST, value), f"a number from 1 to {_MOST:g}"),
    "seed": Legal(lambda value: type(value) is int and 0 <= value < 2**63, "a whole number from 0 to 2**63 - 1"),
    "remeasure": _BOOL,
}


def wrong(key: str, value: object, legal: Legal) -> str | None:
    """The sentence that tells why `key = value` is not legal, or None if it is."""
    if legal.accepts(value):
        return None
    parts = value if isinstance(value, list | tuple) else [value]
    strange = [part for part in parts if isinstance(part, str) and part not in legal.names] if legal.names else []
    hint = did_you_mean(strange[0], legal.names) if strange else ""
    if not hint and key == "mode" and value == "hard":
        hint = ' To leave an operation hard write action = "keep".'
    if key == "softness" and not hint:
        hint = f' In units of the data it is {{ {RELATIVE} = 0.2 }} or "{AUTO}".'
    return f"{key} = {_toml_like(value)} is not legal. Use {legal.described}.{hint}"


def legal_option(name: str) -> Legal:
    """The legal values of an operator's option; almost anything for an option of a registered rule."""
    return OPTIONS.get(name, _ANY)


def _toml_like(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else brief(value)
