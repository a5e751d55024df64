"""Executors run what was softened: the rewritten graph where it is known to hold, the original Python otherwise.

`Eager` runs the original under a torch function mode that hands every torch call to the interpreter; it follows any
Python. `Graph` runs the rewritten graph, for the signature that it was captured with.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from softfx import torch_private
from softfx.capture.preserve import Preserved, copied
from softfx.decisions.evidence import Evidence
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import FastPathCache
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.observer import Observer
from softfx.interpreter.state import RunState
from softfx.interpreter.torch_mode import FastMode, FullMode
from softfx.locations import Location, Place, locate, module_paths, resolve
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.pipeline import serialize
from softfx.pipeline.rewrite import Rewritten
from softfx.values import Environment

__all__ = ["Eager", "Graph", "signature"]

# Compared by value: two of these that are equal are the same to a program.
_VALUES = (int, float, complex, str, bytes, torch.dtype, torch.device)


@dataclass
class Eager:
    """The original Python under the decisions about its sites.

    place: stands in for the line of calls that no user code makes.
    fast: calls that the interpreter would make as they are may go past it.
    """

    sites: Sites
    evidence: Evidence
    place: Place
    fast: bool = True
    cache: FastPathCache = field(default_factory=FastPathCache, repr=False, compare=False)

    @torch_private.uncompiled
    def __call__(self, root: object, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """`function(*args, **kwargs)`, softened; `root` is the module whose paths the sites name."""
        environment = Environment(self.cache.store)
        state = RunState(self.sites, self.evidence, Direct(), tracks_gradients=False, environment=environment)
        return self._run(state, root, function, args, kwargs, fast=self.fast)

    def trial(self, target: Any, args: Args, kwargs: Kwargs, touched: list[Any]) -> None:
        """Plan by a call that leaves no trace.

        touched: tensors and generators outside of the module that the call changes.
        """
        function = target.forward if isinstance(target, nn.Module) else target
        with Preserved(target) as preserved, torch.enable_grad():
            for value in touched:
                preserved.save(value)
            leaves, structure = torch_private.flatten((args, kwargs))
            own_args, own_kwargs = torch_private.unflatten(copied(leaves), structure)
            state = RunState(self.sites, self.evidence, Direct(), planning=True)
            self._run(state, target, function, own_args, own_kwargs)

    def observed(self, observer: Observer, root: object, function: Function, args: Args, kwargs: Kwargs) -> Result:
        """The same as a call, every call of the program seen by an observer."""
        state = RunState(self.sites, self.evidence, Direct(), observer=observer)
        return self._run(state, root, function, args, kwargs)

    def _run(
        self, state: RunState, root: object, function: Function, args: Args, kwargs: Kwargs, fast: bool = False
    ) -> Result:
        interpreter = Interpreter(state)
        for leaf in torch_private.leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                interpreter.source(leaf)
        paths = cache(lambda: module_paths(root))

        def where() -> Location:
            return locate(_run.__code__, paths(), self.place)

        mode = FastMode(interpreter, self.cache, where) if fast else FullMode(interpreter, where)
        leaves, structure = torch_private.flatten(_run(mode, function, args, kwargs))
        return torch_private.unflatten([interpreter.result(leaf) for leaf in leaves], structure)


def _run(mode: TorchFunctionMode, function: Function, args: Args, kwargs: Kwargs) -> Result:
    """The boundary: frames further out than this one are not the target's."""
    with mode:
        return function(*args, **kwargs)


def signature(args: Args, kwargs: Kwargs) -> tuple[Any, ...]:
    """The facts that a captured graph was specialised to: structure, shapes, dtypes, devices and plain values."""
    leaves, structure = torch_private.flatten((args, kwargs))
    described = [(tuple(leaf.shape), leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return (structure, *described)


class Graph:
    """The rewritten graph, for calls that it was captured for."""

    def __init__(self, rewritten: Rewritten, sites: Sites, example: tuple[Any, ...], root: object) -> None:
        self.rewritten = rewritten
        self.sites = sites
        self.example = example
        self._state = _state(root)

    def __getstate__(self) -> dict[str, object]:
        structure, *leaves = self.example
        return {**self.__dict__, "example": (serialize.pack_structure(structure), *leaves)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        tree, *leaves = state["example"]
        self.__dict__.update(state, example=(serialize.unpack_structure(tree), *leaves))

    def holds(self, root: object, args: Args, kwargs: Kwargs) -> bool:
        """Return True if the graph is this call: same signature, and the module in the state it was captured in."""
        if signature(args, kwargs) != self.example:
            return False
        return torch.compiler.is_compiling() or _same_state(self._state, _state(root))

    def __call__(self, root: object, args: Args, kwargs: Kwargs) -> Result:
        tensors = [leaf for leaf in torch_private.leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        attributes = [resolve(root, name) for name in self.rewritten.attributes]
        softness = [self.sites[site].softness for site in self.rewritten.softness]
        flat = self.rewritten.module(*tensors, *attributes, *softness)
        return torch_private.unflatten(list(flat), self.rewritten.result)


def _state(root: object) -> list[object]:
    """Everything of a module tree that Python code in it may branch on, but for its tensors."""
    found: list[Any] = []
    for module in root.modules() if isinstance(root, nn.Module) else ():
        for key, value in module.__dict__.items():
            if key not in ("_parameters", "_buffers", "_softfx"):
                found.append(tuple(value.values()) if isinstance(value, dict) and key[0] == "_" else value)
    return found


def _same_state(before: list[object], after: list[object]) -> bool:
    if len(before) != len(after):
        return False
    return all(_same(old, new) for old, new in zip(before, after, strict=True))


def _same(old: object, new: object) -> bool:
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, tuple) and isinstance(new, tuple):
        return _same_state(list(old), list(new))
    return isinstance(old, _VALUES) and bool(old == new)
