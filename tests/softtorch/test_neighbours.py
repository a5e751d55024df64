"""The other distribution with this import name is noticed, whichever of the two was installed last."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import pytest

import softtorch
from softfx.errors import MissingPackageError
from softfx.operators import check_operators
from softtorch.neighbours import notice

ROOT = Path(__file__).parents[2]


def test_the_other_distribution_beside_this_one_is_told_in_one_line(tmp_path: Path) -> None:
    package = tmp_path / "softtorch"
    package.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        notice(package)
        (tmp_path / "softfx-0.2.0.dist-info").mkdir()
        notice(package)
    (tmp_path / "softtorch-0.1.1.dist-info").mkdir()
    with pytest.warns(UserWarning, match=r"two distributions with the import name softtorch .*pip uninstall") as told:
        notice(package)
    assert "\n" not in str(told[0].message)


def test_import_asks_for_the_neighbour(tmp_path: Path) -> None:
    """This package in a folder where pip has installed the other one, too."""
    (tmp_path / "softtorch").symlink_to(ROOT / "softtorch")
    (tmp_path / "softtorch-0.1.1.dist-info").mkdir()
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import softtorch"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert "two distributions with the import name softtorch" in run.stderr


def test_softfx_says_that_its_operators_were_written_over(monkeypatch: pytest.MonkeyPatch) -> None:
    check_operators()
    monkeypatch.delattr(softtorch, "__distribution__")
    with pytest.raises(MissingPackageError, match=r"is another distribution's, .*pip uninstall -y softtorch softfx"):
        check_operators()
