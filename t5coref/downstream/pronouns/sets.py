"""The sets of ambiguous pronouns that have a reader, and where each is found."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from t5coref.core.errors import ConfigError
from t5coref.corpora.files import PathLike
from t5coref.downstream.pronouns import blocks, gap, schemas, winobias, winogender
from t5coref.downstream.pronouns.example import PronounExample
from t5coref.downstream.text import Mistakes

Read = Callable[[PathLike, Mistakes | None], Iterator[PronounExample]]


@dataclass(frozen=True)
class PronounSet:
    """One set.

    Attributes:
      title: what it is, for people.
      read: its reader.
      source: where it comes from, and under which licence.
    """

    title: str
    read: Read
    source: str


def _collection(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    """XML as the Winograd collection is, or else blocks of five lines."""
    name = os.fspath(path).removesuffix(".gz")
    return (schemas if name.endswith(".xml") else blocks).read(path, mistakes)


def _wsc273(path: PathLike, mistakes: Mistakes | None = None) -> Iterator[PronounExample]:
    return itertools.islice(_collection(path, mistakes), 273)


_KOCIJAN = "data of https://github.com/vid-koci/bert-commonsense"

SETS = {
    "gap": PronounSet(
        "GAP (Webster et al. 2018)",
        gap.read,
        "https://github.com/google-research-datasets/gap-coreference, Apache 2.0",
    ),
    "dpr": PronounSet(
        "Definite Pronoun Resolution (Rahman and Ng 2012)",
        blocks.read,
        "https://www.hlt.utdallas.edu/~vince/data/emnlp12/ (train.c.txt, test.c.txt)",
    ),
    "wsc273": PronounSet(
        "Winograd Schema Challenge (Levesque et al. 2012)",
        _wsc273,
        "https://cs.nyu.edu/~davise/papers/WinogradSchemas/WSCollection.xml, CC BY 4.0, or "
        f"wsc273.txt of the {_KOCIJAN}",
    ),
    "pdp": PronounSet(
        "Pronoun Disambiguation Problems (Davis et al. 2017)",
        _collection,
        "https://cs.nyu.edu/~davise/papers/WinogradSchemas/PDPChallenge2016.xml, CC BY 4.0, or "
        f"PDP.txt of the {_KOCIJAN}",
    ),
    "winogender": PronounSet(
        "Winogender, 720 sentences (Rudinger et al. 2018)",
        winogender.read,
        "https://github.com/rudinger/winogender-schemas, MIT",
    ),
    "winogender240": PronounSet(
        "Winogender, 240 sentences without gender",
        winogender.read_templates,
        "https://github.com/rudinger/winogender-schemas, MIT",
    ),
    "winobias": PronounSet(
        "WinoBias (Zhao et al. 2018)",
        winobias.read,
        "https://github.com/uclanlp/corefBias, MIT",
    ),
    "wikicrem": PronounSet(
        "WikiCREM (Kocijan et al. 2019)",
        blocks.read,
        "https://ora.ox.ac.uk/objects/uuid:c83e94bb-7584-41a1-aef9-85b0e764d9e3",
    ),
}
"""By the name that commands and tasks have for them."""


def read(name: str, path: PathLike, mistakes: Mistakes | None = None) -> list[PronounExample]:
    """The examples of a file.

    Raises:
      ConfigError: there is no such set or file, or the file has no example.
      FormatError: something is wrong and nobody collects mistakes.
    """
    if name not in SETS:
        raise ConfigError(f"no set {name!r}; there are {', '.join(SETS)}")
    if not os.path.isfile(path):
        raise ConfigError(
            f"no file {os.fspath(path)!r}; {SETS[name].title} is at {SETS[name].source}"
        )
    found = list(SETS[name].read(path, mistakes))
    if not found and not (mistakes and mistakes.messages):
        raise ConfigError(f"{os.fspath(path)} has no examples; expected {SETS[name].title}")
    return found
