"""The way from data to entries: every mistake is collected before one error is raised.

A mistake reads `policy.toml:14: what is wrong. What is legal. What to do.`; for a dict the place is the entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from softfx.decisions.policy.entry import Entry
from softfx.decisions.policy.methods import misfit
from softfx.decisions.policy.presets import DEFAULT_PRESET, PRESETS
from softfx.decisions.policy.schema import FAMILIES, SELECTORS, SETTINGS, legal_option, wrong
from softfx.decisions.policy.toml import Lines
from softfx.errors import PolicyError, brief, did_you_mean, listed
from softfx.rules.rule import Rule

__all__ = ["read_entries"]

_TOP_LEVEL = ("version", "preset", "default", "rule")
_MOST_MISTAKES = 100  # that one message tells
_ALWAYS = ("softness", "mode", "method")


def read_entries(
    data: Mapping[str, object], name: str, lines: Lines | None, known: Mapping[str, Rule], titled: bool = True
) -> tuple[str, list[Entry]]:
    """The preset that the policy starts from and its own entries, in order.

    titled: without line numbers, entries are told apart by their titles ("<dict> [[rule]] 2").
    """
    reader = _Reader(name, lines, known, titled)
    preset = reader.top_level(data)
    entries = [entry for entry in (reader.default(data.get("default", {})), *reader.rules(data)) if entry]
    reader.check_guards(preset, entries)
    if reader.mistakes:
        texts = [text for _, text in sorted(reader.mistakes, key=lambda item: item[0])]
        more = [f"{name}: {len(texts) - _MOST_MISTAKES} more mistakes like these."][: len(texts) > _MOST_MISTAKES]
        raise PolicyError("\n".join([*texts[:_MOST_MISTAKES], *more]))
    return preset, entries


class _Reader:
    """Reads the parts of a policy and collects the mistakes in them."""

    def __init__(self, name: str, lines: Lines | None, known: Mapping[str, Rule], titled: bool) -> None:
        self.name, self.lines, self.known, self.titled = name, lines, known, titled
        self.mistakes: list[tuple[int, str]] = []  # with the line, by which they are sorted
        self.by_name = {alias: rule.name for rule in known.values() for alias in rule.aliases if "." not in alias}
        self.by_name |= {rule.code: name for name, rule in known.items()} | {name: name for name in known}
        self.options = sorted({option for rule in known.values() for option in rule.options} | set(_ALWAYS))

    # -- places ----------------------------------------------------------------------------------------------

    def where(self, table: str, index: int = 0, key: str = "") -> str:
        if self.lines is not None:
            return f"{self.name}:{self.lines.of(table, index, key)}"
        return f"{self.name} {_title(table, index)}".rstrip() if self.titled else self.name

    def label(self, table: str, index: int = 0) -> str:
        where = self.where(table, index)
        return where if self.lines is None else f"{where} {_title(table, index)}"

    def mistake(self, text: str, table: str = "", index: int = 0, key: str = "") -> None:
        line = 0 if self.lines is None else self.lines.of(table, index, key)
        self.mistakes.append((line, f"{self.where(table, index, key)}: {text}"))

    # -- parts -----------------------------------------------------------------------------------------------

    def top_level(self, data: Mapping[str, object]) -> str:
        for key in data:
            if key not in _TOP_LEVEL:
                self.mistake(_unknown("key", key, _TOP_LEVEL), key=key)
        version = data.get("version", 1)
        if type(version) is not int or version != 1:
            self.mistake(f"version = {brief(version)} is not known. This softfx reads version = 1.", key="version")
        preset = data.get("preset", DEFAULT_PRESET)
        if not isinstance(preset, str) or preset not in PRESETS:
            self.mistake(_unknown("preset", preset, PRESETS), key="preset")
            return DEFAULT_PRESET
        return preset

    def default(self, table: object) -> Entry | None:
        if not isinstance(table, Mapping):
            self.mistake(f"[default] is {brief(table)}. It is a table of fields.", key="default")
            return None
        if not table:
            return None
        fields = self.fields(table, "default", 0)
        families = table.get("families")
        if families is not None:
            if isinstance(families, list | tuple) and all(family in FAMILIES for family in families):
                fields["families"] = tuple(families)
            else:
                self.mistake(_families(families), "default", 0, "families")
        return Entry(self.label("default"), self.where("default"), fields, is_default=True)

    def rules(self, data: Mapping[str, object]) -> Iterable[Entry | None]:
        tables = data.get("rule", [])
        if not isinstance(tables, list | tuple):
            self.mistake("rule is a single table. Write each entry as [[rule]], with two brackets.", "rule")
            return
        for index, table in enumerate(tables):
            if isinstance(table, Mapping):
                yield self.rule(table, index)
            else:
                self.mistake(f"[[rule]] is {brief(table)}. It is a table of selectors and fields.", "rule", index)

    def rule(self, table: Mapping[str, object], index: int) -> Entry:
        for key, legal in SELECTORS.items():
            if key in table and (text := wrong(key, table[key], legal)):
                self.mistake(text, "rule", index, key)
        written = _texts(table.get("op", "*")) or ("*",)
        operations, families = self.operations(written, index)
        fields = self.fields(table, "rule", index)
        self.check_options(fields, written, operations, families, index)
        if not set(table) - set(SELECTORS):
            self.mistake("this [[rule]] sets nothing. Give it an action or an option such as softness.", "rule", index)
        return Entry(
            self.label("rule", index),
            self.where("rule", index),
            fields,
            written,
            operations,
            families,
            _texts(table["module"]) if "module" in table else None,
            _texts(table["source"]) if "source" in table else None,
        )

    def operations(self, written: tuple[str, ...], index: int) -> tuple[frozenset[str], frozenset[str]]:
        operations, families = set(), set()
        for name in written:
            if name.startswith("@"):
                families.add(name[1:])
                if name[1:] not in FAMILIES:
                    known = ["@" + family for family in FAMILIES]
                    self.mistake(_unknown("family", name, known), "rule", index, "op")
            elif name in self.by_name:
                meant = self.known[self.by_name[name]]
                operations |= {meant.name, *(other.name for other in meant.stands_for)}
            elif name not in ("*", ""):  # "" has been refused already, as a value that is not legal
                likely = self.by_name if len(self.mistakes) < _MOST_MISTAKES else ()  # a search for what nobody reads
                near = did_you_mean(name, (known for known in likely if not known.startswith("SX")))
                text = f"unknown operation {brief(name)}.{near} `softfx rules` lists all."
                self.mistake(text, "rule", index, "op")
        return frozenset(operations), frozenset(families)

    def fields(self, table: Mapping[str, object], name: str, index: int) -> dict[str, object]:
        """The fields that the entry sets, each value checked."""
        fields: dict[str, object] = {}
        own = ("families",) if name == "default" else tuple(SELECTORS)
        legal_keys = (*own, *SETTINGS, *self.options)
        for key, value in table.items():
            if key in own:
                continue
            if key not in legal_keys:
                self.mistake(_unknown("key", key, legal_keys) + _misplaced(key, name), name, index, key)
            elif text := wrong(key, value, SETTINGS.get(key) or legal_option(key)):
                self.mistake(text, name, index, key)
            else:
                fields[key] = value
        if name == "default":
            self.check_method(fields, [None], name, index)
        return fields

    # -- checks across fields --------------------------------------------------------------------------------

    def check_options(
        self,
        fields: Mapping[str, object],
        written: tuple[str, ...],
        operations: frozenset[str],
        families: frozenset[str],
        index: int,
    ) -> None:
        """Refuse an option that none of the operations named by the entry takes."""
        self.check_method(fields, [self.known[name] for name in sorted(operations)] or [None], "rule", index)
        if (
            "*" in written or SETTINGS.keys() >= fields.keys()
        ):  # before all rules are looked at: of entries there are many
            return
        rules = [rule for rule in self.known.values() if rule.name in operations or rule.family in families]
        if not rules:
            return
        taken = sorted({option for rule in rules for option in rule.options})
        for key in fields:
            if key not in SETTINGS and key not in taken:
                text = f"{listed(written)} takes no {key}. It takes {', '.join(taken) or 'no options'}."
                self.mistake(f"{text} `softfx explain {written[0].lstrip('@')}` says more.", "rule", index, key)

    def check_method(self, fields: Mapping[str, object], rules: Iterable[Rule | None], table: str, index: int) -> None:
        """Refuse a method that cannot serve the operations named, or the mode beside it."""
        texts = [misfit(rule, fields.get("method"), fields.get("mode")) for rule in rules]
        for text in dict.fromkeys(filter(None, texts)):
            self.mistake(text, table, index, "method")

    def check_guards(self, preset: str, entries: list[Entry]) -> None:
        """Refuse a guard of an operation that is not unsafe: there is nothing to guard."""
        base = PRESETS[preset]["default"]
        default = next((entry for entry in entries if entry.is_default), None)
        base = base | default.settings if default else base
        if base["action"] == "guard" and (others := [f for f in base["families"] if f != "unsafe"]):
            text = f"a guard cannot act on {listed(others)} operations: it mends infinite and NaN gradients."
            self.mistake(f'{text} Write families = ["unsafe"], or action = "straight_through".', "default", 0, "action")
        rules = [entry for entry in entries if not entry.is_default]
        for index, entry in enumerate(rules):
            if entry.settings.get("action", base["action"]) != "guard":
                continue
            named = {self.known[op].family for op in entry.operations} | set(entry.families)
            if "*" in entry.written or named - {"unsafe"}:
                text = f"action = 'guard' is only for unsafe operations, not for {listed(entry.written)}."
                hint = 'Use "soft" or "straight_through", or name unsafe operations such as op = "@unsafe".'
                self.mistake(f"{text} {hint}", "rule", index, "action")


def _title(table: str, index: int) -> str:
    return {"default": "[default]", "rule": f"[[rule]] {index + 1}"}.get(table, "")


def _unknown(what: str, name: object, known: Iterable[str]) -> str:
    known = list(known)
    return f"unknown {what} {brief(name)}. Legal: {', '.join(known)}.{did_you_mean(name, known)}"


def _families(value: object) -> str:
    strange = [part for part in value if part not in FAMILIES] if isinstance(value, list | tuple) else []
    hint = did_you_mean(strange[0], FAMILIES) if strange else ""
    return f"families = {brief(value)} is not legal. Use a list of {', '.join(FAMILIES)}.{hint}"


def _misplaced(key: str, table: str) -> str:
    if table == "default" and key in SELECTORS:
        return " [default] holds for every site; selectors belong in a [[rule]]."
    if table == "rule" and key == "families":
        return ' A [[rule]] names families as op = "@discrete".'
    return ""


def _texts(value: object) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()
