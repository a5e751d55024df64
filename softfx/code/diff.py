"""The rewritten code as text: a diff against the original's (`softfx diff`), or a module of its own (`--out`)."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Sequence

from torch import Tensor, fx

from softfx.capture.program import Program
from softfx.code import print as codegen
from softfx.decisions.evidence import Evidence
from softfx.decisions.sites import Sites
from softfx.pipeline.rewrite import Rewritten, rewrite
from softfx.report.words import short_path

__all__ = ["module_text", "unified"]

# A tensor constant with more elements than this has no place in source text.
_MOST_ELEMENTS = 1024


def unified(program: Program, sites: Sites, evidence: Evidence) -> str:
    """The calls of a captured program before and after rewriting, as a unified diff."""
    before = list(codegen.statements(program.graph))
    after = list(codegen.statements(rewrite(program, sites, evidence).module.graph))
    lines = difflib.unified_diff(before, after, "original", "softened", lineterm="", n=2)
    return "\n".join(lines)


def module_text(name: str, rewritten: Rewritten, sites: Sites, obstacles: Sequence[str] = ()) -> str:
    """A Python module whose `forward` is the softened call.

    Where the program has several paths (`obstacles` says why), it is the path that the example inputs took. Parameters
    and buffers are looked up on the module that is passed first, softness in the table SOFTNESS.
    """
    graph = rewritten.module.graph
    placeholders = [node.name for node in graph.nodes if node.op == "placeholder"]
    inputs = len(placeholders) - len(rewritten.attributes) - len(rewritten.softness)
    attributes = zip(placeholders[inputs:], rewritten.attributes, strict=False)
    softness = zip(placeholders[inputs + len(rewritten.attributes) :], rewritten.softness, strict=True)
    body = [
        *(f"{variable} = _at(module, {path!r})" for variable, path in attributes),
        *(f"{variable} = SOFTNESS[{site}]" for variable, site in softness),
        *codegen.statements(graph),
        _return(graph),
    ]
    return "\n".join(
        [
            *_title(name, obstacles),
            "",
            "import operator",
            "from operator import attrgetter",
            "",
            codegen.HEADER,
            _softness_table(rewritten, sites),
            *_constants(rewritten),
            "",
            "",
            "def _at(module, path):",
            "    return attrgetter(path)(module)",
            "",
            "",
            f"def forward(module, {', '.join(placeholders[:inputs])}):",
            textwrap.indent("\n".join(body), "    "),
            "",
        ]
    )


def _title(name: str, obstacles: Sequence[str]) -> list[str]:
    title = f'"""{name}, softened. The report beside this file says what was decided at each site and why.'
    if not obstacles:
        return [title + '"""']
    return [
        title,
        "",
        "This is the path that the example inputs took. Others may take another, for the program",
        *(f"- {obstacle}" for obstacle in dict.fromkeys(obstacles)),
        "",
        "softfx.soften runs the original Python softly, whichever path it takes.",
        '"""',
    ]


def _softness_table(rewritten: Rewritten, sites: Sites) -> str:
    records = [sites[site] for site in rewritten.softness]
    rows = [
        f"    {r.id}: {float(r.softness)},  # {r.rule.name} at {short_path(r.location.file)}:{r.location.line}"
        for r in records
    ]
    return "\n".join(["SOFTNESS = {", *rows, "}"])


def _constants(rewritten: Rewritten) -> list[str]:
    lines = []
    used = {str(node.target): node.name for node in rewritten.module.graph.nodes if node.op == "get_attr"}
    for attribute, variable in used.items():
        value: object = rewritten.module.meta["constants"][attribute]
        text = codegen.constant_text(value)
        if text is None or (isinstance(value, Tensor) and value.numel() > _MOST_ELEMENTS):
            text = f"None  # a {type(value).__name__} that the function closes over: set it before calling forward"
        lines.append(f"{variable} = {text}")
    return lines


def _return(graph: fx.Graph) -> str:
    outputs = graph.output_node().args[0]
    assert isinstance(outputs, tuple | list)  # a captured graph returns its leaves one after another
    names = ", ".join(item.name if isinstance(item, fx.Node) else repr(item) for item in outputs)
    return f"return {names}"
