"""Max pooling: the soft maximum of each window.

A window is laid out as an axis of its own, padded with -inf, and given to `softtorch.max`. How the windows lie is in
`_strided` and `_adaptive`; to add a pooling of another kind, write where its windows are.
"""

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor

from softtorch.errors import ShapeError, message
from softtorch.methods import Method
from softtorch.modes import Mode
from softtorch.operators.axiswise import max as soft_max

__all__ = [
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "adaptive_max_pool3d",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
]

Sizes = int | Sequence[int]


def max_pool1d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft torch.nn.functional.max_pool1d: each window gives its soft maximum.

    Args:
        x: input, (..., w).

    Returns:
        As torch's, (..., w').

    Source: SoftSort, arXiv 2006.16038, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.max_pool1d(torch.tensor([[0.0, 3.0, 1.0, 2.0]]), 2, softness=0.1)
        tensor([[2.9708, 1.9903]])
    """
    windows = _strided("max_pool1d", 1, x, kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled(x, windows, (softness, mode, method, standardize))


def max_pool2d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft torch.nn.functional.max_pool2d: each window gives its soft maximum.

    Every entry of a window receives a gradient, by how close it comes to the largest; the largest alone does as
    softness -> 0.

    Args:
        x: input, (..., h, w).

    Returns:
        As torch's, (..., h', w').

    Source: SoftSort, arXiv 2006.16038, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.max_pool2d(torch.arange(4.0).reshape(1, 2, 2), 2, softness=0.5)
        tensor([[[1.9727]]])
    """
    windows = _strided("max_pool2d", 2, x, kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled(x, windows, (softness, mode, method, standardize))


def max_pool3d(
    x: Tensor,
    kernel_size: Sizes,
    stride: Sizes | None = None,
    padding: Sizes = 0,
    dilation: Sizes = 1,
    ceil_mode: bool = False,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft torch.nn.functional.max_pool3d: each window gives its soft maximum.

    Args:
        x: input, (..., d, h, w).

    Returns:
        As torch's, (..., d', h', w').

    Source: SoftSort, arXiv 2006.16038, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.max_pool3d(torch.zeros(1, 2, 2, 2), 2).shape
        torch.Size([1, 1, 1, 1])
    """
    windows = _strided("max_pool3d", 3, x, kernel_size, stride, padding, dilation, ceil_mode)
    return _pooled(x, windows, (softness, mode, method, standardize))


def adaptive_max_pool1d(
    x: Tensor,
    output_size: Any,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft torch.nn.functional.adaptive_max_pool1d: each window gives its soft maximum.

    Args:
        x: input, (..., w).

    Returns:
        As torch's, (..., w').

    Source: SoftSort, arXiv 2006.16038, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.adaptive_max_pool1d(torch.tensor([[0.0, 3.0, 1.0, 2.0]]), 2)
        tensor([[2.9708, 1.9903]])
    """
    windows = _adaptive("adaptive_max_pool1d", 1, x, output_size)
    return _pooled(x, windows, (softness, mode, method, standardize))


def adaptive_max_pool2d(
    x: Tensor,
    output_size: Any,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft torch.nn.functional.adaptive_max_pool2d: each window gives its soft maximum.

    Args:
        x: input, (..., h, w).

    Returns:
        As torch's, (..., h', w').

    Source: SoftSort, arXiv 2006.16038, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.adaptive_max_pool2d(torch.zeros(1, 5, 7), (2, None)).shape
        torch.Size([1, 2, 7])
    """
    windows = _adaptive("adaptive_max_pool2d", 2, x, output_size)
    return _pooled(x, windows, (softness, mode, method, standardize))


def adaptive_max_pool3d(
    x: Tensor,
    output_size: Any,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
) -> Tensor:
    """Soft torch.nn.functional.adaptive_max_pool3d: each window gives its soft maximum.

    Args:
        x: input, (..., d, h, w).

    Returns:
        As torch's, (..., d', h', w').

    Source: SoftSort, arXiv 2006.16038, for the default method.

    Example:
        >>> import torch, softtorch
        >>> softtorch.adaptive_max_pool3d(torch.zeros(1, 5, 7, 2), 1).shape
        torch.Size([1, 1, 1, 1])
    """
    windows = _adaptive("adaptive_max_pool3d", 3, x, output_size)
    return _pooled(x, windows, (softness, mode, method, standardize))


def _pooled(x: Tensor, windows: list[Tensor], options: tuple[Any, ...]) -> Tensor:
    """The soft maximum of each window; windows: for each spatial axis the places of each, (n', [k]), -1 for none."""
    softness, mode, method, standardize = options
    first = x.dim() - len(windows)
    for at, places in enumerate(windows, first):
        later = x.dim() - at - 1
        x = x.index_select(at, places.clamp(min=0).flatten())
        x = x.reshape(*x.shape[:at], *places.shape, *x.shape[at + 1 :]).movedim(at + 1, -1)  # (..., n', ..., [k])
        x = x.masked_fill((places < 0).reshape(places.shape[0], *(1,) * later, places.shape[1]), -torch.inf)
    return soft_max(x.flatten(-len(windows)), -1, False, softness, mode, method, standardize)[0]


def _strided(
    where: str, axes: int, x: Tensor, size: Sizes, stride: Sizes | None, padding: Sizes, dilation: Sizes, ceil: bool
) -> list[Tensor]:
    """The places of windows of one size, at even distances."""
    _check_axes(where, axes, x)
    sizes = _each(where, "kernel_size", size, axes)
    strides = sizes if stride is None else _each(where, "stride", stride, axes)
    paddings, dilations = _each(where, "padding", padding, axes), _each(where, "dilation", dilation, axes)
    windows = []
    for n, k, s, p, d in zip(x.shape[-axes:], sizes, strides, paddings, dilations, strict=True):
        _check_window(where, n, k, s, p, d)
        room = n + 2 * p - d * (k - 1) - 1
        count = (-(-room // s) if ceil else room // s) + 1
        count -= ceil and (count - 1) * s >= n + p  # a window may not begin in the padding behind the input
        start = torch.arange(count, device=x.device) * s - p
        places = start[:, None] + d * torch.arange(k, device=x.device)
        windows.append(torch.where((places >= 0) & (places < n), places, -1))
    return windows


def _adaptive(where: str, axes: int, x: Tensor, output_size: Any) -> list[Tensor]:
    """The places of windows that divide the axes as evenly as they can."""
    _check_axes(where, axes, x)
    wanted = [output_size] * axes if isinstance(output_size, int) else list(output_size)
    counts = _each(
        where, "output_size", [n if o is None else o for o, n in zip(wanted, x.shape[-axes:], strict=True)], axes
    )
    windows = []
    for n, count in zip(x.shape[-axes:], counts, strict=True):
        order = torch.arange(count, device=x.device)
        start, end = order * n // count, ((order + 1) * n + count - 1) // count
        places = start[:, None] + torch.arange(_longest(n, count), device=x.device)
        windows.append(torch.where(places < end[:, None], places, -1))
    return windows


def _longest(n: int, count: int) -> int:
    """The most that ceil((i + 1) n / count) - floor(i n / count) can be.

    Nothing is compared, so that one compiled graph serves every size.
    """
    least, most = cast(Any, torch.sym_min), cast(Any, torch.sym_max)  # untyped in torch
    rest = n % count
    both_ends: int = least(1, rest) + least(1, count % most(1, rest))
    return n // count + both_ends


def _check_axes(where: str, axes: int, x: Tensor) -> None:
    if x.dim() <= axes:
        wrong = f"the input has {x.dim()} axes"
        raise ShapeError(message(where, wrong, f"It has {axes} spatial axes behind its channels"))


def _check_window(where: str, n: int, size: int, stride: int, padding: int, dilation: int) -> None:
    if size < 1 or stride < 1 or dilation < 1 or not 0 <= padding <= size // 2:
        wrong = f"kernel_size={size}, stride={stride}, padding={padding}, dilation={dilation}"
        raise ShapeError(message(where, wrong, "Sizes are positive and padding is at most half of kernel_size"))
    if n + 2 * padding < dilation * (size - 1) + 1:
        wrong = f"a window of {dilation * (size - 1) + 1} does not fit an axis of {n} with padding {padding}"
        raise ShapeError(message(where, wrong, "Every window lies in the padded input"))


def _each(where: str, name: str, value: Any, axes: int) -> list[Any]:
    """One number for each axis."""
    sizes = [value] * axes if isinstance(value, int) else list(value)
    if len(sizes) == 1:
        sizes *= axes
    if len(sizes) != axes:
        raise ShapeError(message(where, f"{name}={value!r}", f"Give one number, or {axes}"))
    return sizes
