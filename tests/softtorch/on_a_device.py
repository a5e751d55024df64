"""Operators forward and backward on fake tensors of a device that is not the CPU: `python -m` this module N NAME...

A fake tensor has no numbers, and one device refuses the tensors of another: a value that is read back to the host, a
constant that was left there, and a list that would have to be copied, raise. What raised is printed as JSON, by entry.
The device is "cuda" where torch is built for it, which needs no GPU. Elsewhere torch can make no such tensor that has a
gradient, and a backend in Python stands in; nothing in the library asks for a device by name, but for the passes by
hand (kernels/pointwise/fused.py), which are made here as they are on "cuda". The backend is made for a whole process,
so that this is a process of its own.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from unittest import mock

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

import softtorch
from softtorch.errors import SoftTorchError
from softtorch.kernels.numeric.tracing import plain_operators_needed
from softtorch.kernels.pointwise import curves
from tests.softtorch.sweep import Entry
from tests.softtorch.sweep_table import ENTRIES

ROWS = 3


def forms(entry: Entry) -> list[Entry]:
    """The entry, and its straight-through form where there is one."""
    straight = hasattr(softtorch, entry.operator.name.split()[0] + "_st") and entry.mode != "hard"
    return [entry, replace(entry, straight=True)] if straight else [entry]


def tried(entry: Entry, n: int, device: str) -> str:
    """What raised on fake tensors of this device; empty where nothing did."""
    given = entry.operator.inputs(*entry.operator.shape(ROWS, n))
    curves.number.cache_clear()  # numbers that were made under another fake mode
    try:
        with FakeTensorMode():
            inputs = [torch.empty(x.shape, dtype=x.dtype, device=device, requires_grad=True) for x in given]
            softness: Tensor | float = 0.3
            if "softness" in entry.operator.takes:
                softness = torch.empty((), dtype=torch.float64, device=device, requires_grad=True)
            results = entry(*inputs, softness=softness)
            assert all(result.device.type == device for result in results), [result.device for result in results]
            if losses := [result.sum() for result in results if result.requires_grad]:
                torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever it is, it is what the report is about
        if not isinstance(error, SoftTorchError) or error.__cause__:
            return f"{type(error).__name__}: {error} ({error.__cause__})"
    return ""


def main(n: int, names: list[str]) -> None:
    device = "cuda"
    if not torch.backends.cuda.is_built():
        device = "stand_in"
        _setup_privateuseone_for_python_backend(device)
    entries = [form for entry in ENTRIES if str(entry) in names for form in forms(entry)]
    by_hand = "softtorch.kernels.pointwise.fused.passes_possible"
    with mock.patch(by_hand, lambda x: not plain_operators_needed()):
        found = {f"{entry}{' straight-through' * entry.straight}": tried(entry, n, device) for entry in entries}
    print(json.dumps({name: text for name, text in found.items() if text}), flush=True)
    os._exit(0)  # autograd has a thread for the stand-in device, by which torch's own exit aborts now and then


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
