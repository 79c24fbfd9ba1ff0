"""Scores of predicted actions: those of `replay` and `Scorer`, over whole documents."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("seqio")

from t5coref import linearize
from t5coref.core.errors import MismatchError
from t5coref.core.metrics import Scorer
from t5coref.data.metrics import METRICS, score
from t5coref.data.rows import rows_of
from t5coref.linearize import round_trip
from t5coref.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def made(vocabulary_folder, documents):
    """For each format: the linearization, the rows of all documents, and padded gold actions."""

    def make(name, window=20, **options):
        tokenizer = Tokenizer(vocabulary_folder, linearize.named(name).symbols)
        format_ = linearize.get(name, tokenizer, window=window, **options)
        rows = [row for document in documents for row in rows_of(format_, document)]
        longest = max(len(row["targets"]) for row in rows)
        padded = [np.pad(row["targets"], (0, longest + 3 - len(row["targets"]))) for row in rows]
        return format_, rows, padded

    return make


@pytest.mark.parametrize("name", sorted(set(linearize.FORMATS) - set(linearize.PLAIN_TEXT)))
def test_gold_actions_reach_the_ceiling(made, documents, name):
    format_, rows, actions = made(name)
    assert len(rows) > len(documents)
    found = score(format_, rows, actions, remove_singletons=False)
    expected = Scorer(METRICS)
    for document in documents:
        expected.add(document.annotation.clusters, round_trip(format_, document).clusters)
    for metric, value in expected.compute().items():
        name = "mention" if metric == "mentions" else metric
        assert found[f"{name}_f1"] == pytest.approx(100 * value.f1)
    assert found["documents"] == len(documents)


def test_whole_documents_of_one_window_score_100(made):
    found = score(*made("full-copy", window=1000), remove_singletons=False)
    assert {found[f"{m}_f1"] for m in ("conll", "muc", "b3", "ceafe", "lea", "mention")} == {100.0}


def test_the_order_of_rows_does_not_matter(made):
    format_, rows, actions = made("integer-free")
    rng = np.random.default_rng(0)
    worse = [rng.permuted(a) if rng.random() < 0.4 else a for a in actions]
    one = score(format_, rows, worse, remove_singletons=False)
    order = rng.permutation(len(rows))
    other = score(
        format_, [rows[i] for i in order], [worse[i] for i in order], remove_singletons=False
    )
    assert one == pytest.approx(other)
    assert one["conll_f1"] < 95


def test_singletons_count_where_the_corpus_has_them(made):
    format_, rows, actions = made("full-copy", window=1000, min_mentions=2)
    with_them = score(format_, rows, actions, remove_singletons=False)
    without = score(format_, rows, actions, remove_singletons=True)
    assert with_them["mention_recall"] < without["mention_recall"] == 100.0


def test_documents_that_lack_windows_are_left_out(made, documents):
    format_, rows, actions = made("full-copy")
    last = len(rows) - 1
    assert rows[last]["turns"] > 1
    found = score(format_, rows[:last], actions[:last], remove_singletons=False)
    assert found["documents"] == len(documents) - 1
    assert found["incomplete_documents"] == 1
    with pytest.raises(MismatchError, match="none has all of its windows"):
        score(format_, rows[1:2], actions[1:2], remove_singletons=False)
