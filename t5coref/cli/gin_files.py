"""Gin files: where ours are, what may be configured in them, and clear words where one is wrong.

A gin file is a Python call written down: it binds arguments of the constructors in `CONSTRUCTORS`,
under their own names. The library itself knows nothing of gin.
"""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import importlib
import inspect
import logging
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import gin

from t5coref.core.errors import ConfigError, T5CorefError
from t5coref.released import folder_with

CONSTRUCTORS = {
    "train": "t5coref.train",
    "fit": "t5coref.train",
    "pretrained": "t5coref.model",
    "from_scratch": "t5coref.model",
    "Format": "t5coref.model",
    "T5Config": "t5coref.nn.stack",
    "LoRA": "t5coref.nn.lora",
    "Tokenizer": "t5coref.tokenizer",
    "adamw": "t5coref.train.optimizers",
    "adafactor": "t5coref.train.optimizers",
    "encoder_and_task": "t5coref.train.optimizers",
    "corpus_files": "t5coref.train.inputs",
    "together": "t5coref.train.inputs",
    "demo_stories": "t5coref.train.inputs",
    "relation_options": "t5coref.train.inputs",
    "vocabulary": "t5coref.train.inputs",
    "JointObjective": "t5coref.joint_ie",
    "joint_model": "t5coref.joint_ie",
    "relations_in_file": "t5coref.joint_ie",
    "relations_of": "t5coref.joint_ie",
    "JointIE": "t5coref.nn.joint_ie",
    "SpanRepresentation": "t5coref.nn.joint_ie",
    "MentionDetector": "t5coref.nn.joint_ie",
    "BilinearCoreference": "t5coref.nn.joint_ie",
    "EntityRelations": "t5coref.nn.joint_ie",
    "MentionRelations": "t5coref.nn.joint_ie",
    "GraphPropagation": "t5coref.nn.joint_ie",
    "GraphCompatibility": "t5coref.nn.joint_ie",
    "HeadObjective": "t5coref.downstream.head_objective",
    "GlueClassification": "t5coref.downstream.glue_head",
    "FeverVerification": "t5coref.downstream.fever_head",
    "DocREDRelations": "t5coref.downstream.docred_head",
    "SpanAnswers": "t5coref.downstream.span_head",
    "MentionTagging": "t5coref.mentions",
    "Chunking": "t5coref.downstream.spans",
    "SpanHead": "t5coref.nn.downstream",
    "MultiSpanHead": "t5coref.nn.downstream",
    "TextObjective": "t5coref.downstream.objective",
    "text_model": "t5coref.downstream.objective",
    "question_files": "t5coref.downstream.answers",
    "question_metric": "t5coref.downstream.answers",
    "PronounObjective": "t5coref.downstream.pronouns.objective",
    "pronoun_files": "t5coref.downstream.pronouns.objective",
    "MRPObjective": "t5coref.mrp.objective",
    "mrp_rows": "t5coref.mrp.objective",
    "SentinelSpan": "t5coref.mrp.masking",
    "Inplace": "t5coref.mrp.masking",
    "MRPHead": "t5coref.nn.mrp",
    "joint_form": "t5coref.nn.mrp",
    "factored_form": "t5coref.nn.mrp",
    "all_real_candidates": "t5coref.nn.mrp",
    "code_candidates": "t5coref.nn.mrp",
    "context_candidates": "t5coref.nn.mrp",
    "words_norm": "t5coref.nn.mrp",
    "rows_norm": "t5coref.nn.mrp",
    "sum_norm": "t5coref.nn.mrp",
}
"""What gin files may bind arguments of: name -> the module that has it."""

REQUIRED = "%gin.REQUIRED"
_MACRO = re.compile(r"^([A-Za-z]\w*) = *(.*)", re.MULTILINE)
_READ = re.compile(r"%(?!gin\.)(\w+)")
_MENTIONS = re.compile(r"[@%]\w")
_ADDED_BY_GIN = "\n  In call to configurable"


def gin_root() -> pathlib.Path:
    """The folder that holds our `gin/`: of the package in a wheel, of the repository otherwise.

    Raises:
      ConfigError: the installation is not whole.
    """
    return folder_with("gin/runs")


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
    with _explained(), _silent_search():
        gin.parse_config_files_and_bindings(
            list(files), list(bindings), finalize_config=False, print_includes_and_imports=False
        )
    known, read = macros(), _read_macros()
    for name in read - known.keys():
        raise ConfigError(f"the macro {name} has no value{_near(name, list(known))}")
    for name in known.keys() - read:
        near = _near(name, sorted(read))
        raise ConfigError(f"nothing reads the macro {name}{near}; remove it or correct its name")
    missing = [name for name, value in known.items() if value == REQUIRED]
    if complete and missing:
        options = " ".join(f"--gin.{name}=..." for name in missing)
        raise ConfigError(f"{', '.join(missing)} must be given; add {options}")
    if complete:
        with _explained():
            gin.finalize()


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


def is_bound(argument: str) -> bool:
    """Whether what was loaded gives `FUNCTION.ARGUMENT` a value."""
    try:
        gin.query_parameter(argument)
    except ValueError:
        return False
    return True


def macros() -> dict[str, str]:
    """Macros that have a value -> its text."""
    return {name: value.strip() for name, value in _MACRO.findall(gin.config_str())}


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
    if value[:1] in ("@", "%") or (value[:1] in ("[", "(", "{") and _MENTIONS.search(value)):
        return f"{name} = {value}"
    try:
        ast.literal_eval(value)
    except (ValueError, SyntaxError):
        value = repr(value)
    return f"{name} = {value}"


def _read_macros() -> set[str]:
    """Macros that some value mentions; gin itself accepts unread ones in silence."""
    return set(_READ.findall(gin.config_str()))


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Puts gin's complaints in one line, with names that may have been meant."""
    try:
        yield
    except (ValueError, OSError, SyntaxError, KeyError, RuntimeError) as error:
        message = str(error)
        place = re.search(r'In file "([^"]*)", line (\d+)', message)
        start = f"{place[1]}, line {place[2]}" if place else "gin"
        unknown = re.search(r"No configurable matching (?:reference )?'@?([\w./]*)", message)
        if unknown:
            name = unknown[1].split("/")[-1]
            near = _near(name, list(CONSTRUCTORS))
            raise ConfigError(f"{start}: nothing is called {name!r}{near}") from None
        if found := re.search(r"'([\w.]+)' doesn't have a parameter named '(\w+)'", message):
            owner, name = found[1].split(".")[-1], found[2]
            made = getattr(importlib.import_module(CONSTRUCTORS[owner]), owner)
            names = list(inspect.signature(made).parameters)
            raise ConfigError(
                f"gin: {owner} has no argument {name!r}{_near(name, names)}"
            ) from None
        raise ConfigError(f"gin: {' '.join(message.split())}") from None


@contextlib.contextmanager
def _silent_search() -> Iterator[None]:
    """Keeps gin from calling it an error where a file is not in the first place it looks into."""

    def wanted(record: logging.LogRecord) -> bool:
        return not record.getMessage().startswith("Path not found")

    root = logging.getLogger()
    root.addFilter(wanted)
    try:
        yield
    finally:
        root.removeFilter(wanted)


def _near(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if close:
        return f"; did you mean {' or '.join(close)}?"
    return f"; there are {', '.join(names)}" if names else ""
