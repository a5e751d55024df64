"""The contracts of softfx on generated programs.

Of programs whose inputs hold NaN or infinities a few have other derivatives there (the largest of numbers with a NaN
among them has one for that entry alone), or soft values that are not finite; under "smooth", what is asked of selected
rows and returned may be asked of all rows. At most one of a chunk may deviate so; all else holds for every program.
"""

from __future__ import annotations

import pytest

from tests.generated.contracts import Deviation, deviations
from tests.generated.programs import Program, make
from tests.generated.running import build
from tests.generated.seeds import CHUNKS, smallest


def kinds(program: Program) -> set[str]:
    """The kinds of deviation of a program."""
    return {deviation.kind for deviation in deviations(build(program))}


def is_known_limit(program: Program, found: list[Deviation]) -> bool:
    """Return True if all that deviates is soft values, or what NaN or infinite inputs make of derivatives."""
    if all(kind == "value: smooth" for kind, _ in found):
        return True
    concerned = ("gradient" in kind or "not finite" in detail for kind, detail in found)
    return program.is_special and all(concerned)


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_generated_programs_keep_the_contracts(seeds: range) -> None:
    told: list[str] = []
    limits = 0
    for seed in seeds:
        program = make(seed)
        found = deviations(build(program))
        if found and is_known_limit(program, found):
            limits += 1
        elif found:
            texts = "".join(f"{deviation.kind}: {deviation.detail}\n" for deviation in found)
            told.append(f"seed {seed}: {texts}{smallest(program, found[0].kind, kinds)}")
    assert not told, "\n".join(told)
    assert limits <= 1
