"""Every study runs at its quick size and reaches the outcome that it asserts; its page is made of its own words.

`-m studies` runs the default sizes, minutes each.
"""

import ast
import importlib
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.test_examples import interpreter, requirements

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "docs" / "studies"
INDEX = (PAGES / "README.md").read_text()
SCRIPTS = [path for path in sorted((ROOT / "examples" / "studies").glob("*.py")) if path.stem != "study"]
SCRIPT = pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)


def run(script: Path, out: Path, *flags: str) -> Path:
    """The page of one run."""
    missing = [name for name in requirements(script) if importlib.util.find_spec(name) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    done = subprocess.run([*interpreter(), script, *flags, "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out / f"{script.stem}.md"


@SCRIPT
def test_its_quick_size_reaches_its_outcome_and_writes_its_page(script: Path, tmp_path: Path) -> None:
    page = run(script, tmp_path, "--quick").read_text()
    command = f"python examples/studies/{script.name} --quick"
    assert page.count("```text") == len(re.findall(rf"```text\n{re.escape(command)}\n```", page)) > 0
    # The same tables and claims stand in docs/, of whatever size and machine.
    assert re.findall("^## .*$", page, re.M) == re.findall("^## .*$", published(script), re.M)


@pytest.mark.studies
@SCRIPT
def test_its_default_size_reaches_its_outcome(script: Path, tmp_path: Path) -> None:
    run(script, tmp_path)


@SCRIPT
def test_its_page_has_its_own_words_and_the_command_under_each_table(script: Path) -> None:
    title, _, body = (ast.get_docstring(ast.parse(script.read_text())) or "").partition("\n")
    page = published(script)
    assert page.startswith(f"# {title.rstrip('.')}\n\n{body.strip()}\n")
    assert "**By hand.**" in body and "**What did not work.**" in body
    commands = re.findall(r"```text\n(.*)\n```", page)
    assert len(commands) == len(re.findall(r"^\| --- \|", page, re.M)) > 0
    assert all(command.startswith(f"python examples/studies/{script.name}") for command in commands)


@SCRIPT
def test_the_index_lists_it(script: Path) -> None:
    assert len(re.findall(rf"^\| \[{script.stem}\]\({script.stem}\.md\) \|", INDEX, re.M)) == 1


def test_the_index_lists_nothing_that_is_not_there() -> None:
    assert set(re.findall(r"\]\((\w+)\.md\)", INDEX)) == {script.stem for script in SCRIPTS}


@pytest.mark.parametrize("text", ["0", "-1", "few"])
def test_a_size_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    with pytest.raises(SystemExit):
        study(monkeypatch, "--steps", text)
    assert "argument --steps: " in capsys.readouterr().err


def test_each_number_of_a_size_is_an_option(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = study(monkeypatch, "--steps", "7", "--names", "F1", "two words", "--seed", "3")
    assert made.size == Size(7, 5, ("F1", "two words"))
    assert list(made.seeds(2)) == [3, 4]
    assert made.command.endswith('x.py --seed 3 --steps 7 --names F1 "two words"')
    assert made.out != PAGES  # a page in docs/ is that of the plain command
    assert study(monkeypatch).out == PAGES and study(monkeypatch, "--quick").size == Size(1, 1)


def test_a_claim_that_does_not_hold_fails_the_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = study(monkeypatch, "--out", str(tmp_path))
    made.claim("this holds", True)
    made.claim("this does not", False)
    with pytest.raises(AssertionError, match=r"^this does not$"):
        made.finish()


def test_other_libraries_have_rows_only_where_they_are_installed_under_their_name() -> None:
    script = ROOT / "examples" / "studies" / "programs" / "order_peers.py"
    done = subprocess.run([sys.executable, script], input="", capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert not any("SoftTorch" in row for row in rows)  # `softtorch` is softfx's here
    assert ("torchsort's own, ranks" in rows) is (importlib.util.find_spec("torchsort") is not None)


@dataclass(frozen=True)
class Size:
    """What a study is made with, for tests."""

    steps: int
    seeds: int
    names: tuple[str, ...] = ()


def study(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Any:
    """A study of no script that was called with these flags."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "studies")
    monkeypatch.setattr(sys, "argv", ["x.py", *flags])
    made = importlib.import_module("study").Study
    return made("x.py", "A title.\n\nWords.", quick=Size(1, 1), default=Size(9, 5), full=Size(99, 5))


def published(script: Path) -> str:
    return (PAGES / f"{script.stem}.md").read_text()
