"""SeqIO tasks of mention reference prediction, alone and mixed with coreference; imports seqio.

S input pieces, T target pieces, Q queries, J referents of each.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

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
from t5coref.data.recipe import Recipe
from t5coref.data.settings import TOKENIZER, Settings, settings
from t5coref.data.source import PARTS, CorefSource
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
        path = self.settings().tokenizer
        if path is None:
            raise ConfigError(
                f"task {self.name!r} has no tokenizer; set {TOKENIZER} to that of the T5 that is "
                "trained, or bind tasks.settings.tokenizer in gin"
            )
        return Tokenizer(path, ())

    def rows(self, split: str) -> Rows:
        """Those of a split.

        Raises:
          ConfigError: it is no split.
          FormatError: nothing was prepared.
        """
        if split not in self.folders:
            raise ConfigError(
                f"task {self.name!r} has no split {split!r}; it has {', '.join(self.folders)}"
            )
        folder = self.folders[split]
        if not (folder.startswith("/") or "://" in folder):
            folder = places.join(self.settings().data, folder)
        if folder not in self._rows:
            self._rows[folder] = read_rows(folder)
        return self._rows[folder]


class MRPSource(seqio.DataSource):
    """The rows of a recipe's folders, each read when it is its turn."""

    def __init__(self, recipe: MRPRecipe):
        super().__init__(splits=tuple(recipe.folders))
        self.recipe = recipe

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """Rows can be shared out as one likes."""
        return True

    def list_shards(self, split: str) -> Sequence[str]:
        """Names of equal parts."""
        return [f"{split}-{i:02d}-of-{PARTS}" for i in range(PARTS)]

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **unused,
    ) -> tf.data.Dataset:
        """The rows of a split, or of one shard of it."""
        del unused
        rows = self.recipe.rows(split)
        index, parts = (shard_info.index, shard_info.num_shards) if shard_info else (0, 1)
        order = np.arange(len(rows))[index::parts]
        if shuffle:
            order = np.random.default_rng(seed).permutation(order)
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

        return tf.data.Dataset.from_tensor_slices(order).map(load, tf.data.AUTOTUNE)

    def num_input_examples(self, split: str) -> int:
        """How many rows a split has."""
        return len(self.recipe.rows(split))

    def overflow(self, split: str) -> tuple[int, int]:
        """How many queries and referents of a split there is no room for; reads all rows."""
        found = [fixed(row) for row in self.recipe.rows(split)]
        return sum(one.queries for one in found), sum(one.referents for one in found)


class MRPTask(seqio.Task):
    """A task that knows its recipe."""

    def __init__(self, *args: Any, recipe: MRPRecipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recipe = recipe


class UnaskedTask(seqio.Task):
    """A coreference task as a part of `mrp_mixture`; it knows the recipe of the task that it is."""

    def __init__(self, *args: Any, recipe: Recipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recipe = recipe


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
    if name in seqio.TaskRegistry.names():
        known = seqio.TaskRegistry.get(name)
        if isinstance(known, MRPTask) and known.recipe == recipe:
            return known
        raise ConfigError(
            f"a task called {name!r} is registered already, made otherwise; choose another name"
        )
    vocabulary = CorefVocabulary(recipe.tokenizer) if like is None else task_vocabulary(like)
    task = seqio.TaskRegistry.add(
        name,
        source=MRPSource(recipe),
        output_features=task_features(vocabulary),
        preprocessors=[whole_inputs, whole_targets],
        metric_fns=[],
        task_cls=MRPTask,
        recipe=recipe,
    )
    assert isinstance(task, MRPTask)
    return task


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
    if name in seqio.MixtureRegistry.names():
        known = seqio.MixtureRegistry.get(name)
        if dict(known.rate_per_task_name) == rates:
            return known
        raise ConfigError(
            f"a mixture called {name!r} is registered already, made otherwise; choose another name"
        )
    return seqio.MixtureRegistry.add(name, list(rates.items()))


def mrp_recipe(name: str) -> MRPRecipe:
    """How a task's rows are found.

    Raises:
      ConfigError: it is not made by `mrp_task`.
    """
    task = seqio.get_mixture_or_task(name)
    if not isinstance(task, MRPTask):
        raise ConfigError(
            f"{name!r} is no task of mention reference prediction; expected one registered with "
            "t5coref.data.mrp.mrp_task"
        )
    return task.recipe


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
    if name in seqio.TaskRegistry.names():
        known = seqio.TaskRegistry.get(name)
        if isinstance(known, UnaskedTask) and known.recipe == recipe:
            return known
        raise ConfigError(
            f"a task called {name!r} is registered already, made otherwise; choose another name "
            "for the mixture"
        )

    def fitting(
        dataset: tf.data.Dataset, sequence_length: Mapping[str, int] | None = None
    ) -> tf.data.Dataset:
        limit = (sequence_length or {}).get("targets")
        if limit and recipe.settings().skip_long:
            return dataset.filter(lambda row: tf.shape(row["targets"])[0] <= limit)
        return whole_targets(dataset, sequence_length)

    made = seqio.TaskRegistry.add(
        name,
        source=CorefSource(recipe),
        output_features=task_features(task_vocabulary(task)),
        preprocessors=[seqio.CacheDatasetPlaceholder(), whole_inputs, fitting, no_queries],
        metric_fns=[],
        task_cls=UnaskedTask,
        recipe=recipe,
    )
    assert isinstance(made, UnaskedTask)
    return made
