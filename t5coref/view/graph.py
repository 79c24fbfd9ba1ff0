"""The relations of a document as a drawing (SVG) that needs no script to be read."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from t5coref.view.curves import curves_through, ends_at_borders, points
from t5coref.view.layout import Box, place
from t5coref.view.markup import counted, element, escaped, hued
from t5coref.view.model import Entity, Fact, Status
from t5coref.view.names import shortened

MOST_ENTITIES, MOST_EDGES = 60, 120
"""What is drawn at most, of the entities with most relations: more is not a picture but a cloud."""

NAME_SIZE, LABEL_SIZE, LINE = 13.0, 11.0, 14.0  # pixels
MARGIN = 8.0
LONGEST_NAME, LONGEST_LABEL = 28, 28  # characters

SIGNS = {Status.MISSED: "− ", Status.EXTRA: "+ ", Status.NEAR: "≈ "}
_BEST_FIRST = (Status.RIGHT, Status.NEAR, Status.MISSED, Status.EXTRA, None)


@dataclass(frozen=True, slots=True)
class Edge:
    """All relations from one entity to another: one line, their names one below the other."""

    head: int
    tail: int
    facts: tuple[Fact, ...]
    names: tuple[str, ...]
    label: Box


class Drawing(NamedTuple):
    """A graph as an `svg` element, its width in pixels, and how many relations it leaves out."""

    svg: str
    width: int
    left_out: int


def drawing(entities: Sequence[Entity], facts: Sequence[Fact], names: Mapping[str, str]) -> Drawing:
    """The graph of at least one relation."""
    kept = _drawn(facts)
    shown = sorted({end for fact in kept for end in (fact.head, fact.tail)})
    titles = {e: shortened(entities[e].name, LONGEST_NAME) for e in shown}
    # Nodes are heavy: labels make way for them.
    nodes = {e: Box(text_width(titles[e], NAME_SIZE) + 22, 26, mass=4.0) for e in shown}
    edges = _edges(kept, names)
    at = {e: k for k, e in enumerate(shown)}
    size = place(list(nodes.values()), [(at[d.head], at[d.tail], d.label) for d in edges])
    width, height = (round(side + 2 * MARGIN) for side in size)
    what = f"{counted(len(kept), 'relation')} between {counted(len(shown), 'entity', 'entities')}"
    content = [element("title", what)]
    content += [_line(edge, nodes[edge.head], nodes[edge.tail]) for edge in edges]
    content += [_label(edge) for edge in edges]
    content += [_node(e, entities[e], titles[e], box) for e, box in nodes.items()]
    view_box = f"{-MARGIN:g} {-MARGIN:g} {width} {height}"
    svg = element(
        "svg", "\n".join(content), viewBox=view_box, width=width, height=height, role="img"
    )
    return Drawing(svg, width, len(facts) - len(kept))


def text_width(text: str, size: float) -> float:
    """About the width of a text in pixels, rather too much than too little."""
    total = 0.0
    for character in text:
        if unicodedata.combining(character):
            continue
        if unicodedata.east_asian_width(character) in "WF":
            total += 1.05
        elif character.isupper() or character in "mw@%—":
            total += 0.72
        else:
            total += 0.36 if character in "iljtfr.,:;'|!()[] " else 0.58
    return size * total


def _drawn(facts: Sequence[Fact]) -> list[Fact]:
    """The relations of the best connected pairs, as many as a drawing may have."""
    degree = Counter(end for fact in facts for end in (fact.head, fact.tail))
    pairs: set[tuple[int, int]] = set()
    shown: set[int] = set()
    for fact in sorted(facts, key=lambda fact: -(degree[fact.head] + degree[fact.tail])):
        ends = {fact.head, fact.tail}
        if len(pairs) < MOST_EDGES and len(shown | ends) <= MOST_ENTITIES:
            pairs.add((fact.head, fact.tail))
            shown |= ends
    return [fact for fact in facts if (fact.head, fact.tail) in pairs]


def _edges(facts: Sequence[Fact], names: Mapping[str, str]) -> list[Edge]:
    between: dict[tuple[int, int], list[Fact]] = {}
    for fact in facts:
        between.setdefault((fact.head, fact.tail), []).append(fact)
    edges = []
    for (head, tail), group in between.items():
        lines = tuple(_name(fact, names) for fact in group)
        width = max(text_width(line, LABEL_SIZE) for line in lines)
        label = Box(width + 4, LINE * len(lines) + 2)
        edges.append(Edge(head, tail, tuple(group), lines, label))
    return edges


def _name(fact: Fact, names: Mapping[str, str]) -> str:
    sign = SIGNS.get(fact.status, "") if fact.status else ""
    return sign + shortened(names.get(fact.type, fact.type), LONGEST_LABEL)


def _rectangle(box: Box, radius: int) -> str:
    left, top = box.x - box.width / 2, box.y - box.height / 2
    return element(
        "rect",
        x=f"{left:.1f}",
        y=f"{top:.1f}",
        width=f"{box.width:.1f}",
        height=f"{box.height:g}",
        rx=radius,
    )


def _node(e: int, entity: Entity, title: str, box: Box) -> str:
    content = (
        element("title", escaped(entity.name))
        + _rectangle(box, 13)
        + element("text", escaped(title), x=f"{box.x:.1f}", y=f"{box.y + 4.5:.1f}")
    )
    return element("g", content, class_="node", data_e=e + 1, style=hued(entity.hue))


def _label(edge: Edge) -> str:
    box = edge.label
    content = [_rectangle(box, 4)]
    for k, (fact, name) in enumerate(zip(edge.facts, edge.names, strict=True), 1):
        y = box.y - box.height / 2 + LINE * k - 2
        content.append(
            element("text", escaped(name), class_=fact.status, x=f"{box.x:.1f}", y=f"{y:.1f}")
        )
    ends = {"data_h": edge.head + 1, "data_t": edge.tail + 1}
    return element("g", "".join(content), class_="label", **ends)


def _line(edge: Edge, head: Box, tail: Box) -> str:
    """The line from border to border, with an arrow at the tail."""
    first, second = ends_at_borders(curves_through(head, edge.label, tail), head, tail)
    _, _, (cx, cy), (x, y) = second
    length = max(((x - cx) ** 2 + (y - cy) ** 2) ** 0.5, 1e-6)
    ux, uy = 8 * (x - cx) / length, 8 * (y - cy) / length
    arrow = (x, y), (x - ux - uy / 2, y - uy + ux / 2), (x - ux + uy / 2, y - uy - ux / 2)
    best = min((fact.status for fact in edge.facts), key=_BEST_FIRST.index)
    content = element("path", d=f"M{points(first[:1])}C{points(first[1:] + second[1:])}")
    content += element("polygon", points=points(arrow))
    classes = f"edge {best}" if best else "edge"
    return element("g", content, class_=classes, data_h=edge.head + 1, data_t=edge.tail + 1)
