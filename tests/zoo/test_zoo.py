"""Third-party models through the public interface: every contract of run_zoo.py holds on every entry.

The quick part is the models that the `zoo` group installs. After tests/zoo/install.sh, `pytest -m core_zoo` adds those
of zoo.py's CORE, and `pytest -m full_zoo` all the rest.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import torch
from _pytest.mark import ParameterSet

HERE = Path(__file__).parent
QUICK = (
    "vq_euclid",
    "hf_mixtral_moe",
    "hf_switch_transformer_router",
    "tm_multiclass_f1",
    "kornia_rgb_hsv_roundtrip",
    "hb_decision_tree_gemm",
)
# Warnings of third-party packages are theirs.
pytestmark = [pytest.mark.zoo, pytest.mark.filterwarnings("ignore")]


def load(name: str, path: Path | None = None) -> ModuleType:
    """One of the zoo's scripts as a module, or the file at `path`."""
    spec = importlib.util.spec_from_file_location(f"softfx_{name}", path or HERE / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def zoo() -> ModuleType:
    return load("zoo")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """torch in one thread, as run_zoo.py has it: in two, the gradients of an original's convolutions differ between
    two runs by the order of their sums, and no softened model can equal both of them bit for bit.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def hold(zoo: ModuleType, name: str) -> None:
    """Every column of run_zoo.py says ok."""
    if not zoo.installed(zoo.ZOO[name].package):
        pytest.skip(f"{zoo.ZOO[name].package} is not installed: pip install -e .[zoo], or tests/zoo/install.sh")
    script = load("run_zoo")
    expected = json.loads((HERE / "expected.json").read_text())
    torch._dynamo.reset()
    row = script.check(zoo, name, expected)
    assert {column: row[column] for column in script.COLUMNS if not row[column].startswith("ok")} == {}


@pytest.mark.parametrize("name", QUICK)
def test_every_contract_holds_on_a_third_party_model(zoo: ModuleType, name: str) -> None:
    hold(zoo, name)


def _rest() -> list[ParameterSet]:
    """The entries that are not quick; those of zoo.py's CORE are marked core_zoo besides."""
    core = (HERE / "zoo.py").read_text().split('CORE = """')[1].split('"""')[0].split()
    names = sorted(json.loads((HERE / "expected.json").read_text()).keys() - set(QUICK))
    return [pytest.param(name, marks=[pytest.mark.core_zoo] if name in core else []) for name in names]


@pytest.mark.full_zoo
@pytest.mark.parametrize("name", _rest())
def test_every_contract_holds_on_the_whole_zoo(zoo: ModuleType, name: str) -> None:
    hold(zoo, name)
