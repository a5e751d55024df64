"""Threads inside a target: what runs in them is out of sight, and told."""

from __future__ import annotations

import functools
import queue
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx

X = torch.tensor([[0.4, 1.7], [-0.6, 2.2]])


def mapped(x: Tensor) -> Tensor:
    with ThreadPoolExecutor(2) as pool:
        return torch.stack(list(pool.map(torch.round, x)))


def submitted(x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lambda: (x > 0).float()).result() * x


def pooled(x: Tensor) -> Tensor:
    with ThreadPool(2) as pool:
        return torch.stack(pool.map(Tensor.round, list(x)))


def by_hand(x: Tensor) -> Tensor:
    found: list[Tensor] = []
    thread = threading.Thread(target=lambda: found.append(x.round()))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("program", [mapped, submitted, pooled, by_hand], ids=lambda program: program.__name__)
def test_threads_that_a_target_starts_are_told(program: Callable[[Tensor], Tensor]) -> None:
    soft = softfx.soften(program, example_inputs=(X,), allow_unused=True)
    assert torch.equal(soft(X), program(X))
    assert any("it starts threads" in item.reason for item in soft.report.breaks)
    assert "Nothing to act on" not in str(soft.report)


@pytest.fixture(scope="module", autouse=True)
def pools() -> Iterator[None]:
    """Two pools, and a thread that answers requests, all of which are there before the call."""
    global POOL
    worker = threading.Thread(target=answer)
    worker.start()
    with THREADS, ThreadPool(2) as POOL:
        list(THREADS.map(int, "12"))  # a pool starts its threads when they are first needed
        yield
        REQUESTS.put(None)
        worker.join()
        POOL.close()
        POOL.join()


THREADS = ThreadPoolExecutor(2)
POOL: ThreadPool


class Task:
    def __init__(self, *operands: Tensor) -> None:
        self.calls = [(torch.round, operands)]

    def __call__(self) -> Tensor:
        (function, operands), *_ = self.calls
        return function(*operands)


def asked(x: Tensor) -> Tensor:
    work: queue.Queue[Tensor] = queue.Queue()
    found: queue.Queue[Tensor] = queue.Queue()
    REQUESTS.put((work, found))
    work.put(x)
    return found.get()


def answer() -> None:
    while (request := REQUESTS.get()) is not None:
        work, found = request
        found.put(work.get().round())


REQUESTS: queue.Queue[Any] = queue.Queue()
STANDING: dict[str, Callable[[Tensor], Tensor]] = {
    "mapped": lambda x: torch.stack(list(THREADS.map(torch.round, x))),
    "submitted with a closure": lambda x: THREADS.submit(lambda: (x > 0).float()).result() * x,
    "submitted with a partial": lambda x: THREADS.submit(functools.partial(torch.gt, x, 0)).result() * x,
    "submitted as an object": lambda x: THREADS.submit(Task(x)).result(),
    "submitted with a method": lambda x: THREADS.submit(x.round).result(),
    "pooled": lambda x: torch.stack(POOL.map(Tensor.round, list(x))),
    "applied": lambda x: POOL.apply(torch.round, (x,)),
    "asked of a worker": asked,
}


@pytest.mark.parametrize("name", STANDING)
def test_work_for_threads_that_stood_before_the_call_is_told(name: str) -> None:
    program = STANDING[name]
    soft = softfx.soften(program, example_inputs=(X,), allow_unused=True)
    assert torch.equal(soft(X), program(X))
    assert any("threads" in item.reason for item in soft.report.breaks)
    assert sys.getprofile() is None and "Nothing to act on" not in str(soft.report)


def test_work_without_tensors_is_no_break() -> None:
    def program(x: Tensor) -> Tensor:
        return x.round() * THREADS.submit(abs, -2).result()

    assert not softfx.soften(program, example_inputs=(X,)).report.breaks


def test_a_target_without_threads_is_told_of_none_and_the_callers_profile_function_stays() -> None:
    def profile(*_: object) -> None: ...

    before = threading.getprofile()
    threading.setprofile(profile)
    try:
        soft = softfx.soften(torch.round, example_inputs=(X,))
        assert threading.getprofile() is profile
    finally:
        threading.setprofile(before)
    assert not soft.report.breaks
