"""The other distribution whose import name is `softtorch`: noticed where both are installed in one environment.

pip writes the files of one over those of the other without a word, so that a package is left that is half each.
`__init__` calls `notice`, and says by `__distribution__` whose it is, which softfx checks before it imports operators.
"""

from __future__ import annotations

import warnings
from pathlib import Path

__all__ = ["notice"]


def notice(package: Path) -> None:
    """Warn in one line if the other distribution is installed beside this package.

    package: the folder of this package; the record of what pip installed there stands beside it.
    """
    if any(package.parent.glob("softtorch-*.dist-info")):
        warnings.warn(
            "two distributions with the import name softtorch are installed here, softfx and softtorch, and pip has "
            "mixed their files. Keep one: `pip uninstall -y softtorch softfx`, then install the one that you want.",
            stacklevel=3,
        )
