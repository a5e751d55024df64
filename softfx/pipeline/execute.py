"""Running what was softened: the rewritten graph where it is known to hold, the original Python otherwise.

`Eager` runs the original under a torch function mode that hands every torch call to the engine; it follows any
Python. `Graph` runs the rewritten graph, for the signature it was captured with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from softfx import torch_private as private
from softfx.capture.preserve import Preserved, copied
from softfx.decisions.sites import Sites
from softfx.interpreter.backends import Direct
from softfx.interpreter.fast_path import Habits
from softfx.interpreter.interpreter import Engine
from softfx.interpreter.torch_mode import Quick, Thorough
from softfx.locations import Location, Place, locate, module_paths, resolve
from softfx.pipeline import serialize as packing
from softfx.pipeline.rewrite import Rewritten
from softfx.values.domains import Values

# Compared by value: two of these that are equal are the same to a program.
_VALUES = (int, float, complex, str, bytes, torch.dtype, torch.device)

__all__ = ["Eager", "Graph", "signature"]


@dataclass
class Eager:
    """The original Python under the sites' decisions."""

    sites: Sites
    place: Place
    habits: Habits = field(default_factory=Habits, repr=False, compare=False)

    @private.uncompiled
    def __call__(self, root: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """`function(*args, **kwargs)`, softened; `root` is the module whose paths the sites name."""
        engine = Engine(self.sites, Direct(), values=Values(self.habits.facts), follows=False)
        return self._run(engine, root, function, args, kwargs, quick=True)

    def trial(self, target: Any, args: Any, kwargs: Any, touched: list[Any]) -> None:
        """Plan by a call that leaves no trace.

        touched: tensors and generators outside of the module that the call changes.
        """
        function = target.forward if isinstance(target, nn.Module) else target
        with Preserved(target) as preserved, torch.enable_grad():
            for value in touched:
                preserved.save(value)
            leaves, structure = private.flatten((args, kwargs))
            copies = private.unflatten(copied(leaves), structure)
            self._run(Engine(self.sites, Direct(), planning=True), target, function, *copies)

    def _run(
        self, engine: Engine, root: Any, function: Callable[..., Any], args: Any, kwargs: Any, quick: bool = False
    ) -> Any:
        """quick: calls that the engine would make as they are may go past it."""
        for leaf in private.leaves((args, kwargs)):
            if isinstance(leaf, Tensor):
                engine.source(leaf)
        paths = cache(lambda: module_paths(root))

        def where() -> Location:
            return locate(_run.__code__, paths(), self.place)

        mode = Quick(engine, self.habits, where) if quick else Thorough(engine, where)
        leaves, structure = private.flatten(_run(mode, function, args, kwargs))
        return private.unflatten([engine.result(leaf) for leaf in leaves], structure)


def _run(mode: TorchFunctionMode, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """The boundary: frames further out than this one are not the target's."""
    with mode:
        return function(*args, **kwargs)


def signature(args: Any, kwargs: Any) -> tuple[Any, ...]:
    """What a captured graph was specialised to: structure, shapes, dtypes, devices and plain values."""
    leaves, structure = private.flatten((args, kwargs))
    described = [(tuple(leaf.shape), leaf.dtype, leaf.device) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
    return (structure, *described)


class Graph:
    """The rewritten graph, for calls it was captured for."""

    def __init__(self, rewritten: Rewritten, sites: Sites, example: tuple[Any, ...], root: Any) -> None:
        self.rewritten = rewritten
        self.sites = sites
        self.example = example
        self._state = _state(root)

    def __getstate__(self) -> dict[str, Any]:
        structure, *leaves = self.example
        return {**self.__dict__, "example": (packing.pack_structure(structure), *leaves)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        tree, *leaves = state["example"]
        self.__dict__.update(state, example=(packing.unpack_structure(tree), *leaves))

    def holds(self, root: Any, args: Any, kwargs: Any) -> bool:
        """Whether the graph is this call: same signature, and the module in the state it was captured in."""
        if signature(args, kwargs) != self.example:
            return False
        return torch.compiler.is_compiling() or _same_state(self._state, _state(root))

    def __call__(self, root: Any, args: Any, kwargs: Any) -> Any:
        tensors = [leaf for leaf in private.leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        lifted = [resolve(root, name) for name in self.rewritten.lifted]
        softness = [self.sites[site].softness for site in self.rewritten.softness]
        flat = self.rewritten.module(*tensors, *lifted, *softness)
        return private.unflatten(list(flat), self.rewritten.result)


def _state(root: Any) -> list[Any]:
    """Everything of a module tree that Python code in it may branch on, but for its tensors."""
    found: list[Any] = []
    for module in root.modules() if isinstance(root, nn.Module) else ():
        for key, value in module.__dict__.items():
            if key not in ("_parameters", "_buffers", "_softfx"):
                found.append(tuple(value.values()) if isinstance(value, dict) and key[0] == "_" else value)
    return found


def _same_state(before: list[Any], after: list[Any]) -> bool:
    if len(before) != len(after):
        return False
    return all(_same(old, new) for old, new in zip(before, after, strict=True))


def _same(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, tuple):
        return _same_state(list(old), list(new))
    return isinstance(old, _VALUES) and bool(old == new)
