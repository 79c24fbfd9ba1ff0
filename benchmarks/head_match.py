"""The baseline that a released model has to beat: the same head word, or the nearest antecedent.

Mentions are the noun chunks of a spaCy pipeline and the possessive pronouns in them, or those that
it is given. From left to right, a mention joins, of those that end before it begins,

* as a pronoun of the first or second person, the last pronoun of that person and number;
* as another pronoun, the nearest mention that is a pronoun of its own kind or no pronoun;
* else the nearest mention with the same head word, whatever its case.

The head word is the last word before the first one that begins a modifier behind a noun (a
preposition, a relative pronoun, a comma).
"""

from __future__ import annotations

from collections.abc import Sequence

from t5coref.core.document import Annotation, Document, Span

PRONOUNS = {
    word: kind
    for kind, words in {
        "I": "i me my mine myself",
        "we": "we us our ours ourselves",
        "you": "you your yours yourself yourselves thou thee thy",
        "he": "he him his himself",
        "she": "she her hers herself",
        "it": "it its itself",
        "they": "they them their theirs themselves",
    }.items()
    for word in words.split()
}
SPEAKERS = {"I", "we", "you"}
POSSESSIVE = {"my", "our", "your", "his", "her", "its", "their", "thy"}
BEHIND = {
    *("of", "in", "on", "at", "to", "from", "for", "with", "by", "about"),
    *("who", "whom", "which", "that", "where", ",", "(", "-"),
}


def head(words: Sequence[str]) -> str:
    """The head word of a mention, in small letters."""
    small = [word.lower() for word in words]
    end = next((i for i, word in enumerate(small) if i and word in BEHIND), len(small))
    if end > 1 and small[end - 1] in ("'s", "’s", "'"):
        end -= 1
    return small[end - 1]


def with_possessives(document: Document, chunks: Sequence[Span]) -> list[Span]:
    """Chunks, and the possessive pronouns inside them as mentions of their own."""
    inside = {
        (i, i + 1)
        for start, end in chunks
        for i in range(start, end)
        if end - start > 1 and document.words[i].lower() in POSSESSIVE
    }
    return sorted({*chunks, *inside}, key=lambda span: (span[0], -span[1]))


def linked(document: Document, mentions: Sequence[Span]) -> Document:
    """The document with its mentions linked as said above; mentions alone are clusters, too."""
    clusters: list[list[Span]] = []
    before: list[tuple[int, str | None, str, int]] = []  # end, kind of pronoun, head, cluster
    for start, end in sorted(mentions, key=lambda span: (span[0], -span[1])):
        word = head(document.words[start:end])
        kind = PRONOUNS.get(word) if end - start == 1 else None

        def is_antecedent(
            other: tuple[int, str | None, str, int], start=start, kind=kind, word=word
        ):
            end, other_kind, other_word, _ = other
            if end > start:
                return False
            if kind is None:
                return other_kind is None and other_word == word
            return other_kind == kind or (kind not in SPEAKERS and other_kind is None)

        found = next((other[-1] for other in reversed(before) if is_antecedent(other)), None)
        if found is None:
            found = len(clusters)
            clusters.append([])
        clusters[found].append((start, end))
        before.append((end, kind, word, found))
    return document.with_annotation(Annotation(tuple(tuple(c) for c in clusters)))
