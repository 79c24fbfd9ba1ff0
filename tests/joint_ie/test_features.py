"""Documents as arrays: words, sentences, segments, and what is lost on the way."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.joint_ie.features import annotated, batch, length_bucket, parts, read, with_entities

TYPES = {"founded": 1, "based in": 2, "lives in": 3}


@pytest.fixture(scope="module")
def tokenizer(base):
    return base.tokenizer


def words_of(row, table):
    """The word spans that a row's mentions stand for."""
    return [(int(row.word[s]), int(row.word[e]) + 1, int(c)) for s, e, c in table]


def test_words_and_sentences(documents, tokenizer):
    row = read(documents[0], tokenizer)
    assert row.source[-1] == tokenizer.eos_id
    assert row.word[-1] == -1
    assert row.word_start.sum() == row.word_end.sum() == len(documents[0].words)
    ids = row.source[:-1]
    for i, word in enumerate(documents[0].words):
        (places,) = np.nonzero(row.word == i)
        assert "".join(map(tokenizer.piece, ids[places])).replace("▁", "") == word
        assert np.flatnonzero(row.word_start & (row.word == i)).tolist() == [places[0]]
        assert np.flatnonzero(row.word_end & (row.word == i)).tolist() == [places[-1]]
        number = next(k for k, (a, b) in enumerate(documents[0].sentences, 1) if a <= i < b)
        assert set(row.sentence[places]) == {number}
    assert row.sentence[-1] == 0
    assert set(row.segment) == {0}


def test_gold_entities_and_relations(documents, tokenizer):
    gold = documents[1]
    row = annotated(read(gold, tokenizer), gold, TYPES)
    wanted = sorted((s, e, c + 1) for s, e, c in gold.annotation.mentions())
    assert words_of(row, row.mentions) == wanted
    assert row.entities == (0, 1, 2)
    assert row.relations.tolist() == [[1, 2, 1], [1, 3, 3], [2, 3, 2]]
    assert row.lost == 0


def test_speakers_are_not_read(documents, tokenizer):
    plain = read(documents[0], tokenizer)
    spoken = dataclasses.replace(documents[0], speakers=("Ann",) * len(documents[0].words))
    np.testing.assert_array_equal(read(spoken, tokenizer).source, plain.source)


def test_what_is_cut_away_is_counted(documents, tokenizer):
    gold = documents[1]
    whole = read(gold, tokenizer)
    second = int(np.flatnonzero(whole.sentence == 2)[-1])
    for room in range(2, 6):
        row = annotated(read(gold, tokenizer, max_length=second + room), gold, TYPES)
        assert len(row) == second + 2  # two sentences and </s>: the third does not fit
        assert row.source[-1] == tokenizer.eos_id
    assert row.lost == 3
    assert row.relations.tolist() == [[1, 2, 1], [1, 3, 3], [2, 3, 2]]
    short = annotated(read(gold, tokenizer, max_length=whole.sentence.tolist().index(2) + 1), gold,
                      TYPES)  # fmt: skip
    assert (short.entities, short.lost) == ((0, 1), 5)
    assert short.relations.tolist() == [[1, 2, 1]]
    assert len(read(gold, tokenizer, max_length=len(whole))) == len(whole)


def test_parts(documents, tokenizer):
    """Each begins a sentence later, and no further sentence would fit; the last one ends all."""
    gold = documents[1]
    whole = read(gold, tokenizer)
    sizes = np.bincount(whole.sentence)
    for room in range(max(sizes[1:]) + 1, len(whole) + 2):
        found = list(parts(gold, tokenizer, max_length=room))
        for first, part in enumerate(found, start=1):
            numbers = part.sentence[:-1]
            last = int(numbers[-1])
            held = (whole.sentence >= first) & (whole.sentence <= last)
            np.testing.assert_array_equal(part.source[:-1], whole.source[held])
            assert len(part) <= room
            assert last == 3 or len(part) + sizes[last + 1] > room
        assert last == 3
        assert (len(found) == 1) == (room >= len(whole))
        np.testing.assert_array_equal(read(gold, tokenizer, max_length=room).source,
                                      found[0].source)  # fmt: skip


def test_parts_of_segments(documents, tokenizer):
    gold = documents[1]
    whole = read(gold, tokenizer, segment_length=9)
    assert set(whole.segment) == {0, 1, 2}
    first, second = parts(gold, tokenizer, segment_length=9, max_length=len(whole) - 1)
    for part, numbers in ((first, (0, 1)), (second, (1, 2))):
        held = np.isin(whole.segment, numbers)
        np.testing.assert_array_equal(part.source, whole.source[held])
        np.testing.assert_array_equal(part.segment, whole.segment[held] - numbers[0])
    assert len(list(parts(gold, tokenizer, segment_length=9, max_length=len(whole)))) == 1
    assert len(list(parts(gold, tokenizer, segment_length=9, max_length=4))) == 3


def test_segments(documents, tokenizer):
    gold = documents[1]
    whole = read(gold, tokenizer)
    longest = max(np.bincount(whole.sentence)[1:])
    row = read(gold, tokenizer, segment_length=int(longest) + 1)
    assert row.source.tolist().count(tokenizer.eos_id) == len(set(row.segment.tolist())) == 3
    kept = row.word >= 0
    np.testing.assert_array_equal(row.source[kept], whole.source[:-1])
    for sentence in (1, 2, 3):
        assert len(set(row.segment[row.sentence == sentence])) == 1
    assert annotated(row, gold, TYPES).lost == 0
    cut = read(gold, tokenizer, segment_length=int(longest) + 1, max_length=len(row) - 1)
    assert set(cut.segment.tolist()) == {0, 1}


def test_a_word_longer_than_the_limit_is_clipped(tokenizer):
    document = Document(doc_id="long", words=("x" * 40, "y"))
    assert len(read(document, tokenizer, max_length=9)) == 9
    with pytest.raises(ConfigError, match="length of 1"):
        read(document, tokenizer, max_length=1)


def test_empty_document(tokenizer):
    row = read(Document(doc_id="empty", words=()), tokenizer, max_length=8)
    assert row.source.tolist() == [tokenizer.eos_id]
    assert not row.word_start.any()


def test_shared_spans_self_relations_and_copies(documents, tokenizer):
    clusters = (((0, 1), (2, 3)), ((2, 3), (4, 5)), ((0, 1),))
    relations = (
        Relation(0, 1, "founded"),
        Relation(0, 1, "founded"),
        Relation(0, 0, "founded"),
        Relation(1, 2, "based in"),
    )
    document = documents[0].with_annotation(Annotation(clusters, relations))
    row = annotated(read(document, tokenizer), document, TYPES)
    assert words_of(row, row.mentions) == [(0, 1, 1), (2, 3, 1), (4, 5, 2)]
    assert row.entities == (0, 1)
    assert row.relations.tolist() == [[1, 2, 1]]
    assert row.lost == 0


def test_mentions_that_no_candidate_can_be(documents, tokenizer):
    clusters = (((0, 1), (0, 4), (3, 5)),)
    document = documents[0].with_annotation(Annotation(clusters))
    row = annotated(read(document, tokenizer), document, TYPES)
    width = {words_of(row, [m])[0][:2]: m[1] - m[0] + 1 for m in row.mentions}
    for limit, count in ((None, 1), (int(width[0, 4]), 1), (int(width[0, 4]) - 1, 2)):
        assert row.unreachable(limit).sum() == count


def test_unknown_relation_and_no_annotation(documents, tokenizer):
    row = read(documents[0], tokenizer)
    with pytest.raises(DocumentError, match=r"'doc-0' has a relation 'based in'.*inventory"):
        annotated(row, documents[0], {"founded": 1})
    bare = documents[0].with_annotation(None)
    with pytest.raises(DocumentError, match="'doc-0' has no annotation"):
        annotated(row, bare, TYPES)
    assert len(with_entities(row, bare).mentions) == 0
    # Relations do not matter where only entities are given.
    assert with_entities(row, documents[0]).entities == (0, 1, 2)


def test_batch(documents, tokenizer):
    rows = [annotated(read(d, tokenizer), d, TYPES) for d in documents[:3]]
    features = batch(rows, length=64, mentions=8, relations=5, segmented=True)
    shapes = {name: array.shape for name, array in features.items()}
    assert shapes == {
        **dict.fromkeys(
            ("encoder_input_tokens", "sentence", "word_start", "word_end", "encoder_segment_ids"),
            (3, 64),
        ),
        **{f"mention_{name}": (3, 8) for name in ("start", "end", "cluster")},
        **{f"relation_{name}": (3, 5) for name in ("head", "tail", "type")},
    }
    for name, array in features.items():
        assert array.dtype == (bool if name.startswith("word") else np.int32)
    assert features["mention_cluster"][1].tolist() == [*rows[1].mentions[:, 2], 0]
    assert features["relation_type"][1].tolist() == [1, 3, 2, 0, 0]
    assert features["encoder_input_tokens"][2, len(rows[2]) :].sum() == 0
    assert "encoder_segment_ids" not in batch(
        rows, length=64, mentions=8, relations=5, segmented=False
    )


def test_length_buckets():
    assert [length_bucket(n) for n in (0, 1, 64, 65, 512, 513, 1024, 1025)] == [
        64, 64, 64, 128, 512, 640, 1024, 1536,
    ]  # fmt: skip
