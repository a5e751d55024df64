"""Arguments as torch names and places them, where softtorch has others: what is meant is taken, or refused by name.

SoftTorch 0.1.1 has the operators' arguments in an order of its own, which stays. A call written for torch must not mean
something else without a word: torch's keywords are translated, and what stands by place where torch has another
argument is an error that says so. To add a keyword or a place: a line in one of the tables.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_args, get_type_hints

from torch import Tensor

from softtorch.errors import OptionError, message

FIRST = {"input", "self", "tensor"}
"""torch's names of the first operand."""

OPERANDS = frozenset({"x", "y", "a", "b", "value", "values"})
"""Operands may be bools, as numbers may in torch."""

RENAMED = {
    "other": "y", "exponent": "y", "min": "a", "max": "b", "index": "soft_index", "indices": "soft_index",
    "src": "value", "axis": "dim", "n": "num_classes",
}  # fmt: skip
"""torch's names of others, and those here."""

OF_ONE = {
    "where": {"input": "x", "self": "x", "other": "y"},
    "searchsorted": {"input": "values", "self": "values"},
    "narrow": {"start": "soft_start"},
    "choice": {"shape": "size"},
}
"""The same for single functions, which comes first."""

WITHOUT_EFFECT: dict[str, tuple[object, ...]] = {"sorted": (True, False), "equal_nan": (False,), "inplace": (False,)}
"""torch's options that are at their default here, or make no difference, and the values for which that is so."""

OTHER_PLACES: dict[str, tuple[int, str, Callable[[tuple[Any, ...]], bool]]] = {
    "any": (2, "keepdim", lambda args: len(args) > 2 and isinstance(args[2], bool)),
    "heaviside": (1, "values", lambda args: len(args) > 1 and isinstance(args[1], Tensor)),
    "isclose": (2, "rtol", lambda args: len(args) == 4 or (len(args) > 4 and isinstance(args[4], bool))),
    "index_select": (1, "dim", lambda args: len(args) > 2 and isinstance(args[1], int)),
    "narrow": (1, "dim", lambda args: len(args) > 3 and isinstance(args[1], int)),
}
"""By function: a place where torch has another argument of the same kind, its name, and which calls may mean it."""


class Accepted(NamedTuple):
    """The arguments of a function, for checks at every call."""

    name: str
    parameters: tuple[str, ...]
    bools: frozenset[str]
    """the parameters that may be a bool"""
    tensors: frozenset[str]
    """those that may be a tensor"""


def accepted(name: str, function: Callable[..., Any]) -> Accepted:
    """The arguments of the public function `name`, by its signature."""
    hints = get_type_hints(function)
    parameters = inspect.signature(function).parameters
    listed = {known: _kinds(hints.get(known, Any)) for known in parameters}
    free = {p.name for p in parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    bools, tensors = (
        frozenset(known for known, kinds in listed.items() if kinds is None or kind in kinds or known in free)
        for kind in (bool, Tensor)
    )
    return Accepted(name.removesuffix("_st"), tuple(parameters), bools | OPERANDS, tensors)


def _kinds(hint: Any) -> tuple[Any, ...] | None:
    """The plain types of an annotation; None where it says nothing, or something else than types."""
    parts = get_args(hint) or (hint,)
    return parts if all(isinstance(part, type) and part is not object for part in parts) else None


def misplaced(takes: Accepted, args: tuple[Any, ...]) -> OptionError | None:
    """The error for arguments by place of which torch would take one as another."""
    if takes.name not in OTHER_PLACES:
        return None
    place, theirs, may_be = OTHER_PLACES[takes.name]
    if not may_be(args):
        return None
    wrong = f"argument {place + 1} by place is {theirs} in torch and {takes.parameters[place]} here"
    return OptionError(message(takes.name, wrong, "", f"Name it, {theirs}= or {takes.parameters[place]}="))


def is_wrong_kind(takes: Accepted, parameter: str, value: Any) -> bool:
    """Return True for a bool, or a tensor of numbers, where something else is due."""
    if isinstance(value, bool):
        return parameter not in takes.bools
    if not isinstance(value, Tensor) or parameter in takes.tensors:
        return False
    return value.ndim > 0 or value.is_floating_point()  # a 0-dim integer serves as a size, as in torch


def translated(takes: Accepted, kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Keyword arguments under the names that they have here; unknown ones stay, for Python to refuse."""
    result: dict[str, Any] = {}
    for name, value in kwargs.items():
        if name in takes.parameters:
            known = name
        elif name in WITHOUT_EFFECT:
            if value not in WITHOUT_EFFECT[name]:
                legal = " or ".join(map(repr, WITHOUT_EFFECT[name]))
                raise OptionError(message(takes.name, f"{name}={value!r} has no soft form", f"Use {name}={legal}"))
            continue
        elif name == "side" and "right" in takes.parameters:
            if value not in ("left", "right"):
                raise OptionError(message(takes.name, f"side={value!r}", "Use 'left' or 'right'"))
            known, value = "right", value == "right"
        else:
            known = _here(takes, name)
        if known in result or (known != name and known in kwargs):
            raise OptionError(message(takes.name, f"{known} is given twice, also as {name}", "Use one of them"))
        result[known] = value
    return result


def _here(takes: Accepted, name: str) -> str:
    """The name that torch's keyword has in this function."""
    if (own := OF_ONE.get(takes.name, {}).get(name)) is not None:
        return own
    if name in FIRST:
        return takes.parameters[0]
    return RENAMED[name] if RENAMED.get(name) in takes.parameters else name
