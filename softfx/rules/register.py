"""Rules for operations of one's own: a torch.library operator, or any function of torch that the table lacks."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal, get_args

from torch import Tensor

from softfx.errors import PolicyError
from softfx.ops.calls import Function
from softfx.ops.spelling import INDEX
from softfx.rules import RULES
from softfx.rules.context import RuleContext
from softfx.rules.readings import through_real
from softfx.rules.rule import Family, Rule
from softfx.values import Soft

__all__ = ["register_rule", "registered_rule", "unregister_rule"]


def register_rule(
    function: Function,
    soft: Callable[..., Tensor],
    *,
    op: str,
    code: str | None = None,
    family: Family = "discrete",
    gives: Literal["real", "soft_bool", "soft_index"] = "real",
    options: tuple[str, ...] = ("softness", "mode"),
    why: str = "Registered by the user.",
    keep: str = "Keep it where its result needs no gradient.",
    source: str = "",
    formula: str = "",
) -> Rule:
    """Teach softfx an operation: found, planned, reported and softened as torch's own are.

    Args:
        function: what the program calls. It must go through torch's function protocol, as functions decorated by
            torch.library.custom_op, torch.ops.NAMESPACE.NAME and torch's own functions do.
        soft: its soft form: the same arguments, then `options` as keywords; softness -> 0 is `function`.
        op: its canonical name in policies and reports.
        code: its code in policies and reports; the name in capitals after "USER-" if it is left out.
        family: what a policy counts it among.
        gives: what the soft form returns: a real tensor shaped as the hard one, probabilities of bools, or
            distributions (..., [n]) of indices.
        options: policy options that `soft` takes.
        why: what it costs the gradient, for reports and `softfx explain`.
        keep: when to keep it hard, for `softfx explain`.
        source: the literature, for `softfx explain`.
        formula: the soft form as a formula, for `softfx explain`; the name of `soft` if it is left out.

    Returns:
        The rule. `unregister_rule` takes it back; `registered_rule` does both around a block.

    Raises:
        PolicyError: a name, a code or a function that is taken, or a setting that is not legal.

    >>> import torch, softfx, softtorch
    >>> @torch.library.custom_op("doctest::step", mutates_args=())
    ... def step(x: Tensor) -> Tensor:
    ...     return (x > 0).to(x.dtype)
    >>> rule = register_rule(torch.ops.doctest.step, softtorch.sigmoidal, op="step")
    >>> x = torch.tensor([-0.1, 0.2], requires_grad=True)
    >>> softfx.soften(torch.ops.doctest.step, example_inputs=(x,))(x).sum().backward()
    >>> bool((x.grad > 0).all())
    True
    >>> unregister_rule(rule)
    """
    _check_functions(function, soft)
    _check_choice("family", family, get_args(Family))
    _check_choice("gives", gives, ("real", "soft_bool", "soft_index"))
    code = _checked_code(op, code)

    def relax(context: RuleContext, *args: object, **kwargs: object) -> Tensor | Soft:
        value = context.call(soft, *args, **kwargs, **context.options)
        if gives == "real":
            return value
        return context.soft_bool(value) if gives == "soft_bool" else context.soft_index(value)

    name = _name(soft)
    rule = Rule(
        code,
        replace(INDEX.of(function).operation, name=op, spellings=()),
        family,
        why,
        keep,
        source,
        formula=formula or name,
        soft=name,
        relax=relax,
        propagate=through_real(relax),
        options=options,
        drop_in=gives == "real",
    )
    INDEX.add(rule.operation, function)
    RULES[op] = rule
    return rule


def _name(function: object) -> str:
    """Where a function is found: a partial has no name of its own."""
    name = getattr(function, "__qualname__", None) or getattr(function, "__name__", None)
    return f"{function.__module__}.{name}" if name else repr(function)


def _check_functions(function: Function, soft: Callable[..., Tensor]) -> None:
    for given, what in ((function, "function"), (soft, "soft form")):
        if not callable(given) or not isinstance(given, Hashable):
            raise PolicyError(f"register_rule: the {what} is {given!r}. It is what a program calls. Give a function.")
    if (known := INDEX.known(function)) is not None:
        raise PolicyError(
            f"register_rule: the function is known as {known.name!r}. A function is new to softfx. Give another."
        )


def _checked_code(op: str, code: str | None) -> str:
    if op in RULES:
        raise PolicyError(f"register_rule: {op!r} is taken by {RULES[op].code}. A name is new. Give another.")
    if op in INDEX.names():
        raise PolicyError(f"register_rule: {op!r} is an operation of torch. A name is new. Give another.")
    if not op or op.startswith("@"):
        raise PolicyError(f"register_rule: {op!r} is no name. A name does not begin with @. Give one.")
    code = f"USER-{op.upper()}" if code is None else code
    if any(code == rule.code for rule in RULES.values()):
        raise PolicyError(f"register_rule: the code {code!r} is taken. A code is new. Give another.")
    return code


def _check_choice(what: str, given: str, legal: tuple[str, ...]) -> None:
    if given not in legal:
        raise PolicyError(f"register_rule: {what} {given!r} is unknown. Legal: {', '.join(legal)}. Give one of them.")


def unregister_rule(rule: Rule) -> None:
    """Forget a rule that `register_rule` returned: calls of its function are left alone again.

    Raises:
        PolicyError: a rule that is not registered, or one of softfx's own.
    """
    if not isinstance(rule, Rule) or RULES.get(rule.name) is not rule or not INDEX.was_added(rule.operation):
        named = repr(rule.name) if isinstance(rule, Rule) else repr(rule)
        raise PolicyError(
            f"unregister_rule: {named} was not registered by register_rule. Only a rule that it returned can be "
            "taken back, once. Pass that rule."
        )
    del RULES[rule.name]
    INDEX.remove(rule.operation)


@contextmanager
def registered_rule(function: Function, soft: Callable[..., Tensor], *, op: str, **settings: Any) -> Iterator[Rule]:
    """A rule for the length of a block. Arguments as `register_rule` takes them.

    >>> import torch, softfx, softtorch
    >>> with registered_rule(torch.frexp, softtorch.abs, op="frexp") as rule:
    ...     softfx.check(lambda x: torch.frexp(x).mantissa, example_inputs=(torch.ones(2),)).sites[0].code
    'USER-FREXP'
    """
    rule = register_rule(function, soft, op=op, **settings)
    try:
        yield rule
    finally:
        unregister_rule(rule)
