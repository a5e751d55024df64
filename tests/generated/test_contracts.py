"""The contracts of softfx on generated programs.

Of programs whose inputs hold NaN or infinities a few have derivatives or soft values that are not finite where the
original's are: at most one of a chunk may. All else holds for every program.
"""

from __future__ import annotations

import pytest

from tests.generated.contracts import Deviation, deviations
from tests.generated.programs import Program, make
from tests.generated.running import build
from tests.generated.seeds import CHUNKS, smallest

_NOT_FINITE = "not finite"


def kinds(program: Program) -> set[str]:
    """The kinds of deviation of a program."""
    return {deviation.kind for deviation in deviations(build(program))}


def is_of_special_inputs(program: Program, found: list[Deviation]) -> bool:
    """Return True if NaN or infinite inputs give something that is not finite, and that is all."""
    return program.is_special and all(_NOT_FINITE in deviation.kind + deviation.detail for deviation in found)


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_generated_programs_keep_the_contracts(seeds: range) -> None:
    told: list[str] = []
    special = 0
    for seed in seeds:
        program = make(seed)
        found = deviations(build(program))
        if found and is_of_special_inputs(program, found):
            special += 1
        elif found:
            texts = "".join(f"{deviation.kind}: {deviation.detail}\n" for deviation in found)
            told.append(f"seed {seed}: {texts}{smallest(program, found[0].kind, kinds)}")
    assert not told, "\n".join(told)
    assert special <= 1
