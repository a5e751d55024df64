"""What selects a part of rows, as topk does: some places of an order, and comparisons with a k-th value.

`scores.argsort()[:k]` and `scores >= scores.kthvalue(n - k + 1).values` are other ways to write a choice of k, and
"auto" gives them the scope of one (softfx.rules.units). Planning finds them. An extremum is no such statistic: what is
asked of it is which one has it. It also finds whether anything else learns of what a choice has made: weights that it
is multiplied with, a layer behind it.
"""

from __future__ import annotations

from torch import Tensor

from softfx.interpreter.call import Call
from softfx.interpreter.call_context import CallContext
from softfx.interpreter.exchanging import chooses_once
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.trees import tensors_in
from softfx.rules.units import ORDER
from softfx.runtime.memberships import beside_statistic
from softfx.values import SoftIndex

__all__ = ["note_learned", "sites_of"]

_NONE = frozenset[int]()


def note_learned(state: RunState, call: Call) -> None:
    """Note which sites decide about what learns, and which sites' results meet numbers that learn without them."""
    learning = [tensor.requires_grad for tensor in call.tensors]
    if not any(learning):
        return
    if call.rule is not None and call.is_site:
        state.evidence.learns(state.sites.at(call.rule, call.location).id, chooses_once(call))
    made = [facts.gradient_sites | (facts.soft.sites if facts.soft is not None else _NONE) for facts in call.facts]
    others = [own for own, learns in zip(made, learning, strict=True) if learns]
    state.evidence.meets_learned(site for site in _NONE.union(*made) if any(site not in own for own in others))


def sites_of(state: RunState, context: CallContext, call: Call, result: Result) -> frozenset[int]:
    """The sites that are seen to select a part of rows by a call and its result."""
    if context.beside is not None and context.beside.form is beside_statistic:
        return context.sites
    if call.rule is None or not call.rule.moves or not call.tensors:
        return frozenset()
    soft, (tensor, *_) = call.facts[0].soft, call.tensors
    if not isinstance(soft, SoftIndex) or not any(_is_part(part, tensor, soft) for part in tensors_in(result)):
        return frozenset()
    return frozenset(site for site in soft.sites if state.sites[site].rule.unit is ORDER)


def _is_part(part: Tensor, places: Tensor, order: SoftIndex) -> bool:
    """Return True if of the places of whole rows some were taken."""
    return part.dim() == places.dim() and order.size in places.shape and order.size not in part.shape
