"""Links: taken together they are MUC's sums."""

from __future__ import annotations

import pytest
from hypothesis import given
from report_pairs import PAIRS

from t5coref.core import metrics
from t5coref.core.document import Document
from t5coref.report import English, Outcome, links
from t5coref.report.links import DISTANCES, bin_names, distance_bin


@given(PAIRS)
def test_resolved_links_are_the_recall_and_the_precision_of_muc(pair):
    document, key, response = pair
    english = English(document)
    (muc,) = metrics.muc(metrics.overlap(key, response)).ratios
    recall = links(key, response, (), english)
    precision = links(response, key, (), english)
    assert len(recall) == muc.key_total
    assert len(precision) == muc.response_total
    assert sum(link.outcome is Outcome.RESOLVED for link in recall) == muc.recall_sum
    assert sum(link.outcome is Outcome.RESOLVED for link in precision) == muc.precision_sum


def test_what_becomes_of_an_anaphor():
    document = Document(doc_id="d", words=tuple("abcdefgh"))
    key = [[(0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (5, 6)]]
    response = [[(0, 1), (1, 2)], [(2, 3), (7, 8)], [(6, 7), (3, 4)]]
    outcomes = [link.outcome for link in links(key, response, {(4, 5)}, English(document))]
    assert outcomes == [
        Outcome.RESOLVED,
        Outcome.FIRST,
        Outcome.FIRST,
        Outcome.WRONG_SPAN,
        Outcome.ABSENT,
    ]
    swapped = links([[(0, 1), (3, 4)]], [[(2, 3), (3, 4)]], (), English(document))
    assert [(link.distance, link.outcome) for link in swapped] == [(3, Outcome.WRONG_LINK)]


@pytest.mark.parametrize(
    ("distance", "name"),
    [(0, "0-3"), (3, "0-3"), (4, "4-7"), (511, "256-511"), (512, "512 and more")],
)
def test_bins(distance, name):
    assert bin_names()[distance_bin(distance)] == name
    assert len(bin_names()) == len(DISTANCES) + 1
