"""Places for the boxes of a graph, found when the page is written: no two overlap.

Stress majorization (Gansner, Koren and North, 2004, "Graph Drawing by Stress Majorization", eq. 4
with weights d^-2, one node at a time) makes distances on the paper follow distances in the graph;
then boxes that overlap push each other apart. The same graph is always drawn alike.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass

ROUNDS = 60
HOMING = (1.0, 0.6, 0.4)
"""How far labels go back to their edges between rounds in which boxes push each other away."""
GAP = 14.0  # pixels that boxes keep from each other
STRETCH = 1.2  # boxes are wide, so that the same room needs more width than height


@dataclass(slots=True)
class Box:
    """A box with its middle at (x, y); light ones give way to heavy ones."""

    width: float
    height: float
    mass: float = 1.0
    x: float = 0.0
    y: float = 0.0


def place(nodes: Sequence[Box], edges: Sequence[tuple[int, int, Box]]) -> tuple[float, float]:
    """Places nodes, and for each edge (two different nodes, or one twice) its label.

    Returns:
      Width and height of the drawing, whose corner is (0, 0).
    """
    drawings = []
    for members in _components(len(nodes), edges):
        inside = set(members)
        here = [edge for edge in edges if edge[0] in inside]
        _stress(nodes, members, here)
        boxes = [nodes[i] for i in members] + [label for _, _, label in here]
        for share in HOMING:
            _move_labels(nodes, here, share)
            separate(boxes)
        drawings.append(boxes)
    return _packed(drawings)


def _components(n: int, edges: Sequence[tuple[int, int, Box]]) -> list[list[int]]:
    neighbours: list[set[int]] = [set() for _ in range(n)]
    for a, b, _ in edges:
        neighbours[a].add(b)
        neighbours[b].add(a)
    found, seen = [], set()
    for first in range(n):
        if first in seen:
            continue
        members, todo = [], [first]
        seen.add(first)
        while todo:
            i = todo.pop()
            members.append(i)
            fresh = neighbours[i] - seen
            seen |= fresh
            todo.extend(sorted(fresh))
        found.append(sorted(members))
    return found


def _distances(
    nodes: Sequence[Box], members: Sequence[int], edges: Sequence[tuple[int, int, Box]]
) -> list[list[float]]:
    """Ideal distances `[n, n]`: shortest paths over edges that are as long as their boxes need."""
    at = {node: k for k, node in enumerate(members)}
    near: list[dict[int, float]] = [{} for _ in members]
    degree = [0] * len(members)
    for a, b, _ in edges:
        degree[at[a]] += 1
        degree[at[b]] += 1
    # Many edges to a node need more room for their labels than those of a tree.
    crowded = 1 + 0.08 * max(0.0, len(edges) / len(members) - 1.5)
    for a, b, label in edges:
        i, j = at[a], at[b]
        if i == j:
            continue
        room = (nodes[a].width + nodes[b].width) / (2 * STRETCH) + 0.4 * label.width / STRETCH + GAP
        # A node with many neighbours needs a wider circle for them.
        length = crowded * room * (1 + 0.02 * max(degree[i], degree[j]))
        near[i][j] = near[j][i] = max(length, near[i].get(j, 0.0))
    out = []
    for i in range(len(members)):
        away = [math.inf] * len(members)
        away[i] = 0.0
        heap = [(0.0, i)]
        while heap:
            d, j = heapq.heappop(heap)
            if d > away[j]:
                continue
            for k, step in near[j].items():
                if d + step < away[k]:
                    away[k] = d + step
                    heapq.heappush(heap, (away[k], k))
        out.append(away)
    return out


def _stress(
    nodes: Sequence[Box], members: Sequence[int], edges: Sequence[tuple[int, int, Box]]
) -> None:
    n = len(members)
    ideal = _distances(nodes, members, edges)
    far = max(range(n), key=lambda j: ideal[0][j])
    other = max(range(n), key=lambda j: ideal[far][j])
    third = max(range(n), key=lambda j: min(ideal[far][j], ideal[other][j]))
    xs = [ideal[far][i] - ideal[other][i] for i in range(n)]
    # Turned a little each, so that equal distances do not start at one place.
    ys = [ideal[third][i] * (1 if i % 2 else -1) + 7 * math.sin(2.4 * i) for i in range(n)]
    for _ in range(ROUNDS if n > 1 else 0):
        for i in range(n):
            xi, yi, row = xs[i], ys[i], ideal[i]
            x = y = total = 0.0
            for j in range(n):
                if j == i:
                    continue
                d = row[j]
                weight = 1 / (d * d)
                dx, dy = xi - xs[j], yi - ys[j]
                scale = d / (math.hypot(dx, dy) or 1e-9)
                x += weight * (xs[j] + dx * scale)
                y += weight * (ys[j] + dy * scale)
                total += weight
            xs[i], ys[i] = x / total, y / total
    for k, i in enumerate(members):
        nodes[i].x, nodes[i].y = STRETCH * xs[k], ys[k]


def _move_labels(nodes: Sequence[Box], edges: Sequence[tuple[int, int, Box]], share: float) -> None:
    """Moves labels a share of the way to the middle of their edge, a little left of it."""
    for a, b, label in edges:
        one, two = nodes[a], nodes[b]
        if a == b:
            x, y = one.x, one.y - one.height / 2 - GAP - label.height
        else:
            dx, dy = two.x - one.x, two.y - one.y
            aside = 0.6 * label.height / (math.hypot(dx, dy) or 1.0)
            x = (one.x + two.x) / 2 - aside * dy
            y = (one.y + two.y) / 2 + aside * dx
        label.x += share * (x - label.x)
        label.y += share * (y - label.y)


def separate(boxes: Sequence[Box]) -> None:
    """Moves boxes until none overlap, each along the axis on which less is needed.

    Where pushing alone gets stuck, everything moves away from the middle a little first; so it
    ends.
    """
    while True:
        for _ in range(40):
            if not _push(boxes):
                return
        middle_x = sum(b.x for b in boxes) / len(boxes)
        middle_y = sum(b.y for b in boxes) / len(boxes)
        for k, b in enumerate(boxes):
            # The turn parts boxes that lie at one place, where growing alone could not.
            b.x += 0.15 * (b.x - middle_x) + math.cos(2.4 * k)
            b.y += 0.15 * (b.y - middle_y) + math.sin(2.4 * k)


def _push(boxes: Sequence[Box]) -> bool:
    moved = False
    for k, a in enumerate(boxes):
        for b in boxes[k + 1 :]:
            deep_x = (a.width + b.width) / 2 + GAP - abs(a.x - b.x)
            if deep_x <= 0.01:
                continue
            deep_y = (a.height + b.height) / 2 + GAP / 2 - abs(a.y - b.y)
            if deep_y <= 0.01:
                continue
            moved = True
            share = b.mass / (a.mass + b.mass)  # of the way that a goes
            if deep_x < deep_y:
                step = math.copysign(deep_x, a.x - b.x)
                a.x += share * step
                b.x -= (1 - share) * step
            else:
                step = math.copysign(deep_y, a.y - b.y)
                a.y += share * step
                b.y -= (1 - share) * step
    return moved


def _packed(drawings: Sequence[Sequence[Box]]) -> tuple[float, float]:
    """Moves drawings side by side, in rows, the largest first."""
    sized = []
    for boxes in drawings:
        left = min(b.x - b.width / 2 for b in boxes)
        top = min(b.y - b.height / 2 for b in boxes)
        width = max(b.x + b.width / 2 for b in boxes) - left
        height = max(b.y + b.height / 2 for b in boxes) - top
        sized.append((width, height, left, top, boxes))
    sized.sort(key=lambda drawing: -drawing[0] * drawing[1])
    area = sum((w + 3 * GAP) * (h + 3 * GAP) for w, h, *_ in sized)
    widest = max([math.sqrt(1.8 * area), *(w for w, *_ in sized)])
    x = y = row = right = 0.0
    for width, height, left, top, boxes in sized:
        if x and x + width > widest:
            x, y, row = 0.0, y + row + 3 * GAP, 0.0
        for b in boxes:
            b.x += x - left
            b.y += y - top
        x += width + 3 * GAP
        right, row = max(right, x - 3 * GAP), max(row, height)
    return right, y + row
