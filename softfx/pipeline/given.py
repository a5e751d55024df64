"""What a call of `soften` is given, checked before anything is run: the target, and the example call's arguments."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from softfx.capture.example import function_of, name_of
from softfx.errors import TargetError, brief

__all__ = ["check_inputs", "example_call"]


def example_call(
    target: Any, policy: object, inputs: Sequence[Any] | None, kwargs: Mapping[str, Any] | None, where: str = "soften"
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The example call's arguments; only a target that needs none may go without.

    where: the function of the api that was called.
    """
    if not callable(target):
        raise TargetError(
            f"{where}: {brief(target)} cannot be softened. A target is an nn.Module or a function. Pass one."
        )
    if isinstance(target, torch.jit.ScriptModule | torch.jit.ScriptFunction):
        raise TargetError(f"{where}: TorchScript has no Python to see. Pass the module it was scripted from.")
    if isinstance(target, type) and issubclass(target, torch.nn.Module):
        raise TargetError(
            f"{where}: {target.__name__} is a class of Modules. A target is a Module or a function. "
            f"Make one: {where}({target.__name__}(...))."
        )
    if isinstance(policy, torch.Tensor | tuple | list):
        raise TargetError(
            f"{where}: the second argument is a {type(policy).__name__}, and it is the policy: a preset's name, a "
            "path, a dict or a softfx.Policy. Example inputs are given by name: example_inputs=(x,)."
        )
    check_inputs(where, inputs, kwargs)
    args, named = tuple(inputs or ()), dict(kwargs or {})
    signature = _signature(function_of(target))
    try:
        if signature is not None:
            signature.bind(*args, **named)
    except TypeError as error:
        raise TargetError(
            f"{where}: {name_of(target)} cannot be called with these example inputs: {error}. "
            "Give example_inputs=(...) and example_kwargs={...} as for one ordinary call."
        ) from None
    return args, named


def check_inputs(where: str, inputs: object, kwargs: object) -> None:
    """Refuse example inputs that are no tuple of arguments, and keywords that are no dict of them by name."""
    if isinstance(inputs, torch.Tensor | Mapping | str):
        text = f"example_inputs is a {type(inputs).__name__}, and it is a tuple of arguments. "
        raise TargetError(f"{where}: {text}Write example_inputs=(x,); arguments by name are example_kwargs.")
    if inputs is not None and not isinstance(inputs, Sequence):
        text = f"example_inputs = {brief(inputs)}, and it is a tuple of arguments. "
        raise TargetError(f"{where}: {text}Write example_inputs=(x,).")
    if kwargs is not None and not (isinstance(kwargs, Mapping) and all(isinstance(name, str) for name in kwargs)):
        kind = type(kwargs).__name__
        text = f"example_kwargs is a {kind}{' with other keys' if kind == 'dict' else ''}, and it is a dict by name. "
        raise TargetError(f"{where}: {text}Write example_kwargs={{'mask': mask}}.")


def _signature(function: Any) -> inspect.Signature | None:
    """How it is called; None for a builtin that does not say, where the call itself will tell."""
    try:
        return inspect.signature(function)
    except ValueError:
        return None
