"""The parser behind every command: its errors name what was probably meant, and show the words given escaped."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any, NoReturn

from softfx.errors import did_you_mean
from softfx.visible import visible

__all__ = ["Parser"]

_CHOICE = re.compile(r"invalid choice: '(?P<given>[^']*)' \(choose from (?P<legal>.*)\)$", re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser that suggests the nearest command, option or choice."""

    def error(self, message: str) -> NoReturn:
        if (found := _CHOICE.search(message)) is not None:
            message += "." + did_you_mean(found["given"], re.findall(r"[\w-]+", found["legal"]))
        super().error(visible(message))

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse, and refuse options that are not of this command, where its own are known."""
        found, rest = super().parse_known_args(args, namespace)
        if unknown := [word for word in rest if word.startswith("-")]:
            self.error(f"unrecognized arguments: {' '.join(rest)}.{did_you_mean(_name(unknown[0]), self._options())}")
        return found, rest

    def _options(self) -> Sequence[str]:
        """The options of this command as they are written."""
        return re.findall(r"(?<![\w-])--[\w-]+", self.format_help())


def _name(word: str) -> str:
    return word.partition("=")[0]
