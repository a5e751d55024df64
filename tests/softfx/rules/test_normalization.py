"""Softmax replaced by softpick: only where a policy asks, masks as models write them, inside torch's own layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import softfx
import softtorch
from softfx.runtime.normalized import softpick, softpick_attention
from tests.helpers import EXECUTOR
from tests.packages import imported

VARIANT = pytest.mark.parametrize("variant", ["abs", "rectified"])
SDPA = F.scaled_dot_product_attention


def policy(**fields: Any) -> dict[str, Any]:
    return {"preset": "keep", "rule": [{"op": "@normalization", "action": "soft", **fields}]}


def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    scores = query @ key.mT / query.shape[-1] ** 0.5
    causal = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
    return F.softmax(scores.masked_fill(~causal, torch.finfo(scores.dtype).min), -1) @ value


def operands(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randn(2, 3, 5, 4, generator=generator) for _ in range(3))  # type: ignore[return-value]


@pytest.mark.parametrize("preset", ["gradients", "straight-through", "smooth"])
def test_softmax_is_no_site_unless_it_is_asked_for(preset: str) -> None:
    report = softfx.check(attend, preset, example_inputs=operands())
    assert not [site for site in report.sites if site.family == "normalization"]


@EXECUTOR
@VARIANT
def test_both_ways_to_write_attention_become_softpick_attention(variant: str, executor: str) -> None:
    inputs = operands()
    wanted = softtorch.softpick_attention(*inputs, is_causal=True, variant=variant)
    for function in (attend, lambda q, k, v: SDPA(q, k, v, is_causal=True)):
        soft = softfx.soften(function, policy(variant=variant), example_inputs=inputs, executor=executor)
        assert [site.action for site in soft.report.sites] == ["soft"]
        assert torch.allclose(soft(*inputs), wanted, atol=1e-6)  # float32 rounding


@VARIANT
@pytest.mark.parametrize("low", [-torch.inf, torch.finfo(torch.float32).min, -1e9, -1e4])
def test_scores_masked_in_any_way_have_no_part(low: float, variant: str) -> None:
    x = torch.tensor([0.5, -1.0, 2.0])
    masked = torch.cat([x, torch.tensor([low, low + 3.0])])
    assert torch.allclose(softpick(masked, -1, None, variant)[:3], softpick(x, -1, None, variant))
    assert softpick(masked, -1, None, variant)[3:].eq(0).all()
    query, key, value = (part[..., :2, :] for part in operands())
    seen = torch.tensor([[True, False], [True, True]])
    added = torch.zeros(2, 2).masked_fill(~seen, low)
    results = [softpick_attention(query, key, value, mask, variant=variant) for mask in (seen, added)]
    assert torch.allclose(*results, atol=1e-6)  # float32 rounding


@EXECUTOR
def test_a_row_that_is_wholly_masked_gives_zeros_and_finite_gradients(executor: str) -> None:
    x = torch.full((2, 3), torch.finfo(torch.float32).min).requires_grad_()
    soft = softfx.soften(lambda x: x.softmax(-1), policy(), example_inputs=(x,), executor=executor)
    result = soft(x)
    assert result.eq(0).all()
    assert torch.autograd.grad(result.sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("dim", [None, 0, 1, -1])
@pytest.mark.filterwarnings("ignore:Implicit dimension choice")
def test_the_dim_is_the_one_torch_would_take(dim: int | None) -> None:
    x = torch.randn(3, 4)
    soft = softfx.soften(lambda x: F.softmax(x, dim), policy(), example_inputs=(x,))
    axis = 1 if dim is None else dim
    assert torch.equal(soft(x), softtorch.softpick(x, axis))


@EXECUTOR
def test_multi_head_attention_is_seen_from_inside(executor: str) -> None:
    layer, x = nn.MultiheadAttention(8, 2, batch_first=True), torch.randn(2, 5, 8)
    soft = softfx.soften(layer, policy(), example_inputs=(x, x, x), executor=executor)
    assert [site.op for site in soft.report.sites] == ["softmax"]
    output, weights = soft(x, x, x)
    assert not torch.allclose(output, layer(x, x, x)[0])
    assert weights.sum(-1).abs().max() < 1  # those of softmax sum to 1
    kept = softfx.soften(layer, "keep", example_inputs=(x, x, x), executor=executor)
    assert torch.equal(kept(x, x, x)[0], layer(x, x, x)[0])


def test_straight_through_softpick_keeps_the_values_of_softmax() -> None:
    inputs = operands()
    named = {"preset": "keep", "rule": [{"op": "softmax", "action": "straight_through"}]}
    soft = softfx.soften(attend, named, example_inputs=inputs)
    assert torch.equal(soft(*inputs), attend(*inputs))


@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_a_transformers_model_attends_by_softpick_and_stays_causal(implementation: str) -> None:
    transformers = imported("transformers")
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = transformers.LlamaConfig(
        **sizes, num_key_value_heads=2, vocab_size=50, attn_implementation=implementation, use_cache=False
    )
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(config).eval()
    tokens = torch.randint(0, 50, (2, 7))
    soft = softfx.soften(model, policy(variant="rectified"), example_kwargs={"input_ids": tokens})
    acted = [site for site in soft.report.sites if site.action == "soft"]
    assert len(acted) == 2 and len({site.module for site in acted}) == 2
    logits = soft(input_ids=tokens).logits
    assert logits.isfinite().all() and not torch.allclose(logits, model(input_ids=tokens).logits)
    later = torch.cat([tokens[:, :4], (tokens[:, 4:] + 1) % 50], 1)
    assert torch.equal(soft(input_ids=later).logits[:, :4], logits[:, :4])
    (gradient,) = torch.autograd.grad(logits.square().mean(), model.model.layers[0].self_attn.q_proj.weight)
    assert gradient.abs().sum() > 0
