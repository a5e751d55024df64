"""The interpreter: the semantics of softfx, one call of the program at a time.

It is driven by a torch function mode when the original Python runs (softfx.pipeline.execute) and node by node when a
captured graph is planned or rewritten (softfx.pipeline.rewrite); both therefore give the same values and gradients.
The record of an operation says what it is (softfx.ops), its rule what softness makes of it (softfx.rules), and the
backend carries calls out. Which call is made hard and which softly is decided here. A call goes this way:

    Interpreter.call            finds the operation, its rule, and the facts of the operands
      interpret
        hard_call               no operand depends on a differentiable source
        _lifted_detachment      a detachment that the policy lifts
        _on_real_shadows        scope = "model": the call runs once more, on real shadows
        _decide
          call_on_rows          a soft mask selects, or its rows are used
          hard_call             the site is kept, or nothing soft is among the operands
            run, remember
          soft_call             the rule relaxes the operation, or hands soft values on
            run                 the hard result
            rule.relax, rule.propagate
            bind                the hard result and its shadow become what the program gets
        straight_through_idiom.complete
        indexed_update.note_result
    Interpreter.result          a result of the program, as its caller gets it
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from softfx import torch_private
from softfx.decisions.site import Decision, SiteKey
from softfx.interpreter import indexed_update, straight_through_idiom
from softfx.interpreter.binding import bind, operand, result_for_caller
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.hard_call import hard_call, remember
from softfx.interpreter.selected_rows import call_on_rows, concerns_rows
from softfx.interpreter.soft_call import soft_call
from softfx.interpreter.state import RunState
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.spelling import INDEX
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules import rule_of_call
from softfx.rules.rule import Barrier, Rule
from softfx.torch_private import version_of
from softfx.values import ValueFacts

__all__ = ["Interpreter"]

# Inference mode is entered out of sight of torch's function protocol: its blocks are lifted all or none.
_INFERENCE = Location("", 0)
_LOSSES: dict[Barrier, str] = {
    "branch": "decides a branch in Python",
    "number": "reads the value into Python",
    "shape": "has a shape that depends on data",
}


class Interpreter:
    """Makes the calls of one run under its decisions."""

    def __init__(self, state: RunState) -> None:
        self.state = state

    def source(self, tensor: Tensor) -> None:
        """Declare a tensor a differentiable source if it is floating point."""
        facts = ValueFacts(tensor.is_floating_point() or tensor.is_complex())
        self.state.environment.set(tensor, facts)

    def call(self, func: Function, args: Args, kwargs: Kwargs, locate: Callable[[], Location]) -> Result:
        """The result of `func(*args, **kwargs)` as the program sees it under the decisions."""
        grad_mode = self.state.grad_mode
        if not (grad_mode.ambient and torch.is_inference_mode_enabled()):
            return self._call(func, args, kwargs, locate)
        grad_mode.switched_off_at = _INFERENCE
        with torch.inference_mode(not self.state.sites.lifts(_INFERENCE)):
            return self._call(func, args, kwargs, locate)

    def _call(self, func: Function, args: Args, kwargs: Kwargs, locate: Callable[[], Location]) -> Result:
        if func is torch_private.set_grad_enabled:
            return self._switch_gradients(func, args, locate)
        tensors = tensors_in((args, kwargs))
        spelled = INDEX.of(func)
        rule = rule_of_call(spelled, args, kwargs)
        if rule is not None and not self.state.sites.policy.considers(rule):
            rule = None
        facts = [self.state.environment.facts(tensor) for tensor in tensors]
        return self.interpret(Call(func, args, kwargs, tensors, facts, spelled, rule, locate))

    def interpret(self, call: Call) -> Result:
        """The result of a call whose operation and facts are known."""
        result = self._interpret(call)
        if self.state.observer is not None:
            self.state.observer.after_call(self.state, call, result)
        return result

    def _interpret(self, call: Call) -> Result:
        state, rule = self.state, call.rule
        pending = indexed_update.pending_sum(state, call)
        if not call.depends_on_source:
            if state.planning and call.tensors and rule is not None and call.is_site:
                state.evidence.static.add(SiteKey.of(rule, call.location))
            return hard_call(state, call)
        if call.operation.stops_gradient and state.sites.lifts_any and state.sites.lifts(call.location, "detach"):
            return self._lifted_detachment(call)
        if call.has_real_shadow and not call.softs and not call.is_site and (rule is None or rule.barrier is None):
            return self._on_real_shadows(call)
        result = straight_through_idiom.complete(state, call, self._decide(call))
        indexed_update.note_result(state, call, result, pending)
        return result

    def _decide(self, call: Call) -> Result:
        """A call that depends on a source: hard, or softly as its site's decision and its shadows have it."""
        state, rule = self.state, call.rule
        site = call.is_site
        if site and state.observer is not None:
            call = state.observer.before_site(state, call)
        if call.softs and torch.is_grad_enabled() and concerns_rows(state, call):
            outcome = call_on_rows(state, call, self._decision(rule, call) if rule is not None and site else None)
            if not isinstance(outcome, Call):
                return outcome
            call = outcome
        if rule is None:
            return hard_call(state, call, "has no rule for a soft value")
        if rule.barrier is not None:
            return hard_call(state, call, _LOSSES[rule.barrier])
        decision = self._decision(rule, call) if site else None
        if decision is not None and decision.acts:
            return self.act(call, decision)
        if decision is not None and not (call.softs and rule.family in ("kink", "unsafe")):
            return hard_call(state, call, "is kept hard")
        if decision is None and not self._propagates(rule, call):
            return hard_call(state, call)
        return self._softly(call, decision)

    def act(self, call: Call, decision: Decision) -> Result:
        """A call of a site that acts."""
        if call.detached_at and not decision.resolved.named:
            self.state.evidence.met_detached(decision.id, call.detached_at)
            return hard_call(self.state, call)
        return self._softly(call, decision)

    def _softly(self, call: Call, decision: Decision | None) -> Result:
        """A soft call, unless gradients are switched off and no value would change."""
        state = self.state
        decided = decision is None or (decision.is_exact and not decision.draws)
        exact = decided and all(soft.exact for soft in call.softs)
        if torch.is_grad_enabled() or not exact:
            return soft_call(state, call, decision)
        state.note_end_without_gradients(frozenset[int]().union(*(soft.sites for soft in call.softs)))
        loss = "is inside a no_grad block of the program" if state.grad_mode.ambient else ""
        return hard_call(state, call, loss)

    @staticmethod
    def _propagates(rule: Rule, call: Call) -> bool:
        """True if an operation that is no site hands the shadows among its operands on."""
        if not call.softs:
            return False
        return not rule.only_discrete or bool(call.discrete_softs) or len(call.softs) >= 2

    def _decision(self, rule: Rule, call: Call) -> Decision:
        """The decision about the site that this call is, with what stands against softening it already settled."""
        state = self.state
        decision = state.sites.at(rule, call.location)
        if not state.planning or not decision.acts:
            return decision
        if call.location.function:
            state.evidence.custom_functions = True
            name = call.location.function
            reason = f"inside the custom autograd.Function {name}, which has its own backward"
            return state.sites.replace(decision.kept(reason))
        if torch.is_grad_enabled():
            return decision
        if decision.resolved.lift_no_grad and state.grad_mode.switched_off_at is not None:
            state.evidence.blocks_to_lift.add(state.grad_mode.switched_off_at)
            return decision
        reason = "inside a no_grad block of the program, which cuts its gradient; lift_no_grad = true lifts it"
        return state.sites.replace(decision.kept(reason))

    def _switch_gradients(self, func: Function, args: Args, locate: Callable[[], Location]) -> Result:
        """The program switches gradients on or off; a block that the policy lifts does not."""
        state = self.state
        if not args[0] and torch.is_grad_enabled():
            state.grad_mode.switched_off_at = locate()
            if state.grad_mode.ambient and state.sites.lifts(state.grad_mode.switched_off_at):
                return None
        return state.backend.run(func, args, {})

    def _lifted_detachment(self, call: Call) -> Result:
        """A detachment that the policy lifts: another tensor of the same storage, known as the first is."""
        state, (tensor,), (facts,) = self.state, call.tensors, call.facts
        result = state.backend.emit(torch.Tensor.view_as, (tensor, tensor), {})
        state.environment.set(result, replace(facts, version=version_of(result)))
        straight_through_idiom.note_alike(state, result, tensor)
        return result

    def _on_real_shadows(self, call: Call) -> Result:
        """scope = "model": a smooth call on real numbers that have shadows runs once more, on the shadows."""
        state = self.state
        hard = state.backend.run(call.func, call.args, call.kwargs)
        if not isinstance(hard, Tensor) or not hard.is_floating_point() or call.written is not None:
            return remember(state, call, hard, "")
        softs = [facts.soft for facts in call.facts if facts.soft is not None]
        exact = all(soft.exact for soft in softs)
        sites = frozenset[int]().union(*(soft.sites for soft in softs))
        context = CallContext(state, call.func, {}, exact, sites, hard)
        args, kwargs = map_tensors(partial(operand, context), (call.args, call.kwargs))
        return bind(context, hard, state.backend.emit(call.func, args, kwargs))

    def result(self, value: Result) -> Result:
        """One of the program's results as its caller gets it."""
        return result_for_caller(self.state, value)
