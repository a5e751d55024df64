"""A vector quantizer whose straight-through gradient becomes the rotation trick, by one policy entry.

Requires: vector_quantize_pytorch, sklearn

The package copies the gradient of a code to the vector it stands for. That straight-through code is found and left
alone unless a policy names it; named, it passes the gradient through the rotation that takes the vector to its code.
The autoencoder is not touched, and uses its whole codebook.
"""

import argparse

import torch
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from torch import Tensor, nn
from vector_quantize_pytorch import VectorQuantize

import softfx

CODES, WIDTH, STEPS, BATCH = 64, 8, 400, 128
POLICY = {
    "preset": "keep",
    "rule": [{"op": "existing_straight_through", "action": "straight_through", "estimator": "rotation"}],
}


class Autoencoder(nn.Module):
    """Images (n, 64) through two codes each and back (n, 64); also the codes' numbers and the commitment loss."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 * WIDTH))
        self.quantizer = VectorQuantize(dim=WIDTH, codebook_size=CODES, rotation_trick=False, commitment_weight=0.25)
        self.decoder = nn.Sequential(nn.Linear(2 * WIDTH, 64), nn.ReLU(), nn.Linear(64, 64))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        quantized, codes, loss = self.quantizer(self.encoder(images).unflatten(-1, (2, WIDTH)))
        return self.decoder(quantized.flatten(-2)), codes, loss.sum()


def train(model: nn.Module, images: Tensor) -> None:
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(STEPS):
        x = images[torch.randint(len(images), (BATCH,))]
        y, _, loss = model(x)
        optimizer.zero_grad()
        ((y - x).square().mean() + loss).backward()
        optimizer.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    seed = parser.parse_args().seed
    images = torch.tensor((load_digits().data / 16).astype("float32"))
    table = Table("gradient", "codes in use", "error of the images", title="digits as two codes each")
    found = {}
    for name, policy in (("straight-through, as the package has it", "keep"), ("rotation, by policy", POLICY)):
        torch.manual_seed(seed)
        model = Autoencoder()
        soft = softfx.soften(model, policy, example_inputs=(images[:BATCH],))
        torch.manual_seed(seed)
        train(soft, images)
        with torch.no_grad():
            restored, codes, _ = softfx.harden(soft).eval()(images)
        found[name] = codes.unique().numel(), float((restored - images).square().mean())
        table.add_row(name, f"{found[name][0]} of {CODES}", f"{found[name][1]:.4f}")

    console = Console()
    console.print(table)
    site = next(site for site in soft.report.sites if site.action == "straight_through")
    console.print(f"changed: line {site.line} of the package: {site.source}")

    (kept_codes, kept_error), (codes, error) = found.values()
    assert codes > kept_codes and codes > 0.9 * CODES
    assert error < 0.95 * kept_error


if __name__ == "__main__":
    main()
