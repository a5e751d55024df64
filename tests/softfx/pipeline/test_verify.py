"""The laws of a rewrite: each has planted mistakes that it, and it alone, catches."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx

from softfx.capture import frontends
from softfx.capture.program import Program
from softfx.decisions.policy import Policy
from softfx.errors import SoftfxError
from softfx.locations import Place
from softfx.pipeline.plan import plan
from softfx.pipeline.rewrite import Rewritten, rewrite
from softfx.pipeline.verify import LAWS, Example, Rewrite, SpecError, check_spec, difference, violations


def program(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, int, Tensor]:
    """Draws, switches, writes that stay hard and that become soft, a soft bool, a soft index, a count."""
    with torch.no_grad():
        noise = torch.bernoulli(x.sigmoid())
    torch.rand(4)
    torch.randn(4)
    log = torch.zeros(4)
    log[0] = 1.0
    z = x.clone()
    z[x > y] = 1.0
    gate = x < y
    chosen = F.one_hot(x.argmax(), 4).float()
    log.copy_(z * gate)
    return z.round().sum(0) + noise, chosen, 3, log


INPUTS = torch.tensor([0.3, 1.2, -0.4, 0.8]), torch.tensor([0.5, -0.1, 0.2, 0.9])


def rewritten(policy: str = "gradients") -> Rewrite:
    captured: Program = frontends.capture(program, INPUTS, {}, "eager", Place(__file__, 1))
    sites, evidence = plan(captured, Policy.load(policy), lambda *_: None)
    result = rewrite(captured, sites, evidence)
    example = Example(program, INPUTS, {}, [sites[site].softness for site in result.softness])
    return Rewrite(captured, result, exact=sites.exact, example=example)


def node(rewrite: Rewrite, name: str) -> fx.Node:
    return next(node for node in rewrite.graph.nodes if node.name == name)


def standing_for(rewrite: Rewrite, meaning: str) -> fx.Node:
    """The first added node that stands for this and nothing else."""
    return next(node for node in rewrite.graph.nodes if node.meta.get("stands_for") == (meaning,))


def write(rewrite: Rewrite, of: str) -> fx.Node:
    """The added write into a tensor of the program."""
    writes = [node for node in rewrite.graph.nodes if node.target is Tensor.copy_ and node.meta.get("added")]
    return next(node for node in writes if node.meta["program_node"] == of)


def return_instead(rewrite: Rewrite, position: int, value: Any) -> None:
    output = rewrite.graph.output_node()
    returned = list(output.args[0])  # type: ignore[arg-type]
    returned[position] = value
    output.args = (tuple(returned),)


def added(rewrite: Rewrite, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
    """A call added at the end, with its example value."""
    graph = rewrite.graph
    with graph.inserting_before(graph.output_node()):
        made = graph.call_function(function, args, kwargs)
    values = [arg.meta["val"] if isinstance(arg, fx.Node) else arg for arg in args]
    made.meta |= {"val": function(*values, **kwargs), "added": True}
    return made


def result(rewrite: Rewrite, position: int) -> fx.Node:
    found: fx.Node = rewrite.graph.output_node().args[0][position]  # type: ignore[index,assignment]
    return found


# -- planted mistakes --------------------------------------------------------------------------------------------


def use_before_making(rewrite: Rewrite) -> None:
    rewrite.graph.output_node().prepend(node(rewrite, "gt"))


def forget_an_example_value(rewrite: Rewrite) -> None:
    del node(rewrite, "soft_blend").meta["val"]


def fetch_another_attribute(rewrite: Rewrite) -> None:
    rewrite.rewritten.attributes.append("weight")


def ask_for_a_softness_more(rewrite: Rewrite) -> None:
    rewrite.rewritten.softness.append(99)


def sum_along_another_axis(rewrite: Rewrite) -> None:
    summed = node(rewrite, "sum_1")
    summed.args = (summed.args[0], -1)


def call_another_function(rewrite: Rewrite) -> None:
    node(rewrite, "mul").target = torch.mul


def call_what_the_program_does_not(rewrite: Rewrite) -> None:
    del added(rewrite, torch.neg, node(rewrite, "clone")).meta["added"]


def lose(name: str) -> Callable[[Rewrite], None]:
    def plant(rewrite: Rewrite) -> None:
        rewrite.graph.erase_node(node(rewrite, name))

    return plant


def lose_a_used_draw(rewrite: Rewrite) -> None:
    draw = node(rewrite, "bernoulli")
    draw.replace_all_uses_with(draw.args[0])  # type: ignore[arg-type]
    rewrite.graph.erase_node(draw)


def lose_a_soft_write(rewrite: Rewrite) -> None:
    rewrite.graph.erase_node(write(rewrite, "setitem_1"))


def write_beside_the_program(rewrite: Rewrite) -> None:
    """The scratch is written and nothing else."""
    written = write(rewrite, "setitem_1")
    written.args = (node(rewrite, "soft_clone_3"), written.args[1])


def exchange_two_draws(rewrite: Rewrite) -> None:
    node(rewrite, "randn").append(node(rewrite, "rand"))


def write_before_drawing(rewrite: Rewrite) -> None:
    node(rewrite, "setitem").append(node(rewrite, "randn"))


def give_a_probability_for_a_bool(rewrite: Rewrite) -> None:
    hard = node(rewrite, "mul")
    hard.args = (hard.args[0], node(rewrite, "soft_less"))


def give_a_number_of_another_shape(rewrite: Rewrite) -> None:
    hard = node(rewrite, "round_1")
    with rewrite.graph.inserting_before(hard):
        wrong = rewrite.graph.call_function(torch.unsqueeze, (hard.args[0], 0))
    wrong.meta |= {"val": node(rewrite, "clone").meta["val"].unsqueeze(0), "added": True}
    hard.args = (wrong,)


def give_a_probability_for_a_number(rewrite: Rewrite) -> None:
    kept = node(rewrite, "copy_")
    kept.args = (kept.args[0], node(rewrite, "soft_less"))


def give_weights_for_a_number(rewrite: Rewrite) -> None:
    kept = node(rewrite, "add")
    kept.args = (kept.args[0], node(rewrite, "soft_argmax"))


def return_a_shadow(rewrite: Rewrite) -> None:
    return_instead(rewrite, 0, standing_for(rewrite, "soft_bool"))


def return_weights(rewrite: Rewrite) -> None:
    weights = node(rewrite, "soft_argmax")
    weights.meta["stands_for"] = ("soft_index",)
    return_instead(rewrite, 0, weights)


def drop_a_result(rewrite: Rewrite) -> None:
    output = rewrite.graph.output_node()
    output.args = (output.args[0][:2],)  # type: ignore[index]


def change_a_constant(rewrite: Rewrite) -> None:
    return_instead(rewrite, 2, 4)


def return_a_float_for_an_integer(rewrite: Rewrite) -> None:
    return_instead(rewrite, 2, 3.0)


def change_a_shape(rewrite: Rewrite) -> None:
    return_instead(rewrite, 0, added(rewrite, operator.getitem, result(rewrite, 0), 0))


def change_a_dtype(rewrite: Rewrite) -> None:
    return_instead(rewrite, 0, added(rewrite, Tensor.to, result(rewrite, 0), torch.float64))


def change_a_value(rewrite: Rewrite) -> None:
    return_instead(rewrite, 0, added(rewrite, torch.mul, result(rewrite, 0), 2))


def change_the_sign_of_zero(rewrite: Rewrite) -> None:
    return_instead(rewrite, 1, added(rewrite, torch.copysign, result(rewrite, 1), -1.0))


PLANTED: list[tuple[str, Callable[[Rewrite], None], str]] = [
    ("graph_is_well_formed", use_before_making, "the rewritten graph is malformed: .*'gt'.* used before it has been"),
    ("graph_is_well_formed", forget_an_example_value, "soft_blend has no example value"),
    ("inputs_are_the_programs", fetch_another_attribute, "fetches other attributes of the module"),
    ("inputs_are_the_programs", ask_for_a_softness_more, "the program takes x, y, the rewrite x, "),
    ("calls_are_the_programs", sum_along_another_axis, "sum_1 has the arguments .* -1.* in the program .* 0"),
    ("calls_are_the_programs", call_another_function, "mul calls another function than in the program"),
    ("calls_are_the_programs", call_what_the_program_does_not, "the program has no call neg"),
    ("effects_are_kept", lose("rand"), "lost rand, which the program does for its effect"),
    ("effects_are_kept", lose_a_used_draw, "lost bernoulli, "),
    ("effects_are_kept", lose("_set_grad_enabled_1"), "lost _set_grad_enabled_1, "),
    ("effects_are_kept", lose("setitem"), "lost setitem, "),
    ("effects_are_kept", lose_a_soft_write, "lost setitem_1, "),
    ("effects_are_kept", write_beside_the_program, "lost setitem_1, "),
    ("effects_keep_their_order", exchange_two_draws, "rand, randn, .* in the order .* randn, rand, "),
    ("effects_keep_their_order", write_before_drawing, "in the order .* setitem, randn, "),
    ("operands_keep_their_form", give_a_probability_for_a_bool, r"mul takes a tensor \(4,\) of torch.bool in the "),
    ("operands_keep_their_form", give_a_number_of_another_shape, r"round_1 takes a tensor \(4,\) of torch.float32"),
    ("soft_values_reach_rules_only", give_a_probability_for_a_number, "copy_ has no rule, and takes soft_less, which"),
    ("soft_values_reach_rules_only", give_weights_for_a_number, "add .* takes soft_argmax, which stands for a soft_in"),
    ("results_mean_what_the_policy_says", return_a_shadow, "result 0 stands for a soft_bool"),
    ("results_mean_what_the_policy_says", return_weights, "result 0 stands for a soft_index"),
    ("results_keep_their_number", drop_a_result, "the program returns 4 values, the rewrite 2"),
    ("results_keep_their_constants", change_a_constant, "result 2 was 3 and is 4"),
    ("results_keep_their_constants", return_a_float_for_an_integer, "result 2 was 3 and is 3.0"),
    ("results_keep_their_shapes", change_a_shape, r"result 0 had shape \(4,\) and has \(\)"),
    ("results_keep_their_dtypes", change_a_dtype, "result 0 was torch.float32 and is torch.float64"),
    ("results_keep_their_bits", change_a_value, r"gives other values than the original for results \[0\]"),
    ("results_keep_their_bits", change_the_sign_of_zero, r"gives other values than the original for results \[1\]"),
]
VALUES = "results_keep_their_bits"


@pytest.mark.parametrize(("law", "plant", "says"), PLANTED)
def test_a_planted_mistake_is_caught_by_its_law_alone(law: str, plant: Callable[[Rewrite], None], says: str) -> None:
    planted = rewritten()
    plant(planted)
    planted.rewritten.module.recompile()
    if law != VALUES:  # a mistake in the graph may show in the values, too, and need not run
        planted = replace(planted, example=None)
    assert {violation.law for violation in violations(planted)} == {law}
    with pytest.raises(SpecError, match=says):
        check_spec(planted.program, planted.rewritten, exact=True, example=planted.example)


def test_every_law_has_a_planted_mistake_and_says_what_it_demands() -> None:
    assert [law.__name__ for law in LAWS] == list(dict.fromkeys(law for law, _, _ in PLANTED))
    assert all(law.__doc__ for law in LAWS)


@pytest.mark.parametrize("policy", ["gradients", "straight-through", "lifted", "smooth", "keep"])
def test_an_honest_rewrite_breaks_no_law(policy: str) -> None:
    assert violations(rewritten(policy)) == []


def test_a_lifted_switch_is_no_lost_effect() -> None:
    def switched(x: Tensor) -> Tensor:
        with torch.no_grad():
            y = x.round()
        return y

    captured = frontends.capture(switched, INPUTS[:1], {}, "eager", Place(__file__, 1))
    sites, evidence = plan(captured, Policy.load("lifted"), lambda *_: None)
    made: Rewritten = rewrite(captured, sites, evidence)
    assert made.lifted_blocks
    check_spec(captured, made, exact=True)
    with pytest.raises(SpecError, match=f"lost {made.lifted_blocks[0]}, "):
        check_spec(captured, replace(made, lifted_blocks=[]), exact=True)


def test_a_soft_policy_returns_probabilities_and_on_request_distributions() -> None:
    soft = rewritten("smooth")
    return_a_shadow(soft)
    assert not soft.exact and violations(soft) == []
    return_weights(soft)
    assert {violation.law for violation in violations(soft)} == {"results_mean_what_the_policy_says"}
    assert violations(replace(soft, distributions=True)) == []


def test_all_violations_are_told_at_once_as_a_defect_of_softfx() -> None:
    planted = rewritten()
    drop_a_result(planted)
    lose("rand")(planted)
    with pytest.raises(SoftfxError) as caught:
        check_spec(planted.program, planted.rewritten, exact=True)
    assert str(caught.value) == (
        "verify: the rewrite lost rand, which the program does for its effect.\n"
        "verify: the program returns 4 values, the rewrite 2.\n"
        "This is a defect of softfx, not of the model. Please report it with this message; until it is mended take "
        "executor='eager', which runs the original Python softly and rewrites no graph."
    )


def test_a_graph_with_other_values_is_told_from_one_with_the_originals() -> None:
    def function(x: Tensor) -> Tensor:
        return x * 2

    def traced(wrong: Any) -> fx.GraphModule:
        graph = fx.Graph()
        x = graph.placeholder("x")
        graph.output((graph.call_function(wrong, (x, 2)),))
        return fx.GraphModule({}, graph)

    x = torch.tensor([1.0, -0.0, float("nan"), float("inf")])
    example = Example(function, (x,), {}, [])
    assert difference(example, traced(torch.mul)) == ""
    assert "other values" in difference(example, traced(torch.add))
    said = "its graph raises TypeError where the original runs: cat()"
    assert difference(example, traced(torch.cat)).startswith(said)
