"""A run that writes tensors in place has the derivative of its twin that writes none, whosever the tensors are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import softfx
from softfx.control.made import Made
from tests.softfx.control.programs import policy

_LIMIT = 10.5  # beside the sum of the input, which is 10


def _ends(x: Tensor, m: Tensor) -> Tensor:
    return (x * m).sum() if x.sum() < _LIMIT else x.sum()


def added(x: Tensor) -> Tensor:
    m = torch.zeros(4)
    m += 2
    return _ends(x, m)


def into_views(x: Tensor) -> Tensor:
    m = torch.zeros(8)
    m[:4] += 2
    part = m[2:6]
    part.mul_(3)
    return _ends(x, part)


def into_aliases(x: Tensor) -> Tensor:
    m = torch.zeros(4)
    m.detach().add_(1)
    m.data[:] += 1
    return _ends(x, m)


def out_of_calls(x: Tensor) -> Tensor:
    m = torch.zeros(4)
    torch.add(torch.ones(4), 1, out=m)
    return _ends(x, m)


def inside_transforms(x: Tensor) -> Tensor:
    def double(v: Tensor) -> Tensor:
        m = torch.zeros_like(v)
        m += 2
        return v * m

    y = torch.vmap(double)(x)
    return y.sum() if x.sum() < _LIMIT else x.sum()


def in_loops(x: Tensor) -> Tensor:
    y = x
    while y.sum() < 40:
        m = torch.zeros(4)
        m += 2
        y = y * m
    return y.sum()


def looped(x: Tensor) -> Tensor:
    y = x
    while y.sum() < 40:
        y = y * torch.full((4,), 2.0)
    return y.sum()


def own_of_rounds(x: Tensor) -> Tensor:
    m = torch.zeros(4)
    for i in range(int(x.sum() * 0.3)):
        m[i % 4] += 1
    return (x * m).sum()


def rounds(x: Tensor) -> Tensor:
    m = torch.zeros(4)
    for i in range(int(x.sum() * 0.3)):
        m = m + torch.eye(4)[i % 4]
    return (x * m).sum()


def written_result(x: Tensor) -> Tensor:
    m = torch.zeros(1)
    m += int(x.sum() * 0.3)
    return m


def made_result(x: Tensor) -> Tensor:
    return torch.zeros(1) + int(x.sum() * 0.3)


_TWINS: dict[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] = {
    added: lambda x: _ends(x, torch.full((4,), 2.0)),
    into_views: lambda x: _ends(x, torch.tensor([6.0, 6.0, 0.0, 0.0])),
    into_aliases: lambda x: _ends(x, torch.full((4,), 2.0)),
    out_of_calls: lambda x: _ends(x, torch.full((4,), 2.0)),
    inside_transforms: lambda x: _ends(x, torch.full((4,), 2.0)),
    in_loops: looped,
    own_of_rounds: rounds,
    written_result: made_result,
}
_WAYS: list[dict[str, Any]] = [
    {"samples": 0}, {"samples": 1}, {"samples": 3}, {"samples": 1, "exact": 8}, {"samples": 1, "scope": "module"},
]  # fmt: skip


def _calls(target: Any, wanted: Any, count: int = 4) -> list[tuple[Tensor, Tensor]]:
    """The values of calls in a row, and their derivatives."""
    x = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    soft = softfx.soften(target, wanted, example_inputs=(x,))
    results = [soft(x) for _ in range(count)]
    return [(result.detach().clone(), torch.autograd.grad(soft(x).sum(), x)[0]) for result in results]


def _alike(target: Any, twin: Any, fields: dict[str, Any]) -> None:
    wanted = policy(op=["branch", "read_integer"], softness=1.0, seed=3, **fields)
    for (value, found), (own, expected) in zip(_calls(target, wanted), _calls(twin, wanted), strict=True):
        assert torch.equal(value, own)
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("fields", _WAYS, ids=str)
@pytest.mark.parametrize("target", _TWINS, ids=lambda target: target.__name__)
def test_what_a_run_has_made_itself_is_as_it_wrote_it(
    target: Callable[[Tensor], Tensor], fields: dict[str, Any]
) -> None:
    _alike(target, _TWINS[target], fields)


class Counts(nn.Module):
    """Writes a buffer, on either path something else. how: in place, by an alias, or by another tensor in its place."""

    seen: Tensor

    def __init__(self, how: str) -> None:
        super().__init__()
        self.how = how
        self.register_buffer("seen", torch.ones(4))

    def add(self, number: float) -> None:
        if self.how == "in place":
            self.seen += number
        elif self.how == "detached":
            self.seen.detach().add_(number)
        elif self.how == "data":
            self.seen.data += number
        else:
            self.seen = self.seen + number

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() < _LIMIT:
            self.add(1.0)
        else:
            self.add(5.0)
        return (x * self.seen).sum()


class CountsLate(Counts):
    """Writes nothing on its own path."""

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() < _LIMIT:
            return (x * 2 * self.seen).sum()
        self.add(5.0)
        return (x * self.seen).sum()


class Holds(nn.Module):
    """Writes what the module that decides writes, too."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.counts = Counts(how)

    def forward(self, x: Tensor) -> Tensor:
        m = torch.zeros(4)
        if self.counts.how == "anew":
            m = m + 2
        else:
            m += 2
        y = self.counts(x * m / 2)
        return y + (x * m).sum()


@pytest.mark.parametrize("fields", _WAYS, ids=str)
@pytest.mark.parametrize("how", ["in place", "detached", "data"])
@pytest.mark.parametrize("kind", [Counts, CountsLate, Holds])
def test_what_was_there_before_is_as_the_run_saw_it(kind: Any, how: str, fields: dict[str, Any]) -> None:
    _alike(kind(how), kind("anew"), fields)


def test_a_derivative_of_a_run_is_refused_where_the_program_wrote_since() -> None:
    wanted = policy(op="branch", softness=1.0, samples=1, seed=3)
    x, m = torch.ones(4, requires_grad=True), torch.zeros(4)

    def target(x: Tensor, m: Tensor, other: Tensor) -> Tensor:
        m += 1
        return (x * other).sum() if x.sum() < _LIMIT else x.sum()

    other = torch.ones(4)
    soft = softfx.soften(target, wanted, example_inputs=(x, m, other))
    result = soft(x, m, other)
    other += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        result.backward()


@pytest.mark.parametrize(
    ("call", "is_made"),
    [
        (lambda x: (torch.clone, (x,)), True),
        (lambda x: (Tensor.contiguous, (x,)), False),
        (lambda x: (Tensor.detach, (x,)), False),
        (lambda x: (Tensor.data.__get__, (x,)), False),
        (lambda x: (Tensor.view, (x, -1)), False),
        (lambda x: (torch.dropout, (x, 0.5, False)), False),
        (lambda x: (torch.as_tensor, (x.detach().numpy(),)), False),
        (lambda x: (torch.as_tensor, ([1.0, 2.0],)), True),
        (lambda x: (torch.cat, ([x, x],)), True),
        (lambda x: (torch.broadcast_tensors, (x, x)), False),
    ],
)  # fmt: skip
def test_made_is_what_lies_on_memory_of_its_own(call: Callable[[Tensor], Any], is_made: bool) -> None:
    function, args = call(torch.ones(2))
    made, result = Made(), function(*args)
    made.note(function, args, result)
    owner = result[0] if isinstance(result, tuple) else result
    base = owner._base
    assert ((owner if base is None else base) in made) is is_made
