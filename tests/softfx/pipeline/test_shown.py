"""What a softened object shows of itself: in a prompt, in a notebook, and its version."""

from __future__ import annotations

import inspect

import torch
from torch import Tensor, nn

import softfx
import softtorch


def pick(scores: Tensor, k: int = 2) -> Tensor:
    """The k largest."""
    return scores.topk(k).values.round()


def test_a_softened_function_says_its_sites() -> None:
    soft = softfx.soften(pick, example_inputs=(torch.rand(4),))
    assert repr(soft).startswith("SoftFunction(<function pick at ")
    assert repr(soft).endswith(", 2 sites: 2 straight-through)")
    assert inspect.signature(soft) == inspect.signature(pick)
    assert soft.__doc__ == pick.__doc__


def test_softened_objects_and_reports_show_themselves_in_a_notebook() -> None:
    function = softfx.soften(pick, example_inputs=(torch.rand(4),))
    module = softfx.soften(nn.Sequential(nn.Linear(2, 2), nn.ReLU()), "smooth", example_inputs=(torch.rand(1, 2),))
    assert "topk" in function._repr_html_()
    assert "relu" in module._repr_html_()  # type: ignore[operator]
    assert module._repr_html_() == softfx.report_of(module)._repr_html_()  # type: ignore[operator]


def test_both_packages_say_their_version() -> None:
    assert softfx.__version__ == softtorch.__version__ != ""


def test_a_policy_shows_its_entries_and_no_markup_of_others() -> None:
    policy = softfx.Policy.load({"rule": [{"op": "topk", "module": "<img src=x>", "action": "soft"}]})
    html = policy._repr_html_()
    assert "op = &quot;topk&quot;" in html
    assert "<img" not in html
