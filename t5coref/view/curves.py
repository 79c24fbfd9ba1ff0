"""Lines between boxes: cubic Bezier curves through the middle of a label."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from t5coref.view.layout import Box

Point = tuple[float, float]
Curve = tuple[Point, Point, Point, Point]

_STEPS = 32  # of half a curve, in which its crossing with a border is looked for


def curve_through(head: Box, label: Box, tail: Box) -> Curve:
    """The curve from the middle of head to that of tail, through label's at 1/2.

    If both ends are one box, a loop.
    """
    if head is tail:
        dx, dy = 4 / 3 * (label.x - head.x), 4 / 3 * (label.y - head.y)
        one = head.x + dx - 0.45 * dy, head.y + dy + 0.45 * dx
        two = head.x + dx + 0.45 * dy, head.y + dy - 0.45 * dx
        return (head.x, head.y), one, two, (head.x, head.y)
    # The quadratic curve through the three points, raised to a cubic one.
    cx, cy = 2 * label.x - (head.x + tail.x) / 2, 2 * label.y - (head.y + tail.y) / 2
    return (
        (head.x, head.y),
        ((head.x + 2 * cx) / 3, (head.y + 2 * cy) / 3),
        ((tail.x + 2 * cx) / 3, (tail.y + 2 * cy) / 3),
        (tail.x, tail.y),
    )


def ends_at_borders(curve: Curve, head: Box, tail: Box) -> Curve:
    """The part of a curve between two boxes in whose middles it begins and ends."""
    start = _leaves(curve, head)
    a, b, c, d = curve
    end = 1 - _leaves((d, c, b, a), tail)
    return _part(curve, start, max(end, start + 1e-3))


def points(path: Iterable[Point]) -> str:
    """Points as SVG writes them."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in path)


def _leaves(curve: Curve, box: Box) -> float:
    """Where the curve, which begins in the middle of a box, leaves it: within 0..1/2."""
    for k in range(1, _STEPS + 1):
        if not _inside(_point(curve, 0.5 * k / _STEPS), box):
            low, high = 0.5 * (k - 1) / _STEPS, 0.5 * k / _STEPS
            for _ in range(12):
                t = (low + high) / 2
                low, high = (t, high) if _inside(_point(curve, t), box) else (low, t)
            return high
    return 0.5


def _inside(point: Point, box: Box) -> bool:
    return abs(point[0] - box.x) <= box.width / 2 and abs(point[1] - box.y) <= box.height / 2


def _point(curve: Curve, t: float) -> Point:
    s = 1 - t
    weights = s * s * s, 3 * s * s * t, 3 * s * t * t, t * t * t
    x, y = (sum(w * p[axis] for w, p in zip(weights, curve, strict=True)) for axis in (0, 1))
    return x, y


def _part(curve: Curve, start: float, end: float) -> Curve:
    """The part of a curve between two parameters."""
    _, rest = _cut(curve, start)
    first, _ = _cut(rest, (end - start) / (1 - start))
    return first


def _cut(curve: Curve, t: float) -> tuple[Curve, Curve]:
    """Both parts of a curve (de Casteljau's construction)."""

    def between(row: list[Point]) -> list[Point]:
        return [((1 - t) * a + t * c, (1 - t) * b + t * d) for (a, b), (c, d) in pairwise(row)]

    lines = between(list(curve))
    middles = between(lines)
    (cut,) = between(middles)
    return (curve[0], lines[0], middles[0], cut), (cut, middles[1], lines[2], curve[3])
