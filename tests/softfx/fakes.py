"""A report made by hand, with one of everything, for the tests of what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from softfx.report import Report
from softfx.report.record import Break, Consumer, Site
from softfx.rules import RULES

ROUTER = "/venv/lib/python3.11/site-packages/pkg/router.py"
LAYER = "/venv/lib/python3.11/site-packages/pkg/layers/feed_forward.py"


def site(number: int, op: str, action: Any, file: str, line: int, source: str, **more: Any) -> Site:
    rule = RULES[op]
    return Site(number, rule.code, op, more.pop("module", ""), file, line, source, rule.family, action, **more)


def full_report() -> Report:
    """Five decisions, two files, two layers that are alike, a break and a starved parameter."""
    soft = {"mode": "smooth", "method": "lapsum", "softness": 0.05, "region": 0}
    by_policy = "policy.toml:14 [[rule]] 2"
    topk = "weights, index = torch.topk(router_logits, self.top_k, dim=-1)  # [tokens, k]"
    sites = [
        site(0, "topk", "soft", ROUTER, 107, topk, module="layers.0.router", decided_by=by_policy, **soft),
        site(1, "topk", "soft", ROUTER, 107, topk, module="layers.1.router", decided_by=by_policy, **soft),
        site(
            2,
            "gt",
            "straight_through",
            ROUTER,
            98,
            "mask = scores > self.threshold",
            module="layers.0.router",
            mode="smooth",
            softness=0.1,
            decided_by="preset gradients",
            consumers=[Consumer("where", ROUTER, 99, "soft"), Consumer("nonzero", ROUTER, 101, "hard")],
        ),
        site(3, "sqrt", "guard", LAYER, 20, "norm = x.pow(2).sum(-1).sqrt()", decided_by="preset gradients"),
        site(
            4,
            "relu",
            "keep",
            LAYER,
            21,
            "return F.relu(x)",
            module="layers.0.mlp",
            decided_by="preset gradients",
            reason="the policy keeps it",
        ),
        site(
            5,
            "argmax",
            "blocked",
            LAYER,
            7,
            "best = scores.argmax().item()",
            decided_by="preset gradients",
            reason="item reads the value into Python at pkg/layers/feed_forward.py:7",
        ),
    ]
    return Report(
        "package.module:build",
        "dynamo",
        "one graph cannot hold the call",
        2,
        [Break("data-dependent branch on a tensor", LAYER, 30)],
        "eager",
        12,
        sites,
        ["layers.0.router.weight", "layers.1.router.weight"],
    )


def empty_report() -> Report:
    return Report("torch.nn:Linear(2, 3)", "fx", "", 1, executor="graph")


def written_file(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)
