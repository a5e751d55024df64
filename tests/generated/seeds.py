"""Which programs `pytest -m fuzz` makes: FUZZ_COUNT (500) of each kind from seed FUZZ_SEED (0) on, of the environment.

They are tried in chunks, a test each, so that several processes share them. A failure is told with the smallest program
that still fails in that way.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from tests.generated.programs import Program
from tests.generated.shrink import shrink

__all__ = ["CHUNKS", "smallest"]

_SEED = int(os.environ.get("FUZZ_SEED", "0"))
_COUNT = int(os.environ.get("FUZZ_COUNT", "500"))
_SIZE = 10
CHUNKS = [range(start, min(start + _SIZE, _SEED + _COUNT)) for start in range(_SEED, _SEED + _COUNT, _SIZE)]


def smallest(program: Program, kind: str, kinds: Callable[[Program], set[str]]) -> str:
    """The text of a smaller program that deviates in the same way.

    kinds: the kinds of deviation of a program.
    """

    def fails(candidate: Program) -> bool:
        try:
            return kind in kinds(candidate)
        except Exception:  # it does not run any more
            return False

    small = shrink(program, fails, most=25)
    inputs = [f"{name} = {expression}" for name, expression in small.inputs]
    return "".join(f"       {line}\n" for line in (*inputs, *small.statements, f"return {small.result}"))
