"""Metrics against textbook definitions written out by hand, and their invariants."""

from __future__ import annotations

import itertools
import pickle
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from t5coref.core import metrics
from t5coref.core.document import Annotation
from t5coref.core.errors import ConfigError

TOLERANCE = 1e-12


@st.composite
def partitions(draw, size: int = 6):
    """Clusters over some of `size` spans; the spans nest and cross."""
    spans = [(i, i + 1 + i % 3) for i in range(size)]
    label = draw(st.lists(st.integers(0, size - 1), min_size=size, max_size=size))
    present = draw(st.lists(st.booleans(), min_size=size, max_size=size))
    clusters: dict[int, list] = {}
    for span, cluster, is_mention in zip(spans, label, present, strict=True):
        if is_mention:
            clusters.setdefault(cluster, []).append(span)
    return list(clusters.values())


pairs = st.tuples(partitions(), partitions())


# --- Textbook definitions: sets and loops, no shared code. Each returns (recall, precision) as
# --- fractions of sums: (recall numerator, its denominator, precision numerator, its denominator).


def textbook_muc(key, response):
    def side(entities, others):
        numerator = denominator = 0
        for entity in entities:
            parts = {
                next((i for i, other in enumerate(others) if m in other), ("alone", m))
                for m in entity
            }
            numerator += len(entity) - len(parts)
            denominator += len(entity) - 1
        return numerator, denominator

    return [*side(key, response), *side(response, key)]


def textbook_b3(key, response):
    def side(entities, others):
        total = 0.0
        for entity in entities:
            for m in entity:
                other = next((set(o) for o in others if m in o), set())
                total += len(other & set(entity)) / len(entity)
        return total, sum(map(len, entities))

    return [*side(key, response), *side(response, key)]


def textbook_ceaf(similarity, self_similarity):
    def metric(key, response):
        few, many = sorted((key, response), key=len)
        best = max(
            sum(similarity(set(a), set(b)) for a, b in zip(few, chosen, strict=True))
            for chosen in itertools.permutations(many, len(few))
        )
        return [
            best,
            sum(self_similarity(set(c)) for c in key),
            best,
            sum(self_similarity(set(c)) for c in response),
        ]

    return metric


def textbook_links(clusters):
    spans = [(m, i) for i, cluster in enumerate(clusters) for m in cluster]
    together, apart = set(), set()
    for (a, i), (b, j) in itertools.combinations(spans, 2):
        (together if i == j else apart).add(frozenset((a, b)))
    return together, apart


def textbook_blanc(key, response):
    (key_c, key_n), (response_c, response_n) = textbook_links(key), textbook_links(response)
    if not key_c and not key_n:
        return 0.0, 0.0, 0.0
    scores = []
    for gold, found in ((key_c, response_c), (key_n, response_n)):
        if gold:
            common = len(gold & found)
            scores.append(prf([common, len(gold), common, len(found)]))
    return tuple(np.mean(scores, axis=0))


def textbook_lea(key, response):
    def links(entity):
        members = sorted(entity)
        if len(members) == 1:
            return {(members[0], members[0], "self")}
        return set(itertools.combinations(members, 2))

    def side(entities, others):
        other_links = set().union(*map(links, others)) if others else set()
        numerator = sum(len(e) * len(links(e) & other_links) / len(links(e)) for e in entities)
        return numerator, sum(map(len, entities))

    return [*side(key, response), *side(response, key)]


def textbook_mentions(key, response):
    gold, found = ({m for c in side for m in c} for side in (key, response))
    return [len(gold & found), len(gold), len(gold & found), len(found)]


def prf(counts):
    r, r_total, p, p_total = counts
    recall = r / r_total if r_total else 0.0
    precision = p / p_total if p_total else 0.0
    f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
    return precision, recall, f1


TEXTBOOK = {
    "muc": textbook_muc,
    "b3": textbook_b3,
    "ceafm": textbook_ceaf(lambda a, b: len(a & b), len),
    "ceafe": textbook_ceaf(lambda a, b: 2 * len(a & b) / (len(a) + len(b)), lambda a: 1),
    "lea": textbook_lea,
    "mentions": textbook_mentions,
}


@pytest.mark.parametrize("name", TEXTBOOK)
@given(documents=st.lists(pairs, max_size=3))
def test_equals_textbook_definition(name, documents):
    counts = np.sum([TEXTBOOK[name](*pair) for pair in documents] or [[0] * 4], axis=0)
    scores = metrics.score_corpus(documents, (name,))
    assert scores[name] == pytest.approx(prf(counts), abs=TOLERANCE)


@given(pairs)
def test_blanc_equals_textbook_definition(pair):
    assert metrics.score_corpus([pair], ("blanc",))["blanc"] == pytest.approx(
        textbook_blanc(*pair), abs=TOLERANCE
    )


@given(st.lists(pairs, min_size=1, max_size=3))
def test_conll_is_the_mean_of_three(documents):
    scores = metrics.score_corpus(documents)
    for field in range(3):
        mean = np.mean([scores[name][field] for name in ("muc", "b3", "ceafe")])
        assert scores["conll"][field] == pytest.approx(mean, abs=TOLERANCE)


@given(partitions())
def test_perfect_response_scores_one(key):
    scores = metrics.score_corpus([(key, key)], metrics.NAMES)
    has_links = any(len(cluster) > 1 for cluster in key)
    n_mentions = sum(map(len, key))
    assert scores["muc"].f1 == float(has_links)
    assert scores["blanc"].f1 == pytest.approx(float(n_mentions > 1), abs=TOLERANCE)
    for name in ("b3", "ceafm", "ceafe", "lea", "mentions"):
        assert scores[name] == pytest.approx([float(bool(key))] * 3, abs=TOLERANCE), name


@given(pairs, st.randoms(use_true_random=False))
def test_order_does_not_matter(pair, rng):
    def shuffled(clusters):
        return rng.sample([rng.sample(c, len(c)) for c in clusters], len(clusters))

    before = metrics.score_corpus([pair], metrics.NAMES)
    after = metrics.score_corpus([(shuffled(pair[0]), shuffled(pair[1]))], metrics.NAMES)
    for name in before:
        assert after[name] == pytest.approx(before[name], abs=TOLERANCE), name


@given(pairs)
def test_swapping_sides_swaps_precision_and_recall(pair):
    key, response = pair
    forth = metrics.score_corpus([(key, response)], metrics.NAMES)
    back = metrics.score_corpus([(response, key)], metrics.NAMES)
    if not all(map(all, map(textbook_links, pair))):
        del forth["blanc"]  # which kinds of links count depends on the key alone
    for name, (precision, recall, f1) in forth.items():
        assert back[name] == pytest.approx((recall, precision, f1), abs=TOLERANCE), name


@given(st.lists(pairs, max_size=5), st.integers(0, 5))
def test_merging_equals_one_pass(documents, cut):
    first, second = metrics.Scorer(metrics.NAMES), metrics.Scorer(metrics.NAMES)
    for i, (key, response) in enumerate(documents):
        (first if i < cut else second).add(key, response)
    first.merge(pickle.loads(pickle.dumps(second)))
    assert first.documents == len(documents)
    whole = metrics.score_corpus(documents, metrics.NAMES)
    for name, score in first.compute().items():
        assert score == pytest.approx(whole[name], abs=TOLERANCE), name


@given(pairs)
def test_remove_singletons_equals_removing_them_beforehand(pair):
    bare = tuple([c for c in side if len(set(c)) > 1] for side in pair)
    assert metrics.score_corpus([pair], metrics.NAMES, remove_singletons=True) == (
        metrics.score_corpus([bare], metrics.NAMES)
    )


@given(st.lists(st.lists(st.tuples(st.integers(0, 3), st.integers(4, 5)), max_size=4), max_size=4))
def test_repeated_spans_count_for_their_first_cluster(clusters):
    annotation = Annotation([c for c in clusters if c])
    other = [[(0, 4), (1, 4)], [(2, 5), (3, 5), (9, 10)]]
    for pair, clean in (
        ((clusters, other), (annotation.partition(), other)),
        ((other, clusters), (other, annotation.partition())),
    ):
        repeated = metrics.score_corpus([pair], metrics.NAMES)
        unique = metrics.score_corpus([clean], metrics.NAMES)
        for name in repeated:
            assert repeated[name] == pytest.approx(unique[name], abs=TOLERANCE), name


@given(pairs)
def test_alignment_by_blocks_equals_dense_alignment(pair):
    names = ("ceafm", "ceafe")
    dense = metrics.score_corpus([pair], names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrics, "DENSE_CELLS", 0)
        blocks = metrics.score_corpus([pair], names)
    for name in names:
        assert blocks[name] == pytest.approx(dense[name], abs=TOLERANCE)


@pytest.mark.parametrize("name", ["ceafm", "ceafe"])
def test_alignment_of_a_long_document(name):
    """A document past `DENSE_CELLS`, with blocks of every kind, against scipy on all clusters."""
    rng = np.random.default_rng(3)
    spans = [(i, i + 1) for i in range(2000)]
    gold = rng.integers(0, 600, len(spans))
    found = np.where(rng.random(len(spans)) < 0.1, rng.integers(0, 600, len(spans)), gold)
    key, response = (
        [[spans[i] for i in np.flatnonzero(label == c)] for c in np.unique(label)]
        for label in (gold, found)
    )
    assert len(key) * len(response) > metrics.DENSE_CELLS
    similarity = np.zeros((600, 600))
    np.add.at(similarity, (gold, found), 1)
    totals = len(spans), len(spans)
    if name == "ceafe":
        sizes = np.add.outer(similarity.sum(1), similarity.sum(0))
        similarity = 2 * similarity / np.maximum(sizes, 1)
        totals = len(key), len(response)
    common = similarity[linear_sum_assignment(similarity, maximize=True)].sum()
    expected = prf([common, totals[0], common, totals[1]])
    assert metrics.score_corpus([(key, response)], [name])[name] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("key", "response"), [([], []), ([], [[(0, 1)]]), ([[(0, 1), (2, 3)]], []), ([[]], [[], []])]
)
def test_nothing_to_divide_is_zero(key, response):
    scores = metrics.score_corpus([(key, response)], metrics.NAMES)
    assert set(scores) == set(metrics.NAMES)
    assert all(score == (0, 0, 0) for score in scores.values())


def test_empty_documents_do_not_change_a_corpus():
    pair = [[(0, 1), (2, 3)], [(5, 6)]], [[(0, 1), (2, 3), (5, 6)]]
    assert metrics.score_corpus([pair, ([], [])]) == metrics.score_corpus([pair])


@pytest.mark.parametrize(
    ("key", "response", "expected"),
    [
        # Key of one entity: coreference links only.
        ("abcdef", "abcdef", (1, 1, 1)),
        ("abcdef", "a b c d e f", (0, 0, 0)),
        ("abcdef", "ab cde f", (1, 4 / 15, 8 / 19)),
        ("abcdef", "abcxyz", (3 / 15, 3 / 15, 3 / 15)),
        ("abcdef", "a b c x y z", (0, 0, 0)),
        ("abcdef", "ab cxy z", (1 / 4, 1 / 15, 2 / 19)),
        # Key of singletons: non-coreference links only.
        ("a b c d e f", "a b c d e f", (1, 1, 1)),
        ("a b c d e f", "abcdef", (0, 0, 0)),
        ("a b c d e f", "ab cde f", (1, 11 / 15, 22 / 26)),
        ("a b c d e f", "a b c x y z", (3 / 15, 3 / 15, 3 / 15)),
        ("a b c d e f", "abcxyz", (0, 0, 0)),
        ("a b c d e f", "ab cxy z", (2 / 11, 2 / 15, 4 / 26)),
    ],
)
def test_blanc_of_keys_with_one_kind_of_links(key, response, expected):
    """The cases M and N of the CoNLL scorer's description of its tests."""
    sides = [[[(ord(m), ord(m) + 1) for m in c] for c in side.split()] for side in (key, response)]
    scores = metrics.score_corpus([tuple(sides)], ("blanc",))
    assert scores["blanc"] == pytest.approx(expected, abs=TOLERANCE)


def test_names_are_reported_in_one_order():
    pair = ([[(0, 1), (2, 3)]], [[(0, 1), (2, 3)]])
    assert tuple(metrics.score_corpus([pair])) == ("muc", "b3", "ceafe", "conll", "mentions")
    assert tuple(metrics.score_corpus([pair], ["conll"])) == ("muc", "b3", "ceafe", "conll")
    assert tuple(metrics.score_corpus([pair], ["lea", "b3"])) == ("b3", "lea")
    assert tuple(metrics.score_corpus([pair], "muc")) == ("muc",)
    assert set(metrics.NAMES) == {*metrics.METRICS, "conll"}


@pytest.mark.parametrize(("names", "told"), [(["b3", "bleu"], "bleu"), ([], "none given")])
def test_unknown_metrics_are_refused(names, told):
    with pytest.raises(ConfigError, match=f"{told}.*expected some of muc, b3"):
        metrics.Scorer(names)


def test_scorers_of_different_settings_do_not_merge():
    with pytest.raises(ConfigError, match="scorers differ"):
        metrics.Scorer(["muc"]).merge(metrics.Scorer(["b3"]))
    with pytest.raises(ConfigError, match="remove_singletons=True"):
        metrics.Scorer().merge(metrics.Scorer(remove_singletons=True))
    with pytest.raises(ConfigError, match="same metric"):
        metrics.Scorer(["muc"]).counts["muc"] + metrics.Scorer(["blanc"]).counts["blanc"]


def test_merge_leaves_the_other_scorer_alone():
    one, other = metrics.Scorer(), metrics.Scorer()
    other.add([[(0, 1), (2, 3)]], [[(0, 1), (2, 3)]])
    one.merge(other)
    one.add([[(0, 1), (2, 3)]], [])
    assert other.documents == 1
    assert other.compute()["conll"].f1 == 1
    assert one.compute()["conll"].f1 < 1


def test_scores_stay_within_bounds():
    rng = random.Random(0)
    scorer = metrics.Scorer(metrics.NAMES)
    for _ in range(200):
        spans = [(i, i + 1) for i in range(rng.randint(0, 30))]
        key, response = (
            [c for c in ([s for s in spans if rng.random() < 0.2] for _ in range(6)) if c]
            for _ in range(2)
        )
        scorer.add(key, response)
    assert all(0 <= value <= 1 for score in scorer.compute().values() for value in score)
