"""No operator reads a value back from a device, or copies one there: forward and backward, on fake tensors.

A default run tries one mode of every operator, as the transform matrix does; all of them: `pytest -m full_matrix`.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from softtorch.kernels.numeric.constants import filled, listed
from tests.softtorch.sweep_table import ENTRIES
from tests.softtorch.test_transforms import sample

ROOT = Path(__file__).parents[2]


def failures(n: int, names: list[str]) -> dict[str, str]:
    command = [sys.executable, "-W", "ignore", "-m", "tests.softtorch.on_a_device", str(n), *names]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=3000)
    assert run.returncode == 0, run.stderr
    found: dict[str, str] = json.loads(run.stdout)
    return found


def test_every_operator_leaves_the_host_alone() -> None:
    assert failures(5, [str(entry) for entry in sample()]) == {}


@pytest.mark.full_matrix
@pytest.mark.parametrize("n", [5, 700])  # long rows are worked on in pieces
def test_every_method_and_mode_leaves_the_host_alone(n: int) -> None:
    methods = [entry for entry in ENTRIES if entry.supported and (n == 5 or entry.method)]
    assert failures(n, [str(entry) for entry in methods]) == {}


@pytest.mark.parametrize("numbers", [(3,), (0, 1, 2), (7, 5, 3), (4, 4), (0, 1, 5), (2, 0)])
@pytest.mark.parametrize("dtype", [torch.long, torch.float32])
def test_a_list_that_a_device_fills_is_the_list(numbers: tuple[int, ...], dtype: torch.dtype) -> None:
    assert torch.equal(filled(numbers, dtype, torch.device("cpu")), torch.tensor(numbers, dtype=dtype))


def test_integers_in_even_steps_are_one_call() -> None:
    with torch.profiler.profile() as profile:
        listed(range(5, 1, -1), torch.long, torch.device("meta"))
    assert "aten::stack" not in {event.key for event in profile.key_averages()}
