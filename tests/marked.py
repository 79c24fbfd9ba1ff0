"""Documents from text with marked mentions: `[1 Anna ] lost [2 [1 her ] hat ] .`"""

from __future__ import annotations

import itertools

from t5coref.core.document import Annotation, Document

CLOSE = frozenset({".", ",", "?", "!", "'s", "'"})
"""Words without a blank before them."""


def marked(text: str, *, raw: bool = True, pos: tuple[str, ...] | None = None) -> Document:
    """A document; sentences end behind full stops."""
    words: list[str] = []
    opened: list[tuple[int, int]] = []
    clusters: dict[int, list[tuple[int, int]]] = {}
    for item in text.split():
        if item[0] == "[":
            opened.append((int(item[1:]), len(words)))
        elif item == "]":
            number, start = opened.pop()
            clusters.setdefault(number, []).append((start, len(words)))
        else:
            words.append(item)
    ends = [i + 1 for i, word in enumerate(words) if word in ".?!"]
    edges = sorted({0, *ends, len(words)})
    written, offsets = "", []
    for word in words:
        written += " " if written and word not in CLOSE else ""
        offsets.append((len(written), len(written) + len(word)))
        written += word
    return Document(
        doc_id="marked",
        words=tuple(words),
        sentences=tuple(itertools.pairwise(edges)),
        pos=pos,
        text=written if raw else None,
        word_offsets=tuple(offsets) if raw else None,
        annotation=Annotation(tuple(tuple(clusters[n]) for n in sorted(clusters))),
    )
