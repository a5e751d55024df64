"""The diff of a program before and after softening, and the module that holds the softened call, as whole texts."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx import api
from softfx.code import diff as diffing
from softfx.errors import CaptureError
from softfx.locations import short_path

X = torch.tensor([0.3, 0.1, 0.7])


def program(x: Tensor) -> Tensor:
    return (x * 2).round() + x


LINE = program.__code__.co_firstlineno + 1
DIFF = """\
--- original
+++ softened
@@ -1,4 +1,4 @@
 # PLACE: return (x * 2).round() + x
 mul = x * 2
-round_1 = mul.round()
-add = round_1 + x
+soft_round = softtorch.round(mul, softness=softness_0)
+soft_add = torch.add(soft_round, x)"""
MODULE = """\
\"\"\"The softened call of program. The report beside this file says what was decided at each site and why.

`forward` takes the module first, whose parameters and buffers it looks up; None for a function.
\"\"\"

import torch

import softtorch

SOFTNESS = {
    0: 0.1,  # round at PLACE
}


def forward(module, x):
    softness_0 = SOFTNESS[0]
    # PLACE: return (x * 2).round() + x
    mul = x * 2
    soft_round = softtorch.round(mul, softness=softness_0)
    soft_add = torch.add(soft_round, x)
    return soft_add
"""


def here(text: str) -> str:
    return text.replace("PLACE", f"{short_path(__file__)}:{LINE}")


def test_the_diff_of_a_program_is_this() -> None:
    assert softfx.diff(program, "smooth", example_inputs=(X,)) == here(DIFF)


def best(x: Tensor) -> Tensor:
    values, places = x.topk(2)
    scores = torch.softmax(values, 0)
    for _ in range(200):  # so many that difflib takes their lines for noise
        with torch.no_grad():
            pass
    first, second = scores.chunk(2)
    return first * 2 + second + places


IN_MODEL = {"preset": "gradients", "rule": [{"op": "topk", "scope": "model"}]}  # soft values run beside to the end


def test_the_diff_leaves_alone_what_softening_leaves_alone() -> None:
    lines = softfx.diff(best, IN_MODEL, example_inputs=(X.clone(),)).splitlines()[2:]
    added = [line.partition(" = ")[0] for line in lines if line.startswith("+")]
    assert {"+soft_topk", "+soft_topk_item0", "+softmax_again"} <= set(added)
    # What is gone is there again, from what is soft now.
    gone = [line for line in lines if line.startswith("-")]
    assert gone[0] == "-chunk = softmax.chunk(2)" and len(gone) <= 3
    assert {line.partition(" = ")[0].replace("-", "+", 1) for line in gone} <= set(added)


def test_the_heads_of_a_diff_count_its_lines() -> None:
    _, *changes = re.split(r"(?m)^(?=@@)", softfx.diff(best, IN_MODEL, example_inputs=(X.clone(),)))
    assert len(changes) == 3
    for change in changes:
        head, *lines = change.splitlines()
        old, new = (int(each) for each in re.findall(r",(\d+)", head))
        assert (old, new) == tuple(sum(line[0] in kinds for line in lines) for kinds in (" -", " +"))


def test_the_module_of_a_softened_program_is_this() -> None:
    soft = softfx.soften(program, "smooth", example_inputs=(X,), executor="graph")
    assert softfx.source(soft) == here(MODULE)


def run(text: str, *inputs: Any) -> Any:
    names: dict[str, Any] = {}
    exec(compile(text, "softened.py", "exec"), names)
    return names["forward"](*inputs)


def test_the_module_computes_what_the_softened_program_does() -> None:
    soft = softfx.soften(program, "smooth", example_inputs=(X,), executor="graph")
    assert torch.equal(run(softfx.source(soft), None, X), soft(X))


def test_parameters_are_looked_up_on_the_module_that_is_passed() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    soft = softfx.soften(model, "smooth", example_inputs=(X,), executor="graph")
    text = softfx.source(soft)
    assert "_at(module, '0.weight')" in text and "_at(module, '0.bias')" in text
    assert torch.equal(run(text, model, X), soft(X))


def test_a_large_constant_is_left_to_be_set() -> None:
    table = torch.arange(2000.0)
    soft = softfx.soften(lambda x: (x + table[:3]).round(), "smooth", example_inputs=(X,), executor="graph")
    assert "None  # a Tensor that the function closes over: set it before calling forward" in softfx.source(soft)


def test_a_program_without_sites_has_no_diff() -> None:
    assert softfx.diff(lambda x: x * 2, "smooth", example_inputs=(X,)) == ""


# -- counts that only values tell --------------------------------------------------------------------------------------


def _beside_as_many(x: Tensor, y: Tensor) -> Tensor:
    return (y[x > 0.2] * torch.ones(2, 2)).sum()


def _of_two_masks(x: Tensor, y: Tensor) -> Tensor:
    return (y[x > 0.2] - y[x > 0.1 + 0.1]).sum()


def _written_back(x: Tensor, y: Tensor) -> Tensor:
    out = y.clone()
    out[x > 0.2] = 2 * y[x > 0.2]
    return out.sum()


@pytest.mark.parametrize("policy", ["smooth", "straight-through"])
@pytest.mark.parametrize("selecting", [_beside_as_many, _of_two_masks, _written_back])
def test_a_program_that_selects_rows_is_drawn_without_their_values(
    selecting: Callable[[Tensor, Tensor], Tensor], policy: str
) -> None:
    """A graph is made of shapes: how many rows a mask selects, and whether two masks agree, it cannot ask."""
    inputs = (X, torch.ones(3, 2))
    diff = softfx.diff(selecting, policy, example_inputs=inputs)
    assert diff == "" or diff.startswith("--- original\n+++ softened\n")
    if policy == "straight-through":
        assert torch.equal(softfx.soften(selecting, policy, example_inputs=inputs)(*inputs), selecting(*inputs))


def test_a_call_that_cannot_be_written_is_told_as_one_that_runs_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*arguments: Any) -> Any:
        raise IndexError("no such row")

    monkeypatch.setattr(diffing, "rewrite", fails)
    for call in (softfx.diff, api.written):
        with pytest.raises(CaptureError, match="cannot be written as one graph: IndexError: no such row"):
            call(program, "smooth", example_inputs=(X,))
