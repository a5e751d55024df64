"""`softtorch.options` sets defaults for calls by hand, `softtorch.supported` says what operators take."""

from __future__ import annotations

import threading

import pytest
import torch

import softfx
import softtorch
from softtorch.errors import MethodError, OptionError
from softtorch.methods import METHODS
from softtorch.modes import MODES

X = torch.tensor([0.0, 3.0, 1.0, -0.4])


def test_a_scope_sets_what_a_call_leaves_out() -> None:
    with softtorch.options(mode="c0", softness=0.3):
        assert torch.equal(softtorch.sign(X), _sign(0.3, "c0"))
        assert torch.equal(softtorch.sign(X, 0.5), _sign(0.5, "c0"))  # by place
        assert torch.equal(softtorch.sign(X, mode="smooth"), _sign(0.3, "smooth"))
        assert torch.equal(softtorch.argmax_st(X), torch.tensor([0.0, 1, 0, 0]))
        assert softtorch.logical_not(torch.tensor([0.3])).item() == pytest.approx(0.7)  # takes none of them
    assert torch.equal(softtorch.sign(X), _sign(0.1, "smooth"))


def _sign(softness: float, mode: str) -> torch.Tensor:
    return softtorch.sign(X, softness, mode)


def test_scopes_add_up_and_end_with_an_error() -> None:
    with pytest.raises(RuntimeError, match="own"), softtorch.options(mode="c1"):
        with softtorch.options(softness=0.7):
            assert torch.equal(softtorch.sign(X), _sign(0.7, "c1"))
            with softtorch.options(mode="c2"):
                assert torch.equal(softtorch.sign(X), _sign(0.7, "c2"))
        assert torch.equal(softtorch.sign(X), _sign(0.1, "c1"))
        raise RuntimeError("own")
    assert torch.equal(softtorch.sign(X), _sign(0.1, "smooth"))


def test_methods_and_standardizing_are_for_operators_that_take_them() -> None:
    with softtorch.options(method="lapsum", standardize=False, softness=0.2):
        expected = softtorch.median(X, None, False, 0.2, "smooth", "lapsum", False)
        assert torch.equal(softtorch.median(X), expected)
        assert torch.equal(softtorch.sign(X), _sign(0.2, "smooth"))


def test_a_scope_is_its_threads_and_leaves_softened_models_alone() -> None:
    seen = []
    soft = softfx.soften(torch.sign, "smooth", example_inputs=(X,))
    with softtorch.options(mode="hard"):
        thread = threading.Thread(target=lambda: seen.append(softtorch.sign(X)))
        thread.start()
        thread.join()
        assert torch.equal(soft(X), _sign(0.1, "smooth"))
    assert torch.equal(seen[0], _sign(0.1, "smooth"))
    graph = softfx.soften(torch.sign, "smooth", example_inputs=(X,), executor="graph")
    with softtorch.options(mode="hard"):
        assert torch.equal(graph(X), soft(X))


def test_compiled_calls_follow_the_scope() -> None:
    compiled = torch.compile(lambda x: softtorch.sign(x), fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(X), _sign(0.1, "smooth"))
    with softtorch.options(mode="c1", softness=0.5):
        torch.testing.assert_close(compiled(X), _sign(0.5, "c1"))
        torch.testing.assert_close(torch.vmap(softtorch.sign)(X), _sign(0.5, "c1"))
    torch.testing.assert_close(compiled(X), _sign(0.1, "smooth"))


@pytest.mark.parametrize(
    "wrong",
    [{"mode": "c3"}, {"softness": 0}, {"softness": True}, {"method": "softsrt"}, {"standardize": 1}],
)
def test_a_scope_with_what_is_not_legal_is_refused_at_once(wrong: dict[str, object]) -> None:
    with pytest.raises(OptionError, match=r"^options: "), softtorch.options(**wrong):  # type: ignore[arg-type]
        pass


def test_what_is_supported_is_what_runs() -> None:
    """Each operator that takes a method, with each of them: refused exactly where the table does not have it."""
    arguments = {
        "topk": (2,), "topk_mask": (2,), "kthvalue": (2,), "quantile": (0.3,), "argquantile": (0.3,), "cummax": (0,),
        "percentile": (30.0,), "argpercentile": (30.0,), "cummin": (0,),
    }  # fmt: skip
    tried = 0
    for name, known in softtorch.supported().items():
        if not known.methods or "pool" in name or name in ("choice", "permutation", "multinomial", "categorical"):
            continue
        tried += 1
        for method in METHODS:
            for mode in MODES:

                def call(name: str = name, method: str = method, mode: str = mode) -> object:
                    return getattr(softtorch, name)(X, *arguments.get(name, ()), method=method, mode=mode)

                if mode == "hard" or MODES[mode].tailless.name in known.methods.get(method, ()):
                    call()
                else:
                    with pytest.raises(MethodError):
                        call()
    assert tried > 15


def test_a_record_says_what_an_operator_takes() -> None:
    relu = softtorch.supported("relu")
    assert (relu.name, relu.modes, relu.methods) == ("relu", tuple(MODES), {})
    assert relu.straight_through == "relu_st" and "gated" in relu.options
    assert softtorch.supported("logical_and").modes == ()
    assert "abs_st" not in softtorch.supported() and "options" not in softtorch.supported()
    with pytest.raises(OptionError, match=r"there is no operator 'quantil'\. Did you mean 'quantile'\?"):
        softtorch.supported("quantil")


def test_dir_shows_the_public_names() -> None:
    names = dir(softtorch)
    assert {"topk", "topk_st", "SoftBool", "SoftIndex", "options", "supported", "methods", "modes"} <= set(names)
    assert not {"boundary", "checks", "kernels", "shared", "operators"} & set(names)
    assert "api" not in dir(softfx) and "soften" in dir(softfx)
