"""Heads and types of English mentions."""

from __future__ import annotations

import pytest

from t5coref.core.document import Document
from t5coref.corpora import conllu
from t5coref.report import English, MentionType


@pytest.mark.parametrize(
    ("mention", "head"),
    [
        ("the old dog", "dog"),
        ("the old dog of Ben", "dog"),
        ("the woman who saw Ben", "woman"),
        ("Ben 's dog", "dog"),
        ("the dog 's", "dog"),
        ("Ben , the teacher ,", "Ben"),
        ("both Anna and Ben", "and"),
        ("the house of Anna and Ben", "house"),
        ("that house", "house"),
        ("of", "of"),
        ("The Hague ( Holland )", "Hague"),
    ],
)
def test_heads(mention, head):
    words = tuple(mention.split())
    assert words[English(Document(doc_id="d", words=words)).head((0, len(words)))] == head


TEXT = (
    "Dogs bark . Her dog saw each other . A friend of Ben called Dr. Lee . Ben slept . Then , Lee"
)


@pytest.mark.parametrize(
    ("start", "end", "type_"),
    [
        (0, 1, MentionType.NOMINAL),  # a capital that the sentence asks for
        (3, 4, MentionType.PRONOUN),
        (3, 5, MentionType.NOMINAL),
        (6, 8, MentionType.PRONOUN),
        (9, 13, MentionType.NOMINAL),
        (12, 13, MentionType.NAME),
        (14, 16, MentionType.NAME),
        (17, 18, MentionType.NAME),  # at the start of a sentence, but known from elsewhere
    ],
)
def test_types(start, end, type_):
    document = Document(doc_id="d", words=tuple(TEXT.split()))
    assert English(document).type((start, end)) is type_


PRONOUN_TAGS = {"PRP", "PRP$", "WP", "WP$", "EX"}


def test_the_rules_beside_the_trees_and_tags_of_gum(shared):
    """What docs/report.md says of them."""
    types = heads = total = 0
    for file in sorted((shared / "data/gum/dev").glob("*.conllu"))[:16]:
        for document in conllu.read(file):
            english, tree = English(document), document.extra["tree"]["heads"]
            for start, end, _ in document.annotation.mentions():
                first = max(a for a, _ in document.sentences if a <= start) - 1
                # The words whose head lies outside of the mention, or nowhere.
                tops = [i for i in range(start, end) if not start <= tree[i] + first < end]
                top = next((i for i in range(start, end) if not tree[i]), tops[0])
                tag = document.pos[top]
                name = MentionType.NAME if tag in ("NNP", "NNPS") else MentionType.NOMINAL
                alone = tag in ("DT", "WDT") and end - start == 1
                expected = MentionType.PRONOUN if tag in PRONOUN_TAGS or alone else name
                types += english.type((start, end)) is expected
                heads += english.head((start, end)) == top
                total += 1
    assert types / total > 0.95
    assert heads / total > 0.88
