"""Data parallel training of a softened module on two gloo processes gives the single process's gradient."""

from __future__ import annotations

import os
import socket

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

import softfx
from tests.softfx.cases import Router


def _soft(x: Tensor) -> nn.Module:
    torch.manual_seed(0)
    soft: nn.Module = softfx.soften(Router(), "smooth", example_inputs=(x[:3],))
    return soft


def _loss(module: nn.Module, x: Tensor) -> Tensor:
    loss: Tensor = module(x).square().mean()
    return loss


def _agree(soft: nn.Module, reference: list[Tensor]) -> bool:
    grads = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in soft.parameters()]
    # Two half batches are summed in another order than the whole: float32 rounding.
    return all(torch.allclose(g, r, rtol=1e-5, atol=1e-6) for g, r in zip(grads, reference, strict=True))


def _train(rank: int, way: str, port: int) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    try:
        x = torch.randn(6, 6, generator=torch.Generator().manual_seed(1))
        alone = _soft(x)
        _loss(alone, x).backward()
        reference = [p.grad for p in alone.parameters() if p.grad is not None]
        soft = _soft(x)
        runner = soft
        if way == "ddp":
            runner = DistributedDataParallel(soft)
        else:
            mesh = init_device_mesh("cpu", (2,))
            for part in [*soft.experts] if way == "fsdp of parts" else []:
                fully_shard(part, mesh=mesh)
            fully_shard(soft, mesh=mesh)
        _loss(runner, x[rank * 3 : rank * 3 + 3]).backward()
        assert len(reference) == len(list(soft.parameters())) and _agree(soft, reference)
    finally:
        dist.destroy_process_group()


@pytest.mark.parametrize("way", ["ddp", "fsdp", "fsdp of parts"])
def test_two_processes_give_the_single_processs_gradient(way: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.spawn(_train, (way, port), nprocs=2)  # type: ignore[no-untyped-call]
