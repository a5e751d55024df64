"""Arguments have the order and the defaults that users of SoftTorch 0.1.1 know; others come behind."""

import inspect

import pytest

import softtorch

USUAL = {
    "<dim>": "dim=None keepdim=False",
    "<soft>": "softness=0.1 mode=smooth",
    "<scale>": "standardize=True ot_kwargs=None",
}
PUBLISHED = """
abs: x <soft>
all: x dim=-1 epsilon=1e-10 use_geometric_mean=False
any: x dim=-1 use_geometric_mean=False
argmax: x <dim> <soft> method=softsort <scale>
argmedian: x <dim> <soft> method=neuralsort <scale>
argmin: x <dim> <soft> method=softsort <scale>
argquantile: x q <dim> <soft> method=neuralsort interpolation=linear <scale>
argsort: x dim=-1 descending=False <soft> method=neuralsort <scale>
clamp: x a b <soft> gated=False
eq: x y <soft> epsilon=1e-10
greater: x y <soft> epsilon=1e-10
greater_equal: x y <soft> epsilon=1e-10
heaviside: x <soft>
index_select: x soft_index dim keepdim=True
isclose: x y softness=0.1 rtol=1e-05 atol=1e-08 mode=smooth epsilon=1e-10
less: x y <soft> epsilon=1e-10
less_equal: x y <soft> epsilon=1e-10
logical_and: x y use_geometric_mean=False
logical_not: x
logical_or: x y use_geometric_mean=False
logical_xor: x y use_geometric_mean=False
max: x <dim> <soft> method=softsort <scale> gated_grad=True
median: x <dim> <soft> method=neuralsort <scale> gated_grad=True
min: x <dim> <soft> method=softsort <scale> gated_grad=True
narrow: x soft_start length dim=0
not_equal: x y <soft> epsilon=1e-10
quantile: x q <dim> <soft> method=neuralsort interpolation=linear <scale> return_argquantile=False gated_grad=True
rank: x dim=None <soft> method=neuralsort descending=True <scale>
relu: x <soft> gated=False
round: x <soft> neighbor_radius=5
sigmoidal: x <soft>
sign: x <soft>
softrelu: x <soft> gated=False
sort: x dim=-1 descending=False <soft> method=neuralsort <scale> gated_grad=True return_indices=True
take: x soft_index dim=None
take_along_dim: x soft_index dim=None
topk: x k dim=None <soft> method=neuralsort <scale> gated_grad=True
where: condition x y
"""
OPTIONAL_HERE = {("clamp", "a"), ("clamp", "b")}
"""As torch has it: one bound may be left out."""


def arguments(name: str) -> list[str]:
    """What inspect says of the operator, as the table has it."""
    parameters = inspect.signature(getattr(softtorch, name)).parameters.values()
    required = [p.default is p.empty or (name, p.name) in OPTIONAL_HERE for p in parameters]
    return [p.name if alone else f"{p.name}={p.default}" for p, alone in zip(parameters, required, strict=True)]


@pytest.mark.parametrize("line", PUBLISHED.strip().splitlines())
def test_arguments_that_are_published_come_first_and_in_their_order(line: str) -> None:
    name, _, listed = line.partition(": ")
    for short, usual in USUAL.items():
        listed = listed.replace(short, usual)
    assert arguments(name)[: len(listed.split())] == listed.split()
