"""Names in place of pronouns: the rules by example, and what holds for any clusters."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from marked import marked

from t5coref import Prediction, Pronouns
from t5coref.api.pronouns import ENGLISH
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, DocumentError


def resolved(text: str, **options) -> str:
    return str(Prediction(marked(text)).resolve(**options))


EXAMPLES = {
    "subjects and objects": (
        "[1 Anna ] came . Then [1 she ] left , and we missed [1 her ] .",
        "Anna came. Then Anna left, and we missed Anna.",
    ),
    "a possessive, and a name with a pronoun in it": (
        "[1 Anna ] lost [2 [1 her ] hat ] . Peter found [2 it ] .",
        "Anna lost Anna's hat. Peter found Anna's hat.",
    ),
    "articles and capital letters": (
        "[1 The king ] lost [2 a ring ] . [2 It ] was [1 his ] . Who saw [1 him ] ?",
        "The king lost a ring. A ring was the king's. Who saw the king?",
    ),
    "a plural": (
        "[1 The dogs ] bark . [1 Their ] owner sleeps .",
        "The dogs bark. The dogs' owner sleeps.",
    ),
    "a name that is a possessive itself": (
        "[1 Anna 's ] hat is red . [1 She ] likes it , and [1 her ] dog does .",
        "Anna's hat is red. Anna likes it, and Anna's dog does.",
    ),
    "her before no noun": (
        "[1 Anna ] came . I saw [1 her ] yesterday , [1 her ] and [1 her ] dog .",
        "Anna came. I saw Anna yesterday, Anna and Anna's dog.",
    ),
    "a pronoun in the name of its own cluster": (
        "[1 The man who lost [1 his ] hat ] cried . [1 He ] left .",
        "The man who lost his hat cried. The man who lost his hat left.",
    ),
    "names that speak of each other": (
        "[1 The owner of [2 it ] ] slept . [2 [1 his ] dog ] barked .",
        "The owner of his dog slept. the owner of it's dog barked.",
    ),
    "pronouns alone": ("[1 She ] said that [1 she ] left .", "She said that she left."),
    "I within a sentence": (
        "[1 the old king ] said that [1 I ] may go . [1 I ] went .",
        "the old king said that the old king may go. The old king went.",
    ),
    "a reflexive pronoun": (
        "[1 Anna ] came . [1 She ] hurt [1 herself ] .",
        "Anna came. Anna hurt herself.",
    ),
    "a pronoun before a possessive": (
        "[1 Anna ] came . They gave [1 her ] [1 her ] way .",
        "Anna came. They gave Anna Anna's way.",
    ),
    "punctuation at a pronoun": ("[1 Anna ] came . [1 She- ] left .", "Anna came. Anna left."),
    "a quotation": (
        '[1 The king ] nodded . " [1 He ] left " , they said of [1 him ] .',
        'The king nodded. " The king left ", they said of the king.',
    ),
}


@pytest.mark.parametrize(("text", "expected"), EXAMPLES.values(), ids=EXAMPLES)
def test_rules(text, expected):
    assert resolved(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "[1 Anna Lind ] came . [1 The woman ] sat down . We know [1 the girl 's ] dog .",
            "Anna Lind came. Anna Lind sat down. We know Anna Lind's dog.",
        ),
        # The outer mention takes the inner one along.
        (
            "[1 Anna Lind ] saw [2 the old father ] . "
            "[2 [1 Her ] dad ] is [2 [1 the girl 's ] pa ] .",
            "Anna Lind saw the old father. The old father is the old father.",
        ),
        # Of mentions that cross, the one that begins first counts.
        ("[1 Anna Lind ] saw [1 the [2 tall ] man ] . [2 Big Ben ] .", None),
    ],
)
def test_every_mention(text, expected):
    if expected is None:
        words = ["Anna", "Lind", "saw", "the", "tall", "man", ".", "Big", "Ben", "rang", "."]
        clusters = (((0, 2), (3, 5)), ((4, 6), (7, 9)))
        document = Document(doc_id="d", words=tuple(words), annotation=Annotation(clusters))
        found = Prediction(document).resolve(every_mention=True)
        assert str(found) == "Anna Lind saw Anna Lind man . Big Ben rang ."
    else:
        assert resolved(text, every_mention=True) == expected


def test_tokenized_text_stays_tokenized():
    document = marked("[1 Anna ] lost [2 [1 her ] hat ] . Peter found [2 it ] .", raw=False)
    found = Prediction(document).resolve()
    assert str(found) == "Anna lost Anna 's hat . Peter found Anna 's hat ."


def test_tags_decide_about_her():
    text = "[1 Anna ] came . They called [1 her ] names ."
    assert resolved(text) == "Anna came. They called Anna's names."
    tags = ("NNP", "VBD", ".", "PRP", "VBD", "PRP", "NNS", ".")
    found = Prediction(marked(text, pos=tags)).resolve()
    assert str(found) == "Anna came. They called Anna names."


def test_line_ends_in_a_name():
    text = "Anna\r\n  Lind left.\nShe ran."
    offsets = ((0, 4), (8, 12), (13, 17), (17, 18), (19, 22), (23, 26), (26, 27))
    document = Document(
        doc_id="d", words=("Anna", "Lind", "left", ".", "She", "ran", "."), text=text,
        word_offsets=offsets, annotation=Annotation((((0, 2), (4, 5)),)),
    )  # fmt: skip
    assert str(Prediction(document).resolve()) == "Anna\r\n  Lind left.\nAnna Lind ran."


def test_another_language():
    german = Pronouns(
        personal=frozenset({"sie", "er"}), possessive=frozenset({"ihre"}), ending=lambda name: "s"
    )
    document = marked("[1 Anna ] rief [1 ihre ] Mutter . Dann ging [1 sie ] .")
    found = Prediction(document, None)
    assert found.mentions[1].pronoun is None
    with pytest.raises(ConfigError, match=r"expected pronouns=Pronouns"):
        found.resolve()
    assert str(found.resolve(pronouns=german)) == "Anna rief Annas Mutter. Dann ging Anna."


def test_offsets():
    text = "[1 Anna ] lost [2 [1 her ] hat ] . Peter found [2 it ] , you see ."
    found = Prediction(marked(text)).resolve()
    old, new = "Anna lost her hat. Peter found it, you see.", str(found)
    assert new == "Anna lost Anna's hat. Peter found Anna's hat, you see."
    first, second = found.replacements
    assert (first.mention.text, new[first.start : first.end]) == ("her", "Anna's")
    assert second.representative.text == "her hat"
    assert found.resolved(old.index("Peter")) == new.index("Peter")
    assert found.original(new.index("see")) == old.index("see")
    assert found.original(new.rindex("hat")) == old.index("it,")
    assert found.resolved(old.index("her") + 1) == new.index("Anna's")
    assert found.resolved(len(old)) == len(new)
    assert found.resolved_span(10, 17) == (10, 20)  # her hat
    assert found.resolved_span(11, 12) == (10, 16)  # within her
    assert found.original_span(new.rindex("hat"), new.rindex("hat") + 3) == (31, 33)  # it
    assert found.original_span(0, len(new)) == (0, len(old))


def test_no_prediction_is_not_resolved():
    document = Document(doc_id="d", words=("She",), extra={"error": "too long"})
    with pytest.raises(DocumentError, match="there is no prediction to resolve: too long"):
        Prediction(document).resolve()


WORDS = ["Anna", "she", "her", "itself", "the", "hat", "of", "His", "king", "'s", "a", "They", "x"]


@st.composite
def annotated(draw) -> Document:
    """Random words and gaps; random, nested, crossing and shared mentions."""
    words = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=16))
    n = len(words)
    gaps = draw(st.lists(st.sampled_from(["", " ", "\n", "\r\n\t", " "]), min_size=n, max_size=n))
    text, offsets = "", []
    for gap, word in zip(gaps, words, strict=True):
        text += gap
        offsets.append((len(text), len(text) + len(word)))
        text += word
    text += draw(st.sampled_from(["", " ", "\n"]))
    spans = st.tuples(st.integers(0, n - 1), st.integers(1, 5)).map(
        lambda pair: (pair[0], min(n, pair[0] + pair[1]))
    )
    clusters = draw(st.lists(st.lists(spans, min_size=1, max_size=5), max_size=4))
    cut = draw(st.integers(1, n))
    return Document(
        doc_id="d",
        words=tuple(words),
        sentences=((0, cut), (cut, n)) if cut < n else ((0, n),),
        text=text,
        word_offsets=tuple(offsets),
        annotation=Annotation(tuple(map(tuple, clusters))),
    )


@given(annotated(), st.booleans())
def test_what_holds_for_any_clusters(document, every_mention):
    prediction = Prediction(document)
    found = prediction.resolve(every_mention=every_mention)
    old, new = prediction.text, found.text

    # What was not replaced is there, character by character; nothing is replaced twice.
    at_old = at_new = 0
    for r in found.replacements:
        assert at_old <= r.mention.start_char < r.mention.end_char
        assert old[at_old : r.mention.start_char] == new[at_new : r.start]
        assert new[r.start : r.end] != r.mention.text
        at_old, at_new = r.mention.end_char, r.end
    assert old[at_old:] == new[at_new:]

    # Each is a mention beside its representative, outside of it, and a pronoun unless all are.
    for r in found.replacements:
        cluster = next(
            c for c in prediction.clusters
            if c.representative is r.representative and r.mention in c.mentions
        )  # fmt: skip
        name = cluster.representative
        assert not name.pronoun
        assert every_mention or r.mention.pronoun
        assert not (name.start <= r.mention.start and r.mention.end <= name.end)
        inside = [m for c in prediction.clusters for m in c if _inside(m.span, name.span)]
        if len(inside) == inside.count(name):  # no other mention within it: its own text is there
            bare = " ".join(name.text.split()).removesuffix("'s").rstrip() or "'s"
            assert new[r.start : r.end].lower() in {
                bare.lower() + ending for ending in ("", "'s", "'")
            }

    # Both maps keep the order and agree on what was not replaced.
    there = [found.resolved(i) for i in range(len(old) + 1)]
    back = [found.original(i) for i in range(len(new) + 1)]
    assert there == sorted(there)
    assert back == sorted(back)
    assert there[0] == back[0] == 0
    assert there[-1] == len(new) or any(r.end == len(new) for r in found.replacements)
    replaced = {i for r in found.replacements for i in range(*r.mention.char_span)}
    for i in set(range(len(old))) - replaced:
        assert old[i] == new[there[i]]
        assert back[there[i]] == i
    for r in found.replacements:
        assert found.resolved_span(*r.mention.char_span) == (r.start, r.end)
        assert found.original_span(r.start, r.end) == r.mention.char_span


def _inside(inner, outer):
    return outer[0] <= inner[0] and inner[1] <= outer[1]


@given(annotated())
def test_no_pronoun_is_left_that_has_a_name(document):
    """Except within its own name, or where a mention that begins before it was replaced."""
    prediction = Prediction(document)
    replaced = prediction.resolve().replacements
    for cluster in prediction.clusters:
        name = cluster.representative
        for mention in cluster:
            if name.pronoun or not mention.pronoun or _inside(mention.span, name.span):
                continue
            if mention.text.lower() in ENGLISH.reflexive:
                continue
            same = " ".join(name.text.split()).lower() == mention.text.lower()
            assert same or any(r.mention.span == mention.span for r in replaced)
