"""Rules for operations of one's own: a torch.library operator, or any function of torch that the table lacks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from torch import Tensor

from softfx.errors import PolicyError
from softfx.rules import RULES, SPELLING
from softfx.rules.rule import Family, Rule, RuleContext
from softfx.rules.values import through_real

__all__ = ["register_rule"]


def register_rule(
    function: Callable[..., Any],
    soft: Callable[..., Tensor],
    *,
    op: str,
    family: Family = "discrete",
    gives: Literal["real", "soft_bool", "soft_index"] = "real",
    options: tuple[str, ...] = ("softness", "mode"),
    why: str = "Registered by the user.",
    keep: str = "Keep it where its result needs no gradient.",
    source: str = "",
) -> Rule:
    """Teach softfx an operation: found, planned, reported and softened as torch's own are.

    Args:
        function: what the program calls. It must go through torch's function protocol, as torch.library operators
            and torch's own functions do.
        soft: its soft form: the same arguments, then `options` as keywords; softness -> 0 is `function`.
        op: its canonical name in policies and reports.
        family: what a policy counts it among.
        gives: what the soft form returns: a real tensor shaped as the hard one, probabilities of bools, or
            distributions (..., [n]) of indices.
        options: policy options that `soft` takes.
        why, keep, source: what `softfx explain` says.

    Returns:
        The rule, with a code of its own.

    Raises:
        PolicyError: a name that is taken.

    >>> import torch, softfx, softtorch
    >>> @torch.library.custom_op("doctest::step", mutates_args=())
    ... def step(x: Tensor) -> Tensor:
    ...     return (x > 0).to(x.dtype)
    >>> rule = register_rule(torch.ops.doctest.step, softtorch.sigmoidal, op="step")
    >>> x = torch.tensor([-0.1, 0.2], requires_grad=True)
    >>> softfx.soften(torch.ops.doctest.step, example_inputs=(x,))(x).sum().backward()
    >>> bool((x.grad > 0).all())
    True
    """
    if op in RULES:
        raise PolicyError(f"register_rule: {op!r} is taken by {RULES[op].code}. A name is new. Give another.")

    def relax(context: RuleContext, *args: Any, **kwargs: Any) -> Any:
        value = context.call(soft, *args, **kwargs, **context.options)
        return value if gives == "real" else context.soft(value, gives)

    own = sum(rule.code.startswith("SX00") for rule in RULES.values())
    rule = Rule(
        f"SX{own + 1:03d}",
        op,
        family,
        why,
        keep,
        source,
        soft=f"{soft.__module__}.{soft.__qualname__}",
        relax=relax,
        carry=through_real(relax),
        options=options,
        drop_in=gives == "real",
    )
    RULES[op] = rule
    SPELLING.add(op, function)
    return rule
