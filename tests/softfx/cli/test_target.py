"""Targets of the command line: what is found, what is built, what is told when it is not."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from softfx.cli.target import check_call, load_target, name_in
from softfx.errors import TargetError

MODELS = """
import functools
import torch


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(4, 3)

    def forward(self, x, scale=1.0):
        return self.linear(x) * scale


class Sized(torch.nn.Module):
    def __init__(self, size, *, name="a"):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.rand(size))

    def forward(self, x):
        return x + self.weight


net = Net()
number = 3


def build():
    return Net()


def build_with_inputs():
    return Net(), (torch.zeros(2, 4),), {"scale": 2.0}


def function(x, y):
    return torch.where(x > y, x, y)


def no_arguments():
    return torch.ones(3)


def broken():
    raise KeyError("missing weights")


class Holder:
    inner = net
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A file with one target of each kind; afterwards nothing of it is left in this process."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", list(sys.path))
    path = tmp_path / "my_models.py"
    path.write_text(MODELS)
    yield str(path)
    for name in set(sys.modules) - before:
        if name.startswith(("my_models", "softfx_target_", "my_package")):
            del sys.modules[name]


def refusal(spec: str, **options: bool) -> str:
    with pytest.raises(TargetError) as caught:
        load_target(spec, **options)  # type: ignore[arg-type] # only as_function is ever passed
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "kind", "taken_as"),
    [
        ("net", "Net", "an instance of Net"),
        ("Net", "Net", "an instance of Net"),
        ("build", "Net", "what build() returns, a Net"),
        ("Holder.inner", "Net", "an instance of Net"),
        ("Sized(3)", "Sized", "an instance of Sized"),
        ("Sized(size=[3, 2], name='b')", "Sized", "an instance of Sized"),
        ("function", "function", "the function itself"),
    ],
)
def test_a_name_in_a_file_is_taken_for_what_a_user_means(models: str, name: str, kind: str, taken_as: str) -> None:
    target = load_target(f"{models}:{name}")
    assert type(target.value).__name__ == kind
    assert target.taken_as == taken_as


def test_a_file_and_a_module_are_the_same(models: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(models).parent)
    assert load_target("my_models:net").value is load_target("my_models.py:net").value


def test_a_file_inside_a_package_keeps_its_relative_imports(models: str) -> None:
    package = Path(models).parent / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "parts.py").write_text(MODELS)
    (package / "model.py").write_text("from .parts import Net\n\n\ndef build():\n    return Net()\n")
    assert type(load_target(f"{package}/model.py:build").value).__module__ == "my_package.parts"


def test_a_file_whose_name_another_module_has_is_still_itself(models: str) -> None:
    path = Path(models).with_name("json.py")
    path.write_text(MODELS)
    assert load_target(f"{path}:net").value.__module__ == "softfx_target_json"


def test_installed_modules_and_builtin_functions_are_targets() -> None:
    assert load_target("torch.nn:ReLU").taken_as == "an instance of ReLU"
    assert load_target("torch:argmax").value is torch.argmax


def test_a_function_without_arguments_is_the_target_only_when_asked(models: str) -> None:
    assert "no_arguments() gives a Tensor, not a model or a function" in refusal(f"{models}:no_arguments")
    assert "add --function" in refusal(f"{models}:no_arguments")
    assert load_target(f"{models}:no_arguments", as_function=True).taken_as == "the function itself"


def test_a_factory_may_bring_example_inputs(models: str) -> None:
    target = load_target(f"{models}:build_with_inputs")
    assert type(target.value).__name__ == "Net"
    assert [tuple(value.shape) for value in target.args] == [(2, 4)]
    assert target.kwargs == {"scale": 2.0}


def test_models_are_built_from_the_seed(models: str) -> None:
    first, second, other = (load_target(f"{models}:build", seed=seed).value.linear.weight for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("name", "text"), [("build", "def build():"), ("Sized(2)", "class Sized"), ("net", "net = ")])
def test_the_definition_is_where_the_name_is_written(models: str, name: str, text: str) -> None:
    definition = load_target(f"{models}:{name}").definition
    assert definition is not None
    assert definition[0] == models
    assert Path(models).read_text().splitlines()[definition[1] - 1].startswith(text)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Nets", "it has no 'Nets'. Did you mean 'Net'?"),
        ("zzz", "it has no 'zzz'. It defines: Net, Sized,"),
        ("number", "number is a int, not a model or a function. Name a Module, a class or a function."),
        ("Sized", "Sized needs size to be built. Give literals, in quotes for the shell: '"),
        (
            "Sized(3, 4)",
            "Sized cannot be called so: too many positional arguments. It takes (size, *, name='a').",
        ),
        ("Sized(open('x'))", "\"open('x')\" is not a literal. Only literals may stand between the brackets"),
        ("Sized(3", "'Sized(3' is not a call"),
        ("Sized(**{'size': 1})", "** cannot be used here."),
        ("broken", "building it failed: KeyError: 'missing weights' ("),
        ("not a name", "'not a name' is not a name. Write package.module:name or path/to/file.py:name."),
    ],
)
def test_a_name_that_is_wrong_gets_one_clear_message(models: str, name: str, message: str) -> None:
    assert message in refusal(f"{models}:{name}")


@pytest.mark.parametrize("folder", ["models (old)", "a(b", "c:d", "e) f(: g"])
@pytest.mark.parametrize("call", ["Sized(3)", "Sized(size=[3, 2], name='a:b(c)')", "build"])
def test_a_path_may_have_brackets_and_colons(models: str, folder: str, call: str) -> None:
    path = Path(models).parent / folder / "my_models.py"
    path.parent.mkdir()
    path.write_text(MODELS)
    assert isinstance(load_target(f"{path}:{call}").value, torch.nn.Module)
    assert name_in(f"{path}:{call}") == call.partition("(")[0]
    assert f"{path}: no name in it." in refusal(str(path))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "no_such_package.models:build",
            "there is no module 'no_such_package' in this Python environment or folder.",
        ),
        ("torch.no_such:build", "torch.no_such: there is no module 'torch.no_such'"),
        ("torch", "torch: no name in it. Write package.module:name or path/to/file.py:name."),
        ("nowhere/model.py:build", "nowhere/model.py: there is no such file. The path is taken from "),
        ("not-a-module:x", "not-a-module: not a module name."),
    ],
)
def test_a_place_that_is_wrong_gets_one_clear_message(spec: str, message: str) -> None:
    assert message in refusal(spec)


def test_a_file_without_a_name_is_answered_with_its_names(models: str) -> None:
    assert f"{models}: no name in it." in refusal(models)
    assert "It has: Net, Sized, build, build_with_inputs, function" in refusal(models)


def test_a_misspelt_file_is_answered_with_the_nearest(models: str) -> None:
    assert "Did you mean 'my_models.py'?" in refusal(models.replace("my_models", "my_model") + ":net")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "import no_such_dependency",
            "importing it needs the module 'no_such_dependency', which is not installed.",
        ),
        ("1 / 0", "importing it failed: ZeroDivisionError: division by zero ("),
        ("def (", "importing it failed: SyntaxError: "),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_the_reason(models: str, text: str, message: str) -> None:
    path = Path(models).with_name("my_models_broken.py")
    path.write_text(text)
    assert message in refusal(f"{path}:build")


def test_inputs_that_do_not_fit_the_signature_are_refused_before_anything_runs(models: str) -> None:
    target = load_target(f"{models}:function")
    with pytest.raises(TargetError, match=r"it needs y, and 1 input was given\. It takes \(x, y\)\. .*--input 2x3"):
        check_call(target, (torch.ones(1),), {})
    with pytest.raises(TargetError, match=r"the inputs do not fit: too many"):
        check_call(target, (1, 2, 3), {})
    with pytest.raises(TargetError, match=r"it has no argument 'z'\. It takes \(x, y\)\. Name one of these"):
        check_call(target, (), {"z": 3})
    with pytest.raises(TargetError, match=r"it has no argument 'z'\. It takes \(x, y\)\."):
        check_call(target, (), {"x": 1, "y": 2, "z": 3})
    check_call(target, (1,), {"y": 2})
    check_call(load_target("torch:argmax"), (), {})
