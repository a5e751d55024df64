"""One call of the program: what is called, on what operands, and the facts known of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from softfx.interpreter.derivatives import Blockage
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs, Options
from softfx.ops.operation import Operation, Reads
from softfx.ops.spelling import Spelled, arguments, spoken
from softfx.ops.trees import tensors_in
from softfx.rules.comparison import as_written
from softfx.rules.refusals import is_discrete
from softfx.rules.rule import Rule
from softfx.values import Environment, SelectedRows, Soft, SoftReal, ValueFacts

__all__ = ["Call", "depends_on_source", "detached_at", "is_site", "on_operands", "refuses_gradients"]

_NOTHING = ValueFacts(False)


def depends_on_source(operation: Operation, facts: Sequence[ValueFacts]) -> bool:
    """Return True if the result of an operation on these operands depends on a differentiable source."""
    return any(operand.depends_on_source for operand in (facts[:1] if operation.reads is Reads.FIRST else facts))


def detached_at(facts: Sequence[ValueFacts]) -> frozenset[Location]:
    """The places that detached all operands that depend on a source; none if one of them was not detached."""
    places = frozenset[Location]()
    for operand in facts:
        if operand.depends_on_source and (not operand.detached_at or operand.soft is not None):
            return frozenset()
        places |= operand.detached_at
    return places if any(operand.depends_on_source for operand in facts) else frozenset()


def refuses_gradients(operation: Operation, kwargs: Options) -> bool:
    """Return True if torch refuses to make such a call of operands that require a gradient."""
    dtype = kwargs.get("dtype")
    integers = isinstance(dtype, torch.dtype) and not (dtype.is_floating_point or dtype.is_complex)
    return (integers and not operation.converts) or operation.refuses_gradients


def is_site(rule: Rule, spelled: Spelled, func: Function, args: Args, kwargs: Kwargs) -> bool:
    """Return True if a call needs a decision where it depends on a source: it relaxes, or decides on something soft."""
    if not rule.decides:
        return False
    return rule.is_site is None or rule.is_site(func, *arguments(spelled, args, kwargs))


def _is_discretely_soft(facts: ValueFacts) -> bool:
    return facts.soft is not None and not isinstance(facts.soft, SoftReal)


@dataclass(eq=False)
class Call:
    """One call of the program, with the facts of the tensors among its operands.

    locate: finds the place in the program that makes it, when that is asked for.
    written: the tensor that it writes in place.
    softs: the discrete shadows among its operands.
    has_real_shadow: a real operand runs beside its value (scope = "linear" or "model").
    has_hard: softening has changed a real operand.
    blockage: why no derivative comes back from it, where no rule knows it.
    ends: the real shadows that run as far as calls are linear end at it (scope = "linear").
    altered: its numbers are not the program's, so that a graph has it as an added call.
    written_facts: what was known of the tensor that it writes. Of one given as out= nothing is read.
    """

    func: Function
    args: Args
    kwargs: Kwargs
    tensors: list[Tensor]
    facts: list[ValueFacts]
    spelled: Spelled
    rule: Rule | None
    locate: Callable[[], Location]
    blockage: Blockage | None = None
    ends: bool = False
    altered: bool = False
    _location: Location | None = field(default=None, repr=False)
    _is_site: bool | None = field(init=False, default=None, repr=False)
    operation: Operation = field(init=False)
    written: Tensor | None = field(init=False)
    softs: list[Soft] = field(init=False)
    has_real_shadow: bool = field(init=False, default=False)
    has_hard: bool = field(init=False, default=False)
    written_facts: ValueFacts = field(init=False)

    def __post_init__(self) -> None:
        self.operation = self.spelled.operation if self.rule is None else self.rule.operation
        self.written = self._target()
        self.softs = []
        self.written_facts = _NOTHING
        if self.written is not None:
            self._note_written(self.written)
        for facts in self.facts:
            if isinstance(facts.soft, SoftReal):
                self.has_real_shadow = True
            elif facts.soft is not None:
                self.softs.append(facts.soft)
            if facts.hard is not None:
                self.has_hard = True

    @property
    def name(self) -> str:
        """The operation's name, as reports give it."""
        if self.rule is None:
            return self.operation.name
        return spoken(self.operation, self.func) or as_written(self.rule, self.location.symbol).name

    @property
    def location(self) -> Location:
        """The place in the program that makes it; found once."""
        if self._location is None:
            self._location = self.locate()
        return self._location

    @location.setter
    def location(self, found: Location) -> None:
        self._location = found

    @property
    def all_written(self) -> list[Tensor]:
        """The tensors that it writes in place: `written`, or the several that are given as out=."""
        if self.written is not None:
            return [self.written]
        return tensors_in(self.kwargs.get("out")) if self.kwargs else []

    @property
    def discrete_softs(self) -> list[Soft]:
        """The shadows of tensors of integers or bools, and of selected rows: these have no derivative of their own."""
        pairs = [(tensor, facts.soft) for tensor, facts in zip(self.tensors, self.facts, strict=True)]
        return [
            soft
            for tensor, soft in pairs
            if soft is not None and (is_discrete(tensor) or isinstance(soft, SelectedRows))
        ]

    @property
    def carried_sites(self) -> frozenset[int]:
        """The sites whose derivative its operands carry."""
        return frozenset[int]().union(*(facts.gradient_sites for facts in self.facts))

    @property
    def sites_decided_about(self) -> frozenset[int]:
        """The sites that made the real numbers among its operands, which stand for no integers any more."""
        return frozenset[int]().union(*(facts.gradient_sites for facts in self.facts if not _is_discretely_soft(facts)))

    @property
    def meets_reals(self) -> bool:
        """True if real operands have a derivative of their own."""
        return any(facts.depends_on_source and facts.soft is None for facts in self.facts)

    @property
    def lost_softs(self) -> list[Soft]:
        """The shadows among its operands of which no derivative goes on where the call is hard."""
        return self.discrete_softs if self.blockage is None or self.blockage.in_part else self.softs

    @property
    def depends_on_source(self) -> bool:
        """True if an operand depends on a differentiable source."""
        return depends_on_source(self.operation, self.facts)

    @property
    def detached_at(self) -> frozenset[Location]:
        """The places that detached all of its operands: no derivative could pass whatever is done."""
        return detached_at(self.facts)

    @property
    def refuses_gradients(self) -> bool:
        """True if torch refuses operands that require a gradient, which softening may have given it."""
        raises = self.blockage is not None and self.blockage.raises
        return raises or refuses_gradients(self.operation, self.kwargs)

    @property
    def is_site(self) -> bool:
        """True if it needs a decision; found once."""
        if self._is_site is None:
            known = self.rule is not None and is_site(self.rule, self.spelled, self.func, self.args, self.kwargs)
            self._is_site = known
            return known
        return self._is_site

    def _note_written(self, written: Tensor) -> None:
        place = next((n for n, tensor in enumerate(self.tensors) if tensor is written), None)
        if place is None:
            return
        self.written_facts = self.facts[place]
        if self.kwargs.get("out") is written:
            self.facts = [
                ValueFacts(known.depends_on_source)
                if tensor is written and number >= len(tensors_in(self.args))
                else known
                for number, (tensor, known) in enumerate(zip(self.tensors, self.facts, strict=True))
            ]

    def _target(self) -> Tensor | None:
        in_place = self.spelled.in_place or (self.kwargs and self.kwargs.get("inplace"))
        if not in_place and not self.kwargs:
            return None
        target = self.args[0] if in_place and self.args else self.kwargs.get("out")
        return target if isinstance(target, Tensor) else None


def on_operands(call: Call, environment: Environment, args: Args, kwargs: Kwargs) -> Call:
    """A call on other operands, with what is known of these."""
    tensors = tensors_in((args, kwargs))
    return replace(call, args=args, kwargs=kwargs, tensors=tensors, facts=[*map(environment.facts, tensors)])
