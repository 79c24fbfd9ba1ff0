"""Training examples as padded batches, each a pure function of the seed and its number.

B rows, S source pieces, T steps. A run that starts again at step n asks for batch n: the input has
no state that would have to be saved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import grain
import numpy as np

from t5coref import linearize
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.rules import Rules
from t5coref.linearize import Example, Linearization
from t5coref.predict import padded_length

FOREVER = 2**40  # rows; grain cannot count the batches of an infinite data set


@dataclass(frozen=True, eq=False)
class Batch:
    """Examples side by side.

    Attributes:
      features: `encoder_input_tokens` `[B, S]`; `decoder_input_tokens` (the feeds, shifted),
        `decoder_target_tokens` (actions as vocabulary ids), `decoder_target_actions` (actions as
        columns of the logits), `[B, T]`, all int32; `decoder_loss_weights` float32 `[B, T]`. Feeds
        of input-feed and iterative-handles are `[B, T, 2]`.
      names: the document and the turn of each row, `[B]`.
      pieces: source and target places that are not padding.
    """

    features: dict[str, np.ndarray]
    names: tuple[str, ...]
    pieces: int


def name(example: Example) -> str:
    """How messages call an example."""
    return f"{example.turn.doc_id!r} turn {example.turn.index}"


def training_examples(
    linearization: Linearization,
    documents: Iterable[Document],
    *,
    max_source_length: int | None = None,
    max_target_length: int | None = None,
    skip_long: bool = False,
) -> tuple[list[Example], list[str]]:
    """The examples of annotated documents, and the names of those left out as too long.

    Args:
      linearization: the format.
      documents: with annotations.
      max_source_length: pieces of an input, `</s>` included.
      max_target_length: actions of an answer.
      skip_long: leave longer examples out instead of refusing them; none is ever cut.

    Raises:
      ConfigError: an example is too long, or there is none.
    """
    kept: list[Example] = []
    skipped: list[str] = []
    for document in documents:
        for example in linearize.examples(linearization, document):
            sizes = {
                "source": (len(example.turn.source), max_source_length),
                "target": (len(example.actions), max_target_length),
            }
            long = {k: v for k, v in sizes.items() if v[1] is not None and v[0] > v[1]}
            if long and not skip_long:
                side, (length, limit) = next(iter(long.items()))
                raise ConfigError(
                    f"document {name(example)} has a {side} of {length}; expected at most "
                    f"max_{side}_length = {limit}; raise it, make the format's window smaller, or "
                    "set skip_long to train without such examples"
                )
            if long:
                skipped.append(name(example))
            else:
                kept.append(example)
    if not kept:
        raise ConfigError(
            f"there is nothing to train on: no example is left, {len(skipped)} were too long; "
            "expected at least one annotated document with text"
        )
    return kept, skipped


def batches(
    examples: Sequence[Example],
    rules: Rules,
    batch_size: int,
    *,
    seed: int,
    source_length: int | None = None,
    target_length: int | None = None,
) -> grain.MapDataset[Batch]:
    """Endless batches by number, in an order of their own in each epoch.

    A batch may hold the end of an epoch and the start of the next one, so that no example is
    dropped.

    Args:
      examples: none too long.
      rules: of the format.
      batch_size: B.
      seed: of the order.
      source_length: S; None = the shortest of a few lengths that fits, see `padded_length`.
      target_length: T; likewise.
    """
    collate = collator(rules, source_length=source_length, target_length=target_length)
    dataset = grain.MapDataset.source(examples).seed(seed).shuffle().repeat(FOREVER)
    return dataset.batch(batch_size, batch_fn=collate)


def collator(
    rules: Rules, *, source_length: int | None = None, target_length: int | None = None
) -> Callable[[Sequence[Example]], Batch]:
    """Puts examples of a format side by side; the arguments are those of `batches`."""
    if rules.scored_ids is None:
        column = None
    else:
        column = np.full(max(rules.scored_ids) + 1, -1, np.int32)
        column[np.asarray(rules.scored_ids)] = np.arange(len(rules.scored_ids))

    def collate(rows: Sequence[Example]) -> Batch:
        sources = [row.turn.source for row in rows]
        answers = [row.actions for row in rows]
        width = source_length or padded_length(max(map(len, sources)))
        length = target_length or padded_length(max(map(len, answers)))
        actions = _padded(answers, length)
        there = np.arange(length)[None, :] < np.asarray([len(a) for a in answers])[:, None]
        weights = rules.loss_weights(actions) * there
        # A feed may be two pieces side by side, and so is the first one then.
        shifted = [np.pad(r.feeds[:-1], [(1, 0), (0, 0)][: r.feeds.ndim]) for r in rows]
        targets = actions if column is None else np.where(there, column[actions], 0)
        features = {
            "encoder_input_tokens": _padded(sources, width),
            "decoder_input_tokens": _padded(shifted, length),
            "decoder_target_tokens": actions,
            "decoder_target_actions": targets.astype(np.int32),
            "decoder_loss_weights": weights,
        }
        pieces = sum(map(len, sources)) + sum(map(len, answers))
        return Batch(features, tuple(map(name, rows)), pieces)

    return collate


class AlikeInLength:
    """Which rows make batch n, so that those of a batch are of about one length.

    Rows come in a new order in each epoch. So many batches in a row are sorted by length together,
    and taken in a random order. A batch is a function of the seed and its number, and every row
    comes once an epoch; no row is dropped at its end.

    Args:
      lengths: of the rows.
      rows: B.
      seed: of the order.
      together: batches that are sorted together; 1 = as they come.
    """

    def __init__(self, lengths: Sequence[int], rows: int, seed: int, together: int = 16):
        self._lengths = np.asarray(lengths)
        self._rows, self._seed, self._together = rows, seed, together

    def __len__(self) -> int:
        return FOREVER

    def __getitem__(self, number: int) -> list[int]:
        """The rows of a batch."""
        pool, place = divmod(number, self._together)
        count, size = len(self._lengths), self._rows * self._together
        taken: list[int] = []
        while len(taken) < size:
            epoch, first = divmod(pool * size + len(taken), count)
            order = np.random.default_rng((self._seed, 0, epoch)).permutation(count)
            taken += order[first : first + size - len(taken)].tolist()
        by_length = sorted(taken, key=self._lengths.__getitem__)
        turn = np.random.default_rng((self._seed, 1, pool)).permutation(self._together)[place]
        return by_length[turn * self._rows : (turn + 1) * self._rows]


def read_ahead(dataset: grain.MapDataset[Batch], start: int) -> Iterator[Batch]:
    """Batch `start` and all that follow, made by other threads while the caller computes."""
    options = grain.ReadOptions(num_threads=1, prefetch_buffer_size=4)
    return iter(dataset.slice(slice(start, None)).to_iter_dataset(options))


def fingerprint(examples: Iterable[Example]) -> str:
    """A digest of examples and their order: a resumed run must train on the same ones."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(name(example).encode())
        for array in (example.turn.source, example.actions, example.feeds):
            digest.update(np.ascontiguousarray(array, np.int32).tobytes() + b"|")
    return digest.hexdigest()[:16]


def _padded(rows: Sequence[np.ndarray], length: int) -> np.ndarray:
    out = np.zeros((len(rows), length, *rows[0].shape[1:]), np.int32)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return out
