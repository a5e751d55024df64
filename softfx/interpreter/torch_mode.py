"""The torch function modes under which a program runs: every call through the interpreter, or past it where it can.

`FullMode` hands every torch call to the interpreter. `FastMode` makes those calls itself that the interpreter would
make as they are, and looks the facts of their results up (softfx.interpreter.fast_path). Whatever else may matter is
the interpreter's: a call that writes or detaches, inference mode, a shadow, a hard value behind an operand, and an
operation of which some calls are made in another way that only their places tell.
Both leave the same values, gradients, facts and evidence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor

from softfx import torch_private
from softfx.interpreter import checkpoint_private, straight_through_idiom
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import counts_softly
from softfx.interpreter.carried import Carrier
from softfx.interpreter.fast_path import FastPathCache, FunctionInfo, Outcome
from softfx.interpreter.hard_call import result_facts
from softfx.interpreter.host import HostMode
from softfx.interpreter.inline import inlined
from softfx.interpreter.interpreter import Interpreter
from softfx.interpreter.native import MANY_VIEWS
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.constant_operands import constant_operands
from softfx.ops.integrality import is_integral
from softfx.ops.spelling import operand_first
from softfx.ops.trees import ATOMS, BARE, tensors_in
from softfx.rules.refusals import is_discrete
from softfx.torch_private import shares_storage, storage_key
from softfx.values import SelectedRows, ValueFacts, facts_by_flag, is_written_constant, without_tensors

__all__ = ["FastMode", "FullMode"]

_MANY_VIEWS = frozenset(operation.name for operation in MANY_VIEWS)
_WHOLE = (True,)  # that each operand holds whole numbers
_gradients = torch.is_grad_enabled
_in_inference = torch.is_inference_mode_enabled
_hooks_of_saved_tensors = checkpoint_private.hooks_of_saved_tensors


_INTEGERS_OF_BLOCKS = "of a block with use_reentrant=True has no derivative for integers; use_reentrant=False has"

# Called to run a function again that a block of torch.utils.checkpoint runs, on tensors of these facts.
Resume = Callable[[Function, list[ValueFacts | None]], Function]


class FullMode(HostMode):
    """Every torch call goes through the interpreter.

    resume: makes of a function that is to be computed again in the backward pass one that runs as this run does.
    """

    resume: Resume | None = None

    def __init__(self, interpreter: Interpreter, where: Callable[[], Location]) -> None:
        super().__init__()
        self.interpreter = interpreter
        self._where = where
        self._block: Any = None  # the record of the checkpointed block that was met last

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        if _hooks_of_saved_tensors(True) is not None:
            self._note_block()
        return self._fully(func, args, kwargs or {})

    def _note_block(self) -> None:
        """Let the block of torch.utils.checkpoint that runs now be computed again as it is computed now."""
        block = checkpoint_private.checkpoint_block()
        if block is None or block is self._block or self.resume is None:
            return
        self._block = block
        facts = [
            self.interpreter.state.environment.facts(value) if isinstance(value, Tensor) else None
            for value in checkpoint_private.checkpoint_arguments()
        ]
        block.recompute_fn = self.resume(block.recompute_fn, facts)

    def _note_reentrant_block(self, block: checkpoint_private.ReentrantBlock) -> None:
        """The same for a block that begins with gradients switched off; planned as if they were on.

        Its integers leave it without a derivative: what the backward pass computes again are real numbers.
        """
        state = self.interpreter.state
        if block.outputs is None:
            facts = [
                without_tensors(state.environment.facts(value)) if isinstance(value, Tensor) else None
                for value in block.arguments
            ]
            if self.resume is not None:
                block.record.run_function = self.resume(block.record.run_function, facts)
            return
        for tensor in tensors_in(block.outputs):
            facts_of = state.environment.facts(tensor)
            if facts_of.soft is not None and facts_of.soft.exact:
                if is_discrete(tensor):
                    state.evidence.lost([facts_of.soft], "checkpoint", self._where(), _INTEGERS_OF_BLOCKS)
                state.environment.set(tensor, without_tensors(facts_of))

    def _fully(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        if func is torch_private.set_grad_enabled:
            block = checkpoint_private.reentrant_block()
            if block is not None:
                self._note_reentrant_block(block)
                return func((block.outputs is None and self.interpreter.state.planning) or args[0])
        if (body := inlined(func)) is not None:
            with self:
                return body(*args, **kwargs)
        return self.interpreter.call(func, args, kwargs, self._where)

    def received(self, name: str, result: Any) -> None:
        for tensor in tensors_in(result):
            self.interpreter.state.environment.set(tensor, ValueFacts(True))


class FastMode(FullMode):
    """Every torch call gives what it gives through the interpreter."""

    def __init__(self, interpreter: Interpreter, cache: FastPathCache, where: Callable[[], Location]) -> None:
        super().__init__(interpreter, where)
        self._carrier = Carrier(interpreter.state, where)
        self._cache = cache.current()
        self._functions = self._cache.functions
        self._state = interpreter.state
        self._environment = interpreter.state.environment
        self._entries = self._environment.entries
        self._sums = interpreter.state.sums.entries
        self._lookups = interpreter.state.lookups.entries
        self._storages = interpreter.state.storages.entries
        self._find_places()
        self._run = interpreter.state.backend.run

    def __torch_function__(self, func: Function, types: Any, args: Args = (), kwargs: Kwargs | None = None) -> Result:
        if _hooks_of_saved_tensors(True) is not None:
            self._note_block()
        try:
            info = self._functions[func]
        except (KeyError, TypeError):
            info = self._first_met(func)
        kwargs = kwargs or {}
        if info is not None and kwargs and not args:
            args, kwargs = operand_first(info.spelled, args, kwargs)
        if info is None or _in_inference() or ((kwargs or info.looks_at_arguments) and not info.fits(args, kwargs)):
            return self._fully(func, args, kwargs)
        if info.is_judged and info.is_open(func, args, kwargs):
            return self._fully(func, args, kwargs)
        if info.holds_constant and any(map(self._is_followed, constant_operands(func, args, kwargs))):
            return self._fully(func, args, kwargs)
        if self._by_place and not self._by_place.isdisjoint(info.names):
            return self._fully(func, args, kwargs)
        if self._storages and self._state.storages.hold(tensors_in((args, kwargs))):
            return self._fully(func, args, kwargs)
        if info.writes or (kwargs and kwargs.get("inplace")):
            return self._on_written_operand(info, func, args, kwargs)
        if info.is_simple and not (info.may_continue_sum and (self._sums or self._lookups)):
            for argument in (*args, *kwargs.values()) if kwargs else args:
                kind = type(argument)
                if kind in BARE:
                    if id(argument) in self._entries:
                        break
                elif kind not in ATOMS and not _holds_no_tensors(argument):
                    break
            else:
                return self._on_bare_operands(info, func, args, kwargs)
        return self._on_known_operands(info, func, args, kwargs)

    def _find_places(self) -> None:
        """Find which calls are made in other ways, for what the program was seen to do."""
        evidence = self._state.evidence
        self._knows_writes = evidence.writes
        self._by_place = evidence.by_place | _MANY_VIEWS if evidence.writes else evidence.by_place

    def _fully(self, func: Function, args: Args, kwargs: Kwargs) -> Result:
        result = super()._fully(func, args, kwargs)
        if self._state.evidence.writes is not self._knows_writes:
            self._find_places()
        return result

    def _is_followed(self, tensor: Tensor) -> bool:
        """True if more is known of a tensor than that it is a constant, which nothing is remembered of."""
        return tensor.requires_grad or id(tensor) in self._entries

    def _first_met(self, func: Function) -> FunctionInfo | None:
        try:
            hash(func)
        except TypeError:  # nothing can be found of it again
            return None
        return self._cache.info(func, self._state.sites.policy)

    def _on_bare_operands(self, info: FunctionInfo, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """A simple call on tensors of which nothing is remembered: nor is there of results that need a gradient."""
        result = self._run(func, args, kwargs)
        kind = type(result)
        if result.requires_grad if kind is Tensor else kind in ATOMS:
            return result
        if kind is tuple and all(type(item) is Tensor and item.requires_grad for item in result):
            return result
        facts = [self._environment.facts(tensor) for tensor in tensors_in((args, kwargs))]
        outcome = self._outcome(info, facts)
        if facts and outcome is not None:
            self._remember(info, outcome, args, kwargs, result)
        return result

    def _on_known_operands(self, info: FunctionInfo, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """A call whose operands are looked at."""
        if info.asks_metadata and not kwargs and not self._selects_rows(args):
            answer = self._run(func, args, {})
            if type(answer) in ATOMS:
                return answer
        if info.may_carry and not (info.may_continue_sum and self._continues_sum(args)):
            carried = self._carrier.call(info, func, args, kwargs)
            if carried is not None:
                return carried
        facts = self._facts_of(args, kwargs, info.reads_numbers)
        outcome = self._outcome(info, facts)
        asks_numbers = facts and info.depends_on_numbers and info.reads_elements
        if outcome is None or asks_numbers or (info.may_continue_sum and self._continues_sum(args)):
            return self.interpreter.interpret(self._call(info, func, args, kwargs, facts))
        if outcome.asks_elements and any(map(counts_softly, tensors_in((args, kwargs)), facts)):
            return self.interpreter.interpret(self._call(info, func, args, kwargs, facts))
        if info.decides and outcome.depends_on_source and info.is_site(func, args, kwargs):
            assert info.rule is not None  # a site has one
            location = self._where()
            decision = self._state.sites.at(info.rule, location)
            if decision.acts and self._state.evidence.asks_histories:
                return self.interpreter.interpret(self._call(info, func, args, kwargs, facts))
            if decision.acts:
                call = self._call(info, func, args, kwargs, facts)
                call.location = location
                return self.interpreter.act(call, decision)
        result = self._run(func, args, kwargs)
        if type(result) not in ATOMS:
            if facts and info.reads_elements:
                self._remember(info, outcome, args, kwargs, result)
            elif info.depends_on_numbers or not facts:
                self._remember_constant(info, facts, args, kwargs, result)
        return result

    def _on_written_operand(self, info: FunctionInfo, func: Function, args: Args, kwargs: Kwargs) -> Result:
        """A write to memory that no other tensor holds, where nothing has a shadow; others are the interpreter's."""
        state, target = self._state, cast(Tensor, args[0] if args else None)
        key = storage_key(target) if type(target) in BARE else None
        if key is None or state.measures is not None or shares_storage(target):
            return self._fully(func, args, kwargs)
        if state.writes.missed_by(target):
            return self._fully(func, args, kwargs)
        self._environment.find_pending((target,))
        facts = self._facts_of(args, kwargs, False)
        outcome = None if any(map(_is_the_interpreters, facts)) else self._outcome(info, facts)
        is_real = target.is_floating_point() or target.is_complex()
        if outcome is None or outcome.asks_elements or (outcome.asks_arguments and is_real):
            return self._fully(func, args, kwargs)
        if info.decides and outcome.depends_on_source and info.is_site(func, args, kwargs):
            assert info.rule is not None  # a site has one
            if state.sites.at(info.rule, self._where()).acts:
                return self._fully(func, args, kwargs)
        if info.may_continue_sum and self._continues_sum(args):
            return self._fully(func, args, kwargs)
        result = self._run(func, args, kwargs)
        state.writes.made(target)
        state.evidence.writes = True
        if not self._knows_writes:
            self._find_places()
        if outcome.depends_on_source:
            state.writes.carried(target)
        self._environment.share(target, outcome.written_real if is_real else outcome.written_integral)
        state.forget(target)
        return result

    def _facts_of(self, args: Args, kwargs: Kwargs, as_numbers: bool) -> list[ValueFacts]:
        facts: list[ValueFacts] = []
        find = self._environment.number_facts if as_numbers else self._environment.facts
        for argument in (*args, *kwargs.values()) if kwargs else args:
            if type(argument) not in ATOMS:
                entry = self._entries.get(id(argument))
                tensor = None if entry is None else entry[0]()
                known = None if entry is None else entry[1]
                if tensor is not None and tensor is argument and type(known) is ValueFacts:
                    facts.append(facts_by_flag(tensor) if is_written_constant(known, tensor) else known)
                else:
                    facts.extend(map(find, tensors_in(argument)))
        return facts

    def _call(
        self, info: FunctionInfo, func: Function, args: Args, kwargs: Kwargs,
        facts: list[ValueFacts],
    ) -> Call:  # fmt: skip
        tensors = tensors_in((args, kwargs) if kwargs else args)
        return Call(func, args, kwargs, tensors, facts, info.spelled, info.rule, self._where)

    def _outcome(self, info: FunctionInfo, facts: list[ValueFacts]) -> Outcome | None:
        key = facts[0] if len(facts) == 1 else tuple(facts)
        return info.outcomes.get(key) or self._cache.outcome(info, facts)

    def _selects_rows(self, args: Args) -> bool:
        """True if how many rows an operand has depends on a soft mask."""
        known = [self._environment.get(argument) for argument in args if isinstance(argument, Tensor)]
        return any(isinstance(facts, ValueFacts) and isinstance(facts.soft, SelectedRows) for facts in known)

    def _continues_sum(self, args: Args) -> bool:
        """True if a sum may go on with something that is followed: straight-through code, or an update in place."""
        if not self._sums and not self._lookups:
            return False
        sums, lookups = self._state.sums, self._state.lookups
        return any(sums.get(tensor) is not None or lookups.get(tensor) is not None for tensor in tensors_in(args))

    def _remember(self, info: FunctionInfo, outcome: Outcome, args: Args, kwargs: Kwargs, result: Result) -> None:
        """The facts of results, as softfx.interpreter.hard_call.remember leaves them."""
        for output in (result,) if type(result) is Tensor else tensors_in(result):
            entry = self._entries.get(id(output))
            if entry is not None and entry[0]() is output and entry[1].depends_on_source:
                if outcome.depends_on_source:
                    self._state.sums.discard(output)
                continue
            integral = not (output.is_floating_point() or output.is_complex())
            if outcome.asks_arguments and not integral:
                ordered = args if not info.spelled.reflected else (args[1], args[0])
                integral = is_integral(info.operation, ordered, kwargs, _WHOLE)
            self._environment.share(output, outcome.integral if integral else outcome.real)
        if info.is_difference and outcome.depends_on_source and len(args) == 2 and not kwargs and _gradients():
            left, right = reversed(args) if info.spelled.reflected else args
            if isinstance(left, Tensor) and isinstance(right, Tensor) and isinstance(result, Tensor):
                straight_through_idiom.note_difference(self._state, result, left, right)

    def _remember_constant(
        self, info: FunctionInfo, facts: list[ValueFacts], args: Args, kwargs: Kwargs, result: Result
    ) -> None:
        """The same where at most the shapes of operands count."""
        integral = [operand.integral for operand in facts]
        known = result_facts(info.operation, facts, integral, args, kwargs)
        if known is not None:
            for output in tensors_in(result):
                self._environment.set(output, known)


def _is_the_interpreters(facts: ValueFacts) -> bool:
    """Return True for an operand that only the interpreter may write with."""
    return facts.holds_tensors or bool(facts.gradient_sites or facts.unbounded)


def _holds_no_tensors(argument: Any) -> bool:
    """Return True for a sequence or a slice that holds no tensors: a shape, a key of slices."""
    if type(argument) is slice:
        argument = (argument.start, argument.stop, argument.step)
    if type(argument) is not tuple and type(argument) is not list:
        return False
    return all(type(item) in ATOMS or (type(item) is slice and _holds_no_tensors(item)) for item in argument)
