"""Numerical kernels: tensors in, tensors out, no option strings, no names of operators.

Each file holds one algorithm, batched over every leading axis and free of Python loops over rows. What an option means
is decided above, in modes/ and methods/.
"""
