"""The modes by name. To add one: a file with a subclass of Mode, and a line in the table below."""

from softtorch.modes.base import Mode as Mode
from softtorch.modes.c0 import C0 as _C0
from softtorch.modes.c1 import C1 as _C1
from softtorch.modes.c2 import C2 as _C2
from softtorch.modes.hard import Hard as _Hard
from softtorch.modes.pnorm import C1PNorm as _C1PNorm
from softtorch.modes.pnorm import C2PNorm as _C2PNorm
from softtorch.modes.smooth import SMOOTH as SMOOTH
from softtorch.modes.straight_through import StraightThrough as StraightThrough
from softtorch.modes.tailed import Tailed as _Tailed

HARD = _Hard()
C0 = _C0()
C1 = _C1()
C2 = _C2()
TAILED = _Tailed()

MODES: dict[str, Mode] = {mode.name: mode for mode in (HARD, SMOOTH, C0, C1, C2, TAILED)}
"""Every mode by its name."""

C1_PNORM = _C1PNorm()
C2_PNORM = _C2PNorm()

PUBLISHED: dict[str, Mode] = {
    **{mode.name: mode for mode in (C1_PNORM, C2_PNORM)},
    "_c1_pnorm": C1_PNORM,
    "_c2_pnorm": C2_PNORM,
    "_hard": HARD,
}
"""Further names that calls of operators take: the steps of two entries' p-norm projections, and SoftTorch's spellings.
Policies have no use for them: c1 and c2 are as smooth, and made of polynomials."""
