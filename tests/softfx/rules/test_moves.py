"""Movements and look-ups made at once on a distribution give what torch.func.vmap gives, slice by slice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
from softfx.runtime import distributions, moves

_MASK = torch.tensor([[True, False, True], [False, True, False]])
_ROWS, _COLUMNS = torch.tensor([0, 1]), torch.tensor([2, 0])

MOVES: list[tuple[Callable[..., Any], tuple[Any, ...]]] = [
    (torch.reshape, ((6, 4),)),
    (Tensor.reshape, (6, -1)),
    (Tensor.view, (2, 12)),
    (Tensor.view, ((-1,),)),
    (torch.unsqueeze, (0,)),
    (torch.unsqueeze, (-1,)),
    (torch.squeeze, ()),
    (torch.squeeze, (-2,)),
    (torch.flatten, ()),
    (torch.flatten, (0, -2)),
    (torch.permute, ((2, 0, 1),)),
    (Tensor.permute, (-1, 0, 1)),
    (torch.transpose, (0, -1)),
    (Tensor.repeat, (2, 1, 1, 1)),
    (Tensor.expand, (5, -1, -1, 4)),
    (torch.broadcast_to, ((5, 2, 3, 4),)),
    (torch.select, (-1, 0)),
    (torch.chunk, (2, -1)),
    (torch.split, (2, 1)),
    (Tensor.split, ([1, 3], -1)),
    (torch.unbind, (-1,)),
]
KEYS: list[Any] = [
    0, (0, 1), (slice(None), 1), (..., 1), (None, 0), (..., None), (slice(0, 2), ..., slice(1, 3)), _ROWS,
    (_ROWS, _COLUMNS), (_ROWS, slice(None), _COLUMNS), (_ROWS, ..., _COLUMNS), _MASK, (slice(None), _MASK[0]),
    (1, slice(None), _ROWS), (None, torch.tensor(1)), (..., _ROWS), (_ROWS[:, None], None, 0),
]  # fmt: skip


@pytest.mark.parametrize(("func", "args"), [*MOVES, *((Tensor.__getitem__, (key,)) for key in KEYS)])
def test_a_movement_of_all_slices_at_once(func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    p = torch.randn(2, 3, 4, 7)
    one_by_one = torch.func.vmap(lambda slice: func(slice, *args), in_dims=-1, out_dims=-1)(p)
    at_once: Any = distributions.move(func, p, *args)
    torch.testing.assert_close(tuple(at_once), tuple(one_by_one), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("func", "args"),
    [(F.unfold, (2,)), (F.pad, ((1, 1, 1, 1), "replicate")), (F.interpolate, ((8, 8),)), (torch.split, (2, -1))],
)
def test_a_support_is_moved_where_torch_has_no_kernel_for_integers(func: Callable[..., Any], args: Any) -> None:
    support = torch.arange(48).reshape(1, 1, 4, 4, 3)
    moved: Any = distributions.move(func, support, *args)
    expected: Any = distributions.move(func, support.float(), *args)
    for one, other in zip(tuple(moved), tuple(expected), strict=True):
        assert one.dtype is torch.int64
        assert torch.equal(one, other.long())


def test_windows_of_windows_of_a_mask_are_followed() -> None:
    """An opening of a mask, by `unfold`: the least of each window, and then the largest."""

    def opened(x: Tensor) -> Tensor:
        least = F.unfold((x > 0).float(), 3).amin(1).view(1, 1, 4, 4)
        return F.unfold(least, 3).amax(1).sum()

    x = torch.linspace(-0.4, 1, 36).reshape(1, 1, 6, 6).requires_grad_()
    soft = softfx.soften(opened, example_inputs=(x,))
    value = soft(x)
    assert torch.equal(value, opened(x))
    assert bool(torch.autograd.grad(value, x)[0].any())


_DATA = torch.randn(5, 6, 3)
LOOK_UPS: list[tuple[Callable[..., Any], tuple[Any, ...], int, tuple[int, ...]]] = [
    (Tensor.__getitem__, (_DATA, "index"), 0, (2, 4)),
    (Tensor.__getitem__, (_DATA, (slice(None), "index")), 1, (2, 2, 4)),
    (Tensor.__getitem__, (_DATA, (..., "index")), 2, (2, 4)),
    (Tensor.__getitem__, (_DATA, (slice(0, 2), None, "index")), 2, (4,)),
    (Tensor.__getitem__, (_DATA, (_ROWS, "index")), 0, (2, 4)),  # beside another index
    (F.embedding, ("index", _DATA[:, :, 0]), 0, (2, 2, 4)),
    (torch.index_select, (_DATA, 1, "index"), 1, (2, 4)),
    (torch.gather, (_DATA, 2, "index"), 0, (2, 2, 2, 4)),
]


@pytest.mark.parametrize(("func", "arguments", "block", "shape"), LOOK_UPS)
def test_a_look_up_at_all_points_at_once(
    func: Callable[..., Any], arguments: tuple[Any, ...], block: int, shape: tuple[int, ...], monkeypatch: Any
) -> None:
    points = torch.randint(0, 3, shape)
    p = torch.rand(shape)
    at_once = distributions.look_up(func, arguments, p, points, block)
    monkeypatch.setattr(moves, "at_points", lambda *_: None)
    torch.testing.assert_close(at_once, distributions.look_up(func, arguments, p, points, block), rtol=0, atol=0)


@pytest.mark.parametrize(("func", "arguments", "block", "shape"), LOOK_UPS[:5])
def test_soft_indices_are_looked_up_at_once(
    func: Callable[..., Any], arguments: tuple[Any, ...], block: int, shape: tuple[int, ...], monkeypatch: Any
) -> None:
    points, p = torch.randint(0, 3, shape), torch.rand(shape)
    named = ("data", arguments[1])
    weights, support = torch.rand(5, 6, 3, 2), torch.randint(0, 9, (5, 6, 3, 2))

    def found() -> tuple[Tensor, Tensor]:
        return (
            distributions.compose(func, named, p, points, weights, block),
            distributions.found_points(func, named, p, points, support, block),
        )

    at_once = found()
    monkeypatch.setattr(moves, "behind_an_axis", lambda *_: None)
    torch.testing.assert_close(at_once, found(), rtol=0, atol=0)
