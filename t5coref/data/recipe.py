"""How a task's examples come about, resolved when they are first needed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from t5coref import corpora, linearize
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.data import places
from t5coref.data.documents import Files
from t5coref.data.manifest import MANIFEST, Manifest
from t5coref.data.settings import DATA, PREPARED, TOKENIZER, Settings, settings
from t5coref.joint_ie.inventory import relations_in_file
from t5coref.linearize import Linearization
from t5coref.tokenizer import MODEL_FILE, Tokenizer

S = TypeVar("S")

TRAIN = "train"
"""The split that is learned from."""


@dataclass(frozen=True, eq=False)
class Setup:
    """What a recipe has come to.

    Attributes:
      linearization: made with the tokenizer.
      tokenizer: with the symbols of the format.
      settings: that it was resolved with.
      folder: of the prepared data; None where the task runs from its files.
      manifest: of the prepared data; None likewise.
    """

    linearization: Linearization
    tokenizer: Tokenizer
    settings: Settings
    folder: str | None = None
    manifest: Manifest | None = None


@dataclass(frozen=True)
class Recipe:
    """How a task's examples are made; see `t5coref.data.task.coref_task`."""

    name: str
    linearization: str
    options: Mapping[str, Any]
    corpus: str
    files: Mapping[str, Files]
    word_rule: str
    remove_singletons: bool
    tokenizer: str | None
    prepared: str | None
    relations: str | None = None
    settings: Callable[[], Settings] = settings
    _setups: dict[str, Setup] = field(default_factory=dict, compare=False, repr=False)

    def __post_init__(self) -> None:
        linearize.named(self.linearization)
        corpora.get(self.corpus)
        if self.options.get("carry"):
            raise ConfigError(
                f"task {self.name!r}: the option carry makes a window wait for the answer to the "
                "one before; SeqIO asks for all at once: leave it out"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Without what was resolved: other processes resolve it again."""
        return self.__dict__ | {"_setups": {}}

    @property
    def feed_rank(self) -> int:
        """2 where the decoder reads pairs of pieces, else 1."""
        return feed_rank(self.linearization)

    def setup(self) -> Setup:
        """Tokenizer, linearization and prepared data under the settings of now.

        Raises:
          ConfigError: there is no tokenizer.
          MismatchError: prepared data is of another format or tokenizer.
        """
        now = self.settings()
        key = now.key()
        # Datasets of several hosts' readers are made in threads.
        with _LOCK:
            if key not in self._setups:
                self._setups.clear()
                self._setups[key] = self._resolve(now)
            return self._setups[key]

    def documents(self, split: str, now: Settings) -> list[Document]:
        """The documents of a split, from its files.

        Raises:
          ConfigError: no file matches, or it is no split.
        """
        files = of_split(self.name, self.files, split)
        try:
            return list(files.read(self.corpus, now.data))
        except ConfigError as error:
            raise self._missing(f"split {split!r}", error, now) from None

    def options_with(self, now: Settings) -> dict[str, Any]:
        """The options of the linearization: the task's, and over them those of the settings.

        A format with relations that is not told the names of relations has those of the file
        `relations`, or else those of the training documents; likewise the types of entities.

        Raises:
          ConfigError: that file, or those documents, are not there.
        """
        given = {**self.options, **now.options}
        if self.linearization not in linearize.RELATIONS:
            return given
        found: dict[str, Any] = {}
        if self.relations is not None and "relations" not in given:
            try:
                file = Files.of(self.relations).paths(now.data)[0]
            except ConfigError as error:
                raise self._missing("relations", error, now) from None
            found["relations"] = relations_in_file(file=file)
        if not {"relations", "entity_types"} <= {*found, *given} and TRAIN in self.files:
            found = linearize.inventory(self.documents(TRAIN, now)) | found
        return found | given

    def _missing(self, what: str, error: ConfigError, now: Settings) -> ConfigError:
        unprepared = ""
        if now.prepared is not None:
            unprepared = f" and no {places.join(now.prepared, self.name, MANIFEST)}"
        return ConfigError(
            f"task {self.name!r}, {what}: {error}{unprepared}; put the corpus there "
            f"(docs/seqio.md, Corpora), set {DATA} to the folder that holds it, or set "
            f"{PREPARED} to what `t5coref prepare` wrote"
        )

    def vocabulary_tokenizer(self) -> Tokenizer:
        """The tokenizer of `setup`."""
        return self.setup().tokenizer

    def folder(self) -> str | None:
        """Where prepared data of the task lies; None if there is none."""
        if self.prepared is not None:
            return self.prepared
        root = self.settings().prepared
        if root is None:
            return None
        folder = places.join(root, self.name)
        return folder if places.exists(places.join(folder, MANIFEST)) else None

    def _resolve(self, now: Settings) -> Setup:
        folder = self.folder()
        given = self.tokenizer or now.tokenizer
        if folder is None:
            if given is None:
                raise ConfigError(
                    f"task {self.name!r} has no tokenizer; set {TOKENIZER} to the {MODEL_FILE} of "
                    "the T5 that is trained (or bind tasks.settings.tokenizer in gin), or prepare "
                    "the data with `t5coref prepare`"
                )
            options = self.options_with(now)
            tokenizer = self._tokenizer(given, options)
            made = make(self.linearization, tokenizer, options)
            return Setup(made, tokenizer, now)
        manifest = Manifest.load(folder)
        if manifest.format != self.linearization or manifest.word_rule != self.word_rule:
            raise MismatchError(
                f"{folder} holds {manifest.format} with {manifest.word_rule} word rules; task "
                f"{self.name!r} expects {self.linearization} with {self.word_rule} ones; prepare "
                "it again or use the task of its format"
            )
        tokenizer = manifest.load_tokenizer(folder)
        if given is not None:
            manifest.check_tokenizer(self._tokenizer(given, manifest.options), folder)
        made = make(manifest.format, tokenizer, manifest.options)
        return Setup(made, tokenizer, now, folder, manifest)

    def _tokenizer(self, path: str, options: Mapping[str, Any]) -> Tokenizer:
        symbols = linearize.symbols_of(self.linearization, options)
        model = places.read_bytes(path) if places.is_remote(path) else path
        return Tokenizer(model, symbols).with_word_rule(self.word_rule)


def options_for(corpus: str | None, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The options of a format for a corpus: where it has no singletons, none are predicted."""
    without = corpus is not None and not corpora.get(corpus).keeps_singletons
    return ({"min_mentions": 2} if without else {}) | dict(given or {})


def of_split(name: str, splits: Mapping[str, S], split: str) -> S:
    """What a recipe has for a split.

    Raises:
      ConfigError: the task called `name` has no such split.
    """
    if split not in splits:
        raise ConfigError(f"task {name!r} has no split {split!r}; it has {', '.join(splits)}")
    return splits[split]


def plain_tokenizer(name: str, now: Settings) -> Tokenizer:
    """The tokenizer of the settings, without added symbols.

    Raises:
      ConfigError: they name none; `name` is the task's.
    """
    if now.tokenizer is None:
        raise ConfigError(
            f"task {name!r} has no tokenizer; set {TOKENIZER} to that of the T5 that is trained, "
            "or bind tasks.settings.tokenizer in gin"
        )
    return Tokenizer(now.tokenizer, ())


def make(linearization: str, tokenizer: Tokenizer, options: Mapping[str, Any]) -> Linearization:
    """The format, made with a tokenizer.

    Raises:
      ConfigError: it does not take these options.
    """
    try:
        return linearize.get(linearization, tokenizer, **options)
    except TypeError as error:
        raise ConfigError(
            f"format {linearization!r} does not take the options {dict(options)}: {error}"
        ) from None


def feed_rank(linearization: str) -> int:
    """2 where the decoder of a format reads pairs of pieces, else 1."""
    return 2 if getattr(linearize.named(linearization), "flags", {}).get("mixed") else 1


_LOCK = threading.RLock()
