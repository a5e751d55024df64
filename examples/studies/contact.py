"""The contact function of a physics engine, pulled to a target.

`manifold_points` picks four contact points of a body, each the vertex that is farthest in some direction, as MuJoCo XLA
does. The contact's normal only decides which vertices those are: through four `argmax` it has no gradient, and vertices
that were not picked have none either. Softened by a policy the function tells how to turn the normal until the contact
is the one wanted. The picture has the field: the distance of the contact points to the target over all normals, in the
hard program a mosaic, and which way the gradient of the softened one pulls.

**By hand.** Each of the 4 `argmax` becomes a soft argmax, and each of the 4 look-ups a product with the vertices: 8
lines of 10, and a softness in each. With softfx 0 lines change.

**What did not work.** A softness that stays large blends vertices, and the normal where the blends agree is not always
one where the picks do; a small one has a gradient only near a border of the mosaic. A pull that starts soft and ends
hard mends most of it, and now and then ends in a place of the mosaic that is nearer to the target than all around it.
The fill of -1e6 for vertices that are not there must not set the scale of the softness, so nothing is standardized.

Source: the collision driver of MuJoCo XLA; Paulus et al. 2026, SoftJAX and SoftTorch.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from study import Stopwatch, Study, annealed, spread, tidy
from torch import Tensor

import softfx

Contact = Callable[[Tensor, Tensor, Tensor], Tensor]
THERE, MASKED = 8, 2


def manifold_points(poly: Tensor, poly_mask: Tensor, poly_norm: Tensor) -> Tensor:
    """Four points of a polygon: (m, 3), (m,) bool, (3,) -> (4, 3)."""
    dist_mask = torch.where(poly_mask, 0.0, -1e6)
    a = poly[torch.argmax(dist_mask - 0.1 * torch.arange(poly.shape[0]))]
    b = poly[torch.argmax(((a - poly) ** 2).sum(dim=1) + dist_mask)]
    ab = torch.cross(poly_norm, a - b, dim=0)
    ap = a - poly
    c = poly[torch.argmax(torch.abs(ap @ ab) + dist_mask)]
    ac = torch.cross(poly_norm, a - c, dim=0)
    bc = torch.cross(poly_norm, b - c, dim=0)
    d = poly[torch.argmax(torch.abs((b - poly) @ bc) + torch.abs(ap @ ac) + dist_mask)]
    return torch.stack([a, b, c, d])


def policy(preset: str) -> dict[str, Any]:
    return {"preset": preset, "default": {"families": ["discrete"], "softness": 0.1, "standardize": False}}


OWN, STRAIGHT, SMOOTH, FIXED = (
    "the program's own gradient",
    "straight-through, 4 to 0.02",
    "smooth values, 4 to 0.02",
    "smooth values, 0.5",
)
ROWS: dict[str, tuple[dict[str, Any] | None, float, float]] = {  # policy, softness first and last
    OWN: (None, 1.0, 1.0),
    STRAIGHT: (policy("straight-through"), 4.0, 0.02),
    FIXED: (policy("smooth"), 0.5, 0.5),
    SMOOTH: (policy("smooth"), 4.0, 0.02),
}


@dataclass(frozen=True)
class Size:
    steps: int
    scenes: int
    seeds: int


@dataclass(frozen=True)
class Scene:
    """A body with its vertices and some that are masked, a normal, and the contact points of another normal."""

    poly: Tensor
    mask: Tensor
    start: Tensor
    target: Tensor

    @staticmethod
    def drawn() -> "Scene":
        poly, mask = torch.randn(THERE + MASKED, 3), torch.arange(THERE + MASKED) < THERE
        target = manifold_points(poly, mask, unit(torch.randn(3)))
        while torch.equal(manifold_points(poly, mask, start := unit(torch.randn(3))), target):
            pass
        return Scene(poly, mask, start, target)

    def off(self, function: Contact, normal: Tensor) -> Tensor:
        """The squared distance of the contact points to the target."""
        return (function(self.poly, self.mask, unit(normal)) - self.target).square().sum()

    def pulled(self, name: str, function: Contact, steps: int, watch: Stopwatch) -> Tensor:
        """The normal after descent on that distance."""
        policy, first, last = ROWS[name]
        normal = self.start.clone().requires_grad_()
        optimizer = torch.optim.Adam([normal], lr=0.05)
        for step in range(steps):
            if policy is not None:
                softfx.set_softness(function, annealed(first, last, step, steps))
            with watch.timed():
                off = self.off(function, normal)
                if not off.requires_grad:  # nothing to follow: the normal stays where it is
                    return normal.detach()
                optimizer.zero_grad()
                off.backward()
                optimizer.step()
        return normal.detach()

    def felt(self, function: Contact) -> int:
        """How many vertices have a gradient."""
        poly = self.poly.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(function(poly, self.mask, self.start).square().sum(), poly)
        return int((gradient != 0).any(dim=-1).sum())


def unit(direction: Tensor) -> Tensor:
    return torch.nn.functional.normalize(direction, dim=0)


def made(name: str, scene: Scene) -> Contact:
    policy, softness, _ = ROWS[name]
    if policy is None:
        return manifold_points
    example = scene.poly, scene.mask, scene.start.clone().requires_grad_()
    function: Contact = softfx.soften(manifold_points, policy, example_inputs=example)
    softfx.set_softness(function, softness)
    return function


def of_angles(angles: Tensor) -> Tensor:
    """The normal with this height and direction: (2,) -> (3,)."""
    height, around = angles[0], angles[1]
    flat = (1.0 - height**2).clamp(min=1e-6).sqrt()
    return torch.stack([flat * around.cos(), flat * around.sin(), height])


def field(figure: Any, scene: Scene) -> None:
    """The distance to the target over all normals, hard and softened, and which way its gradient pulls."""
    heights, around = torch.linspace(-0.95, 0.95, 24), torch.linspace(-math.pi, math.pi, 36)
    soft = made(FIXED, scene)
    for axis, (title, function) in zip(
        figure.subplots(1, 2), {"the hard program": manifold_points, f"softened, {FIXED}": soft}.items(), strict=True
    ):
        values, pulls = torch.zeros(len(heights), len(around)), torch.zeros(len(heights), len(around), 2)
        for row, height in enumerate(heights):
            for column, angle in enumerate(around):
                angles = torch.stack([height, angle]).requires_grad_()
                off = scene.off(function, of_angles(angles))
                values[row, column] = off.detach().sqrt()
                if off.requires_grad:
                    pulls[row, column] = -torch.autograd.grad(off, angles)[0]
        colors = axis.pcolormesh(around, heights, values, cmap="viridis", shading="nearest")
        if bool(pulls.any()):
            arrows = (pulls / pulls.norm(dim=-1, keepdim=True).clamp(min=1e-9).sqrt())[::2, ::2]
            axis.quiver(around[::2], heights[::2], arrows[..., 1], arrows[..., 0], color="white", width=0.003)
        tidy(axis, title, "the normal's direction, radians", "its height, of 1")
        figure.colorbar(colors, ax=axis).set_label("distance to the target", fontsize=8)


def main() -> None:
    study = Study(__file__, __doc__, quick=Size(120, 3, 1), default=Size(120, 4, 5), full=Size(2000, 100, 5))
    size = study.size
    off: dict[str, list[float]] = {name: [] for name in ("as it starts", *ROWS)}
    exact: dict[str, list[float]] = {name: [] for name in off}
    felt: dict[str, list[float]] = {name: [] for name in ROWS}
    watches = {name: Stopwatch() for name in ROWS}
    for seed in study.seeds(size.seeds):
        scenes = [Scene.drawn() for _ in range(size.scenes)]
        if seed == study.seed:
            shown = scenes[0]
        functions = {name: made(name, scenes[0]) for name in ROWS}
        for name in off:
            ends = [scene.start for scene in scenes]
            if name in ROWS:
                felt[name].append(sum(scene.felt(functions[name]) for scene in scenes) / size.scenes)
                ends = [scene.pulled(name, functions[name], size.steps, watches[name]) for scene in scenes]
            left = [float(scene.off(manifold_points, end).sqrt()) for scene, end in zip(scenes, ends, strict=True)]
            off[name].append(sum(left) / size.scenes)
            exact[name].append(100 * sum(value == 0.0 for value in left) / size.scenes)
    rows = []
    for name, values in off.items():
        vertices, time = (spread(felt[name], 1), watches[name].each()) if name in ROWS else ("-", "-")
        rows.append([name, vertices, spread(values), spread(exact[name], 0, " %"), time])
    study.table(
        "The hard program's contact points after the pull",
        [
            "gradient",
            f"vertices with a gradient, of {THERE}",
            "distance to the target",
            "exactly the target",
            "ms a step",
        ],
        rows,
        f"{size.steps} steps of Adam, {size.seeds} seeds of {size.scenes} scenes each; milliseconds of processor time.",
    )
    study.draw(lambda figure: field(figure, shown), width=10)
    study.claim("the normal has no gradient in the hard program", off[OWN] == off["as it starts"])
    study.claim(
        "softened, every vertex has a gradient where the hard program has one for those that it picked",
        min(felt[SMOOTH]) == THERE and max(felt[OWN]) <= 4,
    )
    reached = sum(exact[SMOOTH]) / size.seeds
    study.claim("softened, more than half of the contacts end at the very target, where none did", reached > 50)
    study.finish()


if __name__ == "__main__":
    main()
