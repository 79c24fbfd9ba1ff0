"""Scores of anaphora: properties on random documents, and each trap worked out by hand."""

from __future__ import annotations

import dataclasses
import itertools
import random

import pytest
from anaphora_documents import anaphoras, document
from hypothesis import given, settings
from hypothesis import strategies as st

from t5coref.core.anaphora import Anaphora, Entity, Link, Mention, Zero, text_order
from t5coref.core.anaphora_metrics import NAMES, AnaphoraScorer
from t5coref.core.anaphora_sides import COREFUD, UNIVERSAL_ANAPHORA, Scheme
from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError
from t5coref.core.mention_matching import HEAD, MATCHES, PARTIAL
from t5coref.core.metrics import score_corpus

UA = dataclasses.replace(UNIVERSAL_ANAPHORA, zeros=True)
KEEPING = dataclasses.replace(COREFUD, remove_singletons=False)
SCHEMES = [UA, COREFUD, KEEPING, *(Scheme(match=match) for match in MATCHES.values())]


def score(key, response, scheme, names=NAMES):
    scorer = AnaphoraScorer(scheme, names)
    scorer.add(key, response)
    return scorer


@pytest.mark.parametrize("scheme", SCHEMES)
@settings(max_examples=20)
@given(found=anaphoras(silent=True, links=True))
def test_a_document_agrees_with_itself(scheme, found):
    scorer = score(document(found), document(found), scheme)
    for scores in (scorer.compute(), scorer.compute_split(), scorer.compute_rest()):
        for name, (precision, recall, f1) in scores.items():
            assert precision == pytest.approx(recall), name
            assert precision == pytest.approx(f1), name
            if name not in ("conll", "zeros"):  # a mean; and zeros depend on ties of dependencies
                assert precision in (0, pytest.approx(1)), name
    counted = [m for m in found.mentions if found.entities[m.entity].referring]
    if counted and not scheme.remove_singletons:
        assert scorer.compute()["b3"].f1 == scorer.compute()["mentions"].f1 == pytest.approx(1)


@settings(max_examples=20)
@given(key=anaphoras(links=True), response=anaphoras(links=True))
def test_exchanging_the_sides_exchanges_precision_and_recall(key, response):
    scheme = Scheme(split_antecedents=True)
    names = [name for name in NAMES if name != "zeros"]
    there = score(document(key), document(response), scheme, names)
    back = score(document(response), document(key), scheme, names)
    for name, (precision, recall, f1) in there.compute().items():
        assert back.compute()[name] == pytest.approx((recall, precision, f1)), name


@pytest.mark.parametrize("scheme", [UA, KEEPING])
@settings(max_examples=20)
@given(key=anaphoras(links=True), response=anaphoras(links=True), seed=st.integers(0, 99))
def test_the_order_of_entities_does_not_matter(scheme, key, response, seed):
    rng = random.Random(seed)
    order = rng.sample(range(len(response.entities)), len(response.entities))
    number = {old: new for new, old in enumerate(order)}
    moved = dataclasses.replace(
        response,
        entities=tuple(response.entities[old] for old in order),
        mentions=tuple(dataclasses.replace(m, entity=number[m.entity]) for m in response.mentions),
        split=tuple(
            dataclasses.replace(
                link, anaphor=number[link.anaphor], antecedent=number[link.antecedent]
            )
            for link in response.split
        ),
    )
    names = ["muc", "ceafm", "lea", "blanc"]
    if scheme.split_antecedents and response.split:
        names = ["mentions"]  # which of two equally good split antecedents is mapped is open
    expected = score(document(key), document(response), scheme, names).compute()
    found = score(document(key), document(moved), scheme, names).compute()
    for name in expected:
        assert found[name] == pytest.approx(expected[name]), name


@settings(max_examples=20)
@given(sides=st.lists(st.tuples(anaphoras(), anaphoras()), max_size=2))
def test_merging_equals_one_pass(sides):
    whole, merged = AnaphoraScorer(COREFUD), AnaphoraScorer(COREFUD)
    for key, response in sides:
        whole.add(document(key), document(response))
        merged.merge(score(document(key), document(response), COREFUD, ("conll", "mentions")))
    assert merged.compute() == whole.compute()
    assert merged.documents == len(sides)


@settings(max_examples=20)
@given(key=anaphoras(fields=()), response=anaphoras(fields=()))
def test_spans_alone_score_as_in_every_other_format(key, response):
    """Where there are no zeros and no parts, exact matching is that of clusters of spans."""
    sides = []
    for found in (key, response):
        mentions = (m for m in found.mentions if len(m.parts) == 1 and m.parts[0][1] <= 8)
        found = dataclasses.replace(found, mentions=tuple(mentions), zeros=())
        sides.append(document(found))
    names = ("muc", "b3", "ceafe", "ceafm", "lea", "mentions")
    clusters = tuple(side.annotation.clusters for side in sides)
    found, expected = score(*sides, Scheme(), names).compute(), score_corpus([clusters], names)
    for name in names:
        assert found[name] == pytest.approx(expected[name]), name


# By hand: entities as lists of (parts, head), in documents of 8 words without zeros.


def hand(*entities, zeros=(), fields=("eid", "head"), **more):
    mentions = [
        Mention(e, tuple(parts), head)
        for e, cluster in enumerate(entities)
        for parts, head in cluster
    ]
    return document(
        Anaphora(
            entities=tuple(Entity(f"e{e}") for e in range(len(entities))),
            mentions=tuple(sorted(mentions, key=text_order)),
            zeros=tuple(zeros),
            fields=fields,
            **more,
        )
    )


def word(node):
    return ((node, node + 1),), node


def recall_precision(scorer, name):
    scores = scorer.compute()[name]
    return scores.recall, scores.precision


TOGETHER = ([word(0), word(1)], [word(2), word(3)], [word(4)])
"""ab, cd, and e, which is both of them where the links say so."""
BOTH = (Link(2, 0), Link(2, 1))


def ua(*entities, split=()):
    return hand(*entities, fields=(), split=tuple(split))


def test_a_split_antecedent_that_is_missed():
    found = score(ua(*TOGETHER, split=BOTH), ua(*TOGETHER), UA)
    assert recall_precision(found, "muc") == pytest.approx((2 / 3, 1))
    assert recall_precision(found, "b3") == pytest.approx((4.5 / 6, 1))
    assert recall_precision(found, "ceafm") == pytest.approx((5 / 6, 1))
    assert recall_precision(found, "ceafe") == pytest.approx(((2 + 2 / 3) / 3,) * 2)
    assert recall_precision(found, "lea") == pytest.approx((4 / 6, 4 / 5))
    assert found.compute_split()["b3"].recall == 0


def test_a_split_antecedent_that_is_found():
    found = score(ua(*TOGETHER, split=BOTH), ua(*TOGETHER, split=BOTH[::-1]), UA)
    assert {scores.f1 for scores in found.compute().values()} == {0, 1}  # 0: no zeros
    assert {scores.f1 for scores in found.compute_split().values()} == {1}


def test_a_split_antecedent_of_which_a_mention_is_missing():
    """Only ab and c: in B-cubed recall is (2 + 1/2) / 4, precision 1, of the antecedent."""
    response = ua([word(0), word(1)], [word(2)], [word(4)], split=BOTH)
    found = score(ua(*TOGETHER, split=BOTH), response, UA)
    recall, precision = 2.5 / 4, 1
    assert found.compute_split()["b3"][:2] == pytest.approx((precision, recall))
    expected = (2 + 1 / 2 + (1 + recall) ** 2 / 2) / 6, (2 + 1 + (1 + precision) ** 2 / 2) / 5
    assert recall_precision(found, "b3") == pytest.approx(expected)


def test_split_antecedents_of_split_antecedents_and_circles():
    nested = ua(*TOGETHER, [word(5)], [word(6)], split=(*BOTH, Link(3, 2), Link(3, 4)))
    flat = ua(*TOGETHER, [word(5)], [word(6)], split=(*BOTH, Link(3, 0), Link(3, 1), Link(3, 4)))
    assert score(nested, flat, UA).compute()["b3"].f1 == pytest.approx(1)
    circle = ua(*TOGETHER, split=(*BOTH, Link(0, 2)))
    assert score(circle, circle, UA).compute()["b3"].f1 == pytest.approx(1)


def test_two_names_of_the_same_entities_are_one():
    two = ua(*TOGETHER, [word(5)], split=(*BOTH, Link(3, 0), Link(3, 1)))
    one = ua(*TOGETHER[:2], [word(4), word(5)], split=BOTH)
    assert score(two, one, UA).compute()["muc"].f1 == pytest.approx(1)


def oracle(key, response, key_split, response_split):
    """B-cubed with at most one split antecedent a side, mention by mention."""

    def plain(clusters, others):
        total = weight = 0
        for cluster in clusters:
            for other in others:
                total += len(set(cluster) & set(other)) ** 2 / len(cluster)
            weight += len(cluster)
        return total / weight if weight else 0

    def side(clusters, others, own, its):
        total = weight = 0
        for c, cluster in enumerate(clusters):
            size = len(cluster) + (own is not None and own[0] == c)
            for o, other in enumerate(others):
                shared = len(set(cluster) & set(other))
                if own and its and (own[0], its[0]) == (c, o):
                    shared += plain([clusters[i] for i in own[1]], [others[i] for i in its[1]])
                total += shared**2 / size
            weight += size
        return total / weight if weight else 0

    return (
        side(key, response, key_split, response_split),
        side(response, key, response_split, key_split),
    )


@settings(max_examples=20)
@given(
    orders=st.tuples(*[st.permutations(range(8))] * 2),
    cuts=st.tuples(*[st.sets(st.integers(1, 7), min_size=2, max_size=4)] * 2),
    linked=st.tuples(st.booleans(), st.booleans()),
)
def test_split_antecedents_in_b_cubed(orders, cuts, linked):
    sides, splits = [], []
    for order, cut, link in zip(orders, cuts, linked, strict=True):
        ends = itertools.pairwise([0, *sorted(cut), 8])
        clusters = [sorted(order[a:b]) for a, b in ends]
        sides.append(clusters)
        splits.append((2, (0, 1)) if link else None)
    documents = [
        ua(*([word(w) for w in c] for c in clusters), split=BOTH if split else ())
        for clusters, split in zip(sides, splits, strict=True)
    ]
    found = score(*documents, UA, ["b3"])
    assert recall_precision(found, "b3") == pytest.approx(oracle(*sides, *splits))


def test_non_referring_expressions_are_scored_apart():
    def side(*silent):
        entities = (Entity("a"), *(Entity(f"{i}-Pseudo", None, False) for i in range(2)))
        mentions = [Mention(0, ((0, 1),)), *(Mention(1 + i, ((n, n + 1),)) for i, n in silent)]
        return document(Anaphora(entities, tuple(mentions)))

    found = score(side((0, 3), (1, 5)), side((0, 3)), UA)
    assert found.compute_rest() == {"non-referring": pytest.approx((1, 0.5, 2 / 3))}
    assert found.compute()["b3"].f1 == 1


def test_bridging_counts_anaphors_anchors_and_entities():
    def side(*pairs):
        mentions = tuple(Mention(e, ((n, n + 1),)) for n, e in enumerate((0, 0, 1, 2, 3)))
        links = tuple(Link(mentions[a].entity, mentions[b].entity, a, b, "part") for a, b in pairs)
        return document(
            Anaphora(tuple(Entity(f"e{i}") for i in range(4)), mentions, bridging=links)
        )

    key = side((2, 0), (3, 0))
    response = side((2, 1), (3, 2), (4, 0))  # another mention of it; another entity; no anaphor
    rest = score(key, response, UA).compute_rest()
    assert rest["bridging"][:2] == pytest.approx((2 / 3, 1))
    assert rest["bridging-mention"][:2] == (0, 0)
    assert rest["bridging-entity"][:2] == pytest.approx((1 / 3, 1 / 2))


ZEROS = (Zero(0, 1, 1, ("_",) * 7 + ("1:nsubj", "_")), Zero(0, 1, 2, ("_",) * 7 + ("1:obj", "_")))
SWAPPED = tuple(zero._replace(number=3 - zero.number) for zero in reversed(ZEROS))


def test_zeros_by_dependencies_and_by_place():
    """Nodes are w0, two zeros, w1, ...: the response has the zeros the other way round."""
    key = hand([word(0), word(1)], [word(3), word(2)], zeros=ZEROS)
    response = hand([word(0), word(2)], [word(3), word(1)], zeros=SWAPPED)
    assert score(key, response, COREFUD).compute()["muc"].f1 == 1
    linear = dataclasses.replace(COREFUD, zeros_by_dependencies=False)
    assert score(key, response, linear).compute()["muc"].f1 == 0
    without = dataclasses.replace(KEEPING, zeros=False)
    assert score(key, response, without).compute()["b3"].f1 == 1


def test_zeros_with_a_right_antecedent():
    key = hand([word(0), word(1)], [word(3), word(4)], zeros=ZEROS[:1])
    wrong = hand([word(0), word(4)], [word(3), word(1)], zeros=ZEROS[:1])
    assert score(key, key, COREFUD).compute()["zeros"].f1 == 1
    assert score(key, wrong, COREFUD).compute()["zeros"].f1 == 0


def test_mention_overlap():
    """Words of mentions under the best map: 2 of 3 and 1 of 1; the key has 5, the response 4."""
    key = hand([(((0, 3),), 0), (((5, 7),), 5)])
    response = hand([(((1, 4),), 1), (((6, 7),), 6)])
    assert recall_precision(score(key, response, COREFUD), "mor") == (3 / 5, 3 / 4)


def test_singletons_are_removed_before_matching():
    """A singleton of the response that has the key's head must not take its partner."""
    key = hand([(((0, 3),), 1), word(5)])
    response = hand([(((1, 3),), 1), word(5)], [(((0, 2),), 1)])
    assert score(key, response, COREFUD).compute()["muc"].f1 == 1


def test_heads_of_a_response_without_any_come_from_the_tree():
    """w0 hangs on w1 and so on: the head of a span is its last word."""
    key = hand([(((0, 3),), 2), word(5)])
    heads = {"heads": [2, 3, 4, 0, 2, 3, 0, 0], "relations": ["x"] * 8}
    key = dataclasses.replace(key, extra={**key.extra, "tree": heads})
    response = Document(
        doc_id="d",
        words=key.words,
        sentences=key.sentences,
        annotation=Annotation((((1, 3), (5, 6)),)),
    )
    assert score(key, response, COREFUD).compute()["muc"].f1 == 1
    stated = hand([(((1, 3),), 1), word(5)])
    assert score(key, stated, COREFUD).compute()["muc"].f1 == 0


def test_without_any_heads_the_first_node_is_the_head():
    key = hand([(((0, 3),), None), word(5)], fields=("GRP",))
    response = hand([(((0, 2),), None), word(5)], fields=("GRP",))
    for match in (HEAD, PARTIAL):
        found = score(key, response, dataclasses.replace(COREFUD, match=match))
        assert found.compute()["muc"].f1 == 1


def test_zeros_inside_a_mention_count_in_corefud_alone():
    def side(fields, zeros):
        end = 3 if zeros else 2
        return hand([(((0, end),), 0), word(end + 1)], zeros=zeros, fields=fields)

    for fields, expected in ((("eid", "head"), 0), ((), 1)):
        found = score(side(fields, ZEROS[:1]), side(fields, ()), Scheme())
        assert found.compute()["muc"].f1 == expected


def test_a_missing_response_has_no_clusters():
    key = hand([word(0), word(1)])
    assert score(key, None, COREFUD).compute()["muc"] == (0, 0, 0)
    (name,) = {n for n, s in score(key, None, COREFUD, ["b3"]).compute().items() if not s.f1}
    assert name == "b3"


def test_blanc_counts_links_that_either_side_has():
    """One entity of the key, two of the response: half of the score is about links apart."""
    key, response = hand([word(0), word(1), word(2)]), hand([word(0), word(1)], [word(2)])
    scores = score(key, response, KEEPING, ["blanc"]).compute()["blanc"]
    assert (scores.recall, scores.precision) == pytest.approx((1 / 6, 1 / 2))


def test_wrong_options():
    with pytest.raises(ConfigError, match="unknown metrics: bleu"):
        AnaphoraScorer(COREFUD, ["bleu"])
    with pytest.raises(ConfigError, match="none given"):
        AnaphoraScorer(COREFUD, [])
    with pytest.raises(ConfigError, match="may be singletons"):
        Scheme(remove_singletons=True, split_antecedents=True)
    with pytest.raises(ConfigError, match="scorers differ"):
        AnaphoraScorer(COREFUD).merge(AnaphoraScorer(UA))
