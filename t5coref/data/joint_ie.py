"""SeqIO tasks of annotated documents for heads on an encoder; imports seqio.

T pieces, G gold mentions, P gold relations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5coref import corpora
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.data.documents import Files
from t5coref.data.recipe import of_split, plain_tokenizer
from t5coref.data.registration import NumberedSource, RecipeTask, recipe_of, registered
from t5coref.data.settings import Settings, settings
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.joint_ie.features import Row, annotated, read
from t5coref.joint_ie.inventory import relations_in_file, relations_of
from t5coref.tokenizer import Tokenizer

SEQUENCES = ("inputs", "sentence", "word_start", "word_end")
"""Task features int32 `[T]`."""

TABLES = ("mentions", "relations")
"""Task features int32 `[G, 3]` and `[P, 3]`, see `Row`."""

COLUMNS = {
    "mentions": ("mention_start", "mention_end", "mention_cluster"),
    "relations": ("relation_head", "relation_tail", "relation_type"),
}


@dataclass(frozen=True)
class JointRecipe:
    """How a task's rows are made; see `joint_task`."""

    name: str
    corpus: str
    files: Mapping[str, Files]
    relations: str | None
    max_length: int
    settings: Callable[[], Settings] = settings

    def tokenizer(self) -> Tokenizer:
        """Of the settings.

        Raises:
          ConfigError: they name none.
        """
        return plain_tokenizer(self.name, self.settings())

    def documents(self, split: str) -> list[Document]:
        """Those of a split.

        Raises:
          ConfigError: it is no split, or its files are not there.
        """
        files = of_split(self.name, self.files, split)
        return list(files.read(self.corpus, self.settings().data))

    def inventory(self) -> tuple[str, ...]:
        """The names of the relation types, in the order of the classes."""
        if self.relations is None:
            return relations_of(documents=self.documents("train"))
        return relations_in_file(file=os.path.join(self.settings().data, self.relations))


class JointSource(NumberedSource):
    """The rows of a recipe's splits, made of the files when they are asked for."""

    def __init__(self, recipe: JointRecipe):
        super().__init__(splits=tuple(recipe.files))
        self.recipe = recipe
        self._rows: dict[tuple[str, str], list[Row]] = {}

    def numbered(self, split: str, numbers: np.ndarray) -> tf.data.Dataset:
        """See `NumberedSource.numbered`."""
        return _in_memory([self.rows(split)[i] for i in numbers])

    def num_input_examples(self, split: str) -> int:
        """How many documents with text a split has."""
        return len(self.rows(split))

    def rows(self, split: str) -> list[Row]:
        """All rows of a split, in the order of its files."""
        recipe = self.recipe
        key = recipe.settings().key(), split
        if key not in self._rows:
            tokenizer = recipe.tokenizer()
            types = {name: i for i, name in enumerate(recipe.inventory(), start=1)}
            self._rows[key] = [
                annotated(read(document, tokenizer, max_length=recipe.max_length), document, types)
                for document in recipe.documents(split)
                if document.words
            ]
        return self._rows[key]


class JointTask(RecipeTask):
    """A task of `joint_task`."""


def joint_task(
    name: str,
    *,
    corpus: str,
    files: Mapping[str, Files | str | Sequence[str]],
    relations: str | None = None,
    max_length: int = 1024,
    settings: Callable[[], Settings] = settings,
) -> JointTask:
    """Registers a task for heads on an encoder, or finds it if it is registered alike.

    Its features are those of `SEQUENCES` and `TABLES`. Neither tokenizer nor data has to be there
    yet: both are looked for when the task is used.

    Args:
      name: of the task.
      corpus: the reader, a name of `t5coref.corpora.names()`.
      files: of each split, below the folder of data (`Settings.data`) unless absolute.
      relations: the file of relation types, likewise; None = all those of the split `train`.
      max_length: pieces of a document, `</s>` included, that are read.
      settings: called when the task is used.

    Raises:
      ConfigError: another task has the name, or there is no such corpus.
    """
    corpora.get(corpus)
    of_splits = {split: Files.of(given) for split, given in files.items()}
    recipe = JointRecipe(name, corpus, of_splits, relations, max_length, settings)
    vocabulary = CorefVocabulary(recipe.tokenizer)

    def feature(rank: int) -> seqio.Feature:
        return seqio.Feature(vocabulary, add_eos=False, dtype=tf.int32, rank=rank)

    return registered(
        JointTask,
        recipe,
        source=JointSource(recipe),
        output_features={
            **{key: feature(1) for key in SEQUENCES},
            **{key: feature(2) for key in TABLES},
        },
        preprocessors=[],
    )


def joint_recipe(name: str) -> JointRecipe:
    """How a task's rows are made.

    Raises:
      MismatchError: it is not made by `joint_task`.
    """
    return recipe_of(JointTask, name, "task for heads", "t5coref.data.joint_ie.joint_task")


class JointFeatureConverter(seqio.FeatureConverter):
    """Pads the features of `joint_task` and names them as `t5coref.nn.joint_ie` does.

    Lengths are those of `inputs`, `mentions` and `relations`; what is longer is cut off, so give
    room for all mentions and relations of a document.

    Raises:
      ConfigError: packing is asked for: the heads know one document a row.
    """

    TASK_FEATURES: Mapping[str, seqio.FeatureConverter.FeatureSpec] = {
        **{name: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32) for name in SEQUENCES},
        **{name: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32, rank=2) for name in TABLES},
    }
    MODEL_FEATURES: Mapping[str, seqio.FeatureConverter.FeatureSpec] = {
        "encoder_input_tokens": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
        "sentence": seqio.FeatureConverter.FeatureSpec(dtype=tf.int32),
        "word_start": seqio.FeatureConverter.FeatureSpec(dtype=tf.bool),
        "word_end": seqio.FeatureConverter.FeatureSpec(dtype=tf.bool),
        **{
            column: seqio.FeatureConverter.FeatureSpec(dtype=tf.int32)
            for columns in COLUMNS.values()
            for column in columns
        },
    }
    PACKING_FEATURE_DTYPES: Mapping[str, Any] = {}

    def __init__(self, pack: bool = False, **options: Any):
        if pack:
            raise ConfigError("packing is asked for; expected pack = False for tasks of heads")
        super().__init__(pack=False, **options)

    def __call__(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        """As in the base class; all features of pieces have the length of `inputs`."""
        return super().__call__(ds, _lengths(task_feature_lengths))

    def get_model_feature_lengths(
        self, task_feature_lengths: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Lengths of the padded features."""
        given = _lengths(task_feature_lengths)
        lengths = {"encoder_input_tokens": given["inputs"]}
        lengths |= {name: given[name] for name in SEQUENCES[1:]}
        return lengths | {
            column: given[table] for table, columns in COLUMNS.items() for column in columns
        }

    def _convert_features(
        self, ds: tf.data.Dataset, task_feature_lengths: Mapping[str, int]
    ) -> tf.data.Dataset:
        def convert(row: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            made = {"encoder_input_tokens": row["inputs"], "sentence": row["sentence"]}
            made |= {name: row[name] > 0 for name in ("word_start", "word_end")}
            for table, columns in COLUMNS.items():
                made |= {name: row[table][:, k] for k, name in enumerate(columns)}
            return made

        ds = seqio.utils.trim_and_pad_dataset(ds, task_feature_lengths)
        return ds.map(convert, num_parallel_calls=tf.data.AUTOTUNE)


def _lengths(given: Mapping[str, int]) -> dict[str, int]:
    return {**dict.fromkeys(SEQUENCES, given["inputs"]), **{t: given[t] for t in TABLES}}


def _in_memory(rows: Sequence[Row]) -> tf.data.Dataset:
    """Rows as a dataset whose place can be saved, which one of a Python generator cannot."""
    columns: dict[str, list[list[int]]] = {
        "inputs": [row.source.tolist() for row in rows],
        "sentence": [row.sentence.tolist() for row in rows],
        "word_start": [row.word_start.astype(int).tolist() for row in rows],
        "word_end": [row.word_end.astype(int).tolist() for row in rows],
        "mentions": [row.mentions.reshape(-1).tolist() for row in rows],
        "relations": [row.relations.reshape(-1).tolist() for row in rows],
    }
    ragged = {
        name: tf.ragged.constant(values, dtype=tf.int32, ragged_rank=1)
        for name, values in columns.items()
    }

    def dense(row: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {
            name: tf.reshape(value, [-1, 3]) if name in TABLES else value
            for name, value in row.items()
        }

    return tf.data.Dataset.from_tensor_slices(ragged).map(dense)  # pyright: ignore[reportArgumentType]
