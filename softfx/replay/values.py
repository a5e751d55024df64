"""How a value that the interpreter remembered is made again of the tensors of another run.

Tensors, and the records that hold tensors, belong to one run: they are found or made anew. Everything else is the same
in each run. What is of neither kind is not made again (`Unmakeable`): its call is left to the interpreter.
"""

from __future__ import annotations

import dataclasses
import sys
import types
from enum import Enum
from functools import partial
from typing import Any

import torch
from torch import Tensor

from softfx.interpreter.carried import Carrier
from softfx.interpreter.fast_path import FunctionInfo
from softfx.ops.operation import Operation
from softfx.ops.spelling import Spelled
from softfx.ops.trees import ATOMS
from softfx.replay.softness import SiteSoftness
from softfx.torch_private import OpOverload, OpOverloadPacket
from softfx.values import Pending, Soft, ValueFacts

__all__ = ["Unmakeable", "holds_own", "is_lasting", "is_record", "method_of_carrier", "parts_of_record"]

_BUILTINS = (
    types.BuiltinFunctionType,
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.MethodWrapperType,
    types.GetSetDescriptorType,
)
_DESCRIPTIONS = (Operation, Spelled, FunctionInfo)
_LASTING = (*_DESCRIPTIONS, Enum, torch.Generator, OpOverload, OpOverloadPacket, type, types.ModuleType)
# Where the records of a run are defined.
_RECORDS = ("softfx.values.", *(f"softfx.interpreter.{name}" for name in ("records", "carried", "statistics")))


class Unmakeable(Exception):
    """A value that belongs to one run and cannot be made for another."""


def is_record(value: object) -> bool:
    """Return True for a record of a run, which may hold tensors: facts, a shadow, how a tensor was made."""
    if not dataclasses.is_dataclass(value) and not hasattr(value, "_fields"):
        return False
    return type(value).__module__.startswith(_RECORDS) or isinstance(value, Soft)


def parts_of_record(value: Any) -> dict[str, Any]:
    """What a record is made of, by the names of its arguments."""
    if isinstance(value, ValueFacts) and value.hard is not None:
        raise Unmakeable("a hard value beside a softened one")
    if not dataclasses.is_dataclass(value):
        return dict(zip(type(value).__match_args__, value, strict=True))  # of a named tuple
    names = [field.name for field in dataclasses.fields(value) if field.init]
    if isinstance(value, Pending):
        names.remove("number")
    return {name: getattr(value, name) for name in names}


def is_lasting(value: object) -> bool:
    """Return True for what is the same in each run, and holds nothing of one."""
    if type(value) in ATOMS or value is NotImplemented or isinstance(value, _LASTING):
        return True
    if isinstance(value, slice):
        return all(map(is_lasting, (value.start, value.stop, value.step)))
    if isinstance(value, frozenset | set):
        return all(map(is_lasting, value))
    if isinstance(value, tuple | list):
        return all(map(is_lasting, value))
    if isinstance(value, dict):
        return all(map(is_lasting, value.values()))
    return _is_lasting_function(value)


def _is_lasting_function(value: object) -> bool:
    if isinstance(value, types.FunctionType):
        return value.__closure__ is None or _is_named(value)
    if isinstance(value, types.MethodType):
        return isinstance(value.__self__, type)
    if isinstance(value, _BUILTINS):
        owner = getattr(value, "__self__", None)
        return not isinstance(owner, Tensor)
    return hasattr(value, "cache_info")  # of functools.lru_cache


def _is_named(function: types.FunctionType) -> bool:
    """Return True for a function that its module has under its name, as a decorated one is."""
    found: Any = sys.modules.get(function.__module__)
    for name in function.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is function


def holds_own(value: object) -> bool:
    """Return True for a value in which something belongs to one run."""
    if isinstance(value, Tensor | SiteSoftness | partial) or is_record(value):
        return True
    if isinstance(value, tuple | list):
        return any(map(holds_own, value))
    if isinstance(value, dict):
        return any(map(holds_own, value.values()))
    return isinstance(value, slice) and any(map(holds_own, (value.start, value.stop, value.step)))


def method_of_carrier(value: object) -> str | None:
    """The name of the method of the run's carrier that a value is; None for any other."""
    if isinstance(value, types.MethodType) and isinstance(value.__self__, Carrier):
        return value.__func__.__name__
    return None
