"""Models of formats that write relations: their cards, and predictions of a random one."""

from __future__ import annotations

import dataclasses
import json

import pytest

from t5coref.core.document import Annotation
from t5coref.linearize import RELATIONS, inventory, symbols_of
from t5coref.model import CARD_FILE, Format, Model, from_scratch
from t5coref.predict import Predictor, error_of
from t5coref.tokenizer import Tokenizer

NAMES = {"relations": ("a", "b"), "entity_types": ("X", "Y")}
OPTIONS = {"window": 48, "max_clusters": 12, "max_depth": 4}


def made(model, name):
    """A model of the same shape with the symbols of a format."""
    format_ = Format(name, OPTIONS | NAMES)
    assert format_.symbols == symbols_of(name, NAMES)
    tokenizer = Tokenizer(model.tokenizer.model, format_.symbols)
    return from_scratch(model.config, tokenizer, format=format_, seed=3)


@pytest.mark.parametrize("name", RELATIONS)
def test_the_card_has_the_names(model, tmp_path, name):
    own = made(model, name)
    own.save(tmp_path / "model")
    card = json.loads((tmp_path / "model" / CARD_FILE).read_text("utf-8"))
    assert card["format"]["options"]["relations"] == ["a", "b"]
    loaded = Model.load(tmp_path / "model")
    assert loaded.tokenizer.symbols == own.tokenizer.symbols == loaded.format.symbols
    one, other = (m.format.make(m.tokenizer) for m in (own, loaded))
    assert (one.relations, one.entity_types) == (other.relations, other.entity_types)
    assert (one.rules.next_mode == other.rules.next_mode).all()
    assert loaded.fingerprint() == own.fingerprint()


FAST = ("relation-copy",)


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in RELATIONS]
)
def test_what_a_random_model_predicts_fits_the_documents(model, stories, name):
    own = made(model, name)
    documents = [d for d in stories if len(d.words) in (0, 7, 14, 60)]
    clusters = (((0, 2), (3, 4)), ((2, 3),))
    given = [
        d.with_annotation(Annotation(clusters, types=("X", None)) if d.words else Annotation())
        for d in documents
    ]
    unknown = dataclasses.replace(documents[1], doc_id="unknown")
    found = list(Predictor(own, batch_size=4).predict([*given, unknown]))
    assert [d.doc_id for d in found] == [d.doc_id for d in [*given, unknown]]
    errors = [error_of(d) for d in found]
    if name == "relation-ids":
        # Only the document without clusters fails.
        assert [e is None for e in errors] == [True] * len(given) + [False]
        assert "document 'unknown' has no clusters" in errors[-1]
        assert [d.annotation.clusters for d in found[:-1]] == [d.annotation.clusters for d in given]
    else:
        assert errors == [None] * len(found)
    for document in found:
        for relation in document.annotation.relations:
            assert relation.type in NAMES["relations"]
            assert relation.head != relation.tail
        assert set(document.annotation.types or ()) <= {"X", "Y", None}
    assert set(inventory(found)["relations"]) <= set(NAMES["relations"])
