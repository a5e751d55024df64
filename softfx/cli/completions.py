"""Completions for shells, made of the parser: the commands, and the options and choices of each.

An argument that takes other values than its choices too, as a preset or a file, names them in `SUGGESTED`. The function
for bash is written so that zsh, which loads bash's completions by bashcompinit, reads it in the same way.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence

from softfx.handbook.entries import entries
from softfx.vocabulary import FAMILIES, PRESET_NAMES

__all__ = ["completions"]

# By the argument's destination: values that a user is likely to want, where others are legal.
SUGGESTED: Mapping[str, tuple[str, ...]] = {"policy": PRESET_NAMES, "fail_on": ("blocked", "keep", "break", "none")}
_FILES_TOO = ("policy",)

_BASH = """\
# softfx completions for bash: softfx completions bash > ~/.local/share/bash-completion/completions/softfx
_softfx_words() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" last="${{COMP_WORDS[COMP_CWORD-1]}}" place="" each
    for each in "${{COMP_WORDS[@]:1:$((COMP_CWORD - 1))}}"; do
        case "$place $each" in
{nesting}
        esac
    done
    case "$place $last" in
{choices}
    esac
    if [[ "$word" != -* ]]; then
        case "$place" in
{below}
        esac
        COMPREPLY=($(compgen -f -- "$word")); return
    fi
    case "$place" in
{options}
    esac
}}
complete -o filenames -F _softfx_words softfx
"""
_ZSH = """\
#compdef softfx
# softfx completions for zsh: softfx completions zsh > "${{fpath[1]}}/_softfx"
autoload -U +X bashcompinit && bashcompinit
{bash}_bash_complete -o filenames -F _softfx_words
"""


def completions(parser: argparse.ArgumentParser, shell: str) -> str:
    """The script that completes the words of `softfx` in a shell."""
    if shell == "fish":
        return "\n".join(_fish(parser)) + "\n"
    bash = _bash(parser)
    return bash if shell == "bash" else _ZSH.format(bash=bash)


def _commands(
    parser: argparse.ArgumentParser, place: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], argparse.ArgumentParser]]:
    """Each parser with the words that lead to it."""
    yield place, parser
    for name, child in _below(parser).items():
        yield from _commands(child, (*place, name))


def _below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    found: dict[str, argparse.ArgumentParser] = {}
    for action in parser._actions:
        if _is_command(action) and isinstance(action.choices, dict):
            found |= action.choices
    return found


def _is_command(action: argparse.Action) -> bool:
    return action.nargs == argparse.PARSER


def _values(action: argparse.Action) -> tuple[str, ...]:
    """The values of an argument that a shell may offer."""
    if action.choices and not _is_command(action):
        return tuple(map(str, action.choices))
    if action.dest == "name" and not action.option_strings:  # what `explain` takes
        return (*(entry.name for entry in entries()), *(f"@{family}" for family in FAMILIES))
    return SUGGESTED.get(action.dest, ())


def _bash(parser: argparse.ArgumentParser) -> str:
    nesting, choices, below, options = [], [], [], []
    for place, each in _commands(parser):
        words = " ".join(place)
        if place:
            nesting.append(f'            "{" ".join(place[:-1])} {place[-1]}") place="{words}" ;;')
        first = [*_below(each), *(name for action in _positional(each) for name in _values(action))]
        if first:
            below.append(f'            "{words}") COMPREPLY=({_compgen(first)}); return ;;')
        flags = [flag for action in each._actions for flag in action.option_strings]
        options.append(f'        "{words}") COMPREPLY=({_compgen(flags)}) ;;')
        for action in each._actions:
            if action.option_strings and (names := _values(action)):
                patterns = "|".join(f'"{words} {flag}"' for flag in action.option_strings)
                more = " -f" if action.dest in _FILES_TOO else ""
                choices.append(f"        {patterns}) COMPREPLY=({_compgen(names, more)}); return ;;")
    joined = {"nesting": nesting, "choices": choices, "below": below, "options": options}
    return _BASH.format(**{name: "\n".join(lines) for name, lines in joined.items()})


def _compgen(words: Sequence[str], more: str = "") -> str:
    return f'$(compgen -W "{" ".join(words)}"{more} -- "$word")'


def _positional(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    return [action for action in parser._actions if not action.option_strings and not _is_command(action)]


def _fish(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield "# softfx completions for fish: softfx completions fish > ~/.config/fish/completions/softfx.fish"
    top = " ".join(_below(parser))
    yield f"complete -c softfx -n 'not __fish_seen_subcommand_from {top}' -f -a '{top}'"
    for place, each in _commands(parser):
        if not place:
            continue
        seen = " ; and ".join(f"__fish_seen_subcommand_from {word}" for word in place)
        if children := " ".join(_below(each)):
            yield f"complete -c softfx -n '{seen}' -f -a '{children}'"
        for action in each._actions:
            words = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in action.option_strings]
            names = " ".join(_values(action))
            if words:
                alone = "-r -F" if action.dest in _FILES_TOO else "-x"
                more = f" {alone} -a '{names}'" if names else ""
                text = (action.help or "").replace("'", "\\'").replace("%%", "%")
                yield f"complete -c softfx -n '{seen}' {' '.join(words)}{more} -d '{text}'"
            elif names:
                yield f"complete -c softfx -n '{seen}' -f -a '{names}'"
