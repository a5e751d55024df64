"""How one measured call is made. Runs in the environments of the peers too: the standard library and torch, no more.

A call is a plain dict: the dotted name of a function, its keyword arguments, the shape of its input. A name in
SPECIAL stands for a function here, for libraries that are not called as f(x, ...). To add one: a function and a line
there.
"""

import importlib
import time

import torch


def diffsort(x, network, steepness):
    """Values sorted by diffsort's relaxed network, (..., n)."""
    from diffsort import DiffSortNet

    return DiffSortNet(network, x.shape[-1], steepness=steepness, interpolation_type="logistic")(x)[0]


def clamped(x, function, **options):
    """A function with the bounds of the table."""
    return resolve(function)(x, -0.5, 0.5, **options)


def compared(x, function, **options):
    """A comparison with other numbers of the same shape, made once for each size."""
    key = (x.shape, x.dtype, x.device)
    if key not in OTHERS:
        OTHERS[key] = torch.randn(x.shape, dtype=x.dtype, generator=torch.Generator().manual_seed(1)).to(x.device)
    return resolve(function)(x, OTHERS[key], **options)


OTHERS = {}


def standardized_softmax(x, softness):
    """What argmax in mode smooth is by definition, of torch's own operators and without any care: (..., n)."""
    z = torch.nn.functional.layer_norm(x, x.shape[-1:], eps=1e-6)
    return torch.softmax(torch.sigmoid(z) / softness, dim=-1)


SPECIAL = {
    "diffsort": diffsort,
    "clamped": clamped,
    "compared": compared,
    "standardized_softmax": standardized_softmax,
}


def resolve(name):
    """The function of a dotted name, or the one that SPECIAL has."""
    if name in SPECIAL:
        return SPECIAL[name]
    module, function = name.rsplit(".", 1)
    return getattr(importlib.import_module(module), function)


def made_input(call, device, size=None):
    """Normal numbers of the call's shape; with `size` the last axis is that long."""
    shape = list(call["shape"])
    shape[-1] = size or shape[-1]
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(device)
    return x.requires_grad_() if call["backward"] else x


def prepared(call, device, size=None):
    """A function without arguments that makes the call once, backward pass included if it is asked for."""
    function, options = resolve(call["function"]), call["options"]
    x = made_input(call, device, size)
    if not call["backward"]:

        def forward():
            with torch.no_grad():
                return function(x, **options)

        return forward
    out = first(function(x, **options))
    weights = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out)

    def both():
        return torch.autograd.grad(first(function(x, **options)), x, weights)

    return both


def first(result):
    """The values of a pair, or the tensor itself."""
    return result if isinstance(result, torch.Tensor) else result[0]


CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}


def timed(run, device, repeats, clock):
    """Seconds a call, as the mean of `repeats`; clock "cpu" counts what the process got of a shared machine."""
    now = CLOCKS[clock]
    finish(device)
    start = now()
    for _ in range(repeats):
        run()
    finish(device)
    return (now() - start) / repeats


def finish(device):
    """Wait for the device, if it works on by itself."""
    if device == "cuda":
        torch.cuda.synchronize()
