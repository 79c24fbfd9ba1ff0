"""Documents as rows: every word is scored once, with what stands around it."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.mentions.rows import Row, rows_of, scores_of, side_by_side, with_tags
from t5coref.nn.downstream.tagging import NO_TAG, TAG

TEXT = ("the", "dog", "saw", "it", "and", "she", "saw", "him", "near", "the", "house", ".")


def document(words, clusters=None):
    text = tuple(TEXT[i % len(TEXT)] for i in range(words))
    sentences = tuple(itertools.pairwise([*range(0, words, 9), words])) if words else ()
    annotation = None if clusters is None else Annotation(clusters)
    speakers = ("Anna",) * words  # read by formats, not here
    return Document(
        doc_id="d", words=text, sentences=sentences, annotation=annotation, speakers=speakers
    )


@pytest.mark.parametrize("words", [0, 1, 9, 60])
@pytest.mark.parametrize(("window", "stride"), [(512, 384), (24, 18), (24, 5), (24, 23), (3, 1)])
def test_every_word_is_scored_once(tokenizer, words, window, stride):
    whole = document(words)
    rows = rows_of(whole, tokenizer, window, stride)
    assert [w for row in rows for w in row.words.tolist()] == list(range(words))
    for row in rows:
        assert len(row) <= window
        assert row.source[-1] == tokenizer.eos_id
        for word, place in zip(row.words.tolist(), row.places.tolist(), strict=True):
            # Windows of three pieces clip words.
            expected = tokenizer.pieces(Document(doc_id="w", words=(whole.words[word],)))
            assert row.source[place] == expected.ids[0] or window == 3


def test_words_have_context_on_both_sides(tokenizer):
    """All but those at the ends of the document."""
    rows = rows_of(document(120), tokenizer, 48, 24)
    assert len(rows) > 3
    for i, row in enumerate(rows):
        assert i == 0 or row.places[0] > 0
        assert i == len(rows) - 1 or row.places[-1] < len(row) - 2


def test_words_without_pieces_have_the_tag_of_nothing():
    """The published word rules let some words vanish."""
    text = Document(doc_id="d", words=("the", ".", "dog"))
    row = Row("d", np.arange(4), words=np.asarray([0, 2]), places=np.asarray([0, 1]))
    scores = scores_of(text, [row], [np.arange(16.0).reshape(4, 4)], 4)
    assert scores[1].tolist() == [0.0, -np.inf, -np.inf, -np.inf]
    assert scores[0].tolist() == [0, 1, 2, 3]
    assert scores[2].tolist() == [4, 5, 6, 7]


def test_tags_stand_where_words_begin(tokenizer):
    whole = document(60, (((0, 2), (5, 6)), ((0, 60), (1, 4)), ((5, 6),)))
    rows, lost = with_tags(rows_of(whole, tokenizer, 24, 12), whole, 5)
    assert lost == 1  # (1, 4) crosses (0, 2)
    features = side_by_side(rows)
    assert features["encoder_input_tokens"].shape == features[TAG].shape
    for row, tags in zip(rows, features[TAG], strict=True):
        assert tags[row.places].tolist() == row.tags.tolist()
        assert (np.delete(tags, row.places) == NO_TAG).all()
    assert TAG not in side_by_side(rows_of(whole, tokenizer, 24, 12))


def test_what_is_refused(tokenizer):
    with pytest.raises(DocumentError, match="'d' has no annotation"):
        with_tags([], document(3), 5)
    with pytest.raises(ConfigError, match="expected 1 <= stride < length"):
        rows_of(document(9), tokenizer, 8, 8)
