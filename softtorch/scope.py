"""`options`: a scope of defaults for operators that are called by hand, and `supported`: what each of them takes.

The defaults are looked up at the public boundary alone (boundary.py), so that what operators call of each other keeps
its own.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeGuard, TypeVar, overload

from torch import Tensor

from softtorch.checks import NEEDS, check_softness, resolve_mode
from softtorch.errors import OptionError, message, nearest
from softtorch.methods import METHODS, Method
from softtorch.modes import MODES, Mode

__all__ = ["Supported", "filled", "in_scope", "options", "outside", "supported"]


P = ParamSpec("P")
R = TypeVar("R")


class _Scope(threading.local):
    """The defaults of this thread; torch.compile follows it, as it does not follow a ContextVar."""

    defaults: Mapping[str, Any] | None = None


_SCOPE = _Scope()


@contextmanager
def options(
    *,
    mode: str | Mode | None = None,
    softness: Tensor | float | None = None,
    method: str | Method | None = None,
    standardize: bool | None = None,
) -> Iterator[None]:
    """Defaults for the operators that are called in the block, in this thread.

    An operator takes those of its own arguments that the call leaves out; one without such an argument is as it is. A
    scope in a scope adds to the outer one. Softened models have policies of their own, which it leaves alone.

    Args:
        mode: of operators that have one, by name.
        softness: a number or a tensor.
        method: of operators that order and choose.
        standardize: of the same.

    Raises:
        OptionError: an unknown mode or method, or a softness that is not positive.

    Source: the scopes of torch, such as `torch.autocast`.

    Example:
        >>> import torch, softtorch
        >>> x = torch.tensor([0.0, 3.0, 1.0])
        >>> with softtorch.options(mode="c0", softness=0.2):
        ...     print(softtorch.argmax(x), softtorch.heaviside(x, mode="hard"))
        tensor([0., 1., 0.]) tensor([0.5000, 1.0000, 1.0000])
    """
    given = {"mode": mode, "softness": softness, "method": method, "standardize": standardize}
    given = {name: value for name, value in given.items() if value is not None}
    if mode is not None:
        resolve_mode("options", mode)
    if softness is not None:
        check_softness("options", softness)
    if method is not None and not isinstance(method, Method) and method not in METHODS:
        wrong, legal = f"unknown method {method!r}", f"Methods: {', '.join(METHODS)}"
        raise OptionError(message("options", wrong, legal, nearest(method, METHODS)))
    if standardize is not None and not isinstance(standardize, bool):
        raise OptionError(message("options", f"standardize={standardize!r}", "Use True or False"))
    outer = _SCOPE.defaults
    _SCOPE.defaults = {**(outer or {}), **given}
    try:
        yield
    finally:
        _SCOPE.defaults = outer


def in_scope() -> bool:
    """Return True if defaults are set here."""
    return _SCOPE.defaults is not None


def outside(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call `function` as no scope were there: what calls operators on behalf of a policy has its own defaults."""
    defaults = _SCOPE.defaults
    if defaults is None:
        return function(*args, **kwargs)
    _SCOPE.defaults = None
    try:
        return function(*args, **kwargs)
    finally:
        _SCOPE.defaults = defaults


def filled(parameters: tuple[str, ...], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The keyword arguments of a call with the defaults of the scope for those that it leaves out."""
    left_out = {*parameters[len(args) :]} - kwargs.keys()
    defaults = _SCOPE.defaults or {}
    return {**{name: value for name, value in defaults.items() if name in left_out}, **kwargs}


@dataclass(frozen=True)
class Supported:
    """The arguments of an operator.

    modes: its modes; without any it has no softness.
    methods: the modes of each method that it takes; without any it orders nothing.
    options: its further arguments behind the first operand.
    straight_through: the name of its straight-through form, or nothing.
    """

    name: str
    modes: tuple[str, ...]
    methods: Mapping[str, tuple[str, ...]]
    options: tuple[str, ...]
    straight_through: str


@overload
def supported(name: str) -> Supported: ...
@overload
def supported(name: None = None) -> dict[str, Supported]: ...
def supported(name: str | None = None) -> Supported | dict[str, Supported]:
    """The arguments of an operator: its modes, the methods that serve it with their modes, and its other arguments.

    Args:
        name: of an operator; None for all of them, by name.

    Returns:
        A record with `name`, `modes`, `methods`, `options` and `straight_through`, the name of that form.

    Raises:
        OptionError: there is no operator of that name.

    Source: the operators' signatures and the contracts of the methods, which the tests try.

    Example:
        >>> import softtorch
        >>> softtorch.supported("argmax").methods["lapsum"]
        ('hard', 'smooth', 'tailed')
        >>> softtorch.supported("relu").options, softtorch.supported("relu").straight_through
        (('gated',), 'relu_st')
    """
    import softtorch  # the face, which gathers all operators

    public = {each: function for each, function in vars(softtorch).items() if _is_operator(function, each)}
    if name is None:
        return {
            each: _supported_by(each, function, f"{each}_st" in vars(softtorch)) for each, function in public.items()
        }
    if name not in public:
        wrong, legal = f"there is no operator {name!r}", "softtorch.supported() has all of them"
        raise OptionError(message("supported", wrong, nearest(name, public), legal))
    return _supported_by(name, public[name], f"{name}_st" in vars(softtorch))


def _is_operator(value: object, name: str) -> TypeGuard[Callable[..., object]]:
    """Return True for a public function that is no straight-through form, and neither makes nor scopes one."""
    helpers = ("options", "supported", "st", "grad_replace", "straight_through", "perturbed", "implicit_root")
    return inspect.isfunction(value) and not name.startswith("_") and not name.endswith("_st") and name not in helpers


# What an operator asks of its method where its arguments do not tell: others give values, or indices alone.
_ASKS = {"rank": "rank", "topk_mask": "mask", "cummax": "rows", "cummin": "rows"}


def _supported_by(name: str, function: Callable[..., object], has_straight_through: bool) -> Supported:
    """The record of one operator, by its signature and the contracts of the methods."""
    parameters = inspect.signature(function).parameters
    modes = tuple(MODES) if "mode" in parameters else ()
    indices_alone = "return_log_probs" in parameters and "gated_grad" not in parameters
    flag, _, _ = NEEDS[_ASKS.get(name, "rows" if indices_alone else "values")]
    able = {known: method for known, method in METHODS.items() if getattr(method, flag)}
    methods = {known: ("hard", *method.modes) for known, method in able.items()} if "method" in parameters else {}
    more = tuple(known for known in list(parameters)[1:] if known not in ("mode", "method", "softness"))
    return Supported(name, modes, methods, more, f"{name}_st" if has_straight_through else "")
