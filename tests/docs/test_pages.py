"""Pages that say so are run: their blocks for Python and the shell, in order, in one folder.

A page says so by the comment MARK. A `text` block behind another one is what that prints, with
`...` for what is left out. Shells find a `t5coref` that has a tiny model in the place of the
released one.
"""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import inspect
import io
import json
import os
import re
import shutil
import subprocess

import pytest
from documentation import PAGES, ROOT, Block, blocks

MARK = "<!-- The Python and shell blocks of this page are run by tests/docs/test_pages.py. -->"
RUN = [page for page in PAGES if MARK in page.read_text("utf-8")]
ALIKE = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@pytest.mark.parametrize("page", RUN, ids=lambda page: page.name)
def test_blocks_of_a_page(page, workplace):
    names: dict[str, object] = {}
    printed = None
    found = blocks(page.read_text("utf-8"))
    assert {"python", "bash"} & {block.kind for block in found}
    if any("| jq" in block.code for block in found) and shutil.which("jq") is None:
        pytest.skip("the page needs jq, which is not installed")
    for block in found:
        where = f"{page.name}, line {block.line}"
        if block.kind == "python":
            printed = _run(block, names, page)
        elif block.kind == "pycon":
            _compare(block, names, page)
        elif block.kind == "bash":
            printed = _shell(block, workplace, where)
        elif block.kind == "text":
            assert printed is not None, f"{where}: nothing was run that could print this"
            alike = doctest.OutputChecker().check_output(block.code, printed, ALIKE)
            assert alike, f"{where}: expected\n{block.code}\ngot\n{printed}"
            printed = None


def _run(block: Block, names: dict[str, object], page) -> str:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        exec(compile("\n" * (block.line - 1) + block.code, str(page), "exec"), names)
    return out.getvalue()


def _compare(block: Block, names: dict[str, object], page) -> None:
    runner = doctest.DocTestRunner(verbose=False)
    example = doctest.DocTestParser().get_doctest(
        block.code, names, page.name, str(page), block.line
    )
    report = io.StringIO()
    failed, tried = runner.run(example, out=report.write, clear_globs=False)
    assert tried
    assert not failed, report.getvalue()
    names |= example.globs


def _shell(block: Block, workplace, where: str) -> str:
    path = f"{workplace / 'bin'}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.code],
        env={**os.environ, "PATH": path, "XLA_FLAGS": "--xla_backend_optimization_level=0"},
        cwd=workplace, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert not done.returncode, f"{where}: {done.stderr}"
    return done.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_that_a_page_uses(page):
    """What is imported is there and takes the arguments that it is given by name."""
    for block in blocks(page.read_text("utf-8")):
        if block.kind == "json":
            json.loads(block.code)
        if block.kind != "python":
            continue
        tree = ast.parse(block.code, f"{page.name}, line {block.line}")
        try:
            ours = _imported(tree)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("t5coref"):
                raise
            pytest.skip(f"the page is about {error.name}, which is not installed")
        for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
            if callable(made := _named(call.func, ours)):
                inspect.signature(made).bind_partial(
                    **{arg.arg: None for arg in call.keywords if arg.arg is not None}
                )


def _imported(tree: ast.AST) -> dict[str, object]:
    """Names of ours -> what they stand for."""
    found: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                if name.name.startswith("t5coref"):
                    module = importlib.import_module(name.name)
                    found[name.asname or "t5coref"] = (
                        module if name.asname else importlib.import_module("t5coref")
                    )
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("t5coref"):
            for name in node.names:
                found[name.asname or name.name] = _member(node.module or "", name.name)
    return found


def _member(module: str, name: str) -> object:
    try:
        return getattr(importlib.import_module(module), name)
    except AttributeError:
        return importlib.import_module(f"{module}.{name}")


def _named(function: ast.expr, ours: dict[str, object]) -> object | None:
    """What is called, where it is a name of ours or an attribute of one."""
    if isinstance(function, ast.Name):
        return ours.get(function.id)
    if isinstance(function, ast.Attribute):
        owner = _named(function.value, ours)
        return None if owner is None else getattr(owner, function.attr)
    return None


def test_pictures_are_shown_and_small():
    text = "".join(page.read_text("utf-8") for page in PAGES)
    shown = set(re.findall(r"\]\(pictures/([\w.-]+)\)", text))
    files = {path.name: path.stat().st_size for path in (ROOT / "docs" / "pictures").iterdir()}
    assert shown == files.keys()
    assert max(files.values()) <= 150_000
