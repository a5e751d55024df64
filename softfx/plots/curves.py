"""The value and the derivative of a softtorch operator as curves of one number, for `softfx plot`.

Elementwise operators are taken as they are, with what `_FILLED` says for further arguments; operators that choose
along a dim are given the row (x, -1/2, 1/2), and pooling has it as its window. Nothing here draws.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import softtorch
from softfx.errors import TargetError, did_you_mean, listed
from softfx.ops.calls import Function, Options
from softfx.rules import RULES
from softfx.rules.soft_operator import returns_indices_alone
from softtorch.errors import SoftTorchError
from softtorch.modes import MODES

__all__ = ["Curve", "Operator", "curves", "operator_of"]

_POINTS = 800
# Of the distance of two points, by which the first is off the range's end: where pieces of a curve meet, which is at
# round numbers, its derivative is that of neither.
_OFF = 0.381966
_ROW = (-0.5, 0.5)
# Arguments without a default, and those whose default would make the operator the identity.
_FILLED: dict[str, object] = {
    "y": 0.0, "a": -1.0, "b": 1.0, "q": 0.5, "p": 50.0, "k": 1, "threshold": 0.0, "value": 0.0, "dim": -1,
    "boundaries": (-1.0, 0.0, 1.0),
}  # fmt: skip
# A division by 0 has no curve, and of three entries the middle one is not drawn by min and max already.
_OWN: Mapping[Function, Options] = {
    softtorch.fmod: {"y": 1.0}, softtorch.remainder: {"y": 1.0}, softtorch.kthvalue: {"k": 2},
}  # fmt: skip
# Pooling has the row as one window: the axes of it.
_WINDOWS: Mapping[Function, tuple[int, ...]] = {
    softtorch.max_pool1d: (3,), softtorch.max_pool2d: (1, 3), softtorch.max_pool3d: (1, 1, 3),
}  # fmt: skip
# The first entry of a running result is that of the row, at any softness: its end is told, of others the first entry.
_RUNNING: tuple[Function, ...] = (softtorch.cummax, softtorch.cummin)


@dataclass(frozen=True)
class Operator:
    """An operator of softtorch, with the arguments by which it is a function of one number.

    modes: the soft modes that it has, none if it takes no mode.
    """

    name: str
    function: Callable[..., Tensor | tuple[Tensor | None, ...]]
    arguments: dict[str, object]
    modes: tuple[str, ...]

    @property
    def in_a_row(self) -> bool:
        """Return True if it chooses along a dim, or in a window."""
        return "dim" in self.arguments or self.function in _WINDOWS

    @property
    def output(self) -> str:
        """What the curve is of."""
        return "weight of x" if self.in_a_row and returns_indices_alone(self.function) else "value"

    @property
    def label(self) -> str:
        """The text that says what is drawn, and by which method."""
        told = {key: value for key, value in self.arguments.items() if key not in ("dim", "method", "kernel_size")}
        shown = "".join(f", {key}={_plain(value)}" for key, value in told.items())
        what = "(x, -1/2, 1/2)" if self.in_a_row else "x"
        usual = inspect.signature(self.function).parameters.get("method")
        method = self.arguments.get("method", usual and usual.default)
        return f"{self.name}({what}{shown})" + (f" by {method}" if method else "")

    def __call__(self, x: Tensor, **options: object) -> Tensor:
        """Numbers (n,) to values (n,)."""
        rows = torch.stack([x, *(torch.full_like(x, other) for other in _ROW)], -1) if self.in_a_row else x
        if self.function in _WINDOWS:
            rows = rows.reshape(-1, *_WINDOWS[self.function])
        result: Any = self.function(rows, **self.arguments, **options)
        value: Tensor = result[0] if isinstance(result, tuple) else result
        if not self.in_a_row and value.dim() > 1:  # a soft index of each number: its expectation
            return value @ torch.arange(value.shape[-1], dtype=value.dtype)
        while value.dim() > 1:
            value = value[..., -1 if self.function in _RUNNING else 0]
        return value


@dataclass(frozen=True)
class Curve:
    """One line of the picture, (n,) each; the softness is None for the hard operator."""

    mode: str
    softness: float | None
    x: Tensor = field(repr=False)
    value: Tensor = field(repr=False)
    derivative: Tensor = field(repr=False)


def operator_of(name: str, method: str | None = None) -> Operator:
    """The operator of softtorch of that name, or the one that softens the operation or code of that name.

    Raises:
        TargetError: there is no such operator, or it is no function of one number.

    >>> operator_of("relu").label
    'relu(x)'
    """
    known = _known()
    wanted = name if name in known else _canonical(name)
    if wanted not in known:
        if hasattr(softtorch, name) or wanted != name or name in RULES:
            raise TargetError(f"plot: {name} has no softness, so there is nothing to draw. Name another operator.")
        raise TargetError(
            f"plot: unknown operator {name!r}.{did_you_mean(name, known)} Legal are softtorch's operators with a "
            f"softness: {listed(sorted(known))}. A model is named as package.module:name."
        )
    function = known[wanted]
    parameters = inspect.signature(function).parameters
    first, *others = parameters.values()
    arguments = _arguments(function, parameters)
    missing = [other for other in others if other.default is other.empty and other.name not in arguments]
    callable_on_numbers = not missing and "generator" not in parameters and first.name == "x"
    if not callable_on_numbers or not _is_of_each_number(Operator(wanted, function, arguments, ())):
        raise TargetError(f"plot: {wanted} is no function of one number, so it has no curve. Name another operator.")
    if method is not None:
        if "method" not in parameters:
            raise TargetError(f"plot: {wanted} takes no method. Leave out --method {method}.")
        arguments["method"] = method
    operator = Operator(wanted, function, arguments, ())
    return Operator(wanted, function, arguments, _modes(operator) if "mode" in parameters else ())


def _arguments(function: Callable[..., Tensor], parameters: Mapping[str, inspect.Parameter]) -> dict[str, object]:
    """The arguments beside the number, as tensors where the operator takes nothing else."""
    own = {**_OWN.get(function, {}), **({"kernel_size": _WINDOWS[function]} if function in _WINDOWS else {})}
    filled = {key: value for key, value in _FILLED.items() if key in parameters} | own
    return {key: torch.tensor(x) if parameters[key].annotation is Tensor else x for key, x in filled.items()}


def _is_of_each_number(operator: Operator) -> bool:
    """Return True if an operator gives a result for each number, and not one of all numbers together, as histc does."""
    numbers = torch.zeros(2)
    return operator(numbers).shape == numbers.shape


def curves(
    operator: Operator, modes: Sequence[str] | None, softnesses: Sequence[float], span: tuple[float, float]
) -> list[Curve]:
    """The curves of an operator: for each mode one of the hard operator and one for each softness."""
    for mode in modes or ():
        if mode not in operator.modes:
            raise TargetError(
                f"plot: {operator.name} has no mode {mode!r}.{did_you_mean(mode, operator.modes)} "
                f"Modes here: {', '.join(operator.modes) or 'none'}. Choose among them with --modes."
            )
    step = (span[1] - span[0]) / _POINTS
    x = span[0] + (torch.arange(_POINTS, dtype=torch.float64) + _OFF) * step
    found = []
    for mode in modes or operator.modes or ("",):
        if mode:
            found.append(_curve(operator, x, "hard", None, mode))
        found += [_curve(operator, x, mode, softness, mode) for softness in softnesses]
    return found


def _curve(operator: Operator, x: Tensor, mode: str, softness: float | None, shown: str) -> Curve:
    options: dict[str, object] = {"mode": mode} if mode else {}
    if softness is not None:
        options["softness"] = softness
    x = x.clone().requires_grad_()
    value = operator(x, **options).to(x.dtype)
    if value.requires_grad:
        (derivative,) = torch.autograd.grad(value.sum(), x)
    else:
        derivative = torch.zeros_like(x)
    return Curve(shown, softness, x.detach(), value.detach(), derivative)


def _modes(operator: Operator) -> tuple[str, ...]:
    """The soft modes in which the operator works with its method."""
    working, failure = [], None
    for mode in (mode for mode in MODES if mode != "hard"):
        try:
            operator(torch.zeros(1), mode=mode)
            working.append(mode)
        except SoftTorchError as error:
            failure = error
    if not working and failure is not None:
        raise TargetError(f"plot: {failure}") from failure
    return tuple(working)


def _canonical(name: str) -> str:
    """The name in softtorch of the operator for an operation or a code of softfx."""
    for rule in RULES.values():
        if name in (rule.code, rule.name):
            return rule.soft.removeprefix("softtorch.") if rule.soft.startswith("softtorch.") else rule.name
    return name


def _known() -> dict[str, Callable[..., Tensor]]:
    """The operators of softtorch that take a softness, by name; straight-through forms have the curves of others."""
    functions = {name: value for name, value in vars(softtorch).items() if inspect.isfunction(value)}
    return {
        name: function
        for name, function in functions.items()
        if name[0] != "_" and not name.endswith("_st") and "softness" in inspect.signature(function).parameters
    }


def _plain(value: object) -> str:
    return f"{value.tolist()}" if isinstance(value, Tensor) else f"{value:g}"
