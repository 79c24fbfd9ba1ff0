"""Learning to prefer the right candidate: the margin loss of CorefBERT, for `t5coref.train.fit`.

With l = -log Pr(candidate | S) / 128, a the right candidate and b a wrong one of the same text:

    loss = l_a + alpha * max(0, l_a - l_b + beta)

(Ye et al. 2020, equation 5, after Kocijan et al. 2019). The paper has no 128: its published code
averages the log-probability over all 128 positions, which are zero elsewhere, so that its alpha and
beta are on this scale. The code also takes the mean l_b of the batch for each example's own.

B rows, S source pieces, T target pieces.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grain
import jax
import jax.numpy as jnp
import numpy as np

from t5coref.core.errors import ConfigError
from t5coref.downstream import text
from t5coref.downstream.model import TextModel
from t5coref.downstream.predict import SHORTEST_SOURCE, SHORTEST_TARGET, TextPredictor
from t5coref.downstream.pronouns import cloze, gap_scorer, metrics, sets
from t5coref.downstream.pronouns.example import PronounExample, cloze_input, fillings
from t5coref.nn.t5 import T5, T5Config, head_kernel
from t5coref.predict import padded_length
from t5coref.tokenizer import Tokenizer
from t5coref.train.batches import AlikeInLength, Batch
from t5coref.train.objective import Loss, Sums
from t5coref.train.t5_objective import Evaluate, T5Objective

POSITIONS = 128.0
"""Pieces that the published code pads to, and divides by."""

TARGETS, WEIGHTS = "candidate_tokens", "candidate_weights"
"""Features: int32 and float32 `[B, 2, T]`, the right candidate first; 1 for its own pieces."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A gap, a right and a wrong candidate, as pieces.

    Attributes:
      name: of the example.
      source: int32[S], `</s>` included.
      targets: int32[T] of each: `<extra_id_0>`, the candidate, `<extra_id_1>`, `</s>`.
    """

    name: str
    source: np.ndarray
    targets: tuple[np.ndarray, np.ndarray]


def pairs(examples: Iterable[PronounExample], tokenizer: Tokenizer) -> list[Pair]:
    """Each right candidate beside each wrong one; examples without one of them give no pair.

    For GAP, that is one for each name that the pronoun stands for.
    """

    def pieces(written: str) -> np.ndarray:
        return np.asarray([*text.encode(tokenizer, written), tokenizer.eos_id], np.int32)

    made = []
    for example in examples:
        source = pieces(cloze_input(example))
        targets = [pieces(cloze.cloze_target(filling)) for filling in fillings(example)]
        wrong = [i for i, candidate in enumerate(example.candidates) if not candidate.true]
        made += [
            Pair(example.name, source, (targets[a], targets[b]))
            for a in example.true
            for b in wrong
        ]
    return made


@functools.lru_cache(maxsize=8)
def margin_loss(
    config: T5Config,
    *,
    alpha: float = 10.0,
    beta: float = 0.2,
    positions: float = POSITIONS,
    own_wrong: bool = True,
) -> Loss:
    """Equation 5, summed over the rows of a micro-batch; its weight is the number of rows.

    For the same arguments it is the same function.

    Args:
      config: the network; its layers are scanned or not, as in the parameters.
      alpha: weight of the margin.
      beta: by how much the right candidate's l is to be smaller.
      positions: what log-probabilities are divided by; 1 = the paper's formula as it stands.
      own_wrong: compare with the example's own wrong candidate; False = with the mean over those of
        the micro-batch, as the published code does.
    """
    network = T5(config)

    def loss(params, features, key):
        found = candidate_log_probs(network, params, features, key)
        each, parts = equation_5(
            found, alpha=alpha, beta=beta, positions=positions, own_wrong=own_wrong
        )
        weight = jnp.asarray(each.shape[0], jnp.float32)
        return jnp.sum(each), Sums(weight, {name: jnp.sum(part) for name, part in parts.items()})

    return loss


def equation_5(
    log_probs: jax.Array, *, alpha: float, beta: float, positions: float, own_wrong: bool
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """The loss of each row, and what it is made of, float32[B].

    Args:
      log_probs: float32 `[B, 2]`, of the right and of the wrong candidate.
      alpha: see `margin_loss`.
      beta: see `margin_loss`.
      positions: see `margin_loss`.
      own_wrong: see `margin_loss`.
    """
    right, wrong = -log_probs[:, 0] / positions, -log_probs[:, 1] / positions
    against = wrong if own_wrong else jnp.broadcast_to(jnp.mean(wrong), wrong.shape)
    margin = jnp.maximum(0.0, right - against + beta)
    preferred = (right < wrong).astype(jnp.float32)
    parts = {"likelihood": right, "margin": margin, "preferred": preferred}
    return right + alpha * margin, parts


def candidate_log_probs(
    network: T5, params: Any, features: Mapping[str, jax.Array], key: jax.Array
) -> jax.Array:
    """float32 `[B, 2]`: log Pr(c | S) of both candidates, encoding each text once.

    Args:
      network: scanned or not, as in the parameters.
      params: its parameters.
      features: `encoder_input_tokens` `[B, S]`, `candidate_tokens`, `candidate_weights`.
      key: of dropout.
    """
    in_encoder, in_decoder = jax.random.split(key)
    sources, targets = features["encoder_input_tokens"], features[TARGETS]
    rows, sides, length = targets.shape
    tokens = targets.reshape(rows * sides, length)
    encoded = network.apply(
        {"params": params},
        sources,
        enable_dropout=True,
        rngs={"dropout": in_encoder},
        method="encode",
    )
    assert isinstance(encoded, jax.Array)
    hidden = network.apply(
        {"params": params},
        jnp.repeat(encoded, sides, axis=0),
        jnp.repeat(sources, sides, axis=0),
        jnp.pad(tokens[:, :-1], ((0, 0), (1, 0))),
        tokens,
        enable_dropout=True,
        rngs={"dropout": in_decoder},
        method="hidden_of",
    )
    assert isinstance(hidden, jax.Array)
    scored = _log_probs(hidden, head_kernel(network.config, params), tokens)
    return jnp.sum(scored.reshape(targets.shape) * features[WEIGHTS], axis=-1)


@jax.checkpoint  # the logits [2B, T, V] are computed again for the gradient, not kept
def _log_probs(hidden: jax.Array, kernel: jax.Array, tokens: jax.Array) -> jax.Array:
    logits = jnp.dot(hidden.astype(jnp.float32), kernel)
    chosen = jnp.take_along_axis(logits, tokens[..., None], axis=-1)[..., 0]
    return chosen - jax.nn.logsumexp(logits, axis=-1)


def collate(rows: Sequence[Pair]) -> Batch:
    """Pairs side by side, padded to one of a few lengths."""
    width = padded_length(max(len(row.source) for row in rows), SHORTEST_SOURCE)
    length = padded_length(max(len(t) for row in rows for t in row.targets), SHORTEST_TARGET)
    sources = np.zeros((len(rows), width), np.int32)
    targets = np.zeros((len(rows), 2, length), np.int32)
    weights = np.zeros((len(rows), 2, length), np.float32)
    for i, row in enumerate(rows):
        sources[i, : len(row.source)] = row.source
        for side, target in enumerate(row.targets):
            targets[i, side, : len(target)] = target
            weights[i, side, 1 : len(target) - 2] = 1.0  # neither the sentinels nor </s>
    features = {"encoder_input_tokens": sources, TARGETS: targets, WEIGHTS: weights}
    pieces = int(np.count_nonzero(sources) + np.count_nonzero(targets))
    return Batch(features, tuple(row.name for row in rows), pieces)


def dev_scorer(
    model: TextModel,
    examples: Sequence[PronounExample],
    *,
    batch_size: int = 32,
    devices: Sequence[Any] | None = None,
) -> Evaluate:
    """Fills the gaps with given parameters.

    Scores: `accuracy` and `tied`, parts of the examples that have a right candidate; `failed`, how
    many could not be scored; and, where some have none, as in GAP, `f1`, `f1_masculine` and
    `f1_feminine` of the official scorer.
    """
    predictor = TextPredictor(model, batch_size=batch_size, devices=devices)
    rows = [i for i, example in enumerate(examples) if example.true]
    gold = _gap_gold(examples)

    def evaluate(params: Any) -> dict[str, float]:
        found = list(cloze.predict(predictor, examples, params=params))
        counts = metrics.tally([examples[i] for i in rows], [found[i] for i in rows])
        scores = {
            "accuracy": counts.accuracy,
            "tied": counts.tied / counts.total if counts.total else 0.0,
            "failed": sum(prediction.error is not None for prediction in found),
        }
        if gold is not None:
            of_gap = gap_scorer.score(gold, gap_scorer.all_labels(examples, found))
            scores |= {
                "f1": of_gap.overall.f1,
                "f1_masculine": of_gap.masculine.f1,
                "f1_feminine": of_gap.feminine.f1,
            }
        return scores

    return evaluate


def _gap_gold(examples: Sequence[PronounExample]):
    """What GAP's scorer wants to know, if the examples are of its kind."""
    if all(example.true for example in examples):
        return None
    return {e.name: (e.pronoun, (e.candidates[0].true, e.candidates[1].true)) for e in examples}


class PronounObjective(T5Objective[TextModel]):
    """The margin loss on pairs of a right and a wrong candidate.

    Args:
      model: where to start from.
      train_set: examples with candidates.
      dev_set: examples that decide which model is the best.
      alpha: weight of the margin.
      beta: the margin.
      positions: see `margin_loss`.
      own_wrong: see `margin_loss`.
      score: which of the scores of `dev_scorer` decides; None = `f1` for GAP, else `accuracy`.
      eval_batch_size: candidates scored at once.
      dtype: of the computation; None = the model's.
      dropout: rate; None = the model's.
      scan_layers: compile one layer instead of all, for deep networks.
      remat: recompute activations instead of keeping them.
      together: so many batches are sorted by length together, see `AlikeInLength`.
      devices: for the evaluation; None = all local ones.

    Raises:
      ConfigError: no example has both a right and a wrong candidate.
    """

    def __init__(
        self,
        *,
        model: TextModel,
        train_set: Sequence[PronounExample],
        dev_set: Sequence[PronounExample] = (),
        alpha: float = 10.0,
        beta: float = 0.2,
        positions: float = POSITIONS,
        own_wrong: bool = True,
        score: str | None = None,
        eval_batch_size: int = 32,
        dtype: str | None = None,
        dropout: float | None = None,
        scan_layers: bool = False,
        remat: bool = False,
        together: int = 16,
        devices: Sequence[Any] | None = None,
    ):
        super().__init__(model, dtype=dtype, dropout=dropout, scan_layers=scan_layers, remat=remat)
        self._rows = pairs(train_set, model.tokenizer)
        if not self._rows:
            raise ConfigError(
                "there is nothing to train on: expected at least one example with a right and a "
                "wrong candidate"
            )
        self.examples, self._together = len(self._rows), together
        self.score = score or ("accuracy" if _gap_gold(dev_set) is None else "f1")
        self.loss: Loss = margin_loss(
            self.config, alpha=alpha, beta=beta, positions=positions, own_wrong=own_wrong
        )
        if dev_set:
            self.scores = dev_scorer(
                self.model, dev_set, batch_size=eval_batch_size, devices=devices
            )
        self.settings |= {
            "score": self.score,
            "alpha": alpha,
            "beta": beta,
            "positions": positions,
            "own_wrong": own_wrong,
            "together": together,
            "train_set": digest(train_set),
            "dev_set": digest(dev_set),
        }

    def batches(self, rows: int, seed: int) -> grain.MapDataset[Batch]:
        """Pairs of about one length each, padded to it."""
        lengths = [len(row.source) for row in self._rows]
        order: Any = AlikeInLength(lengths, rows, seed, self._together)
        return grain.MapDataset.source(order).map(
            lambda numbers: collate([self._rows[i] for i in numbers])
        )


def digest(examples: Iterable[PronounExample]) -> str:
    """Tells one list of examples from another."""
    seen = hashlib.sha256()
    for example in examples:
        facts = (example.name, cloze_input(example), fillings(example), example.true)
        seen.update(repr(facts).encode())
    return seen.hexdigest()[:16]


def pronoun_files(*, set: str, files: str | Sequence[str]) -> list[PronounExample]:
    """All examples of some files of one set, in their order.

    Args:
      set: a name of `sets.SETS`.
      files: their paths.

    Raises:
      ConfigError: there is no such set or file.
      FormatError: an example cannot be read; nothing is left out of training in silence.
    """
    paths = [files] if isinstance(files, str) else list(files)
    return [example for path in paths for example in sets.read(set, path)]
