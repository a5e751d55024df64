"""A contact function of a physics engine, pulled to a target.

`manifold_points` picks four contact points of a body, each the vertex that is farthest in some direction. The contact
normal only decides which vertices those are: through four argmax it has no gradient. Softened by one call, without an
edit, the function tells how to turn the normal until the contact is the one wanted, and every vertex gets a gradient.
"""

import argparse

import torch
from rich.console import Console
from torch import Tensor

import softfx


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


# The masked distances of -1e6 must not set the scale that softness is measured in.
POLICY = {"preset": "smooth", "default": {"families": ["discrete"], "standardize": False}}
STEPS, CONTACTS = 200, 10


def unit(direction: Tensor) -> Tensor:
    return torch.nn.functional.normalize(direction, dim=0)


def scene() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A body of eight vertices and two masked ones, a normal, and the contact points of another normal."""
    poly, mask = torch.randn(10, 3), torch.arange(10) < 8
    target = manifold_points(poly, mask, unit(torch.randn(3)))
    while True:
        start = unit(torch.randn(3))
        if not torch.equal(manifold_points(poly, mask, start), target):
            return poly, mask, start, target


def pulled(
    soft: softfx.schedules.SoftnessSchedule, poly: Tensor, mask: Tensor, start: Tensor, target: Tensor
) -> Tensor:
    """The normal after gradient descent on the distance of the contact points to the target."""
    soft.restart()
    normal = start.clone().requires_grad_()
    optimizer = torch.optim.Adam([normal], lr=0.05)
    for _ in range(STEPS):
        optimizer.zero_grad()
        (soft.target(poly, mask, unit(normal)) - target).square().sum().backward()
        optimizer.step()
        soft.step()
    return unit(normal.detach())


def vertices_with_gradient(function: object, poly: Tensor, mask: Tensor, normal: Tensor) -> int:
    poly = poly.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(poly, mask, normal).square().sum(), poly)
    return int((gradient != 0).any(dim=-1).sum())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    torch.manual_seed(parser.parse_args().seed)
    console = Console()

    scenes = [scene() for _ in range(CONTACTS)]
    poly, mask, normal, target = scenes[0]
    hard = manifold_points(poly.requires_grad_(), mask, normal.requires_grad_())
    through_normal = torch.autograd.grad(hard.sum(), normal, allow_unused=True)[0]
    poly, normal = poly.detach(), normal.detach()
    soft = softfx.soften(manifold_points, POLICY, example_inputs=(poly, mask, normal))
    counts = [vertices_with_gradient(function, poly, mask, normal) for function in (manifold_points, soft)]
    console.print("gradient of the contact through the normal, original:", through_normal)
    console.print(f"vertices with a gradient: original {counts[0]}, softened {counts[1]}, of 8 that are there")

    schedule = softfx.ExponentialSoftness(soft, start=4.0, end=0.02, total_iters=170)
    reached = 0
    for poly, mask, start, target in scenes:
        learned = pulled(schedule, poly.detach(), mask, start.detach(), target.detach())
        before, after = ((manifold_points(poly, mask, n) - target).norm().item() for n in (start, learned))
        reached += after == 0.0
        console.print(f"contact points off by {before:.3f} -> {after:.3f}")
    console.print(f"[bold]{reached} of {CONTACTS} contacts are exactly the target, by the original function[/]")

    assert through_normal is None  # nothing to follow: the original stays where it is
    assert counts[0] <= 4 and counts[1] == 8
    assert reached >= 0.4 * CONTACTS  # of none where the normal cannot move; the rest end in another minimum


if __name__ == "__main__":
    main()
