"""Completions for shells, made of the parser: the commands, and the options and choices of each."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

__all__ = ["completions"]

_BASH = """\
# softfx completions for bash: softfx completions bash > ~/.local/share/bash-completion/completions/softfx
_softfx() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" last="${{COMP_WORDS[COMP_CWORD-1]}}" place="" each
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
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
complete -o filenames -F _softfx softfx
"""
_ZSH = """\
#compdef softfx
# softfx completions for zsh: softfx completions zsh > "${{fpath[1]}}/_softfx"
autoload -U +X bashcompinit && bashcompinit
{bash}"""


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
        if action.nargs == argparse.PARSER and isinstance(action.choices, dict):
            found |= action.choices
    return found


def _bash(parser: argparse.ArgumentParser) -> str:
    nesting, choices, below, options = [], [], [], []
    for place, each in _commands(parser):
        words = " ".join(place)
        if place:
            nesting.append(f'            "{" ".join(place[:-1])} {place[-1]}") place="{words}" ;;')
        if children := " ".join(_below(each)):
            below.append(f'            "{words}") COMPREPLY=($(compgen -W "{children}" -- "$word")); return ;;')
        flags = [flag for action in each._actions for flag in action.option_strings]
        options.append(f'        "{words}") COMPREPLY=($(compgen -W "{" ".join(flags)}" -- "$word")) ;;')
        for action in each._actions:
            if action.choices and action.option_strings:
                names = " ".join(map(str, action.choices))
                patterns = "|".join(f'"{words} {flag}"' for flag in action.option_strings)
                choices.append(f'        {patterns}) COMPREPLY=($(compgen -W "{names}" -- "$word")); return ;;')
    joined = {"nesting": nesting, "choices": choices, "below": below, "options": options}
    return _BASH.format(**{name: "\n".join(lines) for name, lines in joined.items()})


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
            if words:
                more = f" -x -a '{' '.join(map(str, action.choices))}'" if action.choices else ""
                text = (action.help or "").replace("'", "\\'").replace("%%", "%")
                yield f"complete -c softfx -n '{seen}' {' '.join(words)}{more} -d '{text}'"
