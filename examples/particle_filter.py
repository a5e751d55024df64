"""A particle filter that learns how far to trust its sensor, through its resampling.

The filter draws its particles anew by `searchsorted` in the cumulative weights. How wide the sensor's noise is assumed
to be decides the weights only, and these decide indices only: the assumption has no gradient. Softened, without an
edit, the filter tells what to assume from how well it tracks.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from rich.console import Console
from torch import Tensor

import softfx

PARTICLES, LENGTH, TRACKS, STEPS = 64, 15, 24, 50
DRIFT, NOISE = 0.3, 1.0  # of the true motion, of the true sensor


def track(readings: Tensor, log_width: Tensor, motion: Tensor, offsets: Tensor) -> Tensor:
    """The filtered positions of one track.

    Args:
        readings: of the sensor. Shape (t,).
        log_width: how wide its noise is assumed to be, as a logarithm. Shape ().
        motion: standard normal numbers that move the particles. Shape (t, n).
        offsets: where the systematic resampling starts, within 0 and 1. Shape (t,).
    """
    count = motion.shape[-1]
    particles, found = torch.zeros(count), []
    for reading, moves, offset in zip(readings, motion, offsets, strict=True):
        particles = particles + DRIFT * moves
        weights = torch.softmax(-(((particles - reading) / log_width.exp()) ** 2) / 2, dim=0)
        wanted = (torch.arange(count) + offset) / count
        index = torch.searchsorted(weights.cumsum(0), wanted).clamp(max=count - 1)
        particles = particles[index]
        found.append(particles.mean())
    return torch.stack(found)


def scenes(count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """True positions and readings (b, t), and the filter's random numbers."""
    truth = (DRIFT * torch.randn(count, LENGTH)).cumsum(-1)
    readings = truth + NOISE * torch.randn_like(truth)
    return truth, readings, torch.randn(count, LENGTH, PARTICLES), torch.rand(count, LENGTH)


def error(function: object, log_width: Tensor, scene: tuple[Tensor, ...]) -> Tensor:
    """The mean squared error of all tracks."""
    truth, readings, motion, offsets = scene
    found = torch.func.vmap(function, in_dims=(0, None, 0, 0))(readings, log_width, motion, offsets)
    return (found - truth).square().mean()


def draw(path: Path, scene: tuple[Tensor, ...], widths: dict[str, Tensor]) -> None:
    """One track: the truth, the readings, and the filter with each width."""
    from matplotlib.figure import Figure

    truth, readings, motion, offsets = (part[0] for part in scene)
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axis = figure.subplots()
    axis.plot(truth, color="#30343b", linewidth=2, label="truth")
    axis.plot(readings, "x", color="#8a909a", label="sensor")
    for (name, width), color in zip(widths.items(), ("#e06c5a", "#2a9d60"), strict=True):
        found = track(readings, width, motion, offsets)
        axis.plot(found, color=color, label=f"filter {name} (width {width.exp():.2f})")
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_xlabel("time")
    axis.set_ylabel("position")
    axis.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path(tempfile.gettempdir()), help="folder for the picture")
    arguments = parser.parse_args()
    torch.manual_seed(arguments.seed)
    test, start = scenes(300), torch.tensor(0.1).log()
    log_width = start.clone().requires_grad_()
    hard_has_gradient = error(track, log_width, scenes(4)).requires_grad

    _, readings, motion, offsets = (part[0] for part in test)
    soft = softfx.soften(track, "gradients", example_inputs=(readings, log_width, motion, offsets))
    optimizer = torch.optim.Adam([log_width], lr=0.15)
    for _ in range(STEPS):
        optimizer.zero_grad()
        error(soft, log_width, scenes(TRACKS)).backward()
        optimizer.step()

    learned = log_width.detach()
    before, after = (float(error(track, width, test)) for width in (start, learned))
    console = Console()
    console.print("the original has a gradient:", hard_has_gradient)
    console.print(f"assumed width of the noise: {start.exp():.2f} -> {learned.exp():.2f}; it is {NOISE:.2f}")
    console.print(f"squared error on new tracks, by the original filter: {before:.3f} -> {after:.3f}")
    try:
        draw(arguments.out / "particle_filter.png", test, {"before": start, "after": learned})
        console.print(f"drawn in {arguments.out / 'particle_filter.png'}")
    except ModuleNotFoundError:
        console.print("(with matplotlib there would be a picture)")

    assert not hard_has_gradient
    assert 0.6 < learned.exp() < 1.6 and after < 0.75 * before


if __name__ == "__main__":
    main()
