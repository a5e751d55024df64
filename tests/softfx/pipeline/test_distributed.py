"""Parallel training of a softened module on gloo processes gives the single process's gradient.

Data parallel and sharded, by fully_shard before and after softening, with layers split over the processes, and in
stages of a pipeline.
"""

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
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.pipelining import PipelineStage, ScheduleGPipe
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module
from torch.nn.parallel import DistributedDataParallel

import softfx
from tests.softfx.cases import Router

# Seconds that two processes may take to start, meet and finish on a busy machine. Where they only meet, it is a trial
# whose failure means that the machine cannot, and nobody should wait long for that.
WAIT, TRIAL = 1500, 300


class Gated(nn.Module):
    """A router behind a scale and a split pair of layers, with parameters of its own and arguments to be made by."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.linspace(0.5, 1.5, width))
        self.up, self.down = nn.Linear(width, 8), nn.Linear(8, width)
        self.router = Router()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.router(self.down(self.up(x * self.scale).relu()).round() + x)
        return out


def _made() -> nn.Module:
    torch.manual_seed(0)
    return Gated(6)


def _soft(x: Tensor, module: nn.Module | None = None) -> nn.Module:
    soft: nn.Module = softfx.soften(_made() if module is None else module, "smooth", example_inputs=(x[:1],))
    return soft


def _loss(module: nn.Module, x: Tensor) -> Tensor:
    loss: Tensor = module(x).square().mean()
    return loss


def _agree(soft: nn.Module, reference: list[Tensor]) -> bool:
    grads = [p.grad.full_tensor() if hasattr(p.grad, "full_tensor") else p.grad for p in soft.parameters()]
    # Parts of a batch are summed in another order than the whole: float32 rounding.
    return all(torch.allclose(g, r, rtol=1e-5, atol=1e-6) for g, r in zip(grads, reference, strict=True))


def _join_group(rank: int, store: str, seconds: float, count: int = 2) -> None:
    """The processes of this machine meet over its loopback, by a file: no name is resolved, no port is chosen."""
    loopback = [name for _, name in socket.if_nameindex() if name.startswith("lo")]
    os.environ.update(GLOO_SOCKET_IFNAME=loopback[0])
    wait = datetime.timedelta(seconds=seconds / 3)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=count, timeout=wait)


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


def _shard(module: nn.Module, mesh: DeviceMesh, in_parts: bool) -> None:
    for part in [*module.router.experts] if in_parts else []:
        fully_shard(part, mesh=mesh)
    fully_shard(module, mesh=mesh)


def _train(rank: int, store: str, way: str, count: int) -> None:
    _join_group(rank, store, WAIT, count)
    x = torch.randn(2 * count, 6, generator=torch.Generator().manual_seed(1))
    own = x[2 * rank : 2 * rank + 2]
    alone = _soft(x)
    _loss(alone, x).backward()
    reference = [p.grad for p in alone.parameters() if p.grad is not None]
    mesh = init_device_mesh("cpu", (count,))
    module = _made()
    if "before" in way:
        _shard(module, mesh, "parts" in way)
    if "called" in way:
        module(own)
    if way == "split layers":
        plan = {"up": ColwiseParallel(), "down": RowwiseParallel()}
        parallelize_module(module, mesh, plan)
        own = x  # every process has all of the batch
    soft = _soft(own, module)
    runner = DistributedDataParallel(soft) if way == "ddp" else soft
    if "after" in way:
        _shard(soft, mesh, "parts" in way)
    for _ in range(2):  # a second step finds the state that the first one left
        soft.zero_grad()
        _loss(runner, own).backward()
    assert len(reference) == len(list(soft.parameters())) and _agree(soft, reference)
    _leave()


def _on_processes(count: int, work: Callable[..., None], *args: str | int, seconds: float) -> None:
    """Run work(rank, *args) in so many processes; raise what one raised, or TimeoutError after so many seconds."""
    running = mp.spawn(work, args, nprocs=count, join=False)  # type: ignore[no-untyped-call]
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
        _on_processes(2, _meet, str(tmp_path_factory.mktemp("meet") / "store"), seconds=TRIAL)
    except (TimeoutError, mp.ProcessRaisedException) as error:
        pytest.skip(f"gloo cannot join two processes on this machine: {str(error).strip().splitlines()[-1]}")


@pytest.mark.usefixtures("two_processes")
@pytest.mark.parametrize(
    ("way", "count"),
    [
        ("ddp", 2),
        ("sharded after", 2),
        ("sharded after in parts", 2),
        ("sharded before", 2),
        ("sharded before in parts", 4),
        ("sharded before in parts and called", 2),
        ("split layers", 2),
    ],
)
def test_processes_give_the_single_processs_gradient(way: str, count: int, tmp_path: Path) -> None:
    _on_processes(count, _train, str(tmp_path / "store"), way, count, seconds=WAIT)


def _stages() -> list[nn.Module]:
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(6, 6), nn.ReLU6()), nn.Sequential(Gated(6))]


def _run_stage(rank: int, store: str, count: int) -> None:
    _join_group(rank, store, WAIT, count)
    x = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
    y = torch.randn(8, 6, generator=torch.Generator().manual_seed(2))
    whole = softfx.soften(nn.Sequential(*_stages()), "smooth", example_inputs=(x[:1],))
    nn.functional.mse_loss(whole(x), y).backward()
    reference = [p.grad for p in whole[rank].parameters() if p.grad is not None]
    example = x[:1] if rank == 0 else torch.zeros(1, 6)
    own = softfx.soften(_stages()[rank], "smooth", example_inputs=(example,))
    stage = PipelineStage(own, rank, count, torch.device("cpu"))
    schedule = ScheduleGPipe(stage, n_microbatches=4, loss_fn=nn.functional.mse_loss)
    schedule.step(*[x] if rank == 0 else [], target=y if rank == count - 1 else None)
    assert len(reference) == len(list(own.parameters())) and _agree(own, reference)
    _leave()


@pytest.mark.usefixtures("two_processes")
def test_stages_of_a_pipeline_have_the_single_processs_gradient(tmp_path: Path) -> None:
    _on_processes(2, _run_stage, str(tmp_path / "store"), 2, seconds=WAIT)
