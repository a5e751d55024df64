"""Soft, differentiable drop-ins for torch's non-differentiable functions.

Every name here has torch's name and argument order, plus `softness` and `mode`. Each module lists its own
public names; this file only gathers them, and puts their errors into one form (boundary.py).
"""

from softtorch.activations import *  # noqa: F403
from softtorch.aggregation import *  # noqa: F403
from softtorch.attention import *  # noqa: F403
from softtorch.axiswise import *  # noqa: F403
from softtorch.boundary import guard as _guard
from softtorch.chance import *  # noqa: F403
from softtorch.comparison import *  # noqa: F403
from softtorch.elementwise import *  # noqa: F403
from softtorch.estimators import *  # noqa: F403
from softtorch.gates import *  # noqa: F403
from softtorch.implicit import *  # noqa: F403
from softtorch.indexing import *  # noqa: F403
from softtorch.layers import *  # noqa: F403
from softtorch.logic import *  # noqa: F403
from softtorch.normalize import *  # noqa: F403
from softtorch.operators_st import *  # noqa: F403
from softtorch.perturbed import *  # noqa: F403
from softtorch.pooling import *  # noqa: F403
from softtorch.random import *  # noqa: F403
from softtorch.rounding import *  # noqa: F403
from softtorch.safe import *  # noqa: F403
from softtorch.scatter import *  # noqa: F403
from softtorch.selection import *  # noqa: F403
from softtorch.shrinkage import *  # noqa: F403
from softtorch.straight_through import *  # noqa: F403
from softtorch.surrogates import *  # noqa: F403

# Last, so that what these modules call of each other is not wrapped.
_guard(globals())
del _guard
