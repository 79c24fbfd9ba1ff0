"""`nlp.add_pipe("t5coref")`: entities as span groups of spaCy documents.

spaCy finds it by an entry point of the group `spacy_factories`. The tokens are spaCy's own: each
that is not blank is a word of ours, so no offset has to be translated.

Everything lies in `doc.spans`, which spaCy stores and sends between processes; `doc._.coref` and
`doc._.coref_clusters` are read from there.
"""

# spaCy evaluates the annotations of a factory: they must not be strings. It imports this module
# whenever a pipeline is made, ours or not: what is not needed for that is imported later.

import pathlib
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Any

from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc

from t5coref.core.errors import ConfigError, DocumentError

MODEL_FOLDER, MENTIONS_FOLDER = "model", "mentions"
"""Where the model, and a proposer of its own folder, lie in the folder of a saved component."""


def clusters_of(doc: Doc) -> list[tuple[Any, ...]]:
    """The entities of a document, each as the spans of its mentions."""
    from t5coref.api import spacy_documents

    return [tuple(group) for group in spacy_documents.groups(doc)]


def prediction_of(doc: Doc) -> Any:
    """The entities of a document as `t5coref.Prediction`."""
    from t5coref.api import spacy_documents

    return spacy_documents.prediction_of(doc)


class CoreferenceComponent(Pipe):
    """Finds the entities of documents; made by `nlp.add_pipe("t5coref")`.

    The model is loaded for the first document. Documents of `nlp.pipe` are computed in common
    batches; whatever its `batch_size`, `Pipeline` reads a round ahead.

    Args:
      name: in the pipeline.
      model: see `t5coref.load`; one that is told the mentions needs a proposer in its folder, or
        `mentions` among the settings.
      settings: further arguments of `t5coref.load`.
    """

    def __init__(self, name: str, model: str | pathlib.Path | None, settings: dict[str, Any]):
        self.name = name
        self.model, self.settings = model, settings

    @cached_property
    def pipeline(self) -> Any:
        """The model at work, a `t5coref.Pipeline`."""
        from t5coref.api.pipeline import load

        return load(self.model, **self.settings)

    def __reduce__(self) -> Any:
        # Another process loads the model itself.
        return type(self), (self.name, self.model, self.settings)

    def __call__(self, doc: Doc) -> Doc:
        """The document with its entities.

        Raises:
          DocumentError: it cannot be predicted.
        """
        from t5coref.api.spacy_documents import annotated, document_of

        return annotated(doc, self.pipeline.predict(document_of(doc)[0]))

    def pipe(self, stream: Iterable[Doc], *, batch_size: int = 0) -> Iterator[Doc]:
        """Documents with their entities, in order; spaCy's error handler hears of failures."""
        from t5coref.api.spacy_documents import annotated, document_of

        del batch_size  # see the class
        waiting: deque[Doc] = deque()

        def documents() -> Iterator[Any]:
            for doc in stream:
                waiting.append(doc)
                yield document_of(doc)[0]

        for prediction in self.pipeline.predict(documents()):
            doc = waiting.popleft()
            if prediction.error is None:
                yield annotated(doc, prediction)
            else:
                handler = self.get_error_handler()
                handler(self.name, self, [doc], DocumentError(prediction.error))

    def to_disk(self, path: str | pathlib.Path, *, exclude: Iterable[str] = ()) -> None:
        """Copies the folders of models, so that the saved pipeline needs nothing else.

        A published checkpoint is not copied: its name stays in the configuration. So does any other
        source of mentions than the folder of a proposer.
        """
        from t5coref.model import CARD_FILE
        from t5coref.released import named

        del exclude
        source = pathlib.Path(named(self.model))
        if (source / CARD_FILE).is_file():
            _copied(source, pathlib.Path(path, MODEL_FOLDER))
        mentions = self.settings.get("mentions")
        if mentions is not None and pathlib.Path(named(mentions)).is_dir():
            _copied(pathlib.Path(named(mentions)), pathlib.Path(path, MENTIONS_FOLDER))

    def from_disk(
        self, path: str | pathlib.Path, *, exclude: Iterable[str] = ()
    ) -> "CoreferenceComponent":
        """Takes the models that `to_disk` copied, where it did."""
        del exclude
        model, mentions = pathlib.Path(path, MODEL_FOLDER), pathlib.Path(path, MENTIONS_FOLDER)
        if model.is_dir():
            self.model = model
        if mentions.is_dir():
            self.settings = {**self.settings, "mentions": str(mentions)}
        self.__dict__.pop("pipeline", None)
        return self


def _copied(source: pathlib.Path, target: pathlib.Path) -> None:
    """Copies a folder into the place of another, unless it is that one."""
    if source.resolve() != target.resolve():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)


@Language.factory(
    "t5coref",
    assigns=["doc._.coref", "doc._.coref_clusters", "doc.spans"],
    default_config={
        "model": None,
        "batch_size": 8,
        "beams": 1,
        "singletons": None,
        "window": None,
        "mentions": None,
    },
)
def make_component(
    nlp: Language,
    name: str,
    model: str | None,
    batch_size: int,
    beams: int,
    singletons: bool | None,
    window: int | None,
    mentions: str | None,
) -> CoreferenceComponent:
    """The component of a pipeline; arguments as those of `t5coref.load`.

    Raises:
      ConfigError: another component has registered an attribute of the same name.
    """
    for attribute, getter in (("coref", prediction_of), ("coref_clusters", clusters_of)):
        if not Doc.has_extension(attribute):
            Doc.set_extension(attribute, getter=getter)
        elif Doc.get_extension(attribute)[2] is not getter:
            raise ConfigError(
                f"another component has registered doc._.{attribute}; expected it to be free: "
                f"Doc.remove_extension({attribute!r}) frees it"
            )
    settings = {
        "language": nlp.lang,
        "batch_size": batch_size,
        "beams": beams,
        "singletons": singletons,
        "window": window,
        "mentions": mentions,
    }
    return CoreferenceComponent(name, model, settings)
