"""The interpreter: the semantics of softfx, one call of the program at a time.

It is driven by a torch function mode when the original Python runs (softfx.pipeline.execute) and node by node when a
captured graph is planned or rewritten (softfx.pipeline.rewrite); both therefore give the same values and gradients.
The record of an operation says what it is (softfx.ops), its rule what softness makes of it (softfx.rules), and the
backend carries calls out. Which call is made hard and which softly is decided here. A call goes this way:

    Interpreter.call            finds the operation, its rule, and the facts of the operands
      interpret
        hard_call               no operand depends on a differentiable source
        _lifted_detachment      a detachment that the policy lifts
        _place_by_place         scope = "linear", "model": the call is made of each place that a choice may look up
        linear_scope.ended      scope = "linear": real shadows end at a call that is not linear
        _on_real_shadows        scope = "linear", "model": the call runs once more, on real shadows
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
from softfx.interpreter import (
    chosen_places,
    compared,
    exchanging,
    indexed_update,
    joint_lookups,
    lifting,
    linear_scope,
    overlapping,
    overwritten,
    own_histories,
    pointwise,
    selecting,
    shared_storage,
    straight_through_idiom,
    view_reads,
)
from softfx.interpreter.binding import attach, bind, real_operand, result_for_caller
from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext, is_integral
from softfx.interpreter.constants import held_constant
from softfx.interpreter.copies import COPIES, copied, copy_values
from softfx.interpreter.derivatives import DISCRETE, IN_PART
from softfx.interpreter.hard_call import hard_call, is_made_of_reals, remember
from softfx.interpreter.infinite_operands import note_spoiling
from softfx.interpreter.inner_derivatives import DIFFERENTIATED, keep_what_is_differentiated
from softfx.interpreter.native import is_view_of_operand, run
from softfx.interpreter.number_arguments import with_numbers
from softfx.interpreter.oversized_sources import with_fitting_source
from softfx.interpreter.selected_rows import call_on_rows, concerns_rows
from softfx.interpreter.soft_call import soft_call
from softfx.interpreter.state import RunState
from softfx.locations import Location
from softfx.ops.calls import Args, Function, Kwargs, Result
from softfx.ops.operation import Reads
from softfx.ops.spelling import INDEX, arguments, operand_first
from softfx.ops.trees import map_tensors, tensors_in
from softfx.rules import rule_of_call
from softfx.rules.contractions import is_short
from softfx.rules.refusals import is_discrete
from softfx.rules.rule import Barrier, Rule
from softfx.rules.unruled import unruled
from softfx.torch_private import version_of
from softfx.values import Soft, SoftReal, ValueFacts

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
        if self.state.planning:
            lifting.note_given(self.state, tensor)

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
        args, kwargs = with_numbers(self.state, func, args, kwargs, locate)
        spelled = INDEX.of(func)
        args, kwargs = operand_first(spelled, args, kwargs)
        tensors = tensors_in((args, kwargs))
        rule = rule_of_call(spelled, args, kwargs)
        if rule is not None and not self.state.sites.policy.considers(rule):
            rule = None
        if self.state.storages.entries:
            shared_storage.brought_up_to_date(self.state, tensors)
        facts = [self.state.environment.facts(tensor) for tensor in tensors]
        return self.interpret(Call(func, args, kwargs, tensors, facts, spelled, rule, locate))

    def interpret(self, call: Call) -> Result:
        """The result of a call whose operation and facts are known."""
        call = overlapping.into_part(self.state, with_fitting_source(self.state, held_constant(self.state, call)))
        call, made = overlapping.beside_memory(self.state, call)
        if written := call.all_written:
            self.state.environment.find_pending(written)
            shared_storage.prepare_write(self.state, call)
        histories = own_histories.histories_before(self.state, call)
        if self.state.planning and lifting.must_be_left(self.state, call):
            with torch.no_grad():
                result = hard_call(self.state, call)
        else:
            if self.state.planning:
                view_reads.note_uses(self.state, call)
                lifting.leave_what_is_expanded(self.state, call)
                lifting.leave_what_is_refused(self.state, call)
                keep_what_is_differentiated(self.state, call)
            if self.state.looks_for_learning:
                selecting.note_learned(self.state, call)
            result = self._interpret(call)
        own_histories.note_histories(call, histories, result)
        result = own_histories.answered(self.state, call, result)
        compared.note(self.state, call, result)
        pointwise.note(self.state, call, result)
        if call.has_real_shadow or call.softs:
            chosen_places.note(self.state, call, result)
        if made is not None:
            overlapping.settle_memory(self.state, call, made)
        if written:
            shared_storage.note_write(self.state, call)
        note_spoiling(self.state, call, result)
        if self.state.planning:
            lifting.note_made(self.state, call, result)
            overwritten.note_reads(self.state, call, result)
            view_reads.note_writes(self.state, call, result)
        if self.state.storages.entries:
            shared_storage.note_results(self.state, result)
        if self.state.observer is not None:
            self.state.observer.after_call(self.state, call, result)
        return result

    def _interpret(self, call: Call) -> Result:
        state, rule = self.state, call.rule
        pending = indexed_update.pending_sum(state, call)
        if sources := copied(call):
            if torch.is_grad_enabled():
                self._tell(call, f"it {COPIES}: a cut of the program's own")
            return copy_values(state, call, sources)
        if not call.depends_on_source:
            if state.planning and call.tensors and rule is not None and call.is_site:
                state.evidence.static.add(SiteKey.of(rule, call.location))
            return hard_call(state, call)
        if call.has_real_shadow:
            mean = self._place_by_place(call)
            if mean is not None:
                return mean
            call = linear_scope.ended(state, call)
        stops = rule is not None and call.operation.stops_gradient  # detach, x.data; not x.data = y
        if stops and state.sites.lifts_any and state.sites.lifts(call.location, "detach"):
            return self._lifted_detachment(call)
        if self._runs_beside(call) and not call.is_site:
            return self._on_real_shadows(call)
        result = straight_through_idiom.complete(state, call, self._decide(call))
        indexed_update.note_result(state, call, result, pending)
        return result

    def _decide(self, call: Call) -> Result:
        """A call that depends on a source: hard, or softly as its site's decision and its shadows have it."""
        state, call = self.state, view_reads.as_view(self.state, call)
        rule, site = call.rule, call.is_site
        if site and state.observer is not None:
            call = state.observer.before_site(state, call)
        changes_values = torch.is_grad_enabled() or not all(soft.exact for soft in call.softs)
        if call.softs and changes_values and concerns_rows(state, call):
            outcome = call_on_rows(state, call, self._decision(rule, call) if rule is not None and site else None)
            if not isinstance(outcome, Call):
                return outcome
            call = outcome
        if rule is None:
            mean = pointwise.made(state, call)
            return self._without_rule(call) if mean is None else mean
        if rule.barrier is not None:
            loss = _LOSSES[rule.barrier]
            turned = state.sites.policy.turns and rule.barrier != "shape"
            state.evidence.control.reads = state.evidence.control.reads or rule.barrier != "shape"
            return self._made_integers(call, hard_call(state, call, f"{loss}: a control site" if turned else loss))
        decision = self._decision(rule, call) if site else None
        is_smooth = decision is None or not decision.acts or decision.action == "guard"
        if is_smooth and (mean := pointwise.made(state, call)) is not None:
            return mean
        if decision is not None and decision.acts:
            return self.act(call, decision)
        if decision is not None and rule.family not in ("kink", "unsafe"):
            return hard_call(state, call, "is kept hard")
        if decision is not None and not call.softs:
            return self._on_real_shadows(call) if call.has_real_shadow else hard_call(state, call, "is kept hard")
        if decision is None and not self._propagates(rule, call):
            return self._made_integers(call, hard_call(state, call))
        return self._softly(call, decision)

    def _place_by_place(self, call: Call) -> Result | None:
        """A call that bends with the derivative of its mean over chosen places; None where it is none of these."""
        if not chosen_places.treats_places_alike(self.state, call):
            return None
        decision = self._decision(call.rule, call) if call.rule is not None and call.is_site else None
        is_smooth = decision is None or not decision.acts or decision.action == "guard"
        return chosen_places.made(self.state, call) if is_smooth else None

    def _without_rule(self, call: Call) -> Result:
        """A call that no rule knows: a site if no derivative comes back from it."""
        state, loss = self.state, "has no rule for a soft value"
        blockage = state.backend.blockage(call.func, call.spelled, call.args, call.kwargs)
        if blockage is None or not torch.is_grad_enabled() or call.detached_at:
            return self._made_integers(call, hard_call(state, call, loss))
        pairs = zip(call.facts, blockage.operands, strict=True)
        if not any(facts.depends_on_source and (is_blocked or blockage.in_part) for facts, is_blocked in pairs):
            return hard_call(state, call, loss)
        self._tell(call, blockage.reason, blockage.is_constant)
        return hard_call(state, replace(call, blockage=blockage), "gives no derivative back")

    def _made_integers(self, call: Call, result: Result) -> Result:
        """`result`, a site if a call that no rule counts among the decisions has made integers of real numbers."""
        if (
            not self.state.planning
            or call.detached_at
            or not torch.is_grad_enabled()
            or not is_made_of_reals(call, result)
        ):
            return result
        self._tell(call, DISCRETE if all(map(is_discrete, tensors_in(result))) else IN_PART)
        return result

    def _tell(self, call: Call, reason: str, is_kept: bool = False) -> None:
        """Make a site of a call from which no derivative comes back."""
        decision = self._decision(unruled(call.operation), call)
        if decision.action == "blocked" and (is_kept or decision.reason != reason):
            self.state.sites.replace(decision.kept(reason) if is_kept else decision.blocked(reason))

    def act(self, call: Call, decision: Decision) -> Result:
        """A call of a site that acts."""
        if call.detached_at and not decision.resolved.named:
            self.state.evidence.met_detached(decision.id, call.detached_at)
            return hard_call(self.state, call)
        if self.state.exchange is not None and (made := exchanging.exchanged(self.state, call, decision)) is not None:
            return made
        decided = pointwise.decided(self.state, call, decision)
        return self._softly(call, decision) if decided is None else decided

    def _softly(self, call: Call, decision: Decision | None) -> Result:
        """A soft call, unless gradients are switched off and no value would change."""
        state = self.state
        exact = (decision is None or (decision.is_exact and not decision.draws)) and all(
            soft.exact for soft in call.softs
        )
        if torch.is_grad_enabled() or not exact:
            return soft_call(state, call, decision)
        state.note_end_without_gradients(frozenset[int]().union(*(soft.sites for soft in call.softs)))
        loss = "is inside a no_grad block of the program" if state.grad_mode.ambient else ""
        return hard_call(state, call, loss)

    def _runs_beside(self, call: Call) -> bool:
        """True if real operands run beside their values (scope = "linear", "model"), and no rule hands them on."""
        rule = call.rule
        if not call.softs:
            return call.has_real_shadow and (rule is None or rule.barrier is None)
        unruled = rule is None or (rule.only_discrete and not self._propagates(rule, call))
        return unruled and not call.discrete_softs and all(map(self._runs_on, call.softs))

    def _runs_on(self, soft: Soft) -> bool:
        return self.state.sites.scope(soft.sites) in ("model", "linear")

    def _propagates(self, rule: Rule, call: Call) -> bool:
        """True if an operation that is no site hands the shadows among its operands on."""
        if not call.softs:
            return False
        if not rule.only_discrete or call.discrete_softs or len(call.softs) >= 2:
            return True
        if not is_short(call.operation, *arguments(call.spelled, call.args, call.kwargs)):
            return False
        return all(soft.integral for soft in call.softs) and all(is_integral(self.state, t) for t in call.tensors)

    def _decision(self, rule: Rule, call: Call) -> Decision:
        """The decision about the site that this call is, with what stands against softening it already settled."""
        state = self.state
        decision = state.sites.at(rule, call.location)
        if not state.planning:
            return decision
        state.met.add(decision.id)
        if not decision.acts:
            return decision
        if rule.family == "discrete":
            state.evidence.decided_about(call.sites_decided_about, decision.id)
        if torch_private.in_transform():
            state.evidence.custom_functions = True  # what a transform returns is another tensor
            if decision.is_exact and torch_private.in_differentiation():
                return state.sites.replace(decision.kept(DIFFERENTIATED))
        if call.location.function:
            state.evidence.custom_functions = True
            name = call.location.function
            reason = f"inside the custom autograd.Function {name}, which has its own backward"
            return state.sites.replace(decision.kept(reason))
        if torch.is_grad_enabled():
            return decision
        block = state.grad_mode.switched_off_at
        if block is not None and ("no_grad", block) in state.evidence.to_leave:
            return state.sites.replace(decision.kept(lifting.reason(state, block)))
        if decision.resolved.lift_no_grad and block is not None:
            state.evidence.blocks_to_lift.add(block)
            return decision
        reason = "inside a no_grad block of the program, which cuts its gradient; lift_no_grad = true lifts it"
        return state.sites.replace(decision.kept(reason))

    def _switch_gradients(self, func: Function, args: Args, locate: Callable[[], Location]) -> Result:
        """The program switches gradients on or off; a block that the policy lifts does not."""
        state = self.state
        if not args[0] and torch.is_grad_enabled():
            state.grad_mode.switched_off_at = locate()
            if state.grad_mode.ambient and state.sites.lifts(state.grad_mode.switched_off_at):
                state.grad_mode.lifted_at = state.grad_mode.switched_off_at
                return None
        state.grad_mode.lifted_at = None
        return state.backend.run(func, args, {})

    def _lifted_detachment(self, call: Call) -> Result:
        """A detachment that the policy lifts: another tensor of the same storage, known as the first is."""
        state, (tensor,), (facts,) = self.state, call.tensors, call.facts
        if call.written is not None:
            lifting.note_detachment(state, call, tensor)
            return tensor
        result = state.backend.emit(torch.Tensor.__getitem__, (tensor, ...), {})  # which keeps all strides
        state.environment.set(result, replace(facts, version=version_of(result)))
        lifting.note_detachment(state, call, result)
        straight_through_idiom.note_alike(state, result, tensor)
        return result

    def _on_real_shadows(self, call: Call) -> Result:
        """scope = "linear", "model": a smooth call on real numbers that have shadows runs once more, on the shadows."""
        state = self.state
        hard = run(state, call)
        moves = (call.rule is not None and call.rule.moves) or is_view_of_operand(state, call, hard)
        runs_again = call.written is None and call.operation.repeatable and call.operation.reads is not Reads.NONE
        if not isinstance(hard, Tensor) or not hard.is_floating_point() or not runs_again:
            return remember(state, call, hard, "")
        softs = [facts.soft for facts in call.facts if facts.soft is not None]
        exact = all(soft.exact for soft in softs)
        sites = frozenset[int]().union(*(soft.sites for soft in softs))
        context = CallContext(state, call.func, {}, exact, sites, hard, carried=call.carried_sites)
        shadow = joint_lookups.shadow_of(state, context, call)
        if shadow is None:
            args, kwargs = map_tensors(partial(real_operand, context), (call.args, call.kwargs))
            shadow = state.backend.repeat(call.func, args, kwargs)
        if moves:
            return attach(context, remember(state, call, hard, ""), SoftReal(shadow, exact=exact, sites=sites))
        return bind(context, hard, shadow)

    def result(self, value: Result) -> Result:
        """One of the program's results as its caller gets it."""
        if self.state.storages.entries and isinstance(value, Tensor):
            shared_storage.brought_up_to_date(self.state, [value])
        if isinstance(value, Tensor):
            view_reads.note_results(self.state, [value])
        return result_for_caller(self.state, value)
