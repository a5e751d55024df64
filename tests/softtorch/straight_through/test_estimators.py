"""The other derivatives: identity, ReinMax, rotation, Gumbel, and perturbed optimizers."""

import math

import pytest
import torch

import softtorch
from softtorch.errors import OptionError, ShapeError
from softtorch.straight_through.estimators import ESTIMATORS


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def one_hot(scores):
    return torch.nn.functional.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)


def test_identity_passes_the_gradient_through():
    x = torch.tensor([0.2, 1.7, -3.0], requires_grad=True)
    for fn, hard in ((softtorch.round, torch.round), (softtorch.sign, torch.sign)):
        out = softtorch.st(fn, estimator="identity")(x)
        assert torch.equal(out.detach(), hard(x.detach()))
        assert torch.autograd.grad((out * torch.tensor([1.0, 2.0, 3.0])).sum(), x)[0].tolist() == [1.0, 2.0, 3.0]


def test_estimators_refuse_functions_they_do_not_fit():
    x = torch.randn(2, 3, requires_grad=True)
    with pytest.raises(OptionError, match="st: estimator 'identity' is for functions that work element by element"):
        softtorch.st(softtorch.argmax, "identity")(x, 1)
    with pytest.raises(OptionError, match="st: estimator 'reinmax' is for functions that give one soft index"):
        softtorch.st(softtorch.max, "reinmax")(x, 1)
    with pytest.raises(OptionError, match=r"st: unknown estimator 'rein_max'.*Did you mean 'reinmax'"):
        softtorch.st(softtorch.argmax, "rein_max")
    assert list(ESTIMATORS) == ["soft", "identity", "reinmax", "rotation", "gumbel"]


def second_order(drawn, p, tempered, g):
    """2 M((tempered + drawn) / 2) g - M(p) g / 2."""

    def m(p):
        return p * g - p * (p * g).sum(-1, keepdim=True)

    return 2 * m((tempered + drawn) / 2) - m(p) / 2


@pytest.mark.parametrize("softness", [1.0, 1.5])
def test_reinmax_has_the_derivative_of_its_paper(softness):
    logits = torch.randn(3, 5, generator=generator(), dtype=torch.float64, requires_grad=True)
    g = torch.randn(3, 5, generator=generator(1), dtype=torch.float64)
    out = softtorch.reinmax(logits, softness, generator=generator(2))
    assert set(out.unique().tolist()) == {0.0, 1.0} and torch.equal(out.sum(-1), torch.ones(3).double())
    p, tempered = torch.softmax(logits, -1).detach(), torch.softmax(logits / softness, -1).detach()
    (grad,) = torch.autograd.grad((out * g).sum(), logits)
    assert torch.allclose(grad, second_order(out.detach(), p, tempered, g))


def test_reinmax_is_unbiased_for_quadratics():
    logits = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    a = torch.randn(3, 3, generator=generator(), dtype=torch.float64)

    def loss(d):
        return (d @ a * d).sum(-1)

    p = torch.softmax(logits, -1)
    (want,) = torch.autograd.grad((p * a.diag()).sum(), logits)  # E[d^T A d] for one-hot d
    total = torch.zeros(3, dtype=torch.float64)
    for k in range(3):  # the expectation over draws, exactly
        drawn = torch.eye(3, dtype=torch.float64)[k]
        (grad,) = torch.autograd.grad(loss(softtorch.reinmax(logits, hard=drawn)), logits)
        total = total + p[k].detach() * grad
    assert torch.allclose(total, want)


def test_reinmax_as_an_estimator_of_st_has_the_same_derivative():
    x = torch.randn(2, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    g = torch.randn(2, 4, generator=generator(1), dtype=torch.float64)
    out = softtorch.st(softtorch.argmax, "reinmax")(x, 1, softness=1.0, standardize=False)
    (grad,) = torch.autograd.grad((out * g).sum(), x)
    p = torch.softmax(x.detach(), -1)
    assert torch.equal(out.detach(), one_hot(x.detach()))
    assert torch.allclose(grad, second_order(out.detach(), p, p, g))


def test_reinmax_is_finite_where_probabilities_underflow():
    logits = torch.tensor([0.0, 1000.0, -2000.0], requires_grad=True)
    out = softtorch.reinmax(logits, hard=torch.tensor([0.0, 0.0, 1.0]))
    assert torch.autograd.grad((out * torch.randn(3)).sum(), logits)[0].isfinite().all()


def test_rotation_is_a_scaled_rotation_that_takes_one_to_the_other():
    e = torch.randn(6, 4, generator=generator(), dtype=torch.float64, requires_grad=True)
    q = torch.randn(6, 4, generator=generator(1), dtype=torch.float64)
    out = softtorch.rotation(e, q)
    assert torch.equal(out.detach(), q)
    for row in range(6):
        jacobian = torch.stack([torch.autograd.grad(out[row, k], e, retain_graph=True)[0][row] for k in range(4)])
        ratio = q[row].norm() / e[row].norm()
        assert torch.allclose(jacobian @ jacobian.T, ratio**2 * torch.eye(4).double())
        assert torch.allclose(jacobian @ e[row], q[row])
        assert torch.linalg.det(jacobian) > 0


def test_rotation_is_the_identity_where_there_is_no_rotation():
    e = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 2.0]], requires_grad=True)
    q = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
    (grad,) = torch.autograd.grad((softtorch.rotation(e, q) * torch.tensor([3.0, 5.0])).sum(), e)
    assert grad[0].tolist() == [3.0, 5.0] and grad[1].tolist() == [3.0, 5.0]
    assert grad.isfinite().all()


def test_rotation_as_an_estimator_serves_a_vector_quantizer():
    codes = torch.randn(5, 3, generator=generator(), dtype=torch.float64)

    def quantize(x, mode="smooth"):
        return codes[torch.cdist(x, codes).argmin(-1)]

    x = torch.randn(4, 3, generator=generator(1), dtype=torch.float64, requires_grad=True)
    out = softtorch.st(quantize, "rotation")(x)
    direct = softtorch.rotation(x, quantize(x))
    assert torch.equal(out, direct)
    assert torch.equal(*(torch.autograd.grad(o.sum(), x)[0] for o in (out, direct)))


def test_gumbel_draws_in_proportion():
    n = 20_000
    close = 4.5 * 0.5 / math.sqrt(n)  # 4.5 standard deviations
    torch.manual_seed(0)
    logits = torch.tensor([0.0, 1.0, -0.5])
    draws = softtorch.st(softtorch.argmax, "gumbel")(logits.expand(n, 3), 1)
    assert torch.allclose(draws.mean(0), torch.softmax(logits, 0), atol=close)
    steps = softtorch.st(softtorch.greater, "gumbel")(torch.full((n,), 0.7), 0.0)
    assert abs(steps.mean().item() - torch.sigmoid(torch.tensor(0.7)).item()) < close
    leaf = torch.zeros(3, requires_grad=True)
    out = softtorch.st(softtorch.heaviside, "gumbel")(leaf, softness=1.0)
    assert torch.autograd.grad(out.sum(), leaf)[0].gt(0).all()


def test_perturbed_gives_the_mean_and_its_derivative():
    scores = torch.tensor([[0.1, 0.0, -0.2], [0.3, 0.5, 0.1]], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([1.0, -1.0, 2.0], dtype=torch.float64)
    smoothed = softtorch.perturbed(one_hot, 40_000, softness=0.5, generator=generator())
    out = smoothed(scores)
    (grad,) = torch.autograd.grad((out * weight).sum(), scores)
    noise = torch.randn(40_000, 2, 3, generator=generator(1), dtype=torch.float64)
    want = one_hot(scores.detach() + 0.5 * noise).mean(0)
    assert torch.allclose(out, want, atol=0.02)  # 4 standard deviations of the difference of two such means
    step = 0.2
    shift = torch.zeros(3, dtype=torch.float64)
    for k in range(3):
        shift = step * torch.eye(3, dtype=torch.float64)[k]
        means = [one_hot(scores.detach() + s * shift + 0.5 * noise).mean(0) @ weight for s in (1, -1)]
        assert torch.allclose(grad[:, k], (means[0] - means[1]) / (2 * step), atol=0.08)  # and of this quotient


def test_perturbed_keeps_problems_apart_and_runs_without_gradients():
    calls = []

    def oracle(scores):
        calls.append(scores.shape)
        return one_hot(scores)

    scores = torch.zeros(2, 5, 3, requires_grad=True)
    smoothed = softtorch.perturbed(oracle, 10)
    (grad,) = torch.autograd.grad(smoothed(scores)[0].sum(-1).sum(), scores)
    assert calls == [(10, 2, 5, 3)] and not grad[1].any()
    with torch.no_grad():
        assert smoothed(scores).sum(-1).allclose(torch.ones(2, 5))
    assert softtorch.perturbed(lambda s: s.flatten(-2).argmax(-1), 4, event_dims=2)(scores).shape == (2,)
    with pytest.raises(OptionError, match="perturbed: num_samples=3 does not make pairs"):
        softtorch.perturbed(oracle, 3)
    with pytest.raises(ShapeError, match=r"perturbed: scores \(\) have fewer than event_dims=1"):
        smoothed(torch.tensor(1.0))


def test_errors():
    with pytest.raises(ShapeError, match=r"reinmax: hard \(2,\) is not one-hot over the choices of logits \(3,\)"):
        softtorch.reinmax(torch.ones(3), hard=torch.ones(2))
    with pytest.raises(ShapeError, match=r"rotation: encoded \(3,\) and quantized \(2,\) differ in shape"):
        softtorch.rotation(torch.ones(3), torch.ones(2))


def test_transforms_see_through():
    e, q = torch.randn(3, 4), torch.randn(3, 4)
    assert torch.equal(torch.func.vmap(softtorch.rotation)(e, q), q)
    assert torch.equal(torch.compile(softtorch.rotation, fullgraph=True, backend="aot_eager")(e, q), q)
    assert softtorch.rotation(e.bfloat16(), q.bfloat16()).dtype == torch.bfloat16
    drawn = torch.func.vmap(softtorch.reinmax, randomness="different")(e)
    assert torch.equal(drawn.sum(-1), torch.ones(3))
