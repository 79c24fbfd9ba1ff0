"""What an entity is called where there is little room."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from t5coref.core.document import Document, Span
from t5coref.view.spacing import joined

_ENDS = {".", "!", "?", ":", '"', "``", "“"}
"""Words after which one begins with a capital letter although it is no name."""

LONGEST = 40  # characters: a mention that is longer describes rather than names


def representative(document: Document, spans: Sequence[Span]) -> str:
    """The mention that names an entity best: a proper name if there is one, else the longest.

    A name is a mention with capital letters at words that begin no sentence, which is as much as
    can be said for most languages without a tagger; mentions that are mostly such words come
    first, and of those the most frequent or fullest.
    """
    texts = {span: mention_text(document, span) for span in spans}
    short = [span for span in spans if len(texts[span]) <= LONGEST] or list(spans)[:1]
    begins = {start for start, _ in document.sentences}
    shares = {span: _capitals(document, span, begins) for span in short}
    for least in (0.5, 0.01):
        if names := [span for span in short if shares[span] >= least]:
            counts = Counter(texts[span] for span in names)
            # A fuller form wins over one that is hardly more frequent: "Ada Lin" over "Lin".
            return max(counts, key=lambda text: counts[text] + text.count(" "))
    return max((texts[span] for span in short), key=len)


def mention_text(document: Document, span: Span) -> str:
    """The text of a mention on one line."""
    if document.text is None or document.word_offsets is None:
        return joined(document.words[span[0] : span[1]])
    return " ".join(document.span_text(span).split())


def _capitals(document: Document, span: Span, begins: set[int]) -> float:
    """The share of words that are written like names; 0 where only the sentence asked for it."""
    capital = [
        i for i in range(*span) if len(document.words[i]) > 1 and document.words[i][0].isupper()
    ]
    if all(i in begins or document.words[i - 1] in _ENDS for i in capital):
        return 0.0
    return len(capital) / (span[1] - span[0])


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and an ellipsis, in at most `most` characters."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
