"""Text tasks in T5X's own model: the loss of the local loop, the texts of our predictor."""

from __future__ import annotations

import jax
import numpy as np
import pytest
from tiny_checkpoints import SHAPE, VERSIONS, drawn

from t5coref.downstream.model import TextModel
from t5coref.downstream.objective import TextObjective, batch
from t5coref.downstream.predict import TextPredictor
from t5coref.downstream.text import TextExample
from t5coref.nn.t5 import T5Config
from t5coref.tokenizer import Tokenizer

seqio = pytest.importorskip("seqio")
tasks = pytest.importorskip("t5coref.data.text")
pytest.importorskip("t5coref.t5x_adapter")
models = pytest.importorskip("t5x.models")
decoding = pytest.importorskip("t5x.decoding")
adafactor = pytest.importorskip("t5x.adafactor")

TEXT = "the dog saw it . she saw him near the old house ."
LENGTHS = {"inputs": 64, "targets": 16}
NAME = "texts_for_t5x"


def examples(path, mistakes=None):
    del path, mistakes
    for i, word in enumerate(("dog", "she", "old house")):
        yield TextExample(f"q{i}", f"question: who {i} ? context: {TEXT}", word, (word,))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    pieces = Tokenizer.train([TEXT, "question: who ? context: 0 1 2", *TEXT.split()], 60, ())
    one = {"num_encoder_layers": 1, "num_decoder_layers": 1}
    config = T5Config(**{**SHAPE, **one, **VERSIONS["1.1"], "vocab_size": pieces.size})
    params = jax.tree.map(lambda x: x * np.float32(x.shape[0] ** -0.5), drawn(config))
    TextModel(config, params, pieces).save(folder)
    return TextModel.load(folder), folder


@pytest.fixture(scope="module")
def rows(model):
    """The model features of the task, all in one batch, and the vocabulary."""
    _, folder = model
    (folder / "x.txt").touch()

    def settings():
        from t5coref.data.settings import Settings

        return Settings(tokenizer=str(folder), data=str(folder))

    task = tasks.text_task(NAME, reader=examples, files={"train": "x.txt"}, settings=settings)
    dataset = seqio.get_dataset(
        NAME,
        LENGTHS,
        dataset_split="train",
        shuffle=False,
        feature_converter=models.EncoderDecoderModel.FEATURE_CONVERTER_CLS(pack=False),
    )
    made = next(dataset.batch(3).as_numpy_iterator())
    yield made, task.output_features["targets"].vocabulary
    seqio.TaskRegistry.remove(NAME)


@pytest.fixture(scope="module")
def stock(model, rows):
    ours, _ = model
    return models.EncoderDecoderModel(
        module=ours.network,
        input_vocabulary=rows[1],
        output_vocabulary=rows[1],
        optimizer_def=adafactor.Adafactor(1e-3),
        decode_fn=decoding.temperature_sample,
        loss_normalizing_factor="NUM_REAL_TARGET_TOKENS",
    )


def test_loss_is_that_of_the_local_loop(model, rows, stock):
    ours, _ = model
    objective = TextObjective(model=ours, train_set=list(examples("")), dropout=0.0)
    features = batch(objective._rows).features
    total, sums = jax.jit(objective.loss)(ours.params, features, jax.random.key(0))
    loss, _ = jax.jit(stock.loss_fn)(ours.params, rows[0], None)
    assert float(loss) == pytest.approx(float(total / sums.weight), rel=1e-4)


def test_greedy_search_writes_the_same(model, rows, stock):
    ours, _ = model
    predictor = TextPredictor(ours, max_target_length=16, devices=jax.devices()[:1])
    texts = list(predictor.write(example.inputs for example in examples("")))
    found, _ = jax.jit(
        lambda params, features: stock.predict_batch_with_aux(
            params, features, decoder_params={"temperature": 0.0}, rng=jax.random.key(0)
        )
    )(ours.params, rows[0])
    for ids, text in zip(np.asarray(found), texts, strict=True):
        # T5X may write padding in the midst of a text; ours never does.
        length = min(len(text.tokens), *np.flatnonzero(ids == 0), len(ids))
        assert length > 0
        np.testing.assert_array_equal(ids[:length], text.tokens[:length])
