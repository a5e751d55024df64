"""Random choices: the distributions of their hard draws, and derivatives from the same noise."""

import math

import pytest
import torch

import softtorch
from softtorch.errors import DimensionError, MethodError, OptionError, ShapeError

N = 20_000
# 4.5 standard deviations, at most 1 / (2 sqrt N) each, of a frequency among N draws: 7 cases in a million are farther.
CLOSE = 4.5 * 0.5 / math.sqrt(N)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def frequencies(one_hot):
    return one_hot.reshape(-1, one_hot.shape[-1]).mean(0)


@pytest.mark.parametrize("softness", [0.1, 1.0])
def test_categorical_draws_have_the_probabilities_of_softmax_whatever_the_softness(softness):
    logits = torch.tensor([0.0, 1.0, -1.0, -math.inf])
    draws = softtorch.categorical_st(logits.expand(N, 4), softness=softness, generator=generator())
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    assert torch.allclose(frequencies(draws), torch.softmax(logits, 0), atol=CLOSE)
    assert not draws[:, 3].any()


def test_multinomial_draws_have_the_probabilities_of_the_weights():
    weights = torch.tensor([1.0, 3.0, 0.0, 4.0])
    draws = softtorch.multinomial_st(weights.expand(N // 5, 4), 5, replacement=True, generator=generator())
    assert draws.shape == (N // 5, 5, 4)
    assert torch.allclose(frequencies(draws), weights / 8, atol=CLOSE)
    rows = softtorch.multinomial_st(weights.expand(N, 4), 2, generator=generator())
    assert torch.allclose(frequencies(rows[:, 0]), weights / 8, atol=CLOSE)
    assert rows.sum(1).max() == 1.0  # nothing twice
    second = frequencies(rows[:, 1][rows[:, 0, 3] == 1])  # after the last one is gone
    assert torch.allclose(second, torch.tensor([0.25, 0.75, 0.0, 0.0]), atol=2 * CLOSE)


def test_choice_takes_elements_along_dim():
    x = torch.tensor([[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]])
    drawn = softtorch.choice_st(x, N, p=torch.tensor([0.2, 0.0, 0.8]), dim=1, generator=generator())
    assert drawn.shape == (2, N) and torch.equal(drawn[1], 10 * drawn[0])
    assert abs((drawn[0] == 3.0).float().mean().item() - 0.8) < CLOSE
    everything = softtorch.choice_st(x, 3, replace=False, dim=1, generator=generator())
    assert torch.equal(everything.sort(1).values, x)
    assert softtorch.choice(x, 4, dim=-1).shape == (2, 4)


def test_permutation_is_one_and_uniform_or_by_logits():
    x = torch.arange(3.0)
    places = torch.stack([softtorch.permutation_st(x, generator=generator(k)) for k in range(600)])
    assert torch.equal(places.sort(1).values, x.expand(600, 3))
    counts = torch.stack([(places == value).float().mean(0) for value in x])
    assert torch.allclose(counts, torch.full((3, 3), 1 / 3), atol=4.5 * 0.5 / math.sqrt(600))
    far = torch.tensor([0.0, 1000.0, 2000.0])
    assert softtorch.permutation_st(x, logits=far).tolist() == [2.0, 1.0, 0.0]
    wild = torch.tensor([-0.0, math.inf, math.nan])
    assert sorted(map(str, softtorch.permutation_st(wild).tolist())) == ["-0.0", "inf", "nan"]


def test_yes_or_no_draws_have_their_probability():
    p = torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    draws = softtorch.bernoulli_st(p.expand(N, 5), generator=generator())
    assert torch.allclose(draws.mean(0), p, atol=CLOSE)
    assert not draws[:, 0].any() and draws[:, 4].all() and set(draws.unique().tolist()) == {0.0, 1.0}
    signs = softtorch.rademacher_st(p.expand(N, 5), generator=generator())
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert torch.allclose(signs.mean(0), 2 * p - 1, atol=2 * CLOSE)


def test_binomial_counts():
    p = torch.tensor([0.0, 0.3, 1.0])
    counts = softtorch.binomial_st(7, p.expand(2000, 3), generator=generator())
    assert counts[:, 0].max() == 0 and counts[:, 2].min() == 7 and torch.equal(counts, counts.round())
    assert abs(counts[:, 1].mean().item() - 2.1) < 4.5 * math.sqrt(7 * 0.21 / 2000)
    limits = torch.tensor([0, 2, 5])
    counts = softtorch.binomial_st(limits, torch.ones(3), max_count=5)
    assert counts.tolist() == [0.0, 2.0, 5.0]
    assert softtorch.binomial(torch.tensor([[1], [3]]), torch.ones(3), max_count=3).shape == (2, 3)


DRAWS = {
    "categorical": lambda fn, x, g: fn(x, generator=g),
    "multinomial": lambda fn, x, g: fn(x.exp(), 2, generator=g),
    "multinomial with replacement": lambda fn, x, g: fn(x.exp(), 6, True, generator=g),
    "choice": lambda fn, x, g: fn(torch.arange(4.0).double(), 3, p=x[0].exp(), generator=g),
    "permutation": lambda fn, x, g: fn(torch.arange(4.0).double(), logits=x[0], generator=g),
    "bernoulli": lambda fn, x, g: fn(x.sigmoid(), generator=g),
    "rademacher": lambda fn, x, g: fn(x.sigmoid(), generator=g),
    "binomial": lambda fn, x, g: fn(5, x.sigmoid(), generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_the_straight_form_has_the_gradient_of_the_soft_draw_from_the_same_noise(name):
    x = torch.randn(3, 4, generator=generator(5), dtype=torch.float64, requires_grad=True)
    base = name.split()[0]
    outs = [DRAWS[name](getattr(softtorch, n), x, generator(1)) for n in (base, f"{base}_st")]
    weight = torch.randn(outs[0].shape, generator=generator(2), dtype=torch.float64)
    grads = [torch.autograd.grad((out * weight).sum(), x)[0] for out in outs]
    assert torch.equal(*grads) and grads[0].abs().sum() > 0
    assert outs[0].dtype == torch.float64
    hard = DRAWS[name](lambda *a, **k: getattr(softtorch, base)(*a, mode="hard", **k), x, generator(1))
    assert torch.equal(hard, outs[1])
    again = DRAWS[name](getattr(softtorch, base), x, generator(1))
    assert torch.equal(again, outs[0])


@pytest.mark.parametrize("name", ["categorical", "bernoulli"])
def test_softness_to_0_gives_the_hard_draw(name):
    x = torch.randn(100, 4, generator=generator(5), dtype=torch.float64)

    def draw(**options):
        return DRAWS[name](lambda *a, **k: getattr(softtorch, name)(*a, **options, **k), x, generator(3))

    # the two best of 100 rows are 1e-3 apart or more with this seed: e^-1000 at softness 1e-6
    assert torch.allclose(draw(softness=1e-6), draw(mode="hard"), atol=1e-6)


def test_gradients_are_finite_at_certain_outcomes():
    p = torch.tensor([0.0, 1.0, 0.5], requires_grad=True)
    assert torch.autograd.grad(softtorch.bernoulli(p).sum(), p)[0].isfinite().all()
    weights = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    rows = softtorch.multinomial(weights, 2)
    assert torch.autograd.grad((rows * torch.randn(2, 3)).sum(), weights)[0].isfinite().all()


def test_half_precision_and_no_grad():
    logits = torch.randn(3, 4).bfloat16()
    assert softtorch.categorical(logits).dtype == torch.bfloat16
    with torch.no_grad():
        assert set(softtorch.categorical_st(logits).unique().tolist()) == {0.0, 1.0}
    assert softtorch.bernoulli_st(torch.rand(3).half()).dtype == torch.float16


def test_vmap_draws_for_each_and_compile_takes_them_whole():
    x = torch.zeros(50, 4)
    draws = torch.func.vmap(softtorch.categorical_st, randomness="different")(x)
    assert draws.sum(0).max() < 50 and torch.equal(draws.sum(1), torch.ones(50))
    compiled = torch.compile(softtorch.categorical_st, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(x).sum(1), torch.ones(50))


def test_errors():
    w = torch.ones(3)
    with pytest.raises(ShapeError, match=r"multinomial: 4 draws without replacement from 3 elements. Use 0 to 3"):
        softtorch.multinomial(w, 4)
    with pytest.raises(ShapeError, match=r"choice: p \(3,\) does not fit the 2 elements along dim=0 of \(2,\)"):
        softtorch.choice(torch.ones(2), 1, p=w)
    with pytest.raises(ShapeError, match=r"permutation: logits \(3,\) do not fit"):
        softtorch.permutation(torch.ones(2), logits=w)
    with pytest.raises(DimensionError, match="choice: dim=1"):
        softtorch.choice(w, 1, dim=1)
    with pytest.raises(OptionError, match="binomial: count is a tensor and max_count is not given"):
        softtorch.binomial(torch.tensor([1]), w)
    with pytest.raises(OptionError, match="binomial: count=-1 is negative"):
        softtorch.binomial(-1, w)


# -- shapes, methods and forms -----------------------------------------------------------------------------------------

LOGITS = torch.tensor([[0.3, -1.0, 2.0], [0.0, 0.5, 0.1]])


@pytest.mark.parametrize("shape", [(2,), (5, 2), (4, 5, 2), (0, 2)])
def test_categorical_draws_as_many_as_its_shape_says(shape):
    draws = softtorch.categorical_st(LOGITS, shape=shape)
    assert draws.shape == (*shape, 3)
    assert torch.equal(draws.sum(-1), torch.ones(shape))
    assert softtorch.categorical(LOGITS[:, :1].expand(2, 3), 0, shape=(7, 3)).shape == (7, 3, 2)
    assert softtorch.categorical(LOGITS[0], shape=(6,)).shape == (6, 3)


def test_categorical_of_many_draws_has_the_frequencies_of_softmax():
    torch.manual_seed(0)
    draws = softtorch.categorical_st(LOGITS, shape=(20_000, 2))
    torch.testing.assert_close(draws.mean(0), LOGITS.softmax(-1), atol=0.02, rtol=0)  # 4 standard errors are 0.014


def test_draws_that_do_not_repeat_are_permutations_and_no_more_than_there_are():
    draws = softtorch.categorical_st(LOGITS, shape=(3, 2), replace=False)
    assert torch.equal(draws.sum(0), torch.ones(2, 3))
    with pytest.raises(ShapeError, match="categorical: 4 draws without replacement from 3"):
        softtorch.categorical(LOGITS, shape=(4, 2), replace=False)
    for shape in ((3,), (5, 3), ()):
        with pytest.raises(ShapeError, match="does not end in one that the batch"):
            softtorch.categorical(LOGITS, shape=shape)


def test_a_draw_as_log_probabilities():
    soft = softtorch.categorical(LOGITS, mode="c0", return_log_probs=True, log_prob_eps=1e-3)
    torch.testing.assert_close(soft.exp().sum(-1), torch.ones(2))
    assert softtorch.categorical_st(LOGITS, return_log_probs=True).exp().sum(-1).tolist() == [1, 1]


@pytest.mark.parametrize("method", ["softsort", "neuralsort", "ot", "sorting_network", "lapsum"])
@pytest.mark.parametrize("standardize", [False, True])
def test_draws_take_a_method(method, standardize):
    options = {"method": method, "standardize": standardize}
    row = torch.tensor([1.0, 2.0, 3.0])
    assert softtorch.categorical(LOGITS, **options).shape == (2, 3)
    assert softtorch.multinomial(LOGITS.exp(), 2, **options).shape == (2, 2, 3)
    assert softtorch.choice_st(row, 2, replace=False, **options).unique().numel() == 2
    assert softtorch.permutation_st(row, **options).sort().values.tolist() == [1, 2, 3]
    with pytest.raises(MethodError, match="gives sorted values but no soft indices"):
        softtorch.permutation(row, method="fast_soft_sort")


def test_whole_numbers_stand_for_the_numbers_below_them():
    assert softtorch.permutation_st(5).sort().values.tolist() == [0, 1, 2, 3, 4]
    assert set(softtorch.choice_st(3, (4, 5)).unique().tolist()) <= {0, 1, 2}
    for wrong in (0, -1, 2.5, True, "a"):
        with pytest.raises(OptionError, match="permutation: x="):
            softtorch.permutation(wrong)


def test_choices_have_the_shape_asked_for_in_the_place_of_the_axis():
    x = torch.arange(12.0).reshape(3, 4)
    assert softtorch.choice(x, (2, 5), dim=1).shape == (3, 2, 5)
    assert softtorch.choice(x, (), dim=0).shape == (4,)
    assert softtorch.choice(x, shape=(2,), dim=-1).shape == (3, 2)


def test_independent_permutations_move_each_row_by_itself():
    torch.manual_seed(0)
    x = torch.arange(200.0).reshape(50, 4)
    together, apart = (softtorch.permutation_st(x, 1, independent=flag) % 4 for flag in (False, True))
    assert (together == together[0]).all() and not (apart == apart[0]).all()
    assert torch.equal(apart.sort(1).values, x % 4)
    assert softtorch.permutation(x, 0, independent=True).shape == x.shape
    y = x.clone().requires_grad_()
    softtorch.permutation(y, 1, independent=True).square().sum().backward()
    assert (y.grad != 0).any()


@pytest.mark.parametrize("name", ["bernoulli", "rademacher"])
def test_binary_draws_take_a_number_and_a_shape(name):
    low = {"bernoulli": 0, "rademacher": -1}[name]
    draws = getattr(softtorch, f"{name}_st")(shape=(50, 40))
    assert draws.shape == (50, 40) and set(draws.unique().tolist()) == {low, 1}
    assert getattr(softtorch, name)(torch.rand(3, 1), shape=(2, 3, 4)).shape == (2, 3, 4)
    assert (getattr(softtorch, f"{name}_st")(1.0, shape=(5,)) == 1).all()
    with pytest.raises(ShapeError, match=rf"{name}: p \(3,\) does not broadcast to shape=\(2,\)"):
        getattr(softtorch, name)(torch.rand(3), shape=(2,))
