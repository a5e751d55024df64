"""Text of others made safe to show: what a terminal, an editor or a reader would not see as itself is escaped.

Source lines, file names, module names and messages come from third parties. A terminal obeys the control characters
in them, and bidirectional overrides and characters without width make a line read as another one than it is. Every
format, message and comment of written code takes such text through `visible`; nothing else decides what is escaped.
"""

from __future__ import annotations

import re

__all__ = ["is_plain", "visible"]

# What str.isprintable lets pass and is drawn as nothing: fillers, joiners, variation selectors (Unicode's
# Default_Ignorable_Code_Point).
_UNSEEN = "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0000-\U000e0fff"
_SUSPECT = re.compile(rf"[^ -~]|[{_UNSEEN}]")
_DRAWN_AS_NOTHING = re.compile(rf"[{_UNSEEN}]")
# Spaces of other scripts, which str.isprintable calls unprintable: they are seen as what they are.
_SPACES = frozenset("\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000")
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def visible(text: str, keep: str = "") -> str:
    r"""`text` with control, bidirectional and invisible characters as their escapes in Python.

    keep: characters that are left as they are, such as "\n" in a text of several lines.

    >>> print(visible("a\x1b[2Jb\u202ec\nd"))
    a\x1b[2Jb\u202ec\nd
    >>> print(visible("größer, 大きい"))
    größer, 大きい
    """
    return _SUSPECT.sub(lambda match: match[0] if match[0] in keep or is_plain(match[0]) else _escape(match[0]), text)


def is_plain(character: str) -> bool:
    """Return True for a character that is seen as itself."""
    if character in _SPACES:
        return True
    return character.isprintable() and not _DRAWN_AS_NOTHING.match(character)


def _escape(character: str) -> str:
    if character in _SHORT:
        return _SHORT[character]
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
