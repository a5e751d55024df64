"""A bitonic sorting network written out swap by swap, whose padding belongs in the last places and mixes with nothing.

What SoftTorch 0.1.1 gives for unstandardized rows whose length is no power of two depends on the other rows of the
batch: it pads all of them with the maximum of the batch plus 1. Stored cases of that kind are compared with this.
"""

from typing import Any

import torch
from torch import Tensor

STEPS = {
    "smooth": torch.sigmoid,
    "c0": lambda u: (cut(u) + 1) / 2,
    "c1": lambda u: (3 * cut(u) - cut(u) ** 3 + 2) / 4,
    "c2": lambda u: (3 * cut(u) ** 5 - 10 * cut(u) ** 3 + 15 * cut(u) + 8) / 16,
}


def cut(u: Tensor) -> Tensor:
    return (u / 5).clamp(-1, 1)


def is_padded(case: dict[str, Any], n: int) -> bool:
    """Return True if the values stored for a case, n entries a row, depend on the whole batch."""
    options = case["kwargs"]
    plain = options.get("method") == "sorting_network" and not options.get("standardize", True)
    return plain and bool(n & (n - 1)) and options.get("mode") != "hard"


def written(x: Tensor, softness: float, mode: str) -> tuple[Tensor, Tensor]:
    """The sorted values, (n,), and the rows, (n, [n]), of one row of entries, (n,)."""
    size = 1 << (len(x) - 1).bit_length()
    line = [*x, *[None] * (size - len(x))]
    rows = [*torch.eye(len(x), dtype=x.dtype), *[None] * (size - len(x))]
    stages = [(2**a, 2**b) for a in range(1, size.bit_length()) for b in reversed(range(a))]
    for run, apart in stages:
        for i in range(size):
            j = i ^ apart
            if j < i:
                continue
            low, high = (j, i) if i & run else (i, j)
            if line[high] is None:
                continue
            if line[low] is None:
                line[low], line[high], rows[low], rows[high] = line[high], None, rows[high], None
                continue
            keep = STEPS[mode]((line[high] - line[low]) / softness)
            for held in (line, rows):
                a, b = held[low], held[high]
                held[low], held[high] = keep * a + (1 - keep) * b, keep * b + (1 - keep) * a
    return torch.stack(line[: len(x)]), torch.stack(rows[: len(x)])


def expected(op: str, x: Tensor, dim: int, softness: float = 0.1, mode: str = "smooth", **options: Any) -> list[Tensor]:
    """The results of an operator that come with sorting_network: values or rows for x, (..., n, ...)."""
    lines = x.movedim(dim, -1)
    flat = lines.reshape(-1, lines.shape[-1])
    found = [_one(op, row, softness, mode, options.get("descending", op == "rank")) for row in flat]
    result = torch.stack(found).view(*lines.shape[:-1], *found[0].shape)
    if op in ("max", "min", "argmax", "argmin"):
        return [result.unsqueeze(dim if op in ("max", "min") else dim % x.ndim)] if options.get("keepdim") else [result]
    return [result]  # the dim is the last one in all of the stored cases


def _one(op: str, row: Tensor, softness: float, mode: str, descending: bool) -> Tensor:
    if op in ("min", "argmin"):  # SoftTorch has them as those of the largest of -x
        values, rows = written(-row, softness, mode)
        return -values[-1] if op == "min" else rows[-1]
    values, rows = written(row, softness, mode)
    if op == "rank":
        places = torch.arange(1, len(row) + 1, dtype=row.dtype)
        ranks = (places.unsqueeze(-1) * rows).sum(0) / rows.sum(0)
        return len(row) + 1 - ranks if descending else ranks
    several = {"sort": values, "argsort": rows}.get(op)
    if several is not None:
        return several.flip(0) if descending else several
    return values[-1] if op == "max" else rows[-1]
