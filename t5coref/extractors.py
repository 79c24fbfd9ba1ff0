"""What finds clusters, and relations perhaps, for a model folder of any kind.

`t5coref predict` and `t5coref.load` both choose by it, so that they accept the same folders.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import jax

from t5coref.core.errors import ConfigError
from t5coref.model import Format, Model, has_heads
from t5coref.predict import GREEDY, Extractor
from t5coref.predictors import asks_questions, predictor_of
from t5coref.released import named

if TYPE_CHECKING:
    from t5coref.decode.search import Search
    from t5coref.joint_ie import JointPredictor
    from t5coref.mentions import MentionProposer
    from t5coref.mentions.sources import MentionSource

SPACY = "spacy:"
"""What the name of a spaCy pipeline begins with, where it stands for its noun chunks."""

_UNCHANGED: Mapping[str, Any] = MappingProxyType({})


def computation_type(dtype: str | None) -> str | None:
    """The type to compute in: as asked, else float32 on CPUs, which have no bfloat16 of their own.

    None leaves it to the model.
    """
    return dtype or ("float32" if jax.default_backend() == "cpu" else None)


def reads_with_heads(folder: str | os.PathLike[str], linearization: str | None = None) -> bool:
    """Whether the model's heads find entities; a linearization asks for its decoder instead."""
    return linearization is None and has_heads(folder)


def load_model(
    folder: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    linearization: str | None = None,
    options: Mapping[str, Any] = _UNCHANGED,
) -> Model:
    """A model that writes sequences.

    Args:
      folder: or a name, see `Model.load`.
      dtype: computation type.
      linearization: the name of a format other than the saved one.
      options: of the format, which take the place of the saved ones.
    """
    model = Model.load(folder, dtype=computation_type(dtype), format=linearization)
    changed = {**model.format.options, **options}
    changed.pop("suffixes", None)  # windows that only training wants
    return Model(model.config, model.params, model.tokenizer, Format(model.format.name, changed))


def load_joint_predictor(
    folder: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    longest: int | None = None,
    **arguments: Any,
) -> JointPredictor:
    """A predictor of a model with heads.

    Args:
      folder: of the model.
      dtype: computation type of its T5.
      longest: pieces of the longest document; None = the predictor's own limit.
      **arguments: further ones of `JointPredictor`.
    """
    from t5coref.joint_ie import JointModel, JointPredictor

    model = JointModel.load(folder, dtype=computation_type(dtype))
    limit: dict[str, Any] = {} if longest is None else {"longest": longest}
    return JointPredictor(model, **arguments, **limit)


def load_proposer(
    folder: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    bias: float | None = None,
    batch_size: int = 8,
) -> MentionProposer:
    """A proposer of mentions; see `MentionProposer.load`."""
    from t5coref.mentions import MentionProposer

    return MentionProposer.load(
        named(folder), dtype=computation_type(dtype), bias=bias, batch_size=batch_size
    )


def mention_source(
    name: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    bias: float | None = None,
    batch_size: int = 8,
) -> MentionSource:
    """Where mentions come from, by name.

    Args:
      name: `gold`, `none`, `spacy:PIPELINE`, the folder of a proposer, english-small for that of
        the released model, or a file with documents.
      dtype: computation type of a proposer.
      bias: of a proposer.
      batch_size: of a proposer.

    Raises:
      ConfigError: it names nothing.
    """
    from t5coref.mentions import sources

    called = os.fspath(named(name))
    if called == "gold":
        return sources.GoldMentions()
    if called == "none":
        return sources.NoMentions()
    if called.startswith(SPACY):
        from t5coref.mentions.chunks import NounChunks

        return NounChunks(called.removeprefix(SPACY))
    if os.path.isdir(called):
        proposer = load_proposer(called, dtype=dtype, bias=bias, batch_size=batch_size)
        return sources.ProposedMentions(proposer, called)
    if os.path.isfile(called):
        return sources.FileMentions(called)
    raise ConfigError(
        f"mentions {called!r}: there is no such file or folder; expected gold, none, "
        f"{SPACY}PIPELINE, the folder of a proposer (docs/proposer.md says how to train one), or a "
        "file with documents and their mentions"
    )


def told(
    source: MentionSource | None,
    predictor: Extractor,
    folder: str | os.PathLike[str] | None = None,
) -> Extractor:
    """A predictor that is told the mentions, if it has to be.

    Args:
      source: who tells them; None = the documents, or else the proposer in the model's folder.
      predictor: of a model.
      folder: of that model.

    Raises:
      ConfigError: it has to be and nobody tells it, or the other way around.
    """
    made: Any = predictor  # which of the two attributes it has depends on its kind
    needs = getattr(getattr(made, "linearization", made), "needs_mentions", False)
    if source is None and not needs:
        return predictor
    from t5coref.mentions import sources

    if source is None:
        source = own_mentions(folder, made)
    none = isinstance(source, sources.NoMentions)
    if needs and none:
        raise ConfigError(
            "mentions none: the model's format does not find mentions, it is told them; expected "
            "gold, the folder of a proposer, or a file with documents and their mentions"
        )
    if not needs and not none:
        raise ConfigError(
            f"mentions {source.name}: the model finds its mentions itself; leave them out, or take "
            "a model of a format that is told them, such as iterative-ids"
        )
    return sources.ToldPredictor(source, predictor)


def own_mentions(folder: str | os.PathLike[str] | None, predictor: Any) -> MentionSource:
    """Those that documents carry, or else those of the proposer in the folder of a model.

    Args:
      folder: of the model; None = there is none.
      predictor: at work with the model.
    """
    from t5coref.mentions import MentionProposer
    from t5coref.mentions.propose import PROPOSER
    from t5coref.mentions.sources import OwnMentions

    if folder is None or not os.path.isdir(os.path.join(folder, PROPOSER)):
        return OwnMentions()
    size = predictor.batch_size
    return OwnMentions(MentionProposer.load(folder, base=predictor.model, batch_size=size))


def load_extractor(
    folder: str | os.PathLike[str],
    *,
    dtype: str | None = None,
    window: int | None = None,
    options: Mapping[str, Any] = _UNCHANGED,
    mentions: MentionSource | None = None,
    relation_model: str | os.PathLike[str] | None = None,
    batch_size: int = 8,
    devices: Sequence[Any] | None = None,
    search: Search | None = None,
    round_size: int = 16,
) -> Extractor:
    """The extractor of a model folder, or of two.

    Args:
      folder: of a model that writes sequences, answers questions or has heads; or a name that
        `Model.load` knows.
      dtype: computation type.
      window: pieces of a window; for a model with heads, of the longest document.
      options: of the format, as in `load_model`.
      mentions: says which mentions there are, for a format that is told them.
      relation_model: the folder of a second model, which finds the relations.
      batch_size: rows computed at once at most.
      devices: where to run; None = all local devices.
      search: None = greedy.
      round_size: documents taken at once, where they are searched.

    Raises:
      ConfigError: options or a search mean nothing to the model, or see above.
    """
    common: dict[str, Any] = {"batch_size": batch_size, "devices": devices}
    if reads_with_heads(folder):
        if options or search is not None:
            raise ConfigError(
                f"{folder} is a model with heads, which writes no sequences; leave out what says "
                f"how they are written ({', '.join(options) or search})"
            )
        made: Extractor = load_joint_predictor(folder, dtype=dtype, longest=window, **common)
    else:
        if window is not None:
            options = {**options, "window": window, "stride": None}
        model = load_model(folder, dtype=dtype, options=options)
        if asks_questions(model) and search is not None:
            raise ConfigError(
                f"{folder} is of the format {model.format.name}, which needs no search; leave out "
                f"{search}"
            )
        made = predictor_of(model, **common, search=search or GREEDY, round_size=round_size)
    made = told(mentions, made, folder)
    if relation_model is None:
        return made
    from t5coref.joint_ie import PipelinePredictor

    relations = load_joint_predictor(relation_model, dtype=dtype, given_entities=True, **common)
    return PipelinePredictor(made, relations)
