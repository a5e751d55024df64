"""The names of soft values in annotations, as SoftTorch publishes them. Both are plain tensors.

A SoftBool (...) holds probabilities in [0, 1]. A SoftIndex (..., [n]) holds distributions over n entries, in its last
axis.
"""

from typing import TypeAlias

from torch import Tensor

__all__ = ["SoftBool", "SoftIndex"]

SoftBool: TypeAlias = Tensor
SoftIndex: TypeAlias = Tensor
