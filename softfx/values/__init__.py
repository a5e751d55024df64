"""Values of a program: the kinds of soft value, the facts of a tensor, and the environment of a run."""

from softfx.values.domains import Emit, SelectedRows, Soft, SoftBool, SoftCount, SoftIndex, SoftReal, SoftSum, Term
from softfx.values.environment import Environment, TensorTable
from softfx.values.facts import FactStore, HardHandle, ValueFacts

__all__ = [
    "Emit",
    "Environment",
    "FactStore",
    "HardHandle",
    "SelectedRows",
    "Soft",
    "SoftBool",
    "SoftCount",
    "SoftIndex",
    "SoftReal",
    "SoftSum",
    "TensorTable",
    "Term",
    "ValueFacts",
]
