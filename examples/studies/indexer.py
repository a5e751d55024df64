"""The indexer of a sparse attention, trained by what the attention makes of its choice.

For each query a cheap indexer scores all keys and the attention reads the k that score highest: a `topk`, which has no
gradient for the indexer. So indexers are trained by an auxiliary loss: on detached inputs their scores imitate the
attention over all keys. Whether that is what the output needs depends on the attention. Here a few keys draw attention
and hold nothing, as attention sinks do, and an indexer that imitates spends its choice on them; without sinks the
attention is a perfect teacher. Softened by a policy, the unmodified program trains the same indexer by its own loss.
Told are the error of the output in units of its variance, and how often the key that is asked for is among the chosen.

**By hand.** The auxiliary recipe adds a loss with a second attention over all keys, as costly as what was to be saved
(`imitated`, 3 lines, and a detach at each input); with softfx 0 lines change, and nothing is added to the loss.

**What did not work.** Where the attention is a perfect teacher the auxiliary loss reaches the same end in a fraction of
the time of a softened step: its gradient says at once which key is missing, the own loss only which of the scored ones
would help. Both losses together end where the auxiliary one alone does, or worse than the own loss alone.

Sources: DeepSeek-V3.2 2025, the lightning indexer and its loss (arXiv 2512.02556); Xiao et al. 2023, attention sinks
(arXiv 2309.17453).
"""

from dataclasses import dataclass

import torch
from study import Study, demand
from programs.choices import Batch, Ends, Recipe, Trial, error
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 16
OWN, AUXILIARY, SOFTENED, BOTH = "own loss, as it is", "auxiliary loss", "own loss, softened", "both losses, softened"
POLICY = {"rule": [{"op": "topk", "method": "lapsum"}]}
RECIPES = (
    Recipe(OWN),
    Recipe(AUXILIARY, own=0.0, auxiliary=1.0),
    Recipe(SOFTENED, POLICY),
    Recipe(BOTH, POLICY, auxiliary=1.0),
)


class SparseAttention(nn.Module):
    """Attention of one query to the few keys that its indexer chooses: (b, d), (b, n, d) twice -> (b, d)."""

    def __init__(self, chosen: int) -> None:
        super().__init__()
        self.chosen = chosen
        self.of_query, self.of_keys = nn.Linear(WIDTH, 8, bias=False), nn.Linear(WIDTH, 8, bias=False)

    def index(self, query: Tensor, keys: Tensor) -> Tensor:
        return (self.of_keys(keys) * self.of_query(query)[:, None]).sum(-1)  # (b, n)

    def forward(self, query: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        chosen = self.index(query, keys).topk(self.chosen, -1).indices[..., None].expand(-1, -1, WIDTH)
        weights = attention(query, keys.gather(1, chosen))
        return (weights[..., None] * values.gather(1, chosen)).sum(1)


def attention(query: Tensor, keys: Tensor) -> Tensor:
    """The weights of keys, (b, n), by the half of the dims in which sinks are large."""
    return (2.0 * (query[:, None] * keys).sum(-1) / WIDTH**0.5).softmax(-1)


def imitated(model: nn.Module, batch: Batch) -> Tensor:
    """The auxiliary loss: from the attention over all keys to the indexer's scores of them."""
    query, keys, _ = batch[0]
    assert isinstance(model, SparseAttention)
    return F.kl_div(model.index(query, keys).log_softmax(-1), attention(query, keys), reduction="batchmean")


@dataclass(frozen=True)
class Size:
    steps: int
    seeds: int
    keys: int = 48
    chosen: int = 4
    batch: int = 128
    sinks: tuple[int, ...] = (0, 6)

    def __post_init__(self) -> None:
        demand(self.chosen < self.keys, "fewer --chosen than --keys")
        demand(max(self.sinks) < self.keys, "fewer --sinks than --keys")


def drawn(size: Size, sinks: int) -> Batch:
    """Queries, keys and values; wanted is the value of the one key that matches its query."""
    shape = size.batch, size.keys, WIDTH
    query, keys, values = torch.randn(size.batch, WIDTH), torch.randn(shape), torch.randn(shape)
    keys[..., WIDTH // 2 :] *= 0.3
    rows, place = torch.arange(size.batch), torch.randint(sinks, size.keys, (size.batch,))
    keys[rows, place] = query
    keys[:, :sinks, : WIDTH // 2] = 2.0 * query[:, None, : WIDTH // 2]
    return (query, keys, values), values[rows, place]


def judged(model: nn.Module, size: Size, sinks: int) -> tuple[float, float]:
    """The error of the output, and how often the key that is asked for is among the chosen."""
    assert isinstance(model, SparseAttention)
    (query, keys, values), wanted = drawn(size, sinks)
    with torch.no_grad():
        chosen = model.index(query, keys).topk(size.chosen, -1).indices
        picked = values.gather(1, chosen[..., None].expand(-1, -1, WIDTH))
        found = (picked == wanted[:, None]).all(-1).any(-1)
        return float(error(model(query, keys, values), wanted)), float(found.float().mean())


def main() -> None:
    study = Study(
        __file__, __doc__, quick=Size(120, 1), default=Size(250, 5), full=Size(5000, 5, 4096, 64, 64, (0, 64))
    )
    size, ends = study.size, Ends()
    settings = {f"{sinks} sinks": sinks for sinks in size.sinks}
    for seed in study.seeds(size.seeds):
        for setting, sinks in settings.items():
            model = SparseAttention(size.chosen)
            trial = Trial(
                model, tuple(name for name, _ in model.named_parameters()),
                lambda sinks=sinks: drawn(size, sinks), imitated,
                lambda model, sinks=sinks: judged(model, size, sinks), size.steps, 0.01, seed,
            )  # fmt: skip
            ends.add(setting, RECIPES, trial)
    study.table(
        "The choice of keys",
        ["keys that hold nothing", "indexer", "error of the output", "key found", "ms a step"],
        ends.rows(("", "%")),
        f"{size.chosen} of {size.keys} keys, {size.steps} steps of Adam of {size.batch} queries, {size.seeds} seeds; "
        "milliseconds of processor time.",
    )
    study.draw(ends.picture)
    hard = SparseAttention(size.chosen)(*drawn(size, 0)[0]).requires_grad
    study.claim("the output of the hard program has no gradient for the indexer", not hard)
    study.claim(
        "by its own loss as it is the indexer stays as it starts",
        all(ends.found[setting, OWN] == ends.found[setting, "as it starts"] for setting in settings),
    )
    for setting, sinks in settings.items():
        softened, auxiliary = ends.mean(setting, SOFTENED), ends.mean(setting, AUXILIARY)
        if sinks >= size.chosen:
            study.claim(
                f"{setting}: softened, the error is below half of what the auxiliary loss reaches",
                softened < 0.5 * auxiliary,
            )
        else:
            study.claim(
                f"{setting}: softened, the error comes down to half of its start",
                softened < 0.5 * ends.mean(setting, "as it starts"),
            )
    study.finish()


if __name__ == "__main__":
    main()
