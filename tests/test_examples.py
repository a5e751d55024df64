"""Every script in examples/ runs, in under a minute where nothing else does, and what it asserts holds.

A busy machine makes them slow and nothing more: the one limit is pytest's own, of a test that hangs.

A script that needs a package beyond torch and rich says so in its docstring, in a line "Requires: name, name"; where
one of them is missing it is skipped.
"""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "examples" / "README.md").read_text()
CONTROL = sorted({*(ROOT / "examples" / "control").glob("*.py")} - {ROOT / "examples" / "control" / "tuning.py"})
SCRIPTS = [*sorted((ROOT / "examples").glob("*.py")), *CONTROL]


def requirements(script: Path) -> list[str]:
    """The packages that a script names in its docstring."""
    lines = (ast.get_docstring(ast.parse(script.read_text())) or "").splitlines()
    named = [line.removeprefix("Requires:") for line in lines if line.startswith("Requires:")]
    return [name.strip(" .") for line in named for name in line.split(",")]


def name_of(script: Path) -> str:
    """The script as the README names it."""
    return script.relative_to(ROOT / "examples").as_posix()


def interpreter() -> list[str | Path]:
    """Python; where torchvision is installed, which may be built for another torch, with its operators mended first."""
    if importlib.util.find_spec("torchvision") is None:
        return [sys.executable]
    mended = "import pathlib, runpy, sys; sys.path.insert(0, {!r}); import tv_shim; sys.argv = sys.argv[1:]; {}"
    run = "sys.path[0] = str(pathlib.Path(sys.argv[0]).parent); runpy.run_path(sys.argv[0], run_name='__main__')"
    return [sys.executable, "-c", mended.format(str(ROOT / "tests" / "zoo"), run)]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_runs_and_its_figures_hold(script: Path, tmp_path: Path) -> None:
    missing = [name for name in requirements(script) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    quick = ["--quick"] if '"--quick"' in script.read_text() or script in CONTROL else []
    run = subprocess.run([*interpreter(), script, *quick], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip(), "it prints what it found"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_readme_lists_it_with_what_it_needs(script: Path) -> None:
    (row,) = [row for row in README.splitlines() if row.startswith(f"| [{script.stem}]({name_of(script)}) |")]
    needs = row.split("|")[3].split(",")
    assert [name.strip() for name in needs if name.strip()] == requirements(script)


def test_the_readme_lists_no_example_that_is_not_there() -> None:
    assert {name_of(script) for script in SCRIPTS} == set(re.findall(r"\(([\w/]+\.py)\)", README))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_it_says_what_it_shows(script: Path) -> None:
    assert ast.get_docstring(ast.parse(script.read_text()))
