"""Results of the axiswise operators: pairs of values and soft indices, and indices as log-probabilities."""

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from softtorch.checks import check_log_probs
from softtorch.kernels.numeric.precision import log_probability
from softtorch.methods.base import Method
from softtorch.methods.keys import Keys
from softtorch.methods.positions import Positions


class ValuesAndIndices(NamedTuple):
    """A pair with the field names of torch.return_types.sort and its kin."""

    values: Tensor
    """shaped like torch's values"""
    indices: Tensor | None
    """shaped like torch's indices plus a trailing [n]; None when not asked for or not given by the method"""


@dataclass(frozen=True)
class IndexForm:
    """The form of a returned soft index: probabilities or their logarithms, above a floor, or none at all."""

    log: bool
    floor: Tensor | float | None
    wanted: bool = True

    def rows(self, method: Method, keys: Keys, positions: Positions) -> Tensor:
        """The soft index (..., k, [n]) in this form."""
        if not self.log:
            return method.rows(keys, positions)
        return self.floored(method.log_rows(keys, positions))

    def shown(self, rows: Tensor) -> Tensor:
        """Probabilities (..., [n]) in this form, for operators that have no method to ask for logarithms."""
        return self.floored(log_probability(rows)) if self.log else rows

    def floored(self, logs: Tensor) -> Tensor:
        """Log-probabilities (..., [n]) with none below the floor, renormalized along [n]."""
        if self.floor is None:
            return logs
        if isinstance(self.floor, Tensor):
            raised = torch.maximum(logs, self.floor.to(logs).log())
        else:
            raised = logs.clamp(min=math.log(self.floor))
        return raised - torch.logsumexp(raised, dim=-1, keepdim=True)


def index_form(
    where: str, return_log_probs: bool, log_prob_eps: Tensor | float | None, return_indices: bool = True
) -> IndexForm:
    """The form that an operator's options ask for, checked."""
    check_log_probs(where, return_log_probs, log_prob_eps)
    return IndexForm(return_log_probs, log_prob_eps, return_indices)
