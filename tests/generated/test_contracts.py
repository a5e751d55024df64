"""The contracts of softfx on generated programs; none may deviate."""

from __future__ import annotations

import pytest

from tests.generated.contracts import deviations
from tests.generated.programs import Program, make
from tests.generated.running import build
from tests.generated.seeds import CHUNKS, smallest


def kinds(program: Program) -> set[str]:
    """The kinds of deviation of a program."""
    return {deviation.kind for deviation in deviations(build(program))}


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
@pytest.mark.parametrize("seeds", CHUNKS, ids=str)
def test_generated_programs_keep_the_contracts(seeds: range) -> None:
    told: list[str] = []
    for seed in seeds:
        program = make(seed)
        if found := deviations(build(program)):
            texts = "".join(f"{deviation.kind}: {deviation.detail}\n" for deviation in found)
            told.append(f"seed {seed}: {texts}{smallest(program, found[0].kind, kinds)}")
    assert not told, "\n".join(told)
