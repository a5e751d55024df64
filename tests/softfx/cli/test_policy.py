"""`softfx policy`: a policy written for a model, and the decisions of one."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.softfx.cli.programs import ARGMAX, RELU, Run, X


def test_a_policy_written_for_a_model_decides_the_same(softfx: Run) -> None:
    assert softfx("policy", "init", "router_models:build", *X, "--out", "policy.toml").status == 0
    text = Path("policy.toml").read_text()
    assert len(tomllib.loads(text)["rule"]) == 2
    assert "# SX201 argmax (discrete): index = self.gate(x).argmax(-1)" in text
    before = json.loads(softfx("check", "router_models:build", *X, "--format", "json").out)
    after = json.loads(softfx("check", "router_models:build", *X, "--format", "json", "--policy", "policy.toml").out)
    assert [site["action"] for site in after["sites"]] == [site["action"] for site in before["sites"]]
    assert after["sites"][0]["decided_by"].startswith("policy.toml:")
    assert "it exists" not in softfx("policy", "init", "router_models:build", *X).err


def test_a_policy_is_the_same_in_another_clone_of_a_project(softfx: Run) -> None:
    text = softfx("policy", "init", "router_models:build", *X).out
    assert {rule["source"] for rule in tomllib.loads(text)["rule"]} == {
        f"router_models.py:{ARGMAX}", f"router_models.py:{RELU}"
    }  # fmt: skip


@pytest.mark.parametrize(("written", "read"), [(".5", 0.5), ("1.", 1.0), ("5.e-1", 0.5), ("0.25", 0.25), ("1e-1", 0.1)])
def test_numbers_are_read_as_shells_write_them(softfx: Run, written: str, read: float) -> None:
    answer = softfx("check", "router_models:build", *X, "--set", f"argmax.softness={written}", "--format", "json")
    assert json.loads(answer.out)["sites"][0]["softness"] == read


def test_a_policy_that_exists_is_not_overwritten(softfx: Run) -> None:
    Path("policy.toml").write_text("mine")
    answer = softfx("policy", "init", "router_models:build", *X, "--out", "policy.toml")
    assert answer.status == 2
    assert "policy.toml: the file exists and may have been edited." in answer.err
    assert Path("policy.toml").read_text() == "mine"


def test_policy_show_tells_each_decision_and_who_made_it(softfx: Run) -> None:
    Path("policy.toml").write_text('[[rule]]\nop = "argmax"\naction = "soft"\nsoftness = 0.2\n')
    arguments = ("policy", "show", "router_models:build", *X, "--policy", "policy.toml")
    expected = "SX201 argmax: soft (mode smooth, softness 0.2); decided by policy.toml:1 [[rule]] 1"
    assert f"router_models.py:{ARGMAX}: {expected}" in softfx(*arguments).out
    decisions = json.loads(softfx(*arguments, "--format", "json").out)
    assert [decision["action"] for decision in decisions] == ["soft", "keep"]
