"""The form of a call's values, and the function that hands values of that form on."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.ops.trees import BARE, map_tensors, rebuilt
from softfx.traces.lines import OTHER

__all__ = ["Form"]

_HOLE = object()  # for a tensor
# Under this name, code is the package's own to what looks for the user's frames.
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "call")


class _Slot(NamedTuple):
    """A value that is a tensor, by its number among these."""

    number: int


class Form:
    """What is the same in all calls: the plain values, which values are one tensor, and the metadata of the tensors.

    >>> x = torch.ones(2)
    >>> form = Form((x, 0.5, x))
    >>> call = form.call(lambda *tensors: tensors, [1], (x, 7))
    >>> call(x, 0.5, x), call(x, 0.25, x) is OTHER, call(torch.ones(3), 0.5, x) is OTHER
    ((tensor([1., 1.]), 7), True, True)
    """

    def __init__(self, values: Sequence[Any]) -> None:
        first: dict[int, int] = {}
        for place, value in enumerate(values):
            if isinstance(value, Tensor):
                first.setdefault(id(value), place)
        numbers = {key: number for number, key in enumerate(first)}
        self._places = [*first.values()]
        self._values = [_Slot(numbers[id(value)]) if isinstance(value, Tensor) else value for value in values]
        self._names: dict[str, Any] = {"BARE": BARE, "OTHER": OTHER, "gradients": torch.is_grad_enabled}
        self._tests = [f"gradients() is {torch.is_grad_enabled()}", *map(self._test, range(len(values)), values)]
        self._require = [values[place].requires_grad for place in self._places]

    def tensors_of(self, values: Sequence[Any]) -> list[Tensor]:
        """The tensors among values, each once."""
        return [values[place] for place in self._places]

    def filled(self, tensors: Sequence[Tensor]) -> list[Any]:
        """The values with other tensors."""
        return [tensors[known.number] if type(known) is _Slot else known for known in self._values]

    def _test(self, place: int, value: Any) -> str:
        """What is true of the value at a place."""
        name, known = f"v{place}", self._values[place]
        if type(known) is not _Slot:
            self._names[f"c{place}"] = known
            return f"({name} is c{place} or (type({name}) is type(c{place}) and {name} == c{place}))"
        if self._places[known.number] != place:
            return f"{name} is v{self._places[known.number]}"
        self._names |= {f"c{place}": value.shape, f"s{place}": value.stride(), f"d{place}": value.dtype}
        metadata = f"{name}.shape == c{place} and {name}.stride() == s{place} and {name}.dtype is d{place}"
        return f"type({name}) in BARE and {metadata} and {name}.requires_grad is {value.requires_grad}"

    def call(self, run: Callable[..., Any], edges: Sequence[int], like: Any) -> Callable[..., Any]:
        """A function of values to results like those of a call; OTHER for values of another form.

        run: of the tensors, each as often as it has edges, at first each once, to what the results begin with.
        """
        names = [f"v{place}" for place in self._places]
        given = [
            f"{name}.detach()" if requires and not count else name
            for name, requires, count in zip(names, self._require, edges, strict=True)
        ]
        given += [name for name, count in zip(names, edges, strict=True) for _ in range(1, count)]
        text = [
            f"def call({', '.join(f'v{place}' for place in range(len(self._values)))}):",
            f"if not ({' and '.join(self._tests)}): return OTHER",
            f"results = run({', '.join(given)})",
            "return results[0]" if isinstance(like, Tensor) else "return assembled(like, results)",
        ]
        holes = map_tensors(lambda _: _HOLE, like)
        namespace = {**self._names, "run": run, "like": holes, "assembled": _assembled}
        exec(compile("\n    ".join(text), _FILE, "exec"), namespace)  # of numbers and the letters of this file
        function: Callable[..., Any] = namespace["call"]
        return function


def _assembled(like: Any, results: Sequence[Tensor]) -> Any:
    items = iter(results)
    return rebuilt(like, [next(items) if item is _HOLE else item for item in like])
