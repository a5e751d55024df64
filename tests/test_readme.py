"""The README and CONTRIBUTING are true: code runs, commands parse, the policy loads, files exist."""

from __future__ import annotations

import io
import os
import re
import shlex
from pathlib import Path

import pytest

from softfx import api
from softfx.cli.arguments import make_parser
from softfx.cli.on_target import run
from softfx.decisions.policy import PRESETS, Policy
from softfx.report import terminal as render
from softtorch.methods import METHODS, Method

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def set_up_commands() -> list[str]:
    return re.findall(r"^    (python3 -m venv .*)$", README, re.MULTILINE)


@pytest.mark.filterwarnings("ignore")  # of the third-party package in the first block
@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.splitlines()[-1][:40])
def test_every_python_block_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    if "vector_quantize_pytorch" in block:
        pytest.importorskip("vector_quantize_pytorch")
    exec(compile(block, str(ROOT / "README.md"), "exec"), {"__name__": "readme"})


@pytest.mark.zoo
@pytest.mark.filterwarnings("ignore")  # of the third-party package
def test_the_report_is_the_one_that_is_printed() -> None:
    """UPDATE_README=1 writes it anew."""
    pytest.importorskip("vector_quantize_pytorch")
    arguments = shlex.split(set_up_commands()[0].rpartition("softfx ")[2])
    parsed = make_parser().parse_args([*arguments, "--quiet"])
    file = io.StringIO()
    render.show(render.report_view(run(parsed, api.check)), file=file, width=90)
    lines = "\n".join(line.rstrip() for line in file.getvalue().splitlines())
    begin, end = "<!-- report: begin -->\n", "<!-- report: end -->"
    text = f"{begin}```text\n{lines}\n```\n{end}"
    if os.environ.get("UPDATE_README"):
        head, _, rest = README.partition(begin)
        (ROOT / "README.md").write_text(head + text + rest.partition(end)[2])
    else:
        assert text in README


@pytest.mark.parametrize("line", [line for block in blocks("sh") for line in block.splitlines() if line])
def test_every_command_is_one_that_softfx_has(line: str) -> None:
    words = shlex.split(line)
    assert words[0] == "softfx"
    assert make_parser().parse_args(words[1:]).command == words[1]


def test_the_policy_loads(tmp_path: Path) -> None:
    (block,) = blocks("toml")
    path = tmp_path / "policy.toml"
    path.write_text(block)
    assert len(Policy.load(path).entries) == 3


def test_the_table_of_presets_is_complete() -> None:
    policies = README.partition("## Policies")[2]
    assert set(re.findall(r"^\| `([a-z-]+)`", policies, re.MULTILINE)) == set(PRESETS)


def test_the_table_of_methods_is_softtorchs() -> None:
    words = {True: "yes", False: "no"}
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (\w+) \| (\w+) \| (\w+) \| (\w+) \|", README, re.MULTILINE)
    assert rows == [
        (name, ", ".join(method.modes), *(words[flag] for flag in flags(method))) for name, method in METHODS.items()
    ]


def flags(method: Method) -> tuple[bool, ...]:
    return method.has_values, method.has_rows, method.has_rank, method.doubly_stochastic


def test_two_commands_set_up_everything_and_ci_runs_the_second() -> None:
    first, second = set_up_commands()
    assert "softfx check" in first
    assert second.endswith("-m pytest -n 2")
    pattern = re.search(r"grep -m1 -E '([^']*)' README.md", (ROOT / ".ci" / "run").read_text())
    assert pattern is not None
    assert [line.strip() for line in README.splitlines() if re.search(pattern[1], line)] == [second]
    command = shlex.split(first.rpartition("&& ")[2])
    assert make_parser().parse_args(command[1:]).command == "check"


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_links_and_paths_lead_somewhere(text: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"`((?:softfx|softtorch|tests|docs)/[\w/.]+)`", text)
    for path in (*links, *paths):
        assert (ROOT / path).exists(), path


def test_each_recipe_has_at_most_five_steps() -> None:
    recipes = re.split(r"^## Add ", CONTRIBUTING, flags=re.MULTILINE)[1:]
    assert [recipe.splitlines()[0] for recipe in recipes] == [
        "an operation",
        "a rule",
        "an operator",
        "a method",
        "a law of the specification",
    ]
    for recipe in recipes:
        assert len(re.findall(r"^\d\. ", recipe, re.MULTILINE)) <= 5
