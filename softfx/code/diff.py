"""The rewritten code as text: a diff against the original's (`softfx diff`), or a module of its own (`--out`)."""

from __future__ import annotations

import ast
import difflib
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from torch import Tensor

from softfx.capture.program import Program, Seen
from softfx.code.literals import comment, docstring, literal, tensor_literal
from softfx.code.names import IMPORTS, module_of
from softfx.code.print import Writer, constant_text, place_text
from softfx.decisions.evidence import Evidence
from softfx.decisions.sites import Sites
from softfx.errors import CaptureError, SoftfxError, SpecError
from softfx.locations import Location
from softfx.pipeline.rewrite import Rewritten, rewrite
from softfx.pipeline.serialize import pack_structure

__all__ = ["drawn", "module_text", "unified"]

_AT = """def _at(module, path):
    return attrgetter(path)(module)
"""


def drawn(program: Program, sites: Sites, evidence: Evidence) -> Rewritten:
    """The softened call as one graph, for people to read; a program that no graph holds may have none.

    Raises:
        CaptureError: it has none; it runs softly all the same.
    """
    try:
        return rewrite(program, sites, evidence)
    except SoftfxError:
        raise
    except Exception as error:
        raise CaptureError(
            f"the softened call cannot be written as one graph: {type(error).__name__}: {error}. `softfx check` "
            "reports what becomes of it, and softfx.soften runs it softly all the same, as the original Python."
        ) from error


def unified(program: Program, sites: Sites, evidence: Evidence) -> str:
    """The calls of a captured program before and after rewriting, as a unified diff."""
    original, softened = program.graph, drawn(program, sites, evidence).module.graph
    return "\n".join(_changes(list(Writer(original).lines(original)), list(Writer(softened).lines(softened))))


def _changes(before: Sequence[tuple[str, object]], after: Sequence[tuple[str, object]]) -> Iterator[str]:
    """The lines of a unified diff.

    difflib's own compares texts alone, and in long programs takes those that stand there often for noise: calls without
    a result, such as the switches of the grad mode, were then gone and there again.
    """
    groups = list(difflib.SequenceMatcher(None, before, after, autojunk=False).get_grouped_opcodes(2))
    yield from ["--- original", "+++ softened"] if groups else []
    for group in groups:
        old, new = _span(group[0][1], group[-1][2]), _span(group[0][3], group[-1][4])
        yield f"@@ -{old} +{new} @@"
        for _, start, stop, new_start, new_stop in group:
            gone, come = before[start:stop], after[new_start:new_stop]
            if gone == come:
                yield from (f" {text}" for text, _ in gone)
                continue
            yield from (f"-{text}" for text, _ in gone)
            yield from (f"+{text}" for text, _ in come)


def _span(start: int, stop: int) -> str:
    """Lines as the head of a change names them: the first and how many; of none the line above."""
    if stop - start == 1:
        return str(start + 1)
    return f"{start + 1 if stop > start else start},{stop - start}"


def module_text(
    name: str, rewritten: Rewritten, sites: Sites, seen: Seen | None = None, *, of_module: bool = True
) -> str:
    """A Python module whose `forward` is the softened call.

    Where the program has several paths (the obstacles of `seen` say why), it is the path that the example inputs took.
    It takes the tensors among the call's arguments by their names, with `of_module` behind the module on which
    parameters and buffers are looked up. Softness stands in the table SOFTNESS.
    """
    graph = rewritten.module.graph
    writer = Writer(graph)
    placeholders = [writer.names(node) for node in graph.nodes if node.op == "placeholder"]
    inputs = len(placeholders) - len(rewritten.attributes) - len(rewritten.softness)
    attributes = zip(placeholders[inputs:], rewritten.attributes, strict=False)
    softness = zip(placeholders[inputs + len(rewritten.attributes) :], rewritten.softness, strict=True)
    body = [
        *(f"{variable} = _at(module, {literal(path)})" for variable, path in attributes),
        *(f"{variable} = SOFTNESS[{site}]" for variable, site in softness),
        *writer.statements(graph),
        f"return {_result(writer, rewritten)}",
    ]
    taken = ["module", *placeholders[:inputs]] if of_module else placeholders[:inputs]
    forward = f"def forward({', '.join(taken)}):\n" + textwrap.indent("\n".join(body), "    ", lambda line: True)
    constants = [*_softness_table(rewritten, sites), *_constants(writer, rewritten)]
    parts = ["\n".join(constants)] if constants else []
    definitions = [_AT, forward + "\n"] if rewritten.attributes else [forward + "\n"]
    code = "\n\n".join([*(part + "\n" for part in parts), *definitions])
    title = "\n".join(docstring(_title(name, rewritten, sites, seen, of_module)))
    return "\n".join([title, "", *_imports(code, rewritten), code])


def _title(name: str, rewritten: Rewritten, sites: Sites, seen: Seen | None, of_module: bool) -> Iterator[str]:
    yield f"The softened call of {name}. The report beside this file says what was decided at each site and why."
    if of_module:
        yield from (
            "",
            "`forward` takes the module first, whose parameters and buffers it looks up; None for a function.",
        )
    if seen is not None and seen.obstacles:
        yield from ("", "This is the path that the example inputs took. Others may take another, for the program")
        places = {(item.file, item.line) for item in seen.breaks} | set(_places(rewritten, sites))
        for obstacle in dict.fromkeys(seen.obstacles):
            for file, line in sorted(places, key=lambda place: len(place[0]), reverse=True):
                obstacle = obstacle.replace(f"{file}:{line}", place_text(file, line))
            yield f"- {obstacle}"
        yield from ("", "softfx.soften runs the original Python softly, whichever path it takes.")
    if of_module or (seen is not None and seen.obstacles):
        yield ""


def _places(rewritten: Rewritten, sites: Sites) -> Iterator[tuple[str, int]]:
    """The user's lines that the code comes from."""
    for node in rewritten.module.graph.nodes:
        location: Location | None = node.meta.get("location")
        if location is not None:
            yield location.file, location.line
    yield from ((site.location.file, site.location.line) for site in sites)


def _imports(code: str, rewritten: Rewritten) -> list[str]:
    """The imports of the names that the code uses: Python's own, then packages, then softfx and the user's."""
    try:
        used = _names_in(ast.parse(code))
    except SyntaxError as error:
        raise SpecError(f"the written code is no Python: {error}") from error
    known = {name for name in IMPORTS if name in used}
    own = [name for name in known if IMPORTS[name].startswith("from softfx")]
    groups = [
        [IMPORTS[name] for name in ("operator", "attrgetter") if name in known],
        [IMPORTS[name] for name in ("torch", "F") if name in known],
        [IMPORTS[name] for name in ("softtorch",) if name in known]
        + ([f"from softfx.runtime import {', '.join(sorted(own))}"] if own else []),
    ]
    called = [node.target for node in rewritten.module.graph.nodes if node.op == "call_function"]
    modules = {module_of(func) for func in (*called, *rewritten.module.meta["constants"].values())}
    groups[-1] += [f"import {module}" for module in sorted(filter(None, modules)) if f"{module}." in code]
    return [line for group in groups if group for line in (*group, "")]


def _names_in(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def _softness_table(rewritten: Rewritten, sites: Sites) -> list[str]:
    if not rewritten.softness:
        return []
    rows = []
    for site, softness in zip(rewritten.softness, rewritten.softness_of(sites), strict=True):
        record = sites[site]
        place = place_text(record.location.file, record.location.line)
        if isinstance(softness, Tensor) and softness.dim():
            number = tensor_literal(softness) or literal(float(softness.mean()))
        else:
            number = literal(float(softness))
        rows.append(f"    {record.id}: {number},  {comment(f'{record.rule.name} at {place}')}")
    return ["SOFTNESS = {", *rows, "}"]


def _constants(writer: Writer, rewritten: Rewritten) -> list[str]:
    lines = []
    used = {str(node.target): writer.names(node) for node in rewritten.module.graph.nodes if node.op == "get_attr"}
    values: dict[str, object] = {
        variable: rewritten.module.meta["constants"][attribute] for attribute, variable in used.items()
    }
    for variable, value in (values | writer.missing).items():
        text = constant_text(value)
        if text is None:
            kind = type(value).__name__
            text = "None  " + comment(f"a {kind} that the function closes over: set it before calling forward")
        lines.append(f"{variable} = {text}")
    return lines


# -- the result --------------------------------------------------------------------------------------------------------


def _result(writer: Writer, rewritten: Rewritten) -> str:
    """The expression for what `forward` returns: in the original's containers, flat where they are of other types."""
    leaves = rewritten.module.graph.output_node().args[0]
    assert isinstance(leaves, tuple | list)  # a captured graph returns its leaves one after another
    texts = [writer.text(leaf) for leaf in leaves]
    structure = pack_structure(rewritten.result)
    if _is_plain(structure):
        return _nested(structure, texts)
    return ", ".join(texts) if len(texts) != 1 else texts[0]


def _is_plain(tree: object) -> bool:
    """Return True for a number, and for tuples, lists and dicts with plain keys of such."""
    if type(tree) is dict:
        return all(type(key) in (str, int, bool, type(None)) and _is_plain(item) for key, item in tree.items())
    return type(tree) is int or (type(tree) in (tuple, list) and all(map(_is_plain, _items(tree))))


def _items(tree: object) -> Iterable[object]:
    return tree if isinstance(tree, tuple | list) else ()


def _nested(tree: object, texts: list[str]) -> str:
    """A container of leaf numbers, with the text of each leaf in its place."""
    if isinstance(tree, dict):
        return "{" + ", ".join(f"{literal(key)}: {_nested(item, texts)}" for key, item in tree.items()) + "}"
    if isinstance(tree, tuple):
        return "(" + ", ".join(_nested(item, texts) for item in tree) + ("," if len(tree) == 1 else "") + ")"
    if isinstance(tree, list):
        return "[" + ", ".join(_nested(item, texts) for item in tree) + "]"
    assert isinstance(tree, int)
    return texts[tree]
