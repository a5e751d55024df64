"""Every public operator refuses what is not legal: one kind of error, in one form, whatever is wrong.

The texts themselves are in test_messages.py. An operator is called here with legal arguments, of which one at a time
is replaced by something else. To add an operator whose arguments are not x, y and dim alone, add its line to CALLS.
"""

import inspect
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import softtorch
from softtorch.errors import SoftTorchError
from softtorch.operators import axiswise


def index(*shape: int) -> Tensor:
    return torch.linspace(-1, 1, math.prod(shape)).reshape(shape).softmax(dim=-1)


X = torch.linspace(-2.0, 2.0, 10).reshape(2, 5)
P = X.sigmoid()
CALLS: dict[str, dict[str, Any]] = {
    "all": {"x": P, "dim": 1},
    "any": {"x": P, "dim": 1},
    "argpercentile": {"x": X, "p": 30.0, "dim": 1},
    "argquantile": {"x": X, "q": 0.3, "dim": 1},
    "bernoulli": {"p": P},
    "bincount": {"soft_index": index(4, 5)},
    "binomial": {"count": 3, "p": P},
    "bucketize": {"x": X, "boundaries": torch.tensor([0.0, 1.0])},
    "categorical": {"logits": X, "dim": 1},
    "choice": {"x": X, "size": 2, "dim": 1},
    "choose": {"soft_index": index(5, 2), "choices": X},
    "clamp": {"x": X, "a": -1.0, "b": 1.0},
    "clip": {"x": X, "a": -1.0, "b": 1.0},
    "dynamic_slice": {"x": X, "soft_starts": [index(2), index(5)], "sizes": [1, 2]},
    "embedding": {"soft_index": index(3, 2), "weight": X},
    "entmax": {"x": X, "dim": 1},
    "gate": {"name": "and", "x": P, "y": P},
    "gather": {"x": X, "dim": 1, "soft_index": index(2, 3, 5)},
    "histc": {"x": X, "bins": 4, "min": -1, "max": 1},
    "index_select": {"x": X, "soft_index": index(5), "dim": 1},
    "kthvalue": {"x": X, "k": 2, "dim": 1},
    "laplace_quantile": {"x": X, "q": 0.3, "dim": 1},
    "masked_fill": {"x": X, "mask": P, "value": 1.0},
    "masked_mean": {"x": X, "mask": P, "dim": 1},
    "masked_sum": {"x": X, "mask": P, "dim": 1},
    **{f"max_pool{n}d": {"x": X.reshape(2, 5, *[1] * (n - 1)), "kernel_size": 1} for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": {"x": X.reshape(2, 5, *[1] * (n - 1)), "output_size": 1} for n in (1, 2, 3)},
    "mixed_gates": {"x": P, "y": P, "weights": index(16)},
    "multinomial": {"input": P, "num_samples": 2},
    "narrow": {"x": X, "soft_start": index(5), "length": 2, "dim": 1},
    "one_hot": {"soft_index": index(5), "num_classes": 7},
    "percentile": {"x": X, "p": 30.0, "dim": 1},
    "permutation": {"x": X, "dim": 1},
    "prelu": {"x": X, "weight": torch.tensor([0.25])},
    "quantile": {"x": X, "q": 0.3, "dim": 1},
    "rademacher": {"p": P},
    "reinmax": {"logits": X},
    "rotation": {"encoded": X, "quantized": X.flip(0)},
    "scatter": {"x": X, "dim": 1, "soft_index": index(2, 3, 5), "value": X[:, :3]},
    "scatter_add": {"x": X, "dim": 1, "soft_index": index(2, 3, 5), "value": X[:, :3]},
    "scatter_reduce": {"input": X, "dim": 1, "index": torch.zeros(2, 5).long(), "src": X, "reduce": "amax"},
    "searchsorted": {"sorted_sequence": torch.tensor([0.0, 1.0]), "values": X},
    "selector": {"logits": X, "n": 20},
    "softpick": {"x": X, "dim": 1},
    "softpick_attention": {"query": X, "key": X, "value": X},
    "sparsemax": {"x": X, "dim": 1},
    "straight_through": {"hard": X, "soft": X},
    "take": {"x": X, "soft_index": index(5), "dim": 1},
    "take_along_dim": {"x": X, "soft_index": index(2, 3, 5), "dim": 1},
    "threshold": {"x": X, "threshold": 0.3, "value": -1.0},
    "topk": {"x": X, "k": 2, "dim": 1},
    "topk_mask": {"x": X, "k": 2, "dim": 1},
    "where": {"condition": P, "x": X, "y": X},
}
TAKE_FUNCTIONS = {"st", "grad_replace", "perturbed", "implicit_root", "options", "supported"}
OPERATORS = sorted(
    name
    for name, value in vars(softtorch).items()
    if inspect.isfunction(value) and not name.startswith("_") and name not in TAKE_FUNCTIONS
)

NUMBERS = [math.nan, "a"]
ILLEGAL: dict[str, list[Any]] = {
    "alpha": [0.5, "a", None],
    "bins": [0, 1.5],
    "count": [-1, 1.5, "a"],
    "dim": [7, -7, 0.5, "a"],
    "interpolation": ["linea", 3, None],
    "k": [-1, 99, "a", True, math.nan],
    "length": [-1, 9, 1.5, "a"],
    "log_prob_eps": [-1.0, 2.0, 0.1],  # the last without return_log_probs
    "method": ["softsrt", 3, None],
    "minlength": [-1, 1.5],
    "mode": ["smoth", 3, None],
    "n": [0, 1000, 1.5],
    "name": ["nend", None],
    "neighbor_radius": [0, -1, 1.5],
    "num_classes": [2, 1.5],
    "num_samples": [-1, 9, 1.5, "a"],
    "q": [-0.1, 1.1, *NUMBERS, torch.tensor(1)],
    "size": [-1, 1.5, "a"],
    "softness": [0, 0.0, -1.0, math.inf, *NUMBERS, None, True, torch.tensor(1), torch.ones(7)],
    "threshold": ["a"],
    "variant": ["x", None],
    "width": [0, -1.0, "a"],
}
TAKE_COMPLEX = ("div", "log", "masked_fill", "sqrt", "straight_through", "where")  # nothing is ordered there
FORM = re.compile(r"\w+: .+[.?]", re.DOTALL)


def call_of(name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
    """A public operator and legal arguments of it."""
    function = getattr(softtorch, name)
    plain = {"x": X, "y": X.flip(0), "dim": 1}
    parameters = inspect.signature(function).parameters
    given = CALLS.get(name.removesuffix("_st"), {key: value for key, value in plain.items() if key in parameters})
    return function, given


def outcome(name: str, parameter: str, value: Any) -> str:
    """How a call with one argument replaced ends: "accepted", "refused", or what came instead of an error of ours."""
    function, given = call_of(name)
    try:
        function(**{**given, parameter: value})
    except SoftTorchError as error:
        right = FORM.fullmatch(str(error)) and str(error).startswith(f"{name}: ")
        return "refused" if right else f"{parameter}={value!r:.40}: {error}"
    except Exception as error:  # what the test is about
        return f"{parameter}={value!r:.40}: {type(error).__name__}: {error}"
    return "accepted"


def tensors(name: str) -> Iterator[tuple[str, Tensor]]:
    yield from ((key, value) for key, value in call_of(name)[1].items() if isinstance(value, Tensor))


def illegal(name: str) -> Iterator[tuple[str, Any]]:
    parameters = inspect.signature(getattr(softtorch, name)).parameters
    known = ((key, value) for key, values in ILLEGAL.items() if key in parameters for value in values)
    yield from ((key, value) for key, value in known if value is not parameters[key].default)
    for key, value in tensors(name):
        yield from ((key, wrong) for wrong in ("a", {1: 2}))
        if name not in TAKE_COMPLEX or key not in ("x", "y", "hard", "soft"):
            yield key, value.to(torch.complex64)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_illegal_argument_is_refused_in_the_one_form_under_the_name_called(name: str) -> None:
    function, given = call_of(name)
    function(**given)
    found = {f"{key}={value!r:.40}": outcome(name, key, value) for key, value in illegal(name)}
    assert {what: how for what, how in found.items() if how != "refused"} == {}


@pytest.mark.parametrize("name", OPERATORS)
@pytest.mark.filterwarnings("ignore")  # torch's own remarks on strange shapes
def test_shapes_that_do_not_fit_and_integers_work_or_are_refused(name: str) -> None:
    for key, value in tensors(name):
        shapes = (torch.rand(3, 7), torch.rand(2, 2, 2, 2, 2, 3), torch.zeros(0), torch.rand(()))
        for other in (*shapes, value.long(), value > 0.5):
            assert outcome(name, key, other) in ("accepted", "refused")


def test_mismatched_shapes_are_named() -> None:
    with pytest.raises(SoftTorchError) as caught:
        softtorch.greater(X, torch.zeros(3))
    assert str(caught.value) == (
        "greater: the shapes do not fit together: x (2, 5), y (3,). Use shapes that broadcast."
    )
    with pytest.raises(SoftTorchError) as caught:
        softtorch.relu([1.0])
    assert str(caught.value) == "relu: x=[1.0] is of type list. Use a tensor."


def test_what_is_not_a_mistake_of_the_caller_stays_what_it_is() -> None:
    with pytest.raises(TypeError, match="unexpected keyword"):
        softtorch.relu(X, temperature=1.0)


def test_an_operator_made_of_others_answers_by_its_own_name() -> None:
    with pytest.raises(SoftTorchError, match=r"^bernoulli: unknown mode 'smoth'\. .* Did you mean 'smooth'\?$"):
        softtorch.bernoulli(P, mode="smoth")


def test_the_public_functions_pickle_and_keep_their_signatures() -> None:
    import pickle

    assert pickle.loads(pickle.dumps(softtorch.argmax)) is softtorch.argmax
    assert inspect.signature(softtorch.argmax) == inspect.signature(axiswise.argmax)


def test_each_public_function_is_compiled_by_itself() -> None:
    # torch.compile keeps what it compiled by code object and gives up after eight for one of them.
    torch._dynamo.reset()
    with torch._dynamo.config.patch(recompile_limit=1, fail_on_recompile_limit_hit=True):
        for name in ("abs", "sign", "relu", "round", "heaviside", "argmax"):
            compiled = torch.compile(getattr(softtorch, name), backend="eager", fullgraph=True)
            assert torch.equal(compiled(torch.ones(3)), getattr(softtorch, name)(torch.ones(3)))
    assert softtorch.abs.__code__.co_name == "abs"
