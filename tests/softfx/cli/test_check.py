"""`softfx check`: the report, its formats, the options that it takes, and its exit status."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

from softfx import api
from tests.softfx.cli.programs import ARGMAX, MODEL, RELU, Answer, Run, X
from tests.softfx.fakes import full_report


@pytest.mark.parametrize("target", ["router_models:build", "router_models.py:build", "router_models:Router"])
def test_check_finds_explains_and_changes_nothing(softfx: Run, target: str) -> None:
    answer = softfx("check", target, *X)
    assert answer.status == 0
    assert answer.out.startswith(f"softfx report for {target}\n")
    assert (
        f"router_models.py:{ARGMAX}: SX201 argmax: straight-through\n    > index = self.gate(x).argmax(-1)"
        in answer.out
    )
    assert f"router_models.py:{RELU}: SX122 relu: kept" in answer.out
    assert "2 sites: 1 straight-through, 1 kept." in answer.out


def test_the_result_goes_to_stdout_and_everything_else_to_stderr(softfx: Run) -> None:
    answer = softfx("check", "router_models:build", *X, "--format", "json")
    assert json.loads(answer.out)["counts"]["found"] == 2
    assert "softfx: taking what build() returns, a Router" in answer.err
    assert "printed by the model" in answer.err
    assert softfx("check", "router_models:linear", *X, "--quiet").err == ""


def test_a_pipe_gets_no_colour_and_no_boxes(softfx: Run) -> None:
    answer = softfx("check", "router_models:build", *X)
    assert answer.out.isascii()


def test_a_function_is_a_target(softfx: Run) -> None:
    answer = softfx("check", "router_models:pick", "--input", "3", "--input", "3")
    assert "taking the function itself" in answer.err
    assert "1 site: 1 straight-through." in answer.out


def test_a_site_of_torchs_own_modules_is_where_the_target_is_defined(softfx: Run, models: Path) -> None:
    answer = softfx("check", "router_models:plain", *X, "--format", "json")
    (site,) = json.loads(answer.out)["sites"]
    line = MODEL.splitlines().index("plain = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())") + 1
    assert (site["file"], site["line"], site["module"]) == (str(models), line, "1")


@pytest.mark.parametrize(("target", "file"), [("torch.nn:ReLU", "activation.py"), ("torch:argmax", "__init__.py")])
def test_a_target_of_torch_itself_is_where_torch_defines_it(softfx: Run, target: str, file: str) -> None:
    (site,) = json.loads(softfx("check", target, "--input", "3", "--format", "json").out)["sites"]
    assert Path(site["file"]).name == file
    assert site["line"] >= 1


def test_nothing_to_act_on_is_status_0(softfx: Run) -> None:
    answer = softfx("check", "router_models:linear", *X)
    assert answer.status == 0
    assert "0 sites." in answer.out
    assert "Nothing to act on" in answer.out


@pytest.mark.parametrize(
    ("fail_on", "status"),
    [("blocked", 1), ("keep", 1), ("break", 1), ("keep,blocked", 1), ("none", 0)],
)
def test_what_counts_as_a_finding_can_be_chosen(
    softfx: Run, monkeypatch: pytest.MonkeyPatch, fail_on: str, status: int
) -> None:
    monkeypatch.setattr(api, "check", lambda *args, **options: full_report())
    assert softfx("check", "router_models:build", *X, "--fail-on", fail_on).status == status


def test_a_blocked_site_is_a_finding_and_a_kept_one_is_none(softfx: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    report = full_report()
    monkeypatch.setattr(api, "check", lambda *args, **options: report)
    assert softfx("check", "router_models:build", *X).status == 1
    report.sites = [site for site in report.sites if site.action != "blocked"]
    assert softfx("check", "router_models:build", *X).status == 0


@pytest.mark.parametrize("kind", ["rich", "text", "json", "markdown", "sarif"])
def test_every_format_tells_of_the_site(softfx: Run, kind: str) -> None:
    answer = softfx("check", "router_models:build", *X, "--format", kind)
    assert answer.status == 0
    assert "SX201" in answer.out


def test_settings_of_the_command_line_override_the_policy(softfx: Run) -> None:
    settings = ("--set", "action=soft", "--set", "argmax.method=lapsum", "--set", "softness=0.02")
    answer = softfx("check", "router_models:build", *X, *settings, "--format", "json")
    site = json.loads(answer.out)["sites"][0]
    assert (site["action"], site["method"], site["softness"]) == ("soft", "lapsum", 0.02)
    assert "--set argmax.method=lapsum (method)" in site["decided_by"]


def test_families_can_be_set(softfx: Run) -> None:
    answer = softfx("check", "router_models:build", *X, "--set", 'families=["kink"]')
    assert "1 straight-through, 1 kept" in answer.out
    assert "SX122 relu: straight-through" in answer.out


def test_the_mode_of_the_model_is_set(softfx: Run, models: Path) -> None:
    models.write_text(
        "import torch\n\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n"
        "        return x.round() if self.training else x\n"
    )
    assert "1 site" in softfx("check", "router_models:Net", *X).out
    assert "0 sites" in softfx("check", "router_models:Net", *X, "--eval").out


def test_saved_inputs_are_used(softfx: Run) -> None:
    torch.save((torch.rand(3), torch.rand(3)), "inputs.pt")
    assert softfx("check", "router_models:pick", "--load", "inputs.pt").status == 0


def test_an_entry_that_matches_nothing_can_be_allowed(softfx: Run) -> None:
    arguments = ("check", "router_models:build", *X, "--set", "topk.softness=0.1")
    assert softfx(*arguments).status == 2
    assert softfx(*arguments, "--allow-unused").status == 0


def test_a_baseline_hides_what_was_known_and_counts_what_is_new(softfx: Run) -> None:
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
def test_a_baseline_that_cannot_be_read_is_told(softfx: Run, text: str | None, told: str) -> None:
    if text is not None:
        Path("baseline.json").write_text(text)
    answer = softfx("check", "router_models:build", *X, "--baseline", "baseline.json")
    assert answer.status == 2 and told in answer.err and "--format json" in answer.err


@pytest.mark.parametrize("command", [("check",), ("diff",), ("policy", "show")])
def test_the_name_of_the_file_chooses_the_page(softfx: Run, command: tuple[str, ...]) -> None:
    answer = softfx(*command, "router_models:build", *X, "--out", "report.html")
    assert (answer.status, answer.out) == (0, "")
    assert "wrote report.html" in answer.err
    text = Path("report.html").read_text()
    assert text.startswith("<!doctype html>")
    assert "argmax" in text
    assert softfx(*command, "router_models:build", *X, "--out", "report.html").status == 2
    assert softfx(*command, "router_models:build", *X, "--format", "html").out.strip() == text.strip()


@pytest.mark.parametrize(("name", "start"), [("r.json", "{"), ("r.md", "# softfx"), ("r.sarif", "{"), ("r", "softfx")])
def test_a_report_goes_to_a_file_in_the_format_of_its_name(softfx: Run, name: str, start: str) -> None:
    assert softfx("check", "router_models:build", *X, "--out", name).status == 0
    assert Path(name).read_text().startswith(start)


def test_the_report_says_what_has_a_gradient_that_had_none(softfx: Run) -> None:
    answer = softfx("check", "router_models:pick", "--input", "scores=3", "--input", "values=3")
    assert "No gradient at all in the original\n    input scores: has one now" in answer.out
    kept = softfx("check", "router_models:pick", "--input", "3", "--input", "3", "--policy", "keep")
    assert "No gradient at all in the original\n    input scores: still none\n" in kept.out
