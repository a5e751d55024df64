"""One entry of a policy: the sites that it selects and the fields that it sets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Protocol, cast

from softfx.decisions.policy.schema import Settings

__all__ = ["Entry", "Place"]

_LINE = re.compile(r"(.*):(\d+|\*)\Z", re.DOTALL)


class Place(Protocol):
    """The facts of a site by which entries select it; `softfx.report.record.Site` has them."""

    @property
    def op(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def module(self) -> str: ...
    @property
    def file(self) -> str: ...
    @property
    def line(self) -> int: ...


@dataclass(frozen=True)
class Entry:
    """Selectors and fields. The [default] table is an entry that selects everything.

    written: the operations as the policy writes them; operations and families: the names that they stand for.
    """

    label: str  # "policy.toml:14 [[rule]] 2", for the report
    where: str  # "policy.toml:14", for messages
    fields: Mapping[str, object]
    written: tuple[str, ...] = ("*",)
    operations: frozenset[str] = field(default_factory=frozenset)
    families: frozenset[str] = field(default_factory=frozenset)
    module: tuple[str, ...] | None = None
    source: tuple[str, ...] | None = None
    is_default: bool = False

    @property
    def settings(self) -> Settings:
        """The fields as settings; options are among them too, and nobody asks for those by name."""
        return cast(Settings, self.fields)  # `reading` has checked each value

    @cached_property
    def selects_any_op(self) -> bool:
        return "*" in self.written

    @property
    def selects_all(self) -> bool:
        return self.selects_any_op and self.module is None and self.source is None

    def names(self, place: Place) -> bool:
        """Return True if the entry names the operation itself or its family; "*" names nothing."""
        return place.op in self.operations or place.family in self.families

    def matches_op(self, place: Place) -> bool:
        return self.selects_any_op or self.names(place)

    def matches_module(self, place: Place) -> bool:
        return self.module is None or any(fnmatchcase(place.module, pattern) for pattern in self.module)

    def matches_source(self, place: Place) -> bool:
        return self.source is None or any(_matches_file(place, pattern) for pattern in self.source)

    def matches(self, place: Place) -> bool:
        return self.matches_op(place) and self.matches_module(place) and self.matches_source(place)

    def selectors(self) -> dict[str, str | list[str]]:
        """The selectors as a policy writes them."""
        data: dict[str, str | list[str]] = {}
        for key, value in (("op", self.written), ("module", self.module), ("source", self.source)):
            if value is not None and value != ("*",):
                data[key] = value[0] if len(value) == 1 else list(value)
        return data


def _matches_file(place: Place, pattern: str) -> bool:
    """Return True if the pattern fits the file and line; without a leading folder it fits below any folder."""
    line = "*"
    if (with_line := _LINE.match(pattern)) is not None:
        pattern, line = with_line[1], with_line[2]
    if line not in ("*", str(place.line)):
        return False
    file = place.file.replace("\\", "/")
    return fnmatchcase(file, pattern) or fnmatchcase(file, "*/" + pattern)
