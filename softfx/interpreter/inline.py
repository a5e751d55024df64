"""Functions of torch that are Python inside, seen from inside: multi-head attention, gumbel_softmax, normalize.

To a torch function mode such a function is one call, and what it decides is out of sight. `opened` gives a copy whose
body runs on: the same code, but its question whether someone overrides it is answered with no. Only functions whose
code names an operation that could be a site are opened; torch itself is not touched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any

from softfx.rules import RULES, SPELLING

__all__ = ["opened"]

_HOME = "torch.nn.functional"
_GUARD = "has_torch_function"


def opened(func: Callable[..., Any]) -> Callable[..., Any] | None:
    """The body of `func` to be run under the mode, or None for what is one call.

    >>> import torch.nn.functional as F
    >>> opened(F.gumbel_softmax) is None, opened(F.linear) is None
    (False, True)
    """
    inside = isinstance(func, FunctionType) and func.__module__ == _HOME and SPELLING.find(func) is None
    return _opened(func) if inside else None


@cache
def _opened(func: FunctionType) -> Callable[..., Any] | None:
    names = set(func.__code__.co_names)
    if not names & _deciding() or not any(_GUARD in name for name in names):
        return None
    guards = {name: _no for name in func.__globals__ if name.startswith(_GUARD)}
    body = FunctionType(
        func.__code__, {**func.__globals__, **guards}, func.__name__, func.__defaults__, func.__closure__
    )
    body.__kwdefaults__ = func.__kwdefaults__
    return body


@cache
def _deciding() -> frozenset[str]:
    """The names of operations that could be sites; casts share theirs with Python's types and are not among them."""
    rules = (rule for rule in RULES.values() if rule.family in ("discrete", "kink", "normalization"))
    return frozenset(name for rule in rules if rule.op != "cast" for name in (rule.op, *rule.aliases))


def _no(*_: Any) -> bool:
    return False
