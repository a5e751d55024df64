"""Values as expressions of Python that give them again, bit for bit, and texts as comments and docstrings.

Whatever stands in written code and came from elsewhere goes through this module or `names`: a value becomes a literal,
a text becomes a comment or a docstring that it cannot end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping

import torch
from torch import Tensor, fx

from softfx.visible import visible

__all__ = ["comment", "docstring", "literal", "operand", "tensor_literal"]

# A tensor constant with more elements than this has no place in source text.
_MOST_ELEMENTS = 1024

_QUOTES = '"' * 3

NodeName = Callable[[fx.Node], str]


def comment(text: str) -> str:
    r"""`text` as a comment of one line.

    >>> comment("f.py:3 (layers.a\nimport os): x.round()")
    '# f.py:3 (layers.a\\nimport os): x.round()'
    """
    return f"# {visible(text)}".rstrip()


def docstring(lines: Iterable[str]) -> list[str]:
    """The lines between triple quotes; neither quotes nor backslashes in them mean anything."""
    escaped = [visible(line).replace("\\", r"\\").replace(_QUOTES, r"\"\"\"").rstrip() for line in lines]
    if escaped[-1].endswith('"'):
        escaped[-1] = escaped[-1][:-1] + r"\""
    return (_QUOTES + "\n".join(escaped) + _QUOTES).split("\n")


def literal(value: object, node_name: NodeName = lambda node: node.name) -> str:
    """The expression for an argument of a call: a plain value, a node, or containers of these.

    >>> literal((-0.0, float("inf"), complex(-0.0, 1), slice(None, 3), torch.float16, ...))
    '(-0.0, float("inf"), complex(-0.0, 1.0), slice(None, 3, None), torch.float16, ...)'
    """
    if isinstance(value, fx.Node):
        return node_name(value)
    if isinstance(value, tuple):
        return "(" + ", ".join(literal(item, node_name) for item in value) + ("," if len(value) == 1 else "") + ")"
    if isinstance(value, list):
        return "[" + ", ".join(literal(item, node_name) for item in value) + "]"
    if isinstance(value, Mapping):
        pairs = (f"{literal(key, node_name)}: {literal(item, node_name)}" for key, item in value.items())
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, slice):
        return f"slice({', '.join(literal(part, node_name) for part in (value.start, value.stop, value.step))})"
    return _plain(value)


def _plain(value: object) -> str:
    if isinstance(value, str):  # a member of a StrEnum among them, whose own repr is no expression
        return visible(str.__repr__(value))
    if isinstance(value, float):
        return repr(float(value)) if math.isfinite(value) else f'float("{float(value)}")'
    if isinstance(value, complex):
        return f"complex({_plain(value.real)}, {_plain(value.imag)})"
    if isinstance(value, torch.device):
        return f'torch.device("{value}")'
    if value is Ellipsis:
        return "..."
    return visible(repr(value))


def operand(value: object, node_name: NodeName) -> str:
    """The expression as the left operand of `**`, or with something behind it: a number stands in brackets.

    `-2 ** x` is `-(2 ** x)`, and `2.real` is no Python.
    """
    text = literal(value, node_name)
    return f"({text})" if text[0] == "-" or text[0].isdigit() else text


def tensor_literal(value: Tensor) -> str | None:
    """An expression for a small tensor, or None: its shape, dtype and device, its numbers, and no history."""
    plain = type(value) in (Tensor, torch.nn.Parameter) and value.layout is torch.strided
    if not plain or value.is_quantized or value.device.type == "meta" or value.numel() > _MOST_ELEMENTS:
        return None
    options = f"dtype={value.dtype}"
    if value.device.type != "cpu":
        options += f", device={_plain(str(value.device))}"
    if value.requires_grad:
        options += ", requires_grad=True"
    if value.numel() == 0:
        return f"torch.empty({literal(tuple(value.shape))}, {options})"
    return f"torch.tensor({literal(value.detach().tolist())}, {options})"
