"""A site for a policy to look at, the decision of a policy for one, and the mistakes in a policy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from softfx.decisions.policy import Policy, Resolved
from softfx.errors import PolicyError
from softfx.rules import RULES


@dataclass
class Where:
    """A site as far as a policy looks at it."""

    op: str
    module: str = "layers.0.router"
    file: str = "/site-packages/pkg/router.py"
    line: int = 12

    @property
    def family(self) -> str:
        return RULES[self.op].family


def resolve(policy: Any, op: str, **place: Any) -> Resolved:
    """The decision of a policy for a site of this operation."""
    site = Where(op, **place)
    return Policy.load(policy).resolve(
        op=op, code=RULES[op].code, family=site.family, module=site.module, file=site.file, line=site.line
    )


def mistakes(policy: Any) -> list[str]:
    """The messages about a policy that cannot be loaded."""
    with pytest.raises(PolicyError) as caught:
        Policy.load(policy)
    return str(caught.value).splitlines()


def write(folder: Path, text: str) -> str:
    """The path of a policy file with this text."""
    path = folder / "policy.toml"
    path.write_text(text)
    return str(path)
