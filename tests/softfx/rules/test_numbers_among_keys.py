"""Keys with a number that is a tensor beside soft values: it moves, reads and writes them as any hard number does."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import softfx
from softfx.runtime import keys
from tests.helpers import EXECUTORS

X = torch.tensor([1.3, -2.2, 0.6, -0.3])
TABLE = torch.arange(16.0).reshape(4, 4)

Program = Callable[[Tensor, Tensor], Tensor]


def pair(x: Tensor) -> Tensor:
    return torch.stack([x, -x])


def writing(target: Callable[[Tensor], Tensor], key: Callable[[Tensor, Tensor], object], value: float) -> Program:
    """A program that writes `value` to `target(x)`, and uses what is there."""

    def program(x: Tensor, n: Tensor) -> Tensor:
        found = target(x)
        found[key(x, n)] = value
        return found * x

    return program


PROGRAMS: dict[str, Program] = {
    "a place": lambda x, n: x.argsort()[n] * x,
    "a part of a row": lambda x, n: pair(x).argsort(-1)[n, 1:] * x[1:],
    "a column": lambda x, n: pair(x).argsort(-1)[:, n] * x[:2],
    "the last but": lambda x, n: pair(x).argsort(-1)[..., -n] * x[:2],
    "a bool": lambda x, n: (pair(x) > 0)[n] * x,
    "an element chosen by column": lambda x, n: TABLE[n, x.argmax()] * x,
    "an element chosen by row": lambda x, n: TABLE[x.argmax(), n] * x,
    "elements chosen by row": lambda x, n: TABLE[x.argsort(), n] * x,
    "rows of a block": lambda x, n: TABLE.reshape(2, 4, 2)[:, x.argmax(), n] * x[:2],
    "an element of a new axis": lambda x, n: TABLE[None, n, x.argmax()] * x,
    "added at a place": lambda x, n: (x > 0).long().index_put((n,), torch.tensor(1), accumulate=True) * x,
    "set: a place": writing(lambda x: x.argsort(), lambda x, n: n, 1),
    "set: an element": writing(lambda x: pair(x).argsort(-1), lambda x, n: (n, 0), 1),
    "set: a column": writing(lambda x: pair(x).argsort(-1), lambda x, n: (slice(None), n), 1),
    "set: a bool": writing(lambda x: pair(x) > 0, lambda x, n: (..., n), True),
    "set: a number": writing(lambda x: pair(x).round(), lambda x, n: (..., n), 4.0),
    "set: at a chosen row": writing(lambda x: x.new_zeros(4, 4), lambda x, n: (x.argmax(), n), 1.0),
    "set: at a chosen column": writing(lambda x: x.new_zeros(4, 4), lambda x, n: (n, x.argmax()), 1.0),
}


@pytest.mark.parametrize("executor", EXECUTORS)
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_values_and_the_limit_are_the_programs(name: str, executor: str) -> None:
    program, n = PROGRAMS[name], torch.tensor(1)
    for policy in ("gradients", "smooth"):
        x = X.clone().requires_grad_()
        soft = softfx.soften(program, policy, example_inputs=(x, n), executor=executor)
        assert soft.report.counts["blocked"] == 0, soft.report
        softfx.set_softness(soft, 1e-5 if policy == "smooth" else 0.1)
        found, expected = soft(x, n), program(x, n)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-3 if policy == "smooth" else 0)
        assert torch.autograd.grad(found.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(
    "key", [(1,), (-1, slice(1, 3)), (..., 2), (slice(None), 0), (0, torch.tensor([2, 0])), (None, 1, 3)]
)
def test_a_number_reads_and_writes_as_pythons_own_does(key: tuple[object, ...], accumulate: bool) -> None:
    tensors = tuple(torch.tensor(part) if isinstance(part, int) else part for part in key)
    assert keys.has_numbers(tensors) and torch.equal(keys.read(TABLE, tensors), TABLE[key])
    expected = TABLE.clone()
    expected[key] = TABLE[key] + 100 if accumulate else 100.0
    assert torch.equal(keys.write(TABLE, tensors, 100.0, accumulate), expected)


def test_a_value_with_axes_too_many_is_written_as_in_an_assignment() -> None:
    found = keys.write(TABLE, (torch.tensor(1),), torch.ones(1, 1, 4))
    assert torch.equal(found[1], torch.ones(4)) and torch.equal(found[2:], TABLE[2:])
