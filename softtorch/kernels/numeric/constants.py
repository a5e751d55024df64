"""Numbers that Python knows, as a tensor on a device, written by the device itself.

`torch.tensor` of a list makes it on the host and copies it: the host waits for the device, and the capture of a CUDA
graph fails. What is here asks the device to fill, unless it is the CPU, where a list is copied for nothing. A compiler
makes constants of its own.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["filled", "listed"]


def listed(numbers: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The numbers as a tensor, (k,)."""
    if device.type == "cpu" or not numbers or torch.compiler.is_compiling():
        return torch.tensor(numbers, dtype=dtype, device=device)
    return filled(numbers, dtype, device)


def filled(numbers: Sequence[float], dtype: torch.dtype, device: torch.device) -> Tensor:
    """The same without a list: one call for integers in even steps, else one for each number; there is one at least."""
    first, step = numbers[0], numbers[1] - numbers[0] if len(numbers) > 1 else 1
    if step and dtype == torch.long and all(number - first == k * step for k, number in enumerate(numbers)):
        return torch.arange(first, first + step * len(numbers), step, device=device)
    return torch.stack([torch.full((), number, dtype=dtype, device=device) for number in numbers])
