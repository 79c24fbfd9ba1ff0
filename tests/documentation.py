"""Pages of the documentation: their blocks of code, and the command lines in them."""

from __future__ import annotations

import pathlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

ROOT = pathlib.Path(__file__).parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?<=\n)\n((?: {4,}.*\n|\n(?= {4}))+)")
_INLINE = re.compile(r"(?<!`)`(t5coref [^`]+)`")
_PROGRAM = re.compile(r"(?:[\w.~/-]*/)?t5coref")
_OPERATORS = {"|", "||", "&&", ";", "&", "then", "do"}
UNFINISHED = "..."


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, and the number of the first of these."""

    kind: str
    code: str
    line: int


@dataclass(frozen=True)
class Command:
    """A command line of ours: its arguments, and whether it is all there."""

    arguments: tuple[str, ...]
    whole: bool


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(found[1], found[2], text.count("\n", 0, found.start()) + 2)
        for found in _FENCED.finditer(text)
    ]


def page_commands(text: str) -> Iterator[Command]:
    """Those of a page: of its blocks, and those within sentences, which are parts of commands."""
    for block in blocks(text):
        if block.kind in ("bash", ""):
            yield from commands(block.code)
    prose = _FENCED.sub("", text)
    for found in _INDENTED.finditer(prose):
        yield from commands(found[1])
    for found in _INLINE.finditer(prose):
        for command in commands(" ".join(found[1].split())):
            yield Command(command.arguments, whole=False)


def commands(shell: str) -> Iterator[Command]:
    """Those of some lines for a shell, also behind pipes and within quotes."""
    rest = iter(re.sub(r"\\\n\s*", " ", shell).splitlines())
    for line in rest:
        if "t5coref " in line:
            yield from _of_tokens(_split(line, rest))


def _split(line: str, rest: Iterator[str]) -> list[str]:
    """Words of a line, and of further ones while a quotation is open."""
    while True:
        try:
            return shlex.split(line, comments=True)
        except ValueError as error:
            following = next(rest, None)
            if following is None:
                raise ValueError(f"{line!r}: {error}") from None
            line += "\n" + following


def _of_tokens(tokens: list[str]) -> Iterator[Command]:
    taken: list[str] | None = None
    for token in [*tokens, ";"]:
        if token in _OPERATORS:
            if taken:
                yield _command(taken)
            taken = None
        elif taken is not None:
            taken.append(token)
        elif _PROGRAM.fullmatch(token):
            taken = []
        elif "t5coref " in token:
            yield from commands(token)


def _command(tokens: list[str]) -> Command:
    """Without the signs of usage lines: `...`, `FILE...`, `[--check]`, `a|b`, `N`, `(remark)`."""
    remark = next((k for k, token in enumerate(tokens) if token.startswith("(")), len(tokens))
    kept: list[str] = []
    for token in tokens[:remark]:
        if token == UNFINISHED and not (kept and re.fullmatch(r"--[\w.-]+", kept[-1])):
            continue
        plain = token.removeprefix("[").removesuffix("]")
        plain = plain if plain == UNFINISHED else plain.removesuffix(UNFINISHED)
        kept.append("1" if plain == "N" else re.sub(r"^([\w-]+)(\|[\w-]+)+$", r"\1", plain))
    return Command(tuple(kept), whole=UNFINISHED not in tokens)
