"""The statistics of audits as statistics: how often a planted site gets its verdict, and an interval holds the truth.

The default tests take a few seeds; `pytest -m statistics -s tests/softfx/auditing/test_statistics.py` takes 100 and
prints what it measured.
"""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import softfx
from tests.softfx.auditing.test_audit import PLANTED

ALL = 100
AUTO = {"default": {"softness": "auto"}}
ABSOLUTE = {"default": {"softness": 0.1}}


def right_verdicts(verdict: str, seeds: range) -> int:
    program, unit = PLANTED[verdict]
    right = 0
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        x = unit * (torch.linspace(-1.05, 1.15, 8) + 0.01 * torch.randn(8, generator=generator))
        (site,) = softfx.audit(program, ABSOLUTE, example_inputs=(x,), samples=192, seed=seed).sites
        right += site.verdict == verdict
    return right


def true_cosine(x: Tensor, gradient: Tensor, sigma: float, threshold: float) -> float:
    """Of a count of what is above a threshold the smoothed derivative is the normal density."""
    truth = torch.exp(-(((x - threshold) / sigma) ** 2) / 2)
    return float(truth @ gradient / truth.norm() / gradient.norm())


def held(seeds: range) -> int:
    """How many intervals hold the true cosine of a comparison whose softened gradient is known."""
    found = 0
    for seed in seeds:
        x = torch.randn(16, generator=torch.Generator().manual_seed(seed), requires_grad=True)
        policy = {"default": {"softness": 0.05}}
        soft = softfx.soften(lambda x: (x > 0.1).double().sum(), policy, example_inputs=(x,), executor="eager")
        (gradient,) = torch.autograd.grad(soft(x), x)
        report = softfx.audit(
            lambda x: (x > 0.1).double().sum(), policy, example_inputs=(x,), samples=512, seed=seed, scale=0.5
        )
        site = report.sites[0]
        true = true_cosine(x.detach().double(), gradient.double(), site.sigma, 0.1)
        found += site.low is not None and site.high is not None and site.low - 1e-6 <= true <= site.high + 1e-6
    return found


@pytest.mark.parametrize("verdict", PLANTED)
def test_a_planted_site_gets_its_verdict(verdict: str) -> None:
    assert right_verdicts(verdict, range(200, 201)) == 1


def test_an_interval_holds_the_true_cosine() -> None:
    assert held(range(4)) >= 3


@pytest.mark.statistics
@pytest.mark.parametrize("verdict", PLANTED)
def test_a_planted_site_gets_its_verdict_in_95_of_100(verdict: str) -> None:
    right = right_verdicts(verdict, range(ALL))
    print(f"{verdict}: right in {right} of {ALL}")
    assert right >= 95


@pytest.mark.statistics
def test_intervals_hold_the_true_cosine_in_90_to_99_of_100() -> None:
    found = held(range(ALL))
    error = math.sqrt(0.95 * 0.05 / ALL)
    print(f"the interval holds the true cosine in {found} of {ALL} (95 +- {100 * error:.0f} are due)")
    assert 90 <= found <= 99
