"""Heads and types of English mentions, from their words alone: no tagger, no tree.

The rules are few so that they can be stated (docs/report.md) and applied to any corpus alike.
"""

from __future__ import annotations

from enum import StrEnum

from t5coref.core.document import Document, Span


class MentionType(StrEnum):
    """What kind of expression a mention is; names tell most of their entity, pronouns least."""

    NAME = "name"
    NOMINAL = "nominal"
    PRONOUN = "pronoun"


_PRONOUNS = """
    i me my mine myself we us our ours ourselves you your yours yourself yourselves ya ye thou thee
    thy thine thyself he him his himself she her hers herself it its itself they them their theirs
    themselves themself 'em em one oneself this that these those who whom whose which what here
    there such everyone everybody everything someone somebody something anyone anybody anything
    nobody nothing none each both all some many another other others
"""
PRONOUNS = frozenset(_PRONOUNS.split())
"""Words that are a pronoun where they are a whole mention."""

RECIPROCAL = frozenset({("each", "other"), ("one", "another")})

_AFTER = """
    of in on at with without from for to by about above across after against among around as before
    behind below beneath beside between beyond concerning during inside into like near off onto
    opposite out outside over past regarding since than through throughout toward towards under
    underneath until upon within who whom whose which that where when why whether , ; : ( [ - -- – —
    -lrb- -lsb-
"""
_AFTER_HEAD = frozenset(_AFTER.split())
"""Words that follow a head, in front of what describes it."""

_JOINING = frozenset({"and", "or", "&", "nor"})
_TRAILING = frozenset(
    {"'s", "’s", "'", "’", ".", ",", ";", ":", "!", "?", '"', "''", "”", ")", "]"}
)
_SENTENCE_ENDS = frozenset({".", "!", "?", ":", '"', "``", "“", "'", "‘"})


class English:
    """The mentions of one document: their heads and types."""

    def __init__(self, document: Document) -> None:
        self._words = document.words
        self._lower = [word.lower() for word in document.words]
        begins = {start for start, _ in document.sentences}
        self._capitalized = {
            word
            for i, word in enumerate(document.words)
            if word[0].isupper()
            and i not in begins
            and document.words[i - 1] not in _SENTENCE_ENDS
            and self._lower[i] not in PRONOUNS
        }

    def head(self, span: Span) -> int:
        """The word that governs a mention: the last one before what is added behind it.

        What is added begins at the first preposition, relative word, comma, bracket or dash that
        is not the mention's first word; an ending 's and punctuation at the end do not count.
        Where conjunctions join the words before it, the first conjunction is the head.
        """
        start, end = span
        lower = self._lower
        while end - start > 1 and lower[end - 1] in _TRAILING:
            end -= 1
        end = next((i for i in range(start + 1, end) if lower[i] in _AFTER_HEAD), end)
        joining = (i for i in range(start + 1, end - 1) if lower[i] in _JOINING)
        return next(joining, end - 1)

    def type(self, span: Span) -> MentionType:
        """Pronoun, name or nominal.

        A pronoun is a word of a closed list, or a reciprocal. A name's head is a word that
        somewhere in the document has a capital letter which no beginning of a sentence asks for.
        All else is nominal.
        """
        words = tuple(self._lower[slice(*span)])
        if words in RECIPROCAL or (len(words) == 1 and words[0] in PRONOUNS):
            return MentionType.PRONOUN
        named = self._words[self.head(span)] in self._capitalized
        return MentionType.NAME if named else MentionType.NOMINAL
