"""Derivatives of solutions: a solver's result differentiated through the condition that it meets, not its iterations.

The solver may be anything: loops, branches, another package. Nothing of it is recorded.
"""

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from softtorch.errors import OptionError, ShapeError, message

__all__ = ["implicit_root"]


def implicit_root(condition: Callable[..., Tensor], order: int = 1) -> Callable[[Callable[..., Tensor]], Any]:
    """Decorates a solver of `condition(x, *args) = 0`: its value, and the derivative of the implicit function.

    One Newton step at the solution changes no value that is exact, and has the right derivative in args; each further
    step carries one derivative more. For a minimizer the condition is that the gradient of its objective is 0, for a
    fixed point x = g(x) that g(x) - x is.

    Args:
        condition: takes the solution, (...), and the solver's arguments; returns as many numbers as the solution has.
            Differentiable in both; its Jacobian in x is invertible at the solution.
        order: how many derivatives are right.

    Returns:
        A decorator for functions of tensors that return one floating tensor, of any shape; one problem for each call,
        batches by torch.func.vmap.

    Raises:
        OptionError: an order below 1.
        ShapeError: the condition gives another number of equations.

    Source: Blondel et al. 2022, Efficient and modular implicit differentiation, arXiv 2105.15183.

    Example:
        >>> import torch, softtorch
        >>> @softtorch.implicit_root(lambda x, a: x**2 - a)
        ... def root(a):
        ...     x = torch.ones_like(a)
        ...     for _ in range(20):
        ...         x = 0.5 * (x + a / x)
        ...     return x
        >>> a = torch.tensor(4.0, requires_grad=True)
        >>> root(a).backward()
        >>> a.grad
        tensor(0.2500)
    """
    if order < 1:
        raise OptionError(message("implicit_root", f"order={order}", "It is 1 or more"))

    def decorate(solver: Callable[..., Tensor]) -> Callable[..., Tensor]:
        @functools.wraps(solver)
        def solve(*args: Any, **kwargs: Any) -> Tensor:
            with torch.no_grad():
                solution = solver(*args, **kwargs)
            for _ in range(order):
                solution = _newton(condition, solution, args, kwargs)
            return solution

        return solve

    return decorate


def _newton(condition: Callable[..., Tensor], x: Tensor, args: Any, kwargs: Any) -> Tensor:
    """x less its Newton step, with the value of x: the step carries a derivative alone. (...) -> (...)"""

    def flat(v: Tensor) -> Tensor:
        residual = condition(v.reshape(x.shape), *args, **kwargs)
        if residual.numel() != x.numel():
            wrong = f"the condition gives {residual.numel()} numbers for a solution of {x.numel()}"
            raise ShapeError(message("implicit_root", wrong, "There are as many equations as unknowns"))
        equations: Tensor = residual.reshape(-1)
        return equations

    start = x.reshape(-1)
    jacobian: Tensor = torch.func.jacrev(flat)(start)  # (n, n)
    step: Tensor = torch.linalg.solve(jacobian, flat(start))  # (n,)
    return x - (step - step.detach()).reshape(x.shape)
