"""One decision per site, made before anything is touched.

Planning is a run whose result is thrown away: the engine meets every call under the policy's wishes and writes down
which sites' soft values reach a real number. A captured graph that holds the whole call is run on shapes alone; where
the original Python will run, it is tried on its example inputs, so that branches and reads of values are met, too.
A site whose value never does is blocked, with the consumers that cut it, or kept where it only leaves the model as an
integer. `check` and `diff` stop here.
"""

from __future__ import annotations

from collections.abc import Callable

from softfx.capture.program import Program
from softfx.decisions.policy import Policy
from softfx.decisions.sites import SiteRecord, Sites
from softfx.errors import BlockedError
from softfx.pipeline.rewrite import rewrite

__all__ = ["plan"]


def plan(program: Program, policy: Policy, trial: Callable[[Sites], None]) -> Sites:
    """The sites of `program`, each decided.

    trial: runs the original Python under decisions in the making; for a program that its graph does not hold.
    """
    sites = Sites(policy)
    pending = True
    while pending:  # a block that a site lifts may hold more of them
        if program.seen.obstacles:
            trial(sites)
        else:
            rewrite(program, sites, planning=True)
        pending = sites.lift_found()
    for record in sites:
        _settle(record, sites.opaque)
    errors = [record for record in sites if record.action == "blocked" and record.resolved.on_blocked == "error"]
    if errors:
        raise BlockedError(
            "\n".join(f"{r.location.file}:{r.location.line}: {r.rule.op} is blocked: {r.reason}." for r in errors)
            + '\nThe policy says on_blocked = "error". Keep these sites, or take on_blocked = "keep".'
        )
    return sites


def _settle(record: SiteRecord, opaque: bool) -> None:
    """Say what becomes of a site whose soft value reached nothing real."""
    if not record.acts:
        return
    left = not record.live or not record.resolved.named
    if record.detached and not record.delivered and not opaque and left:
        where = f"{record.detached.file}:{record.detached.line}"
        how = "name it to act on it, or lift_detach = true" if record.live else "lift_detach = true lifts that"
        record.keep(f"the program detaches what it reaches ({where}), as straight-through code does; {how}")
        return
    refused = [reason for reason, hopeless in record.cuts.items() if not hopeless]
    if record.live and refused and not record.resolved.allow_partial:
        record.block(f"allow_partial = false, and one of its consumers takes hard values: {'; '.join(refused)}")
    if record.live and record.switched_off and not record.delivered and not record.reason:
        where = f"{record.switched_off.file}:{record.switched_off.line}"
        record.reason = f"a no_grad block of the program ({where}) cuts what it reaches; lift_no_grad = true lifts it"
    if record.live:
        return
    if record.of_detached and not record.cuts and not record.returned:
        record.keep("the program detaches its operands, so that no gradient could pass; lift_detach = true lifts that")
    elif record.cuts and all(record.cuts.values()):
        record.keep(f"what uses it has no derivative: {'; '.join(record.cuts)}")
    elif record.cuts:
        record.block("; ".join(record.cuts))
    elif record.returned:
        record.keep(
            f"its value only leaves the model as {record.returned}, which carries no gradient; "
            'action = "soft" returns the number it is worth'
        )
    else:
        record.keep("nothing uses its value")
