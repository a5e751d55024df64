"""The command line as a user meets it: output, exit status, and one clear message for each mistake."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from softfx import api
from softfx.cli import main
from softfx.rules import RULES
from tests.softfx.fakes import full_report

MODEL = """
import torch
import torch.nn.functional as F


class Router(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = torch.nn.Linear(4, 3)

    def forward(self, x):
        print("printed by the model")
        index = self.gate(x).argmax(-1)
        return F.one_hot(index, 3) * torch.relu(x[..., :3])


def build():
    return Router()


def pick(scores, values):
    return values[scores.argmax()]


def raises(x):
    raise ValueError("the third size must be even")


plain = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
linear = torch.nn.Linear(4, 2)
"""
ARGMAX, RELU = 13, 14  # lines of MODEL


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of its own with the models in it; what is imported from it is forgotten."""
    path = tmp_path / "router_models.py"
    path.write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("COLUMNS", raising=False)
    yield path
    sys.modules.pop("router_models", None)


class Answer:
    """What a command printed, and its exit status."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def softfx(capsys: pytest.CaptureFixture[str]) -> Iterator[object]:
    def run(*arguments: str) -> Answer:
        try:
            status = main(arguments)
        except SystemExit as end:  # argparse ends the program by itself
            status = int(str(end.code))
        captured = capsys.readouterr()
        return Answer(status, captured.out, captured.err)

    yield run


X = ("--input", "2x4")


# -- check ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["router_models:build", "router_models.py:build", "router_models:Router"])
def test_check_finds_explains_and_changes_nothing(softfx, target: str) -> None:
    answer = softfx("check", target, *X)
    assert answer.status == 0
    assert answer.out.startswith(f"softfx report for {target}\n")
    assert (
        f"router_models.py:{ARGMAX}: SX201 argmax: straight-through\n    > index = self.gate(x).argmax(-1)"
        in answer.out
    )
    assert f"router_models.py:{RELU}: SX122 relu: kept" in answer.out
    assert "2 sites: 1 straight-through, 1 kept." in answer.out


def test_the_result_goes_to_stdout_and_everything_else_to_stderr(softfx) -> None:
    answer = softfx("check", "router_models:build", *X, "--format", "json")
    assert json.loads(answer.out)["counts"]["found"] == 2
    assert "softfx: taking what build() returns, a Router" in answer.err
    assert "printed by the model" in answer.err
    assert softfx("check", "router_models:linear", *X, "--quiet").err == ""


def test_a_pipe_gets_no_colour_and_no_boxes(softfx) -> None:
    answer = softfx("check", "router_models:build", *X)
    assert answer.out.isascii()


def test_a_function_is_a_target(softfx) -> None:
    answer = softfx("check", "router_models:pick", "--input", "3", "--input", "3")
    assert "taking the function itself" in answer.err
    assert "1 site: 1 straight-through." in answer.out


def test_a_site_of_torchs_own_modules_is_where_the_target_is_defined(softfx, models: Path) -> None:
    answer = softfx("check", "router_models:plain", *X, "--format", "json")
    (site,) = json.loads(answer.out)["sites"]
    line = MODEL.splitlines().index("plain = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())") + 1
    assert (site["file"], site["line"], site["module"]) == (str(models), line, "1")


@pytest.mark.parametrize(("target", "file"), [("torch.nn:ReLU", "activation.py"), ("torch:argmax", "__init__.py")])
def test_a_target_of_torch_itself_is_where_torch_defines_it(softfx, target: str, file: str) -> None:
    (site,) = json.loads(softfx("check", target, "--input", "3", "--format", "json").out)["sites"]
    assert Path(site["file"]).name == file
    assert site["line"] >= 1


def test_nothing_to_act_on_is_status_0(softfx) -> None:
    answer = softfx("check", "router_models:linear", *X)
    assert answer.status == 0
    assert "0 sites." in answer.out
    assert "Nothing to act on" in answer.out


@pytest.mark.parametrize(
    ("fail_on", "status"),
    [("blocked", 1), ("keep", 1), ("break", 1), ("keep,blocked", 1), ("none", 0)],
)
def test_what_counts_as_a_finding_can_be_chosen(
    softfx, monkeypatch: pytest.MonkeyPatch, fail_on: str, status: int
) -> None:
    monkeypatch.setattr(api, "check", lambda *args, **options: full_report())
    assert softfx("check", "router_models:build", *X, "--fail-on", fail_on).status == status


def test_a_blocked_site_is_a_finding_and_a_kept_one_is_none(softfx, monkeypatch: pytest.MonkeyPatch) -> None:
    report = full_report()
    monkeypatch.setattr(api, "check", lambda *args, **options: report)
    assert softfx("check", "router_models:build", *X).status == 1
    report.sites = [site for site in report.sites if site.action != "blocked"]
    assert softfx("check", "router_models:build", *X).status == 0


@pytest.mark.parametrize("kind", ["rich", "text", "json", "markdown", "sarif"])
def test_every_format_tells_of_the_site(softfx, kind: str) -> None:
    answer = softfx("check", "router_models:build", *X, "--format", kind)
    assert answer.status == 0
    assert "SX201" in answer.out


def test_settings_of_the_command_line_override_the_policy(softfx) -> None:
    settings = ("--set", "action=soft", "--set", "argmax.method=lapsum", "--set", "softness=0.02")
    answer = softfx("check", "router_models:build", *X, *settings, "--format", "json")
    site = json.loads(answer.out)["sites"][0]
    assert (site["action"], site["method"], site["softness"]) == ("soft", "lapsum", 0.02)
    assert "--set argmax.method=lapsum (method)" in site["decided_by"]


def test_families_can_be_set(softfx) -> None:
    answer = softfx("check", "router_models:build", *X, "--set", 'families=["kink"]')
    assert "1 straight-through, 1 kept" in answer.out
    assert "SX122 relu: straight-through" in answer.out


def test_the_mode_of_the_model_is_set(softfx, models: Path) -> None:
    models.write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        return x.round() if self.training else x\n"
    )
    assert "1 site" in softfx("check", "router_models:Net", *X).out
    assert "0 sites" in softfx("check", "router_models:Net", *X, "--mode", "eval").out


def test_saved_inputs_are_used(softfx) -> None:
    torch.save((torch.rand(3), torch.rand(3)), "inputs.pt")
    assert softfx("check", "router_models:pick", "--load", "inputs.pt").status == 0


# -- the other commands -----------------------------------------------------------------------------------------------


def test_diff_shows_the_code_before_and_after(softfx) -> None:
    answer = softfx("diff", "router_models:build", *X)
    assert answer.status == 0
    assert answer.out.startswith("--- ")
    assert any(line.startswith("+") and "softtorch.argmax" in line for line in answer.out.splitlines())


def test_diff_without_changes_says_so(softfx) -> None:
    answer = softfx("diff", "router_models:linear", *X)
    assert (answer.status, answer.out) == (0, "")
    assert "no code changes under this policy" in answer.err


def test_soften_prints_code_that_is_python(softfx) -> None:
    answer = softfx("soften", "router_models:build", *X)
    assert answer.status == 0
    compile(answer.out, "softened.py", "exec")
    assert "2 sites: 1 straight-through, 1 kept." in answer.err


def test_soften_writes_the_code_and_a_report_beside_it(softfx) -> None:
    answer = softfx("soften", "router_models:build", *X, "--out", "softened.py")
    assert answer.status == 0
    assert "softtorch.argmax" in Path("softened.py").read_text()
    report = json.loads(Path("softened.report.json").read_text())
    assert report["target"] == "router_models:build"
    assert "wrote softened.py and softened.report.json" in answer.err
    assert answer.out.startswith("softfx report for router_models:build")


def test_a_policy_written_for_a_model_decides_the_same(softfx) -> None:
    assert softfx("policy", "init", "router_models:build", *X, "--out", "policy.toml").status == 0
    text = Path("policy.toml").read_text()
    assert len(tomllib.loads(text)["rule"]) == 2
    assert "# SX201 argmax (discrete): index = self.gate(x).argmax(-1)" in text
    before = json.loads(softfx("check", "router_models:build", *X, "--format", "json").out)
    after = json.loads(softfx("check", "router_models:build", *X, "--format", "json", "--policy", "policy.toml").out)
    assert [site["action"] for site in after["sites"]] == [site["action"] for site in before["sites"]]
    assert after["sites"][0]["decided_by"].startswith("policy.toml:")
    assert "it exists" not in softfx("policy", "init", "router_models:build", *X).err


def test_a_policy_that_exists_is_not_overwritten(softfx) -> None:
    Path("policy.toml").write_text("mine")
    answer = softfx("policy", "init", "router_models:build", *X, "--out", "policy.toml")
    assert answer.status == 2
    assert "policy.toml: the file exists and may have been edited." in answer.err
    assert Path("policy.toml").read_text() == "mine"


def test_policy_show_tells_each_decision_and_who_made_it(softfx) -> None:
    Path("policy.toml").write_text('[[rule]]\nop = "argmax"\naction = "soft"\nsoftness = 0.2\n')
    arguments = ("policy", "show", "router_models:build", *X, "--policy", "policy.toml")
    expected = "SX201 argmax: soft (mode smooth, softness 0.2); decided by policy.toml:1 [[rule]] 1"
    assert f"router_models.py:{ARGMAX}: {expected}" in softfx(*arguments).out
    decisions = json.loads(softfx(*arguments, "--format", "json").out)
    assert [decision["action"] for decision in decisions] == ["soft", "keep"]


SCRIPT = """
import sys
import torch
import router_models

scores = torch.tensor([0.1, 0.7, 0.3], requires_grad=True)
router_models.pick(scores, torch.arange(3.0)).backward()
print(sys.argv[1:], bool((scores.grad != 0).all()))
"""


def test_run_runs_a_script_with_parts_softened(softfx) -> None:
    Path("train.py").write_text(SCRIPT)
    answer = softfx("run", "--soften", "router_models:pick", "-p", "gradients", "train.py", "--epochs", "3")
    assert (answer.status, answer.out) == (0, "['--epochs', '3'] True\n")
    assert "router_models:pick: 1 site: 1 straight-through." in answer.err


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("import sys; sys.exit(3)", 3, "router_models:pick was never called"),
        ("1 / 0", 1, 'Traceback (most recent call last):\n  File "train.py", line 1'),
    ],
)
def test_the_end_of_a_script_is_its_own(softfx, text: str, status: int, message: str) -> None:
    Path("train.py").write_text(text)
    answer = softfx("run", "--soften", "router_models:pick", "train.py")
    assert answer.status == status
    assert message in answer.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("router_models:pick", "missing.py"), "missing.py: there is no such file."),
        (("router_models:pik", "train.py"), "Did you mean 'pick'?"),
    ],
)
def test_a_script_or_a_name_that_is_not_there_is_told(softfx, arguments: tuple[str, str], message: str) -> None:
    Path("train.py").write_text("print(1)")
    answer = softfx("run", "--soften", *arguments)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err


@pytest.mark.parametrize("name", ["SX201", "argmax"])
def test_explain_prints_the_page_of_a_code_or_a_name(softfx, name: str) -> None:
    answer = softfx("explain", name)
    assert answer.status == 0
    assert answer.out.startswith("SX201 argmax\n")
    assert "softtorch.argmax" in answer.out


@pytest.mark.parametrize("name", ["kink", "@kink"])
def test_explain_lists_a_family(softfx, name: str) -> None:
    kinks = [rule for rule in RULES.values() if rule.family == "kink"]
    assert len(softfx("explain", name).out.splitlines()) == len(kinks)


def test_rules_lists_every_operation_by_code(softfx) -> None:
    codes = [line.split()[0] for line in softfx("rules").out.splitlines()]
    assert codes == sorted(rule.code for rule in RULES.values())
    assert len(json.loads(softfx("rules", "--format", "json").out)) == len(RULES)
    assert softfx("rules", "--format", "markdown").out.startswith("| code | operation |")


@pytest.mark.parametrize(
    "command", [(), ("check",), ("diff",), ("soften",), ("explain",), ("rules",), ("run",), ("policy", "init")]
)
def test_help_fits_into_80_columns(softfx, command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    answer = softfx(*command, "--help")
    assert answer.status == 0
    assert max(map(len, answer.out.splitlines())) <= 80


# -- mistakes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("check", "no_such_module:build"), "no_such_module: there is no module 'no_such_module'"),
        (("check", "router_models:biuld"), "router_models: it has no 'biuld'. Did you mean 'build'?"),
        (("check", "router_models"), "router_models: no name in it. Write package.module:name"),
        (("check", "missing.py:build"), "missing.py: there is no such file."),
        (("check", "router_models:build"), "router_models:build: it needs x, and 0 inputs were given."),
        (("check", "router_models:build", "--input", "2x"), "--input 2x: not a shape."),
        (("check", "router_models:build", "--input", "2x5"), "mat1 and mat2 shapes cannot be multiplied"),
        (("check", "router_models:raises", *X), "the third size must be even"),
        (("check", "router_models:build", *X, "--policy", "smoth"), "'smoth' is neither a preset nor a file."),
        (("check", "router_models:build", *X, "--policy", "broken.toml"), "broken.toml:3: not valid TOML:"),
        (
            ("check", "router_models:build", *X, "--policy", "unknown.toml"),
            "unknown.toml:2: unknown operation 'argmx'.",
        ),
        (
            ("check", "router_models:build", *X, "--policy", "idle.toml"),
            "idle.toml:1: this entry matches none of the 2",
        ),
        (("check", "router_models:build", *X, "--set", "softness"), "--set softness: not [OP.]KEY=VALUE."),
        (("check", "router_models:build", *X, "--set", "softnes=1"), "--set softnes=1: unknown key 'softnes'."),
        (("check", "router_models:pick", *X, "--load", "no.pt"), "--load no.pt: there is no such file."),
        (("soften", "router_models:build", *X, "--out", "no/where.py"), "--out no/where.py: it cannot be written:"),
        (("explain", "argmx"), "unknown rule 'argmx'. Did you mean 'argmax'?"),
    ],
)
def test_a_mistake_is_one_message_on_stderr_and_status_2(softfx, arguments: tuple[str, ...], message: str) -> None:
    Path("broken.toml").write_text("version = 1\naction = [\n")
    Path("unknown.toml").write_text('[[rule]]\nop = "argmx"\naction = "soft"\n')
    Path("idle.toml").write_text('[[rule]]\nop = "topk"\naction = "soft"\n')
    answer = softfx(*arguments)
    assert (answer.status, answer.out) == (2, "")
    assert message in answer.err
    assert "Traceback" not in answer.err
    told = [line for line in answer.err.splitlines() if not line.startswith(("softfx: taking", "printed by"))]
    assert len(told) == 1
    assert told[0].startswith("softfx: ")


def test_an_error_of_the_model_says_where_it_was_raised(softfx) -> None:
    assert "router_models.py:" in softfx("check", "router_models:raises", *X).err


def test_the_traceback_is_shown_when_asked_for(softfx) -> None:
    answer = softfx("check", "router_models:raises", *X, "--traceback")
    assert answer.status == 2
    assert "Traceback (most recent call last)" in answer.err


def test_an_entry_that_matches_nothing_can_be_allowed(softfx) -> None:
    arguments = ("check", "router_models:build", *X, "--set", "topk.softness=0.1")
    assert softfx(*arguments).status == 2
    assert softfx(*arguments, "--allow-unused").status == 0


@pytest.mark.parametrize(
    "arguments", [("chek",), ("check",), ("check", "a:b", "--format", "xml"), ("check", "a:b", "--fail-on", "x")]
)
def test_wrong_usage_is_status_2(softfx, arguments: tuple[str, ...]) -> None:
    answer = softfx(*arguments)
    assert answer.status == 2
    assert answer.err.startswith("usage: softfx")


def test_the_module_is_a_program_and_a_closed_pipe_is_no_error() -> None:
    command = f"{sys.executable} -m softfx rules | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("SX")
    assert done.stderr == ""


def test_a_baseline_hides_what_was_known_and_counts_what_is_new(softfx) -> None:
    options = [*X, "--fail-on", "keep"]

    def check(folder: str, source: str, *more: str) -> Answer:
        Path(folder).mkdir()
        Path(folder, "router_models.py").write_text(source)
        sys.modules.pop("router_models", None)
        return softfx("check", f"{folder}/router_models.py:build", *options, *more)

    before = check("before", MODEL, "--format", "json")
    assert before.status == 1
    Path("baseline.json").write_text(before.out)
    known = ("--baseline", "baseline.json")
    answer = check("moved", "# another line above\n" + MODEL, *known)
    assert answer.status == 0 and "2 sites as in baseline.json left out" in answer.err
    changed = MODEL.replace("torch.relu(x[..., :3])", "torch.relu(x[..., :3]).abs()")
    answer = check("changed", changed, *known, "--format", "json")
    assert [site["op"] for site in json.loads(answer.out)["sites"]] == ["relu", "abs"]  # relu's line is another one
    assert answer.status == 1


@pytest.mark.parametrize(
    ("text", "told"), [(None, "No such file"), ("{}", "it is no report"), ("[", "it is no report")]
)
def test_a_baseline_that_cannot_be_read_is_told(softfx, text: str | None, told: str) -> None:
    if text is not None:
        Path("baseline.json").write_text(text)
    answer = softfx("check", "router_models:build", *X, "--baseline", "baseline.json")
    assert answer.status == 2 and told in answer.err and "--format json" in answer.err


def test_what_no_graph_holds_is_written_as_the_path_that_was_seen(softfx) -> None:
    source = "def branching(x):\n    index = x.argmax()\n    return x[index] if index >= 0 else -x.sum()\n"
    Path("branches.py").write_text(source)
    answer = softfx("soften", "branches.py:branching", "--input", "4", "--out", "soft.py")
    assert answer.status == 0
    text = Path("soft.py").read_text()
    assert "This is the path that the example inputs took" in text and "branches.py:3" in text
    made: dict[str, object] = {}
    exec(compile(text, "soft.py", "exec"), made)
    x = torch.tensor([0.1, 0.4, 0.3, 0.2], requires_grad=True)
    result = made["forward"](None, x)  # type: ignore[operator]
    result = result[0] if isinstance(result, tuple) else result
    assert result.item() == x[1].item()
    assert torch.autograd.grad(result, x)[0].ne(0).all()


def test_written_code_imports_what_it_calls(softfx) -> None:
    Path("masks.py").write_text("def above(x):\n    return x[x > 0].mean()\n")
    assert softfx("soften", "masks.py:above", "--input", "4", "--policy", "smooth", "--out", "soft.py").status == 0
    made: dict[str, object] = {}
    exec(compile(Path("soft.py").read_text(), "soft.py", "exec"), made)
    x = torch.tensor([0.3, -0.1, 0.4, 0.2], requires_grad=True)
    result = made["forward"](None, x)  # type: ignore[operator]
    assert torch.autograd.grad(result, x)[0].ne(0).all()
