"""Gates of logic networks: the 16 functions of two bits as multilinear polynomials, a layer of them, smooth steps.

The logic operators under torch's names, which compose xor of and, or and not, are in logic.py. Exact at 0 and 1. To add
a gate function: a line in the table, whose order is that of the truth tables 0000 to 1111.
"""

import torch
from torch import Tensor, nn

from softtorch.checks import check_softness
from softtorch.errors import OptionError, ShapeError, message, nearest
from softtorch.kernels.numeric.noise import gumbel_like
from softtorch.kernels.numeric.precision import computing_dtype, narrowed
from softtorch.kernels.numeric.promotion import promoted
from softtorch.kernels.numeric.tracing import differentiating
from softtorch.operators.relaxed import straight

__all__ = ["GATES", "LogicLayer", "gate", "gate_st", "mixed_gates", "selector", "smooth_step"]

Softness = Tensor | float

# Each gate is c + a x + b y + d x y with its coefficients (c, a, b, d); the truth table lists its values for
# (x, y) = (0, 0), (0, 1), (1, 0), (1, 1).
GATES: dict[str, tuple[float, float, float, float]] = {
    "false": (0, 0, 0, 0),  # 0000
    "and": (0, 0, 0, 1),  # 0001
    "not_implies": (0, 1, 0, -1),  # 0010: x and not y
    "x": (0, 1, 0, 0),  # 0011
    "not_implied_by": (0, 0, 1, -1),  # 0100: y and not x
    "y": (0, 0, 1, 0),  # 0101
    "xor": (0, 1, 1, -2),  # 0110
    "or": (0, 1, 1, -1),  # 0111
    "nor": (1, -1, -1, 1),  # 1000
    "xnor": (1, -1, -1, 2),  # 1001
    "not_y": (1, 0, -1, 0),  # 1010
    "implied_by": (1, 0, -1, 1),  # 1011: y implies x
    "not_x": (1, -1, 0, 0),  # 1100
    "implies": (1, -1, 0, 1),  # 1101: x implies y
    "nand": (1, 0, 0, -1),  # 1110
    "true": (1, 0, 0, 0),  # 1111
}
"""The gates by name."""


def gate(name: str, x: Tensor, y: Tensor) -> Tensor:
    """One of the 16 functions of two bits, as the probability that it is true of independent events.

    Relaxes the Boolean function, to which it is equal at 0 and 1.

    Args:
        name: a key of `GATES`.
        x: SoftBool, or bool. Shape (...).
        y: SoftBool, or bool. Shape (...).

    Returns:
        SoftBool, broadcast. Shape (...).

    Raises:
        OptionError: no such gate.

    Source: Petersen et al. 2022, arXiv 2210.08277, table 1.

    Example:
        >>> import torch, softtorch
        >>> softtorch.gate("xor", torch.tensor([1.0, 1.0, 0.5]), torch.tensor([0.0, 1.0, 0.5]))
        tensor([1.0000, 0.0000, 0.5000])
    """
    if name not in GATES:
        legal = f"Gates: {', '.join(GATES)}"
        raise OptionError(message("gate", f"unknown gate {name!r}", legal, nearest(name, GATES)))
    constant, of_x, of_y, of_both = GATES[name]
    dtype = promoted(x, y)
    x, y = (v.to(computing_dtype(dtype)) for v in (x, y))
    return narrowed(constant + of_x * x + of_y * y + of_both * (x * y), dtype)


def gate_st(name: str, x: Tensor, y: Tensor) -> Tensor:
    """The value of `gate` on its arguments rounded to 0 and 1, with the derivative of `gate`."""
    hard = gate(name, *((v > 0.5).to(v.dtype) if v.is_floating_point() else v for v in (x, y)))
    return straight("gate_st", hard, gate(name, x, y)) if differentiating() else hard


def mixed_gates(x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """The expected gate: each of the 16 with its probability.

    Relaxes the choice of a gate, to which one-hot weights are equal.

    Args:
        x: SoftBool. Shape (...).
        y: SoftBool. Shape (...).
        weights: SoftIndex over the gates, in the order of `GATES`. Shape (..., [16]).

    Returns:
        SoftBool, broadcast. Shape (...).

    Raises:
        ShapeError: `weights` does not end in 16.

    Source: Petersen et al. 2022, arXiv 2210.08277, equation 1; summed over the coefficients before the inputs.

    Example:
        >>> import torch, softtorch
        >>> equal = torch.full((16,), 1 / 16)
        >>> softtorch.mixed_gates(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 1.0]), equal)
        tensor([0.5000, 0.5000])
    """
    if weights.dim() == 0 or weights.shape[-1] != len(GATES):
        wrong = f"weights {tuple(weights.shape)} do not end in one weight for each gate"
        raise ShapeError(message("mixed_gates", wrong, f"Their last dim has {len(GATES)} entries"))
    dtype = promoted(x, y)
    computed = computing_dtype(dtype)
    constant, of_x, of_y, of_both = (weights.to(computed) @ _table(computed, weights.device)).unbind(-1)  # (...) each
    x, y = x.to(computed), y.to(computed)
    return narrowed(constant + of_x * x + (of_y + of_both * x) * y, dtype)


def _table(dtype: torch.dtype, device: torch.device) -> Tensor:
    """The coefficients of `GATES`, (16, 4): the number of a gate is its truth table in binary."""
    places = torch.arange(4, device=device)
    truth = torch.arange(len(GATES), device=device).unsqueeze(-1).bitwise_right_shift(3 - places) & 1  # (16, 4)
    neither, y, x, both = truth.unbind(-1)
    return torch.stack([neither, x - neither, y - neither, both - x - y + neither], dim=-1).to(dtype)


def smooth_step(x: Tensor, width: Softness = 1.0) -> Tensor:
    """The smooth step: exactly 0 below -width/2, exactly 1 above width/2, a cubic between.

    Relaxes the unit step, which it tends to as width -> 0; continuously differentiable.

    Args:
        width: of the part between 0 and 1; a number or a tensor that broadcasts against x.

    Returns:
        SoftBool. Shape (...).

    Raises:
        OptionError: a width that is not positive.

    Source: Hazimeh et al. 2021, arXiv 2106.03760, equation 3.

    Example:
        >>> import torch, softtorch
        >>> softtorch.smooth_step(torch.tensor([-1.0, 0.0, 1.0]))
        tensor([0.0000, 0.5000, 1.0000])
    """
    check_softness("smooth_step", width)
    computed = computing_dtype(x.dtype)
    t = (x.to(computed) / width).clamp(-0.5, 0.5)
    return narrowed(0.5 + t * (1.5 - 2.0 * t.square()), x.dtype)


def selector(logits: Tensor, n: int, width: Softness = 1.0) -> Tensor:
    """A distribution over n choices, encoded in bits: each choice the product of the smooth steps of its bits.

    Relaxes a choice that is written in binary, to which it is equal where every bit is decided.

    Args:
        logits: one for each of the b bits, the lowest first. Shape (..., b).
        n: the number of choices, at most 2^b; with fewer the weights are divided by their sum.
        width: of the smooth steps.

    Returns:
        SoftIndex. Shape (..., [n]).

    Raises:
        ShapeError: n is not within 1 and 2^b.
        OptionError: a width that is not positive.

    Source: Hazimeh et al. 2021, arXiv 2106.03760, section 3.2 (DSelect-k: the sum of k of them, weighted).

    Example:
        >>> import torch, softtorch
        >>> softtorch.selector(torch.tensor([1.0, -1.0]), 4)
        tensor([0., 1., 0., 0.])
    """
    bits = logits.shape[-1] if logits.dim() else 0
    if not 1 <= n <= 2**bits:
        wrong = f"n={n} choices do not fit the {bits} bits of logits {tuple(logits.shape)}"
        raise ShapeError(message("selector", wrong, f"Use 1 <= n <= {2**bits}"))
    on = smooth_step(logits.to(computing_dtype(logits.dtype)), width).unsqueeze(-2)  # (..., 1, b)
    places = torch.arange(n, device=logits.device).unsqueeze(-1)
    wanted = (places >> torch.arange(bits, device=logits.device)) & 1  # (n, b)
    chosen = torch.where(wanted.bool(), on, 1.0 - on).prod(-1)  # (..., [n])
    if n < 2**bits:
        total = chosen.sum(-1, keepdim=True)
        chosen = torch.where(total > 0, chosen / torch.where(total > 0, total, 1.0), 1.0 / n)
    return narrowed(chosen, logits.dtype)


class LogicLayer(nn.Module):
    """A layer of learned two-input gates on fixed random pairs of inputs.

    Each neuron holds scores over the 16 gates. In training it takes their expected gate, or with
    `straight_through=True` a Gumbel draw whose value is one gate; in eval() always the most likely gate on the inputs
    as they are.

    Args:
        in_features: number of inputs m.
        out_features: number of neurons n.
        softness: temperature of the distribution over gates.
        straight_through: one gate in the value while training, drawn with Gumbel noise.
        generator: of the pairs and the initial scores.

    Shape:
        (..., m) -> (..., n), SoftBools.

    Raises:
        OptionError: a softness that is not positive.
        ShapeError: fewer than two inputs.

    Source: Petersen et al. 2022, arXiv 2210.08277; Gumbel straight-through as in arXiv 2506.07500.

    Example:
        >>> import torch, softtorch
        >>> softtorch.LogicLayer(4, 8)(torch.rand(2, 4)).shape
        torch.Size([2, 8])
    """

    left: Tensor
    right: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        softness: float = 1.0,
        straight_through: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        check_softness("LogicLayer", softness)
        if in_features < 2:
            raise ShapeError(message("LogicLayer", f"in_features={in_features} makes no pairs", "Use at least 2"))
        self.softness, self.straight_through = softness, straight_through
        left = torch.randint(in_features, (out_features,), generator=generator)
        other = torch.randint(in_features - 1, (out_features,), generator=generator)
        self.register_buffer("left", left)
        self.register_buffer("right", (left + 1 + other) % in_features)  # never the same input twice
        self.scores = nn.Parameter(torch.randn(out_features, len(GATES), generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        """Inputs (..., m) to gate values (..., n)."""
        return mixed_gates(x[..., self.left], x[..., self.right], self.weights())

    def weights(self) -> Tensor:
        """The probability of each neuron to be each gate, (n, [16])."""
        if not self.training:
            return _one_hot(self.scores)
        if not self.straight_through:
            return torch.softmax(self.scores / self.softness, dim=-1)
        noisy = self.scores + gumbel_like(self.scores.detach())
        return straight("LogicLayer", _one_hot(noisy), torch.softmax(noisy / self.softness, dim=-1))

    def extra_repr(self) -> str:
        n = len(self.left)
        return f"out_features={n}, softness={self.softness}, straight_through={self.straight_through}"


def _one_hot(scores: Tensor) -> Tensor:
    """The largest of each row, (..., n) -> (..., [n])."""
    winner = scores.detach().argmax(-1, keepdim=True)
    return torch.zeros_like(scores).scatter(-1, winner, 1.0)
