"""Top-k of many places: read, written, compared and computed with by the derivative of the soft mask, no matrix made.

What is summed over all chosen places has exactly the derivative of the same sum over the soft top-k mask, which the
tests write out. The programs are small, with the limit from which on distributions are not written out put below them.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import softfx
import softtorch
from softfx.runtime import choices
from tests.helpers import EXECUTOR
from tests.meters import peak_bytes

ROWS, KEYS, K, WIDTH = 3, 12, 4, 2

Program = Callable[[Tensor], Tensor]
NUMBER = {"default": {"softness": 0.1}}  # the default of what tests write by hand


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


SCORES = drawn(ROWS, KEYS, seed=0)
TABLE, ROW_VALUES, ROW_TABLE = drawn(KEYS, WIDTH, seed=1), drawn(ROWS, KEYS, seed=2), drawn(ROWS, KEYS, WIDTH, seed=3)
LABELS = torch.arange(KEYS) % 5
LINES = torch.arange(ROWS)[:, None]


@pytest.fixture(autouse=True)
def _nothing_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "MOST_WEIGHTS", 0)
    monkeypatch.setattr(choices, "FEWEST", 1)


def mask_of(s: Tensor) -> Tensor:
    return softtorch.topk_mask(s, K)


def best(s: Tensor) -> Tensor:
    return s.topk(K, -1).indices


def written_with_index(s: Tensor) -> Tensor:
    mask = torch.zeros_like(s)
    mask[LINES, best(s)] = 1.0
    return mask * ROW_VALUES


def added_with_index(s: Tensor) -> Tensor:
    total = torch.zeros(KEYS, dtype=s.dtype)
    total[s[0].topk(K).indices] = 2.0
    return total


def copies(s: Tensor) -> Tensor:
    index = best(s)
    joined = torch.empty_like(index)
    joined.copy_(index)
    return TABLE[joined].sum(1)


def by_rows(s: Tensor, values: Tensor) -> Tensor:
    return torch.einsum("qn,qnd->qd", mask_of(s), values)


PROGRAMS: dict[str, tuple[Program, Program]] = {
    "x[index]": (lambda s: TABLE[best(s)].sum(1), lambda s: mask_of(s) @ TABLE),
    "embedding": (lambda s: F.embedding(best(s), TABLE).sum(1), lambda s: mask_of(s) @ TABLE),
    "index_select": (lambda s: TABLE.index_select(0, s[1].topk(K).indices).sum(0), lambda s: mask_of(s)[1] @ TABLE),
    "take": (lambda s: TABLE[:, 0].take(best(s)).sum(1), lambda s: mask_of(s) @ TABLE[:, 0]),
    "gather": (lambda s: ROW_VALUES.gather(-1, best(s)).sum(1), lambda s: (mask_of(s) * ROW_VALUES).sum(1)),
    "gather of the scores": (lambda s: s.gather(-1, best(s)).sum(1), lambda s: (mask_of(s) * s).sum(1)),
    "gather of vectors": (
        lambda s: ROW_TABLE.gather(1, best(s)[..., None].expand(-1, -1, WIDTH)).sum(1),
        lambda s: by_rows(s, ROW_TABLE),
    ),
    "gather by repeated places": (
        lambda s: ROW_TABLE.gather(1, best(s).unsqueeze(-1).repeat(1, 1, WIDTH)).sum(1),
        lambda s: by_rows(s, ROW_TABLE),
    ),
    "take_along_dim": (
        lambda s: torch.take_along_dim(ROW_VALUES, best(s), -1).sum(1),
        lambda s: (mask_of(s) * ROW_VALUES).sum(1),
    ),
    "rows beside": (lambda s: ROW_TABLE[LINES, best(s)].sum(1), lambda s: by_rows(s, ROW_TABLE)),
    "a number beside": (lambda s: ROW_TABLE[1, best(s)].sum(1), lambda s: mask_of(s) @ ROW_TABLE[1]),
    "a slice beside": (lambda s: TABLE.T[:, best(s)].sum(-1), lambda s: (mask_of(s) @ TABLE).T),
    "another axis": (lambda s: TABLE[s.T.topk(K, 0).indices].sum(0), lambda s: mask_of(s) @ TABLE),
    "values": (lambda s: s.topk(K, -1).values.sum(1), lambda s: (mask_of(s) * s).sum(1)),
    "the smallest": (
        lambda s: TABLE[s.topk(K, -1, largest=False).indices].sum(1),
        lambda s: mask_of(-s) @ TABLE,
    ),
    "scatter": (
        lambda s: torch.zeros_like(s).scatter(-1, best(s), 1.0) * ROW_VALUES,
        lambda s: mask_of(s) * ROW_VALUES,
    ),
    "scatter in place": (
        lambda s: torch.ones_like(s).scatter_(-1, best(s), 3.0) * ROW_VALUES,
        lambda s: (1 + 2 * mask_of(s)) * ROW_VALUES,
    ),
    "scatter of bools": (
        lambda s: torch.where(torch.zeros_like(s, dtype=torch.bool).scatter(-1, best(s), True), ROW_VALUES, 0.0),
        lambda s: mask_of(s) * ROW_VALUES,
    ),
    "index_put": (written_with_index, lambda s: mask_of(s) * ROW_VALUES),
    "index_put on one axis": (added_with_index, lambda s: 2 * mask_of(s)[0]),
    "floor division": (lambda s: TABLE[best(s) // 2].sum(1), lambda s: mask_of(s) @ TABLE[torch.arange(KEYS) // 2]),
    "remainder": (lambda s: TABLE[best(s) % 5].sum(1), lambda s: mask_of(s) @ TABLE[LABELS]),
    "an offset by row": (
        lambda s: ROW_TABLE.reshape(-1, WIDTH)[(best(s) + KEYS * LINES).flatten()].view(ROWS, K, WIDTH).sum(1),
        lambda s: by_rows(s, ROW_TABLE),
    ),
    "labels": (lambda s: (LABELS[best(s)] == 2).to(s.dtype).sum(-1), lambda s: mask_of(s) @ (LABELS == 2).to(s.dtype)),
    "labels in order": (
        lambda s: (LABELS[best(s)] < 2).to(s.dtype).sum(-1),
        lambda s: mask_of(s) @ (LABELS < 2).to(s.dtype),
    ),
    "a target by row": (
        lambda s: (best(s) == 2 * LINES + 1).to(s.dtype).sum(-1),
        lambda s: mask_of(s).gather(-1, 2 * LINES + 1).squeeze(-1),
    ),
    "isin": (
        lambda s: torch.isin(best(s), torch.tensor([1, 5])).to(s.dtype).sum(-1),
        lambda s: mask_of(s)[:, [1, 5]].sum(-1),
    ),
    "the mean place": (
        lambda s: best(s).to(s.dtype).mean(-1),
        lambda s: mask_of(s) @ torch.arange(KEYS, dtype=s.dtype) / K,
    ),
    "a copy": (copies, lambda s: mask_of(s) @ TABLE),
    "one_hot": (lambda s: F.one_hot(best(s), KEYS).sum(1).to(s.dtype), mask_of),
}


@EXECUTOR
@pytest.mark.parametrize("name", PROGRAMS)
def test_sums_over_chosen_places_have_the_derivative_of_the_mask(name: str, executor: str) -> None:
    program, by_hand = PROGRAMS[name]
    x = SCORES.clone().requires_grad_()
    soft = softfx.soften(program, NUMBER, example_inputs=(x,), executor=executor)
    result = soft(x)
    assert torch.equal(result.detach(), program(SCORES))
    weights = drawn(*result.shape, seed=7)
    (found,) = torch.autograd.grad((result * weights).sum(), x)
    (expected,) = torch.autograd.grad((by_hand(x) * weights).sum(), x)
    torch.testing.assert_close(found, expected)


def test_values_scattered_have_the_derivative_of_each_write() -> None:
    x = SCORES.clone().requires_grad_()
    soft = softfx.soften(
        lambda s: torch.zeros_like(s).scatter_add(-1, s.topk(K, -1).indices, ROW_VALUES[:, :K]), example_inputs=(x,)
    )
    (found,) = torch.autograd.grad(soft(x).sum(), x)
    assert found.isfinite().all()
    (moved,) = torch.autograd.grad((soft(x) * ROW_VALUES).sum(), x)
    assert moved.abs().max() > 0


@pytest.mark.parametrize("wide", [True, False])
def test_a_mask_of_infinities_lets_a_softmax_learn_what_it_leaves_out(
    wide: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not wide:
        monkeypatch.setattr(choices, "FEWEST", KEYS)

    def program(s: Tensor) -> Tensor:
        return (ROW_VALUES + torch.full_like(s, -torch.inf).scatter_(-1, best(s), 0.0)).softmax(-1)

    x = SCORES.clone().requires_grad_()
    result = softfx.soften(program, example_inputs=(x,))(x)
    assert torch.equal(result.detach(), program(SCORES))
    (slope,) = torch.autograd.grad((result * TABLE[:, 0]).sum(), x)
    assert slope.isfinite().all()
    assert slope.abs().max() > 1e-4


@pytest.mark.parametrize("mode", ["smooth", "tailed", "c0", "c1", "c2"])
def test_every_mode_has_its_mask(mode: str) -> None:
    x = SCORES.clone().requires_grad_()
    policy = {"preset": "gradients", "default": {"mode": mode, "softness": 0.1}}
    result = softfx.soften(PROGRAMS["x[index]"][0], policy, example_inputs=(x,))(x)
    (found,) = torch.autograd.grad(result.sum(), x)
    method = "lapsum" if mode in ("smooth", "tailed") else "sparse_topk"
    (expected,) = torch.autograd.grad((softtorch.topk_mask(x, K, mode=mode, method=method) @ TABLE).sum(), x)
    torch.testing.assert_close(found, expected)


def test_soft_values_tend_to_the_original() -> None:
    for softness, apart in ((1e-1, 1.0), (1e-4, 1e-6)):
        soft = softfx.soften(
            lambda s: TABLE[best(s)], {"preset": "smooth", "default": {"softness": softness}}, example_inputs=(SCORES,)
        )
        assert (soft(SCORES) - TABLE[best(SCORES)]).abs().max() < apart


def test_what_needs_the_matrix_is_refused_and_told() -> None:
    rows = torch.randint(0, ROWS, (ROWS, K))
    soft = softfx.soften(lambda s: ROW_TABLE[rows, best(s)].sum(1) + s.sum(), example_inputs=(SCORES.requires_grad_(),))
    site = next(site for site in soft.report.sites if site.op == "topk")
    assert "other indices vary" in site.reason
    assert site.action in ("keep", "blocked")


def test_the_matrix_of_places_and_keys_is_never_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    queries, keys, k = 16, 4096, 256
    x = drawn(queries, keys, seed=4).requires_grad_()
    table = drawn(keys, 4, seed=5)
    soft = softfx.soften(lambda s: table[s.topk(k, -1).indices].sum(1), example_inputs=(x,))

    def step() -> None:
        soft(x).square().sum().backward()

    assert peak_bytes(step) < 40 * x.nbytes
