"""A program that asks tensors for their history goes the way it goes in the original."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from tests.generated.contracts import EXACT

X = torch.tensor([0.3, -1.0, 2.0, 0.9])
Asked = Callable[[Tensor, Tensor], Tensor]


def written(x: Tensor, w: Tensor) -> Tensor:
    y = torch.zeros(4)
    y[x.argmax()] = 1.0
    return y


def written_twice(x: Tensor, w: Tensor) -> Tensor:
    y = torch.zeros(4)
    y[x > 0] = 1.0
    y[1:].add_(w[1:])
    return y[:2]


def without_gradients(x: Tensor, w: Tensor) -> Tensor:
    with torch.no_grad():
        return x.round() * 2


def made_a_leaf(x: Tensor, w: Tensor) -> Tensor:
    return (x > 0).float().requires_grad_()


# Each gives a tensor that the program asks.
ASKED: dict[str, Asked] = {
    "mask": lambda x, w: (x > 0).float(),
    "mask of what is made": lambda x, w: ((x * 2).sin() > 0).float() * 2 + 1,
    "count": lambda x, w: (x > 0).sum() / 4,
    "one-hot": lambda x, w: torch.nn.functional.one_hot(x.argmax(), 4).float(),
    "rounded": lambda x, w: x.round(),
    "looked up": lambda x, w: w[x.argmax()],
    "looked up in constants": lambda x, w: torch.arange(4.0)[x.argmax()],
    "masked": lambda x, w: (x > 0).float() * w,
    "chosen": lambda x, w: torch.where(x > 0, w, 0.0),
    "chosen of numbers": lambda x, w: torch.where(x > 0, 1.0, 0.0).cumsum(0),
    "joined": lambda x, w: torch.cat([(x > 0).float(), w]),
    "moved": lambda x, w: (x > 0).float().view(2, 2).t().clone(),
    "detached": lambda x, w: x.round().detach(),
    "guarded": lambda x, w: (x > 0).float().sqrt() / 3,
    "values": lambda x, w: torch.topk(x, 2).values,
    "places": lambda x, w: torch.topk(x, 2).indices.float(),
    "written": written,
    "written twice": written_twice,
    "without gradients": without_gradients,
    "made a leaf": made_a_leaf,
    "given": lambda x, w: x,
}  # fmt: skip


def asking(name: str) -> Asked:
    """A program whose result tells the answers, and has a derivative."""

    def program(x: Tensor, w: Tensor) -> Tensor:
        asked = ASKED[name](x, w)
        told = 4 * asked.requires_grad + 2 * asked.is_leaf + (asked.grad_fn is None)
        return asked.sum() * (x.ceil() * w).sum() * 0 + told

    return program


@pytest.mark.parametrize("policy", EXACT)
@pytest.mark.parametrize("derivatives", [(True, False), (False, True), (False, False), (True, True)], ids=str)
@pytest.mark.parametrize("name", ASKED)
def test_the_answers_are_those_of_the_original(name: str, derivatives: tuple[bool, bool], policy: str) -> None:
    x, w = (t.clone().requires_grad_(wanted) for t, wanted in zip((X, X.flip(0)), derivatives, strict=True))
    soft = softfx.soften(asking(name), policy, example_inputs=(x, w))
    for _ in range(5):  # planned, recorded, and by the recording
        assert soft(x, w) == asking(name)(x, w)
    if any(derivatives):
        soft(x, w).backward()


def test_answers_follow_the_inputs_of_each_call() -> None:
    soft = softfx.soften(asking("masked"), example_inputs=(X, X))
    for wanted in (False, True, False):
        x, w = X.clone().requires_grad_(), X.clone().requires_grad_(wanted)
        assert soft(x, w) == asking("masked")(x, w)


def branching(x: Tensor, w: Tensor) -> Tensor:
    mask = (x > 0).float() * 2
    chosen = mask.view(2, 2).sum(0) if x.sum() > 0 else mask.cumsum(0)
    return chosen.sum() * (x.ceil() * w).sum() * 0 + 2 * chosen.requires_grad + (w * mask).requires_grad


@pytest.mark.parametrize("derivatives", [(True, False), (True, True)], ids=str)
def test_answers_behind_the_place_where_a_run_leaves_its_recording(derivatives: tuple[bool, bool]) -> None:
    x, w = (t.clone().requires_grad_(wanted) for t, wanted in zip((X, X.flip(0)), derivatives, strict=True))
    soft = softfx.soften(branching, example_inputs=(x, w), executor="eager")
    for _ in range(4):
        assert soft(x, w) == branching(x, w)
    other = (-x).detach().requires_grad_()
    assert soft(other, w) == branching(other, w)
    (tape,) = soft._softfx.eager.tapes._tapes.values()
    assert (tape.replayed, tape.left) == (3, 1)
