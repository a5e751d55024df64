"""The relaxation methods by name. To add one: a file with a subclass of Method, and a line in the table
below.
"""

from softtorch.methods.base import Method as Method
from softtorch.methods.hard import Hard
from softtorch.methods.keys import Keys as Keys
from softtorch.methods.neuralsort import NeuralSort as NeuralSort
from softtorch.methods.softsort import SoftSort as SoftSort

HARD = Hard()
"""What mode="hard" uses, whatever method is named; not a choice of its own."""

METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        SoftSort(),
        NeuralSort(),
    )
}
"""Every method by its name, with its default options."""
