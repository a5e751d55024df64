"""What a run as decided shows: the sites that stand in a gradient's way, whether one comes through, what is left of it.

The captured graph is walked from the placeholder of each such parameter or input, up to the first sites on every path
whose derivative is zero or missing. Then the call is made once as decided, and its autograd graph tells
what it reaches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from torch import fx

from softfx.capture.program import Program
from softfx.decisions.evidence import Cut
from softfx.decisions.sites import Sites
from softfx.locations import Location
from softfx.ops.calls import Args, Kwargs
from softfx.pipeline.execute import Eager

__all__ = ["look_at_run"]

_CUTTING = ("discrete", "random")


def look_at_run(program: Program, eager: Eager, target: Any, args: Args, kwargs: Kwargs) -> None:
    """Note what a run as decided shows: which gradients arrive, and in which attributes a derivative is left."""
    _look_upstream(program, eager, target, args, kwargs)
    changes = program.changed_buffers or program.changed_attributes
    if changes and any(decision.acts for decision in eager.sites):
        _look_at_left(program, eager, target, args, kwargs)


def _look_at_left(program: Program, eager: Eager, target: Any, args: Args, kwargs: Kwargs) -> None:
    """Note the buffers whose derivative has to end before the next call, and the attributes where it may have to."""
    has, buffers, attributes = "has", sorted(program.changed_buffers), sorted(program.changed_attributes)
    try:
        buffers, attributes = eager.left(target, args, kwargs, program)
    except Exception as error:  # with relaxed values a program may come to where it refuses them: any may be left
        has = f"may have (the softened call raised {type(error).__name__})"
    eager.evidence.left_buffers, eager.evidence.left_attributes = tuple(buffers), tuple(attributes)
    places = [(f"the buffer {name}", "the next call") for name in buffers]
    for place, until in places + [(name, "the next backward pass") for name in attributes]:
        text = f"what a call leaves in {place} {has} a derivative up to {until}, the original's has none"
        eager.evidence.cuts[Cut(text, eager.place.file, eager.place.line)] = None


def _look_upstream(program: Program, eager: Eager, target: Any, args: Args, kwargs: Kwargs) -> None:
    """Note in `program.seen` what cuts the names that no gradient reaches, and which of them `eager` reaches."""
    unreached = program.seen.unreached
    if not unreached:
        return
    program.seen = replace(program.seen, upstream=_cutting_sites(program, eager.sites))
    if not any(decision.acts for decision in eager.sites):
        return
    try:
        still = set(eager.unreached(target, args, kwargs, program.touched))
    except Exception as error:  # with relaxed values a program may come to where it refuses them: that is its own
        text = next(iter(str(error).strip().splitlines()), "")
        program.seen = replace(program.seen, not_tried=f"the softened call raised {type(error).__name__}: {text}")
    else:
        program.seen = replace(program.seen, gained=tuple(name for name in unreached if name not in still))


def _cutting_sites(program: Program, sites: Sites) -> dict[str, list[int]]:
    """For each name that no gradient reaches the ids of the first sites that cut it; none where no site does."""
    at: dict[Location, list[int]] = {}
    for decision in sites:
        if decision.rule.family in _CUTTING:
            at.setdefault(_place(decision.location), []).append(decision.id)
    starts = _placeholders(program)
    return {name: found for name in program.seen.unreached if (found := _first_sites(starts.get(name, ()), at))}


def _place(location: Location) -> Location:
    """What of a location is the same in the capture and in the plan."""
    return Location(location.file, location.line, location.module, location.position)


def _placeholders(program: Program) -> dict[str, list[fx.Node]]:
    """The nodes of parameters by their dotted names, and of inputs by the names that a report gives them."""
    found: dict[str, list[fx.Node]] = {}
    for node in program.graph.nodes:
        if node.op == "placeholder" and (name := program.attributes.get(node.name)) is not None:
            found.setdefault(name, []).append(node)
    for name, node in zip(program.input_names, program.inputs, strict=True):
        found.setdefault(name, []).append(node)
    return found


def _first_sites(starts: Iterable[fx.Node], at: Mapping[Location, list[int]]) -> list[int]:
    pending, seen, found = list(starts), set(starts), set[int]()
    while pending:
        for user in pending.pop().users:
            if user in seen:
                continue
            seen.add(user)
            location = user.meta.get("location")
            cutting = at.get(_place(location)) if location is not None else None
            if cutting:
                found.update(cutting)
            else:
                pending.append(user)
    return sorted(found)
