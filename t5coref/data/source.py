"""Where a task's rows come from: prepared records, or files that are linearized when asked for.

Imports seqio.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import seqio
import tensorflow as tf

from t5coref.core.errors import MismatchError
from t5coref.data import places, records
from t5coref.data.manifest import Split
from t5coref.data.recipe import Recipe, Setup
from t5coref.data.registration import PARTS
from t5coref.data.rows import Row, rows_of


class CorefSource(seqio.DataSource):
    """The rows of a recipe's splits.

    Prepared data is read a shard a reader. Files are read and linearized once a process, the
    documents of a shard only; they suit small corpora.
    """

    def __init__(self, recipe: Recipe):
        super().__init__(splits=())
        self.recipe = recipe
        self._rows: dict[tuple[str, str, int, int], list[Row]] = {}

    def __str__(self) -> str:
        return f"CorefSource({self.recipe.name})"

    @property
    def splits(self) -> Sequence[str]:
        """Of the prepared data, or those that there may be files of."""
        if self.recipe.folder() is not None:
            manifest = self.recipe.setup().manifest
            assert manifest is not None
            return tuple(manifest.splits)
        return tuple(self.recipe.files)

    @property
    def supports_arbitrary_sharding(self) -> bool:
        """Documents from files can be shared out as one likes; records by their shards."""
        return self.recipe.setup().manifest is None

    def list_shards(self, split: str) -> Sequence[str]:
        """Files of records; for files of documents the names of equal parts."""
        setup = self.recipe.setup()
        stored = self._stored(setup, split)
        if stored is None or setup.folder is None:
            return [f"{split}-{i:02d}-of-{PARTS}" for i in range(PARTS)]
        return [places.join(setup.folder, shard.file) for shard in stored.shards]

    def get_dataset(
        self,
        split: str = "train",
        shuffle: bool = True,
        seed: int | None = None,
        shard_info: seqio.ShardInfo | None = None,
        **unused,
    ) -> tf.data.Dataset:
        """The rows of a split, or of one shard of it.

        Raises:
          ConfigError: there are no files for it, or it is no split.
          FormatError: a file of records was cut or lost.
        """
        del unused
        setup = self.recipe.setup()
        index, parts = (shard_info.index, shard_info.num_shards) if shard_info else (0, 1)
        stored = self._stored(setup, split)
        if stored is not None and setup.folder is not None:
            records.check_sizes(setup.folder, stored.shards[index::parts])
            reader = records.file_source({split: self.list_shards(split)}, self.recipe.feed_rank)
            return reader.get_dataset(split, shuffle, seed, shard_info)
        rows = self.rows(split, index, parts)
        if shuffle:
            order = np.random.default_rng(seed).permutation(len(rows))
            rows = [rows[i] for i in order]
        return records.in_memory(rows, self.recipe.feed_rank)

    def num_input_examples(self, split: str) -> int:
        """How many rows a split has."""
        setup = self.recipe.setup()
        stored = self._stored(setup, split)
        return len(self.rows(split)) if stored is None else stored.examples

    def num_documents(self, split: str) -> int:
        """How many documents with rows a split has."""
        setup = self.recipe.setup()
        if (stored := self._stored(setup, split)) is not None:
            return stored.documents
        return sum(int(row["turn"]) == 0 for row in self.rows(split))

    def rows(self, split: str, index: int = 0, parts: int = 1) -> list[Row]:
        """The rows of every `parts`-th document of a split's files, from number `index` on.

        Raises:
          ConfigError: no file matches, or it is no split.
        """
        setup = self.recipe.setup()
        key = (setup.settings.key(), split, index, parts)
        if key not in self._rows:
            documents = self.recipe.documents(split, setup.settings)
            self._rows[key] = [
                row
                for document in documents[index::parts]
                for row in rows_of(setup.linearization, document)
            ]
        return self._rows[key]

    def _stored(self, setup: Setup, split: str) -> Split | None:
        """What the prepared data says of a split; None where the task runs from its files."""
        if setup.manifest is None:
            return None
        if split not in setup.manifest.splits:
            raise MismatchError(
                f"{setup.folder} has no split {split!r}; it has "
                f"{', '.join(setup.manifest.splits)}; prepare it, too"
            )
        return setup.manifest.splits[split]
