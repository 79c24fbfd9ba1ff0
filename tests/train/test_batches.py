"""Examples and batches: what the network is fed, in which order, and what is refused."""

from __future__ import annotations

from itertools import islice

import numpy as np
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.train.batches import (
    AlikeInLength,
    batches,
    fingerprint,
    name,
    read_ahead,
    training_examples,
)


@pytest.fixture(scope="module")
def format_(model):
    return model.format.make(model.tokenizer)


@pytest.fixture(scope="module")
def examples(format_, stories):
    return training_examples(format_, stories)[0]


def rows(batch):
    return {k: v.tolist() for k, v in batch.features.items()}, batch.names


def test_features_of_a_row(format_, examples):
    batch = batches(examples, format_.rules, 3, seed=0)[0]
    by_name = {name(e): e for e in examples}
    features = batch.features
    width, length = (features[f"{side}_input_tokens"].shape[1] for side in ("encoder", "decoder"))
    for i, row_name in enumerate(batch.names):
        example = by_name[row_name]
        s, t = len(example.turn.source), len(example.actions)
        source = np.pad(example.turn.source, (0, width - s))
        assert features["encoder_input_tokens"][i].tolist() == source.tolist()
        shifted = [0, *example.feeds[:-1], *[0] * (length - t)]
        assert features["decoder_input_tokens"][i].tolist() == shifted
        targets = features["decoder_target_tokens"][i]
        assert targets.tolist() == [*example.actions, *[0] * (length - t)]
        actions = features["decoder_target_actions"][i, :t]
        index = format_.rules.inventory.index
        assert actions.tolist() == [index[a] for a in example.actions.tolist()]
        assert features["decoder_loss_weights"][i].tolist() == [1.0] * t + [0.0] * (length - t)
    assert batch.pieces == sum(
        len(by_name[n].turn.source) + len(by_name[n].actions) for n in batch.names
    )
    assert {v.dtype for k, v in features.items() if "weights" not in k} == {np.dtype("int32")}


def test_lengths_fit_the_longest_row_or_are_fixed(format_, examples):
    rules = format_.rules
    free = batches(examples, rules, 12, seed=0)[0].features
    assert max(len(e.turn.source) for e in examples) == 31
    assert free["encoder_input_tokens"].shape == (12, 64)
    assert max(len(e.actions) for e in examples) == 96
    assert free["decoder_input_tokens"].shape == (12, 96)
    fixed = batches(examples, rules, 4, seed=0, source_length=80, target_length=144)[0].features
    assert fixed["encoder_input_tokens"].shape == (4, 80)
    assert fixed["decoder_target_actions"].shape == (4, 144)


def test_batches_depend_on_seed_and_number_only(format_, examples):
    rules = format_.rules
    one, same, other = (batches(examples, rules, 4, seed=s) for s in (7, 7, 8))
    assert [rows(one[i]) for i in (5, 0, 9)] == [rows(same[i]) for i in (5, 0, 9)]
    assert [one[i].names for i in range(3)] != [other[i].names for i in range(3)]


def test_each_epoch_has_every_example_once_in_its_own_order(format_, examples):
    dataset = batches(examples, format_.rules, 5, seed=3)
    order = [n for i in range(24) for n in dataset[i].names]
    epochs = [order[i : i + len(examples)] for i in range(0, 120, len(examples))]
    assert len(examples) == 12  # 5 does not divide it: batches cross from epoch to epoch
    for epoch in epochs:
        assert sorted(epoch) == sorted(map(name, examples))
    assert len({tuple(e) for e in epochs}) > 1


@pytest.mark.parametrize("start", [0, 4])
def test_reading_ahead_starts_anywhere(format_, examples, start):
    dataset = batches(examples, format_.rules, 4, seed=1)
    read = [rows(b) for b in islice(read_ahead(dataset, start), 5)]
    assert read == [rows(dataset[i]) for i in range(start, start + 5)]


def test_long_examples_are_refused_by_name_or_skipped_never_cut(format_, stories, examples):
    limit = max(len(e.actions) for e in examples) - 1
    long = {name(e) for e in examples if len(e.actions) > limit}
    with pytest.raises(ConfigError, match=r"generated-5-.*max_target_length = .*skip_long"):
        training_examples(format_, stories, max_target_length=limit)
    kept, skipped = training_examples(format_, stories, max_target_length=limit, skip_long=True)
    assert set(skipped) == long
    assert {name(e) for e in kept} == {name(e) for e in examples} - long
    with pytest.raises(ConfigError, match="source of"):
        training_examples(format_, stories, max_source_length=3)


def test_nothing_to_train_on(format_, stories):
    empty = Document(doc_id="empty", words=(), annotation=Annotation())
    with pytest.raises(ConfigError, match="nothing to train on"):
        training_examples(format_, [empty])
    with pytest.raises(ConfigError, match="12 were too long"):
        training_examples(format_, stories, max_source_length=3, skip_long=True)
    with pytest.raises(MismatchError, match="bare"):
        training_examples(format_, [Document(doc_id="bare", words=("a",))])


def test_fingerprint_tells_examples_apart(examples):
    assert fingerprint(examples) == fingerprint(list(examples))
    assert fingerprint(examples) != fingerprint(examples[:-1])
    assert fingerprint(examples) != fingerprint(examples[::-1])


def test_batches_of_one_example(format_, examples):
    dataset = batches(examples[:1], format_.rules, 1, seed=0)
    assert next(read_ahead(dataset, 10**6)).names == (name(examples[0]),)


def test_rows_of_about_one_length_each_once_an_epoch():
    lengths = [7, 1, 5, 3, 8, 2, 6, 4, 9, 0]
    order = AlikeInLength(lengths, 2, seed=3, together=5)
    for epoch in range(4):
        batches_ = [order[5 * epoch + k] for k in range(5)]
        assert sorted(i for rows in batches_ for i in rows) == list(range(10))
        # Sorted together: 0 with 1, 2 with 3, ...
        assert all(abs(lengths[a] - lengths[b]) == 1 for a, b in batches_)
    firsts = [order[5 * epoch] for epoch in range(8)]
    assert len(set(map(tuple, firsts))) > 1
    other = AlikeInLength(lengths, 2, seed=4, together=5)
    assert [order[n] for n in range(20)] != [other[n] for n in range(20)]


@pytest.mark.parametrize(("rows", "together"), [(3, 2), (4, 16), (25, 1), (1, 1)])
def test_rows_of_about_one_length_cross_from_epoch_to_epoch(rows, together):
    order = AlikeInLength(range(10), rows, seed=0, together=together)
    pools = 5
    taken = [i for n in range(together * pools) for i in order[n]]
    counts = np.bincount(taken, minlength=10)
    assert counts.sum() == rows * together * pools
    assert counts.max() - counts.min() <= 1
    assert order[7] == AlikeInLength(range(10), rows, seed=0, together=together)[7]
