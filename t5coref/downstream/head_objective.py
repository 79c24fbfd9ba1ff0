"""Learning a head on a T5 encoder together with the encoder, for `t5coref.train.fit`.

A `HeadTask` says what is special about a task; everything else is here and in `head_model.py`:

    task = GlueClassification(name="mrpc", train_file="MRPC/train.tsv", dev_file="MRPC/dev.tsv")
    fit(objective=HeadObjective(base=pretrained("flan-t5-small"), task=task), output_dir="run",
        epochs=3, batch_size=32)
    HeadModel.load("run/best")

To add a task: a `Head` in `t5coref/nn/downstream` (listed in its `__init__`), whose `losses` gives
the loss of each example; a class with the attributes and methods of `HeadTask`; its name in
`CONSTRUCTORS` of `t5coref/cli/gin_files.py`; and a gin file that includes `gin/downstream/head.gin`
and binds `HeadObjective.task`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, Protocol

import grain
import jax
import jax.numpy as jnp
import numpy as np

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream.head_model import HeadModel, R, head_model, outputs
from t5coref.headed import HEADS, Base, describe, encode
from t5coref.nn.downstream import Head
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import AlikeInLength, Batch
from t5coref.train.objective import Loss, Sums
from t5coref.train.t5_objective import T5Objective

Outputs = Callable[[Sequence[R]], list[Any]]
"""Rows -> what the head says about each, in their order; see `head_model.outputs`."""

Score = Callable[[Outputs], Mapping[str, float]]
"""Computes the outputs of the dev rows that it holds, and scores them (fractions)."""


class HeadTask(Protocol[R]):
    """What is special about one task.

    Attributes:
      name: of the task, such as "glue/mrpc".
      head: what is to be learned.
      score: which of the dev scores says which model is the best; higher is better.
      data: JSON for the model's card: what prediction needs besides the head.
      settings: JSON of what a resumed run must share: digests of the data, lengths.
    """

    @property
    def name(self) -> str:
        """See above."""
        ...

    @property
    def head(self) -> Head:
        """See above."""
        ...

    @property
    def score(self) -> str:
        """See above."""
        ...

    @property
    def data(self) -> Mapping[str, Any]:
        """See above."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """See above."""
        ...

    def rows(self, tokenizer: Tokenizer) -> Sequence[R]:
        """The training examples."""
        ...

    def batch(
        self, rows: Sequence[R], random: np.random.Generator | None
    ) -> Mapping[str, np.ndarray]:
        """Examples side by side, with their labels: arrays `[B, ...]`, `encoder_input_tokens` among
        them.

        Args:
          rows: at least one.
          random: what a training batch may draw from, a function of the run's seed and the number
            of the batch; None where nothing is to be drawn (evaluation).
        """
        ...

    def scorer(self, tokenizer: Tokenizer) -> Score | None:
        """How the dev examples are scored; None where there are none."""
        ...

    def notes(self, rows: Sequence[R]) -> Sequence[str]:
        """What a user should know of the training examples before it begins."""
        ...


class HeadObjective(T5Objective[HeadModel], Generic[R]):
    """The loss of a head, on top of an encoder that learns with it.

    Args:
      base: a T5, whose encoder gets a new head; or a model that has the head already.
      task: what is learned.
      eval_batch_size: dev rows that are computed at once.
      dtype: see `T5Objective`.
      dropout: see `T5Objective`; the head's own rates are arguments of the task.
      scan_layers: see `T5Objective`.
      remat: see `T5Objective`.
      seed: of the new head's parameters.
      together: so many batches are sorted by length together, see `AlikeInLength`.
      devices: for the evaluation; None = all local ones.

    Raises:
      ConfigError: there is nothing to train on.
      MismatchError: the model has another head than the task.
    """

    def __init__(
        self,
        *,
        base: Base | HeadModel,
        task: HeadTask[R],
        eval_batch_size: int = 8,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
        seed: int = 0,
        together: int = 16,
        devices: Sequence[Any] | None = None,
    ):
        if not isinstance(base, HeadModel):
            base = head_model(base=base, head=task.head, task=task.name, data=task.data, seed=seed)
        elif base.head != task.head:
            raise MismatchError(
                f"the model has the head of {base.task}, {describe(base.head)}; expected "
                f"{describe(task.head)} for {task.name}; start from a T5 or from a model with it"
            )
        super().__init__(base, dtype=dtype, dropout=dropout, scan_layers=scan_layers, remat=remat)
        self._task, self._together = task, together
        self._rows = task.rows(self.model.tokenizer)
        if not self._rows:
            raise ConfigError(f"there is nothing to train on: {task.name} has no examples")
        self.examples, self.score = len(self._rows), task.score
        self.notes: Sequence[str] = tuple(task.notes(self._rows))
        head: Any = task.head  # hashable, which type checkers do not know of linen modules
        self.loss: Loss = head_loss(self.config, head)
        score = task.scorer(self.model.tokenizer)
        if score is not None:
            compute = functools.partial(
                outputs, self.model, collate=task.batch, batch_size=eval_batch_size,
                devices=devices,
            )  # fmt: skip
            self.scores = lambda params: score(lambda rows: compute(rows=rows, params=params))
        self.settings |= {"task": task.name, "together": together, "data": dict(task.settings)}

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Rows of about one length each."""
        lengths = [len(row) for row in self._rows]
        order: Any = _Numbered(AlikeInLength(lengths, rows, seed, self._together))

        def batch(numbered: tuple[int, Sequence[int]]) -> Batch:
            number, places = numbered
            chosen = [self._rows[i] for i in places]
            features = self._task.batch(chosen, np.random.default_rng((seed, 2, number)))
            names = tuple(row.name for row in chosen)
            return Batch(dict(features), names, sum(map(len, chosen)))

        return grain.MapDataset.source(order).map(batch)


@functools.lru_cache(maxsize=8)
def head_loss(config: T5Config, head: Head) -> Loss:
    """The loss of a head's examples; for the same arguments it is the same function.

    Args:
      config: of the encoder; its layers are scanned or not, as in the parameters.
      head: on top of it.
    """

    def loss(params, features, key):
        of_encoder, of_head = jax.random.split(key)
        encoded: Any = encode(
            config, params, features, enable_dropout=True, rngs={"dropout": of_encoder}
        )
        output = head.apply(
            {"params": params[HEADS]},
            encoded,
            features,
            deterministic=False,
            rngs={"dropout": of_head},
        )
        total, weight = head.losses(output, features)
        return jnp.sum(total), Sums(jnp.sum(weight), {})

    return loss


class _Numbered:
    """Items with their numbers."""

    def __init__(self, items: AlikeInLength):
        self._items = items

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: int) -> tuple[int, list[int]]:
        return number, self._items[number]
