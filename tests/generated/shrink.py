"""A failing program becomes a smaller one that fails in the same way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.generated.programs import Program

__all__ = ["shrink"]

_VARIABLE = re.compile(r"\b(?:v\d+(?:_\d+)?|[xnb]\d)\b")


def shrink(program: Program, fails: Callable[[Program], bool], most: int = 60) -> Program:
    """Leave out results, statements and variables of `program` as long as it fails.

    Args:
        program: one that fails.
        fails: returns True for a program with the same failure; for one that does not run at all it returns False.
        most: how many programs may be tried.
    """
    tries = 0
    again = True
    while again:
        again = False
        for smaller in _smaller(program):
            if tries == most:
                return program
            tries += 1
            if fails(smaller):
                program, again = smaller, True
                break
    return program


def _smaller(program: Program) -> Iterator[Program]:
    """Programs with one result of several, with a statement less, with a variable in place of another."""
    names = list(dict.fromkeys(_VARIABLE.findall(program.result)))
    if program.result not in names:
        yield from (replace(program, result=name) for name in names)
    for number in reversed(range(len(program.statements))):
        rest = program.statements[:number] + program.statements[number + 1 :]
        yield replace(program, statements=rest)
        made = re.match(r"(v\d+) = ", program.statements[number])
        for name, _ in program.inputs if made else ():
            yield _renamed(replace(program, statements=rest), str(made[1] if made else ""), name)
    used = set(_VARIABLE.findall("\n".join((*program.statements, program.result))))
    needed = tuple(pair for pair in program.inputs if pair[0] in used)
    if 0 < len(needed) < len(program.inputs):
        yield replace(program, inputs=needed)


def _renamed(program: Program, old: str, new: str) -> Program:
    def renamed(text: str) -> str:
        return re.sub(rf"\b{old}\b", new, text)

    return replace(program, statements=tuple(map(renamed, program.statements)), result=renamed(program.result))
