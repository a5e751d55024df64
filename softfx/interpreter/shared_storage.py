"""Storage that several tensors share is one thing: what is written through one of them, all of them hold.

torch sees to the values, and autograd to the derivatives of real tensors. A shadow lies beside its tensor, so that a
write would leave those of other tensors on the storage behind. Such writes are noted by storage, and what is known of a
tensor is brought up to date when a call is given it next; only then does it become steps of rewritten code.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import torch
from torch import Tensor

from softfx import torch_private
from softfx.interpreter.call import Call
from softfx.interpreter.hard_values import hard_value
from softfx.interpreter.state import RunState
from softfx.ops.calls import Result
from softfx.ops.trees import tensors_in
from softfx.rules.refusals import is_discrete
from softfx.runtime import storage
from softfx.values import SelectedRows, Soft, SoftBool, SoftCount, SoftIndex, ValueFacts, Write

__all__ = ["brought_up_to_date", "note_results", "note_write", "prepare_write"]


def prepare_write(state: RunState, call: Call) -> None:
    """Let autograd know the history of what a call is going to write, where that was written through other tensors.

    And find what else on the storage would be without softening, before it is written.
    """
    for tensor in call.all_written if torch.is_grad_enabled() else ():
        if state.writes.missed_by(tensor):
            state.backend.emit(storage.follow, (tensor,), {})
    for tensor in call.all_written:
        if state.environment.facts(tensor).hard is not None and torch_private.shares_storage(tensor):
            _find_hard_values(state, tensor)


def _find_hard_values(state: RunState, written: Tensor) -> None:
    """Find the hard values of all that lies on a storage before it is written: they are made of what is there now."""
    key = torch_private.storage_key(written)
    for tensor in state.environment.shadowed():
        if torch_private.storage_key(tensor) == key:
            hard_value(state, tensor)


def note_write(state: RunState, call: Call) -> None:
    """Note the write that a call has made, if it made one that the shadows of other tensors have to follow."""
    if call.depends_on_source:
        for written in call.all_written:
            state.writes.carried(written)
    tensor = call.written
    moves = call.rule is not None and call.rule.moves  # x.unsqueeze_(0) writes no element
    if tensor is None or moves or torch_private.storage_key(tensor) is None:
        return
    before = call.written_facts
    after = state.environment.facts(tensor)
    shared = state.storages.of(tensor)
    if shared is None:
        if not torch_private.shares_storage(tensor):
            return
        unseen = after.depends_on_source and not tensor.requires_grad  # autograd tells of no other tensor that it does
        if not (unseen or before.holds_tensors or after.holds_tensors or _lies_beside_shadows(state, tensor)):
            return
        shared = state.storages.begin(tensor)
    shared.note(storage.geometry_of(tensor), after)
    state.seen.set(tensor, shared.count)


def _lies_beside_shadows(state: RunState, tensor: Tensor) -> bool:
    """Return True if a shadow is remembered of another tensor on the storage of this one."""
    key = torch_private.storage_key(tensor)
    return any(torch_private.storage_key(other) == key for other in state.environment.shadowed())


def note_results(state: RunState, result: Result) -> None:
    """Note that what is known of new tensors on such storages is up to date: it came of operands that were."""
    for tensor in tensors_in(result):
        if (shared := state.storages.of(tensor)) is not None and state.seen.get(tensor) is None:
            state.seen.set(tensor, shared.count)


def brought_up_to_date(state: RunState, tensors: Iterable[Tensor]) -> None:
    """Bring up to date what is known of tensors whose storage was written through others."""
    for tensor in tensors:
        shared = state.storages.of(tensor)
        if shared is None:
            continue
        news = shared.since(state.seen.get(tensor) or 0, storage.geometry_of(tensor))
        facts = state.environment.facts(tensor)
        exact = not any(map(_is_changed, (facts, *(write.facts for write in news))))
        if exact and not torch.is_grad_enabled():  # no shadow is asked for before gradients are on again
            if any(write.facts.depends_on_source for write in news) and not facts.depends_on_source:
                state.environment.set(tensor, replace(facts, depends_on_source=True))
            continue
        if news:
            state.environment.set(tensor, _after(state, tensor, facts, news, tensor.dtype == shared.dtype))
        elif facts.hard is not None and state.seen.get(tensor) != shared.count:  # written beside what the tensor holds
            state.environment.set(tensor, replace(facts, version=torch_private.version_of(tensor)))
        state.seen.set(tensor, shared.count)


def _is_changed(facts: ValueFacts) -> bool:
    """Return True if softening has changed the value of a tensor, or that of what it stands for."""
    return facts.hard is not None or (facts.soft is not None and not facts.soft.exact)


def _after(state: RunState, tensor: Tensor, facts: ValueFacts, writes: list[Write], alike: bool) -> ValueFacts:
    """What is known of a tensor after these writes. alike: it is of the dtype that was written."""
    sites = facts.gradient_sites.union(*(write.facts.gradient_sites for write in writes))
    integral = alike and facts.integral and all(write.facts.integral for write in writes)
    soft = facts.soft
    if not alike or isinstance(soft, SelectedRows):
        soft = None
    elif is_discrete(tensor):
        for write in writes:
            soft = _overlaid(state, tensor, soft, write)
    else:
        soft = _count(state, tensor, [facts, *(write.facts for write in writes)]) if integral else None
    hard = _hard(state, tensor, facts, writes) if alike and not is_discrete(tensor) else None
    version = 0 if hard is None else torch_private.version_of(tensor)
    return ValueFacts(True, soft, sites, integral, hard=hard, version=version)


def _hard(state: RunState, tensor: Tensor, facts: ValueFacts, writes: list[Write]) -> Tensor | None:
    """What a real tensor would hold without softening after these writes; None where that is what it holds."""
    known = [_hard_of(state, each) for each in (facts, *(write.facts for write in writes))]
    if all(hard is None for hard in known):
        return None
    emit, place = state.backend.emit, storage.geometry_of(tensor)
    now: Tensor = emit(Tensor.detach, (tensor,), {})
    hard = now if known[0] is None else known[0]
    for write, part in zip(writes, known[1:], strict=True):
        if part is None:  # what was written is there still, or was written over
            hard = emit(storage.overwritten, (hard, now, place, write.place), {})
        else:
            hard = emit(storage.overlaid, (hard, part, place, write.place), {})
    return hard


def _hard_of(state: RunState, facts: ValueFacts) -> Tensor | None:
    """The hard value of a tensor as these facts were known, whatever it holds by now."""
    hard = facts.hard
    found: Tensor | None = hard if hard is None or isinstance(hard, Tensor) else hard.value(state.backend)
    return found


def _count(state: RunState, tensor: Tensor, known: list[ValueFacts]) -> Soft | None:
    """A real tensor carries value and derivative itself: where it holds whole numbers, it is its own shadow."""
    softs = [facts.soft for facts in known if facts.soft is not None]
    if not softs:
        return None
    value: Tensor = state.backend.emit(torch.clone, (tensor,), {})
    exact = all(soft.exact for soft in softs)
    return SoftCount(value, exact=exact, sites=frozenset[int]().union(*(soft.sites for soft in softs)))


def _overlaid(state: RunState, tensor: Tensor, soft: Soft | None, write: Write) -> Soft | None:
    """The shadow of a tensor of integers or bools after one write to its storage."""

    def emit(function: object, *args: object, **kwargs: object) -> Tensor:
        made: Tensor = state.backend.emit(function, args, kwargs)  # type: ignore[arg-type]  # any function
        return made

    new = None if isinstance(write.facts.soft, SelectedRows) else write.facts.soft
    place, exact = storage.geometry_of(tensor), all(part is None or part.exact for part in (soft, new))
    if soft is None and new is None:
        return None
    alike = _alike(soft, new, exact)
    base, part = (None if one is None else (one.tensor if alike else one.real(emit)) for one in (soft, new))
    model = soft if new is None else new
    assert model is not None
    if base is None or part is None:
        certain = model.hardened(emit, tensor) if alike else emit(Tensor.to, tensor, model.real(emit).dtype)
    if part is None:
        made = emit(storage.overwritten, base, certain, place, write.place)
    else:
        made = emit(storage.overlaid, certain if base is None else base, part, place, write.place)
    sites = frozenset[int]().union(*(one.sites for one in (soft, new) if one is not None))
    if alike:
        return replace(model.with_tensor(made), exact=exact, sites=sites)
    return SoftCount(made, exact=exact, sites=sites)


def _alike(soft: Soft | None, new: Soft | None, exact: bool) -> bool:
    """Return True if two shadows, or one and a hard tensor, are of one form, in which they can stand side by side."""
    softs = [one for one in (soft, new) if one is not None]
    if all(isinstance(one, SoftIndex) and one.support is None for one in softs):
        # A hard integer may lie beyond the numbers that the index ranges over: as weights it has no value there.
        return len({one.tensor.shape[-1] for one in softs}) == 1 and (exact or len(softs) == 2)
    return len({type(one) for one in softs}) == 1 and isinstance(softs[0], SoftBool | SoftCount)
