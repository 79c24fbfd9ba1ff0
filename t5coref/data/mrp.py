"""SeqIO tasks of mention reference prediction, alone and mixed with coreference; imports seqio.

S input pieces, T target pieces, Q queries, J referents of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import seqio
import tensorflow as tf

from t5coref.core.errors import ConfigError
from t5coref.data import places
from t5coref.data.mrp_features import (
    QUERIES,
    QUERY,
    REFERENT,
    REFERENTS,
    fixed,
    task_features,
)
from t5coref.data.recipe import of_split, plain_tokenizer
from t5coref.data.registration import (
    NumberedSource,
    RecipeTask,
    recipe_of,
    registered,
    registered_mixture,
)
from t5coref.data.settings import Settings, settings
from t5coref.data.source import CorefSource
from t5coref.data.task import coref_recipe, task_vocabulary, whole_inputs
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.mrp.rows import Rows, read_rows
from t5coref.tokenizer import Tokenizer

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class MRPRecipe:
    """How a task's rows are found; see `mrp_task`."""

    name: str
    folders: Mapping[str, str]
    like: str | None
    settings: Callable[[], Settings] = settings
    _rows: dict[str, Rows] = field(default_factory=dict, compare=False, repr=False)

    def tokenizer(self) -> Tokenizer:
        """That of the settings.

        Raises:
          ConfigError: they name none.
        """
        return plain_tokenizer(self.name, self.settings())

    def rows(self, split: str) -> Rows:
        """Those of a split.

        Raises:
          ConfigError: it is no split.
          FormatError: nothing was prepared.
        """
        folder = of_split(self.name, self.folders, split)
        if not (folder.startswith("/") or "://" in folder):
            folder = places.join(self.settings().data, folder)
        if folder not in self._rows:
            self._rows[folder] = read_rows(folder)
        return self._rows[folder]


class MRPSource(NumberedSource):
    """The rows of a recipe's folders, each read when it is its turn."""

    def __init__(self, recipe: MRPRecipe):
        super().__init__(splits=tuple(recipe.folders))
        self.recipe = recipe

    def numbered(self, split: str, numbers: np.ndarray) -> tf.data.Dataset:
        """See `NumberedSource.numbered`."""
        rows = self.recipe.rows(split)
        names = ("inputs", "targets", *QUERY, *REFERENT)

        def read(i: np.ndarray) -> list[np.ndarray]:
            row = rows[int(i)]
            made = fixed(row)
            if made.queries or made.referents:
                _LOG.warning(
                    "task %s: %s: no room for %d queries and %d referents",
                    self.recipe.name, row.name, made.queries, made.referents,
                )  # fmt: skip
            pieces = {"inputs": row.inputs, "targets": row.targets}
            return [np.asarray((pieces | made.features)[name], np.int32) for name in names]

        def load(i: tf.Tensor) -> dict[str, tf.Tensor]:
            # Stateless, so that the place in the data can be saved.
            values = tf.numpy_function(read, [i], [tf.int32] * len(names), stateful=False)
            found = dict(zip(names, values, strict=True))
            for name, value in found.items():
                value.set_shape(
                    [QUERIES] if name in QUERY
                    else [QUERIES, REFERENTS] if name in REFERENT
                    else [None]
                )  # fmt: skip
            return found | {"feeds": found["targets"]}

        return tf.data.Dataset.from_tensor_slices(numbers).map(load, tf.data.AUTOTUNE)

    def num_input_examples(self, split: str) -> int:
        """How many rows a split has."""
        return len(self.recipe.rows(split))

    def overflow(self, split: str) -> tuple[int, int]:
        """How many queries and referents of a split there is no room for; reads all rows."""
        found = [fixed(row) for row in self.recipe.rows(split)]
        return sum(one.queries for one in found), sum(one.referents for one in found)


class MRPTask(RecipeTask):
    """A task of `mrp_task`."""


class UnaskedTask(RecipeTask):
    """A coreference task as a part of `mrp_mixture`; it has the recipe of the task that it is."""


def mrp_task(
    name: str,
    *,
    folders: Mapping[str, str],
    like: str | None = None,
    settings: Callable[[], Settings] = settings,
) -> MRPTask:
    """Registers a task of mention reference prediction, or finds it if it is registered alike.

    Its features are those of `t5coref.data.mrp_features`. Neither tokenizer nor rows have to
    be there yet: both are looked for when the task is used.

    Args:
      name: of the task.
      folders: of each split, written by `t5coref prepare mrp` in mode sentinel_span, below the
        folder of data (`Settings.data`) unless absolute.
      like: a coreference task whose vocabulary, with the symbols of its format, it shall have: the
        tasks of a mixture must share one. The ids of the rows are not touched by that.
      settings: called when the task is used.

    Raises:
      ConfigError: another task has the name.
    """
    recipe = MRPRecipe(name, dict(folders), like, settings)
    vocabulary = CorefVocabulary(recipe.tokenizer) if like is None else task_vocabulary(like)
    return registered(
        MRPTask,
        recipe,
        source=MRPSource(recipe),
        output_features=task_features(vocabulary),
        preprocessors=[whole_inputs, whole_targets],
    )


def mrp_mixture(
    name: str, *, mrp: str, coreference: Mapping[str, float], rate: float = 1.0
) -> seqio.Mixture:
    """Registers a mixture of mention reference prediction and coreference, or finds it.

    Its tasks are new ones: the first with the vocabulary of the others, called `MIXTURE_mrp`, and
    the others with features for queries, of which their rows have none, called `MIXTURE_TASK`.

    Args:
      name: of the mixture.
      mrp: a task of `mrp_task`.
      coreference: tasks of `coref_task` with one format, and the rate at which each is drawn from.
      rate: at which the first is.

    Raises:
      ConfigError: there is no coreference, the formats differ, or the name is taken.
    """
    if not coreference:
        raise ConfigError(f"mixture {name!r}: expected at least one coreference task, got none")
    recipes = [coref_recipe(task) for task in coreference]
    if len({recipe.linearization for recipe in recipes}) != 1:
        formats = ", ".join(f"{recipe.name}: {recipe.linearization}" for recipe in recipes)
        raise ConfigError(f"mixture {name!r}: expected tasks of one format, got {formats}")
    first = mrp_recipe(mrp)
    like = next(iter(coreference))
    asked = mrp_task(f"{name}_mrp", folders=first.folders, like=like, settings=first.settings)
    rates = {asked.name: rate}
    for recipe, share in zip(recipes, coreference.values(), strict=True):
        rates[_without_queries(name, recipe.name).name] = share
    return registered_mixture(name, rates)


def mrp_recipe(name: str) -> MRPRecipe:
    """How a task's rows are found.

    Raises:
      ConfigError: it is not made by `mrp_task`.
    """
    what = "task of mention reference prediction"
    return recipe_of(MRPTask, name, what, "t5coref.data.mrp.mrp_task")


def whole_targets(
    dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
) -> tf.data.Dataset:
    """Refuses targets that would be cut: the decoder would never learn to end them."""
    limit = (sequence_length or {}).get("targets")
    if not limit:
        return dataset
    message = (
        "a target is longer than task_feature_lengths['targets']; raise it, prepare shorter "
        "sequences, or leave such coreference out with tasks.settings.skip_long = True"
    )

    def checked(row: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        length = tf.shape(row["targets"])[0]
        with tf.control_dependencies([tf.debugging.assert_less_equal(length, limit, message)]):
            return dict(row) | {"targets": tf.identity(row["targets"])}

    return dataset.map(checked, num_parallel_calls=tf.data.AUTOTUNE)


def no_queries(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Adds features for queries to rows of which nothing is asked."""
    none = {name: tf.zeros([QUERIES], tf.int32) for name in QUERY}
    none |= {name: tf.zeros([QUERIES, REFERENTS], tf.int32) for name in REFERENT}
    return dataset.map(lambda row: dict(row) | none, num_parallel_calls=tf.data.AUTOTUNE)


def _without_queries(mixture: str, task: str) -> UnaskedTask:
    """A coreference task with the features of `mrp_task`."""
    name, recipe = f"{mixture}_{task}", coref_recipe(task)

    def fitting(
        dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
    ) -> tf.data.Dataset:
        limit = (sequence_length or {}).get("targets")
        if limit and recipe.settings().skip_long:
            return dataset.filter(lambda row: tf.shape(row["targets"])[0] <= limit)
        return whole_targets(dataset, sequence_length)

    return registered(
        UnaskedTask,
        recipe,
        name,
        source=CorefSource(recipe),
        output_features=task_features(task_vocabulary(task)),
        preprocessors=[seqio.CacheDatasetPlaceholder(), whole_inputs, fitting, no_queries],
    )
