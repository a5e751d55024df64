"""Every study runs at its quick size and reaches the outcome that it asserts; its page is made of its own words.

`-m studies` runs the default sizes, minutes each.
"""

import ast
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

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
def test_its_page_has_its_own_words_a_picture_and_the_command_under_each_table(script: Path) -> None:
    title, _, body = (ast.get_docstring(ast.parse(script.read_text())) or "").partition("\n")
    page = published(script)
    assert page.startswith(f"# {title.rstrip('.')}\n\n{body.strip()}\n")
    assert "**By hand.**" in body and "**What did not work.**" in body
    commands = re.findall(r"```text\n(.*)\n```", page)
    assert len(commands) == len(re.findall(r"^\| --- \|", page, re.M)) > 0
    assert all(command.startswith(f"python examples/studies/{script.name}") for command in commands)
    assert page.count(f"]({script.stem}.png)") == 1 and (PAGES / f"{script.stem}.png").exists()


@SCRIPT
def test_the_index_lists_it(script: Path) -> None:
    assert len(re.findall(rf"^\| \[{script.stem}\]\({script.stem}\.md\) \|", INDEX, re.M)) == 1


def test_the_index_lists_nothing_that_is_not_there() -> None:
    assert set(re.findall(r"\]\((\w+)\.md\)", INDEX)) == {script.stem for script in SCRIPTS}


@pytest.mark.parametrize("text", ["0", "-1", "few"])
def test_a_size_that_is_none_is_refused(text: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    refused(capsys, "argument --steps: ", lambda: study(monkeypatch, "--steps", text))


@pytest.mark.parametrize("text", ["-1", "4294967296"])
def test_a_seed_that_numpy_does_not_take_is_refused(text: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    refused(capsys, "argument --seed: ", lambda: study(monkeypatch, "--seed", text))


def test_numbers_that_do_not_fit_together_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    refused(capsys, "Legal is fewer --seeds than 100.", lambda: study(monkeypatch, "--seeds", "100"))


def test_a_folder_that_takes_no_page_is_refused_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: Any
) -> None:
    (tmp_path / "file").write_text("")
    for place in ("file", "file/folder"):
        refused(capsys, "argument --out: ", lambda place=place: study(monkeypatch, "--out", str(tmp_path / place)))


def test_a_package_that_is_not_there_is_named_in_one_line(tmp_path: Path) -> None:
    script = tmp_path / "x.py"
    script.write_text('"""A title.\n\nRequires: torch, not_there\n"""\nfrom study import Study\nimport not_there\n')
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "examples" / "studies")))}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert done.returncode == 1 and done.stderr.startswith("x.py: error: needs not_there, which"), done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_packages_are_asked_for_before_they_are_imported(script: Path) -> None:
    lines = script.read_text().splitlines()
    (first,) = [place for place, line in enumerate(lines) if line.startswith("from study import ")]
    for package in requirements(script):
        assert all(place > first for place, line in enumerate(lines) if re.match(rf"(from|import) {package}\b", line))


@pytest.mark.parametrize("python", ["not/there", "."])
def test_other_libraries_are_asked_for_of_a_program(python: str) -> None:
    script = ROOT / "examples" / "studies" / "sorting.py"
    if importlib.util.find_spec("sklearn") is None:
        pytest.skip("needs sklearn")
    done = subprocess.run([sys.executable, script, "--peers", python], capture_output=True, text=True)
    assert done.returncode == 2 and "argument --peers: " in done.stderr


def test_softness_is_annealed_from_its_first_to_its_last_also_in_one_step(monkeypatch: pytest.MonkeyPatch) -> None:
    annealed = module(monkeypatch).annealed
    assert [round(annealed(4.0, 0.25, step, 3), 6) for step in range(3)] == [4.0, 1.0, 0.25]
    assert annealed(4.0, 0.25, 0, 1) == 4.0


def test_the_particle_filters_that_fit_into_memory_together_are_those_of_one_batch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module(monkeypatch)
    kalman, found = importlib.import_module("kalman"), []
    for at_once in (1, 2 * 3 * 4**2, 2**25):  # a run, two, all
        monkeypatch.setattr(kalman, "AT_ONCE", at_once)
        torch.manual_seed(0)
        row = kalman.ROWS[0]
        found.append(kalman.values_and_gradients(row, row.made(), torch.ones(3), kalman.ELSEWHERE, 5, 4))
    for part in found[:2]:
        torch.testing.assert_close(part, found[2])
    assert found[2][1].shape == (5, 3)


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
    assert (tmp_path / "x.md").read_text().endswith("- this holds\n- this does not: not in this run\n")


def test_recipes_of_a_seed_see_the_same_batches_and_are_judged_on_the_same_data(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module(monkeypatch)
    choices = importlib.import_module("programs.choices")
    seen: list[list[float]] = []

    def batch() -> Any:
        x = torch.randn(4)
        seen[-1].append(float(x[0]))
        return (x,), torch.ones(4)

    made = torch.nn.PReLU()
    cut = choices.Recipe("no gradient", own=0.0)
    trained = choices.Recipe("own"), choices.Recipe("softened", {"preset": "gradients"})
    trial = choices.Trial(
        made, ("weight",), batch, lambda *_: torch.zeros(()), lambda _: (float(torch.rand(())),), 3, 0.1, seed=7
    )
    ends = choices.Ends()
    for recipe in (cut, *trained):
        seen.append([])
        ends.add("one", (recipe,), trial)
    assert len({numbers for found in ends.found.values() for numbers in found}) == 1
    assert seen[1] == seen[2][-3:] and len(seen[1]) == 3  # softening has an example of its own


def test_time_is_told_to_two_digits_and_not_where_nothing_was_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = module(monkeypatch).Stopwatch()
    assert watch.each() == "-"
    for seconds, told in ((0.00034, "0.034"), (0.03, "3.0"), (0.34, "34"), (3.4, "340")):
        watch.seconds, watch.runs = seconds, 10
        assert watch.each() == told


@pytest.mark.parametrize("every", [True, False])
def test_shares_of_the_programs_are_asserted_of_all_programs(
    every: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    module(monkeypatch)
    monkeypatch.delitem(sys.modules, "branches", raising=False)  # of another test's folder
    branches = importlib.import_module("branches")
    names = branches.NAMES if every else branches.NAMES[:1]
    run = dict.fromkeys(branches.COLUMNS, 1.0)  # the whole way is left: no claim holds
    monkeypatch.setattr(branches, "all_measured", lambda names, *_: {name: [run] for name in names})
    monkeypatch.setattr(sys, "argv", ["branches.py", "--names", *names, "--out", str(tmp_path)])
    with pytest.raises(AssertionError, match="of the programs") if every else nullcontext():
        branches.main()


def test_what_a_quick_run_is_too_short_for_is_not_claimed_of_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for flags, claimed in (([], True), (["--quick"], False)):
        made = study(monkeypatch, *flags, "--out", str(tmp_path))
        made.claim("this holds", True)
        made.claim("this is not there yet", False, at_quick=False)
        assert ("this is not there yet" in [sentence for sentence, _ in made.claims]) is claimed
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

    def __post_init__(self) -> None:
        if self.seeds >= 100:
            importlib.import_module("study").demand(False, "fewer --seeds than 100")


def study(monkeypatch: pytest.MonkeyPatch, *flags: str) -> Any:
    """A study of no script that was called with these flags."""
    monkeypatch.setattr(sys, "argv", ["x.py", *flags])
    return module(monkeypatch).Study(
        "x.py", "A title.\n\nWords.", quick=Size(1, 1), default=Size(9, 5), full=Size(99, 5)
    )


def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What studies share."""
    monkeypatch.syspath_prepend(ROOT / "examples" / "studies")
    return importlib.import_module("study")


def refused(capsys: Any, text: str, made: Callable[[], Any]) -> None:
    """The command line ends with this error."""
    with pytest.raises(SystemExit):
        made()
    assert text in capsys.readouterr().err


def published(script: Path) -> str:
    return (PAGES / f"{script.stem}.md").read_text()
