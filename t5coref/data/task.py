"""Coreference tasks and mixtures of SeqIO; imports seqio."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import seqio
import tensorflow as tf

from t5coref import corpora
from t5coref.core.errors import ConfigError
from t5coref.data.documents import Files
from t5coref.data.metrics import corpus_metric
from t5coref.data.recipe import Recipe, options_for
from t5coref.data.registration import RecipeTask, recipe_of, registered, registered_mixture
from t5coref.data.settings import Settings, settings
from t5coref.data.source import CorefSource
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.linearize import PLAIN_TEXT, Linearization

DOCUMENTS_PER_EPOCH = 2000
"""Of each set of a joint mixture, as published."""


class CorefTask(RecipeTask):
    """A task of `coref_task`; it never trains on a target that was cut."""

    def get_dataset(
        self,
        sequence_length: Mapping[str, int] | None = None,
        split: str = "train",
        *args: Any,
        **kwargs: Any,
    ) -> tf.data.Dataset:
        """As in the base class; in training, targets that are too long are refused or left out."""
        if split != "train" or not sequence_length or "targets" not in sequence_length:
            return super().get_dataset(sequence_length, split, *args, **kwargs)
        kwargs["trim_output_features"] = False
        dataset = super().get_dataset(sequence_length, split, *args, **kwargs)
        limit = sequence_length["targets"]
        if self.recipe.settings().skip_long:
            return dataset.filter(lambda row: tf.shape(row["targets"])[0] <= limit)
        return dataset.map(lambda row: _checked(row, "targets", limit, _LONG_TARGET))


def coref_task(
    name: str,
    *,
    linearization: str,
    corpus: str,
    files: Mapping[str, Files | str | Sequence[str]],
    options: Mapping[str, Any] | None = None,
    relations: str | None = None,
    word_rule: str = "strict",
    remove_singletons: bool | None = None,
    tokenizer: str | None = None,
    prepared: str | None = None,
    settings: Callable[[], Settings] = settings,
) -> CorefTask:
    """Registers a coreference task, or finds it if it is registered alike.

    Its features are `inputs` (source pieces), `targets` (actions) and `feeds` (what the decoder
    reads back), int32; the rows also have what evaluation needs, see `t5coref.data.rows.Row`.
    Neither tokenizer nor data has to be there yet: both are looked for when the task is used.

    Args:
      name: of the task.
      linearization: a name of `t5coref.linearize.FORMATS`; tasks of `PLAIN_TEXT` have no metric.
      corpus: the reader, a name of `t5coref.corpora.names()`.
      files: of each split, below the folder of data (`Settings.data`) unless absolute.
      options: of the linearization; where the corpus has no singletons, `min_mentions` is 2.
      relations: for a format with relations: the file with the names of their types, below the
        folder of data; None = those of the split `train`, unless the options name them. The types
        of entities are those of that split, with the same exception.
      word_rule: how words become pieces, `strict` or `reference`.
      remove_singletons: score without clusters of one mention; None = as the corpus demands.
      tokenizer: a SentencePiece model; None = that of the settings or of the prepared data.
      prepared: a folder that `t5coref prepare` wrote; None = the task's name below
        `Settings.prepared`, if it is there, else the task runs from its files.
      settings: called when the task is used.

    Raises:
      ConfigError: another task has the name, or there is no such format, corpus or option.
    """
    singletons = corpora.get(corpus).keeps_singletons
    recipe = Recipe(
        name=name,
        linearization=linearization,
        options=options_for(corpus, options),
        corpus=corpus,
        files={split: Files.of(given) for split, given in files.items()},
        word_rule=word_rule,
        remove_singletons=not singletons if remove_singletons is None else remove_singletons,
        tokenizer=tokenizer,
        prepared=prepared,
        relations=relations,
        settings=settings,
    )
    vocabulary = CorefVocabulary(recipe.vocabulary_tokenizer)

    def feature(rank: int):
        return seqio.Feature(vocabulary, add_eos=False, dtype=tf.int32, rank=rank)

    ranks = {"inputs": 1, "targets": 1, "feeds": recipe.feed_rank}
    metric = corpus_metric(
        lambda: recipe.setup().linearization, remove_singletons=recipe.remove_singletons
    )
    # SeqIO asks for all turns at once, each with the gold answers to those before: where turns
    # depend on them, scores of that would not be the model's.
    metrics = [] if linearization in PLAIN_TEXT else [metric]
    return registered(
        CorefTask,
        recipe,
        source=CorefSource(recipe),
        output_features={key: feature(rank) for key, rank in ranks.items()},
        preprocessors=[seqio.CacheDatasetPlaceholder(), whole_inputs],
        metric_fns=None,
        metric_objs=metrics,
    )


def whole_inputs(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
) -> tf.data.Dataset:
    """Refuses inputs that would be cut: their actions would copy what is not there."""
    if not sequence_length or not sequence_length.get("inputs"):
        return dataset
    limit = sequence_length["inputs"]
    return dataset.map(
        lambda row: _checked(row, "inputs", limit, _LONG_INPUT),
        num_parallel_calls=tf.data.AUTOTUNE,
    )


def coref_mixture(
    name: str, tasks: Sequence[str], *, documents: int = DOCUMENTS_PER_EPOCH
) -> seqio.Mixture:
    """Registers a mixture of coreference tasks, or finds it if it is registered alike.

    A set is drawn from in proportion to its examples, but as if it had at most `documents`
    documents: in as many examples as the rates add up to (an epoch), that many documents of each
    set are seen on average, in each epoch others.

    Args:
      name: of the mixture.
      tasks: names of registered tasks of one format.
      documents: at most of each set.

    Raises:
      ConfigError: another mixture has the name, or the formats differ.
    """
    recipes = [coref_recipe(task) for task in tasks]
    if len({recipe.linearization for recipe in recipes}) != 1:
        formats = ", ".join(f"{recipe.name}: {recipe.linearization}" for recipe in recipes)
        raise ConfigError(f"mixture {name!r}: expected tasks of one format, got {formats}")
    return registered_mixture(name, dict.fromkeys(tasks, DocumentRate(documents)))


class DocumentRate:
    """Examples that at most so many documents of a task's training split have, on average."""

    def __init__(self, documents: int):
        self.documents = documents

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DocumentRate) and self.documents == other.documents

    def __hash__(self) -> int:
        return hash(self.documents)

    def __call__(self, task: seqio.Task) -> float:
        """The rate of a task."""
        source = task.source
        assert isinstance(source, CorefSource)
        examples, there = source.num_input_examples("train"), source.num_documents("train")
        return examples * min(1.0, self.documents / max(there, 1))


def coref_recipe(task: str | seqio.Task | seqio.Mixture) -> Recipe:
    """How a task's examples are made; of a mixture, those of its first task.

    Raises:
      MismatchError: it is not made by `coref_task`.
    """
    return recipe_of(CorefTask, task, "coreference task", "t5coref.data.task.coref_task")


def task_linearization(task: str | seqio.Task | seqio.Mixture) -> Linearization:
    """The format of a task or mixture, made with its tokenizer and options.

    Raises:
      ConfigError: there is no tokenizer.
      MismatchError: it is no coreference task, or its prepared data is of another format.
    """
    return coref_recipe(task).setup().linearization


def task_vocabulary(task: str | seqio.Task | seqio.Mixture) -> CorefVocabulary:
    """The vocabulary of a task or mixture: input and output vocabulary of a model."""
    coref_recipe(task)
    found = seqio.maybe_get_mixture_or_task(task)
    vocabulary = found.output_features["targets"].vocabulary
    assert isinstance(vocabulary, CorefVocabulary)
    return vocabulary


_LONG_INPUT = (
    "an input is longer than task_feature_lengths['inputs']; raise it, or use a smaller window "
    "(the linearization's option window)"
)
_LONG_TARGET = (
    "a training target is longer than task_feature_lengths['targets'] (and 'feeds'); raise both, "
    "use a smaller window, or leave such examples out with tasks.settings.skip_long = True"
)


def _checked(row: Mapping[str, tf.Tensor], name: str, limit: int, message: str):
    length = tf.shape(row[name])[0]
    with tf.control_dependencies([tf.debugging.assert_less_equal(length, limit, message)]):
        return dict(row) | {name: tf.identity(row[name])}
