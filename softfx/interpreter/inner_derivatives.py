"""Derivatives that the program takes inside the call: the sites that they pass would change the values made of them.

`torch.autograd.grad` returns them. `backward` leaves them in leaves, where the program finds them if the leaves are of
its own making: a latent that is fitted, an adversarial input. Those of parameters are what training asks for, and soft.
Planning keeps the sites that such a derivative passes, and leaves the detachments that make a leaf of a tensor.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from torch import Tensor, nn

from softfx import ops, torch_private
from softfx.decisions.evidence import Left
from softfx.interpreter.call import Call
from softfx.interpreter.lifting import behind
from softfx.interpreter.state import RunState
from softfx.values.histories import is_leaf, nodes_behind

__all__ = ["DIFFERENTIATED", "keep_what_is_differentiated"]

DIFFERENTIATED = "the program differentiates it and computes with the derivative, which would be another value"
_LEAF = "the program makes a leaf of it, and has its gradient from a backward pass"


def keep_what_is_differentiated(state: RunState, call: Call) -> None:
    """Keep the straight-through sites that a derivative passes which the program computes with."""
    if call.operation is ops.requires_grad_:
        state.foreign.leaves |= behind(state, call)
    elif call.operation is ops.backward:
        state.foreign.went_back = True
        state.evidence.to_leave.update(dict.fromkeys(state.foreign.leaves, Left(_LEAF, call.location)))
        if any(_is_own(state, leaf) for leaf in _leaves(call.tensors)):
            _keep(state, _passed(call))
    elif call.operation is ops.differentiate:
        _keep(state, _passed(call))
    elif call.operation is ops.grad and not state.foreign.went_back and _has_gradient(state, call.tensors[0]):
        _keep(state, state.met)  # by torch.autograd.backward, which no mode sees: it may have passed any of them


def _passed(call: Call) -> frozenset[int]:
    """The sites that a derivative of a call's operands passes."""
    sites = (facts.gradient_sites | (facts.soft.sites if facts.soft else frozenset()) for facts in call.facts)
    return frozenset[int]().union(*sites)


def _keep(state: RunState, sites: Iterable[int]) -> None:
    for decision in state.sites.by_id(frozenset(sites)):
        if decision.acts and decision.is_exact:
            state.sites.replace(decision.kept(DIFFERENTIATED))


def _has_gradient(state: RunState, tensor: Tensor) -> bool:
    """Return True for a leaf, but for the parameters of others, in which a backward pass has left a gradient."""
    if isinstance(tensor, nn.Parameter) and not _is_own(state, tensor):
        return False
    return is_leaf(tensor) and tensor.grad is not None


def _is_own(state: RunState, leaf: Tensor) -> bool:
    """Return True for a tensor that the call itself has made, in memory of its own or of what it was given."""
    key = torch_private.storage_key(leaf)
    if key is None or key in state.foreign.made:
        return key is not None
    return key in state.foreign.keys and not state.foreign.given.get(leaf)


def _leaves(tensors: list[Tensor]) -> Iterator[Tensor]:
    """The leaves in which a backward pass from these tensors leaves a gradient."""
    for node in nodes_behind(tensors):
        if (leaf := getattr(node, "variable", None)) is not None:
            yield leaf
