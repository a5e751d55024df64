"""Expressions that select, order and reduce along axes; placeholders as in elementwise.py."""

from __future__ import annotations

__all__ = ["ORDERING", "REDUCTIONS", "SELECTIONS"]

SELECTIONS = """
torch.where({b}, {f}, {g})
torch.where({b}, {f}, 0.0)
torch.where({b}, 1.0, {f})
torch.where({b}, {i}, {j})
torch.where({b}, {f}, {i})
torch.where({f} > 0, {f}, {g})
{f}.masked_fill({b}, 0.0)
{f}.masked_fill({b}, float('-inf'))
{f}.masked_fill(~{b}, -1e9).softmax({d})
{f}[{b}]
{f}[{b}].sum()
{f}[{f} > 0.1].mean()
{f}.masked_select({b})
{f}[{i}]
{f}[..., {i}]
{f}[{i}, {j}]
{f}[:, {i}]
{f}[{k}]
{f}[..., {k}]
{f}[..., 1:]
{f}[:, None]
{f}[None, ..., ::2]
{f}[..., -1]
{f}[torch.arange({f}.shape[0]), {i}]
{f}.gather({d}, {i})
torch.gather({f}, {d}, {i}.clamp(0, 1))
torch.take_along_dim({f}, {i}, dim={d})
torch.take({f}, {i})
{f}.index_select({d}, {i})
F.one_hot({i}, 7)
F.one_hot({i}.clamp(0, 3), 4).float()
F.one_hot({i})
F.embedding({i}, {m})
{f}.index_fill({d}, {i}, 1.5)
{f}.flip({d})
{f}.roll(1, {d})
torch.searchsorted({f}.detach().sort(-1).values, {g})
torch.searchsorted(torch.linspace(-1, 1, 5, dtype={f}.dtype), {f})
torch.bucketize({f}, torch.tensor([-0.5, 0.0, 0.5], dtype={f}.dtype))
torch.bucketize({f}, torch.linspace(-1, 1, 4, dtype={f}.dtype), right=True)
torch.bincount({i}.flatten())
torch.bincount({i}.flatten(), minlength=6)
torch.histc({f}.flatten(), bins=4, min=-1, max=1)
torch.unique({i})
torch.unique({f}, return_inverse=True)
torch.unique_consecutive({i})
torch.argwhere({b})
torch.tensor_split({f}, 2, dim={d})
{f}.split(1, {d})
{f}.chunk(2, {d})
{f}.unbind({d})
F.nll_loss(F.log_softmax({m}, -1), {i})
F.cross_entropy({m}, {i})
F.cross_entropy({m}, {f}.argmax(-1))
torch.tril({f})
{f}.diagonal()
F.pad({f}, (1, 1), value=0.5)
torch.repeat_interleave({f}, 2, dim={d})
torch.repeat_interleave({f}, {i}, dim={d})
""".strip().splitlines()

ORDERING = """
{f}.argmax()
{f}.argmax({d})
{f}.argmax(dim={d}, keepdim=True)
torch.argmin({f}, dim={d})
{f}.max({d})
{f}.max(dim={d}).values
{f}.max()
{f}.min({d})[1]
torch.min({f}, dim={d}, keepdim=True)
{f}.topk(2)
{f}.topk(2, dim={d})
torch.topk({f}, 1, dim={d}, largest=False).indices
{f}.topk({k}, dim={d}).values
{f}.sort()
{f}.sort(dim={d}, descending=True)
torch.sort({f}, dim={d}).indices
{f}.argsort({d})
torch.argsort({f}, dim={d}, descending=True)
{f}.argsort({d}).argsort({d})
{f}.kthvalue(2)
torch.kthvalue({f}, 1, dim={d}).values
{f}.median()
{f}.median({d})
torch.median({f}, dim={d}).indices
{f}.nanmedian()
torch.quantile({f}, 0.3)
torch.quantile({f}, 0.7, dim={d})
torch.quantile({f}, torch.tensor([0.2, 0.8], dtype={f}.dtype), dim={d})
{f}.cummax({d})
torch.cummin({f}, {d}).values
torch.msort({f})
{f}.mode({d})
torch.logsumexp({f}, {d})
{f}.softmax({d})
F.log_softmax({f}, {d})
{f}.cumsum({d})
{f}.cumprod({d})
{f}.diff()
F.gumbel_softmax({f}, hard=True)
torch.multinomial({f}.softmax(-1).nan_to_num(0.5) + 0.01, 2)
torch.bernoulli(torch.sigmoid({f}))
{f}.sigmoid().bernoulli()
F.dropout({f}, 0.4)
torch.rand_like({f}) < {f}
{f} + torch.randn_like({f})
""".strip().splitlines()

REDUCTIONS = """
{f}.sum()
{f}.sum({d})
{f}.mean({d}, keepdim=True)
{f}.mean()
{f}.prod({d})
{f}.std()
{f}.var({d})
torch.var_mean({f}, dim={d})
{f}.sum(dtype=torch.int64)
{i}.sum()
{i}.float().mean({d})
{i}.to({f}.dtype) * {f}
{i} + 1
{i} * {j}
{i} // 2
{i} % 3
{i}.clamp(0, 2)
{i}.abs()
{i}.float()
{i}.double() / 2
{i}.max({d}).values
{i}.sort({d}).indices
{i}.argsort({d})
torch.einsum('...i,...i->...', {f}, {g})
torch.einsum('ij,kj->ik', {f}, {g})
torch.einsum('ij,j->i', {f}, {b}.to({f}.dtype))
{b}.to({f}.dtype) @ {f}
{f} @ {i}.to({f}.dtype)
F.linear({f}, {g})
F.mse_loss({f}, {g})
{f}.norm(p=2)
torch.cat([{f}, {g}], dim={d})
torch.stack([{f}, {g}], dim=0)
torch.stack([{f}, {g}]).max(0).values
torch.cat([{b}, {c}], dim={d})
{f}.reshape(-1)
{f}.flatten()
{f}.unsqueeze({d})
{f}.squeeze()
{f}.transpose(0, -1)
{f}.permute(*range({f}.dim() - 1, -1, -1))
{f}.T
{f}.expand(2, *{f}.shape)
{f}.repeat(2, *[1] * {f}.dim())[0]
{f}.contiguous()
{f}.clone()
{f}.detach()
{f}.detach().round() + {f}
{f}.view_as({f})
{f}.movedim(0, -1)
F.layer_norm({f}, {f}.shape[-1:])
{f}.new_zeros({f}.shape) + {f}
torch.zeros_like({f}).scatter({d}, {i}, {f})
torch.zeros_like({f}).scatter({d}, {i}, 1.0)
torch.zeros_like({f}).scatter_add({d}, {i}, {f})
torch.zeros({f}.shape, dtype={f}.dtype).scatter_add(-1, {i}, {f})
torch.zeros(5, dtype={f}.dtype).scatter_reduce(0, {i}, {f}, 'amax', include_self=False)
torch.zeros(5, dtype={f}.dtype).index_add(0, {i}, {f})
{f}.index_add({d}, {i}, {g})
{f}.index_copy({d}, {i}, {g})
torch.index_put({f}, ({i},), {g})
{f}.index_put(({i},), torch.tensor(2.0, dtype={f}.dtype), accumulate=True)
helper({f})
helper({f}, b={g})
Doubling.apply({f})
Clipped.apply({f})
{f}.is_floating_point()
{f}.shape[-1] * {f}
{f}.size(0) + {i}
F.cosine_similarity({f}, {g}, dim=-1)
F.softmin({f}, dim={d})
F.scaled_dot_product_attention({f}.unsqueeze(0), {g}.unsqueeze(0), {h}.unsqueeze(0))
F.binary_cross_entropy_with_logits({f}, {b}.to({f}.dtype))
F.cross_entropy({f}, {g}.softmax(-1))
F.kl_div(F.log_softmax({f}, -1), {g}.softmax(-1), reduction='sum')
F.margin_ranking_loss({f}, {g}, {f}.sign())
F.hinge_embedding_loss({f}, {g}.sign())
F.triplet_margin_loss({f}, {g}, {h})
""".strip().splitlines()
