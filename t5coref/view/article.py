"""One document of the page: its text, its entities and its relations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from t5coref.view.graph import drawing
from t5coref.view.markup import counted, element, escaped, hued, tag
from t5coref.view.model import Entity, Fact, Status, View
from t5coref.view.text import text_html

MANY_ENTITIES = 12
"""Entities in a list that can be searched."""

BESIDE_TABLE = 820
"""Pixels of the widest graph that stands beside its table and not above it."""

_FILTERS = (
    ("right", "right", Status.RIGHT),
    ("missed", "missed", Status.MISSED),
    ("extra", "extra", Status.EXTRA),
    ("entity", "wrong entity", Status.MISPLACED),
)
_FACT_TITLES = {
    Status.RIGHT: "in the key and predicted, between the same sets of mentions",
    Status.NEAR: "in the key and predicted, but the mentions of its entities differ",
    Status.MISSED: "in the key alone",
    Status.EXTRA: "predicted, but not in the key",
}


def article(number: int, view: View, relation_names: Mapping[str, str]) -> str:
    """The document as an `article`; all but the first are hidden until they are chosen."""
    document = view.document
    title = element("h1", element("bdi", escaped(document.doc_id)), id=f"t{number}")
    text = element(
        "section",
        text_html(document, view.entities, view.marks),
        class_="text" if document.word_offsets is None else "text raw",
        lang="",
        aria_label="Text",
    )
    content = [
        element("header", title + _summary(view)),
        _filters(view),
        element("div", text + _entity_list(view), class_="columns"),
        _relations(view, relation_names),
    ]
    return (
        element(
            "article",
            "\n".join(content),
            id=f"d{number}",
            aria_labelledby=f"t{number}",
            hidden="hidden" if number > 1 else None,
        )
        + "\n"
    )


def _summary(view: View) -> str:
    document = view.document
    parts = [counted(len(document.words), "word")]
    if view.compared:
        parts += _scores(view)
    else:
        parts += [
            counted(len(view.marks), "mention"),
            counted(len(view.entities), "entity", "entities"),
            counted(len(view.facts), "relation"),
        ]
    out = element("p", " · ".join(parts), class_="summary")
    if error := document.extra.get("error"):
        out += element("p", escaped(f"No prediction: {error}"), class_="note")
    elif document.annotation is None:
        out += element("p", "This document is not annotated.", class_="note")
    return out


def _scores(view: View) -> list[str]:
    spans = {(m.start, m.end): m.status for m in view.marks}
    status = Counter(spans.values())
    missed, extra = status[Status.MISSED], status[Status.EXTRA]
    scores = [_score("mentions", len(spans) - missed - extra, missed, extra)]
    if view.facts:
        status = Counter(fact.status for fact in view.facts)
        near = status[Status.NEAR]
        missed, extra = status[Status.MISSED] + near, status[Status.EXTRA] + near
        scores.append(_score("relations", status[Status.RIGHT], missed, extra))
    return scores


def _score(what: str, right: int, missed: int, extra: int) -> str:
    """Precision, recall and F1 in percent; 0 where nothing could be right."""
    precision, recall = right / max(right + extra, 1), right / max(right + missed, 1)
    f1 = 2 * right / max(2 * right + missed + extra, 1)
    return (
        f"{what}: precision {100 * precision:.1f}, recall {100 * recall:.1f}, "
        f"<b>F1 {100 * f1:.1f}</b>"
    )


def _filters(view: View) -> str:
    """Check boxes; the style sheet alone acts on them."""
    boxes = []
    if view.compared:
        count = Counter(mark.status for mark in view.marks)
        boxes += [_check(name, words, count[status]) for name, words, status in _FILTERS]
    if lone := sum(entity.hue is None for entity in view.entities):
        boxes.append(_check("lone", "lone mentions", lone))
    if not boxes:
        return ""
    if view.errors:
        keys = "next error " + element("kbd", "e")
        boxes.append(element("button", keys, type="button", class_="live", data_do="error"))
    return element("div", "\n".join(boxes), class_="filters", role="group", aria_label="Show")


def _check(name: str, words: str, count: int) -> str:
    box = tag("input", type="checkbox", data_show=name, checked="checked", autocomplete="off")
    sample = element("span", class_="sample")
    return element("label", f"{box}{sample} {words} <small>{count:,}</small>", class_=name)


def _entity_list(view: View) -> str:
    if not view.entities:
        return ""
    count: dict[int, Counter[Status | None]] = {}
    for mark in view.marks:
        count.setdefault(mark.entity, Counter())[mark.status] += 1
    order = sorted(range(len(view.entities)), key=lambda e: -view.entities[e].size)
    items = "\n".join(_entity(e, view.entities[e], count[e]) for e in order)
    search = ""
    if len(view.entities) > MANY_ENTITIES:
        what = "Find entities"
        search = tag("input", class_="live", type="search", aria_label=what, placeholder=what)
    title = element("h2", f"Entities <small>{len(view.entities):,}</small>")
    content = title + search + element("ol", items)
    return element("section", content, class_="entities", aria_label="Entities")


def _entity(e: int, entity: Entity, count: Counter[Status | None]) -> str:
    parts = [_number(e), element("bdi", escaped(entity.name), class_="name")]
    if entity.type:
        parts.append(element("span", escaped(entity.type), class_="type"))
    if entity.key_type:
        parts.append(element("span", escaped(entity.key_type), class_="type missed"))
    elsewhere = count[Status.LOST] + count[Status.MISPLACED]
    wrong = (
        ("missed", "missed", "−", count[Status.MISSED]),
        ("extra", "extra", "+", count[Status.EXTRA]),
        ("entity", "in another entity", "≠", elsewhere),
    )
    sizes = [
        element("span", f"{sign}{n}", class_=name, title=title)
        for name, title, sign, n in wrong
        if n
    ]
    parts.append(element("span", " ".join([*sizes, str(entity.size)]), class_="size"))
    button = element(
        "button",
        " ".join(parts),
        type="button",
        aria_pressed="false",
        data_e=e + 1,
        style=hued(entity.hue),
    )
    return element("li", button, class_="lone" if entity.hue is None else None)


def _number(e: int) -> str:
    return element("span", str(e + 1), class_="no")


def _relations(view: View, names: Mapping[str, str]) -> str:
    if not view.facts:
        return ""
    button = element(
        "button", "⤢", type="button", class_="live", data_do="enlarge", title="enlarge"
    )
    graph = drawing(view.entities, view.facts, names)
    figure = button + graph.svg
    if graph.left_out:
        figure += element(
            "figcaption",
            f"{counted(graph.left_out, 'more relation')} in the table: the graph has the entities "
            "with most of them.",
        )
    titles = ["from", "relation", "to"] + ["compared"] * view.compared
    head = "".join(element("th", title, scope="col") for title in titles)
    rows = "\n".join(_row(view, fact, names) for fact in view.facts)
    table = element("table", element("thead", element("tr", head)) + element("tbody", rows))
    pair = element("figure", figure) + element("div", table, class_="table")
    classes = "pair large" if graph.width > BESIDE_TABLE else "pair"
    content = element("h2", f"Relations <small>{len(view.facts):,}</small>")
    content += element("div", pair, class_=classes)
    return element("section", content, class_="relations", aria_label="Relations")


def _row(view: View, fact: Fact, names: Mapping[str, str]) -> str:
    name = names.get(fact.type, fact.type)
    cells = [
        _end(fact.head, view.entities[fact.head]),
        element(
            "td", element("bdi", escaped(name)), title=fact.type if name != fact.type else None
        ),
        _end(fact.tail, view.entities[fact.tail]),
    ]
    if fact.status:
        cells.append(element("td", element("span", fact.status), title=_FACT_TITLES[fact.status]))
    return element(
        "tr", "".join(cells), class_=fact.status, data_h=fact.head + 1, data_t=fact.tail + 1
    )


def _end(e: int, entity: Entity) -> str:
    name = f"{_number(e)} {element('bdi', escaped(entity.name))}"
    style = hued(entity.hue)
    return element("td", element("button", name, type="button", data_e=e + 1, style=style))
