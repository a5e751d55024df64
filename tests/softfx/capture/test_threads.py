"""Threads inside a target: what runs in them is out of sight, and told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

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
