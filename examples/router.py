"""The router of Switch Transformers, learning which expert a token needs.

Requires: transformers

The router sends each token to one expert: argmax, one_hot, a count of how many tokens the expert already has. Here the
experts exist already and the output is what the chosen one computes, so the gate could only learn through the choice,
which has no gradient. Softened, the unmodified router learns to send every token where it belongs.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from transformers.models.switch_transformers.configuration_switch_transformers import SwitchTransformersConfig
from transformers.models.switch_transformers.modeling_switch_transformers import SwitchTransformersTop1Router

import softfx

WIDTH, EXPERTS, LENGTH, STEPS = 16, 4, 24, 200


class Mixture(nn.Module):
    """Experts that are linear maps, and the router of transformers: (b, s, d) -> (b, s, d)."""

    def __init__(self) -> None:
        super().__init__()
        self.router = SwitchTransformersTop1Router(
            SwitchTransformersConfig(d_model=WIDTH, num_experts=EXPERTS, expert_capacity=LENGTH)
        )
        nn.init.normal_(self.router.classifier.weight, std=0.1)
        self.register_buffer("experts", torch.randn(EXPERTS, WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, tokens: Tensor) -> Tensor:
        dispatch, _, _ = self.router(tokens)  # (b, s, e)
        return torch.einsum("bse,edc,bsd->bsc", dispatch.to(tokens.dtype), self.experts, tokens)


def batch(domains: Tensor, experts: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Tokens around the centre of a random domain, what that domain's expert says of them, and the domains."""
    domain = torch.randint(EXPERTS, (size, LENGTH))
    tokens = domains[domain] + 0.5 * torch.randn(size, LENGTH, WIDTH)
    return tokens, torch.einsum("bsdc,bsd->bsc", experts[domain], tokens), domain


def sent_right(router: nn.Module, tokens: Tensor, domain: Tensor) -> float:
    with torch.no_grad():
        return float((router(tokens)[0].argmax(-1) == domain).float().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    model = Mixture()
    domains = torch.randn(EXPERTS, WIDTH)
    tokens, wanted, domain = batch(domains, model.experts, 64)
    hard = (model(tokens) - wanted).square().mean()
    before = sent_right(model.router, tokens, domain)

    soft = softfx.soften(model, "smooth", example_inputs=(tokens,))
    schedule = softfx.ExponentialSoftness(soft, start=1.0, end=0.05, total_iters=STEPS)
    optimizer = torch.optim.Adam(soft.parameters(), lr=0.02)
    for _ in range(STEPS):
        x, y, _ = batch(domains, model.experts, 64)
        optimizer.zero_grad()
        (soft(x) - y).square().mean().backward()
        optimizer.step()
        schedule.step()

    after = sent_right(model.router, tokens, domain)
    table = Table("router", "tokens sent to their expert", "error of the output", title="Switch router, 4 experts")
    table.add_row("as it starts", f"{before:.1%}", f"{hard.item():.4f}")
    error = (model(tokens) - wanted).square().mean().item()
    table.add_row("gate trained softly", f"{after:.1%}", f"{error:.4f}")
    console = Console()
    console.print(table)
    console.print("the original's loss has a gradient:", hard.requires_grad)
    console.print("softened:", [site.op for site in soft.report.sites if site.action == "soft"])

    assert not hard.requires_grad
    assert before < 0.7 and after > 0.95 and error < 0.2 * hard.item()


if __name__ == "__main__":
    main()
