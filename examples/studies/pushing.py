"""A box pushed to a target by a disk that misses it.

The program is a collision of convex bodies by separating axes, as a physics engine has it: the face that is farthest
from the disk is an argmax, contact is a comparison, and the box is moved out along the face's normal. A straight stroke
of the disk, from a start to an end, is learned so that the box comes to rest at a target. Where the disk meets the box
the depth of the contact has a gradient, through the face that was chosen; where it misses there is none at all. Every
stroke here starts as a miss.

**By hand.** Softening means another engine: a soft maximum over faces, weights of normals, and a smooth contact force
in place of the comparison, with a stiffness to choose (4 of the 6 lines of the contact). With softfx 0 lines change.

**What did not work.** Straight-through at a small softness feels the box only from close by: the derivative is exact
nothing a few softnesses away, and a miss stays a miss. With a large one the push is felt from afar, but the program's
own box does not move until it is hit, so the first steps follow a promise. The smooth values give the box a push from
afar, so the stroke stops a little short of where the hard box should come to rest. Annealing them brings the box nearer
on some seeds, and on others lets go of it before the stroke has reached it: the mean of that row is no better.

Source: Suh et al. 2022, Do Differentiable Simulators Give Better Policy Gradients? (arXiv 2202.00817).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from study import COLORS, Study, spread, tidy
from torch import Tensor

import softfx

NORMALS = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]])
HALF, RADIUS = 0.3, 0.15
MOMENTS = 8


def push(stroke: Tensor, normals: Tensor) -> Tensor:
    """The path of a box at the origin under the disk's stroke: start and end (2, 2), faces (4, 2) -> (t, 2)."""
    box, path = torch.zeros(2), []
    for moment in range(MOMENTS):
        disk = stroke[0] + (stroke[1] - stroke[0]) * (moment / (MOMENTS - 1))
        gaps = normals @ (disk - box) - HALF - RADIUS  # from each face, (4,)
        face = gaps.argmax()
        depth = -gaps[face]
        touching = depth > 0
        box = box - torch.where(touching, depth, 0.0) * normals[face]
        path.append(box)
    return torch.stack(path)


ROWS: dict[str, tuple[dict[str, Any] | None, float, float]] = {  # policy, softness first and last
    "the program's own gradient": (None, 0.0, 0.0),
    "straight-through, 0.02": ({"preset": "gradients", "default": {"standardize": False}}, 0.02, 0.02),
    "straight-through, 0.3 to 0.02": ({"preset": "gradients", "default": {"standardize": False}}, 0.3, 0.02),
    "smooth values, 0.3": (
        {"preset": "smooth", "default": {"families": ["discrete"], "standardize": False}}, 0.3, 0.3,
    ),
    "smooth values, 0.3 to 0.02": (
        {"preset": "smooth", "default": {"families": ["discrete"], "standardize": False}}, 0.3, 0.02,
    ),
}  # fmt: skip
BEST = "smooth values, 0.3"


@dataclass(frozen=True)
class Size:
    steps: int
    seeds: int


def scene() -> tuple[Tensor, Tensor]:
    """A stroke that misses the box by up to 0.2, and a target for the box."""
    side = 2 * HALF * torch.rand(()) - HALF
    start, end = torch.stack([torch.tensor(-1.2), side * 0]), torch.stack([torch.tensor(0.3), side * 0])
    miss = torch.tensor([0.0, HALF + RADIUS + 0.05 + 0.15 * float(torch.rand(()))])
    target = torch.tensor([0.4 + 0.4 * float(torch.rand(())), -0.2 + 0.4 * float(torch.rand(()))])
    return torch.stack([start + miss, end + miss]), target


def learned(name: str, stroke: Tensor, target: Tensor, steps: int) -> Tensor:
    """The stroke after descent on the squared distance of the box to the target."""
    policy, first, last = ROWS[name]
    function: Callable[[Tensor, Tensor], Tensor] = push
    if policy is not None:
        function = softfx.soften(push, policy, example_inputs=(stroke.clone().requires_grad_(), NORMALS))
    stroke = stroke.clone().requires_grad_()
    optimizer = torch.optim.Adam([stroke], lr=0.05)
    for step in range(steps):
        if policy is not None:
            softfx.set_softness(function, first * (last / first) ** (step / (steps - 1)))
        optimizer.zero_grad()
        (function(stroke, NORMALS)[-1] - target).square().sum().backward()
        optimizer.step()
    return stroke.detach()


def main() -> None:
    study = Study(__file__, __doc__, quick=Size(40, 2), default=Size(60, 5), full=Size(1000, 50))
    size = study.size
    off: dict[str, list[float]] = {name: [] for name in ("as it starts", *ROWS)}
    shown = {}
    for seed in study.seeds(size.seeds):
        stroke, target = scene()
        for name in off:
            found = stroke if name not in ROWS else learned(name, stroke, target, size.steps)
            off[name].append(float((push(found, NORMALS)[-1] - target).norm()))
            if seed == study.seed:
                shown[name] = found, target
    rows = [[name, spread(values), sum(value < 0.1 for value in values)] for name, values in off.items()]
    study.table(
        "The hard program's box after training",
        ["gradient", "distance to the target", f"within 0.1, of {size.seeds}"],
        rows,
        f"{size.steps} steps of Adam, {size.seeds} seeds; the box has sides of {2 * HALF}, the disk a radius of "
        f"{RADIUS}. All distances are those of the program as it was written.",
    )

    # The derivative of the box's last place by how high the stroke runs, over that height.
    heights = torch.linspace(-1.0, 1.0, 41)
    curves: dict[str, list[float]] = {}
    for name in ("the program's own gradient", "straight-through, 0.02", "straight-through, 0.3 to 0.02", BEST):
        policy, softness, _ = ROWS[name]
        function = push
        if policy is not None:
            function = softfx.soften(push, policy, example_inputs=(torch.zeros(2, 2).requires_grad_(), NORMALS))
            softfx.set_softness(function, softness)
        line = []
        for height in heights:
            stroke = torch.stack([torch.tensor([-1.2, 0.0]), torch.tensor([0.3, 0.0])]) + torch.stack(
                [height * 0, height]
            )
            stroke.requires_grad_()
            (slope,) = torch.autograd.grad(function(stroke, NORMALS)[-1, 0], stroke)
            line.append(float(slope[:, 1].sum()))
        curves[name if policy is None else name.split(" to ")[0]] = line

    def picture(figure: Any) -> None:
        axes = figure.subplots(1, 3)
        for axis, name in zip(axes, ("as it starts", BEST), strict=False):
            stroke, target = shown[name]
            path = push(stroke, NORMALS)
            for place, color in ((torch.zeros(2), COLORS[-1]), (path[-1], COLORS[1])):
                corners = place + HALF * torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1], [-1, -1]])
                axis.plot(*corners.T, color=color)
            axis.plot(*stroke.T, color=COLORS[3], linewidth=2)
            axis.scatter(*target, color=COLORS[2], marker="x", zorder=3)
            axis.set_aspect("equal")
            tidy(axis, name)
        for (name, line), color in zip(curves.items(), COLORS, strict=False):
            axes[2].plot(heights, line, color=color, label=name)
        axes[2].legend(fontsize=6, frameon=False)
        tidy(axes[2], "derivative of the box's place", "height of the stroke", "by that height")

    study.draw(picture, width=12)
    mean = {name: sum(values) / size.seeds for name, values in off.items()}
    own = "the program's own gradient"
    study.claim("by the program's own gradient the box stays where it is", mean[own] == mean["as it starts"])
    nearest = min(mean[BEST], mean["smooth values, 0.3 to 0.02"])
    study.claim(
        "with smooth values, at one softness or annealed, it comes within half of its distance", 2 * nearest < mean[own]
    )
    study.finish()


if __name__ == "__main__":
    main()
