"""Lines between boxes: two cubic Bezier curves that meet smoothly in the middle of a label."""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

from t5coref.view.layout import Box

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]

_STEPS = 32  # of a curve, in which its crossing with a border is looked for
_BEND = 0.4  # of the way to the next point, over which a curve keeps its direction


def curves_through(head: Box, label: Box, tail: Box) -> tuple[Curve, Curve]:
    """From the middle of head to that of label, and on to that of tail.

    At the label they run the way from head to tail; if those are one box, across, as a loop.
    """
    start, middle, end = (head.x, head.y), (label.x, label.y), (tail.x, tail.y)
    along = (end[0] - start[0], end[1] - start[1])
    if head is tail:
        along = (start[1] - middle[1], middle[0] - start[0])
    scale = _BEND / (math.hypot(*along) or 1.0)
    before, after = math.dist(start, middle) * scale, math.dist(middle, end) * scale
    first = (
        start,
        _towards(start, middle),
        (middle[0] - before * along[0], middle[1] - before * along[1]),
        middle,
    )
    second = (
        middle,
        (middle[0] + after * along[0], middle[1] + after * along[1]),
        _towards(end, middle),
        end,
    )
    return first, second


def ends_at_borders(curves: tuple[Curve, Curve], head: Box, tail: Box) -> tuple[Curve, Curve]:
    """The part of the curves between the two boxes in whose middles they begin and end."""
    first, (a, b, c, d) = curves
    _, first = _cut(first, _leaves(first, head))
    _, (d, c, b, a) = _cut((d, c, b, a), _leaves((d, c, b, a), tail))
    return first, (a, b, c, d)


def points(path: Iterable[Point]) -> str:
    """Points as SVG writes them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in path)


def _towards(start: Point, end: Point) -> Point:
    return start[0] + _BEND * (end[0] - start[0]), start[1] + _BEND * (end[1] - start[1])


def _leaves(curve: Curve, box: Box) -> float:
    """Where a curve, which begins in the middle of a box, leaves it; just before its end if not."""
    for k in range(1, _STEPS):
        if not _inside(_point(curve, k / _STEPS), box):
            low, high = (k - 1) / _STEPS, k / _STEPS
            for _ in range(12):
                t = (low + high) / 2
                low, high = (t, high) if _inside(_point(curve, t), box) else (low, t)
            return high
    return 1 - 1 / _STEPS


def _inside(point: Point, box: Box) -> bool:
    return abs(point[0] - box.x) <= box.width / 2 and abs(point[1] - box.y) <= box.height / 2


def _point(curve: Curve, t: float) -> Point:
    s = 1 - t
    weights = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
    x, y = (sum(w * p[axis] for w, p in zip(weights, curve, strict=True)) for axis in (0, 1))
    return x, y


def _cut(curve: Curve, t: float) -> tuple[Curve, Curve]:
    """Both parts of a curve (de Casteljau's construction)."""

    def between(row: list[Point]) -> list[Point]:
        return [((1 - t) * a + t * c, (1 - t) * b + t * d) for (a, b), (c, d) in pairwise(row)]

    lines = between(list(curve))
    middles = between(lines)
    (cut,) = between(middles)
    return (curve[0], lines[0], middles[0], cut), (cut, middles[1], lines[2], curve[3])
