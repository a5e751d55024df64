"""Data parallel training of a softened module on two gloo processes gives the single process's gradient."""

from __future__ import annotations

import datetime
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

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

# Seconds that two processes may take to start, meet and finish on a busy machine. Where they only meet, it is a trial
# whose failure means that the machine cannot, and nobody should wait long for that.
WAIT, TRIAL = 1500, 300


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


def _join_group(rank: int, store: str, seconds: float) -> None:
    """Two processes of this machine meet over its loopback, by a file: no name is resolved, no port is chosen."""
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    os.environ.update(GLOO_SOCKET_IFNAME=loopback[0])
    wait = datetime.timedelta(seconds=seconds / 3)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2, timeout=wait)


def _meet(rank: int, store: str) -> None:
    _join_group(rank, store, TRIAL)
    ones = torch.ones(1)
    dist.all_reduce(ones)
    assert ones.item() == 2
    _leave()


def _leave() -> None:
    """Ends this process at once, when the other is as far.

    To take a group apart torch waits for gloo's threads with the interpreter's lock in its hand, and a thread that is
    about to give up a Python object waits for that lock: both were seen to wait for ever.
    """
    dist.barrier()
    os._exit(0)


def _train(rank: int, store: str, way: str) -> None:
    _join_group(rank, store, WAIT)
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
    _leave()


def _on_two_processes(work: Callable[..., None], *args: str, seconds: float) -> None:
    """Run work(rank, *args) in two processes; raise what one of them raised, or TimeoutError after so many seconds."""
    running = mp.spawn(work, args, nprocs=2, join=False)  # type: ignore[no-untyped-call]
    end = time.monotonic() + seconds
    try:
        while not running.join(timeout=1):
            if time.monotonic() > end:
                raise TimeoutError(f"{work.__name__} did not end within {seconds} s")
    finally:
        for process in running.processes:
            process.kill()


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Skips where gloo itself, without any of softfx, cannot join two processes: a sandbox whose loopback is down."""
    try:
        _on_two_processes(_meet, str(tmp_path_factory.mktemp("meet") / "store"), seconds=TRIAL)
    except (TimeoutError, mp.ProcessRaisedException) as error:
        pytest.skip(f"gloo cannot join two processes on this machine: {str(error).strip().splitlines()[-1]}")


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize("way", ["ddp", "fsdp", "fsdp of parts"])
def test_two_processes_give_the_single_processs_gradient(way: str, tmp_path: Path) -> None:
    _on_two_processes(_train, str(tmp_path / "store"), way, seconds=WAIT)
