"""A log as straight-line code: functions of tensors, in which every call of aten stands on a line of its own.

What the calls name are variables. A tensor is a variable by its identity, or, where autograd has wrapped it anew, by
the memory that it is. What does not depend on what is given is computed once, and what nothing needs is left out.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softfx.ops.calls import Args, Kwargs
from softfx.ops.trees import tensors_in
from softfx.torch_private import storage_key
from softfx.traces.log import Asked, Called, Untraceable

__all__ = ["OTHER", "Lines"]

# What a function returns where a question is answered otherwise than it was.
OTHER = object()
# Under this name, code is the package's own to what looks for the user's frames.
_FILE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "lines")
_ALIASES = (torch.ops.aten.detach.default, torch.ops.aten.alias.default, torch.ops.aten.lift_fresh.default)
_ADD = torch.ops.aten.add.Tensor
_LITERALS = (int, bool, str, type(None))


class _Line(NamedTuple):
    """A call or a question.

    operands, results: the variables that it takes and gives.
    memory: the keys of the memory that it gives or writes.
    """

    entry: Called | Asked
    operands: tuple[int, ...]
    results: tuple[int, ...]
    memory: frozenset[int]


class Lines:
    """The lines of a computation and its variables, which are numbers.

    given: the tensors that it is given.
    """

    def __init__(self, given: Sequence[Tensor]) -> None:
        self._tensors: list[Tensor] = []
        self._memory: list[int] = []
        self._by_identity: dict[int, int] = {}
        self._by_memory: dict[object, int] = {}
        self._lines: list[_Line] = []
        self._constants: set[int] = set()
        self._written: set[int] = set()
        self._namespace: dict[str, Any] = {"OTHER": OTHER}
        self._names: dict[int, str] = {}
        self._of_others: set[int] = set()
        self.give(given)

    # -- variables ------------------------------------------------------------------------------------------------

    def new(self, tensor: Tensor) -> int:
        """A variable for a tensor that is given or made."""
        number = len(self._tensors)
        key = storage_key(tensor)
        if key is None or tensor.is_complex() or tensor.is_neg():
            raise Untraceable("a tensor without memory of its own, or one that stands for another")
        self._tensors.append(tensor)
        self._memory.append(key)
        self._by_identity[id(tensor)] = number
        self._by_memory[self._key(tensor)] = number
        return number

    def give(self, tensors: Iterable[Tensor]) -> list[int]:
        """Variables for tensors that are given."""
        numbers = [self.new(tensor) for tensor in tensors]
        self._of_others.update(self._memory[number] for number in numbers)
        return numbers

    def number(self, tensor: Tensor) -> int:
        """The variable that a tensor is; a constant where nothing has given or made it."""
        number = self._by_identity.get(id(tensor), self._by_memory.get(self._key(tensor)))
        if number is None:
            if storage_key(tensor) in self._memory:
                raise Untraceable("a tensor that was made out of sight")
            number = self.new(tensor)
            self._constants.add(number)
            self._of_others.add(self._memory[number])
        return number

    def tensor(self, number: int) -> Tensor:
        return self._tensors[number]

    def memory(self, number: int) -> int:
        """The key of the memory of a variable."""
        return self._memory[number]

    def is_given(self, number: int) -> bool:
        """Return True for a variable whose memory was there before, or is the same in each run."""
        return self._memory[number] in self._of_others or number in self._constants

    @staticmethod
    def _key(tensor: Tensor) -> object:
        return storage_key(tensor), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype

    # -- lines ----------------------------------------------------------------------------------------------------

    def add(self, entries: Sequence[Called | Asked]) -> range:
        """Add lines; where they are."""
        start = len(self._lines)
        for entry in entries:
            self._add(entry)
        return range(start, len(self._lines))

    def _add(self, entry: Called | Asked) -> None:
        operands = tuple(self.number(tensor) for tensor in tensors_in((entry.args, _values(entry))))
        if isinstance(entry, Asked):
            self._lines.append(_Line(entry, operands, (), frozenset()))
            return
        if entry.func in _ALIASES:
            self._by_identity[id(entry.result)] = operands[0]
            self._tensors.append(entry.result)  # which keeps its identity for it
            self._memory.append(self._memory[operands[0]])
            return
        written = {self.memory(self.number(tensor)) for tensor in entry.written}
        self._written |= written
        results = tuple(
            self._by_identity[id(tensor)] if id(tensor) in self._by_identity else self.new(tensor)
            for tensor in tensors_in(entry.result)
        )
        memory = frozenset(map(self.memory, results)) | written
        self._lines.append(_Line(entry, operands, results, memory))

    def summands(self, number: int, where: range) -> list[int]:
        """The gradients that autograd's engine has added up to a variable, from first to last."""
        for place in where:
            line = self._lines[place]
            if isinstance(line.entry, Called) and line.entry.is_of_engine and line.results == (number,):
                if line.entry.func is not _ADD or len(line.entry.args) != 2 or line.entry.kwargs or line.entry.written:
                    raise Untraceable("gradients that are added up in another way")
                first, second = line.operands
                return [*self.summands(first, where), second]
        return [number]

    def fold(self, kept: Iterable[int]) -> None:
        """Compute now what depends on nothing that is given. kept: variables that belong to each run."""
        own = {self.memory(number) for number in kept} | self._written
        for line in self._lines:
            if isinstance(line.entry, Called) and not own & line.memory and self._constants.issuperset(line.operands):
                self._constants.update(line.results)
                self._of_others.update(line.memory)

    def uses(self, where: range, wanted: Iterable[int], given: Iterable[int]) -> list[int]:
        """The variables that lines need beside those that they are given, to compute others."""
        wanted = [*wanted]
        known = {*given, *self._constants}
        found = dict.fromkeys(number for number in wanted if number not in known)
        made: set[int] = set()
        for line in self._live(where, wanted):
            made.update(line.results)
            found.update(dict.fromkeys(number for number in line.operands if number not in known))
        return [number for number in found if number not in made]

    def _live(self, where: range, wanted: Iterable[int]) -> list[_Line]:
        """The lines without which some variables, or answers, would be others, but for what is constant."""
        memory = {self.memory(number) for number in wanted}
        found: list[_Line] = []
        for place in reversed(where):
            line = self._lines[place]
            if self._constants.issuperset(line.results) and isinstance(line.entry, Called) and line.results:
                continue
            is_open = isinstance(line.entry, Asked) and not self._constants.issuperset(line.operands)
            if is_open or not memory.isdisjoint(line.memory):
                memory.update(map(self.memory, line.operands))
                found.append(line)
        return found[::-1]

    # -- text -----------------------------------------------------------------------------------------------------

    def function(
        self, where: range, given: Sequence[int], results: Sequence[int | None],
        sequences: Mapping[str, Mapping[int, int]], copied: Collection[int] = (),
    ) -> Callable[..., Any]:  # fmt: skip
        """The lines as a function to a tuple of the results.

        given: the variables that it is given each by itself.
        sequences: those that it finds in sequences, which it is given behind them under these names, and where.
        copied: the places of results that are to be copies.
        """
        found = [
            f"v{number} = {name}[{place}]" for name, numbers in sequences.items() for number, place in numbers.items()
        ]
        body = list(self._body(where, [number for number in results if number is not None]))
        named = ["None" if number is None else self._name(number) for number in results]
        returned = "".join(f"{name}.clone(), " if place in copied else f"{name}, " for place, name in enumerate(named))
        parameters = ", ".join([*(f"v{number}" for number in given), *sequences])
        text = "\n    ".join([f"def run({parameters}):", *found, *body, f"return ({returned})"])
        exec(compile(text, _FILE, "exec"), self._namespace)  # of numbers and the letters of this file
        function: Callable[..., Any] = self._namespace.pop("run")
        return function

    def _body(self, where: range, wanted: list[int]) -> Iterator[str]:
        for line in self._live(where, wanted):
            arguments = [self._text(value) for value in line.entry.args]
            arguments += [f"{name}={self._text(value)}" for name, value in _keywords(line.entry).items()]
            if isinstance(line.entry, Asked):
                call = f"{self._constant(line.entry.question)}({', '.join(arguments)})"
                yield f"if {call} != {self._text(line.entry.answer)}: return OTHER"
                continue
            call = f"{self._constant(line.entry.speaks)}({', '.join(arguments)})"
            yield f"{self._target(line)}{call}"

    def _target(self, line: _Line) -> str:
        """To what the result of a call is bound."""
        assert isinstance(line.entry, Called)
        result = line.entry.result
        if set(line.results) <= set(line.operands):
            return ""  # what is written has its name
        if isinstance(result, Tensor):
            return f"v{line.results[0]} = "
        numbers = iter(line.results)
        return "".join(f"v{next(numbers)}, " if isinstance(item, Tensor) else "_, " for item in result) + "= "

    def _text(self, value: Any) -> str:
        if isinstance(value, Tensor):
            return self._name(self.number(value))
        if isinstance(value, list | tuple) and type(value) is not torch.Size and tensors_in(value):
            return f"[{''.join(f'{self._text(item)}, ' for item in value)}]"
        if type(value) in _LITERALS or (type(value) is float and math.isfinite(value)):
            return repr(value)
        return self._constant(value)

    def _name(self, number: int) -> str:
        return self._constant(self._tensors[number]) if number in self._constants else f"v{number}"

    def _constant(self, value: Any) -> str:
        if id(value) not in self._names:
            self._names[id(value)] = name = f"c{len(self._names)}"
            self._namespace[name] = value
        return self._names[id(value)]


def _keywords(entry: Called | Asked) -> Kwargs:
    return entry.kwargs if isinstance(entry, Called) else {}


def _values(entry: Called | Asked) -> Args:
    return tuple(_keywords(entry).values())
