"""NAME_st of every operator in the sweep list: the hard function's bits, the soft one's derivative, nothing more.

The values of each hard function against torch's own are in test_operators_st.py.
"""

import sys
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor

import softtorch
from tests.helpers import identical
from tests.softtorch.sweep import Entry, Operator
from tests.softtorch.sweep_table import ENTRIES, FAMILIES
from tests.softtorch.transforms import Tensors, weights

INF, NAN = float("inf"), float("nan")
OPERATORS = [o for each in FAMILIES.values() for o in each if hasattr(softtorch, o.name.split()[0] + "_st")]
ONE_MODE = {str(o): next(e for e in ENTRIES if e.operator == o and e.supported and e.mode != "hard") for o in OPERATORS}
each_operator = pytest.mark.parametrize("operator", OPERATORS, ids=lambda operator: operator.name)
each_entry = pytest.mark.parametrize(
    "entry", [e for e in ENTRIES if e.operator in OPERATORS and e.supported and e.mode != "hard"], ids=str
)
SPECIAL = {
    "x": [INF, -0.0, 0.0, -INF, -0.0],
    "y": [-0.0, NAN, 0.5, INF, 1.0],
    "p": [0.0, 0.5, 1.0, 0.5, -0.0],
    "v": [-0.0, INF],
}
"""One row for each role of numbers; other roles stay as they are."""


def straight(entry: Entry) -> Entry:
    return Entry(entry.operator, entry.method, entry.mode, straight=True)


def hard(entry: Entry) -> Entry:
    return Entry(entry.operator, entry.method, "hard" if entry.mode else "", straight=not entry.mode)


def inputs_with_everything(operator: Operator, dtype: torch.dtype) -> Tensors:
    """Rows of numbers, ties, NaN, both zeros and infinities; the domain of the operator is left on purpose."""
    size = operator.shape(4, 5)
    plain, ties = (operator.inputs(*size, kind=kind) for kind in ("plain", "ties"))
    found = []
    for role, number, tie in zip(operator.roles, plain, ties, strict=True):
        x = number.to(dtype)
        if role in SPECIAL and not operator.whole:
            x[1] = tie[1].to(dtype)
            x[2] = torch.tensor(SPECIAL[role], dtype=dtype)
            if role in "xy":
                x[3, 2] = NAN
        found.append(x)
    return tuple(found)


@each_operator
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_every_bit_of_the_value_is_that_of_the_hard_function(operator: Operator, dtype: torch.dtype) -> None:
    entry = ONE_MODE[str(operator)]
    inputs = inputs_with_everything(operator, dtype)
    got = straight(entry)(*(x.clone().requires_grad_() for x in inputs))
    with torch.no_grad():
        want = hard(entry)(*inputs)
    # A method may give values alone where mode "hard" has an index, too.
    for one, other in zip(got, want, strict=False):
        assert identical(one.detach(), other)


def slopes(outs: Tensors, finite: list[Tensor], inputs: Tensors) -> list[Tensor]:
    """The gradient of a weighted sum of the entries that are finite on both sides."""
    total = sum((torch.where(here, out, 0.0) * weights(out)).sum() for out, here in zip(outs, finite, strict=False))
    grads = torch.autograd.grad(total, inputs, allow_unused=True, retain_graph=True)
    return [torch.zeros_like(x) if g is None else g for g, x in zip(grads, inputs, strict=True)]


def finite_on_both_sides(entry: Entry, inputs: Tensors) -> list[Tensor]:
    pairs = zip(entry(*inputs), straight(entry)(*inputs), strict=False)
    return [one.detach().isfinite() & other.detach().isfinite() for one, other in pairs]


@each_entry
def test_the_derivative_is_exactly_that_of_the_soft_function(entry: Entry) -> None:
    for kind in ("plain", "ties"):
        plain = entry.operator.inputs(*entry.operator.shape(2, 5), kind=kind)
        inputs = tuple(x.requires_grad_() for x in plain)
        finite = finite_on_both_sides(entry, inputs)
        got = slopes(straight(entry)(*inputs), finite, inputs)
        for one, other in zip(got, slopes(entry(*inputs), finite, inputs), strict=True):
            assert torch.equal(one, other)


@each_operator
def test_forward_mode_sees_the_soft_derivative_too(operator: Operator) -> None:
    entry = ONE_MODE[str(operator)]
    inputs = operator.inputs(*operator.shape(2, 5))
    tangents = tuple(weights(x, 3) for x in inputs)
    values, forward = torch.func.jvp(lambda *xs: straight(entry)(*xs), inputs, tangents)
    softs, soft = torch.func.jvp(lambda *xs: entry(*xs), inputs, tangents)
    for value, want in zip(values, straight(entry)(*inputs), strict=True):
        assert identical(value, want)
    for one, other, value in zip(forward, soft, softs, strict=False):
        finite = value.isfinite()
        torch.testing.assert_close(one[finite], other[finite], rtol=0, atol=1e-12)  # two orders of summing


SOFT_CODE = ("modes/smooth.py", "modes/c0.py", "numeric/weighted.py", "pointwise/curves.py", "kernels/simplex.py")
SOFT_METHODS = ("softsort.py", "neuralsort.py", "ordered.py", "lapsum.py")


class Watched:
    """Which soft code of the library is entered inside a with block."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        file = frame.f_code.co_filename
        if "/softtorch/" in file and file.endswith((*SOFT_CODE, *SOFT_METHODS)):
            self.seen.add(f"{file}:{frame.f_code.co_name}")

    def __enter__(self) -> "Watched":
        sys.setprofile(self)
        return self

    def __exit__(self, *raised: object) -> None:
        sys.setprofile(None)


@each_operator
def test_nothing_soft_is_computed_under_no_grad(operator: Operator) -> None:
    entry = ONE_MODE[str(operator)]
    inputs = operator.inputs(*operator.shape(2, 5))
    with torch.no_grad(), Watched() as code:
        straight(entry)(*inputs)
    assert code.seen == set()


def test_the_watch_sees_soft_code() -> None:
    entry = ONE_MODE[str(OPERATORS[0])]
    inputs: tuple[Tensor, ...] = OPERATORS[0].inputs(2, 5)
    with Watched() as code:
        entry(*inputs)
    assert code.seen
