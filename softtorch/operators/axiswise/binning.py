"""searchsorted, bucketize and histc: between which boundaries a number lies.

Their soft index is a distribution over the n + 1 gaps of n sorted boundaries, cut out by soft steps at each of them:
p_k = step(v - b_{k-1}) - step(v - b_k). There is no method to choose and nothing to standardize; softness is in the
units of the input. Ranks and order statistics of a row are in ordering.py.
"""

import torch
from torch import Tensor
from torch.nn.functional import pad

from softtorch.checks import check_softness, resolve_mode
from softtorch.errors import OptionError, ShapeError, message
from softtorch.kernels.numeric.precision import computing_dtype, narrowed
from softtorch.modes import Mode
from softtorch.operators.axiswise.results import IndexForm, index_form


def searchsorted(
    sorted_sequence: Tensor,
    values: Tensor,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    right: bool = False,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """Soft torch.searchsorted: how likely each value is to belong before each entry of a sorted sequence.

    The insertion index is relaxed to a distribution over the n + 1 gaps; it tends to one-hot as softness -> 0. Its
    mean, sum_k k p_k, is the soft count of entries below the value.

    Args:
        sorted_sequence: boundaries in rising order, (n,) or (..., n).
        values: what is inserted, any shape for boundaries (n,), else (..., m).
        softness: how soft each step is, in units of the values: a number, or a tensor that broadcasts to `values`.
        right: on which side of equal entries to insert.

    Returns:
        A SoftIndex, (..., [n + 1]), shaped like `values` with the gaps last.

    Raises:
        ShapeError: the shapes do not fit.
        OptionError: an illegal option.

    Source: soft ranks by sums of steps, Qin, Liu and Li 2010, Information Retrieval 13, section 4.

    Example:
        >>> import torch, softtorch
        >>> softtorch.searchsorted(torch.tensor([0.0, 1.0]), torch.tensor(0.5), mode="c0")
        tensor([0., 1., 0.])
    """
    form = index_form("searchsorted", return_log_probs, log_prob_eps)
    _check_pair("searchsorted", sorted_sequence, values)
    return _located("searchsorted", sorted_sequence, values, softness, mode, right, form)


def bucketize(
    x: Tensor,
    boundaries: Tensor,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    right: bool = False,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> Tensor:
    """Soft torch.bucketize: how likely each entry is to be in each of the n + 1 buckets between n boundaries.

    The bucket is relaxed to a distribution over the buckets; it tends to one-hot as softness -> 0.

    Args:
        x: input, any shape (...).
        boundaries: in rising order, (n,).
        softness: how soft each boundary is, in units of x: a number, or a tensor that broadcasts to x.
        right: whether a bucket holds its left boundary.

    Returns:
        A SoftIndex, (..., [n + 1]).

    Raises:
        ShapeError: the boundaries are not one-dimensional.
        OptionError: an illegal option.

    Source: soft ranks by sums of steps, Qin, Liu and Li 2010, Information Retrieval 13, section 4.

    Example:
        >>> import torch, softtorch
        >>> softtorch.bucketize(torch.tensor([-9.0, 9.0]), torch.tensor([0.0, 1.0]), mode="c0")
        tensor([[1., 0., 0.],
                [0., 0., 1.]])
    """
    form = index_form("bucketize", return_log_probs, log_prob_eps)
    if boundaries.ndim != 1:
        wrong = f"boundaries have shape {tuple(boundaries.shape)}"
        raise ShapeError(message("bucketize", wrong, "Use a one-dimensional tensor"))
    return _located("bucketize", boundaries, x, softness, mode, right, form)


def histc(
    x: Tensor,
    bins: int = 100,
    min: Tensor | float = 0,
    max: Tensor | float = 0,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
) -> Tensor:
    """Soft torch.histc: how many entries lie in each of `bins` equal bins between `min` and `max`.

    Each entry is spread over the bins near it; counts tend to torch's as softness -> 0. What lies outside of [min, max]
    is not counted. With min = max = 0 the bins span the data.

    Args:
        x: input, any shape.
        bins: how many bins.
        min: the lower outer edge, in units of x; a number, or a tensor (), such as x.min().
        max: the upper outer edge, likewise.
        softness: how soft each edge is, in units of x: a number, or a tensor that broadcasts to x.

    Returns:
        Counts, (bins,).

    Raises:
        OptionError: bins is not positive, or max is less than min, or another illegal option.

    Source: soft ranks by sums of steps, Qin, Liu and Li 2010, Information Retrieval 13, section 4.

    Example:
        >>> import torch, softtorch
        >>> softtorch.histc(torch.tensor([0.25, 0.75, 0.8]), 2, 0, 1, softness=0.01, mode="c0")
        tensor([1., 2.])
    """
    if not isinstance(bins, int | torch.SymInt) or isinstance(bins, bool) or bins <= 0:
        raise OptionError(message("histc", f"bins={bins!r} is not a positive integer", "Use bins >= 1"))
    numbers = not isinstance(min, Tensor) and not isinstance(max, Tensor)
    if not numbers and any(isinstance(edge, Tensor) and edge.ndim for edge in (min, max)):
        raise ShapeError(message("histc", "min or max has axes", "Use numbers or tensors of shape ()"))
    if numbers and max < min:
        raise OptionError(message("histc", f"max={max} is less than min={min}", "Use min <= max"))
    chosen = resolve_mode("histc", mode)
    _check_elementwise_softness("histc", softness, x)
    return chosen.select(_hard_histogram, _soft_histogram)(x, bins, min, max, softness, chosen)


def _hard_histogram(
    x: Tensor, bins: int, low: Tensor | float, high: Tensor | float, softness: Tensor | float, mode: Mode
) -> Tensor:
    """torch's own counts, (bins,)."""
    return torch.histc(x, bins, low, high)  # type: ignore[arg-type]  # it takes 0-dim tensors, too


def _soft_histogram(
    x: Tensor, bins: int, low: Tensor | float, high: Tensor | float, softness: Tensor | float, mode: Mode
) -> Tensor:
    """Counts (bins,) as sums of the probabilities of the gaps between the edges."""
    points = x.to(computing_dtype(x.dtype)).reshape(-1)
    if isinstance(softness, Tensor) and softness.ndim:
        softness = softness.expand_as(x).reshape(-1)
    if isinstance(low, Tensor) or isinstance(high, Tensor):
        first, last = (torch.as_tensor(edge, device=x.device).to(points.dtype) for edge in (low, high))
        spanned, is_open = _span(points, 0.0), first == last
        first, last = (torch.where(is_open, *each) for each in zip(spanned, (first, last), strict=True))
        gaps = _gaps(_edges(first, last, bins), points, softness, mode)[:, 1:-1]
    elif low == high:
        # The bins span the data: nothing is outside, so the first and last of them are open.
        gaps = _gaps(_edges(*_span(points, low), bins)[1:-1], points, softness, mode)
    else:
        first, last = points.new_full((), low), points.new_full((), high)
        gaps = _gaps(_edges(first, last, bins), points, softness, mode)[:, 1:-1]
    return narrowed(gaps.sum(dim=0), x.dtype)


def _span(points: Tensor, only: float) -> tuple[Tensor, Tensor]:
    """The extremes of points (m,), 0-dim, one apart on both sides where they coincide, as torch.histc has it."""
    anchored = points if points.numel() else points.new_full((1,), only)
    first, last = anchored.amin(), anchored.amax()
    apart = (first == last).to(points.dtype)
    return first - apart, last + apart


def _edges(first: Tensor, last: Tensor, bins: int) -> Tensor:
    """bins + 1 equally spaced edges between two 0-dim bounds."""
    return torch.lerp(first, last, torch.arange(bins + 1, device=first.device, dtype=first.dtype) / bins)


def _located(
    where: str,
    boundaries: Tensor,
    values: Tensor,
    softness: Tensor | float,
    mode: str | Mode,
    right: bool,
    form: IndexForm,
) -> Tensor:
    """The distribution over gaps, (..., [n + 1]), of values (...) among boundaries (n,) or (..., n)."""
    chosen = resolve_mode(where, mode)
    _check_elementwise_softness(where, softness, values)
    rows = chosen.select(_hard_gaps, _soft_gaps)(boundaries, values, softness, chosen, right)
    return narrowed(form.shown(rows), values.dtype)


def _hard_gaps(boundaries: Tensor, values: Tensor, softness: Tensor | float, mode: Mode, right: bool) -> Tensor:
    """One-hot rows (..., [n + 1]) at torch's own index."""
    index = torch.searchsorted(boundaries.detach().contiguous(), values.detach().contiguous(), right=right)
    gaps = torch.arange(boundaries.shape[-1] + 1, device=values.device)
    return (index.unsqueeze(-1) == gaps).to(computing_dtype(values.dtype))


def _soft_gaps(boundaries: Tensor, values: Tensor, softness: Tensor | float, mode: Mode, right: bool) -> Tensor:
    """Rows (..., [n + 1]) cut out by the mode's steps."""
    dtype = torch.promote_types(computing_dtype(values.dtype), computing_dtype(boundaries.dtype))
    rows = boundaries if boundaries.ndim == 1 else boundaries.unsqueeze(-2)
    return _gaps(rows.to(dtype), values.to(dtype), softness, mode, right)


def _gaps(
    boundaries: Tensor, values: Tensor, softness: Tensor | float, mode: Mode, right: bool | None = None
) -> Tensor:
    """p_k = step(v - b_{k-1}) - step(v - b_k): boundaries (n,) or (..., 1, n), values (...) -> (..., [n + 1]).

    right: the side of a boundary on which a value equal to it belongs; None shares it among both.
    """
    if isinstance(softness, Tensor):
        softness = softness.to(values.dtype)
        softness = softness.unsqueeze(-1) if softness.ndim else softness
    values = values.unsqueeze(-1)
    # Equal infinities are 0 apart; other infinite distances are cut where squaring them would overflow.
    reach = torch.finfo(values.dtype).max ** 0.5
    same = (values == boundaries) & values.isinf()
    distance = torch.where(same, 0.0, values - boundaries).clamp(-reach, reach)
    above = mode.sigmoidal(distance / softness)
    if right is not None:
        above = _settled(above, values == boundaries, right)
    return pad(above, (1, 0), value=1.0) - pad(above, (0, 1), value=0.0)


def _settled(above: Tensor, equal: Tensor, right: bool) -> Tensor:
    """Steps (..., n), falling, those at boundaries equal to the value as the next step on the value's side has it.

    Their derivative stays their own: it is largest there.
    """
    steps = above.detach()
    if right:
        level = torch.where(equal, 1.0, steps).cummin(-1).values
    else:
        level = torch.where(equal, 0.0, steps).flip(-1).cummax(-1).values.flip(-1)
    return above + torch.where(equal, level - steps, 0.0)


def _check_pair(where: str, boundaries: Tensor, values: Tensor) -> None:
    """Boundaries (n,), or (..., n) with the leading axes of values (..., m)."""
    if boundaries.ndim == 1 or (boundaries.ndim == values.ndim > 0 and boundaries.shape[:-1] == values.shape[:-1]):
        return
    wrong = f"sorted_sequence {tuple(boundaries.shape)} does not fit values {tuple(values.shape)}"
    legal = "Use one dimension, or the same sizes in all but the last"
    raise ShapeError(message(where, wrong, legal))


def _check_elementwise_softness(where: str, softness: Tensor | float, x: Tensor) -> None:
    """A softness that broadcasts to x, any shape."""
    check_softness(where, softness)
    if not isinstance(softness, Tensor):
        return
    sizes = zip(reversed(softness.shape), reversed(x.shape), strict=False)
    if softness.ndim > x.ndim or not all(s in (1, b) for s, b in sizes):
        wrong = f"softness of shape {tuple(softness.shape)} does not broadcast to input {tuple(x.shape)}"
        raise ShapeError(message(where, wrong, "Use a number, a 0-dim tensor or a shape that broadcasts"))
