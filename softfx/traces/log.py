"""The calls of aten that a computation makes, as they are dispatched, and the questions that it asks between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.ops.calls import Args, Kwargs
from softfx.ops.trees import tensors_in
from softfx.torch_private import OpOverload, storage_key
from softfx.traces.aten_private import TorchDispatchMode, made, written_by
from softfx.values.histories import nodes_behind

__all__ = ["Asked", "Called", "Log", "Untraceable"]

# What comes out of these is told by neither the operands nor the questions asked before.
_UNKNOWN = torch.Tag.nondeterministic_seeded
_SHAPED, _READ = torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output

# Their derivatives are other formulas where calls are seen: products without each factor, and no quotients by it.
_SEEN_OTHERWISE = (torch.ops.aten.prod, torch.ops.aten.cumprod)
# Of larger tensors the elements are felt, and not the calls; and straight-line code holds all of them until its end.
_MOST_ELEMENTS = 1 << 15


class Untraceable(Exception):
    """A computation that another one with operands of the same form need not be like."""


class Called(NamedTuple):
    """A call of aten.

    speaks, args: the function by which Python makes it soonest, and what that takes.
    is_of_engine: no node of the graph that is watched made it: autograd's engine did, which adds gradients up.
    """

    func: OpOverload
    args: Args
    kwargs: Kwargs
    result: Any
    written: list[Tensor]
    speaks: Callable[..., Any]
    is_of_engine: bool


class Asked(NamedTuple):
    """A question about tensors, and its answer."""

    question: Callable[..., Any]
    args: Args
    answer: Any


def _shape(x: Tensor) -> torch.Size:
    return x.shape


def _is_shaped_by_data(func: OpOverload, args: Args) -> bool:
    """Return True if the elements of the operands tell the shape of what comes out."""
    if func is torch.ops.aten.index.Tensor:  # by a mask alone
        return any(index.dtype in (torch.bool, torch.uint8) for index in tensors_in(args[1]))
    return _SHAPED in func.tags


class Log(TorchDispatchMode):  # type: ignore[no-untyped-call]  # untyped in torch
    """Notes the calls that are dispatched while it is the mode, and questions as their listener.

    entries: all of them; what they made is kept, so that no memory is used twice.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # likewise
        self.entries: list[Called | Asked] = []
        self._made: set[int | None] = set()
        self._is_asking = False
        self._nodes, self._is_watching = 0, False
        self._hooks: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Any:
        kwargs = kwargs or {}
        if self._is_asking:
            return func(*args, **kwargs)
        if func.namespace != "aten" or _UNKNOWN in func.tags:
            raise Untraceable(f"{func}, of which what comes out is not told by what goes in")
        if _READ in func.tags:
            return self._read(func, args, kwargs)
        if func.overloadpacket in _SEEN_OTHERWISE and any(x.requires_grad for x in tensors_in(args)):
            raise Untraceable(f"{func}, whose derivative is computed in another way while it is seen")
        written = written_by(func, args, kwargs)
        if not self._made.issuperset(map(storage_key, written)):
            raise Untraceable("it writes what it was given")
        result, speaks, args = made(func, args, kwargs)
        if any(tensor.numel() > _MOST_ELEMENTS for tensor in tensors_in(result)):
            raise Untraceable("a large tensor")
        given = {storage_key(tensor) for tensor in tensors_in((args, kwargs))} - self._made
        self._made |= {storage_key(tensor) for tensor in tensors_in(result)} - given
        is_of_engine = self._is_watching and not self._nodes
        called = Called(func, args, kwargs, result, written, speaks, is_of_engine)
        self.entries.append(called)
        if _is_shaped_by_data(func, args):
            self.entries += [Asked(_shape, (tensor,), tensor.shape) for tensor in tensors_in(result)]
        return result

    def _read(self, func: OpOverload, args: Args, kwargs: Kwargs) -> Any:
        """What a call gives to Python, or to C++, where the next ones go by it."""
        answer = func(*args, **kwargs)
        if type(answer) not in (bool, int):
            raise Untraceable(f"{func}, which gives a number that is another one at each call")
        self.entries.append(Asked(func, args, answer))
        return answer

    def watch(self, results: Sequence[Tensor]) -> None:
        """See which calls of a backward pass from results are those of nodes, up to `unwatch`."""
        self._is_watching = True
        for node in nodes_behind(results):
            if not hasattr(node, "variable"):  # where a leaf's gradient is added up
                self._hooks += [
                    node.register_prehook(partial(self._enter, 1)),
                    node.register_hook(partial(self._enter, -1)),
                ]

    def unwatch(self) -> None:
        """Leave the nodes, which would hold the log, and the log them."""
        for hook in self._hooks:
            hook.remove()

    def _enter(self, step: int, *_: Any) -> None:
        self._nodes += step

    def ask(self, question: Callable[..., Any], args: Args) -> Any:
        """Note a question with its answer."""
        before, self._is_asking = self._is_asking, True
        try:
            answer = question(*args)
        finally:
            self._is_asking = before
        if not before:
            self.entries.append(Asked(question, args, answer))
        return answer
