"""Places of the graph: boxes do not overlap, lines end at borders, the same again each time."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5coref.view.curves import curves_through, ends_at_borders
from t5coref.view.graph import text_width
from t5coref.view.layout import Box, place, separate

sizes = st.tuples(st.floats(10, 200), st.floats(10, 60))


@st.composite
def graphs(draw):
    n = draw(st.integers(1, 12))
    node = st.integers(0, n - 1)
    ends = draw(st.lists(st.tuples(node, node), max_size=24, unique=True))
    nodes = [draw(sizes) for _ in range(n)]
    return nodes, [(a, b, draw(sizes)) for a, b in ends]


def boxes(graph):
    nodes, edges = graph
    return [Box(*s, mass=4) for s in nodes], [(a, b, Box(*s)) for a, b, s in edges]


def overlap(a, b):
    return (
        abs(a.x - b.x) < (a.width + b.width) / 2 - 0.1
        and abs(a.y - b.y) < (a.height + b.height) / 2 - 0.1
    )


@settings(max_examples=40)
@given(graphs())
def test_no_boxes_overlap_and_all_lie_in_the_drawing(graph):
    nodes, edges = boxes(graph)
    width, height = place(nodes, edges)
    everything = nodes + [label for _, _, label in edges]
    assert not any(overlap(a, b) for a, b in itertools.combinations(everything, 2))
    for b in everything:
        assert -1e-6 <= b.x - b.width / 2 <= b.x + b.width / 2 <= width + 1e-6
        assert -1e-6 <= b.y - b.height / 2 <= b.y + b.height / 2 <= height + 1e-6


@settings(max_examples=10)
@given(graphs())
def test_the_same_graph_is_drawn_alike(graph):
    first, second = boxes(graph), boxes(graph)
    assert place(*first) == place(*second)
    assert first == second


def test_boxes_at_one_place_are_parted():
    crowd = [Box(50, 20) for _ in range(30)]
    separate(crowd)
    assert not any(overlap(a, b) for a, b in itertools.combinations(crowd, 2))


def test_neighbours_are_closer_than_what_is_far_in_the_graph():
    nodes = [Box(40, 20, mass=4) for _ in range(7)]
    place(nodes, [(i, i + 1, Box(30, 14)) for i in range(6)])

    def away(i, j):
        return math.hypot(nodes[i].x - nodes[j].x, nodes[i].y - nodes[j].y)

    assert max(away(i, i + 1) for i in range(6)) < away(0, 3) < away(0, 6)


def at_border(point, box):
    dx = abs(abs(point[0] - box.x) - box.width / 2)
    dy = abs(abs(point[1] - box.y) - box.height / 2)
    return min(dx, dy) < 0.1


def test_a_line_goes_from_border_to_border_through_its_label():
    head, label, tail = Box(60, 20, x=0, y=0), Box(40, 14, x=150, y=40), Box(80, 30, x=300, y=0)
    first, second = curves_through(head, label, tail)
    assert (first[0], first[3], second[0], second[3]) == ((0, 0), (150, 40), (150, 40), (300, 0))
    # Smooth in the middle: the controls on both sides lie on one line with it.
    (x, y), (u, v) = first[2], second[1]
    assert (x - 150) * (v - 40) == pytest.approx((u - 150) * (y - 40))
    first, second = ends_at_borders((first, second), head, tail)
    assert at_border(first[0], head)
    assert at_border(second[3], tail)
    assert first[3] == second[0] == (150, 40)


def test_a_loop_comes_back_to_its_box():
    box, label = Box(60, 20, x=10, y=100), Box(40, 14, x=10, y=60)
    first, second = curves_through(box, label, box)
    assert first[0] == second[3] == (10, 100)
    # It goes there on one side and back on the other.
    assert (first[2][0] - 10) * (second[1][0] - 10) < 0
    first, second = ends_at_borders((first, second), box, box)
    assert at_border(first[0], box)
    assert at_border(second[3], box)


def test_wide_characters_take_more_room_and_combining_ones_none():
    assert text_width("日本", 10) > text_width("ab", 10)
    assert text_width("e\u0301", 10) == text_width("e", 10)
