"""Operands by which torch has no derivative: what softening gives them ends there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT
from tests.helpers import EXECUTOR

X = torch.tensor([[0.3, -1.2, 2.0, 0.7], [1.1, 0.4, -0.2, -0.9], [0.05, 1.7, -2.2, 0.6]])
LABELS = torch.tensor([0, 1, 2])


def mask(x: Tensor) -> Tensor:
    return (x > 0).float()


PROGRAMS: list[Callable[[Tensor], Tensor]] = [
    lambda x: F.cross_entropy(x, LABELS, weight=mask(x)[0] + 0.5),
    lambda x: F.nll_loss(x.log_softmax(-1), LABELS, mask(x)[0] + 0.5),
    lambda x: F.multi_margin_loss(x, LABELS, weight=mask(x)[0] + 0.5),
    lambda x: F.soft_margin_loss(x, mask(x) * 2 - 1),
    lambda x: F.soft_margin_loss(x, mask(x.detach()) * 2 - 1),
    lambda x: F.binary_cross_entropy(x.sigmoid(), mask(x), weight=mask(x.flip(0)) + 1),
    lambda x: F.binary_cross_entropy_with_logits(x, mask(x), mask(x) + 1, pos_weight=mask(x)[0] + 1),
    lambda x: F.batch_norm(x, mask(x)[0], mask(x)[1] + 1, mask(x)[2] + 1, mask(x)[0]),
    lambda x: F.batch_norm(x, mask(x)[0], mask(x)[1] + 1, training=True),
    lambda x: torch.fake_quantize_per_channel_affine(x, mask(x)[0] + 0.1, torch.zeros(4), 1, -8, 7),
    lambda x: torch.fake_quantize_per_tensor_affine(x, mask(x)[0, 0] + 0.1, torch.tensor(0), -8, 7),
    lambda x: torch.special.gammainc(mask(x) + 1, x.abs()) + torch.special.zeta(mask(x) + 2, x.abs() + 1),
]


@EXECUTOR
@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_the_call_is_made_as_in_the_original(number: int, policy: str, executor: str) -> None:
    program, x = PROGRAMS[number], X.clone().requires_grad_()
    soft = softfx.soften(program, policy, example_inputs=(x,), executor=executor)
    result = soft(x)
    assert torch.equal(result, program(X))
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert gradient.isfinite().all() and gradient.any()


@EXECUTOR
def test_what_ends_there_is_told(executor: str) -> None:
    soft = softfx.soften(PROGRAMS[0], example_inputs=(X,), executor=executor)
    assert [(site.op, site.action) for site in soft.report.sites] == [("gt", "keep")]
    assert "it ends in cross_entropy" in soft.report.sites[0].reason
