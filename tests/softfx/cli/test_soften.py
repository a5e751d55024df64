"""`softfx soften`: the code that it writes."""

from __future__ import annotations

import json
from pathlib import Path

import torch

from tests.softfx.cli.programs import Run, X


def test_soften_prints_code_that_is_python(softfx: Run) -> None:
    answer = softfx("soften", "router_models:build", *X)
    assert answer.status == 0
    compile(answer.out, "softened.py", "exec")
    assert "2 sites: 1 straight-through, 1 kept." in answer.err


def test_soften_writes_the_code_and_a_report_beside_it(softfx: Run) -> None:
    answer = softfx("soften", "router_models:build", *X, "--out", "softened.py")
    assert answer.status == 0
    assert "softtorch.argmax" in Path("softened.py").read_text()
    report = json.loads(Path("softened.report.json").read_text())
    assert report["target"] == "router_models:build"
    assert "wrote softened.py and softened.report.json" in answer.err
    assert answer.out.startswith("softfx report for router_models:build")


def test_what_no_graph_holds_is_written_as_the_path_that_was_seen(softfx: Run) -> None:
    source = "def branching(x):\n    index = x.argmax()\n    return x[index] if index >= 0 else -x.sum()\n"
    Path("branches.py").write_text(source)
    answer = softfx("soften", "branches.py:branching", "--input", "4", "--out", "soft.py")
    assert answer.status == 0
    text = Path("soft.py").read_text()
    assert "This is the path that the example inputs took" in text and "branches.py:3" in text
    made: dict[str, object] = {}
    exec(compile(text, "soft.py", "exec"), made)
    x = torch.tensor([0.1, 0.4, 0.3, 0.2], requires_grad=True)
    result = made["forward"](x)  # type: ignore[operator]
    result = result[0] if isinstance(result, tuple) else result
    assert result.item() == x[1].item()
    assert torch.autograd.grad(result, x)[0].ne(0).all()


def test_written_code_imports_what_it_calls(softfx: Run) -> None:
    Path("masks.py").write_text("def above(x):\n    return x[x > 0].mean()\n")
    assert softfx("soften", "masks.py:above", "--input", "4", "--policy", "smooth", "--out", "soft.py").status == 0
    made: dict[str, object] = {}
    exec(compile(Path("soft.py").read_text(), "soft.py", "exec"), made)
    x = torch.tensor([0.3, -0.1, 0.4, 0.2], requires_grad=True)
    result = made["forward"](x)  # type: ignore[operator]
    assert torch.autograd.grad(result, x)[0].ne(0).all()
