"""`nlp.add_pipe("t5coref")`: spaCy's tokens, streams, folders, bytes."""

from __future__ import annotations

import pathlib
import pickle

import pytest
import spacy
from spacy.tokens import Doc, DocBin
from spacy.util import get_lang_class

import t5coref
from t5coref import Annotation, Pipeline, Prediction, Relation
from t5coref.api import pipeline, spacy_component, spacy_documents
from t5coref.core.document import Confidence
from t5coref.core.errors import ConfigError, DocumentError


@pytest.fixture
def loaded(marker, monkeypatch):
    """What components have loaded: each gets the extractor that needs no model."""
    calls = []

    def load(model, **settings):
        calls.append((model, settings))
        return Pipeline(marker, language=settings["language"])

    monkeypatch.setattr(pipeline, "load", load)
    return calls


@pytest.fixture
def nlp(loaded):
    nlp = spacy.blank("en")
    made = nlp.add_pipe("t5coref", config={"model": "my/model"})
    assert isinstance(made, spacy_component.CoreferenceComponent)
    return nlp


def test_clusters(nlp, loaded):
    assert loaded == []  # nothing before the first document
    doc = nlp("Mara fed her dog.")
    assert [[span.text for span in c] for c in doc._.coref_clusters] == [
        ["Mara", "her"],
        ["fed her"],
    ]
    assert sorted(doc.spans) == ["coref_clusters_1", "coref_clusters_2"]
    assert doc.spans["coref_clusters_1"].attrs["confidences"] == [[0.5, 0.25], [0.5, 0.5]]
    found = doc._.coref
    assert isinstance(found, Prediction)
    assert found.text == doc.text
    assert [m.text for m in found.clusters[0]] == ["Mara", "her"]
    assert found.mentions[0].confidence == Confidence(0.5, 0.25)
    assert str(found.resolve()) == "Mara fed Mara's dog."
    ((model, settings),) = loaded
    assert model == "my/model"
    assert settings["language"] == "en"
    assert settings["batch_size"] == 8


@pytest.mark.parametrize(
    "text",
    [
        "",
        "  \n",
        "a",
        "Mara \n\n fed\r\n her  dog .",
        "I don't\u00a0know U.K. towns",
        "👩‍👩‍👧 saw it",
    ],
)
def test_offsets_are_those_of_the_tokens(nlp, text):
    doc = nlp(text)
    assert doc.text == text
    words = [token for token in doc if not token.is_space]
    for span, (start, end) in zip(
        [span for c in doc._.coref_clusters for span in c], [(0, 1), (2, 3), (1, 3)], strict=False
    ):
        assert (span[0], span[-1]) == (words[start], words[end - 1])
    for mention in doc._.coref.mentions:
        assert text[mention.start_char : mention.end_char] == mention.text
    assert bool(doc._.coref_clusters) == bool(words)


def test_sentences():
    """spaCy's where there are any, else those of rules; blank tokens begin none of ours."""
    blank = spacy.blank("en")
    doc = blank("One two. Three.\n\nFour five \n\n six")
    assert spacy_documents.document_of(doc)[0].sentences == ((0, 3), (3, 5), (5, 7), (7, 8))
    doc = blank("One two. Three.")
    for token in doc:
        token.is_sent_start = token.i in (0, 1)
    assert spacy_documents.document_of(doc)[0].sentences == ((0, 1), (1, 5))
    doc = Doc(blank.vocab, words=["One", "\n", "two"], sent_starts=[True, True, False])
    assert spacy_documents.document_of(doc)[0].sentences == ((0, 1), (1, 2))
    doc = Doc(blank.vocab, words=["her", "hat"], tags=["PRP$", "NN"])
    assert spacy_documents.document_of(doc)[0].pos == ("PRP$", "NN")


def test_streams(nlp, marker):
    def texts():
        for number in range(1_000_000):
            yield f"number {number} of them"

    stream = nlp.pipe(texts(), batch_size=2)
    docs = [next(stream) for _ in range(6)]
    assert [doc[1].text for doc in docs] == [str(number) for number in range(6)]
    assert all(len(doc._.coref_clusters) == 2 for doc in docs)
    assert marker.read == 8
    pairs = list(nlp.pipe([("a b c", 1), ("", 2)], as_tuples=True))
    assert [(len(doc), number) for doc, number in pairs] == [(3, 1), (0, 2)]


def test_failures_go_to_the_error_handler(nlp):
    with pytest.raises(DocumentError, match="it is impossible"):
        nlp("impossible")
    texts = ["a b c", "impossible", "d e f"]
    with pytest.raises(DocumentError, match="it is impossible"):
        list(nlp.pipe(texts))
    heard = []
    nlp.set_error_handler(lambda name, proc, docs, error: heard.append((name, docs[0].text, error)))
    assert [doc.text for doc in nlp.pipe(texts)] == ["a b c", "d e f"]
    ((name, text, error),) = heard
    assert (name, text, str(error)) == ("t5coref", "impossible", "it is impossible")


def test_documents_survive_bytes_and_a_second_run(nlp):
    doc = nlp("Mara fed her dog.")
    stored = DocBin(store_user_data=True, docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(stored).get_docs(nlp.vocab)
    assert again._.coref == doc._.coref
    doc.spans["mine"] = [doc[0:1]]
    doc.spans["coref_clusters_3"] = [doc[0:1]]
    nlp.get_pipe("t5coref")(doc)
    assert sorted(doc.spans) == ["coref_clusters_1", "coref_clusters_2", "mine"]


def test_relations_and_types(nlp, monkeypatch, marker):
    annotation = Annotation(
        (((0, 1),), ((2, 3), (4, 5))), (Relation(0, 1, "feeds"),), None, ("person", None)
    )
    monkeypatch.setattr(marker, "_found", lambda document: document.with_annotation(annotation))
    doc = nlp("Mara fed Rex and Rex")
    again = Doc(nlp.vocab).from_bytes(doc.to_bytes())
    assert again._.coref.document.annotation == annotation
    assert repr(again._.coref.relations) == "(EntityRelation('Mara', 'feeds', 'Rex'),)"


def test_pipelines_on_disk(nlp, loaded, tmp_path):
    """The model goes along; the original may be gone."""
    original = tmp_path / "original"
    original.mkdir()
    (original / "t5coref.json").write_text("{}")
    (original / "model.safetensors").write_bytes(b"weights")
    nlp.get_pipe("t5coref").model = str(original)
    nlp.to_disk(tmp_path / "saved")
    for file in original.iterdir():
        file.unlink()
    again = spacy.load(tmp_path / "saved")
    assert loaded == []
    assert len(again("a b c")._.coref_clusters) == 2
    folder = pathlib.Path(loaded[0][0])
    assert folder == tmp_path / "saved" / "t5coref" / "model"
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    again.to_disk(tmp_path / "saved")  # onto itself
    assert (folder / "model.safetensors").read_bytes() == b"weights"
    again.to_disk(tmp_path / "copy")
    assert (tmp_path / "copy" / "t5coref" / "model" / "model.safetensors").is_file()


def test_a_proposer_of_its_own_is_saved_with_the_pipeline(loaded, tmp_path):
    proposer = tmp_path / "proposer"
    proposer.mkdir()
    (proposer / "heads.safetensors").write_bytes(b"heads")
    config = {"model": "my/model", "mentions": str(proposer)}
    nlp = spacy.blank("en")
    nlp.add_pipe("t5coref", config=config)
    nlp("a b c")
    assert loaded[0][1]["mentions"] == str(proposer)
    nlp.to_disk(tmp_path / "saved")
    (proposer / "heads.safetensors").unlink()
    spacy.load(tmp_path / "saved")("a b c")
    copied = pathlib.Path(loaded[1][1]["mentions"])
    assert copied == tmp_path / "saved" / "t5coref" / "mentions"
    assert (copied / "heads.safetensors").read_bytes() == b"heads"


@pytest.mark.parametrize("mentions", [None, "spacy:en_core_web_sm"])
def test_other_mentions_are_saved_by_name(mentions, loaded, tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("t5coref", config={"model": "my/model", "mentions": mentions})
    nlp.to_disk(tmp_path / "saved")
    spacy.load(tmp_path / "saved")("a b c")
    assert loaded[0][1]["mentions"] == mentions


def test_published_checkpoints_keep_their_name(nlp, loaded, tmp_path):
    nlp.to_disk(tmp_path / "saved")
    assert spacy.load(tmp_path / "saved")("a b c").spans
    assert loaded[0][0] == "my/model"


def test_other_processes_load_the_model_themselves(nlp, loaded):
    nlp("a b c")
    again = pickle.loads(pickle.dumps(nlp.get_pipe("t5coref")))
    assert "pipeline" not in vars(again)
    assert (again.name, again.model) == ("t5coref", "my/model")
    assert again.settings == loaded[0][1]


def test_attributes_of_others_are_not_overwritten(loaded):
    Doc.set_extension("coref_clusters", default=None, force=True)
    try:
        with pytest.raises(ConfigError, match=r"has registered doc\._\.coref_clusters; .*frees it"):
            spacy.blank("en").add_pipe("t5coref")
    finally:
        Doc.remove_extension("coref_clusters")
    spacy.blank("en").add_pipe("t5coref")


def test_the_factory_is_described():
    meta = get_lang_class("en").get_factory_meta("t5coref")
    assert meta.assigns == ["doc._.coref", "doc._.coref_clusters", "doc.spans"]
    assert (
        t5coref.load.__kwdefaults__.items()
        >= {key: value for key, value in meta.default_config.items() if key != "model"}.items()
    )
