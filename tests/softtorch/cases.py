"""Sweep lists, derived from the tables of the library, and small helpers that several test files share."""

import torch
from torch import Tensor

from softtorch.methods import METHODS
from softtorch.modes import MODES

CURVE_MODES = [name for name in MODES if name != "hard"]
# Those that methods compute in: scores have no step, so a mode whose steps have tails is another one there.
SOFT_MODES = [name for name in CURVE_MODES if not MODES[name].has_tail]

METHOD_MODES = [(name, mode) for name, method in METHODS.items() for mode in method.modes]
ROW_CASES = [case for case in METHOD_MODES if METHODS[case[0]].has_rows]
VALUE_CASES = [case for case in METHOD_MODES if METHODS[case[0]].has_values]
RANK_CASES = [case for case in METHOD_MODES if METHODS[case[0]].has_rank]
MASK_CASES = [case for case in METHOD_MODES if METHODS[case[0]].has_mask]

# The two methods whose formulas are closed: what the operators themselves do is tested with these.
PLAIN_CASES = [case for case in METHOD_MODES if case[0] in ("softsort", "neuralsort")]


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Normal numbers, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def integers(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Few distinct numbers, so that there are ties."""
    return torch.randint(-3, 4, shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def weights_like(t: Tensor, seed: int = 1) -> Tensor:
    """Weights for a loss: a plain sum of ranks or of a soft index is constant and has no gradient to check."""
    return draw(*t.shape, seed=seed, dtype=t.dtype)


def one_hot(index: Tensor, n: int, dtype: torch.dtype) -> Tensor:
    """torch's index as the soft index of mode="hard"."""
    return torch.nn.functional.one_hot(index, n).to(dtype)
