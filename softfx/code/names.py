"""The names in written code: of its variables, and of the functions that it calls.

A variable never hides a name that the code needs, and a function is written by a name only if that name leads to it.
"""

from __future__ import annotations

import builtins
import keyword
import sys
from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, fx

import softtorch
from softfx.capture.program import identifier
from softfx.runtime import (
    choices,
    counts,
    distributions,
    divisions,
    draws,
    guards,
    infinities,
    keys,
    normalized,
    places,
    selections,
    storage,
    ties,
)
from softfx.torch_private import OpOverload, OpOverloadPacket

__all__ = ["IMPORTS", "Names", "module_of", "name_of"]

_RUNTIME = {
    module.__name__.rpartition(".")[2]: module
    for module in (
        choices, counts, distributions, divisions, draws, guards, infinities, keys, normalized, places, selections,
        storage, ties,
    )
}  # fmt: skip
# The names by which written code reaches a package, in the order of their lines.
IMPORTS: dict[str, str] = {
    "operator": "import operator",
    "attrgetter": "from operator import attrgetter",
    "torch": "import torch",
    "F": "import torch.nn.functional as F",
    "softtorch": "import softtorch",
    **{name: f"from softfx.runtime import {name}" for name in _RUNTIME},
}
_NAMESPACES: tuple[tuple[str, object], ...] = (
    ("softtorch", softtorch),
    *_RUNTIME.items(),
    ("F", F),
    ("torch", torch),
    ("torch.special", torch.special),
    ("torch.linalg", torch.linalg),
    ("torch.fft", torch.fft),
    ("operator", sys.modules["operator"]),
    ("torch.Tensor", Tensor),
)
# What a module that is written defines itself.
_OWN = ("module", "forward", "SOFTNESS", "_at")
_RESERVED = frozenset({*IMPORTS, *_OWN, *dir(builtins), *keyword.kwlist, *keyword.softkwlist})


class Names:
    """The variables of a graph's nodes; those that would hide something else get an underscore more."""

    def __init__(self, *graphs: fx.Graph) -> None:
        nodes = [node for graph in graphs for node in graph.nodes]
        found = {name_of(node.target) for node in nodes if node.op == "call_function"}
        self._reserved = _RESERVED | {name.partition(".")[0] for name in found if name}
        self._taken = {node.name for node in nodes}
        self._names: dict[str, str] = {}

    def __call__(self, node: fx.Node) -> str:
        """The variable of a node."""
        if node.name not in self._names:
            fitting = node.name.isidentifier() and node.name not in self._reserved
            self._names[node.name] = node.name if fitting else self.new(identifier(node.name))
        return self._names[node.name]

    def new(self, name: str) -> str:
        """`name` for a variable that is no node's, or one like it that is free."""
        while name in self._reserved or name in self._taken:
            name += "_"
        self._taken.add(name)
        return name


def name_of(func: object) -> str | None:
    """The name by which written code reaches a function, or None if none leads to it.

    >>> name_of(torch.relu), name_of(torch.ops.aten.relu.default), name_of(lambda x: x)
    ('torch.relu', 'torch.ops.aten.relu.default', None)
    """
    name = getattr(func, "__name__", "")
    if isinstance(func, OpOverload | OpOverloadPacket):
        return dotted("torch.ops", str(func).split("."))
    if not isinstance(name, str):
        return None
    for prefix, namespace in _NAMESPACES:
        if name and getattr(namespace, name, None) is func:
            return dotted(prefix, [name])
    module, path = getattr(func, "__module__", None), str(getattr(func, "__qualname__", name)).split(".")
    if not isinstance(module, str) or module == "__main__" or not _leads_to(module, path, func):
        return None
    return dotted(module, path)


def module_of(func: object) -> str | None:
    """The module that has to be imported before a function is reached by its name; None for those in `IMPORTS`."""
    name, module = name_of(func), getattr(func, "__module__", None)
    reached = name is not None and isinstance(module, str) and module.partition(".")[0] not in _RESERVED
    return module if reached and name is not None and name.startswith(f"{module}.") else None


def _leads_to(module: str, path: Iterable[str], func: object) -> bool:
    """Return True if `import module` and these attributes give the function."""
    if module not in sys.modules or not all(part.isidentifier() for part in module.split(".")):
        return False
    if any(keyword.iskeyword(part) for part in module.split(".")):
        return False
    found: object = sys.modules[module]
    for part in path:
        found = getattr(found, part, None)
    return found is func


def dotted(prefix: str, parts: Iterable[str]) -> str:
    """The attribute of an attribute ...; the overload `random_.from` is no expression, and is asked for by getattr."""
    for part in parts:
        plain = part.isidentifier() and not keyword.iskeyword(part)
        prefix = f"{prefix}.{part}" if plain else f"getattr({prefix}, {part!r})"
    return prefix
