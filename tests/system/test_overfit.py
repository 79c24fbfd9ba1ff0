"""The whole way with real parts: one document is learnt by heart, saved, loaded and decoded."""

from __future__ import annotations

import functools
import time

import jax
import pytest

from t5coref import linearize
from t5coref.core.metrics import score_corpus
from t5coref.demo import stories
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.stack import T5Config
from t5coref.predict import Predictor
from t5coref.train import train
from t5coref.train.inputs import vocabulary
from t5coref.train.optimizers import adamw

TINY = T5Config(
    vocab_size=1,
    emb_dim=64,
    num_heads=4,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=16,
    mlp_dim=128,
    dropout_rate=0.0,
)


WHOLE = {"window": 128}
IN_WINDOWS = {"window": 64, "stride": 20}


@pytest.mark.parametrize(
    ("options", "examples"),
    [(WHOLE, 1), pytest.param(IN_WINDOWS, 2, marks=pytest.mark.slow)],
    ids=["whole", "in windows"],
)
def test_one_document_is_learnt_by_heart(tmp_path, options, examples):
    story = next(stories())
    assert any(len(cluster) > 3 for cluster in story.annotation.clusters)
    tokenizer = vocabulary(documents=[story], size=200)
    format_ = Format("full-copy", {"max_clusters": 24, "max_depth": 6, **options})
    assert len(linearize.examples(format_.make(tokenizer), story)) == examples
    model = from_scratch(TINY, tokenizer, format=format_)
    began = time.monotonic()
    result = train(
        model=model,
        train_set=[story],
        dev_set=[story],
        output_dir=tmp_path,
        steps=300,
        batch_size=1,
        optimizer=functools.partial(adamw, peak=5e-3, decay="constant"),
        eval_every=25,
        stop_at=1.0,
        devices=jax.devices()[:1],
    )
    seconds = time.monotonic() - began
    assert result.scores["conll"] == 1.0
    predictor = Predictor(Model.load(result.best), batch_size=1, devices=jax.devices()[:1])
    (found,) = predictor.predict([story.with_annotation(None)])
    scores = score_corpus([(story.annotation.clusters, found.annotation.clusters)])
    assert {name: prf.f1 for name, prf in scores.items()} == dict.fromkeys(scores, 1.0)
    assert seconds < 300, "about a minute on two idle cores; something has become slow"
