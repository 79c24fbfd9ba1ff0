"""Clusters in colour on a terminal."""

from __future__ import annotations

from rich.text import Text

from t5coref.core.document import Document

COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan", "bright_red", "bright_green",
           "bright_yellow", "bright_blue", "bright_magenta", "bright_cyan")  # fmt: skip
_SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")


def coloured(document: Document) -> Text:
    """The text with brackets around its mentions, one colour and one small number a cluster.

    Clusters of one mention are grey, since nothing else wears their colour.
    """
    if document.annotation is None:
        return Text(" ".join(document.words))
    opening: dict[int, list[tuple[int, int]]] = {}
    closing: dict[int, list[tuple[int, int]]] = {}
    styles: list[str] = []
    chains = 0
    for c, cluster in enumerate(document.annotation.clusters):
        styles.append(COLOURS[chains % len(COLOURS)] if len(cluster) > 1 else "bright_black")
        chains += len(cluster) > 1
        for start, end in cluster:
            opening.setdefault(start, []).append((-end, c))
            closing.setdefault(end, []).append((-start, c))
    text = Text()
    open_styles: list[str] = []
    for i, word in enumerate(document.words):
        for _, c in sorted(closing.get(i, [])):
            text.append("]" + str(c + 1).translate(_SMALL), styles[c])
            if styles[c] in open_styles:
                open_styles.remove(styles[c])
        attached = word in {".", ",", "!", "?", ";", ":", "'s", "n't"}
        text.append("" if i == 0 or attached else " ")
        for _, c in sorted(opening.get(i, [])):
            text.append("[", styles[c])
            open_styles.append(styles[c])
        text.append(word, open_styles[-1] if open_styles else "")
    for _, c in sorted(closing.get(len(document.words), [])):
        text.append("]" + str(c + 1).translate(_SMALL), styles[c])
    return text
