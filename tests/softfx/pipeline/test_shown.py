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
    soft = softfx.soften(pick, softness=0.1, example_inputs=(torch.rand(4),))
    assert repr(soft).startswith("SoftFunction(<function pick at ")
    assert repr(soft).endswith(", 2 sites: 2 straight-through; softness 0.1)")
    assert inspect.signature(soft) == inspect.signature(pick)
    assert soft.__doc__ == pick.__doc__


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(2, 2)

    def extra_repr(self) -> str:
        return "scale=3"

    def forward(self, x: Tensor) -> Tensor:
        return 3 * self.out(x.round() + x.sign())


def test_a_softened_module_says_its_sites_and_their_softness_as_it_is_now() -> None:
    soft = softfx.soften(Scaled(), softness=0.1, example_inputs=(torch.rand(1, 2),))
    assert repr(soft).splitlines()[1] == "  scale=3, 2 sites: 2 straight-through; softness 0.1"
    softfx.set_softness(soft, {"round": 0.02})
    assert "softness 0.02 to 0.1" in repr(soft) and "(out): Linear(" in repr(soft)
    kept = softfx.soften(nn.ReLU(), "keep", example_inputs=(torch.rand(2),))
    assert repr(kept) == "SoftReLU(1 site: 1 kept)"
    assert "sites" not in repr(softfx.harden(soft))


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
