"""Gin files: where ours are, what may be configured in them, and clear words where one is wrong.

A gin file is a Python call written down: it binds arguments of the constructors in `CONSTRUCTORS`,
under their own names. The library itself knows nothing of gin.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import gin

import t5coref
from t5coref.core.errors import ConfigError, T5CorefError

CONSTRUCTORS = {
    "train": "t5coref.train",
    "pretrained": "t5coref.model",
    "from_scratch": "t5coref.model",
    "Format": "t5coref.model",
    "T5Config": "t5coref.nn.stack",
    "Tokenizer": "t5coref.tokenizer",
    "adamw": "t5coref.optimizers",
    "adafactor": "t5coref.optimizers",
    "corpus_files": "t5coref.inputs",
    "demo_stories": "t5coref.inputs",
    "vocabulary": "t5coref.inputs",
}
"""What gin files may bind arguments of: name -> the module that has it."""

REQUIRED = "%gin.REQUIRED"
_MACRO = re.compile(r"^([A-Za-z]\w*) = *(.*)", re.MULTILINE)
_READ = re.compile(r"%(\w+)")
_ADDED_BY_GIN = "\n  In call to configurable"


def gin_root() -> pathlib.Path:
    """The folder that holds our `gin/`: of the package in a wheel, of the repository otherwise.

    Raises:
      ConfigError: the installation is not whole.
    """
    package = pathlib.Path(t5coref.__file__).parent
    for root in (package, package.parent):
        if (root / "gin" / "runs").is_dir():
            return root
    raise ConfigError(f"no gin/runs in {package} or its parent; install t5coref again")


@functools.cache
def register() -> None:
    """Makes the constructors known to gin."""
    for name, module in CONSTRUCTORS.items():
        made = getattr(importlib.import_module(module), name)
        gin.external_configurable(made, name=name, module="t5coref")
    gin.add_config_file_search_path(str(gin_root()))


def load(files: Sequence[str], bindings: Sequence[str] = (), *, complete: bool = True) -> None:
    """Reads gin files in order, then single bindings (`train.steps=100`, `OUTPUT='run'`).

    What was read before is forgotten. Paths are those of the working directory, or else of
    `gin_root()`.

    Args:
      files: each may include others.
      bindings: they override the files.
      complete: refuse to leave anything required without a value.

    Raises:
      ConfigError: a file is missing or malformed, a name is unknown, a macro is never read, or a
        required one has no value.
    """
    register()
    gin.clear_config()
    try:
        gin.parse_config_files_and_bindings(
            list(files), list(bindings), print_includes_and_imports=False
        )
    except (ValueError, OSError, SyntaxError, KeyError, RuntimeError) as error:
        raise ConfigError(_explained(error)) from None
    if unread := unread_macros():
        near = _near(unread[0], [m for m in macros() if m not in unread])
        raise ConfigError(
            f"nothing reads the macro {unread[0]}{near}; remove it or correct its name"
        )
    missing = [name for name, value in macros().items() if value == REQUIRED]
    if complete and missing:
        options = " ".join(f"--gin.{name}=..." for name in missing)
        raise ConfigError(f"{', '.join(missing)} must be given; add {options}")


def call(name: str, **arguments: Any) -> Any:
    """Calls a constructor with the arguments that were loaded, and some of the caller's.

    Raises:
      T5CorefError: as the constructor does.
      ConfigError: arguments are missing.
    """
    try:
        return gin.get_configurable(name)(**arguments)
    except T5CorefError as error:
        raise T5CorefError(str(error).split(_ADDED_BY_GIN)[0]) from error
    except TypeError as error:
        message = str(error).split(_ADDED_BY_GIN)[0]
        if "missing" in message and "argument" in message:
            raise ConfigError(
                f"{message}; bind them in a gin file or with --gin.{name}..."
            ) from None
        raise


def macros() -> dict[str, str]:
    """Macros that have a value -> its text."""
    return {name: value.strip() for name, value in _MACRO.findall(gin.config_str())}


def unread_macros() -> list[str]:
    """Macros that no value of another name mentions; gin accepts them in silence."""
    read = set(_READ.findall(gin.config_str()))
    return [name for name in macros() if name not in read]


def operative() -> str:
    """The bindings that calls so far have used, as a gin file."""
    return gin.operative_config_str()


def binding(text: str) -> str:
    """Checks `NAME=VALUE` and quotes a value that is plainly a string, as a path is.

    Raises:
      ConfigError: there is no equals sign.
    """
    name, equals, value = text.partition("=")
    name, value = name.strip(), value.strip()
    if not equals or not name:
        raise ConfigError(f"--gin.{text}: expected --gin.NAME=VALUE")
    if value[:1] in ("@", "%"):
        return f"{name} = {value}"
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        value = repr(value)
    return f"{name} = {value}"


def _explained(error: Exception) -> str:
    """Gin's message in one line, and names that may have been meant."""
    message = str(error).strip()
    if unknown := re.search(r"No configurable matching '([^']*)'", message):
        return f"gin: nothing is called {unknown[1]!r}{_near(unknown[1], list(CONSTRUCTORS))}"
    if argument := re.search(r"'([\w.]+)' doesn't have a parameter named '(\w+)'", message):
        owner, name = argument[1].split(".")[-1], argument[2]
        made = getattr(importlib.import_module(CONSTRUCTORS[owner]), owner)
        names = [n for n in _parameters(made) if n not in ("self", "args", "kwargs")]
        return f"gin: {owner} has no argument {name!r}{_near(name, names)}"
    return "gin: " + " ".join(message.split())


def _parameters(made: Any) -> list[str]:
    import inspect

    return list(inspect.signature(made).parameters)


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(names)}" if names else ""
