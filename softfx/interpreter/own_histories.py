"""What a program is told that asks a tensor for its history: `requires_grad`, `is_leaf` and `grad_fn` of the original.

Softening gives derivatives to tensors that have none in the original, and the program would go another way by them.
Planning notes that a program asks. From then on a softened call leaves a note at the node that made its result: the
nodes of the operands that the program gave it, by which the original's derivative comes, if it has one. Whoever asks is
answered by following these, and torch's own nodes where there is no note.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import Node

from softfx import ops, torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.operation import Effect
from softfx.ops.trees import tensors_in
from softfx.values.histories import history_of

__all__ = ["answer", "answered", "histories_before", "histories_of", "note_histories", "note_made"]

_NOTE = "softfx.of_the_original"
_MADE = "softfx.made_a_leaf"
_LEAF = "a leaf that requires a gradient"
_WITHOUT: dict[str, Any] = {"requires_grad": False, "is_leaf": True, "grad_fn": None}

# The nodes by which a derivative comes back, and leaves.
Histories = list[Node | str]


def histories_before(state: RunState, call: Call) -> list[Histories] | None:
    """The histories of the operands of a call that is going to be made, and of what lies beneath views that it writes.

    None where nobody asks for these.
    """
    if not (state.planning or state.evidence.asks_histories) or _is_traced():
        return None
    beneath = [_of(base) for tensor in call.all_written if (base := torch_private.base_of(tensor)) is not None]
    if call.operation.stops_gradient or state.grad_mode.lifted_at is not None:  # lifted or not
        return [[], *beneath]
    return [histories_of(call.tensors), *beneath]


def note_histories(call: Call, before: list[Histories] | None, result: Result) -> None:
    """Note by which operands the original's derivative comes to what a call has made or written."""
    if before is None:
        return
    operands, *beneath = before
    if call.operation is ops.requires_grad_:
        _note_leaf(call.tensors[0])
        return
    made = [(tensor, operands) for tensor in (*call.all_written, *tensors_in(result))]
    bases = [base for tensor in call.all_written if (base := torch_private.base_of(tensor)) is not None]
    made += [(base, operands + own) for base, own in zip(bases, beneath, strict=True)]
    for tensor, histories in made:
        _note(tensor, histories)


def histories_of(operands: Iterable[Tensor]) -> Histories:
    """The histories of the operands of a call that was recorded, before it is made once more."""
    return [history for tensor in operands for history in _of(tensor)]


def note_made(tensors: Iterable[Tensor], histories: Histories) -> None:
    """Note by which operands the original's derivative comes to what that call has made or written."""
    for tensor in tensors:
        _note(tensor, histories)


def _note(tensor: Tensor, histories: Histories) -> None:
    node = history_of(tensor)
    if node is not None and node not in histories:
        _notes(node)[_NOTE] = histories


def _note_leaf(tensor: Tensor) -> None:
    """Note that the program has made a tensor require a gradient, which makes it a leaf in the original."""
    node = history_of(tensor)
    if node is not None and not _has_its_own(tensor):
        _notes(node)[_NOTE] = [_LEAF]
        _notes(node)[_MADE] = True


def answered(state: RunState, call: Call, result: Result) -> Result:
    """What the program is told: of a tensor that has no derivative in the original, that it has none."""
    if not call.operation.effect & Effect.HISTORY or call.operation.name not in _WITHOUT or not call.tensors:
        return result
    state.evidence.asks_histories = True
    tensor = call.tensors[0]
    return result if _is_traced() else answer(call.operation.name, tensor)


def answer(name: str, tensor: Tensor) -> Any:
    """The attribute of a tensor that has this name, as it would be in the original."""
    result = getattr(tensor, name)
    if not tensor.requires_grad:
        return result
    node = history_of(tensor)
    if node is not None and _MADE in _notes(node):
        return {**_WITHOUT, "requires_grad": True}[name]
    return result if _has_its_own(tensor) else _WITHOUT[name]


def _of(tensor: Tensor) -> Histories:
    """The history of a tensor; none of one without a derivative."""
    if not tensor.requires_grad:
        return []
    return [_LEAF if (node := history_of(tensor)) is None else node]


def _has_its_own(tensor: Tensor) -> bool:
    """Return True if a tensor has a derivative in the original."""
    waiting, seen = _of(tensor), set[Node]()
    while waiting:
        node = waiting.pop()
        if isinstance(node, str) or hasattr(node, "variable"):
            return True
        if node in seen:
            continue
        seen.add(node)
        noted: Histories | None = _notes(node).get(_NOTE)
        waiting += [following for following, _ in node.next_functions if following] if noted is None else noted
    return False


def _notes(node: Node) -> dict[str, Any]:
    """What is noted at a node."""
    notes: Any = node.metadata  # a dictionary, which torch declares as a method
    assert isinstance(notes, dict)
    return notes


def _is_traced() -> bool:
    return torch_private.in_transform() or torch.compiler.is_compiling()
