"""What the bytecode says about a read: that it guards, or that Python itself asks.

A condition guards by `assert` or a raise behind `if`: one way of it has no result, and it is not turned. From the jump
that the read feeds, one of the two ways ends in a raise, however it goes on. Where the read feeds no jump, Python asks:
within a comparison of tuples, a search in a list, a call of another function.
"""

from __future__ import annotations

import dis
import re
from types import CodeType

__all__ = ["guards", "is_condition", "read_by"]

_STRAIGHT = frozenset({"PRECALL", "CALL", "TO_BOOL", "UNARY_NOT", "NOP", "CACHE", "EXTENDED_ARG", "COPY"})
_ENDS = frozenset({"RETURN_VALUE", "RETURN_CONST", "RERAISE", "YIELD_VALUE", "SEND"})
_JUMPS = frozenset({*dis.hasjrel, *dis.hasjabs})
_ALWAYS = frozenset({"JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT"})
# The code is kept, so that its number stays its own.
_known: dict[int, tuple[CodeType, dict[int, bool]]] = {}
_asked: dict[int, tuple[CodeType, dict[int, bool]]] = {}
_BESIDE = frozenset({"CACHE", "EXTENDED_ARG", "NOP"})
_TRUTHS = ("TO_BOOL", "UNARY_NOT")
_IS_TAKEN = re.compile(r"POP_JUMP_\w*IF_(TRUE|FALSE)").fullmatch  # a jump that leaves nothing of what it reads


def guards(code: CodeType, offset: int) -> bool:
    """Return True if the value that an instruction reads decides whether an error is raised.

    >>> def root(x):
    ...     if x < 0:
    ...         raise ValueError(x)
    ...     return x**0.5
    >>> reads = [step.offset for step in dis.get_instructions(root) if "JUMP" in step.opname]
    >>> [guards(root.__code__, offset) for offset in reads]
    [True]
    """
    _, known = _known.setdefault(id(code), (code, {}))
    if offset not in known:
        known[offset] = _guards(list(dis.get_instructions(code)), offset)
    return known[offset]


def is_condition(code: CodeType, offset: int) -> bool:
    """Return True if the program's own `if`, `while`, `not`, `and` or `or` reads a value at an instruction.

    >>> def least(x, y):
    ...     return x if x == y else min((x, 1), (y, 2))
    >>> [is_condition(least.__code__, step.offset) for step in dis.get_instructions(least) if step.opname == "CALL"]
    [False]
    """
    _, known = _asked.setdefault(id(code), (code, {}))
    if offset not in known:
        known[offset] = any(
            step.offset == offset and (step.opcode in _JUMPS or step.opname in _STRAIGHT - {"CALL", "PRECALL"})
            for step in dis.get_instructions(code)
        )
    return known[offset]


def read_by(code: CodeType, offset: int) -> int | None:
    """The instruction that reads the result of a comparison at an offset, where it is at once and for its truth alone.

    Nothing else sees that result then. None where something may: it is kept, passed on, or made by a call.

    >>> def least(x, y):
    ...     smaller = x < y
    ...     return x if x < y else smaller
    >>> found = [step for step in dis.get_instructions(least) if step.opname == "COMPARE_OP"]
    >>> [read_by(least.__code__, step.offset) is not None for step in found]
    [False, True]
    """
    steps = dis.get_instructions(code)
    step = next((step for step in steps if step.offset == offset), None)
    if step is None or step.opname != "COMPARE_OP":
        return None
    if step.argrepr.startswith("bool("):  # from Python 3.13 on one instruction compares and reads
        return offset
    reads = next((step for step in steps if step.opname not in _BESIDE), None)
    if reads is None or not (reads.opname in _TRUTHS or _IS_TAKEN(reads.opname)):
        return None
    return reads.offset


def _guards(steps: list[dis.Instruction], offset: int) -> bool:
    places = {step.offset: place for place, step in enumerate(steps)}
    place = places[offset]
    while steps[place].opcode not in _JUMPS:
        if steps[place].opname not in _STRAIGHT:
            return False
        place += 1
    ways = (place + 1, places[steps[place].argval])
    return any(_raises(steps, places, way) for way in ways)


def _raises(steps: list[dis.Instruction], places: dict[int, int], place: int) -> bool:
    """Return True if every way from here on ends in a raise."""
    waiting, seen, raises = [place], set(), False
    while waiting:
        place = waiting.pop()
        step = steps[place]
        if place in seen:
            continue
        seen.add(place)
        if step.opname == "RAISE_VARARGS":
            raises = True
            continue
        if step.opname in _ENDS:
            return False
        if step.opcode in _JUMPS:
            waiting.append(places[step.argval])
        if step.opname not in _ALWAYS:
            waiting.append(place + 1)
    return raises
