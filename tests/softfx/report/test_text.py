"""The report as plain text."""

from __future__ import annotations

import pytest

from softfx.locations import short_path
from softfx.report.text import report_text
from softfx.rules import RULES
from tests.softfx import fakes
from tests.softfx.fakes import empty_report, full_report

LAYER, ROUTER = short_path(fakes.LAYER), short_path(fakes.ROUTER)

TEXT = f"""\
softfx report for package.module:build
Seen by torch's compiler front end (dynamo), as 2 graphs. One graph cannot hold the call. The
softened target runs the original's Python.

{ROUTER}:98: SX304 gt: straight-through
    > mask = scores > self.threshold
    in layers.0.router
    mode smooth, softness 0.1; decided by preset gradients
    cut: nonzero at pkg/router.py:101 takes only the hard value
{ROUTER}:107: SX206 topk: soft (2 sites)
    > weights, index = torch.topk(router_logits, self.top_k, dim=-1)  # [tokens, k]
    in layers.0.router, layers.1.router
    mode smooth, method lapsum, softness 0.05; decided by policy.toml:14 [[rule]] 2

{LAYER}:7: SX201 argmax: blocked
    > best = scores.argmax().item()
    decided by preset gradients
    why: item reads the value into Python at pkg/layers/feed_forward.py:7
"""


def test_the_text_form_is_this() -> None:
    gt = RULES["gt"].code
    assert report_text(full_report()).startswith(TEXT.replace("SX304", gt))
    assert str(full_report()) == report_text(full_report())


def test_the_text_form_ends_with_breaks_starved_parameters_counts_and_hints() -> None:
    text = report_text(full_report())
    assert f"Breaks: what no single graph holds\n    {LAYER}:30: data-dependent branch on a tensor\n" in text
    assert "No gradient at all in the original\n    layers.*.router.weight (2 of them)\n" in text
    counts = "6 sites: 2 soft, 1 straight-through, 1 guarded, 1 kept, 1 blocked. "
    static = "12 static operations (on constants, integers or shapes) were left alone."
    assert counts + static in text.replace("\n", " ")
    assert "`softfx explain SX201`" in text
    assert 'op = "@kink"' in text.replace("\n", " ")


@pytest.mark.parametrize("width", [60, 80, 120])
def test_prose_is_wrapped_and_paths_and_source_are_not(width: int) -> None:
    for line in report_text(full_report(), width).splitlines():
        assert len(line) <= width or line.lstrip().startswith((">", "/"))


def test_a_report_without_sites_says_so() -> None:
    text = report_text(empty_report())
    assert "0 sites." in text
    assert "Nothing to act on" in text
    assert "policy init" not in text
