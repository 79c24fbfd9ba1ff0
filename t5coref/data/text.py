"""SeqIO tasks of text-to-text examples; imports seqio.

Their features are `inputs` and `targets`, pieces with `</s>`: T5X's own `EncoderDecoderModel`
and any mixture of SeqIO take them. The rows have the texts, too, and what metrics need.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import seqio
import tensorflow as tf

from t5coref.core.errors import ConfigError
from t5coref.data.documents import Files
from t5coref.data.recipe import of_split, plain_tokenizer
from t5coref.data.registration import NumberedSource, RecipeTask, recipe_of, registered
from t5coref.data.settings import DATA, Settings, settings
from t5coref.data.vocabulary import CorefVocabulary
from t5coref.downstream import text
from t5coref.downstream.text import Metric, Mistakes, Reader, TextExample
from t5coref.tokenizer import Tokenizer

_LOG = logging.getLogger(__name__)

EXAMPLE = "example"
"""Feature: name, references and data of a row's example, as JSON."""


@dataclass(frozen=True)
class TextRecipe:
    """How a task's rows are made; see `text_task`."""

    name: str
    readers: Mapping[str, Reader]
    files: Mapping[str, Files]
    metrics: tuple[Metric, ...]
    settings: Callable[[], Settings] = settings

    def tokenizer(self) -> Tokenizer:
        """Of the settings.

        Raises:
          ConfigError: they name none.
        """
        return plain_tokenizer(self.name, self.settings())

    def examples(self, split: str) -> list[TextExample]:
        """Those of a split, in the order of its files.

        Those that cannot be read are left out; the log names them.

        Raises:
          ConfigError: it is no split, its files are not there, or no example is left.
          FormatError: a file as a whole breaks its format.
        """
        wanted = of_split(self.name, self.files, split)
        try:
            paths = wanted.paths(self.settings().data)
        except ConfigError as error:
            raise ConfigError(
                f"task {self.name!r}, split {split!r}: {error}; put the data set there "
                f"(docs/downstream.md says where it comes from), or set {DATA} to the folder that "
                "holds it"
            ) from None
        mistakes = Mistakes()
        examples = [example for path in paths for example in self.readers[split](path, mistakes)]
        for message in mistakes.messages:
            _LOG.warning("task %s, split %s: left out: %s", self.name, split, message)
        if not examples:
            first = f", the first of {len(mistakes.messages)}: {mistakes.messages[0]}"
            raise ConfigError(
                f"task {self.name!r}, split {split!r}: no example in {', '.join(paths)}; expected "
                f"at least one{first if mistakes.messages else ''}"
            )
        return examples


class TextVocabulary(CorefVocabulary):
    """Pieces and sentinels of running text; see `CorefVocabulary`."""

    def _encode(self, s: str) -> list[int]:
        return text.encode(self.wrapped, s)

    def _decode(self, ids: Iterable[int]) -> str:
        return text.decode(self.wrapped, list(ids))


def text_vocabulary(settings: Callable[[], Settings] = settings) -> TextVocabulary:
    """The vocabulary of all text tasks with these settings; T5X's models want to be given it."""
    return TextVocabulary(TextRecipe("text", {}, {}, (), settings).tokenizer)


class TextSource(NumberedSource):
    """The texts of a recipe's splits, read from the files when they are asked for."""

    def __init__(self, recipe: TextRecipe):
        super().__init__(splits=tuple(recipe.files))
        self.recipe = recipe
        self._examples: dict[tuple[str, str], list[TextExample]] = {}

    def numbered(self, split: str, numbers: np.ndarray) -> tf.data.Dataset:
        """See `NumberedSource.numbered`."""
        examples = [self.examples(split)[i] for i in numbers]
        columns = {
            "inputs": [example.inputs for example in examples],
            "targets": [example.targets for example in examples],
            EXAMPLE: [_packed(example) for example in examples],
        }
        rows: Any = {name: tf.constant(texts, tf.string) for name, texts in columns.items()}
        return tf.data.Dataset.from_tensor_slices(rows)

    def num_input_examples(self, split: str) -> int:
        """How many examples a split has."""
        return len(self.examples(split))

    def examples(self, split: str) -> list[TextExample]:
        """All examples of a split, in the order of its files."""
        key = self.recipe.settings().key(), split
        if key not in self._examples:
            self._examples[key] = self.recipe.examples(split)
        return self._examples[key]


class TextTask(RecipeTask):
    """A task of `text_task`."""


def text_task(
    name: str,
    *,
    reader: Reader | Mapping[str, Reader],
    files: Mapping[str, Files | str | Sequence[str]],
    metrics: Sequence[Metric] = (),
    settings: Callable[[], Settings] = settings,
) -> TextTask:
    """Registers a text-to-text task, or finds it if it is registered alike.

    Neither tokenizer nor data has to be there yet: both are looked for when the task is used. The
    texts can be cached with SeqIO's tools. Texts longer than the task's lengths are cut, as SeqIO
    does it, and keep their `</s>`.

    Args:
      name: of the task.
      reader: of one file, or one for each split; what can be compared, such as named functions.
      files: of each split, below the folder of data (`Settings.data`) unless absolute.
      metrics: of what was written for all examples of a split.
      settings: called when the task is used.

    Raises:
      ConfigError: another task has the name.
    """
    of_splits = {split: Files.of(given) for split, given in files.items()}
    readers = dict(reader) if isinstance(reader, Mapping) else dict.fromkeys(of_splits, reader)
    recipe = TextRecipe(name, readers, of_splits, tuple(metrics), settings)
    vocabulary = TextVocabulary(recipe.tokenizer)
    feature = seqio.Feature(vocabulary, add_eos=True, dtype=tf.int32)
    return registered(
        TextTask,
        recipe,
        source=TextSource(recipe),
        output_features={"inputs": feature, "targets": feature},
        preprocessors=[
            seqio.preprocessors.tokenize,
            seqio.CacheDatasetPlaceholder(),
            seqio.preprocessors.append_eos_after_trim,
        ],
        postprocess_fn=_gold_or_text,
        metric_fns=[_metric_of_seqio(metric) for metric in recipe.metrics],
    )


def text_recipe(name: str) -> TextRecipe:
    """How a task's rows are made.

    Raises:
      MismatchError: it is not made by `text_task`.
    """
    return recipe_of(TextTask, name, "text-to-text task", "t5coref.data.text.text_task")


def _packed(example: TextExample) -> str:
    fields = dataclasses.asdict(example)
    return json.dumps({key: fields[key] for key in ("name", "references", "data")})


def _gold_or_text(decoded: Any, example: Mapping[str, Any], is_target: bool = False) -> Any:
    """What metrics get: the example where the gold text is given, else what a model wrote."""
    if not is_target:
        return decoded
    fields = json.loads(_string(example[EXAMPLE]))
    return TextExample(
        name=fields["name"],
        inputs=_string(example["inputs_pretokenized"]),
        targets=_string(example["targets_pretokenized"]),
        references=tuple(fields["references"]),
        data=fields["data"],
    )


def _metric_of_seqio(metric: Metric) -> Callable[..., Mapping[str, float]]:
    def scores(targets: Sequence[TextExample], predictions: Sequence[str]) -> Mapping[str, float]:
        return metric(targets, predictions)

    scores.__name__ = getattr(metric, "__name__", "scores")
    return scores


def _string(value: Any) -> str:
    raw = value.item() if isinstance(value, np.ndarray) else value
    return raw.decode() if isinstance(raw, bytes) else str(raw)
