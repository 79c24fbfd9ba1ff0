"""Joint inference against its formula, written down pair by pair."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5coref.core.document import Annotation, Document
from t5coref.core.links import Votes, joined, linked, voted
from t5coref.core.metrics import score_corpus
from t5coref.questions import QuestionScores, Weights, clusters, tune
from t5coref.questions.inference import Evidence, best_links, matched_links
from t5coref.questions.tuning import ALPHAS, GAMMAS, TAUS, grid

GRID_POINTS = [Weights(), Weights(0.3, 2.0, 1.0), Weights(0.9, 0.0, -2.0), Weights(1.0, 1.0, 0.5)]


def normal(row):
    """Log-probabilities among the entries that are no NaN."""
    there = ~np.isnan(row)
    row = row.copy()
    row[there] -= np.log(np.exp(row[there]).sum())
    return row


def random_scores(rng, count, reach, *, singles=True, sides=("forward", "backward"), scale=3.0):
    """Answers of a model that sees `reach` mentions to each side, some of them not asked."""
    pairs = [(i, j) for j in range(count) for i in range(max(0, j - reach), j)]
    at = {pair: k for k, pair in enumerate(pairs)}
    found = {side: np.full(len(pairs), np.nan) for side in ("forward", "backward")}
    nothing = {side: np.full(count, np.nan) for side in found}
    for side in sides:
        for me in range(count):
            if count > 2 and rng.random() < 0.15:
                continue  # another window would have been asked
            if side == "forward":
                mine = [at[i, me] for i in range(count) if (i, me) in at]
            else:
                mine = [at[me, j] for j in range(count) if (me, j) in at]
            row = normal(scale * rng.standard_normal(len(mine) + 1))
            found[side][mine], nothing[side][me] = row[:-1], row[-1]
    kept = [k for k in range(len(pairs)) if not np.isnan([f[k] for f in found.values()]).all()]
    alone = rng.random(count) if singles else np.full(count, np.nan)
    return QuestionScores(
        spans=tuple((2 * k, 2 * k + 1) for k in range(count)),
        pairs=np.asarray([pairs[k] for k in kept], np.int32).reshape(-1, 2),
        forward=found["forward"][kept],
        backward=found["backward"][kept],
        nothing_before=nothing["forward"],
        nothing_behind=nothing["backward"],
        alone=alone,
        null=np.zeros(count),
    )


def clip(p):
    return min(max(p, 1e-6), 1 - 1e-6)


def formula(scores, weights):
    """{(i, j): L}, one pair at a time; pairs that no weighed question was asked about have none."""
    out = {}
    for k, (i, j) in enumerate(scores.pairs.tolist()):
        terms = []
        for weight, log_p, log_none in (
            (weights.alpha, scores.forward[k], scores.nothing_before[j]),
            (1 - weights.alpha, scores.backward[k], scores.nothing_behind[i]),
        ):
            if weight > 0 and not math.isnan(log_p):
                odds = math.log(clip(math.exp(log_p))) - math.log(clip(math.exp(log_none)))
                terms.append((weight, odds))
        if not terms:
            continue
        total = sum(w for w, _ in terms)
        value = sum(w * odds for w, odds in terms) / total
        for m in (i, j):
            if not math.isnan(scores.alone[m]):
                p = clip(scores.alone[m])
                value -= weights.gamma / 2 * math.log(p / (1 - p))
        out[i, j] = value
    return out


def by_hand(scores, weights):
    table = formula(scores, weights)
    links = []
    for j in range(len(scores.spans)):
        mine = [(value, i) for (i, later), value in table.items() if later == j]
        if mine and max(mine)[0] > weights.tau:
            links.append((max(mine)[1], j))
    return links


@pytest.mark.parametrize("weights", GRID_POINTS)
@pytest.mark.parametrize("seed", range(6))
def test_each_mention_is_linked_as_the_formula_says(seed, weights):
    scores = random_scores(np.random.default_rng(seed), 14, 5, singles=seed % 2 == 0)
    evidence = Evidence.of(scores)
    table = formula(scores, weights)
    found = evidence.weighed(weights)
    for (i, j), value in zip(scores.pairs.tolist(), found, strict=True):
        assert value == pytest.approx(table.get((i, j), -np.inf), abs=1e-9)
    assert best_links(evidence, weights) == by_hand(scores, weights)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10**6), count=st.integers(0, 12), scale=st.sampled_from([0.1, 3.0, 40.0])
)
def test_forward_answers_alone_are_plain_forward_answers(seed, count, scale):
    """Exactly: whatever the other answers are, also where probabilities are 0 or 1."""
    scores = random_scores(np.random.default_rng(seed), count, 6, scale=scale)
    plain = []
    for j in range(count):
        mine = [k for k, (_, later) in enumerate(scores.pairs.tolist()) if later == j]
        answers = {int(scores.pairs[k, 0]): scores.forward[k] for k in mine}
        answers = {i: p for i, p in answers.items() if not np.isnan(p)}
        if answers and max(answers.values()) > scores.nothing_before[j]:
            plain.append((max(answers, key=lambda i: (answers[i], i)), j))
    assert best_links(Evidence.of(scores), Weights(1.0, 0.0, 0.0)) == plain


@settings(max_examples=40)
@given(seed=st.integers(0, 10**6), count=st.integers(0, 12))
def test_backward_answers_alone_are_plain_backward_answers(seed, count):
    """Where no mention finds two later ones likelier than none, and none is found by two."""
    rng = np.random.default_rng(seed)
    scores = random_scores(rng, count, 6)
    nothing = scores.nothing_behind
    likelier = scores.backward > nothing[scores.pairs[:, 0]]
    for side in (0, 1):
        _, times = np.unique(scores.pairs[likelier, side], return_counts=True)
        if (times > 1).any():
            return
    plain = sorted((int(i), int(j)) for i, j in scores.pairs[likelier])
    found = best_links(Evidence.of(scores), Weights(0.0, 0.0, 0.0))
    assert sorted(found) == plain
    assert matched_links(Evidence.of(scores), Weights(0.0, 0.0, 0.0)) == plain


def test_backward_weights_look_at_nothing_else():
    rng = np.random.default_rng(3)
    one = random_scores(rng, 12, 5)
    changed = {
        "forward": rng.permutation(one.forward),
        "nothing_before": rng.permutation(one.nothing_before),
        "alone": rng.random(12),
    }
    other = QuestionScores(**{**vars(one), **changed})
    for weights, same in ((Weights(0.0, 0.0, 0.0), True), (Weights(), False)):
        found = [best_links(Evidence.of(scores), weights) for scores in (one, other)]
        assert (found[0] == found[1]) is same


def test_equal_evidence_links_the_nearest():
    zero = np.log(np.full(3, 0.25))
    scores = QuestionScores(
        spans=((0, 1), (1, 2), (2, 3)),
        pairs=np.asarray([(0, 1), (0, 2), (1, 2)], np.int32),
        forward=zero,
        backward=zero,
        nothing_before=np.log([1.0, 0.1, 0.1]),
        nothing_behind=np.log([0.1, 0.1, 1.0]),
        alone=np.full(3, np.nan),
        null=np.zeros(3),
    )
    assert best_links(Evidence.of(scores), Weights()) == [(0, 1), (1, 2)]
    assert best_links(Evidence.of(scores), Weights(tau=3.0)) == []


@pytest.mark.parametrize("seed", range(8))
def test_matching_is_the_best_of_all_matchings(seed):
    weights = Weights(0.6, 0.25, -0.5)
    scores = random_scores(np.random.default_rng(seed), 6, 3)
    table = {p: v - weights.tau for p, v in formula(scores, weights).items() if v > weights.tau}

    def total(links):
        return sum(table[p] for p in links)

    possible = [
        links
        for size in range(min(len(table), 5) + 1)
        for links in itertools.combinations(table, size)
        if len({i for i, _ in links}) == len({j for _, j in links}) == len(links)
    ]
    found = matched_links(Evidence.of(scores), weights)
    assert len({i for i, _ in found}) == len({j for _, j in found}) == len(found)
    assert total(found) == pytest.approx(max(map(total, possible)))


def test_a_matching_splits_what_two_mentions_claim():
    evidence = Evidence(
        np.asarray([(0, 1), (0, 2)], np.int32), np.asarray([2.0, 3.0]), np.full(2, np.nan),
        np.zeros(2),
    )  # fmt: skip
    assert best_links(evidence, Weights(1.0, 0.0, 0.0)) == [(0, 1), (0, 2)]
    assert matched_links(evidence, Weights(1.0, 0.0, 0.0)) == [(0, 2)]


def test_links_join_mentions():
    assert joined(6, [(0, 3), (3, 4), (1, 2)]) == [[0, 3, 4], [1, 2], [5]]
    spans = [(k, k + 1) for k in range(6)]
    found = linked(spans, [(0, 3)], no_mentions=[0, 1])
    assert found.clusters == (((0, 1), (3, 4)), ((2, 3),), ((4, 5),), ((5, 6),))
    assert linked(spans, [(0, 3)], min_mentions=2).clusters == (((0, 1), (3, 4)),)


@pytest.mark.parametrize(
    ("forward", "backward", "alone", "expected"),
    [
        ({1: 0}, {}, (), [(0, 1)]),
        ({}, {0: 1}, (), [(0, 1)]),
        ({}, {0: 1}, (0,), []),
        ({1: 0}, {}, (0,), [(0, 1)]),
        ({1: 0}, {}, (0, 1), []),
        ({1: 0}, {0: 1}, (0, 1), [(0, 1)]),
        ({2: 0}, {1: 2}, (), [(0, 2), (1, 2)]),
    ],
)
def test_votes(forward, backward, alone, expected):
    assert voted(forward, backward, alone) == expected


def test_votes_may_count_otherwise():
    assert voted({1: 0}, {}, (), Votes(forward=0.2, backward=0.8)) == []
    assert voted({}, {0: 1}, (), Votes(forward=0.2, backward=0.8, threshold=0.9)) == []


def gold_like(rng, count):
    """Documents and answers that are often right."""
    out = []
    for _ in range(count):
        scores = random_scores(rng, 12, 6, scale=1.5)
        labels = rng.integers(0, 4, 12)
        members = [np.flatnonzero(labels == k).tolist() for k in range(4)]
        gold = tuple(tuple(scores.spans[m] for m in c) for c in members if c)
        better = {k: v.copy() for k, v in vars(scores).items() if k in ("forward", "backward")}
        for k, (i, j) in enumerate(scores.pairs.tolist()):
            if labels[i] == labels[j]:
                better["forward"][k] += 1.5
                better["backward"][k] += 0.5
        document = Document(
            doc_id="d", words=("w",) * 24, sentences=((0, 24),), annotation=Annotation(gold)
        )
        out.append((document, QuestionScores(**{**vars(scores), **better})))
    return zip(*out, strict=True)


def test_the_grid_is_that_of_the_specification_in_order_of_preference():
    points = list(grid())
    assert len(points) == len(set(points)) == 11 * 5 * 13
    assert list(ALPHAS) == [k / 10 for k in range(11)]
    assert GAMMAS == (0, 0.25, 0.5, 1, 2)
    assert sorted(TAUS) == pytest.approx(np.arange(-3, 3.5, 0.5))
    assert points[0] == (1.0, 0.0, 0.0)
    assert points[1:3] == [(1.0, 0.0, 0.5), (1.0, 0.0, -0.5)]
    assert points[13] == (1.0, 0.25, 0.0)
    assert points[65] == (0.9, 0.0, 0.0)


def test_search_finds_the_best_weights_of_the_grid():
    documents, scores = map(list, gold_like(np.random.default_rng(0), 2))

    def f1(weights):
        pairs = [
            (d.annotation.clusters, clusters(s, weights).clusters)
            for d, s in zip(documents, scores, strict=True)
        ]
        return score_corpus(pairs, ("conll",))["conll"].f1

    told = []
    found = tune(documents, scores, start=Weights(), listener=told.append)
    every = {w: f1(w) for w in grid()}
    best = max(every.values())
    assert found.score == pytest.approx(best)
    assert found.before == pytest.approx(f1(Weights()))
    assert found.score > found.before
    first = next(w for w, score in every.items() if score == pytest.approx(best, abs=1e-12))
    assert found.weights == first
    assert told == list(range(1, len(every) + 1)) == list(range(1, found.tried + 1))


def test_of_equal_scores_the_preferred_weights_win():
    """Nothing tells weights apart where no pair was asked about."""
    documents, scores = map(list, gold_like(np.random.default_rng(1), 1))
    unasked = {"pairs": np.zeros((0, 2), np.int32), "forward": np.zeros(0), "backward": np.zeros(0)}
    scores = [QuestionScores(**{**vars(s), **unasked}) for s in scores]
    assert tune(documents, scores, start=Weights()).weights == (1.0, 0.0, 0.0)


def test_what_is_likelier_no_mention_is_left_out_alone():
    scores = random_scores(np.random.default_rng(0), 3, 2)
    sure = QuestionScores(
        **{
            **vars(scores),
            "forward": np.full(len(scores.pairs), -9.0),
            "backward": np.full(len(scores.pairs), -9.0),
            "nothing_before": np.zeros(3),
            "nothing_behind": np.zeros(3),
            "alone": np.asarray([0.9, 0.9, 0.2]),
            "null": np.asarray([0.6, 0.2, 0.05]),
        }
    )
    assert clusters(sure, Weights()).clusters == (((2, 3),), ((4, 5),))
