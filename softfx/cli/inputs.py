"""Example inputs from the command line: `--input`, `--value` and `--load`.

Random tensors come from a generator of their own with a fixed seed, so that two runs see the same numbers.
Files are read with weights_only=True: tensors and plain containers, never code.
"""

from __future__ import annotations

import ast
import math
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from softfx.errors import TargetError, brief, did_you_mean
from softfx.ops.trees import map_tensors

# What ast raises for text that is no literal: malformed, unhashable, nested too deeply, of too many digits.
NOT_LITERAL = (ValueError, TypeError, SyntaxError, MemoryError, RecursionError)
# An example input is for seeing a call once; one of more bytes is a slip, and would fill the memory first.
_MOST_BYTES = 4 * 2**30

__all__ = ["NOT_LITERAL", "load_inputs", "make_input", "make_inputs", "make_value", "with_gradients"]

_SPEC = re.compile(
    r"(?:(?P<name>[A-Za-z_]\w*)=)?(?P<shape>\d+(?:x\d+)*|scalar)(?::(?P<dtype>[A-Za-z]\w*))?"
    r"(?::(?P<low>-?[\d.]+?)\.\.(?P<high>-?[\d.]+))?"
)
_FORM = "Write [NAME=]SHAPE[:DTYPE][:LOW..HIGH], such as 2x3x32x32, 4x10:int64:0..100, mask=2x8:bool or scalar."
_DTYPES = {name: value for name, value in vars(torch).items() if isinstance(value, torch.dtype)}
_USUAL = (
    "float32",
    "float64",
    "float16",
    "bfloat16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint8",
    "bool",
    "complex64",
)


def make_inputs(specs: Sequence[str], values: Sequence[str], seed: int) -> tuple[tuple[object, ...], dict[str, object]]:
    """The positional and the keyword inputs of a call."""
    generator = torch.Generator().manual_seed(seed)
    args: list[object] = []
    kwargs: dict[str, object] = {}
    named: list[tuple[str | None, object]] = [make_input(spec, generator) for spec in specs] + [
        make_value(text) for text in values
    ]
    for name, value in named:
        if name is None:
            args.append(value)
        elif name in kwargs:
            raise TargetError(f"inputs: {name} is given twice. Give each name once.")
        else:
            kwargs[name] = value
    return tuple(args), kwargs


def make_input(spec: str, generator: torch.Generator) -> tuple[str | None, Tensor]:
    """The name (None for a positional input) and the random tensor that `spec` stands for.

    Floats are normal, or uniform if a range is given. Integers lie from LOW up to HIGH, which is not included; their
    range by default, 0..2, is legal as a class, an index or a flag almost everywhere.
    """
    match = _SPEC.fullmatch(spec.strip())
    if match is None:
        raise TargetError(f"--input {spec}: not a shape. {_FORM}")
    dtype = _DTYPES.get(match["dtype"] or "float32")
    if dtype is None:
        near = did_you_mean(match["dtype"], _USUAL)
        raise TargetError(f"--input {spec}: {match['dtype']!r} is not a dtype of torch.{near}")
    try:
        shape = () if match["shape"] == "scalar" else tuple(int(size) for size in match["shape"].split("x"))
        size = math.prod(shape) * dtype.itemsize
        if size > _MOST_BYTES:
            raise ValueError(
                f"it would have more than {_MOST_BYTES // 2**30} GiB. Give a saved one with --load FILE.pt"
            )
        limits = None if match["low"] is None else _limits(match["low"], match["high"], dtype)
        return match["name"], _random(shape, dtype, limits, generator)
    except (RuntimeError, ValueError, TypeError, OverflowError, NotImplementedError) as error:
        text = str(error).splitlines()[0]
        raise TargetError(f"--input {_cut(spec)}: torch cannot make this tensor: {text}. {_FORM}") from error


def _cut(text: str) -> str:
    return text if len(text) < 100 else f"{text[:100]}..."


def _limits(low: str, high: str, dtype: torch.dtype) -> tuple[float, float]:
    """The range of random numbers, which the dtype can hold."""
    limits = float(low), float(high)
    if not -math.inf < limits[0] < limits[1] < math.inf:
        raise ValueError(f"{low}..{high} is no range, whose first number is below its last")
    whole = not (dtype.is_floating_point or dtype.is_complex or dtype is torch.bool)
    if whole and not (torch.iinfo(dtype).min <= limits[0] and limits[1] - 1 <= torch.iinfo(dtype).max):
        bounds = f"{torch.iinfo(dtype).min} to {torch.iinfo(dtype).max}"
        raise ValueError(f"{low}..{high} is beyond {dtype}, which holds {bounds}")
    return limits


def _random(
    shape: tuple[int, ...], dtype: torch.dtype, limits: tuple[float, float] | None, generator: torch.Generator
) -> Tensor:
    if dtype.is_floating_point or dtype.is_complex:
        if limits is None:
            return torch.randn(shape, generator=generator, dtype=dtype)
        low, high = limits
        return torch.rand(shape, generator=generator, dtype=dtype) * (high - low) + low
    low, high = limits or (0.0, 2.0)
    return torch.randint(int(low), int(high), shape, generator=generator).to(dtype)


def make_value(text: str) -> tuple[str, object]:
    """The name and the value of NAME=LITERAL, a keyword input that is no tensor."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise TargetError(f"--value {text}: not NAME=LITERAL. Write for example num_classes=5 or average='macro'.")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except NOT_LITERAL as error:
        hint = f"A string needs quotes: {name}=\"'{value}'\"." if value.strip().isidentifier() else ""
        raise TargetError(f"--value {_cut(text)}: {brief(value)} is not a Python literal. {hint}".rstrip()) from error


def load_inputs(path: str) -> tuple[tuple[object, ...], dict[str, object]]:
    """Positional inputs from a saved tuple, list or tensor; keyword inputs from a saved dict."""
    if not Path(path).is_file():
        raise TargetError(f"--load {path}: there is no such file. The path is taken from {Path.cwd()}.")
    try:
        data = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise TargetError(
            f"--load {path}: it holds more than tensors, numbers, strings and containers of them, and code "
            "is never loaded. Save the inputs with torch.save((x, y), FILE) or torch.save({'x': x}, FILE)."
        ) from error
    except Exception as error:  # torch.load raises errors of any type for bytes that it does not know
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise TargetError(f"--load {path}: not a file of torch.save: {text}.") from error
    if isinstance(data, Tensor):
        return (data,), {}
    if isinstance(data, tuple | list):
        return tuple(data), {}
    if isinstance(data, Mapping) and all(isinstance(key, str) for key in data):
        return (), dict(data)
    raise TargetError(
        f"--load {path}: it holds a {type(data).__name__}. Save a tensor, a tuple or list of inputs, or a dict by name."
    )


def with_gradients(inputs: object) -> object:
    """The inputs with every floating tensor asking for a gradient, so that a report says which of them get none."""
    return map_tensors(lambda tensor: tensor.requires_grad_() if tensor.is_floating_point() else tensor, inputs)
