"""The original's run lends to a traced graph what a trace does not know: exact positions, and obstacles that it misses.

A trace knows the line of a call but not the position on it, by which a loop's iterations are one site and two calls on
a line are two. What stood in the original's way stands in every graph's, whether its tracer has seen it or not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import replace
from typing import NamedTuple

from torch import fx

from softfx.capture import effects
from softfx.capture.program import Program
from softfx.locations import Location
from softfx.report.record import Break

__all__ = ["CallKey", "align", "possible_sites", "with_obstacles"]


class CallKey(NamedTuple):
    """The part of a call that two captures of one program agree on."""

    operation: str
    file: str
    line: int
    module: str


def keyed_calls(program: Program) -> list[tuple[CallKey, fx.Node]]:
    """The calls of operations that have a rule, in order."""
    found = []
    for node in program.graph.nodes:
        location: Location | None = node.meta.get("location")
        if node.op != "call_function" or location is None:
            continue
        if (operation := effects.operation_name(effects.function_called(node))) is not None:
            found.append((CallKey(operation, location.file, location.line, location.module), node))
    return found


def align(program: Program, original: Program) -> None:
    """Give each call the location it has in the original, found by its operation, line, module and turn.

    A call that the original's run does not show is told apart by its turn.
    """
    locations: dict[CallKey, list[Location]] = defaultdict(list)
    for key, node in keyed_calls(original):
        locations[key].append(node.meta["location"])
    turns: Counter[CallKey] = Counter()
    for key, node in keyed_calls(program):
        turn, known = turns[key], locations[key]
        turns[key] += 1
        if known and len(set(known)) == 1:
            node.meta["location"] = known[0]
        elif turn < len(known):
            node.meta["location"] = known[turn]
        else:
            node.meta["location"] = node.meta["location"]._replace(position=(turn,))


def possible_sites(program: Program, dynamic: Set[fx.Node]) -> set[CallKey]:
    """The calls that have a derivative to lose: operations that may be sites, on operands that are not constants."""
    return {key for key, node in keyed_calls(program) if node in dynamic and _may_be_site(node)}


def _may_be_site(node: fx.Node) -> bool:
    args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda operand: operand.meta.get("val"))
    return effects.may_be_site(effects.function_called(node), args, kwargs)


def with_obstacles(program: Program, original: Program, sites: Set[CallKey]) -> Program:
    """`program` with the obstacles of the original, and one for each of `sites` that it does not show."""
    shown = {(key.operation, key.file, key.line) for key, _ in keyed_calls(program)}
    lost = sorted({(key.operation, key.file, key.line) for key in sites} - shown)
    missing = [f"the traced graph has no {operation} for {file}:{line}" for operation, file, line in lost]
    obstacles = dict.fromkeys([*original.seen.obstacles, *program.seen.obstacles, *missing])
    breaks: dict[tuple[str, str, int], Break] = {}
    for item in (*original.seen.breaks, *program.seen.breaks):
        breaks.setdefault((item.reason, item.file, item.line), item)
    seen = replace(program.seen, obstacles=tuple(obstacles), breaks=tuple(breaks.values()))
    return replace(program, seen=seen)
