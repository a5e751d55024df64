"""What is tried on every entry of the sweep list: each transform, dtype and shape, against float64 eager calls.

A check takes an Entry, raises AssertionError with what differs, and returns nothing. It raises NotApplicable where
there is nothing to look at; what the library refuses comes out as its own error. To add a check: a function here and
a line in CHECKS.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor

from softtorch.methods import METHODS
from tests.softtorch.sweep import Entry

Tensors = tuple[Tensor, ...]

ROWS, N = 3, 5
# One graph has to serve them all. No batch is as large as an axis of an operator, which would be taken for the same
# size, and n lies between two powers of two, where sorting networks change their layout.
SIZES = [(4, 6), (8, 7), (10, 5)]


class NotApplicable(Exception):
    """There is nothing to check; the text says why."""


def weights(out: Tensor, seed: int = 0) -> Tensor:
    """Fixed weights of changing sign, float64: no random draw, which vmap would refuse, and exact in half precision."""
    steps = torch.arange(out.numel(), dtype=torch.float64, device=out.device) + 3.7 * seed
    return torch.sin(2.3 * steps + 0.4).bfloat16().double().reshape(out.shape)


def loss(outs: Tensors) -> Tensor:
    """A weighted sum of every entry: a plain sum of ranks or of a soft index would be constant."""
    numbers = [finite_part(out).double() for out in outs]
    return sum((out * weights(out, place)).sum() for place, out in enumerate(numbers))


def finite_part(out: Tensor) -> Tensor:
    """0 in the place of infinities, which hard maxima and log-probabilities have."""
    return torch.where(out.isfinite(), out, 0.0)


def gradients(entry: Entry, inputs: Tensors) -> Tensors:
    """The gradient of the loss in every input, zeros where there is none."""
    leaves = tuple(x.detach().clone().requires_grad_() for x in inputs)
    total = loss(entry(*leaves))
    if not total.requires_grad:
        return tuple(torch.zeros_like(x) for x in inputs)
    grads = torch.autograd.grad(total, leaves, allow_unused=True)
    return tuple(torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True))


def close(got: Tensors, want: Tensors, tolerance: float) -> None:
    """Equal shapes and infinities, and differences within `tolerance` of the largest finite entry or of 1."""
    assert len(got) == len(want), f"{len(got)} results, not {len(want)}"
    for one, other in zip(got, want, strict=True):
        assert one.shape == other.shape, f"shape {tuple(one.shape)}, not {tuple(other.shape)}"
        one, other = one.detach().double(), other.detach().double()
        finite = other.isfinite()
        assert torch.allclose(one[~finite], other[~finite], equal_nan=True), f"{one}, not {other}"
        scale = max(1.0, float(other[finite].abs().max())) if finite.any() else 1.0
        worst = float((one - other)[finite].abs().max()) / scale if finite.any() else 0.0
        assert worst <= tolerance, f"off by {worst:.2g}"  # also where worst is NaN


def finite(tensors: Tensors, what: str) -> None:
    assert all(bool(t.isfinite().all()) for t in tensors), f"{what} not finite"


def needs_slope(entry: Entry) -> None:
    if not entry.differentiable:
        raise NotApplicable("constant almost everywhere")


def rows_of(entry: Entry, inputs: Tensors) -> list[Tensors]:
    """The inputs of each row of a batch."""
    dims = entry.operator.batched()
    return [
        tuple(x if dim is None else x[row] for x, dim in zip(inputs, dims, strict=True))
        for row in range(len(inputs[0]))
    ]


def stacked(rows: list[Tensors]) -> Tensors:
    return tuple(torch.stack(parts) for parts in zip(*rows, strict=True))


def mapping(entry: Entry, call: Callable[..., Tensors]) -> Callable[..., Tensors]:
    """`call` over the rows of a batch, which all see the same random numbers, as seeded calls one by one do."""
    return torch.func.vmap(call, entry.operator.batched(), randomness="same")


def vmap(entry: Entry) -> None:
    inputs = entry.operator.inputs(ROWS, N)
    mapped = mapping(entry, lambda *xs: entry(*xs))(*inputs)
    close(mapped, stacked([entry(*row) for row in rows_of(entry, inputs)]), entry.operator.rounding)


def vmap_of_grad(entry: Entry) -> None:
    needs_slope(entry)
    inputs = entry.operator.inputs(ROWS, N)
    places = tuple(range(len(inputs)))
    slopes = mapping(entry, torch.func.grad(lambda *xs: loss(entry(*xs)), places))(*inputs)
    close(slopes, stacked([gradients(entry, row) for row in rows_of(entry, inputs)]), entry.operator.rounding)


def jvp(entry: Entry) -> None:
    needs_slope(entry)
    inputs = entry.operator.inputs(*one_batch(entry))
    tangents = tuple(weights(x, 3) for x in inputs)
    _, got = torch.func.jvp(lambda *xs: tuple(map(finite_part, entry(*xs))), inputs, tangents)
    step = 1e-5

    def moved(sign: int) -> Tensors:
        outs = entry(*(x + sign * step * t for x, t in zip(inputs, tangents, strict=True)))
        return tuple(map(finite_part, outs))

    want = tuple((ahead - behind) / (2 * step) for ahead, behind in zip(moved(1), moved(-1), strict=True))
    # Third derivatives of up to 1 / softness^3 times step^2, and rounding over step.
    close(got, want, 1e-6)


def one_batch(entry: Entry) -> tuple[int, ...]:
    return entry.operator.shape(2, N)


def weighted(entry: Entry) -> Callable[..., Tensors]:
    """The results that have a gradient, weighted so that constant sums do not hide errors."""

    def call(*inputs: Tensor) -> Tensors:
        return tuple(finite_part(out) * weights(out) for out in entry(*inputs) if out.requires_grad)

    return call


def first_derivative(entry: Entry) -> None:
    needs_slope(entry)
    inputs = tuple(x.requires_grad_() for x in entry.operator.inputs(*one_batch(entry)))
    assert gradcheck(weighted(entry), inputs)


def second_derivative(entry: Entry) -> None:
    needs_slope(entry)
    if entry.continuity < 1:
        raise NotApplicable("the first derivative has jumps")
    inputs = tuple(x.requires_grad_() for x in entry.operator.inputs(*one_batch(entry)[:-1], 4))
    assert gradgradcheck(weighted(entry), inputs)


def compiled(entry: Entry, backend: str = "eager") -> None:
    """One graph without a break for every size, value and gradient."""
    torch._dynamo.reset()
    program = torch.compile(lambda *xs: entry(*xs), fullgraph=True, backend=backend, dynamic=True)
    for place, shape in enumerate(SIZES):
        inputs = tuple(x.requires_grad_() for x in entry.operator.inputs(*entry.operator.shape(*shape)))
        with torch._dynamo.config.patch(error_on_recompile=place > 0):
            torch.manual_seed(11)
            got = program(*inputs)
        close(got, entry(*inputs), entry.operator.rounding)
        if entry.differentiable:
            grads = torch.autograd.grad(loss(got), inputs, allow_unused=True)
            close(
                tuple(torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True)),
                gradients(entry, inputs),
                entry.operator.rounding,
            )


def half_precision(entry: Entry, dtype: torch.dtype) -> None:
    inputs = tuple(x.to(dtype) for x in entry.operator.inputs(*one_batch(entry)))
    wide = tuple(x.to(entry.operator.reference) for x in inputs)
    got, want = entry(*inputs), entry(*wide)
    assert {out.dtype for out in got} == {dtype}, f"dtypes {[out.dtype for out in got]}"
    # One rounding to the dtype, and what float32 is off by.
    close(got, want, torch.finfo(dtype).eps)
    if entry.differentiable:
        # The gradient is rounded once where it leaves, once where it enters in half precision.
        close(gradients(entry, inputs), gradients(entry, wide), 2 * torch.finfo(dtype).eps)


def empty_batch(entry: Entry) -> None:
    if entry.operator.whole:
        raise NotApplicable("there is no batch")
    inputs = entry.operator.inputs(0, N)
    shapes = [(0, *out.shape[1:]) for out in entry(*entry.operator.inputs(2, N))]
    assert [tuple(out.shape) for out in entry(*inputs)] == shapes
    if entry.differentiable:
        assert [g.shape for g in gradients(entry, inputs)] == [x.shape for x in inputs]


def one_entry(entry: Entry) -> None:
    inputs = entry.operator.inputs(*one_batch(entry)[:-1], 1)
    finite(entry(*inputs), "value")
    wide = tuple(x.to(entry.operator.reference) for x in inputs)
    close(gradients(entry, tuple(x.float() for x in inputs)), gradients(entry, wide), 1e-5)
    if entry.method and entry.supported and entry.mode != "hard":
        # A single entry is the only choice; standardized and mapped back, it is itself to rounding.
        close(entry(*inputs)[:1], exact(entry)(*inputs)[:1], 1e-6)


def no_dims(entry: Entry) -> None:
    inputs = entry.operator.inputs()
    if not entry.operator.scalar:
        entry(*inputs)
        raise AssertionError("torch wants a dim here")
    alone = entry.operator.inputs(1)
    finite(gradients(entry, inputs), "gradient")
    for out, row in zip(entry(*inputs), entry(*alone), strict=True):
        assert out.numel() == row.numel()
        close((out.reshape(-1),), (row.reshape(-1),), entry.operator.rounding)


def exact(entry: Entry) -> Callable[..., Tensors]:
    """The hard function, which says where NaN belongs: nowhere, for operators without one."""
    if not entry.mode:
        return lambda *inputs: tuple(torch.zeros_like(out) for out in entry(*inputs))
    method = next(iter(METHODS)) if entry.method else ""
    hard = Entry(entry.operator, method, "hard")
    return lambda *inputs: hard(*inputs)[: len(entry(*inputs))]


def _in_float32(entry: Entry, kind: str) -> None:
    """Value and gradient on inputs of a kind: finite where float64 is, and what float64 gives."""
    narrow = tuple(x.float() for x in entry.operator.inputs(*one_batch(entry), kind=kind))
    wide = tuple(x.to(entry.operator.reference) for x in narrow)
    got, want = entry(*narrow), entry(*wide)
    for out, hard in zip(want, exact(entry)(*wide), strict=True):
        assert not (out.isnan() & ~hard.isnan()).any(), "NaN"
    close(got, want, entry.operator.float32_error)
    if entry.differentiable:
        if entry.mode == "hard" and any(bool(out.isnan().any()) for out in got):
            return  # torch's own derivative, which is NaN where its value is
        finite(gradients(entry, narrow), "gradient")
        finite(gradients(entry, wide), "gradient in float64")


def ties(entry: Entry) -> None:
    _in_float32(entry, "ties")


def large(entry: Entry) -> None:
    _in_float32(entry, "large")


def small(entry: Entry) -> None:
    _in_float32(entry, "small")


def infinite_entries(entry: Entry) -> None:
    _in_float32(entry, "infinite")


def learned_softness(entry: Entry) -> None:
    if "softness" not in entry.operator.takes:
        raise NotApplicable("it has no softness")
    inputs = entry.operator.inputs(*one_batch(entry))
    parameter = torch.nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
    close(entry(*inputs, softness=parameter), entry(*inputs, softness=0.3), entry.operator.rounding)
    _softness_has_its_gradient(entry, inputs, parameter)


def _softness_has_its_gradient(entry: Entry, inputs: Tensors, softness: Tensor) -> None:
    """Finite differences of every result that a softness has a say in: none in mode "hard"."""
    softness.requires_grad_()
    outs = entry(*inputs, softness=softness)
    moved = [place for place, out in enumerate(outs) if out.requires_grad]
    assert bool(moved) == (entry.mode != "hard")

    def weigh(s: Tensor) -> Tensors:
        outs = entry(*inputs, softness=s)
        return tuple(finite_part(outs[place]) * weights(outs[place]) for place in moved)

    if moved:
        assert gradcheck(weigh, (softness,))


def softness_for_each_row(entry: Entry) -> None:
    if "softness" not in entry.operator.takes or entry.operator.whole or entry.operator.by_row == "none":
        raise NotApplicable("it has no softness for each row")
    inputs = entry.operator.inputs(ROWS, N)
    each = torch.tensor([0.1, 0.3, 0.9], dtype=torch.float64)
    softness = each if entry.operator.by_row == "row" else each.unsqueeze(-1)
    batches = [entry(*inputs, softness=s) for s in each.tolist()]
    rows = [tuple(out[place] for out in batch) for place, batch in enumerate(batches)]
    close(entry(*inputs, softness=softness), stacked(rows), entry.operator.rounding)
    _softness_has_its_gradient(entry, inputs, softness)


def nothing_is_read_back(entry: Entry) -> None:
    inputs = tuple(x.to("meta") for x in entry.operator.inputs(*one_batch(entry)))
    real = entry(*entry.operator.inputs(*one_batch(entry)))
    softness = torch.tensor(0.3, device="meta", dtype=torch.float64)
    assert [out.shape for out in entry(*inputs, softness=softness)] == [out.shape for out in real]


@contextmanager
def one_process() -> Iterator[DeviceMesh]:
    """A device mesh of this process alone, as long as the block runs."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        yield init_device_mesh("cpu", (1,))
    finally:
        dist.destroy_process_group()


def sharded(entry: Entry) -> None:
    """DTensors split by rows give DTensors of the same values and gradients; test_sharded.py has several processes."""
    inputs, dims = entry.operator.inputs(*one_batch(entry)), entry.operator.batched()
    with one_process() as mesh:

        def distributed(x: Tensor, dim: int | None) -> Tensor:
            split = dim is not None and x.dim() > 1
            shard: Tensor = distribute_tensor(x, mesh, [Shard(0) if split else Replicate()])
            return shard.requires_grad_()

        shards = tuple(distributed(x, dim) for x, dim in zip(inputs, dims, strict=True))
        outs = entry(*shards)
        assert all(isinstance(out, DTensor) for out in outs), "a result is no DTensor"
        whole = tuple(out.full_tensor() for out in outs if isinstance(out, DTensor))
        close(whole, entry(*inputs), entry.operator.rounding)
        total = loss(whole)
        if total.requires_grad:
            found = torch.autograd.grad(total, shards, allow_unused=True)
            pairs = zip(found, inputs, strict=True)
            grads = tuple(g.full_tensor() if isinstance(g, DTensor) else torch.zeros_like(x) for g, x in pairs)
            close(grads, gradients(entry, inputs), entry.operator.rounding)


CHECKS: dict[str, Callable[[Entry], None]] = {
    "vmap": vmap,
    "vmap of grad": vmap_of_grad,
    "jvp": jvp,
    "gradcheck": first_derivative,
    "gradgradcheck": second_derivative,
    "compile": compiled,
    "bfloat16": partial(half_precision, dtype=torch.bfloat16),
    "float16": partial(half_precision, dtype=torch.float16),
    "empty batch": empty_batch,
    "n = 1": one_entry,
    "0-dim": no_dims,
    "ties": ties,
    "1e6": large,
    "1e-6": small,
    "-inf": infinite_entries,
    "learned softness": learned_softness,
    "softness by row": softness_for_each_row,
    "no readback": nothing_is_read_back,
    "DTensor": sharded,
}
"""Every check by the name of its column."""
