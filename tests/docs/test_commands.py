"""Every `t5coref` line of the pages, of `--help` and of gin files is one that is understood."""

from __future__ import annotations

import argparse
import functools
import importlib
import re

import pytest
from documentation import PAGES, ROOT, Command, commands, page_commands

from t5coref import released
from t5coref.cli import COMMANDS, gin_files


class RefusedError(Exception):
    """What argparse says of a line."""


class Parser(argparse.ArgumentParser):
    """Raises what it would print; the names that stand for values are values of any kind."""

    def error(self, message: str):
        raise RefusedError(message)

    def _check_value(self, action: argparse.Action, value: object):
        if not (isinstance(value, str) and value.isupper()):
            super()._check_value(action, value)


@functools.cache
def parser(name: str, *, whole: bool) -> argparse.ArgumentParser:
    """That of a command; one for parts of command lines lets everything be left out."""
    made = Parser(prog=f"t5coref {name}")
    importlib.import_module(f"t5coref.cli.{COMMANDS[name]}").configure(made)
    if not whole:
        _ask_for_nothing(made)
    return made


def _ask_for_nothing(made: argparse.ArgumentParser) -> None:
    for group in made._mutually_exclusive_groups:
        group.required = False
    for action in made._actions:
        action.required = False
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                _ask_for_nothing(below)
        elif not action.option_strings:
            action.nargs = {None: "?", "+": "*"}.get(action.nargs, action.nargs)


def parsed(command: Command) -> argparse.Namespace | None:
    """The arguments as the command reads them; None where it would only explain itself."""
    if command.arguments[0].startswith("-") or command.arguments[0] == "COMMAND":
        return None  # of any command
    name, *rest = command.arguments
    if name not in COMMANDS:
        raise RefusedError(f"no command {name!r}")
    if "--help" in rest:
        return None
    made = parser(name, whole=command.whole)
    if not command.whole and rest and rest[-1] in made._option_string_actions:
        rest.pop()  # an option that is spoken of, without its value
    return made.parse_args(rest)


def refusals(found: list[Command]) -> list[str]:
    said = []
    for command in found:
        try:
            parsed(command)
        except RefusedError as error:
            said.append(f"t5coref {' '.join(command.arguments)}: {error}")
    return said


@pytest.fixture(autouse=True)
def _a_released_model(monkeypatch, tmp_path):
    """Stands for the default of --model, which is looked for when a line is read."""
    monkeypatch.setattr(released, "default_model", lambda: tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_a_page(page):
    assert not refusals(list(page_commands(page.read_text("utf-8"))))


@pytest.mark.parametrize("name", COMMANDS)
def test_examples_of_help(name):
    made = parser(name, whole=True)
    joined = re.sub(r"\\\n *", "", made.epilog or "")
    examples = re.findall(r"^  ((?:\w[^\n]* \| )?t5coref .*?)(?:  .*)?$", joined, re.MULTILINE)
    assert not refusals(list(commands("\n".join(examples))))


@pytest.mark.parametrize("path", sorted((ROOT / "gin").rglob("*.gin")), ids=lambda path: path.stem)
def test_commands_that_gin_files_give(path):
    head = "\n".join(re.findall(r"^#  +(.*)$", path.read_text("utf-8"), re.MULTILINE))
    assert not refusals(list(commands(head)))


def test_what_is_wrong_is_found():
    page = """Text.

    t5coref view a.jsonl --godl dev.conll

    t5coref score a.conll | t5coref veiw -
    on_all "~/venv/bin/t5coref predict --input a \\
      --batchsize 3"

Give `t5coref predict --modle`, or `t5coref score KEY RESPONSE --scheme mine`. `t5coref score` and
`t5coref view --gold` are right.
"""
    said = refusals(list(page_commands(page)))
    wrong = ("--godl", "required: RESPONSE", "'veiw'", "--batchsize", "--modle", "'mine'")
    assert len(said) == len(wrong)
    assert all(part in line for part, line in zip(wrong, said, strict=True))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_bindings_of_training(page):
    """Files, functions, arguments and macros that lines of `t5coref train` name are there."""
    for command in page_commands(page.read_text("utf-8")):
        if command.arguments[0] != "train" or not (args := parsed(command)) or not args.gin_file:
            continue
        if all((ROOT / file).is_file() for file in args.gin_file):
            bindings = [gin_files.binding(text) for text in args.gin_bindings]
            gin_files.load(args.gin_file, bindings, complete=False)
