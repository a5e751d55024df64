"""The indexer of a sparse attention, trained by what the attention makes of its choice.

For each query a cheap indexer scores all keys and the attention reads the k that score highest: a topk, which has no
gradient. So indexers are trained by an auxiliary loss (DeepSeek-V3.2, arXiv 2512.02556): their scores imitate the
attention over all keys. Here a few keys draw attention and hold nothing, as attention sinks do (arXiv 2309.17453), and
an indexer that imitates spends its choice on them. Softened, the unmodified program trains the same indexer by its own
loss, to choose what the output needs.
"""

import argparse
from collections.abc import Callable

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F

import softfx

WIDTH, KEYS, SINKS, CHOSEN, BATCH = 16, 48, 6, 4, 128


class SparseAttention(nn.Module):
    """Attention of one query to the few keys that its indexer chooses: (b, d), (b, n, d) twice -> (b, d)."""

    def __init__(self) -> None:
        super().__init__()
        self.of_query, self.of_keys = nn.Linear(WIDTH, 8, bias=False), nn.Linear(WIDTH, 8, bias=False)

    def index(self, query: Tensor, keys: Tensor) -> Tensor:
        return (self.of_keys(keys) * self.of_query(query)[:, None]).sum(-1)  # (b, n)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        chosen = self.index(query, keys).topk(CHOSEN, -1).indices[..., None].expand(-1, -1, WIDTH)
        weights = attention(query, keys.gather(1, chosen))
        return (weights[..., None] * values.gather(1, chosen)).sum(1)


def attention(query: Tensor, keys: Tensor) -> Tensor:
    """The weights of keys, (b, n), by the half of the dims in which sinks are large."""
    return (2.0 * (query[:, None] * keys).sum(-1) / WIDTH**0.5).softmax(-1)


def batch() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Queries, keys, values, and what is asked for: the value of the one key that matches its query."""
    query, keys, values = torch.randn(BATCH, WIDTH), torch.randn(BATCH, KEYS, WIDTH), torch.randn(BATCH, KEYS, WIDTH)
    keys[..., WIDTH // 2 :] *= 0.3
    place = torch.randint(SINKS, KEYS, (BATCH,))
    rows = torch.arange(BATCH)
    keys[rows, place] = query
    keys[:, :SINKS, : WIDTH // 2] = 2.0 * query[:, None, : WIDTH // 2]
    return query, keys, values, values[rows, place]


def trained(model: SparseAttention, loss: Callable[..., Tensor], steps: int) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(*batch()).backward()
        optimizer.step()


def judged(model: SparseAttention) -> tuple[float, float]:
    """How often the key that is asked for is among the chosen, and the error of the output."""
    query, keys, values, wanted = batch()
    with torch.no_grad():
        chosen = model.index(query, keys).topk(CHOSEN, -1).indices
        picked = values.gather(1, chosen[..., None].expand(-1, -1, WIDTH))
        found = (picked == wanted[:, None]).all(-1).any(-1)
        return float(found.float().mean()), float((model(query, keys, values) - wanted).square().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--quick", action="store_true", help="150 steps")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    steps = 150 if arguments.quick else arguments.steps
    start, imitating, own = SparseAttention(), SparseAttention(), SparseAttention()
    for other in (imitating, own):
        other.load_state_dict(start.state_dict())

    def auxiliary(query: Tensor, keys: Tensor, values: Tensor, wanted: Tensor) -> Tensor:
        scores = imitating.index(query, keys).log_softmax(-1)
        return F.kl_div(scores, attention(query, keys), reduction="batchmean")

    trained(imitating, auxiliary, steps)
    policy = {"rule": [{"op": "topk", "method": "lapsum"}]}
    soft = softfx.soften(own, policy, example_inputs=batch()[:3])
    trained(own, lambda query, keys, values, wanted: F.mse_loss(soft(query, keys, values), wanted), steps)

    table = Table("indexer", "key found", "error of the output", title=f"{CHOSEN} of {KEYS} keys, {SINKS} sinks")
    results = {"as it starts": start, "auxiliary loss": imitating, "its own loss, softened": own}
    judgements = {name: judged(model) for name, model in results.items()}
    for name, (found, error) in judgements.items():
        table.add_row(name, f"{found:.1%}", f"{error:.3f}")
    console = Console()
    console.print(table)
    query, keys, values, _ = batch()
    gradient = own(query, keys, values).requires_grad
    console.print("the original's output has a gradient:", gradient)
    assert not gradient
    assert judgements["its own loss, softened"][0] > 0.8 > judgements["auxiliary loss"][0]
    assert judgements["its own loss, softened"][1] < 0.5 * judgements["auxiliary loss"][1]


if __name__ == "__main__":
    main()
