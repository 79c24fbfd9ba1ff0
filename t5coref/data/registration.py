"""What SeqIO tasks of ours share: a recipe, a source of rows, and being registered once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import seqio
import tensorflow as tf

from t5coref.core.errors import ConfigError, MismatchError

PARTS = 16
"""Shards that a split which is no set of files can be cached in."""


class Recipe(Protocol):
    """How a task's rows are made; recipes of tasks that are made alike are equal."""

    @property
    def name(self) -> str:
        """Of the task."""
        ...


class RecipeTask(seqio.Task):
    """A task that knows its recipe; each kind of task is a subclass."""

    recipe: Any

    def __init__(self, *args: Any, recipe: Recipe, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.recipe = recipe


class NumberedSource(seqio.DataSource):
    """A source whose rows have numbers: they are shared out and shuffled by them."""

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
        index, parts = (shard_info.index, shard_info.num_shards) if shard_info else (0, 1)
        numbers = np.arange(self.num_input_examples(split))[index::parts]
        if shuffle:
            numbers = np.random.default_rng(seed).permutation(numbers)
        return self.numbered(split, numbers)

    @abstractmethod
    def num_input_examples(self, split: str) -> int:
        """How many rows a split has."""

    @abstractmethod
    def numbered(self, split: str, numbers: np.ndarray) -> tf.data.Dataset:
        """The rows with these numbers, in their order; the dataset's place can be saved."""


K = TypeVar("K", bound=RecipeTask)

Found = str | seqio.Task | seqio.Mixture
"""A task or mixture, or its name."""


def registered(kind: type[K], recipe: Recipe, name: str | None = None, **parts: Any) -> K:
    """Registers a task of a kind, or finds it if it is registered alike.

    Args:
      kind: of task.
      recipe: that the task knows.
      name: of the task; None = the recipe's.
      **parts: of the task, as `seqio.TaskRegistry.add` takes them.

    Raises:
      ConfigError: another task has the name.
    """
    name = name or recipe.name
    if name in seqio.TaskRegistry.names():
        known = seqio.TaskRegistry.get(name)
        if isinstance(known, kind) and known.recipe == recipe:
            return known
        raise ConfigError(
            f"a task called {name!r} is registered already, made otherwise; choose another name"
        )
    parts.setdefault("metric_fns", [])
    task = seqio.TaskRegistry.add(name, task_cls=kind, recipe=recipe, **parts)
    assert isinstance(task, kind)
    return task


def registered_mixture(name: str, rates: Mapping[str, Any]) -> seqio.Mixture:
    """Registers a mixture of tasks with their rates, or finds it if it is registered alike.

    Raises:
      ConfigError: another mixture has the name.
    """
    if name in seqio.MixtureRegistry.names():
        known = seqio.MixtureRegistry.get(name)
        if dict(known.rate_per_task_name) == dict(rates):
            return known
        raise ConfigError(
            f"a mixture called {name!r} is registered already, made otherwise; choose another name"
        )
    return seqio.MixtureRegistry.add(name, list(rates.items()))


def recipe_of(kind: type[RecipeTask], task: Found, what: str, maker: str) -> Any:
    """The recipe of a task, or of a mixture's first task.

    Args:
      kind: that the task must be of.
      task: or its name.
      what: the kind in words.
      maker: the function that registers such tasks.

    Raises:
      MismatchError: it is of another kind.
    """
    first = seqio.get_subtasks(seqio.maybe_get_mixture_or_task(task))[0]
    if not isinstance(first, kind):
        raise MismatchError(f"{first.name!r} is no {what}; expected one registered with {maker}")
    return first.recipe
