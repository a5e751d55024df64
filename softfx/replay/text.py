"""The text of the functions of a recording: names for what a run holds, and expressions of values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import Any

from torch import Tensor

from softfx.ops.calls import Function
from softfx.replay.records import Step
from softfx.replay.softness import SiteSoftness
from softfx.replay.values import Unmakeable, holds_own, is_lasting, is_record, method_of_carrier, parts_of_record
from softtorch.boundary import unguarded

__all__ = ["OTHER", "Program", "Text"]

# What a function returns for another call than the one that was recorded.
OTHER = object()


@dataclass
class Program:
    """The functions of one recording as they are written, step by step.

    given: the tensors that the call was given, which are held from the start.
    lasting: tensors that belong to no run: the softness of decisions.
    later: the last step that uses something, by the identity of that; unknown while all steps are written once.
    used: the same, as it is found.
    written: the keys of the memory that the program writes.
    known: the identities of what the steps before have left.
    places: where what is held is held, by its identity.
    namespace: what the functions name.
    """

    given: Sequence[Tensor]
    lasting: Sequence[Tensor] = ()
    later: dict[int, int] | None = None
    used: dict[int, int] = field(default_factory=dict)
    written: set[int | None] = field(default_factory=set)
    known: set[int] = field(default_factory=set)
    places: dict[int, int] = field(default_factory=dict)
    namespace: dict[str, Any] = field(default_factory=lambda: {"OTHER": OTHER, "partial": partial})
    _names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for tensor in self.given:
            self.known.add(id(tensor))
            self.place(tensor)

    def constant(self, value: object) -> str:
        """A name of a value that is the same in each run."""
        if id(value) not in self._names:
            self._names[id(value)] = name = f"c{len(self._names)}"
            self.namespace[name] = value
        return self._names[id(value)]

    def place(self, value: object) -> int:
        """Where something is held."""
        return self.places.setdefault(id(value), len(self.places))

    def is_used_later(self, value: object, number: int) -> bool:
        """Return True if a step behind that of a number uses something; all may, while that is unknown."""
        return self.later is None or self.later.get(id(value), -1) > number

    def last_used_at(self, number: int) -> list[int]:
        """The places of what no step behind that of a number uses."""
        later = self.later or {}
        return [
            self.places[known]
            for known, last in later.items()
            if last == number and known in self.places and known in self.known
        ]


class Text:
    """The body of a function of one step.

    local: the names of what belongs to the run, by its identity.
    new: of that, what no step before has left.
    is_settled: what the program's call writes is written: the interpreter cannot make the call any more.
    """

    def __init__(self, program: Program, step: Step, number: int) -> None:
        self.program, self.step, self.number = program, step, number
        self.lines: list[str] = []
        self.local: dict[int, str] = {}
        self.new: list[object] = []
        self.is_settled = False
        self._names = 0

    def line(self, text: str) -> None:
        """Add a line."""
        self.lines.append(f"    {text}")

    def unless(self, condition: str) -> None:
        """Add a line by which the function ends where the call is not the recorded one."""
        if self.is_settled:
            raise Unmakeable("something is asked after a write")
        self.line(f"if {condition}: return OTHER")

    def name(self) -> str:
        """A name that is not used yet."""
        self._names += 1
        return f"v{self._names}"

    def bind(self, value: object, name: str) -> None:
        """Let a name stand for something of the run."""
        self.local[id(value)] = name
        if id(value) not in self.program.known:
            self.new.append(value)

    def knows(self, value: object) -> bool:
        """Return True for what has a name here, or was left by a step before."""
        return id(value) in self.local or id(value) in self.program.known

    def known(self, value: object) -> str:
        """The name of such a thing."""
        if id(value) not in self.local:
            self.program.used[id(value)] = self.number
            self.local[id(value)] = name = self.name()
            self.line(f"{name} = held[{self.program.place(value)}]")
        return self.local[id(value)]

    def value(self, value: Any) -> str:
        """An expression of a value."""
        if type(value) is SiteSoftness:
            return f"run.softness({value.site}, {value.turn})"
        if isinstance(value, Tensor):
            return self._tensor(value)
        if is_record(value):
            return self.known(value) if self.knows(value) else self._record(value)
        if isinstance(value, partial):
            method = method_of_carrier(value.func)
            function = self.value(value.func) if method is None else f"run.carrier.{method}"
            return f"partial({', '.join([function, *map(self.value, value.args)])})"
        if holds_own(value):
            return self._container(value)
        if is_lasting(value):
            return self.program.constant(value)
        raise Unmakeable(f"a {type(value).__name__}")

    def function(self, function: Function, names: dict[str, Any]) -> str:
        """An expression of a function that is called with arguments of these names."""
        if function is self.step.func:
            return "func"
        if isinstance(function, FunctionType) and is_lasting(function):
            return self.program.constant(unguarded(function, names))
        return self.value(function)

    def _tensor(self, tensor: Tensor) -> str:
        if self.knows(tensor):
            return self.known(tensor)
        if any(tensor is lasting for lasting in self.program.lasting):
            return self.program.constant(tensor)
        raise Unmakeable("a tensor that was made out of sight")

    def _container(self, value: Any) -> str:
        if isinstance(value, slice):
            return f"slice({self.value(value.start)}, {self.value(value.stop)}, {self.value(value.step)})"
        if isinstance(value, dict):
            return "{" + ", ".join(f"{self.program.constant(k)}: {self.value(v)}" for k, v in value.items()) + "}"
        items = "".join(f"{self.value(item)}, " for item in value)
        if type(value) is tuple:
            return f"({items})"
        if type(value) is list:
            return f"[{items}]"
        kind = self.program.constant(type(value))
        return f"{kind}({items})" if hasattr(value, "_fields") else f"{kind}(({items}))"

    def _record(self, value: Any) -> str:
        parts = parts_of_record(value)
        if not any(map(holds_own, parts.values())):
            return self.program.constant(value)
        arguments = ", ".join(f"{name}={self.value(part)}" for name, part in parts.items())
        name = self.name()
        self.line(f"{name} = {self.program.constant(type(value))}({arguments})")
        self.bind(value, name)
        return name

    def finish(self) -> None:
        """Hold what later steps use, and let go what none does."""
        program = self.program
        for value in self.new:
            program.known.add(id(value))
            if program.is_used_later(value, self.number):
                self.line(f"held[{program.place(value)}] = {self.local[id(value)]}")
        for place in program.last_used_at(self.number):
            self.line(f"held[{place}] = None")

    def function_text(self, name: str, arguments: str) -> str:
        """The function."""
        return "\n".join([f"def {name}({arguments}):", "    held = run.held", *self.lines, ""])
