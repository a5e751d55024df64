"""Soft, differentiable drop-ins for torch's non-differentiable functions.

Every name here has torch's name and argument order, plus `softness` and `mode`. Each module lists its own public names;
this file only gathers them, and puts their errors into one form (boundary.py).
"""

from pathlib import Path as _Path
from types import ModuleType as _ModuleType

from softtorch.boundary import guard as _guard
from softtorch.layers import *  # noqa: F403
from softtorch.neighbours import notice as _notice
from softtorch.operators.activations import *  # noqa: F403
from softtorch.operators.aggregation import *  # noqa: F403
from softtorch.operators.attention import *  # noqa: F403
from softtorch.operators.axiswise import *  # noqa: F403
from softtorch.operators.comparison import *  # noqa: F403
from softtorch.operators.elementwise import *  # noqa: F403
from softtorch.operators.gates import *  # noqa: F403
from softtorch.operators.implicit import *  # noqa: F403
from softtorch.operators.indexing import *  # noqa: F403
from softtorch.operators.logic import *  # noqa: F403
from softtorch.operators.normalize import *  # noqa: F403
from softtorch.operators.perturbed import *  # noqa: F403
from softtorch.operators.pooling import *  # noqa: F403
from softtorch.operators.rounding import *  # noqa: F403
from softtorch.operators.safe import *  # noqa: F403
from softtorch.operators.sampling.binary import *  # noqa: F403
from softtorch.operators.sampling.categories import *  # noqa: F403
from softtorch.operators.scatter import *  # noqa: F403
from softtorch.operators.selection import *  # noqa: F403
from softtorch.operators.shrinkage import *  # noqa: F403
from softtorch.operators.torch_names import *  # noqa: F403
from softtorch.scope import Supported as Supported
from softtorch.scope import options as options
from softtorch.scope import supported as supported
from softtorch.soft_types import SoftBool as SoftBool
from softtorch.soft_types import SoftIndex as SoftIndex
from softtorch.straight_through.estimators import *  # noqa: F403
from softtorch.straight_through.joining import *  # noqa: F403
from softtorch.straight_through.operators_st import *  # noqa: F403
from softtorch.straight_through.reinmax_and_rotation import *  # noqa: F403
from softtorch.version import installed_version as _installed_version

__version__ = _installed_version() or "unknown"
__distribution__ = "softfx"
_notice(_Path(__file__).parent)
del _installed_version, _notice, _Path

# Last, so that what these modules call of each other is not wrapped.
_guard(globals())
del _guard


def __dir__() -> list[str]:
    """The operators and the other public names, without the modules that they come from."""
    modules = {name for name, value in globals().items() if isinstance(value, _ModuleType)} - {"methods", "modes"}
    public = {name for name in globals() if not name.startswith("_") or name.endswith("__")}
    return sorted(public - modules)
