"""CorefBERT's head for DocRED: rows, drawn pairs, the threshold, training, prediction."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError, DocumentError, MismatchError
from t5coref.core.relation_metrics import RelationScorer
from t5coref.downstream.docred_head import (
    DocREDRelations,
    Scored,
    best_threshold,
    relations_of_documents,
    threshold_of,
)
from t5coref.downstream.docred_rows import row_of
from t5coref.downstream.head_model import HeadModel, head_model
from t5coref.downstream.head_objective import HeadObjective
from t5coref.model import from_scratch
from t5coref.nn.downstream import ClassificationHead
from t5coref.nn.stack import T5Config
from t5coref.train.inputs import vocabulary
from t5coref.train.loop import fit
from t5coref.train.optimizers import adamw

RELATIONS = ("based in", "founded")
TINY = T5Config(
    vocab_size=1, emb_dim=32, num_heads=2, num_encoder_layers=1, num_decoder_layers=1, head_dim=16,
    mlp_dim=64, dropout_rate=0.0,
)  # fmt: skip


def document(i: int, relations=None) -> Document:
    """A person, a firm with two mentions, a city."""
    person, firm, city = ("Anna", "Bela", "Carl")[i % 3], ("Acme", "Borax")[i % 2], "Paris"
    words = tuple(f"{person} founded {firm} . the firm is in {city} .".split())
    clusters = (((0, 1),), ((2, 3), (4, 6)), ((8, 9),))
    if relations is None:
        relations = (Relation(0, 1, "founded"), Relation(1, 2, "based in"))
    return Document(
        doc_id=f"doc-{i}", words=words, sentences=((0, 4), (4, 10)),
        annotation=Annotation(clusters, tuple(relations)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def documents():
    return [document(i) for i in range(6)]


@pytest.fixture(scope="module")
def base(documents):
    return from_scratch(TINY, vocabulary(documents=documents, size=80))


def test_rows(documents, base):
    row = row_of(documents[0], base.tokenizer, RELATIONS, 512)
    pieces = base.tokenizer.pieces(documents[0])
    assert row.source.tolist() == [*pieces.ids.tolist(), 1]
    assert row.related == {(0, 1): (2,), (1, 2): (1,)}
    assert (row.entities, row.lost, len(row.pairs())) == ((0, 1, 2), 0, 6)
    for (start, end, entity), (a, b) in zip(
        row.mentions.tolist(), [(0, 1), (2, 3), (4, 6), (8, 9)], strict=True
    ):
        assert set(pieces.word[start:end].tolist()) == set(range(a, b))
        assert entity == [0, 1, 1, 2][[0, 2, 4, 8].index(a)]
    assert row.first.tolist() == [row.mentions[k][0] for k in (0, 1, 3)]


def test_what_lies_behind_the_pieces_that_are_read(documents, base):
    whole = row_of(documents[0], base.tokenizer, RELATIONS, 512)
    last = int(whole.mentions[3][0])
    row = row_of(documents[0], base.tokenizer, RELATIONS, last + 1)
    assert (len(row), row.source[-1], row.lost) == (last + 1, 1, 1)
    assert (row.entities, row.related) == ((0, 1), {(0, 1): (2,)})
    task = DocREDRelations(
        train_set=documents, relations=RELATIONS, max_length=int(whole.mentions[1][0])
    )
    rows = task.rows(base.tokenizer)
    assert rows == []
    assert task.notes(rows) == ("6 training documents have no relation in what is read",)


def test_unknown_relations_and_no_entities(documents, base):
    with pytest.raises(DocumentError, match="'doc-0' has a relation 'based in', which is not amo"):
        row_of(documents[0], base.tokenizer, ("founded",), 512)
    bare = dataclasses.replace(documents[0], annotation=None)
    with pytest.raises(DocumentError, match="'doc-0' has no annotation"):
        row_of(bare, base.tokenizer, RELATIONS, 512)
    with pytest.raises(ConfigError, match="at least 2 and 0"):
        DocREDRelations(train_set=documents, relations=RELATIONS, negatives=-1)


def test_batches(documents, base):
    both = [*documents[:2], document(2, [Relation(0, 1, "founded"), Relation(0, 1, "based in")])]
    task = DocREDRelations(train_set=both, dev_set=both, relations=RELATIONS, negatives=1)
    rows = task.rows(base.tokenizer)
    features = task.batch(rows, np.random.default_rng(0))
    labels, mask = features["pair_labels"], features["pair_mask"]
    assert mask.sum(1).tolist() == [4, 4, 2]  # two pairs with and two without, one and one
    assert labels[0, :4].tolist() == [[0, 0, 1], [0, 1, 0], [1, 0, 0], [1, 0, 0]]
    assert labels[2, :2].tolist() == [[0, 1, 1], [1, 0, 0]]
    assert labels[mask == 0].sum() == 0
    drawn = {
        tuple(task.batch(rows, np.random.default_rng(k))["pair_head"].ravel()) for k in range(9)
    }
    assert len(drawn) > 1
    again = task.batch(rows, np.random.default_rng(0))
    np.testing.assert_array_equal(again["pair_tail"], features["pair_tail"])
    assert task.scorer(base.tokenizer) is not None
    everything = task.batch(rows, None)
    assert everything["pair_mask"].sum(1).tolist() == [6, 6, 6]
    assert "pair_labels" not in everything


def test_one_shape_a_length(base):
    """Whatever is drawn together, batches of a length have one shape."""
    longer = [document(i) for i in range(6)]
    for i in range(6, 9):  # the same text eight times, with more of everything
        words, clusters = document(i).words * 8, document(i).annotation.clusters
        spans = [[(a + 10 * k, b + 10 * k) for a, b in c] for k in range(8) for c in clusters]
        relations = [Relation(j, j + 1, "founded") for j in range(23)]
        longer.append(
            Document(
                doc_id=f"long-{i}", words=words,
                sentences=tuple((10 * k, 10 * k + 10) for k in range(8)),
                annotation=Annotation(tuple(map(tuple, spans)), tuple(relations)),
            )
        )  # fmt: skip
    task = DocREDRelations(train_set=longer, relations=RELATIONS)
    rows = task.rows(base.tokenizer)
    random = np.random.default_rng(0)
    shapes = {}
    for _ in range(40):
        chosen = [rows[i] for i in random.integers(0, len(rows), 2)]
        features = task.batch(chosen, random)
        found = {name: array.shape for name, array in features.items()}
        length = features["encoder_input_tokens"].shape[1]
        assert shapes.setdefault(length, found) == found
    assert len(shapes) == 2
    assert max(found["pair_mask"][1] for found in shapes.values()) == 96  # 23 and 69, rounded


def test_the_threshold_by_brute_force(documents):
    random = np.random.default_rng(0)
    pairs = np.asarray([(h, t) for h in range(3) for t in range(3) if h != t])
    for trial in range(20):
        # Few different scores: many are equal, and equal ones must go together.
        found = [
            Scored(pairs, random.integers(-3, 3, (6, 2)).astype(np.float32)) for _ in documents
        ]
        gold = [
            document(i, [Relation(int(h), int(t), RELATIONS[k]) for h, t in pairs for k in range(2)
                         if random.random() < 0.2])
            for i in range(len(documents))
        ]  # fmt: skip

        def f1(threshold, gold=gold, found=found):
            scorer = RelationScorer()
            for doc, scored in zip(gold, found, strict=True):
                kept = tuple(
                    Relation(int(h), int(t), RELATIONS[k])
                    for (h, t), scores in zip(scored.pairs, scored.scores, strict=True)
                    for k in range(2) if scores[k] > threshold
                )  # fmt: skip
                scorer.add(doc, dataclasses.replace(doc.annotation, relations=kept))
            return scorer.compute()["re"].f1

        best = max(f1(x) for x in np.arange(-4, 4, 0.5))
        assert f1(best_threshold(gold, found, RELATIONS)) == pytest.approx(best), trial
    assert best_threshold([], [], RELATIONS) == 0.0


def test_dev_scores(documents, base):
    """With the gold relations above all others, everything is right but what was not read."""
    task = DocREDRelations(train_set=documents, dev_set=documents[:3], relations=RELATIONS)
    score = task.scorer(base.tokenizer)
    assert score is not None

    def logits(row, pair):
        gold = row.related.get(pair, ())
        return [9.0, *(2.0 if kind in gold else -1.0 for kind in (1, 2))]

    def said(rows):
        padding = [[9.0, 9.0, 9.0]] * 2
        return [np.asarray([logits(row, p) for p in row.pairs()] + padding) for row in rows]

    scores = score(said)
    assert (scores["re"], scores["re_precision"], scores["threshold"]) == (1.0, 1.0, 0.5)
    assert scores["ign"] == 0.0  # all of it stands in the training documents
    whole = row_of(documents[0], base.tokenizer, RELATIONS, 512)
    task = DocREDRelations(
        train_set=documents, dev_set=documents[:3], relations=RELATIONS,
        max_length=int(whole.mentions[3][0]) + 1,
    )  # fmt: skip
    score = task.scorer(base.tokenizer)
    assert score is not None
    assert (score(said)["re_precision"], score(said)["re_recall"]) == (1.0, 0.5)


@functools.cache
def fast(total):
    return adamw(total, peak=1e-2, warmup=0, decay="constant")


@pytest.mark.slow
def test_it_learns_and_predicts(documents, base, tmp_path):
    task = DocREDRelations(
        train_set=documents, dev_set=documents[:3], relations=RELATIONS, hidden_dim=16,
        distance_dim=4,
    )  # fmt: skip
    result = fit(
        objective=HeadObjective(base=base, task=task, eval_batch_size=4),
        output_dir=tmp_path / "run", steps=40, batch_size=4, eval_every=20, optimizer=fast,
    )  # fmt: skip
    assert result.scores["re"] == 1.0
    assert {"re_precision", "re_recall", "ign", "threshold"} <= set(result.scores)
    model = HeadModel.load(result.best)
    assert model.data == {"relations": list(RELATIONS), "max_length": 512}
    threshold = threshold_of(model, documents[:3], batch_size=4)
    assert threshold == pytest.approx(result.scores["threshold"], abs=1e-4)
    bare = [d.with_annotation(Annotation(d.annotation.clusters)) for d in documents[:3]]
    found = relations_of_documents(model, bare, threshold=threshold, batch_size=4)
    assert [d.annotation for d in found] == [d.annotation for d in documents[:3]]
    other = head_model(base=base, head=ClassificationHead(), task="other")
    with pytest.raises(MismatchError, match="one for other; expected one for docred"):
        relations_of_documents(other, bare, threshold=0.0)
