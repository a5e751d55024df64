"""Traces: a function of tensors that is called again and again runs as the calls of aten that it makes.

`log` sees those calls as they are dispatched, forward and backward, and the questions that softtorch asks about
numbers; `lines` writes them as straight-line code; `logged` is one call of a function with its backward pass, and
`forms` what its values have to be like; `traced` calls the code as one node of autograd's graph, and the function
itself where the code does not hold.
"""
