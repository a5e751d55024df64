"""The contracts of softfx on generated programs: no more of them deviate than were measured to.

The count of each kind of deviation is printed, with one program for it: `pytest -m fuzz -s tests/generated`.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.generated.contracts import Deviation, deviations
from tests.generated.programs import Program, make
from tests.generated.running import build
from tests.generated.shrink import shrink

SEEDS = range(500)
# Programs with a deviation, as measured: NaN and infinite derivatives and soft values, and one error of torch itself.
MOST = 28


@pytest.mark.fuzz
@pytest.mark.timeout(0)
@pytest.mark.filterwarnings("ignore")  # of torch: programs mean nothing
def test_no_more_programs_deviate_than_were_measured_to() -> None:
    first: dict[str, tuple[Program, Deviation]] = {}
    counts: Counter[str] = Counter()
    deviating = 0
    for seed in SEEDS:
        program = make(seed)
        found = {deviation.kind: deviation for deviation in deviations(build(program))}
        deviating += bool(found)
        counts.update(found.keys())
        for kind, deviation in found.items():
            first.setdefault(kind, (program, deviation))
    print(f"\n{deviating} of {len(SEEDS)} programs deviate")
    for kind, count in counts.most_common():
        program, deviation = first[kind]
        print(f"{count:4d} {kind}; seed {program.seed}: {deviation.detail}\n{_body(shrunk(program, kind))}")
    assert deviating <= MOST, counts


def shrunk(program: Program, kind: str) -> Program:
    """A smaller program with the same kind of deviation."""

    def fails(candidate: Program) -> bool:
        try:
            return any(deviation.kind == kind for deviation in deviations(build(candidate)))
        except Exception:  # it does not run any more
            return False

    return shrink(program, fails, most=25)


def _body(program: Program) -> str:
    inputs = [f"{name} = {expression}" for name, expression in program.inputs]
    return "".join(f"       {line}\n" for line in (*inputs, *program.statements, f"return {program.result}"))
