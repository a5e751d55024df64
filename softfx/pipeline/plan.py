"""Planning: one decision for each site, made before anything is touched.

Planning is a run whose result is thrown away: the interpreter meets every call under the policy's wishes, and the
evidence says which sites' soft values reach a real number. A captured graph that holds the whole call is run on shapes
alone; where the original Python will run, it is tried on its example inputs, so that branches and reads of values are
met, too. A site whose value never reaches a real number is blocked, with the consumers that cut it, or kept where it
only leaves the model as an integer. `check` and `diff` stop here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from softfx.capture.program import Program
from softfx.control.masks import MASKED
from softfx.decisions.evidence import Evidence, SiteEvidence
from softfx.decisions.policy import Policy
from softfx.decisions.site import EXCHANGE, Decision
from softfx.decisions.sites import Lift, Sites
from softfx.errors import BlockedError
from softfx.locations import shown_place
from softfx.ops.spelling import INDEX
from softfx.pipeline.rewrite import rewrite
from softfx.rules.control import MEMBERSHIP

__all__ = ["plan", "settle", "settle_alone", "settle_neighbours"]


_WRITES = "no choice is exchanged in further runs, for the call changes what it is given or keeps"


def plan(program: Program, policy: Policy, trial: Callable[[Sites, Evidence], None]) -> tuple[Sites, Evidence]:
    """The sites of `program`, each decided, and the evidence that the decisions are made of.

    trial: runs the original Python under decisions in the making; for a program that its graph does not hold.
    """
    sites, evidence = Sites(policy), Evidence()
    evidence.meets_infinities = not program.finite
    changed = (program.touched, program.written, program.changed_buffers, program.changed_attributes)
    evidence.changes_given = any(changed)
    by_members = policy.decides_members and _selects_by_masks(program)
    pending = True
    while pending:  # a block that a site lifts may hold more of them
        left, views = len(evidence.to_leave), len(evidence.written_views)
        failure = _failure(program, trial, sites, evidence, by_members)
        pending = sites.lift(_lifts(sites, evidence), _to_leave(evidence))
        other_calls = len(evidence.written_views) > views  # look-ups that are other calls from now on
        if failure is not None and not other_calls and not (pending and len(evidence.to_leave) > left):
            raise failure
        if other_calls or _turns_members(sites, evidence):
            evidence.forget_sites()
            pending = True
        elif pending and len(evidence.to_leave) > left:  # what the run saw arrive went through what is left from now on
            evidence.forget_deliveries()
    if any(decision.rule is MEMBERSHIP and decision.acts for decision in sites):
        program.add_obstacle("the elements of a mask are decisions, for which the call is run again")
    evidence.follows_all = _follows_all(program) and not (evidence.writes or evidence.custom_functions)
    settle(sites, evidence, range(len(sites)))
    _keep_idle(program, sites, evidence)
    evidence.follows_all = False  # what later calls meet was seen by no capture
    return sites, evidence


def _selects_by_masks(program: Program) -> bool:
    """Return True if a call is met that may give its result the shape of a mask."""
    return any(INDEX.of(node.target).operation in MASKED for node in program.graph.nodes if callable(node.target))


def _turns_members(sites: Sites, evidence: Evidence) -> bool:
    """Have the elements of masks turned where the rows that they select arrive nowhere; True if there are such."""
    rows = evidence.control.rows
    lost = [site for site, (_, behind) in rows.items() if not all(_arrives(evidence.of(made)) for made in behind)]
    for site in lost:
        sites.replace(rows.pop(site)[0])
    evidence.control.turned_members.update(lost)
    return bool(lost)


def _arrives(seen: SiteEvidence) -> bool:
    """Return True if all that uses a soft value takes it, or if the rows leave the call, of whatever shape they are."""
    return seen.returned_rows or (seen.reached_real and all(seen.losses.values()))


def _failure(
    program: Program, trial: Callable[[Sites, Evidence], None], sites: Sites, evidence: Evidence, tried: bool
) -> Exception | None:
    """Run the program once under decisions in the making; what it raises, which may come of what is made otherwise.

    tried: the original Python runs, though a graph holds the call.
    """
    try:
        if program.seen.obstacles or tried:
            trial(sites, evidence)
        else:
            rewrite(program, sites, evidence, planning=True)
    except Exception as error:
        return error
    return None


def _keep_idle(program: Program, sites: Sites, evidence: Evidence) -> None:
    """Keep what acts to no effect where a graph shows where derivatives lead: runs count more than arrives."""
    if program.seen.obstacles or evidence.custom_functions:
        return
    doubtful = {d.id for d in sites if d.acts and d.is_exact and (evidence.writes or evidence.of(d.id).losses)}
    for site in doubtful.intersection(rewrite(program, sites, evidence).idle) if doubtful else ():
        if (kept := _kept_for_ends(sites[site], evidence.of(site))) is not None:
            sites.replace(kept)


def _follows_all(program: Program) -> bool:
    """Return True if nothing but reads of values stands in the way of a graph: all else was seen as it happened."""
    reads = {f"{item.reason} ({shown_place(item.file, item.line)})" for item in program.seen.breaks}
    return reads.issuperset(program.seen.obstacles)


def settle(sites: Sites, evidence: Evidence, met: Iterable[int]) -> None:
    """Settle the decisions about the sites that a planning run met, by its evidence.

    Blocks and detachments that the policy allows to lift are lifted from the next run on.
    """
    sites.lift(_lifts(sites, evidence), _to_leave(evidence))
    evidence.control.spreads.settle()
    met = list(met)
    for site in met:
        sites.replace(_settled(sites[site], evidence))
    for site in met:
        sites.replace(sites[site].decided_about(_is_decided_about(sites[site], sites, evidence)))
    _raise_for_blocked(sites)


def settle_alone(sites: Sites, evidence: Evidence) -> None:
    """Settle which choices are all that learns of what they make, by what a run on tensors that learn has seen."""
    for decision in list(sites):
        seen = evidence.of(decision.id)
        sites.replace(decision.learning_alone(seen.learns and not seen.meets_learned))


def settle_neighbours(sites: Sites, evidence: Evidence) -> None:
    """Settle which choices are exchanged: those that a loss is made of once, beside numbers that learn, too.

    Where these are not chosen they learn nothing of the loss that they would give.
    """
    evidence.awaits_learning = False
    for decision in list(sites):
        seen = evidence.of(decision.id)
        wanted = decision.is_selection_by_auto and decision.acts and EXCHANGE in decision.rule.estimators
        evidence.awaits_learning = evidence.awaits_learning or (wanted and not seen.learns)
        wanted = wanted and seen.learns and seen.of_one_row and seen.meets_learned and evidence.gives_number
        sites.replace(decision.with_neighbours(wanted and not evidence.changes_given))
        if (wanted or decision.is_exchanged) and evidence.changes_given:
            evidence.exchanges[_WRITES] = None


def _lifts(sites: Sites, evidence: Evidence) -> frozenset[Lift]:
    """The blocks and detachments that the policy allows to lift and in which sites end that reach no result."""
    found = {Lift.at(block) for block in evidence.blocks_to_lift}
    for decision in sites:
        seen = evidence.of(decision.id)
        if not decision.acts or seen.delivered:
            continue
        block = seen.ends_without_gradients_at
        if decision.resolved.lift_no_grad and block is not None and ("no_grad", block) not in evidence.to_leave:
            found.add(Lift.at(block))
            seen.ends_without_gradients_at = None
        if decision.resolved.lift_detach:
            left = {place for kind, place in evidence.to_leave if kind == "detach"}
            places = seen.operands_detached_at | ({seen.detached_at} if seen.detached_at else set())
            found.update(Lift.at(place, "detach") for place in places - left)
            seen.operands_detached_at &= left
            seen.detached_at = seen.detached_at if seen.detached_at in left else None
    return frozenset(found)


def _to_leave(evidence: Evidence) -> frozenset[Lift]:
    """The blocks and detachments that stay as they are."""
    return frozenset(
        Lift("detach" if what == "detach" else "no_grad", at.file, at.line) for what, at in evidence.to_leave
    )


def _is_decided_about(decision: Decision, sites: Sites, evidence: Evidence) -> bool:
    """Return True if another decision of the same module is about what this one makes, and about nothing else of it.

    Not in a loop that comes back to it, where a soft value would drift from the hard one from step to step.
    """
    seen = evidence.of(decision.id)
    if not decision.acts or seen.mixed:
        return False
    after, ways = set[int](), list(seen.decided_by)
    while ways:
        if (site := ways.pop()) not in after:
            after.add(site)
            ways += evidence.of(site).decided_by
    module = decision.location.module
    here = (sites[site] for site in seen.decided_by)
    return decision.id not in after and any(other.acts and other.location.module == module for other in here)


def _settled(decision: Decision, evidence: Evidence) -> Decision:
    """The decision about a site in the light of what a run saw of it."""
    if not decision.acts:
        return decision
    if decision.rule.family == "control":
        return _control(decision, evidence)
    seen = evidence.of(decision.id)
    decision = decision.joined(seen.joint).selecting(seen.selects)
    if (kept := _kept_for_detachment(decision, seen, evidence)) is not None:
        return kept
    if not seen.reached_real:
        return _without_real_number(decision, seen)
    refused = [reason for reason, hopeless in seen.losses.items() if not hopeless]
    if refused and not decision.resolved.allow_partial:
        return decision.blocked(
            f"allow_partial = false, and one of its consumers takes hard values: {'; '.join(refused)}"
        )
    if evidence.follows_all and not seen.delivered and (kept := _kept_for_ends(decision, seen)) is not None:
        return kept
    block = seen.ends_without_gradients_at
    if block is not None and not seen.delivered and not decision.reason:
        left = evidence.to_leave.get(("no_grad", block))
        where = shown_place(block.file, block.line)
        remedy = "lift_no_grad = true lifts it" if left is None else f"such a block is not lifted, for {left}"
        return replace(decision, reason=f"a no_grad block of the program ({where}) cuts what it reaches; {remedy}")
    return decision


def _control(decision: Decision, evidence: Evidence) -> Decision:
    """The decision about a control site: it acts unless nothing that it read has a probability."""
    seen = evidence.control.of(decision.id)
    if seen.unknown and not seen.known:
        return decision.blocked("no rule gives what it reads a probability")
    return decision


def _kept_for_ends(decision: Decision, seen: SiteEvidence) -> Decision | None:
    """The decision to keep a site that reaches real numbers, none of which is a result or leads to one."""
    if seen.ends_without_gradients_at is not None or seen.detached_at is not None:
        return None
    if decision.action == "soft" and decision.resolved.named:
        return None
    if seen.ends:
        return decision.kept(f"its derivative reaches no result of the call: it ends in {', '.join(seen.ends)}")
    if seen.losses:
        return decision.kept(f"its derivative reaches no result of the call: {'; '.join(seen.losses)}")
    if seen.returned_as:
        return decision.kept(_returned(seen))
    return decision.kept("its derivative reaches no result of the call")


def _returned(seen: SiteEvidence) -> str:
    return (
        f"its value only leaves the model as {seen.returned_as}, which carries no gradient; "
        'action = "soft" returns the number it is worth'
    )


def _kept_for_detachment(decision: Decision, seen: SiteEvidence, evidence: Evidence) -> Decision | None:
    """The decision to keep a site all of whose derivative the program detaches, unless the policy names it."""
    if seen.detached_at is None or seen.delivered or evidence.custom_functions:
        return None
    if seen.reached_real and decision.resolved.named:
        return None
    where = shown_place(seen.detached_at.file, seen.detached_at.line)
    how = "name it to act on it, or lift_detach = true" if seen.reached_real else "lift_detach = true lifts that"
    if (left := evidence.to_leave.get(("detach", seen.detached_at))) is not None:
        how = f"such a detachment is not lifted, for {left}"
        return decision.kept(f"the program detaches what it reaches ({where}): {how}")
    return decision.kept(f"the program detaches what it reaches ({where}), as straight-through code does; {how}")


def _without_real_number(decision: Decision, seen: SiteEvidence) -> Decision:
    """The decision about a site whose soft values reached no real number."""
    if seen.operands_detached_at and not seen.losses and not seen.returned_as:
        return decision.kept(
            "the program detaches its operands, so that no gradient could pass; lift_detach = true lifts that"
        )
    if seen.losses and all(seen.losses.values()):
        return decision.kept(f"what uses it has no derivative: {'; '.join(seen.losses)}")
    if seen.losses:
        return decision.blocked("; ".join(seen.losses))
    if seen.returned_as:
        return decision.kept(_returned(seen))
    if seen.returned_rows:
        return decision.kept("the rows that a mask selects leave the model: how many there are has no derivative")
    if seen.ends:
        return decision.kept(f"what uses it gives no derivative back: {', '.join(seen.ends)}")
    return decision.kept("nothing that has a derivative uses its value" if seen.uses else "nothing uses its value")


def _raise_for_blocked(sites: Sites) -> None:
    """Raise for blocked sites under a policy that does not allow any."""
    blocked = [d for d in sites if d.action == "blocked" and d.resolved.on_blocked == "error"]
    if blocked:
        lines = [
            f"{shown_place(d.location.file, d.location.line)}: {d.rule.name} is blocked: {d.reason}." for d in blocked
        ]
        end = 'The policy says on_blocked = "error". Keep these sites, or take on_blocked = "keep".'
        raise BlockedError("\n".join([*lines, end]))
