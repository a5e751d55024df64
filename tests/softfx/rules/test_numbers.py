"""Soft values where torch reads one number: a bound, a size, an axis. They are cut there, and the report says so."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx

TABLE = torch.arange(12.0).view(3, 4)
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(1))


def assigned(x: Tensor) -> Tensor:
    y = x * 2
    y[:, : x.argmax(1)[0]] = 1.0
    return y


PROGRAMS: dict[str, Callable[[Tensor], Tensor]] = {
    "end": lambda x: TABLE[: (x > 0).sum()].sum() * x,
    "start": lambda x: TABLE[x.argmax(1)[0] :].sum() * x,
    "from the end": lambda x: TABLE[-x.argmax(1)[0] :].sum() * x,
    "step": lambda x: TABLE.flatten()[:: x.argmax(1)[0] + 1].sum() * x,
    "of the data itself": lambda x: x[: x[:, 0].argmax() + 1].sum(),
    "among other keys": lambda x: TABLE[:, : x.argmax(1)[0]].sum() * x,
    "assigned": assigned,
    "narrow": lambda x: TABLE.narrow(1, 0, x.argmax(1)[0]).sum() * x,
    "padding": lambda x: F.pad(TABLE, (x.argmax(1)[0], 0)).sum() * x,
    "classes": lambda x: F.one_hot(torch.arange(3), x.argmax(1)[0] + 4).sum() * x,
    "diagonal": lambda x: x.tril(x.argmax(1)[0] - 1),
    "k": lambda x: x.flatten().topk((x > 0).sum())[0].sum(),
    "bins": lambda x: torch.histc(x, (x > 0).sum()).sum() * x,
    "repeats": lambda x: x.repeat((x[0] > 0).sum(), 1),
    "range": lambda x: torch.arange((x > 0).sum()).sum() * x,
    "size": lambda x: torch.ones((x > 0).sum()).sum() * x,
    "integer of Python": lambda x: TABLE[: int((x > 0).sum())].sum() * x,
}


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_soft_value_in_the_place_of_a_number_is_cut_and_told(name: str, policy: str) -> None:
    soft = softfx.soften(PROGRAMS[name], policy, example_inputs=(X,))
    assert soft(X).shape == PROGRAMS[name](X).shape
    if policy == "gradients":
        assert torch.equal(soft(X), PROGRAMS[name](X))
    blocked = [site for site in soft.report.sites if site.action == "blocked"]
    assert blocked and all(site.reason and "object" not in site.reason for site in blocked)
