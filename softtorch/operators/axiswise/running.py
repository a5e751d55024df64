"""cummax and cummin: the largest or smallest of every prefix.

A prefix is the whole row with the entries behind it taken as infinitely small (or large), which methods leave out by
the law of `softtorch.methods.base.Method`. So every method that has rows serves here; its cost is n times its own.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from softtorch.methods import HARD, Keys, Method
from softtorch.methods.base import weighted
from softtorch.methods.hard import one_hot
from softtorch.methods.positions import Largest, Positions, Smallest
from softtorch.modes import Mode
from softtorch.operators.axiswise.call import Call, Options, open_call
from softtorch.operators.axiswise.results import IndexForm, ValuesAndIndices, index_form


def cummax(
    x: Tensor,
    dim: int,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_indices: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> ValuesAndIndices:
    """Soft torch.cummax: the maximum of the entries up to each place, and where it came from.

    The choice of the entry is relaxed; values and index tend to torch's as softness -> 0. Standardizing takes the whole
    row at once, so that a prefix and a longer one are compared on one scale.

    Returns:
        A pair: values (..., n, ...) and a SoftIndex (..., n, ..., [n]), 0 behind each place.

    Source: SoftSort, arXiv 2006.16038, equation 3, for the default method, applied to every prefix.

    Example:
        >>> import torch, softtorch
        >>> softtorch.cummax(torch.tensor([1.0, 0.0, 2.0]), 0, mode="c0").values
        tensor([1., 1., 2.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("cummax", return_log_probs, log_prob_eps, return_indices)
    return _running(_MAX, x, dim, options, gated_grad, form)


def cummin(
    x: Tensor,
    dim: int,
    softness: Tensor | float = 0.1,
    mode: str | Mode = "smooth",
    method: str | Method = "softsort",
    standardize: bool = True,
    ot_kwargs: dict[str, Any] | None = None,
    gated_grad: bool = True,
    return_indices: bool = True,
    return_log_probs: bool = False,
    log_prob_eps: Tensor | float | None = None,
) -> ValuesAndIndices:
    """Soft torch.cummin: the minimum of the entries up to each place, and where it came from.

    The choice of the entry is relaxed; values and index tend to torch's as softness -> 0. Standardizing takes the whole
    row at once, so that a prefix and a longer one are compared on one scale.

    Returns:
        A pair: values (..., n, ...) and a SoftIndex (..., n, ..., [n]), 0 behind each place.

    Source: SoftSort, arXiv 2006.16038, equation 3, for the default method, applied to every prefix.

    Example:
        >>> import torch, softtorch
        >>> softtorch.cummin(torch.tensor([1.0, 2.0, 0.0]), 0, mode="c0").values
        tensor([1., 1., 0.])
    """
    options = Options(softness, mode, method, standardize, ot_kwargs)
    form = index_form("cummin", return_log_probs, log_prob_eps, return_indices)
    return _running(_MIN, x, dim, options, gated_grad, form)


class _Extremum(NamedTuple):
    """The differences between cummax and cummin."""

    name: str
    position: Positions
    absent: int
    """the level that takes an entry out of the running"""
    exact: Callable[[Tensor, int], tuple[Tensor, Tensor]]


def _cummax(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    values, indices = torch.cummax(x, dim)
    return values, indices


def _cummin(x: Tensor, dim: int) -> tuple[Tensor, Tensor]:
    values, indices = torch.cummin(x, dim)
    return values, indices


_MAX = _Extremum("cummax", Largest(), -1, _cummax)
_MIN = _Extremum("cummin", Smallest(), 1, _cummin)


def _running(
    which: _Extremum, x: Tensor, dim: int, options: Options, gated_grad: bool, form: IndexForm
) -> ValuesAndIndices:
    call = open_call(which.name, x, dim, "rows", options, reduces=False)
    pair = (_hard_pair if call.method is HARD else _soft_pair)(which, call, gated_grad, form)
    return ValuesAndIndices(call.spread(pair.values), None if pair.indices is None else call.spread_rows(pair.indices))


def _hard_pair(which: _Extremum, call: Call, gated_grad: bool, form: IndexForm) -> ValuesAndIndices:
    """torch's own values (..., n) and one-hot rows (..., n, [n])."""
    values, index = which.exact(call.keys.raw, -1)
    return ValuesAndIndices(values, form.shown(one_hot(index, call.keys.raw)) if form.wanted else None)


def _soft_pair(which: _Extremum, call: Call, gated_grad: bool, form: IndexForm) -> ValuesAndIndices:
    """Values (..., n) and rows (..., n, [n]) of the extremum of each prefix."""
    inside = torch.ones(call.keys.n, call.keys.n, dtype=torch.bool, device=call.keys.raw.device).tril()
    keys = prefixes(call.keys, inside, which.absent)
    rows = call.method.rows(keys, which.position).squeeze(-2)
    # A prefix of nothing but -inf is as small as what is absent: share the row among those inside.
    rows = torch.where(inside, rows, 0.0)
    rows = rows / rows.sum(dim=-1, keepdim=True)
    weights = (rows if gated_grad else rows.detach()).unsqueeze(-2)
    values = weighted(weights, keys, which.position).squeeze(-1)
    if form.wanted and form.log:
        logs = call.method.log_rows(keys, which.position).squeeze(-2).masked_fill(~inside, -torch.inf)
        rows = form.floored(logs - torch.logsumexp(logs, dim=-1, keepdim=True))
    return ValuesAndIndices(values, rows if form.wanted else None)


def prefixes(keys: Keys, inside: Tensor, absent: int) -> Keys:
    """Keys for n parts of every row, (..., n, [n]): entries not `inside`, (n, [n]) bool, have the level `absent`."""
    fixed = keys.compared.detach()
    edge = fixed.amin(dim=-1, keepdim=True) if absent < 0 else fixed.amax(dim=-1, keepdim=True)
    return replace(
        keys,
        raw=torch.where(inside, keys.raw.unsqueeze(-2), absent * torch.inf),
        compared=torch.where(inside, keys.compared.unsqueeze(-2), edge.unsqueeze(-2)),
        levels=torch.where(inside, keys.level.unsqueeze(-2), absent),
        moderate=False,
        softness=_per_part(keys.softness),
        moments=None if keys.moments is None else keys.moments.unsqueezed(),
        origin=None if keys.origin is None else keys.origin.unsqueeze(-2),
        inside=None,
    )


def _per_part(softness: Tensor | float) -> Tensor | float:
    """A softness for (..., 1) made one for (..., n, 1)."""
    return softness.unsqueeze(-2) if isinstance(softness, Tensor) and softness.ndim > 0 else softness
