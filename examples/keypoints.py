"""Keypoints: the largest entry of a heat map, its row and column by `//` and `%`, trained on where they should be.

The code that divides the index by the width stays as it was written: the soft index carries the numbers it stands for,
and arithmetic on it is arithmetic on those.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor, nn

import softfx

SIZE, STEPS, BATCH = 24, 320, 32
# Softness in units of the heat map's own scores, which the network sets the scale of.
POLICY = {"preset": "smooth", "default": {"standardize": False}}


class Keypoints(nn.Module):
    """Images (b, 1, h, w) to the place of the keypoint (b, 2), as row and column."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 8, 5, padding=2), nn.Tanh(), nn.Conv2d(8, 1, 1)
        )

    def forward(self, images: Tensor) -> Tensor:
        heat = self.features(images)
        width = heat.shape[-1]
        index = heat.flatten(1).argmax(dim=-1)
        return torch.stack([index // width, index % width], dim=-1).float()


def scenes(count: int) -> tuple[Tensor, Tensor]:
    """Noisy images with a wide blob, whose centre is the keypoint, and a brighter spot to be ignored."""
    grid = torch.stack(torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij"))  # (2, h, w)
    place, other = torch.randint(4, SIZE - 4, (2, count, 2))
    far, near = (((grid - p[:, :, None, None]) ** 2).sum(1).float().sqrt() for p in (place, other))  # (b, h, w)
    blob, spot = (-(far**2) / 8).exp(), 2.0 * (-(near**2)).exp()
    images = blob + spot + 0.1 * torch.randn_like(blob)
    return images.unsqueeze(1), place.float()


def error(model: nn.Module, images: Tensor, place: Tensor) -> float:
    """The mean distance to the keypoint, in pixels."""
    with torch.no_grad():
        return float((model(images) - place).norm(dim=-1).mean())


def draw(path: Path, images: Tensor, place: Tensor, before: Tensor, after: Tensor) -> None:
    """Four images with the keypoint and where it was found."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.2), layout="constrained")
    for axis, image, *marks in zip(figure.subplots(1, 4), images, place, before, after, strict=False):
        axis.imshow(image[0], cmap="gray")
        for (row, column), marker, color, name in zip(
            marks, "o++", ("white", "#e06c5a", "#4fc36b"), ("keypoint", "before", "after"), strict=True
        ):
            colors = {"facecolors": "none", "edgecolors": color} if marker == "o" else {"color": color}
            axis.scatter(column, row, s=170, marker=marker, linewidths=2, label=name, **colors)
        axis.set_axis_off()
    handles, labels = axis.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, facecolor="#777777", labelcolor="white")
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()), help="folder for the picture")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    test_images, test_place = scenes(500)
    model = Keypoints()
    before, first_guess = error(model, test_images, test_place), model(test_images[:4])
    hard_has_gradient = model(test_images[:2]).requires_grad

    images, place = scenes(BATCH)
    soft = softfx.soften(model, POLICY, example_inputs=(images,))
    schedule = softfx.ExponentialSoftness(soft, start=1.0, end=0.1, total_iters=STEPS)
    optimizer = torch.optim.Adam(soft.parameters(), lr=0.01)
    for _ in range(STEPS):
        images, place = scenes(BATCH)
        optimizer.zero_grad()
        (soft(images) - place).square().mean().backward()
        optimizer.step()
        schedule.step()
    after = error(model, test_images, test_place)

    console = Console()
    console.print("the original has a gradient:", hard_has_gradient)
    console.print(f"distance to the keypoint, by the original: {before:.2f} pixels -> {after:.2f} pixels")
    try:
        draw(arguments.out / "keypoints.png", test_images[:4], test_place[:4], first_guess, model(test_images[:4]))
        console.print(f"drawn in {arguments.out / 'keypoints.png'}")
    except ModuleNotFoundError:
        console.print("(with matplotlib there would be a picture)")

    assert not hard_has_gradient
    assert before > 1.5 and after < before / 3


if __name__ == "__main__":
    main()
