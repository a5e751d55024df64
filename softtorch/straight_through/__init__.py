"""Straight-through: the value of a hard function with the derivative of a soft one.

`joining` has the functions that join the two, `estimators` the derivatives that can be named, `reinmax_and_rotation`
two of them as functions of their own, and `operators_st` the straight-through form of every operator. The names below
are for whoever builds on softtorch.
"""

from softtorch.kernels.numeric.finite import with_finite_gradient, with_finite_value
from softtorch.kernels.numeric.host import finite
from softtorch.kernels.numeric.weighted import plain_dot, plain_mix
from softtorch.kernels.surrogate_gradients import second_order
from softtorch.straight_through.estimators import ESTIMATORS, Estimator
from softtorch.straight_through.joining import grad_replace, st, straight_through

__all__ = [
    "ESTIMATORS",
    "Estimator",
    "finite",
    "grad_replace",
    "plain_dot",
    "plain_mix",
    "second_order",
    "st",
    "straight_through",
    "with_finite_gradient",
    "with_finite_value",
]
