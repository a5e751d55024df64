"""The relaxation methods by name. To add one: a file with a subclass of Method, and a line in the table below."""

from softtorch.methods.base import Method as Method
from softtorch.methods.fast_soft_sort import FastSoftSort as FastSoftSort
from softtorch.methods.hard import Hard
from softtorch.methods.keys import Keys as Keys
from softtorch.methods.lapsum import LapSum as LapSum
from softtorch.methods.neuralsort import NeuralSort as NeuralSort
from softtorch.methods.ot import OptimalTransport as OptimalTransport
from softtorch.methods.smooth_sort import SmoothSort as SmoothSort
from softtorch.methods.softsort import SoftSort as SoftSort
from softtorch.methods.sorting_network import SortingNetwork as SortingNetwork
from softtorch.methods.sparse_topk import SparseTopK as SparseTopK

HARD = Hard()
"""The method of mode="hard", whatever method is named; not a choice of its own."""

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        SoftSort(),
        NeuralSort(),
        OptimalTransport(),
        SortingNetwork(),
        FastSoftSort(),
        SmoothSort(),
        LapSum(),
        SparseTopK(),
    )
}
"""Every method by its name, with its default options."""
