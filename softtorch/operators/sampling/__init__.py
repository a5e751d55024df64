"""Random draws with derivatives: yes or no in binary.py, one or several of n in categories.py.

`gumbel_like` and `logistic_like` are the noise they add, for whoever makes draws of their own.
"""

from softtorch.kernels.numeric.noise import gumbel_like, logistic_like

__all__ = ["gumbel_like", "logistic_like"]
