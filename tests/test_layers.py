"""The order of the rooms of both packages: a module imports from its own room or from rooms below, for every pair."""

from __future__ import annotations

import itertools
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import MODULES, imported_modules

# From low to high. A module belongs to the room with the longest name that its own begins with.
SOFTFX_ROOMS = (
    "softfx.visible",
    "softfx.vocabulary",
    "softfx.errors",
    "softfx.operators",
    "softfx.handbook",
    "softfx.torch_private",
    "softfx.ops",
    "softfx.runtime",
    "softfx.locations",
    "softfx.values",
    "softfx.rules",
    "softfx.decisions.policy.toml",
    "softfx.report",
    "softfx.decisions.policy",
    "softfx.decisions",
    "softfx.interpreter",
    "softfx.traces",
    "softfx.replay",
    "softfx.capture",
    "softfx.control",
    "softfx.report.build_control",
    "softfx.report.build_exchanges",
    "softfx.report.build",
    "softfx.pipeline",
    "softfx.code",
    "softfx.training",
    "softfx.api",
    "softfx.auditing",
    "softfx.patching",
    "softfx.plots",
    "softfx.report.terminal",
    "softfx.cli",
    "softfx.__main__",
)
SOFTTORCH_ROOMS = (
    "softtorch.version",
    "softtorch.neighbours",
    "softtorch.soft_types",
    "softtorch.errors",
    "softtorch.shared",
    "softtorch.torch_arguments",
    "softtorch.torch_private",
    "softtorch.kernels.numeric",
    "softtorch.kernels.pointwise",
    "softtorch.kernels.sorted_line",
    "softtorch.kernels.isotonic",
    "softtorch.kernels",
    "softtorch.modes",
    "softtorch.methods",
    "softtorch.checks",
    "softtorch.operators.axiswise",
    "softtorch.operators",
    "softtorch.operators.sampling",
    "softtorch.straight_through",
    "softtorch.layers",
    "softtorch.sharded",
    "softtorch.scope",
    "softtorch.boundary",
)
PAIRS = [pair for rooms in (SOFTFX_ROOMS, SOFTTORCH_ROOMS) for pair in itertools.combinations(rooms, 2)]
# Names that stay importable for users; nothing of softfx imports them but its face.
SHIMS = (
    "softfx.callbacks",
    "softfx.schedules",
    "softfx.functions",
    *(name for name in MODULES if name.startswith("softfx.formats")),
)
FACES = ("softfx", "softfx.public", "softfx.measured", "softtorch")


def room(name: str) -> str:
    """The room that a module belongs to."""
    fitting = [room for room in (*SOFTFX_ROOMS, *SOFTTORCH_ROOMS) if name == room or name.startswith(room + ".")]
    assert fitting, f"{name} is in no room: give it a place in SOFTFX_ROOMS or SOFTTORCH_ROOMS"
    return max(fitting, key=len)


INSIDE = [name for name in MODULES if name not in (*FACES, *SHIMS)]
IMPORTS = {
    (name, other)
    for name in INSIDE
    for other in imported_modules(name)
    if other.partition(".")[0] == name.partition(".")[0] and other not in (name, *FACES)
}


@pytest.mark.parametrize(("lower", "higher"), PAIRS)
def test_a_room_imports_nothing_from_a_room_above_it(lower: str, higher: str) -> None:
    wrong = sorted(pair for pair in IMPORTS if room(pair[0]) == lower and room(pair[1]) == higher)
    assert not wrong, f"{lower} is below {higher}, yet: {wrong}"


def test_every_room_is_used_and_every_module_is_in_one() -> None:
    assert {room(name) for name in INSIDE} == {*SOFTFX_ROOMS, *SOFTTORCH_ROOMS}


def test_only_the_face_imports_the_names_kept_for_users() -> None:
    assert not [pair for pair in IMPORTS if pair[1] in SHIMS]


@pytest.mark.parametrize("module", ["softfx.locations", "softfx.auditing.report"])
def test_a_module_may_be_the_first_that_is_imported(module: str) -> None:
    """The public names load on demand, which must not lead back to the module that is being imported."""
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, cwd=Path(__file__).parents[1])
