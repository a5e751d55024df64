"""Operators on DTensors of two gloo processes: values and gradients of the whole tensor, by every way to shard it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.debug import CommDebugMode

import softtorch
from softtorch.errors import SoftTorchError

Operator = Callable[[Any, Tensor], Any]

OPERATORS: dict[str, Operator] = {
    "round": lambda x, s: softtorch.round(x, softness=s),
    "sign_st": lambda x, s: softtorch.sign_st(x, softness=s),
    "relu": lambda x, s: softtorch.relu(x, softness=s),
    "clamp": lambda x, s: softtorch.clamp(x, -1.0, 1.0, softness=s),
    "greater than a number": lambda x, s: softtorch.greater(x, 0.1, softness=s),
    "greater than a tensor": lambda x, s: softtorch.greater(x, x * x, softness=s),
    "where": lambda x, s: softtorch.where(softtorch.greater(x, 0.0, softness=s), x, 2 * x),
    "masked_fill": lambda x, s: softtorch.masked_fill(x, softtorch.greater(x, 0.0, softness=s), 2.0),
    "masked_sum": lambda x, s: softtorch.masked_sum(x, softtorch.greater(x, 0.0, softness=s), dim=1),
    "straight_through": lambda x, s: softtorch.straight_through(x.round(), softtorch.round(x, softness=s)),
    "all": lambda x, s: softtorch.all(softtorch.greater(x, 0.0, softness=s), dim=1),
    "argmax": lambda x, s: softtorch.argmax(x, dim=1, softness=s),
    "argmax, its dim kept": lambda x, s: softtorch.argmax(x, dim=1, keepdim=True, softness=s),
    "argmax of all": lambda x, s: softtorch.argmax(x, softness=s),
    "max": lambda x, s: softtorch.max(x, dim=-1, softness=s)[0],
    "median": lambda x, s: softtorch.median(x, dim=0, softness=s)[0],
    "topk": lambda x, s: softtorch.topk(x, 2, softness=s)[0],
    "the index of topk": lambda x, s: softtorch.topk(x, 2, dim=1, softness=s)[1],
    "topk_st": lambda x, s: softtorch.topk_st(x, 2, dim=1, softness=s)[0],
    "topk_mask": lambda x, s: softtorch.topk_mask(x, 2, dim=1, softness=s),
    "topk_mask_st": lambda x, s: softtorch.topk_mask_st(x, 2, dim=0, softness=s),
    "sort": lambda x, s: softtorch.sort(x, softness=s, method="fast_soft_sort", return_indices=False)[0],
    "rank": lambda x, s: softtorch.rank(x, dim=1, softness=s),
    "rank of all": lambda x, s: softtorch.rank(x, softness=s),
    "quantile": lambda x, s: softtorch.quantile(x, 0.3, dim=1, softness=s),
    "cummax": lambda x, s: softtorch.cummax(x, dim=1, softness=s)[0],
    "gather": lambda x, s: softtorch.gather(x, 2, softtorch.argmax(x, dim=2, keepdim=True, softness=s)),
    "scatter": lambda x, s: softtorch.scatter(x, 1, softtorch.argmax(x, dim=1, keepdim=True, softness=s), 2.0),
    "take_along_dim": lambda x, s: softtorch.take_along_dim(
        x, softtorch.argmax(x, dim=1, keepdim=True, softness=s), dim=1
    ),
}
PLACEMENTS = (Shard(0), Shard(1), Shard(2), Replicate())


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def outcome(operator: Operator, x: Tensor, mesh: DeviceMesh | None) -> list[Tensor]:
    """The value, and the gradients of a weighted sum by x and by the softness, all whole."""
    softness = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    x = x.detach().requires_grad_()
    result = operator(x, softness)
    weights = drawn(*result.shape, seed=3)
    if mesh is not None:
        assert isinstance(result, DTensor)
        weights = distribute_tensor(weights, mesh, [Replicate()])
    total = (result * weights).sum()
    (total.full_tensor() if isinstance(total, DTensor) else total).backward()
    assert x.grad is not None and softness.grad is not None
    return [t.full_tensor() if isinstance(t, DTensor) else t for t in (result.detach(), x.grad, softness.grad)]


def compare(rank: int, store: str) -> None:
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    os.environ.update(GLOO_SOCKET_IFNAME=loopback[0])
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    mesh, x = init_device_mesh("cpu", (2,)), drawn(4, 6, 8, seed=1)
    for name, operator in OPERATORS.items():
        for placement in PLACEMENTS:
            found = outcome(operator, distribute_tensor(x, mesh, [placement]), mesh)
            for one, other in zip(found, outcome(operator, x, None), strict=True):
                torch.testing.assert_close(one, other, msg=lambda text, n=name, p=placement: f"{n}, {p}: {text}")
    kept = softtorch.topk_mask(distribute_tensor(x, mesh, [Shard(0)]), 2, dim=1)
    assert kept.placements == (Shard(0),)  # along another axis nothing is sent
    split = distribute_tensor(x, mesh, [Shard(0)])
    with CommDebugMode() as sent:
        for name in ("where", "masked_fill", "masked_sum", "straight_through", "gather", "scatter", "take_along_dim"):
            assert OPERATORS[name](split, torch.tensor(0.3)).placements == (Shard(0),), name
    assert sent.get_total_counts() == 0
    square = drawn(6, 6, 8, seed=2)  # the first dim of the mask is the second one's, and as large as the first
    summed = softtorch.masked_sum(distribute_tensor(square, mesh, [Shard(0)]), square[0].sigmoid(), dim=-1)
    torch.testing.assert_close(summed.full_tensor(), softtorch.masked_sum(square, square[0].sigmoid(), dim=-1))
    both = softtorch.greater(split, x)  # x whole, as every process has it
    torch.testing.assert_close(both.full_tensor(), softtorch.greater(x, x))
    with pytest.raises(SoftTorchError, match="draws random numbers"):
        softtorch.bernoulli(distribute_tensor(x.sigmoid(), mesh, [Shard(0)]))
    dist.barrier()
    os._exit(0)  # gloo's threads were seen to wait for ever


def test_every_way_to_shard_gives_what_the_whole_tensor_gives(tmp_path: Path) -> None:
    mp.spawn(compare, (str(tmp_path / "store"),), nprocs=2)  # type: ignore[no-untyped-call]
