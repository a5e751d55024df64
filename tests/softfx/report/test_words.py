"""The words that the formats share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.locations import short_path
from softfx.report.words import by_file, hints
from tests.softfx.fakes import LAYER, ROUTER, full_report


def test_sites_that_differ_in_their_module_only_are_told_together() -> None:
    groups = by_file(full_report().sites)
    assert list(groups) == [ROUTER, LAYER]
    assert [(group.first.op, group.first.line, len(group.sites)) for group in groups[ROUTER]] == [
        ("gt", 98, 1),
        ("topk", 107, 2),
    ]
    assert groups[ROUTER][1].modules == ["layers.0.router", "layers.1.router"]


def test_paths_are_shown_without_what_leads_to_a_package() -> None:
    assert short_path(ROUTER) == "pkg/router.py"
    assert short_path("/elsewhere/model.py") == "/elsewhere/model.py"


def ends_in_branch(x: Tensor) -> Tensor:
    return x * 2 if (x > 0.5).any() else x


def ends_in_number(x: Tensor) -> Tensor:
    return x * x.round().sum().item()


def counts_rows(x: Tensor) -> Tensor:
    return x.new_tensor(x[x > 0.5].shape[0] / 2)


def detaches(x: Tensor) -> Tensor:
    return (x > 0.5).float().detach() * 3


@pytest.mark.parametrize(
    ("program", "said"),
    [
        (ends_in_branch, "torch.where(condition, a, b)"),
        (ends_in_number, "leave it a tensor"),
        (counts_rows, "reduce under the mask"),
        (detaches, "--policy lifted"),
    ],
)
def test_a_report_ends_with_the_next_step_for_what_stays_cut(program: Callable[[Tensor], Tensor], said: str) -> None:
    report = softfx.check(program, example_inputs=(torch.tensor([0.2, 0.9], requires_grad=True),))
    steps = ("torch.where(condition, a, b)", "leave it a tensor", "--policy lifted", "reduce under the mask")
    assert [step for step in steps if any(step in hint for hint in hints(report))] == [said]


def test_what_is_mended_needs_no_further_step() -> None:
    report = softfx.check(lambda x: (x > 0.5).float() * 3, example_inputs=(torch.ones(2, requires_grad=True),))
    assert len(hints(report)) == 1
