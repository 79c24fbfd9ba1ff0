"""Documents in colour on a terminal: mentions in brackets, types and relations below the text."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rich.columns import Columns
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from t5coref.core.document import Annotation, Document
from t5coref.view import representative
from t5coref.view.names import shortened
from t5coref.view.spacing import tight

COLOURS = ("red", "green", "yellow", "blue", "magenta", "cyan", "bright_red", "bright_green",
           "bright_yellow", "bright_blue", "bright_magenta", "bright_cyan")  # fmt: skip
LONGEST_NAME = 32  # characters of an entity's name in a table

_SMALL = str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉")
_NO_NAMES: Mapping[str, str] = MappingProxyType({})

# Control characters would steer the terminal: their pictures are shown instead.
_CONTROL = {c: 0x2400 + c for c in range(32)} | dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)


def shown(document: Document, relation_names: Mapping[str, str] = _NO_NAMES) -> RenderableType:
    """The name and text of a document, below it the types of its entities and its relations.

    Args:
      relation_names: what to call relation types: `{"P17": "country"}`; others stand as they are.
    """
    below = [
        Padding(part, (1, 0, 0, 2))
        for part in (_types(document), _relations(document, relation_names))
        if part is not None
    ]
    return Group(Text(_visible(document.doc_id), "bold"), coloured(document), *below)


def coloured(document: Document) -> Text:
    """The text with brackets around its mentions, one colour and one small number a cluster.

    Clusters of one mention, no type and no relation are grey: nothing else wears their colour.
    """
    joined = [True, *tight(document.words)]
    words = [("" if joined[i] else " ", _visible(word)) for i, word in enumerate(document.words)]
    if document.annotation is None:
        return Text("".join(blank + word for blank, word in words))
    opening: dict[int, list[tuple[int, int]]] = {}
    closing: dict[int, list[tuple[int, int]]] = {}
    styles = _styles(document.annotation)
    for start, end, c in document.annotation.mentions():
        opening.setdefault(start, []).append((-end, c))
        closing.setdefault(end, []).append((-start, c))
    text = Text()
    open_styles: list[str] = []
    for i, (blank, word) in enumerate(words):
        text.append(blank)
        for _, c in sorted(opening.get(i, [])):
            text.append("[", styles[c])
            open_styles.append(styles[c])
        text.append(word, open_styles[-1] if open_styles else "")
        for _, c in sorted(closing.get(i + 1, [])):
            text.append("]" + _number(c), styles[c])
            open_styles.remove(styles[c])
    return text


def _types(document: Document) -> Columns | None:
    """Every entity with a type: name, number, type and how often it is mentioned."""
    annotation = document.annotation
    if annotation is None or annotation.types is None or not any(annotation.types):
        return None
    entries = []
    for name, cluster, type_ in zip(
        _names(document), annotation.clusters, annotation.types, strict=True
    ):
        if type_ is not None:
            times = f" ×{len(cluster)}" if len(cluster) > 1 else ""
            entries.append(Text.assemble(name, (f" {_visible(type_)}{times}", "dim")))
    return Columns(entries, padding=(0, 3))


def _relations(document: Document, names: Mapping[str, str]) -> Table | None:
    """The relations, one a line."""
    if document.annotation is None or not document.annotation.relations:
        return None
    entities = _names(document)
    table = Table.grid(padding=(0, 1))
    for r in document.annotation.relations:
        type_ = Text.assemble("─ ", (_visible(names.get(r.type, r.type)), "italic"), " →")
        table.add_row(entities[r.head], type_, entities[r.tail])
    return table


def _names(document: Document) -> list[Text]:
    """What stands for each cluster: its representative mention, its number and its colour."""
    assert document.annotation is not None
    out = []
    for c, style in enumerate(_styles(document.annotation)):
        name = representative(document, document.annotation.clusters[c])
        out.append(Text(_visible(shortened(name, LONGEST_NAME)) + _number(c), style))
    return out


def _styles(annotation: Annotation) -> list[str]:
    """The colour of each cluster."""
    related = {end for r in annotation.relations for end in (r.head, r.tail)}
    styles: list[str] = []
    colours = 0
    for c, cluster in enumerate(annotation.clusters):
        typed = annotation.types is not None and annotation.types[c] is not None
        if len(cluster) > 1 or typed or c in related:
            styles.append(COLOURS[colours % len(COLOURS)])
            colours += 1
        else:
            styles.append("bright_black")
    return styles


def _number(c: int) -> str:
    return str(c + 1).translate(_SMALL)


def _visible(text: str) -> str:
    return text.translate(_CONTROL)
