"""Functions of torch that are Python inside are inlined: multi-head attention, gumbel_softmax, normalize.

To a torch function mode such a function is one call, and what it decides is out of sight. `inlined` gives a copy whose
body runs on: the same code, but its question whether someone overrides it is answered with no. Only functions whose
code names an operation that could be a site are inlined; torch itself is not touched. So are torch.cond and while_loop,
which are one call to torch only for a compiler's sake. An assignment to requires_grad is a call of requires_grad_, for
torch refuses it of tensors that softening has given a history.
"""

from __future__ import annotations

from functools import lru_cache
from types import FunctionType
from typing import Any

from torch import Tensor

from softfx import ops
from softfx.ops import control_flow
from softfx.ops.calls import Args, Function, Result
from softfx.ops.spelling import INDEX
from softfx.rules import RULES, rule_of
from softfx.torch_private import HigherOrderOperator

__all__ = ["CONTROL_FLOW_CODES", "inlined"]

_HOME = "torch.nn.functional"
_GUARD = "has_torch_function"


def inlined(func: Function) -> Function | None:
    """The body of `func` to be run under the mode, or None for what is one call.

    >>> import torch.nn.functional as F
    >>> inlined(F.gumbel_softmax) is None, inlined(F.linear) is None
    (False, True)
    """
    if isinstance(func, HigherOrderOperator):
        return _CONTROL_FLOW.get(func.__name__)
    if func == _SETS_REQUIRES_GRAD:
        return Tensor.requires_grad_
    if not isinstance(func, FunctionType) or func.__module__ != _HOME or rule_of(INDEX.of(func).operation) is not None:
        return None
    return _body(func, INDEX.changes)


@lru_cache(maxsize=1024)
def _body(func: FunctionType, changes: int) -> Function | None:
    names = set(func.__code__.co_names)
    if not names & _deciding(changes) or not any(_GUARD in name for name in names):
        return None
    guards = {name: _no for name in func.__globals__ if name.startswith(_GUARD)}
    body = FunctionType(
        func.__code__, {**func.__globals__, **guards}, func.__name__, func.__defaults__, func.__closure__
    )
    body.__kwdefaults__ = func.__kwdefaults__
    return body


@lru_cache(maxsize=2)
def _deciding(changes: int) -> frozenset[str]:
    """The names of operations that could be sites; casts share theirs with Python's types and are not among them."""
    rules = (rule for rule in RULES.values() if rule.family in ("discrete", "kink", "normalization"))
    return frozenset(name for rule in rules if rule.operation is not ops.cast for name in (rule.name, *rule.aliases))


def _cond(pred: Any, true_fn: Function, false_fn: Function, operands: Args = ()) -> Result:
    return true_fn(*operands) if pred else false_fn(*operands)


def _while_loop(cond_fn: Function, body_fn: Function, carried: Args, additional: Args = (), **_: Any) -> Result:
    while cond_fn(*carried, *additional):
        carried = body_fn(*carried, *additional)
    return carried


_REQUIRES_GRAD: Any = Tensor.requires_grad  # which is a bool of an instance alone
_SETS_REQUIRES_GRAD = _REQUIRES_GRAD.__set__
_CONTROL_FLOW: dict[str, Function] = {"cond": _cond, "while_loop": _while_loop}


# The codes whose conditions are those of torch.cond and while_loop, with the name of the operation.
CONTROL_FLOW_CODES = {_cond.__code__: control_flow.cond, _while_loop.__code__: control_flow.while_loop}


def _no(*_: Any) -> bool:
    return False
