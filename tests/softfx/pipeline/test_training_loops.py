"""What training loops do to a model, done to a softened one: values stay the original's, gradients those of one step.

Processes are in test_distributed.py, recomputation in test_checkpoint.py, the packages' own loops in
tests/softfx/training.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

import softfx
from tests.helpers import EXECUTOR, identical


class Quantized(nn.Module):
    """A convolution, a rounding, and a choice between two heads: (b, 3, 6, 6) -> (b,)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.heads = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        features = self.conv(x).mul(4).round().relu().mean((-1, -2))
        scores = self.heads(features)
        chosen: Tensor = scores.gather(-1, scores.argmax(-1, keepdim=True)).squeeze(-1)
        return chosen + (scores > 0).float().sum(-1)


def made() -> nn.Module:
    torch.manual_seed(0)
    return Quantized()


def batch(count: int = 8) -> Tensor:
    return torch.randn(count, 3, 6, 6, generator=torch.Generator().manual_seed(1))


def softened(executor: str = "auto", model: nn.Module | None = None) -> nn.Module:
    soft: nn.Module = softfx.soften(made() if model is None else model, example_inputs=(batch(2),), executor=executor)
    return soft


def gradients(model: nn.Module) -> list[Tensor]:
    found = [parameter.grad for parameter in model.parameters()]
    assert all(grad is not None and bool(grad.isfinite().all()) and bool(grad.any()) for grad in found)
    return [grad for grad in found if grad is not None]


def one_step(model: nn.Module, x: Tensor) -> list[Tensor]:
    model.zero_grad()
    model(x).square().mean().backward()
    return gradients(model)


@EXECUTOR
def test_accumulated_gradients_are_those_of_the_whole_batch(executor: str) -> None:
    soft, x = softened(executor), batch()
    whole = [grad.clone() for grad in one_step(soft, x)]
    soft.zero_grad()
    for part in x.split(2):
        (soft(part).square().mean() / 4).backward()
    for grad, expected in zip(gradients(soft), whole, strict=True):
        torch.testing.assert_close(grad, expected)  # summed in another order


@EXECUTOR
def test_a_scaled_loss_gives_the_gradients_of_the_loss(executor: str) -> None:
    soft, x = softened(executor), batch()
    expected = [grad.clone() for grad in one_step(soft, x)]
    optimizer = torch.optim.SGD(soft.parameters(), lr=0.1)
    scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    soft.zero_grad()
    scaler.scale(soft(x).square().mean()).backward()
    scaler.unscale_(optimizer)
    for grad, one in zip(gradients(soft), expected, strict=True):
        torch.testing.assert_close(grad, one)
    before = [parameter.clone() for parameter in soft.parameters()]
    scaler.step(optimizer)
    assert not any(torch.equal(*pair) for pair in zip(before, soft.parameters(), strict=True))


@EXECUTOR
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_under_autocast_values_are_the_originals_and_gradients_flow(dtype: torch.dtype, executor: str) -> None:
    original, soft, x = made(), softened(executor), batch()
    with torch.autocast("cpu", dtype):
        expected, found = original(x), soft(x)
    assert identical(found, expected)
    found.square().mean().backward()
    wide = [grad.clone() for grad in gradients(soft)]
    for grad, exact in zip(wide, one_step(soft, x), strict=True):
        assert torch.nn.functional.cosine_similarity(grad.flatten(), exact.flatten(), dim=0) > 0.9


@EXECUTOR
def test_inference_mode_gives_the_values_and_training_goes_on(executor: str) -> None:
    original, soft, x = made(), softened(executor), batch()
    with torch.inference_mode():
        found = soft(x)
    assert found.is_inference() and identical(found, original(x))
    assert all(torch.equal(*pair) for pair in zip(one_step(soft, x), one_step(softened(executor), x), strict=True))


@EXECUTOR
def test_a_moving_average_of_the_parameters_is_a_softened_model_too(executor: str) -> None:
    soft, x = softened(executor), batch()
    average = AveragedModel(soft, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    optimizer = torch.optim.SGD(soft.parameters(), lr=0.1)
    by_hand = copy.deepcopy(made())
    for step in range(3):
        one_step(soft, x)
        optimizer.step()
        average.update_parameters(soft)
        with torch.no_grad():
            for kept, parameter in zip(by_hand.parameters(), soft.parameters(), strict=True):
                kept.copy_(parameter if step == 0 else kept.lerp(parameter, 0.5))
    assert identical(average(x), by_hand(x))
    assert [*average.module.state_dict()] == [*by_hand.state_dict()]
    one_step(average.module, x)
    before = [site.softness for site in soft.report.sites]
    softfx.set_softness(average.module, 0.5)  # its own: a schedule of the one does not move the other
    assert [site.softness for site in soft.report.sites] == before


def test_a_compiled_model_is_softened() -> None:
    x = batch()
    soft = softened(model=torch.compile(made(), backend="eager"))  # type: ignore[arg-type]
    assert identical(soft(x), made()(x))
    assert all(torch.equal(*pair) for pair in zip(one_step(soft, x), one_step(softened(), x), strict=True))


@EXECUTOR
def test_channels_last_stays(executor: str) -> None:
    layout, x = torch.channels_last, batch()
    original, soft = made().to(memory_format=layout), softened(executor).to(memory_format=layout)
    image = x.to(memory_format=layout)
    seen: list[Tensor] = []
    for model in (original, soft):
        model.conv.register_forward_hook(lambda module, args, out: seen.append(out))
    assert identical(soft(image), original(image))
    assert all(out.is_contiguous(memory_format=layout) for out in seen)
    for grad, expected in zip(one_step(soft, image), one_step(softened(executor), x), strict=True):
        torch.testing.assert_close(grad, expected)  # another kernel of the convolution


def cube(x: Tensor) -> Tensor:
    return x.pow(3).sum()


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "vmap": lambda x: torch.func.vmap(lambda row: row.round() * row.sort().values)(x),
    "vmap of vmap": lambda x: torch.func.vmap(torch.func.vmap(lambda entry: entry.round() * entry))(x),
    "grad": lambda x: torch.func.grad(cube)(x).round(),
    "vmap of grad": lambda x: torch.func.vmap(torch.func.grad(cube))(x).round(),
    "jvp": lambda x: torch.func.jvp(torch.sin, (x,), (x,))[1].round(),
    "vjp": lambda x: torch.func.vjp(torch.sin, x)[1](x)[0].round(),
    "jacrev": lambda x: torch.func.jacrev(cube)(x).round(),
    "jacfwd": lambda x: torch.func.jacfwd(torch.sin)(x[0]).round(),
    "hessian": lambda x: torch.func.hessian(cube)(x[0]).round(),
}


@pytest.mark.parametrize("policy", ["gradients", "smooth"])
@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms_inside_the_target_are_softened_beside(name: str, policy: str) -> None:
    x = torch.tensor([[0.3, 1.7, -0.6], [2.2, -1.1, 0.8]])
    soft = softfx.soften(TRANSFORMS[name], policy, example_inputs=(x,))
    leaf = x.clone().requires_grad_()
    out = soft(leaf)
    if policy == "gradients":
        assert identical(out.detach(), TRANSFORMS[name](x))
    (grad,) = torch.autograd.grad(out.sum(), leaf)
    assert grad.isfinite().all() and grad.any()
    assert all(site.action in ("straight_through", "soft", "keep") for site in soft.report.sites)
