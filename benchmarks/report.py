"""What the benchmarks share: tables, sections of docs/results.md, the machine."""

from __future__ import annotations

import os
import pathlib
import platform
import re
import resource
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any

from t5coref.cli.tokenizers import find_tokenizer
from t5coref.core.errors import ConfigError

RESULTS = pathlib.Path(__file__).parents[1] / "docs" / "results.md"


def timed(function: Callable[[], Any], repeats: int) -> tuple[float, Any]:
    """Seconds of the fastest of `repeats` calls, and what the last one returned."""
    best, result = float("inf"), None
    for _ in range(repeats):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def vocabulary(path: str | None) -> bytes:
    """The SentencePiece model that `--tokenizer` names, or the one found without it."""
    try:
        return find_tokenizer(path).model
    except ConfigError as error:
        raise SystemExit(str(error)) from None


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def number(value: float | None, digits: int = 3) -> str:
    """`digits` significant digits, never in powers of ten; a dash for None."""
    if value is None:
        return "-"
    if value == 0:
        return "0"
    decimals = max(0, digits - len(str(int(abs(value)))) if abs(value) >= 1 else digits)
    return f"{value:,.{decimals}f}"


def replace_section(text: str, name: str, body: str) -> str:
    """`text` with `body` between its marks `<!-- bench:name -->` and `<!-- /bench:name -->`.

    Raises:
      ValueError: the marks are not there exactly once, in this order.
    """
    start, end = f"<!-- bench:{name} -->", f"<!-- /bench:{name} -->"
    pattern = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if text.count(start) != 1 or text.count(end) != 1 or not pattern.search(text):
        raise ValueError(
            f"expected the line {start!r} once and {end!r} once behind it; "
            f"got {text.count(start)} and {text.count(end)} of them"
        )
    body = body.strip("\n")  # blanks stay: a section may begin with a code block
    return pattern.sub(lambda _: f"{start}\n\n{body}\n\n{end}", text)


def write_section(name: str, body: str, path: pathlib.Path = RESULTS) -> None:
    """Writes a benchmark's section of docs/results.md."""
    path.write_text(replace_section(path.read_text("utf-8"), name, body), encoding="utf-8")


def machine(*packages: str) -> str:
    """Cores, memory, Python and the versions of packages, in one line."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    python = platform.python_version()
    return f"{platform.machine()}, {cores} cores, {memory:.0f} GiB; Python {python}, {versions}"


def peak_mib() -> float:
    """The most memory that this process has held, in MiB."""
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
