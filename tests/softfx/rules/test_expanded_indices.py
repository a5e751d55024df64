"""A soft index read at several places of other axes, as `index.unsqueeze(-1).expand(-1, -1, width)` is for vectors."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx

LINES, SIZE, KEPT, WIDTH = 2, 12, 3, 5
VECTORS = torch.randn(LINES, SIZE, WIDTH, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def best(scores: Tensor) -> Tensor:
    return scores.argsort(-1)[:, :KEPT]  # (LINES, KEPT)


def by_key(scores: Tensor, vectors: Tensor) -> Tensor:
    return vectors[torch.arange(LINES)[:, None], best(scores)]


READINGS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gather": lambda s, v: v.gather(1, best(s)[..., None].expand(-1, -1, WIDTH)),
    "gather of a part": lambda s, v: v.gather(1, best(s)[..., None].expand(-1, -1, WIDTH - 2)),
    "take_along_dim": lambda s, v: torch.take_along_dim(v, best(s)[..., None].expand(-1, -1, WIDTH), 1),
    "take_along_dim, broadcast": lambda s, v: torch.take_along_dim(v, best(s)[..., None], 1),
    "take_along_dim, from the last": lambda s, v: torch.take_along_dim(v, best(s)[..., None], -2),
    "repeated": lambda s, v: v.gather(1, best(s)[..., None].repeat(1, 1, WIDTH)),
}


@pytest.mark.parametrize("executor", ["eager", "graph"])
@pytest.mark.parametrize("preset", ["gradients", "smooth"])
@pytest.mark.parametrize("name", READINGS)
def test_it_reads_what_a_key_reads(name: str, preset: str, executor: str) -> None:
    scores = torch.randn(LINES, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    inputs = scores.requires_grad_(), VECTORS.clone().requires_grad_()
    found = []
    for reading in (READINGS[name], by_key):
        result = softfx.soften(reading, preset, example_inputs=inputs, executor=executor)(*inputs)
        part = result[..., : WIDTH - 2] if name == "gather of a part" else result
        weights = torch.arange(part.numel(), dtype=part.dtype).view(part.shape).sin()
        found.append((part, *torch.autograd.grad((part * weights).sum(), inputs)))
    torch.testing.assert_close(*found)
    assert found[0][1].any()


def test_what_is_masked_is_left_out() -> None:
    scores = torch.randn(LINES, SIZE, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()
    masked = VECTORS.masked_fill(torch.arange(SIZE)[:, None] % 4 == 3, -torch.inf)
    results = [
        softfx.soften(reading, example_inputs=(scores, masked))(scores, masked)
        for reading in (READINGS["take_along_dim, broadcast"], READINGS["gather"], by_key)
    ]
    slopes = [torch.autograd.grad(r[r.isfinite()].square().sum(), scores)[0] for r in results]
    for result, slope in zip(results[:2], slopes[:2], strict=True):
        torch.testing.assert_close(result, results[2])
        torch.testing.assert_close(slope, slopes[2])
    assert slopes[0].any()
    assert slopes[0].isfinite().all()
