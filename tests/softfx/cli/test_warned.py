"""A warning about the user's code names the user's line, whoever gave it."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from tests.softfx.cli.programs import Run

WARNS = """\
import warnings
import torch


def helper(x):
    warnings.warn("of a package", stacklevel=2)
    return x.round()


def warner(x):
    y = helper(x)
    return y * torch.tensor(x)
"""


def test_warnings_are_attributed_to_the_users_lines(
    softfx: Run, models: Path, recwarn: pytest.WarningsRecorder
) -> None:
    path = models.with_name("warns.py")
    path.write_text(WARNS)
    show = warnings.showwarning
    warnings.simplefilter("always")
    assert softfx("check", "warns.py:warner", "--input", "4", "--function").status == 1  # torch.tensor(x) is blocked
    assert warnings.showwarning is show
    told = {(Path(each.filename).name, each.lineno, str(each.message)[:12]) for each in recwarn}
    assert told == {("warns.py", 11, "of a package"), ("warns.py", 12, "To copy cons")}
