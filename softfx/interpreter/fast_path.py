"""The cache of the fast path: what calls of a function on operands of known facts leave, as the interpreter says it.

Most calls of a program are no site that acts and have nothing soft among their operands: the interpreter makes them as
they are and remembers facts of their results. These facts follow from the operation and the facts of the operands alone
(softfx.interpreter.hard_call.result_facts), so they are asked for once and looked up after that. Neither depends on a
run: the cache is kept with the policy that it was made under.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from softfx import ops, torch_private
from softfx.decisions.policy import Policy
from softfx.interpreter.call import depends_on_source, is_site, refuses_gradients
from softfx.interpreter.derivatives import is_judged, is_real, knows_no_blockage
from softfx.interpreter.hard_call import depends_on_arguments, makes_steps, result_facts
from softfx.interpreter.inline import inlined
from softfx.interpreter.native import MANY_VIEWS
from softfx.interpreter.number_arguments import gives_tensors_for_numbers, places_of
from softfx.interpreter.oversized_sources import may_be_oversized
from softfx.interpreter.statistics import KINDS
from softfx.ops.calls import Args, Function, Kwargs
from softfx.ops.constant_operands import has_constant_operands
from softfx.ops.operation import Effect, Infinities, Linear, Operation, Reads
from softfx.ops.spelling import INDEX, spoken
from softfx.ops.trees import tensors_in
from softfx.rules import rule_of
from softfx.rules.comparison import written_names
from softfx.values import FactStore, ValueFacts

__all__ = ["FastPathCache", "FunctionInfo", "Outcome"]

# Calls of operations with these effects are the interpreter's in any case.
_EFFECTS = (
    Effect.COPIES_VALUES
    | Effect.WRITES_FIRST
    | Effect.STOPS_GRADIENT
    | Effect.REFUSES_GRADIENTS
    | Effect.AUTOGRAD
    | Effect.HISTORY
)
# And so are writes of operations with these.
_BESIDE_WRITES = Effect.DRAWS | Effect.MAY_DRAW | Effect.WRITES_OTHERS | Effect.CONVERTS


class Outcome:
    """The facts of the results of a hard call.

    real: of a result in a floating type.
    integral: of one that holds whole numbers.
    asks_arguments: the numbers among the arguments decide which of them a result in a floating type has.
    asks_elements: so do the elements of constants, where an operand in a floating type stands for integers.
    written_real, written_integral: `real` and `integral` of the tensor that an in-place call writes.
    """

    __slots__ = (
        "asks_arguments", "asks_elements", "depends_on_source", "integral", "real", "written_integral", "written_real",
    )  # fmt: skip

    def __init__(self, operation: Operation, operands: list[ValueFacts], store: FactStore) -> None:
        integral_operands = [facts.integral for facts in operands]
        facts = result_facts(operation, operands, integral_operands, (), {}) or ValueFacts(False)
        self.asks_arguments = depends_on_arguments(operation, integral_operands)
        stand_in = any(facts.integral and facts.depends_on_source for facts in operands)
        self.asks_elements = stand_in and not all(integral_operands)
        self.real = store.shared(replace(facts, integral=False) if self.asks_arguments else facts)
        self.integral = store.shared(replace(facts, integral=True))
        self.depends_on_source = depends_on_source(operation, operands)
        written = [replace(known, fill=None, detached_at=frozenset()) for known in (self.real, self.integral)]
        self.written_real, self.written_integral = map(store.shared, written)


class FunctionInfo:
    """The facts that all calls of one function share.

    decides: its calls may be sites.
    is_judged: no rule knows it, and only a call tells whether a derivative comes back from it.
    is_simple: it is never a site, reads the elements of its operands, and whatever numbers are among its arguments
        decide at most whether whole operands give whole results.
    asks_metadata: it asks something of a tensor that does not depend on its elements, or makes text of them.
    may_continue_sum: it may go on with straight-through code of the program, or with an update in place.
    writes: it writes its first operand.
    may_write: a call that does so may be made past the interpreter.
    may_carry: it is linear in operands, so that it may carry their derivative by itself (softfx.interpreter.carried).
    names: what reports may call them.
    number_places: the arguments that are read as numbers of Python.
    looks_at_arguments: arguments by position may make a call the interpreter's.
    holds_constant: torch has no derivative of it by some operands.
    """

    __slots__ = (
        "asks_metadata",
        "becomes",
        "decides",
        "depends_on_numbers",
        "holds_constant",
        "is_difference",
        "is_judged",
        "is_simple",
        "looks_at_arguments",
        "may_carry",
        "may_continue_sum",
        "may_write",
        "names",
        "number_places",
        "operation",
        "outcomes",
        "reads_elements",
        "reads_numbers",
        "rule",
        "spelled",
        "writes",
    )

    def __init__(self, func: Function, policy: Policy) -> None:
        self.spelled = INDEX.of(func)
        self.operation = self.spelled.operation
        rule = rule_of(self.operation)
        self.rule = rule if rule is None or policy.considers(rule) else None
        self.becomes = self.rule.becomes if self.rule is not None else None
        self.decides = self.rule is not None and self.rule.decides
        self.reads_elements = self.operation.reads is not Reads.NONE
        self.reads_numbers = rule is not None and rule.reads_numbers
        self.depends_on_numbers = self.operation.depends_on_numbers
        self.is_difference = self.operation is ops.sub
        self.asks_metadata = rule is None and bool(self.operation.effect & (Effect.METADATA | Effect.SHOWS))
        self.is_judged = rule is None and is_judged(self.spelled)
        remembered = self.decides or self.depends_on_numbers or self.is_difference or makes_steps(self.operation)
        self.is_simple = self.reads_elements and not remembered
        self.may_carry = rule is not None and self.operation.linear is not Linear.NO and not self.spelled.in_place
        self.may_continue_sum = self.is_difference or self.operation is ops.add
        self.writes = self.spelled.in_place
        moves = rule is not None and rule.moves
        numbers = self.depends_on_numbers or not self.reads_elements
        self.may_write = not (moves or numbers or self.operation.effect & _BESIDE_WRITES)
        self.names = written_names(rule) if rule is not None else frozenset[str]()
        self.names |= {self.operation.name, spoken(self.operation, func) or self.operation.name}
        self.number_places = places_of(func)
        self.looks_at_arguments = self.becomes is not None or bool(self.number_places[0])
        self.holds_constant = has_constant_operands(func)
        self.outcomes: dict[ValueFacts | tuple[ValueFacts, ...], Outcome] = {}

    @property
    def is_the_interpreters(self) -> bool:
        """True if its calls write, detach, leave torch or are noted, so that the interpreter has to make them."""
        operation = self.operation
        effect = operation.effect & _EFFECTS
        if self.writes:
            effect &= ~Effect.WRITES_FIRST
        others = operation in KINDS or operation.uninitialized
        return others or bool(effect) or (self.writes and not self.may_write)

    def is_site(self, func: Function, args: Args, kwargs: Kwargs) -> bool:
        """Return True if a call needs a decision where it depends on a source."""
        return self.rule is not None and is_site(self.rule, self.spelled, func, args, kwargs)

    def is_open(self, func: Function, args: Args, kwargs: Kwargs) -> bool:
        """Return True if it is not known that a derivative comes back from such a call, on which no rule has a word."""
        if not self.is_judged or not any(map(is_real, tensors_in((args, kwargs)))):
            return False
        return not knows_no_blockage(func, args, kwargs)

    def fits(self, args: Args, kwargs: Kwargs) -> bool:
        """Return True if the values of the arguments do not make a call another operation, or one that writes `out`."""
        if gives_tensors_for_numbers(self.number_places, args, kwargs):
            return False
        if self.becomes is not None and self.becomes(args, kwargs) is not None:
            return False
        if kwargs.get("out") is not None or (kwargs.get("inplace") and not self.may_write):
            return False
        return self.depends_on_numbers or not refuses_gradients(self.operation, kwargs)


class FastPathCache:
    """The functions and outcomes found under one policy; a copy finds its own."""

    _MOST = 4096

    def __init__(self) -> None:
        self.store = FactStore()
        self.functions: dict[Any, FunctionInfo | None] = {}
        self._changes = INDEX.changes

    def __reduce__(self) -> tuple[type[FastPathCache], tuple[()]]:
        return FastPathCache, ()

    def current(self) -> FastPathCache:
        """The cache, emptied if a rule was registered since, or if it has grown too large."""
        if self._changes != INDEX.changes or len(self.functions) > self._MOST:
            self.functions, self._changes = {}, INDEX.changes
        return self

    def info(self, func: Function, policy: Policy) -> FunctionInfo | None:
        """The facts of a function that is called for the first time; None if its calls are the interpreter's."""
        info = FunctionInfo(func, policy)
        inside = func is torch_private.set_grad_enabled or inlined(func) is not None
        inside = inside or may_be_oversized(func)
        self.functions[func] = None if inside or info.is_the_interpreters else info
        return self.functions[func]

    def outcome(self, info: FunctionInfo, facts: list[ValueFacts]) -> Outcome | None:
        """The outcome of a hard call on such operands; None if the interpreter has to be asked each time."""
        if any(operand.holds_tensors for operand in facts):
            return None
        if info.operation.infinities is Infinities.SPREAD and any(operand.unbounded for operand in facts):
            return None
        if info.operation in MANY_VIEWS and any(operand.gradient_sites for operand in facts):
            return None  # which the program may write later, where it has no derivative itself
        found = Outcome(info.operation, facts, self.store)
        if len(info.outcomes) > self._MOST:
            info.outcomes.clear()
        info.outcomes[facts[0] if len(facts) == 1 else tuple(facts)] = found
        return found
