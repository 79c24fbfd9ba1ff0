"""Predicting streams of documents, and models as folders."""

from __future__ import annotations

import dataclasses
import json
import math

import jax
import numpy as np
import pytest

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, DocumentError, MismatchError
from t5coref.decode import draft
from t5coref.decode.search import Beam, Greedy, Rows
from t5coref.linearize import Answer, drive
from t5coref.model import Format, Model
from t5coref.predict import Predictor, decode_batch, error_of, padded_length


@pytest.fixture(scope="module")
def predictor(model):
    return Predictor(model, batch_size=4, devices=jax.devices()[:1])


@pytest.fixture(scope="module")
def predicted(predictor, stories):
    return list(predictor.predict(stories))


def assert_same(found, wanted):
    """The same clusters; how sure the model is of them depends on the batch in the last digits."""
    assert found.clusters == wanted.clusters
    for a, b in zip(found.confidences or (), wanted.confidences or (), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_every_document_comes_back_in_order(predicted, stories):
    assert [d.doc_id for d in predicted] == [d.doc_id for d in stories]
    assert [d.words for d in predicted] == [d.words for d in stories]
    assert all(error_of(d) is None for d in predicted)
    assert sum(len(d.annotation.clusters) for d in predicted) > 0
    assert predicted[0].words == ()
    assert predicted[0].annotation.clusters == ()


def test_batching_changes_nothing(model, predictor, predicted, stories):
    """One window at a time, without padding rows, through the same jitted function."""
    for document, together in list(zip(stories, predicted, strict=True))[::4]:

        def answer(turns):
            out = []
            for turn in turns:
                width = padded_length(len(turn.source))
                source = np.zeros((1, width), np.int32)
                source[0, : len(turn.source)] = turn.source
                rows = Rows(source, np.full(1, 3 * width, np.int32), np.full((1, 1), -1, np.int32))
                found, _ = decode_batch(
                    model.network, model.params, predictor._tables, rows, draft.empty(), 3 * width,
                    predictor.search,
                )  # fmt: skip
                end = int(found.lengths[0, 0])
                actions, sure = (
                    np.asarray(x[0, 0, :end]) for x in (found.actions, found.log_probs)
                )
                out.append(Answer(actions, sure))
            return out

        alone = drive(predictor.linearization, document, answer)
        assert_same(alone, together.annotation)


@pytest.mark.parametrize("search", [Greedy((1,)), Beam(1)], ids=["step by step", "one beam"])
def test_searches_that_find_the_same(model, predicted, stories, search):
    predictor = Predictor(model, batch_size=4, devices=jax.devices()[:1], search=search)
    for found, wanted in zip(predictor.predict(stories), predicted, strict=True):
        assert_same(found.annotation, wanted.annotation)


@pytest.mark.slow
@pytest.mark.parametrize("search", [Greedy(), Beam(2)], ids=["greedy", "beam"])
def test_windows_go_on_with_what_was_found(model, stories, search, monkeypatch):
    carrying = Format("full-copy", {**model.format.options, "carry": True})
    predictor = Predictor(
        dataclasses.replace(model, format=carrying), batch_size=4, devices=jax.devices()[:1],
        search=search,
    )  # fmt: skip
    answer, seen = predictor._answer, []

    def watched(turns, params):
        answers = answer(turns, params)
        seen.extend(zip(turns, answers, strict=True))
        return answers

    monkeypatch.setattr(predictor, "_answer", watched)
    assert all(error_of(d) is None for d in predictor.predict(stories))
    bound = [len(turn.forced) for turn, _ in seen]
    assert max(bound) > 20
    for turn, found in seen:
        assert found.actions[: len(turn.forced)].tolist() == turn.forced.tolist()
        assert len(found.actions) > len(turn.forced)


def test_what_is_forced_is_never_dropped(model, stories, monkeypatch):
    """Where it leaves no room for the rest of the source, the output may take more steps."""
    carrying = Format("full-copy", {**model.format.options, "carry": True})
    predictor = Predictor(
        dataclasses.replace(model, format=carrying), batch_size=1, target_ratio=1,
        devices=jax.devices()[:1],
    )  # fmt: skip
    answer, seen = predictor._answer, []

    def watched(turns, params):
        answers = answer(turns, params)
        seen.extend(zip(turns, answers, strict=True))
        return answers

    monkeypatch.setattr(predictor, "_answer", watched)
    (found,) = predictor.predict([max(stories, key=lambda d: len(d.words))])
    assert error_of(found) is None
    assert any(
        len(turn.forced) + len(turn.source) > padded_length(len(turn.source)) for turn, _ in seen
    )
    for turn, found in seen:
        assert found.actions[: len(turn.forced)].tolist() == turn.forced.tolist()
        assert len(found.actions) > len(turn.forced)


def test_devices_share_the_rows(model, predicted, stories):
    eight = Predictor(model, batch_size=8)
    assert eight._mesh.size == 8
    for found, wanted in zip(eight.predict(stories), predicted, strict=True):
        assert found.doc_id == wanted.doc_id
        assert_same(found.annotation, wanted.annotation)


def test_a_number_of_devices_that_is_no_power_of_two(model, predicted, stories):
    three = Predictor(model, batch_size=6, devices=jax.devices()[:3])
    for found, wanted in zip(three.predict(stories[1:5]), predicted[1:5], strict=True):
        assert_same(found.annotation, wanted.annotation)


@pytest.mark.parametrize("shared_by", [2, 4])
def test_devices_share_the_weights(model, predicted, stories, shared_by):
    divided = Predictor(model, batch_size=4, devices=jax.devices()[:4], model_parallel=shared_by)
    for found, wanted in zip(divided.predict(stories[1:5]), predicted[1:5], strict=True):
        assert_same(found.annotation, wanted.annotation)
    parts = {
        path[-1].key: leaf.size // math.prod(leaf.sharding.shard_shape(leaf.shape))
        for path, leaf in jax.tree_util.tree_leaves_with_path(divided._params)
    }
    assert parts["kernel"] == parts["transposed"] == shared_by
    assert parts["scale"] == 1
    with pytest.raises(ConfigError, match="model_parallel 3 with 4 devices"):
        Predictor(model, devices=jax.devices()[:4], model_parallel=3)


def test_matrices_are_stored_as_they_are_used(model, stories, monkeypatch):
    """In bfloat16 they take half the memory, and nothing else changes."""
    half = dataclasses.replace(model, config=dataclasses.replace(model.config, dtype="bfloat16"))

    def predict():
        predictor = Predictor(half, batch_size=1, devices=jax.devices()[:1])
        found = list(predictor.predict(stories[3:5]))
        leaves = jax.tree_util.tree_leaves_with_path(predictor._params["encoder"])
        return found, {path[-1].key: str(leaf.dtype) for path, leaf in leaves}

    small, types = predict()
    assert types == {"kernel": "bfloat16", "scale": "float32", "rel_embedding": "float32"}
    monkeypatch.setattr("t5coref.predict._stored", lambda params, dtype: params)
    large, types = predict()
    assert types["kernel"] == "float32"
    assert small == large


def test_a_document_that_fails_does_not_stop_the_others(model, stories, predicted, monkeypatch):
    predictor = Predictor(model, batch_size=4, devices=jax.devices()[:1])
    turns = predictor.linearization.turns

    def failing(document):
        if document.doc_id == "story-2":
            raise DocumentError("document 'story-2': no such thing")
        return (yield from turns(document))

    monkeypatch.setattr(predictor.linearization, "turns", failing)
    found = list(predictor.predict(stories))
    assert error_of(found[2]) == "document 'story-2': no such thing"
    assert found[2].annotation.clusters == ()
    for other, wanted in zip(found[:2] + found[3:], predicted[:2] + predicted[3:], strict=True):
        assert error_of(other) is None
        assert_same(other.annotation, wanted.annotation)


def test_other_weights_use_the_same_programs(predictor, model, stories):
    zeros = jax.tree.map(np.zeros_like, model.params)
    list(predictor.predict(stories[:8]))
    before = decode_batch._cache_size()
    changed = list(predictor.predict(stories[:8], params=zeros))
    assert decode_batch._cache_size() == before
    assert [d.annotation for d in changed] != [d.annotation for d in predictor.predict(stories[:8])]


@pytest.mark.parametrize(("n", "padded"), [(1, 64), (64, 64), (65, 96), (97, 128), (1025, 1536)])
def test_padded_lengths(n, padded):
    assert padded_length(n) == padded


def test_model_folder_round_trip(model, model_folder):
    again = Model.load(model_folder)
    assert again.card() == model.card()
    assert again.config == model.config
    assert again.fingerprint() == model.fingerprint()
    chosen = Model.load(model_folder, format=Format("full-copy", {"window": 32}))
    assert chosen.format.options == {"window": 32}
    model.save(model_folder)  # over itself
    assert Model.load(model_folder).fingerprint() == model.fingerprint()


def test_model_folder_refuses_another_tokenizer(model, tmp_path, tokenizer):
    model.save(tmp_path / "m")
    card = json.loads((tmp_path / "m/t5coref.json").read_text())
    card["tokenizer"]["word_rule"] = "reference"
    (tmp_path / "m/t5coref.json").write_text(json.dumps(card))
    with pytest.raises(MismatchError, match="fingerprint"):
        Model.load(tmp_path / "m")
    with pytest.raises(ConfigError, match="no t5coref model"):
        Model.load(tmp_path)
    small = dataclasses.replace(model.config, vocab_size=8)
    with pytest.raises(MismatchError, match="rows"):
        Model(small, model.params, tokenizer)


def test_settings_out_of_range(model):
    for wrong in ({"batch_size": 0}, {"target_ratio": 0.5}, {"round_size": 0}):
        with pytest.raises(ConfigError, match="at least 1"):
            Predictor(model, **wrong)
    with pytest.raises(ConfigError, match="stride"):
        Predictor(
            dataclasses.replace(model, format=Format("full-copy", {"window": 4, "stride": 4}))
        )
    with pytest.raises(ConfigError, match="does not take"):
        Predictor(dataclasses.replace(model, format=Format("full-copy", {"widow": 3})))


def test_words_that_no_vocabulary_has(predictor):
    odd = Document(doc_id="odd", words=("日本", "\u200b", "\x07", "🙂", "x" * 500, "العربية"))
    (found,) = predictor.predict([odd])
    assert error_of(found) is None
