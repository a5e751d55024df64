"""The lock of a gradient: the same for the same program, and another one names what moved and where."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.auditing.fingerprint import LockedSite, locked_sites, signs_of
from softfx.errors import TargetError
from softfx.report.record import Site

X = torch.linspace(-1.0, 1.2, 12)
SHARP: dict[str, Any] = {"default": {"softness": 0.1}}


class Gate(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Linear(3, 4), nn.Linear(4, 1)
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x: Tensor) -> Tensor:
        open_ = (self.norm(self.first(x)) > 0.1).float()
        return torch.round(3 * self.second(open_))


BATCH = torch.randn(6, 3, generator=torch.Generator().manual_seed(0))


def test_a_lock_is_the_same_again_and_survives_json() -> None:
    gate = Gate()
    state = {name: value.clone() for name, value in gate.state_dict().items()}
    before = softfx.lock(gate, SHARP, example_inputs=(BATCH,))
    assert {each.name for each in before.parameters} == {name for name, _ in gate.named_parameters()}
    assert all(each.norm > 0 for each in before.sites)
    assert all(torch.equal(value, state[name]) for name, value in gate.state_dict().items())
    read = softfx.Lock.from_dict(json.loads(json.dumps(before.to_dict(), allow_nan=False)))
    assert read == before and before.moved(softfx.lock(gate, SHARP, example_inputs=(BATCH,))) == []


def test_what_moved_is_told_with_the_site_that_changed_most_first() -> None:
    before = softfx.lock(Gate(), SHARP, example_inputs=(BATCH,))
    rule = {"op": "gt", "action": "keep"}
    moved = before.moved(softfx.lock(Gate(), {**SHARP, "rule": [rule]}, example_inputs=(BATCH,)))
    assert moved[0].startswith("first.weight: |gradient| ") and " -> 0, its signs changed" in moved[0]
    (site,) = (line for line in moved if line.startswith("gt at "))
    assert "straight-through -> kept" in site and not any(line.startswith("second") for line in moved)
    softer = before.moved(softfx.lock(Gate(), {"default": {"softness": 0.3}}, example_inputs=(BATCH,)))
    assert any("mode smooth, softness 0.1 -> mode smooth, softness 0.3" in line for line in softer)


def test_small_changes_are_within_the_tolerance_and_versions_are_told() -> None:
    before = softfx.lock(torch.sign, SHARP, example_inputs=(X,))
    (one,) = before.parameters
    now = replace(before, parameters=(replace(one, norm=1.005 * one.norm),), versions={"torch": "9.9"})
    assert before.moved(now) == []
    lines = before.moved(now, tolerance=0.001)
    assert lines[0].startswith("input argument 0: |gradient| ") and lines[-1].endswith(" -> 9.9")
    assert before.moved(replace(before, sites=())) == [f"{before.sites[0].name}: is gone, it passed on {one.norm:.4g}"]
    assert replace(before, parameters=()).moved(before) == ["input argument 0: is new"]


def test_the_agreement_is_measured_where_it_is_asked_for() -> None:
    before = softfx.lock(torch.sign, SHARP, example_inputs=(X,), samples=64)
    assert before.samples == 64 and before.parameters[0].agreement is not None


@pytest.mark.parametrize("size", [3, 1000])
def test_signs_are_hashed_whatever_the_length_and_rounding_does_not_turn_them(size: int) -> None:
    gradient = torch.randn(size, generator=torch.Generator().manual_seed(1))
    assert signs_of(gradient) == signs_of(2.0 * gradient) == signs_of(gradient + 1e-9)
    assert signs_of(gradient) != signs_of(-gradient)


@pytest.mark.parametrize("other", [{"seed": 1}, {"inputs": "0"}])
def test_other_inputs_are_not_compared(other: dict[str, Any]) -> None:
    before = softfx.lock(torch.sign, SHARP, example_inputs=(X,))
    with pytest.raises(TargetError, match="do not compare"):
        before.moved(replace(before, **other))


@pytest.mark.parametrize("data", [{}, {"version": 9, "parameters": []}, []])
def test_what_is_no_lock_is_told(data: Any) -> None:
    with pytest.raises(TargetError, match="no lock of version 1"):
        softfx.Lock.from_dict(data)


def test_a_site_is_known_again_in_another_clone_of_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def locked(clone: str) -> LockedSite:
        folder = tmp_path / clone
        folder.mkdir()
        monkeypatch.chdir(folder)
        site = Site(0, "SX101", "round", "", str(folder / "model.py"), 3, "x.round()", "discrete", "keep")
        return next(locked_sites([site], {}))

    assert locked("one").key == locked("two").key
