"""`[tool.softfx]`: many targets, one summary and one exit status; `softfx init`."""

from __future__ import annotations

import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from softfx.cli.init import candidates
from softfx.cli.project import find_project
from tests.softfx.cli.programs import ARGMAX, MODEL, Run

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "softfx" / "docs" / "project.md"

PROJECT = """
[tool.softfx]
policy = "gradients"

[[tool.softfx.target]]
name = "router"
target = "router_models:build"
input = ["2x4"]

[[tool.softfx.target]]
target = "router_models:pick"
input = ["scores=3", "values=3"]
policy = "keep"
fail-on = ["keep"]
"""
BROKEN = '\n[[tool.softfx.target]]\ntarget = "router_models:raises"\ninput = ["3"]\n'


def write(text: str) -> None:
    Path("pyproject.toml").write_text(text)


def test_all_targets_have_one_summary_and_one_status(softfx: Run) -> None:
    write(PROJECT)
    answer = softfx("check")
    assert answer.status == 1
    assert "router              ok        2 sites: 1 straight-through, 1 kept." in answer.out
    assert "router_models:pick  FINDINGS  1 site: 1 kept." in answer.out
    assert answer.out.rstrip().endswith("2 targets: 1 without findings, 1 with findings.")


def test_a_target_that_fails_does_not_hide_the_others(softfx: Run) -> None:
    write(PROJECT + BROKEN)
    answer = softfx("check")
    assert answer.status == 2
    assert "router_models:raises  ERROR" in answer.out
    assert "the third size must be even" in answer.out
    assert "3 targets: 1 without findings, 1 with findings, 1 that could not be checked." in answer.out


def test_one_target_is_checked_by_its_name(softfx: Run) -> None:
    write(PROJECT + BROKEN)
    answer = softfx("check", "router")
    assert answer.status == 0
    assert answer.out.rstrip().endswith("1 target: 1 without findings.")


def test_a_project_is_found_from_a_folder_below_it(softfx: Run, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(PROJECT.replace("router_models:", "router_models.py:"))
    (models.parent / "below").mkdir()
    monkeypatch.chdir(models.parent / "below")
    assert "2 targets" in softfx("check").out


def test_several_at_once_say_the_same(softfx: Run) -> None:
    write(PROJECT + BROKEN)
    one, two = softfx("check", "--format", "json"), softfx("check", "--format", "json", "--jobs", "2")
    assert (one.status, two.status) == (2, 2)
    first, second = json.loads(one.out)["targets"], json.loads(two.out)["targets"]
    assert [item["status"] for item in first] == [item["status"] for item in second] == [0, 1, 2]
    assert [item["report"] and item["report"]["counts"] for item in first] == [
        item["report"] and item["report"]["counts"] for item in second
    ]
    assert "the third size must be even" in second[2]["error"]


MANY = """
import os
from pathlib import Path

import torch


def rounds(x):
    Path(f"process{os.getpid()}").touch()
    return x.round()


def ends(x):
    os._exit(7)
"""


def test_so_many_processes_check_all_targets_between_them_and_one_that_ends_takes_one_target(softfx: Run) -> None:
    Path("many_models.py").write_text(MANY)
    text = '[[tool.softfx.target]]\nname = "{0}"\ntarget = "many_models.py:{1}"\ninput = "4"\n'
    names = ["rounds"] * 3 + ["ends"] + ["rounds"] * 3
    write("".join(text.format(number, name) for number, name in enumerate(names)))
    answer = softfx("check", "--jobs", "2", "--format", "json")
    assert [item["status"] for item in json.loads(answer.out)["targets"]] == [0, 0, 0, 2, 0, 0, 0]
    assert json.loads(answer.out)["targets"][3]["error"] == "the process ended with status 7"
    assert len(list(Path().glob("process*"))) <= 3


def test_sarif_has_one_run_with_the_results_of_all(softfx: Run) -> None:
    write(PROJECT)
    (run,) = json.loads(softfx("check", "--format", "sarif").out)["runs"]
    assert len(run["results"]) == 3
    uris = {each["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for each in run["results"]}
    assert uris == {"router_models.py"}


def test_markdown_ends_with_the_summary_and_a_page_shows_one_target(softfx: Run) -> None:
    write(PROJECT)
    assert "## Summary" in softfx("check", "--format", "markdown").out
    answer = softfx("check", "--format", "html")
    assert answer.status == 2
    assert "softfx check router --format html" in answer.err


def test_a_baseline_stands_while_lines_move_and_tells_what_is_new(softfx: Run, models: Path) -> None:
    write(PROJECT.replace('policy = "gradients"', 'policy = "gradients"\nbaseline = "known.json"', 1))
    Path("known.json").write_text('{"version": 1, "targets": []}')
    assert softfx("check", "--format", "json", "--out", "known.json", "--force").status == 1
    answer = softfx("check")
    assert answer.status == 0
    assert "3 sites as in known.json left out" in answer.err
    models.write_text("# a line\n# and one more\n" + MODEL.replace("values[scores", "values.sort().values[scores"))

    sys.modules.pop("router_models")
    moved = softfx("check")
    assert moved.status == 1
    assert f":{ARGMAX + 2}:" not in moved.out
    assert "sort" in moved.out


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[tool.softfx]\npolcy = "keep"\n', "unknown key 'polcy'. Did you mean 'policy'?"),
        ("[tool.softfx]\n", "it has no [[tool.softfx.target]]"),
        ("[tool]\nsoftfx = 3\n", "tool.softfx is 3. It is a table"),
        ('[[tool.softfx.target]]\ninput = ["3"]\n', "[[tool.softfx.target]] 1 has no target"),
        ('[[tool.softfx.target]]\ntarget = "a:b"\neval = "yes"\n', "eval = 'yes' is not true or false"),
        ('[[tool.softfx.target]]\ntarget = "a:b"\n' * 2, "two targets have the name 'a:b'"),
        ('[[tool.softfx.target]]\ntarget = "a:b"\ncapture = "sight"\n', "are not those of `softfx check`"),
        ("[tool.softfx\n", "it cannot be read"),
    ],
)
def test_mistakes_are_told(softfx: Run, text: str, said: str) -> None:
    write(text)
    answer = softfx("check")
    assert answer.status == 2
    assert said in answer.err


def test_all_mistakes_are_told_at_once(softfx: Run) -> None:
    write('[tool.softfx]\npolcy = "keep"\n[[tool.softfx.target]]\nevl = true\n')
    error = softfx("check").err
    assert "polcy" in error and "evl" in error and "has no target" in error


def test_without_a_target_and_a_project_the_next_step_is_said(softfx: Run) -> None:
    answer = softfx("check")
    assert answer.status == 2
    assert "softfx check TARGET, or softfx init" in answer.err


def test_settings_of_one_target_are_refused_for_a_project(softfx: Run) -> None:
    write(PROJECT)
    answer = softfx("check", "--input", "3", "--eval")
    assert answer.status == 2
    assert "--input, --eval is for one target" in answer.err


# -- init ----------------------------------------------------------------------------------------------------


def test_init_with_a_target_writes_what_check_takes(softfx: Run) -> None:
    write('[project]\nname = "mine"  # kept\n')
    assert softfx("init", "router_models:build", "--input", "2x4", "--eval").status == 0
    text = Path("pyproject.toml").read_text()
    assert text.startswith('[project]\nname = "mine"  # kept\n')
    (target,) = tomllib.loads(text)["tool"]["softfx"]["target"]
    assert target == {"name": "build", "target": "router_models:build", "input": ["2x4"], "eval": True}
    assert softfx("check").status == 0
    again = softfx("init")
    assert again.status == 2
    assert "already" in again.err


def test_init_adds_a_target_to_a_table_that_is_there(softfx: Run) -> None:
    write('[tool.softfx]\npolicy = "smooth"\n')
    assert softfx("init", "router_models:build", "--input", "2x4", "--eval").status == 0
    table = tomllib.loads(Path("pyproject.toml").read_text())["tool"]["softfx"]
    assert table["policy"] == "smooth" and [target["name"] for target in table["target"]] == ["build"]
    text = "[tool.softfx]\ntarget = []\n"
    write(text)
    refused = softfx("init", "router_models:build", "--input", "2x4", "--eval")
    assert refused.status == 2 and "[[tool.softfx.target]]" in refused.err
    assert Path("pyproject.toml").read_text() == text


def test_init_with_a_target_that_fails_writes_nothing(softfx: Run) -> None:
    assert softfx("init", "router_models:raises", "--input", "3").status == 2
    assert not Path("pyproject.toml").exists()


def test_init_finds_what_is_whole_and_names_the_rest(softfx: Run, models: Path) -> None:
    whole = "\n\ndef example():\n    return Router(), (torch.rand(2, 4),)\n"
    models.write_text(MODEL + whole)
    (models.parent / "tests").mkdir()
    (models.parent / "tests" / "test_models.py").write_text(MODEL)
    (models.parent / "broken.py").write_text("def (:")
    found = candidates(models.parent)
    assert [each.target for each in found] == ["router_models.py:example", "router_models.py:Router"]
    assert softfx("init").status == 0
    text = Path("pyproject.toml").read_text()
    assert '# input = ["x=2x3"]' in text
    project = find_project(Path.cwd())
    assert project is not None
    assert [job.name for job in project.jobs] == ["router_models.py:example"]
    assert softfx("check").status == 0


def test_init_names_classes_that_are_built_with_arguments(softfx: Run, models: Path) -> None:
    build = "    def __init__(self, width, *, depth, bias=True):\n        super().__init__()\n"
    forward = "    def forward(self, x):\n        return x.round()\n"
    models.write_text(f"import torch\n\n\nclass Gate(torch.nn.Module):\n{build}\n{forward}")
    answer = softfx("init")
    assert answer.status == 0 and "with 0 targets" in answer.err and "1 more as comments: write what they" in answer.err
    text = Path("pyproject.toml").read_text()
    assert '# target = "router_models.py:Gate(width=..., depth=...)"' in text
    assert '# input = ["x=2x3"]  # write its own arguments, and shapes' in text
    completed = text.replace("# [[tool", "[[tool").replace("# target", "target").replace("# input", "input")
    Path("pyproject.toml").write_text(completed.replace("width=..., depth=...", "width=3, depth=1"))
    assert softfx("check").status == 0


def test_init_finds_what_derives_from_a_module_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "base.py").write_text(
        "from torch import nn\n\n\nclass _Base(nn.Module):\n    def __init__(self, width):\n        pass\n\n"
        "    def forward(self, x):\n        return x.round()\n\n\nclass Loop(Loop):\n    pass\n"
    )
    (tmp_path / "own.py").write_text(
        "import base\nfrom torch import nn\n\n\nclass Gate(base._Base):\n    pass\n\n\n"
        "class Row(nn.Sequential):\n    def forward(self, x, *, mask):\n        return x\n\n\nclass Plain:\n    pass\n"
    )
    found = {each.target: each.takes for each in candidates(tmp_path)}
    assert found == {"own.py:Row": ("x", "mask"), "own.py:Gate(width=...)": ("x",)}


def test_init_finds_functions_that_need_tensors_alone(tmp_path: Path) -> None:
    (tmp_path / "losses.py").write_text(
        "import torch\nfrom torch import Tensor\n\n\n"
        "def late(arrivals: Tensor, due: 'torch.Tensor', grace: float = 0.5) -> Tensor:\n    return arrivals\n\n\n"
        "def scaled(x: Tensor, factor: float) -> Tensor:\n    return x\n\n\n"
        "def _own(x: Tensor) -> Tensor:\n    return x\n\n\ndef untold(x):\n    return x\n"
    )
    (found,) = candidates(tmp_path)
    assert (found.target, found.takes, found.is_ready) == ("losses.py:late", ("arrivals", "due"), False)


def test_init_of_many_classes_says_how_many_it_leaves_out(softfx: Run, models: Path) -> None:
    gate = "class Gate{}(torch.nn.Module):\n    def forward(self, x):\n        return x.round()\n"
    models.write_text("import torch\n" + "\n".join(gate.format(i) for i in range(45)))
    assert softfx("init").status == 0
    assert "# And 5 more, such as router_models.py:Gate40." in Path("pyproject.toml").read_text()


def test_the_example_of_the_documentation_is_read(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "pyproject.toml").write_text(block)
    project = find_project(tmp_path)
    assert project is not None
    assert [job.name for job in project.jobs] == ["router", "my_package/losses.py:loss"]
    assert project.jobs[1].words[0] == "my_package/losses.py:loss"
    assert {"--value=k=3", "--input=scores=8x10", "--fail-on=blocked,keep"} <= set(project.jobs[1].words)


@pytest.mark.parametrize("page", ["softfx/docs/project.md", "docs/howto/ci.md"])
def test_the_actions_of_the_documentation_may_upload_what_they_upload(page: str) -> None:
    (action,) = [
        block for block in re.findall(r"```yaml.*?```", (ROOT / page).read_text(), re.DOTALL) if "runs-on" in block
    ]
    assert "upload-sarif" in action
    assert "security-events: write" in action


def test_the_hook_runs_where_a_policy_or_the_project_changes() -> None:
    for page in ("softfx/docs/project.md", ".pre-commit-hooks.yaml"):
        assert "types_or: [python, toml]" in (ROOT / page).read_text()
