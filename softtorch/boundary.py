"""The public boundary: how a call of a public function that cannot work comes out as one kind of error.

`softtorch.__init__` wraps every public function in `guarded`; inside the package functions call each other without it.
What an operator checks by itself is raised under the name that the caller used. What torch or Python raise where an
argument has the wrong type, or tensors do not fit together, is explained by `_explained`; any other exception is a bug
and stays what it is. To add an explanation: a function of the arguments in `_EXPLANATIONS`.
"""

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import torch
from torch import Tensor

from softtorch.errors import DimensionError, OptionError, ShapeError, SoftTorchError, message, of_type
from softtorch.scope import filled, in_scope
from softtorch.sharded import holds_shards, on_shards
from softtorch.shared import completed
from softtorch.torch_arguments import Accepted, accepted, is_wrong_kind, misplaced, translated

# What torch and Python raise for arguments that do not fit.
_RAW = (TypeError, AttributeError, RuntimeError, ValueError, IndexError, StopIteration, ZeroDivisionError)

P = ParamSpec("P")
R = TypeVar("R")


def guarded(name: str, function: Callable[P, R], soft: Callable[..., Any] | None = None) -> Callable[P, R]:
    """`function` as the public `name`: what goes wrong in it is told in the form of errors.py, under that name.

    Args:
        name: what callers know it by.
        function: a public function.
        soft: for a straight-through form the operator it is made from, whose checks are asked where torch's own hard
            function fails first.
    """

    takes = accepted(name, function)

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if kwargs and any(known not in takes.parameters for known in kwargs):
            kwargs = translated(takes, kwargs)  # type: ignore[assignment]  # of the same parameters by other names
        if in_scope():
            kwargs = filled(takes.parameters, args, kwargs)  # type: ignore[assignment]  # likewise
        for parameter, value in (*zip(takes.parameters, args, strict=False), *kwargs.items()):
            if isinstance(value, Tensor | bool):
                _check_kind(takes, name, function, parameter, value)
        if (wrong := misplaced(takes, args)) is not None:
            raise wrong
        try:
            if holds_shards((*args, *kwargs.values())):
                result: R = on_shards(name, function, args, kwargs)
                return result
            return function(*args, **kwargs)
        except SoftTorchError as error:
            raise _renamed(name, error) from error.__cause__
        except _RAW as error:
            explained = _refusal(name, soft, args, kwargs) or _explained(name, function, args, kwargs)
            if explained is None:
                raise
            raise explained from error

    call.__doc__ = completed(function, soft)
    _name(call, name)
    return call


def unguarded(function: Callable[P, R], names: Iterable[str] = ()) -> Callable[P, R]:
    """The function that a public one runs once its arguments are found to be legal, for a caller that repeats a call.

    names: of the keyword arguments that it is given; a function that takes one of them by another name is as it is.
    """
    inner = getattr(function, "__wrapped__", None)
    if function.__module__ != "softtorch" or inner is None:
        return function
    if not inspect.signature(inner).parameters.keys() >= {*names}:
        return function
    return cast(Callable[P, R], inner)


def _check_kind(takes: Accepted, name: str, function: Callable[..., Any], parameter: str, value: Tensor | bool) -> None:
    """Refuse what has no order, and what is something else than is due and would be taken for it."""
    if isinstance(value, Tensor) and value.is_complex() and name not in _COMPLEX:
        raise OptionError(message(name, f"{parameter} has dtype {value.dtype}, which has no order", "Use a real dtype"))
    if is_wrong_kind(takes, parameter, value):
        kinds = _kinds(get_type_hints(function).get(parameter, Any))
        legal = " or ".join(_LEGAL[kind] for kind in dict.fromkeys(kinds))
        raise OptionError(message(name, of_type(parameter, value), legal and f"Use {legal}"))


def _name(function: Any, name: str) -> None:
    """Give a wrapper its public name, and a code object of its own.

    All wrappers that `guarded` makes would share one code object. torch.compile stores what it has compiled by code
    object and stops after `recompile_limit` entries for one (8 by default), so the ninth operator compiled by itself,
    as in torch.compile(softtorch.argmax), would run uncompiled or fail. A copy under the public name keeps them apart,
    and is what a traceback shows.
    """
    function.__module__, function.__name__, function.__qualname__ = "softtorch", name, name
    function.__code__ = function.__code__.replace(co_name=name, co_qualname=name)


def guard(names: dict[str, Any]) -> None:
    """Put `guarded` around every public function of a namespace but those that run functions of the caller.

    Docstrings of the others are completed like those of all.
    """
    for name, value in list(names.items()):
        if name.startswith("_"):
            continue
        if name in _OF_FUNCTIONS or (inspect.isclass(value) and issubclass(value, torch.nn.Module)):
            value.__doc__ = completed(value)
        elif inspect.isfunction(value):
            soft = names.get(name.removesuffix("_st")) if name.endswith("_st") else None
            names[name] = guarded(name, value, soft)


_OF_FUNCTIONS = {"options", "supported", "st", "grad_replace", "perturbed", "implicit_root"}
_COMPLEX = {"div", "log", "masked_fill", "sqrt", "straight_through", "where"}  # which need no order


def _renamed(name: str, error: SoftTorchError) -> SoftTorchError:
    """The error of an operator that `name` is made of, as one of `name`."""
    where, colon, rest = str(error).partition(": ")
    return error if where == name or not colon else type(error)(f"{name}: {rest}")


def _refusal(
    name: str, soft: Callable[..., Any] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> SoftTorchError | None:
    """The error of the soft operator for these arguments, if it refuses them."""
    if soft is not None:
        try:
            soft(*args, **kwargs)
        except SoftTorchError as error:
            return _renamed(name, error)
        except _RAW:
            return None
    return None


Arguments = Mapping[str, Any]


def _bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    try:
        return inspect.signature(function).bind(*args, **kwargs).arguments
    except TypeError:
        return {}  # Python's own message says which argument is missing or unknown


def _explained(
    name: str, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> SoftTorchError | None:
    """The error that explains these arguments, if one does."""
    given = _bound(function, args, kwargs)
    return next((error for explanation in _EXPLANATIONS for error in explanation(name, function, given)), None)


def _wrong_types(name: str, function: Callable[..., Any], given: Arguments) -> Iterator[SoftTorchError]:
    hints = get_type_hints(function)
    for parameter, value in given.items():
        kinds = _kinds(hints.get(parameter, Any))
        if kinds and not (_is_any_of(value, kinds)):
            legal = " or ".join(_LEGAL[kind] for kind in dict.fromkeys(kinds) if kind in _LEGAL)
            yield OptionError(message(name, of_type(parameter, value), f"Use {legal}"))


_LEGAL: dict[type, str] = {Tensor: "a tensor", int: "an integer", float: "a number", str: "a name", type(None): "None"}


def _kinds(hint: Any) -> tuple[type, ...]:
    """The plain types of an annotation; none of them where it has others, which are not judged here."""
    parts = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return parts if all(part in _LEGAL for part in parts) else ()


def _is_any_of(value: Any, kinds: tuple[type, ...]) -> bool:
    symbols = {int: (torch.SymInt,), float: (int, torch.SymInt, torch.SymFloat)}
    more = [kind for known in kinds for kind in symbols.get(known, ())]
    return isinstance(value, (*kinds, *more)) and not isinstance(value, bool)


def _shapes_that_do_not_fit(name: str, function: Callable[..., Any], given: Arguments) -> Iterator[SoftTorchError]:
    shapes = {parameter: tuple(value.shape) for parameter, value in given.items() if isinstance(value, Tensor)}
    try:
        torch.broadcast_shapes(*shapes.values())  # type: ignore[no-untyped-call]  # untyped in torch
    except RuntimeError:
        listed = ", ".join(f"{parameter} {shape}" for parameter, shape in shapes.items())
        yield ShapeError(message(name, f"the shapes do not fit together: {listed}", "Use shapes that broadcast"))


def _wrong_dims(name: str, function: Callable[..., Any], given: Arguments) -> Iterator[SoftTorchError]:
    """For functions of several dims, which torch checks."""
    shapes = [value.shape for value in given.values() if isinstance(value, Tensor)]
    if not shapes or given.get("dim") is None:
        return
    dims, count = given["dim"], max(1, *map(len, shapes))
    dims = dims if isinstance(dims, tuple | list) else (dims,)
    if not all(isinstance(dim, int | torch.SymInt) for dim in dims):
        legal = "Use an integer or a tuple of them"
        yield OptionError(message(name, of_type("dim", given["dim"]), legal))
    elif not all(-count <= dim < count for dim in dims):
        largest = next(shape for shape in shapes if max(1, len(shape)) == count)
        wrong = f"dim={given['dim']} is out of range for input {tuple(largest)}"
        yield DimensionError(message(name, wrong, f"Use {-count} <= dim <= {count - 1}"))


def _too_small(name: str, function: Callable[..., Any], given: Arguments) -> Iterator[SoftTorchError]:
    """For functions that need an axis with something on it; asked last."""
    for parameter, value in given.items():
        single = isinstance(value, Tensor) and value.ndim == 0 and parameter != "softness"  # which may be a number
        if isinstance(value, Tensor) and (single or value.numel() == 0):
            wrong = f"{parameter} of shape {tuple(value.shape)} is too small"
            yield ShapeError(message(name, wrong, "Use a tensor with an axis and with elements"))


def _wrong_dtypes(name: str, function: Callable[..., Any], given: Arguments) -> Iterator[SoftTorchError]:
    """For dtypes that torch's own function does not know; asked last."""
    for parameter, value in given.items():
        if isinstance(value, Tensor) and not value.is_floating_point():
            wrong = f"{parameter} has dtype {value.dtype}, which torch does not know here"
            yield OptionError(message(name, wrong, "Use a floating dtype"))


_EXPLANATIONS = (_wrong_types, _wrong_dims, _shapes_that_do_not_fit, _too_small, _wrong_dtypes)
