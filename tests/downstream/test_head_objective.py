"""Heads on an encoder: training through `fit`, the folder, what is refused."""

from __future__ import annotations

import dataclasses
import functools
import json

import numpy as np
import pytest

from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream.head_model import HeadModel, head_model, outputs
from t5coref.downstream.head_objective import HeadObjective
from t5coref.model import Model, from_scratch, has_heads
from t5coref.nn.downstream import ClassificationHead
from t5coref.nn.downstream.classification import LABEL
from t5coref.nn.stack import T5Config
from t5coref.train.loop import fit
from t5coref.train.optimizers import adamw

TINY = T5Config(
    vocab_size=1, emb_dim=16, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=8,
    mlp_dim=32, dropout_rate=0.0,
)  # fmt: skip
LENGTH = 16


@dataclasses.dataclass(frozen=True)
class Numbers:
    """A text and its class."""

    name: str
    source: tuple[int, ...]
    label: int

    def __len__(self):
        return len(self.source)


class FirstPieceIsLarge:
    """Whether the first piece of a text is one of the upper half of the vocabulary."""

    name, score = "large", "accuracy"
    head = ClassificationHead(dropout_rate=0.0)

    def __init__(self, dev=True):
        self.data, self.settings = {"labels": ["small", "large"]}, {"examples": 24}
        self.dev = dev
        self.drawn = []

    def _rows(self, seed, count):
        random = np.random.default_rng(seed)
        texts = [random.integers(3, 63, random.integers(2, LENGTH)) for _ in range(count)]
        return [Numbers(f"{i}", tuple(t.tolist()), int(t[0] > 32)) for i, t in enumerate(texts)]

    def rows(self, tokenizer):
        return self._rows(0, 24)

    def batch(self, rows, random):
        self.drawn.append(None if random is None else int(random.integers(1 << 30)))
        tokens = np.zeros((len(rows), LENGTH), np.int32)
        for i, row in enumerate(rows):
            tokens[i, : len(row)] = row.source
        labels = np.asarray([row.label for row in rows], np.int32)
        return {"encoder_input_tokens": tokens, LABEL: labels}

    def scorer(self, tokenizer):
        if not self.dev:
            return None
        rows = self._rows(0, 11)

        def score(computed):
            right = [
                out.argmax() == row.label for out, row in zip(computed(rows), rows, strict=True)
            ]
            return {"accuracy": float(np.mean(right))}

        return score

    def notes(self, rows):
        return (f"{len(rows)} texts",)


@pytest.fixture(scope="module")
def base(tokenizer):
    return from_scratch(TINY, tokenizer)


@functools.cache
def optimizer(total):
    return adamw(total, peak=2e-2, warmup=0, decay="constant")


@pytest.fixture(scope="module")
def trained(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    task = FirstPieceIsLarge()
    objective = HeadObjective(base=base, task=task, eval_batch_size=8)
    result = fit(
        objective=objective, output_dir=folder, steps=30, batch_size=8, eval_every=15,
        optimizer=optimizer,
    )  # fmt: skip
    return objective, result


def test_it_learns(trained):
    objective, result = trained
    assert result.scores["accuracy"] == 1.0
    assert objective.notes == ("24 texts",)


def test_the_model_comes_back(trained, tmp_path):
    _, result = trained
    model = HeadModel.load(result.best)
    assert (model.task, model.data) == ("large", {"labels": ["small", "large"]})
    assert model.head == FirstPieceIsLarge.head
    assert model.config.num_decoder_layers == 0
    assert "decoder" not in model.params
    task = FirstPieceIsLarge()
    rows = task.rows(None)[:11]
    found = outputs(model, rows, task.batch, batch_size=8)
    assert [int(x.argmax()) for x in found] == [row.label for row in rows]
    model.save(tmp_path / "again")
    assert HeadModel.load(tmp_path / "again").fingerprint() == model.fingerprint()
    with pytest.raises(ConfigError, match=r"HeadModel\.load"):
        Model.load(result.best)
    assert not has_heads(result.best)  # those for entities and relations


def test_outputs_do_not_depend_on_their_company(trained):
    """Rows come back in their order, whatever batch they were computed in."""
    _, result = trained
    model, task = HeadModel.load(result.best), FirstPieceIsLarge()
    rows = task.rows(None)[:11]
    together = outputs(model, rows, task.batch, batch_size=8)
    alone = [outputs(model, [row], task.batch, batch_size=8)[0] for row in rows]
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert outputs(model, [], task.batch) == []


def test_batches_are_functions_of_the_seed_and_their_number(base):
    def drawn(seed):
        task = FirstPieceIsLarge(dev=False)
        data = HeadObjective(base=base, task=task).batches(8, seed)
        batches = [data[i] for i in (0, 1, 5)]
        return [b.names for b in batches], task.drawn

    assert drawn(1) == drawn(1)
    assert drawn(1)[1] != drawn(2)[1]
    assert len(set(drawn(1)[1])) == 3


def test_a_loss_is_compiled_once(base):
    one, other = (HeadObjective(base=base, task=FirstPieceIsLarge()) for _ in range(2))
    assert one.loss is other.loss
    assert one.identity == other.identity
    assert HeadObjective(base=base, task=FirstPieceIsLarge(dev=False)).evaluate is None


def test_going_on_with_a_model_of_the_task(trained, base):
    _, result = trained
    objective = HeadObjective(base=HeadModel.load(result.best), task=FirstPieceIsLarge())
    assert objective.evaluate is not None
    assert objective.evaluate(objective.initial())["accuracy"] == 1.0
    other = head_model(base=base, head=ClassificationHead(classes=3), task="other")
    with pytest.raises(MismatchError, match=r"head of other.*expected .*for large"):
        HeadObjective(base=other, task=FirstPieceIsLarge())


def test_nothing_to_learn(base):
    task = FirstPieceIsLarge()
    task.rows = lambda tokenizer: []
    with pytest.raises(ConfigError, match="large has no examples"):
        HeadObjective(base=base, task=task)


def test_what_is_no_such_model(trained, base, tmp_path):
    _, result = trained
    base.save(tmp_path / "plain")
    for folder in (tmp_path / "plain", tmp_path / "nowhere"):
        with pytest.raises(ConfigError, match="no model with the head of a downstream task"):
            HeadModel.load(folder)
    HeadModel.load(result.best).save(tmp_path / "other")
    path = tmp_path / "other" / "t5coref.json"
    card = json.loads(path.read_text())
    card["head"]["head"]["classes"] = 5
    path.write_text(json.dumps(card))
    with pytest.raises(MismatchError, match=r"does not fit the heads.*classes/kernel"):
        HeadModel.load(tmp_path / "other")
    card["head"]["head"]["part"] = "Telepathy"
    path.write_text(json.dumps(card))
    with pytest.raises(MismatchError, match="'Telepathy'"):
        HeadModel.load(tmp_path / "other")
