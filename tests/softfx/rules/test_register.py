"""Rules of the user's own: found, softened, explained and pickled as torch's are, and taken back."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor

import softfx
import softtorch
from softfx import ops
from softfx.ops.spelling import INDEX
from softfx.pipeline import serialize
from softfx.report.rule_pages import rule_facts
from softfx.rules import RULES, find
from softfx.rules.register import register_rule, registered_rule, unregister_rule
from tests.helpers import gradient

X = torch.tensor([-0.15, 0.05, 0.3], dtype=torch.float64)


@torch.library.custom_op("softfx_test::step", mutates_args=())
def _step(x: Tensor) -> Tensor:
    """1 where x is above 0, and 0 elsewhere."""
    return (x > 0).to(x.dtype)


step = torch.ops.softfx_test.step


def soft_step(x: Tensor, *, softness: float = 0.1, mode: str = "smooth") -> Tensor:
    return softtorch.heaviside(x, softness=softness, mode=mode)


def program(x: Tensor) -> Tensor:
    return step(x) * 3.0


# -- registered --------------------------------------------------------------------------------------------------------


def test_a_registered_operation_is_a_site_and_is_softened() -> None:
    with registered_rule(step, soft_step, op="step"):
        softened = softfx.soften(program, "smooth", example_inputs=(X,))
        (site,) = softened.report.sites
        assert (site.code, site.op, site.family, site.action) == ("USER-STEP", "step", "discrete", "soft")
        torch.testing.assert_close(softened(X), 3.0 * soft_step(X))
        torch.testing.assert_close(gradient(softened, X), gradient(lambda x: 3.0 * soft_step(x), X))


def test_straight_through_keeps_its_values() -> None:
    with registered_rule(step, soft_step, op="step"):
        softened = softfx.soften(program, example_inputs=(X,))
        assert torch.equal(softened(X), program(X))
        torch.testing.assert_close(gradient(softened, X), gradient(lambda x: 3.0 * soft_step(x), X))


def test_a_policy_names_it_and_gives_it_options() -> None:
    with registered_rule(step, soft_step, op="step", code="MY001"):
        policy = {"rule": [{"op": "MY001", "action": "soft", "softness": 0.5, "mode": "c1"}]}
        softened = softfx.soften(program, policy, example_inputs=(X,))
        torch.testing.assert_close(softened(X), 3.0 * soft_step(X, softness=0.5, mode="c1"))
        kept = softfx.check(program, {"rule": [{"op": "step", "action": "keep"}]}, example_inputs=(X,))
        assert [site.action for site in kept.sites] == ["keep"]


def test_a_family_other_than_discrete_is_kept_by_default() -> None:
    with registered_rule(step, soft_step, op="step", family="kink"):
        (site,) = softfx.check(program, example_inputs=(X,)).sites
        assert (site.family, site.action) == ("kink", "keep")


def test_a_soft_form_that_gives_probabilities_of_bools() -> None:
    def above(x: Tensor, **options: Any) -> Tensor:
        return softtorch.greater(x, torch.zeros((), dtype=x.dtype), **options)

    @torch.library.custom_op("softfx_test::is_above", mutates_args=())
    def is_above(x: Tensor) -> Tensor:
        return x > 0

    operator = torch.ops.softfx_test.is_above
    with registered_rule(operator, above, op="is_above", gives="soft_bool"):
        softened = softfx.soften(lambda x: torch.where(operator(x), 2.0, x), "smooth", example_inputs=(X,))
        p = above(X)
        torch.testing.assert_close(softened(X), 2.0 * p + (1.0 - p) * X)
        assert not RULES["is_above"].drop_in


def test_a_soft_form_that_gives_distributions_of_an_index() -> None:
    @torch.library.custom_op("softfx_test::largest", mutates_args=())
    def largest(x: Tensor) -> Tensor:
        return x.argmax(-1)

    operator = torch.ops.softfx_test.largest
    values = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64)
    with registered_rule(operator, softtorch.argmax, op="largest", gives="soft_index"):
        softened = softfx.soften(lambda x: values[operator(x)], "smooth", example_inputs=(X,))
        torch.testing.assert_close(softened(X), softtorch.argmax(X) @ values)


def test_shadows_are_handed_on_as_the_numbers_that_they_are_worth() -> None:
    with registered_rule(step, soft_step, op="step"):
        softened = softfx.soften(lambda x: step(x.round() - 0.5), "smooth", example_inputs=(X,))
        torch.testing.assert_close(softened(X), soft_step(softtorch.round(X) - 0.5))


def test_an_operation_of_torch_that_the_table_lacks() -> None:
    assert softfx.check(torch.special.i0e, example_inputs=(X,)).sites == []
    with registered_rule(torch.special.i0e, torch.sigmoid, op="i0e", options=()):
        (site,) = softfx.check(torch.special.i0e, example_inputs=(X,)).sites
        assert site.code == "USER-I0E"
        softened = softfx.soften(torch.special.i0e, "smooth", example_inputs=(X,))
        torch.testing.assert_close(softened(X), torch.sigmoid(X))


def test_a_function_under_the_decorator_of_torch_is_the_operator_that_it_calls() -> None:
    with registered_rule(_step, soft_step, op="step"):
        for spelled in (_step, step, step.default):
            (site,) = softfx.check(lambda x, call=spelled: call(x) * 3.0, example_inputs=(X,)).sites
            assert site.code == "USER-STEP"
    assert [site.code for site in softfx.check(program, example_inputs=(X,)).sites] == ["SX991"]


# -- found and explained -----------------------------------------------------------------------------------------------


def test_it_is_found_by_name_and_by_code_and_says_what_it_was_told() -> None:
    texts = {"why": "It jumps.", "keep": "Keep it in tests.", "source": "a book", "formula": "sigma(x / s)"}
    with registered_rule(step, soft_step, op="step", code="MY001", **texts) as rule:
        assert find("step") is find("MY001") is RULES["step"] is rule
        facts = dict(rule_facts(rule))
        assert (facts["why"], facts["keep it"], facts["source"]) == ("It jumps.", "Keep it in tests.", "a book")
        assert facts["formula"] == "sigma(x / s)" and facts["where"].startswith("s is the softness")
        assert facts["becomes"] == f"{__name__}.soft_step (same shape and dtype)"


def test_its_formula_is_the_name_of_its_soft_form_if_none_is_given() -> None:
    with registered_rule(step, soft_step, op="step") as rule:
        assert rule.formula == rule.soft == f"{__name__}.soft_step"


# -- clashes -----------------------------------------------------------------------------------------------------------


def test_a_name_of_softfxs_own_is_taken() -> None:
    with pytest.raises(softfx.PolicyError) as error:
        register_rule(step, soft_step, op="relu")
    assert str(error.value) == "register_rule: 'relu' is taken by SX122. A name is new. Give another."
    assert INDEX.of(step).operation is not ops.relu
    assert RULES["relu"].code == "SX122"


def test_a_code_is_taken_once() -> None:
    with pytest.raises(softfx.PolicyError) as error:
        register_rule(step, soft_step, op="step", code="SX101")
    assert str(error.value) == "register_rule: the code 'SX101' is taken. A code is new. Give another."
    assert "step" not in RULES


def test_two_rules_of_the_users_own_clash_as_well() -> None:
    with registered_rule(step, soft_step, op="step"):
        with pytest.raises(softfx.PolicyError, match="'step' is taken by USER-STEP"):
            register_rule(torch.frexp, soft_step, op="step")
        with pytest.raises(softfx.PolicyError, match="the code 'USER-STEP' is taken"):
            register_rule(torch.frexp, soft_step, op="frexp", code="USER-STEP")
    assert {"step", "frexp"}.isdisjoint(RULES)


@pytest.mark.parametrize(
    ("function", "settings", "message"),
    [
        (torch.relu, {}, "the function is known as 'relu'. A function is new to softfx. Give another."),
        (torch.ops.aten.relu.default, {}, "is known as 'relu'"),
        (None, {}, "the function is None. It is what a program calls. Give a function."),
        (step, {"op": "sin"}, "'sin' is an operation of torch. A name is new. Give another."),
        (step, {"op": "@discrete"}, "'@discrete' is no name."),
        (step, {"op": ""}, "'' is no name."),
        (step, {"family": "jump"}, "family 'jump' is unknown. Legal: discrete, "),
        (step, {"gives": "bool"}, "gives 'bool' is unknown. Legal: real, soft_bool, soft_index. Give one of them."),
        (step, {"soft": 0.5}, "the soft form is 0.5."),
    ],
)
def test_what_is_not_legal_is_refused(function: Any, settings: dict[str, Any], message: str) -> None:
    known = set(RULES)
    with pytest.raises(softfx.PolicyError) as error:
        register_rule(function, **{"soft": soft_step, "op": "step"} | settings)
    assert str(error.value).startswith("register_rule: ") and message in str(error.value)
    assert set(RULES) == known and INDEX.of(torch.relu).operation is ops.relu


def test_a_function_has_one_rule_under_all_of_its_names() -> None:
    for first, second in ((step, _step), (_step, step.default), (step.default, step)):
        with registered_rule(first, soft_step, op="step") as rule:
            with pytest.raises(softfx.PolicyError, match="the function is known as 'step'"):
                register_rule(second, soft_step, op="other")
            assert INDEX.of(step.default).operation is rule.operation
            assert "other" not in RULES


# -- taken back --------------------------------------------------------------------------------------------------------


def test_a_rule_that_is_taken_back_is_forgotten() -> None:
    rule = register_rule(step, soft_step, op="step")
    assert len(softfx.check(program, example_inputs=(X,)).sites) == 1
    unregister_rule(rule)
    assert [site.code for site in softfx.check(program, example_inputs=(X,)).sites] == ["SX991"]
    with pytest.raises(KeyError, match=r"unknown rule 'step'\. .*`softfx rules` lists all\."):
        find("step")
    unregister_rule(register_rule(step, soft_step, op="step"))  # the name and the code are free again


def test_only_a_rule_that_is_registered_is_taken_back() -> None:
    message = (
        "unregister_rule: 'step' was not registered by register_rule. Only a rule that it returned can be taken back, "
        "once. Pass that rule."
    )
    rule = register_rule(step, soft_step, op="step")
    unregister_rule(rule)
    with pytest.raises(softfx.PolicyError) as error:
        unregister_rule(rule)
    assert str(error.value) == message
    with pytest.raises(softfx.PolicyError, match="unregister_rule: 'relu' was not registered by register_rule"):
        unregister_rule(RULES["relu"])
    assert RULES["relu"].code == "SX122"


def test_nothing_but_a_rule_is_taken_back() -> None:
    with pytest.raises(softfx.PolicyError, match="unregister_rule: None was not registered by register_rule"):
        unregister_rule(None)  # type: ignore[arg-type]


def test_a_model_does_not_run_without_the_rule_it_was_softened_with() -> None:
    """Its site would be hard in silence."""
    with registered_rule(step, soft_step, op="step"):
        softened = softfx.soften(program, "smooth", example_inputs=(X,))
        kept = softfx.soften(program, {"rule": [{"op": "step", "action": "keep"}]}, example_inputs=(X,))
        other = softfx.soften(torch.sign, "smooth", example_inputs=(X,))
        value = softened(X)
    with pytest.raises(
        softfx.PolicyError, match=r"the rule USER-STEP was unregistered, and .*register\.py:\d+ needs it"
    ):
        softened(X)
    assert torch.equal(kept(X), program(X))
    assert torch.equal(other(X), softtorch.sign(X, softness=0.1, mode="smooth"))
    with registered_rule(step, soft_step, op="step"):
        assert torch.equal(softened(X), value)


def test_an_older_rule_of_the_name_does_not_take_back_the_newer_one() -> None:
    with registered_rule(step, soft_step, op="step") as older:
        pass
    with registered_rule(step, soft_step, op="step") as newer:
        with pytest.raises(softfx.PolicyError, match="once"):
            unregister_rule(older)
        assert RULES["step"] is newer


def test_the_block_takes_it_back_when_it_fails() -> None:
    with pytest.raises(ZeroDivisionError), registered_rule(step, soft_step, op="step"):
        _ = 1 / 0
    assert "step" not in RULES


# -- copies ------------------------------------------------------------------------------------------------------------


def test_copies_and_pickles_of_a_rule_are_the_rule() -> None:
    with registered_rule(step, soft_step, op="step") as rule:
        assert copy.deepcopy(rule) is pickle.loads(pickle.dumps(rule)) is rule
        assert pickle.loads(pickle.dumps(rule.operation)) is rule.operation


def test_a_pickled_softened_function_needs_its_rule_again() -> None:
    with registered_rule(step, soft_step, op="step"):
        softened = softfx.soften(program, "smooth", example_inputs=(X,))
        dumped = pickle.dumps(softened)
        loaded = pickle.loads(dumped)
        torch.testing.assert_close(loaded(X), softened(X), rtol=0.0, atol=0.0)
        torch.testing.assert_close(gradient(loaded, X), gradient(softened, X), rtol=0.0, atol=0.0)
        assert [site.code for site in loaded.report.sites] == ["USER-STEP"]
    with pytest.raises(KeyError, match="unknown rule 'USER-STEP'"):
        pickle.loads(dumped)
    with registered_rule(step, soft_step, op="step"):
        torch.testing.assert_close(pickle.loads(dumped)(X), 3.0 * soft_step(X))


def test_a_graph_that_calls_library_operators_is_pickled() -> None:
    operators = [step, step.default]
    graph = torch.fx.Graph()
    x = graph.placeholder("x")
    for operator in operators:
        x = graph.call_function(operator, (x,))
    graph.output(x)
    packed = serialize.pack(serialize.graph_module(graph, {"other": step}))
    unpacked = serialize.unpack(pickle.loads(pickle.dumps(packed)))
    found = [node.target for node in unpacked.graph.nodes if node.op == "call_function"]
    assert all(a is b for a, b in zip(found, operators, strict=True))
    assert unpacked.meta["constants"]["other"] is step
    assert torch.equal(unpacked(X), step(step(X)))
