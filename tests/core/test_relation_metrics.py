"""Relation scores: worked examples, the official scripts rewritten, and invariances."""

from __future__ import annotations

import itertools
import json
import pickle
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5coref.core.document import Annotation, Document, Relation
from t5coref.core.entities import Catalogue, entities, facts, left_out
from t5coref.core.errors import ConfigError, DocumentError
from t5coref.core.metrics import PRF
from t5coref.core.relation_metrics import NAMES, RelationScorer, train_facts
from t5coref.corpora import docred

WORDS = tuple("abcdefghij")


def document(annotation, doc_id="d", words=WORDS, **extra):
    return Document(doc_id=doc_id, words=words, annotation=annotation, extra=extra)


def clusters(*groups):
    """Clusters of one-word mentions, given by their words' letters."""
    return tuple(tuple((WORDS.index(w), WORDS.index(w) + 1) for w in group) for group in groups)


def score(gold, predicted, known=None):
    scorer = RelationScorer(known)
    scorer.add(gold if isinstance(gold, Document) else document(gold), predicted)
    return scorer.compute()


# Clusters: A14.1, A14.2 and the unit tests of DWIE's scorer


def test_coref_is_the_mean_of_three_f1_scores_with_singletons():
    scores = score(Annotation(clusters("ab", "c", "d")), Annotation(clusters("abc", "d")))
    assert scores["mentions"] == (1, 1, 1)
    assert scores["coref"].f1 == pytest.approx((2 / 3 + 0.8 + 0.72) / 3)
    assert scores["coref"].f1 == pytest.approx(0.728889, abs=1e-6)


def test_nothing_but_singletons_has_no_links():
    scores = score(Annotation(clusters("a", "b", "c")), Annotation(clusters("a", "b", "d")))
    assert scores["coref"].f1 == pytest.approx(4 / 9)
    same = Annotation(clusters("a", "b", "c"))
    assert score(same, same)["coref"].f1 == pytest.approx(2 / 3)


DWIE_CLUSTERS = [
    # scenario, prediction, precision and recall of B-cubed, precision and recall of CEAF-e
    ("1", "1", 1, 2 / 3, 1, 1 / 2),
    ("2", "2", 1, (2 / 3 + 2 / 3 + 1) / 5, (4 / 5 + 1) / 2, (4 / 5 + 1) / 3),
    ("3", "3_a", (5 + 4 / 7 + 25 / 7) / 12, 1, (1 + 10 / 12) / 2, (1 + 10 / 12) / 3),
    ("3", "3_b", (50 / 10 + 2) / 12, 1, (10 / 15 + 1) / 2, (10 / 15 + 1) / 3),
    ("3", "3_c", (25 + 4 + 25) / 12 / 12, 1, 10 / 17, 10 / 17 / 3),
    ("3", "3_d", 1, (1 + 1 + 1) / 12, (2 / 6 + 2 / 3 + 2 / 6) / 12, (2 / 6 + 2 / 3 + 2 / 6) / 3),
    ("4", "4", (4 / 3 + 1 / 3 + 4 / 3) / 7, 1, (4 / 5 + 4 / 5) / 3, (4 / 5 + 4 / 5) / 3),
]


@pytest.fixture(scope="session")
def dwie(shared):
    """Reads a file of DWIE's scorer tests, whose mentions are closed word spans."""
    folder = shared / "data" / "dwie" / "scorer_tests" / "data"
    if not folder.is_dir():
        pytest.skip(f"no scorer tests in {folder}")

    def read(name):
        value = json.loads((folder / f"{name}.json").read_text("utf-8"))
        spans = {}
        for m in value["mentions"]:
            spans.setdefault(m["concept"], []).append((m["begin"], m["end"] + 1))
        number = {concept: i for i, concept in enumerate(spans)}
        return Annotation(
            tuple(map(tuple, spans.values())),
            tuple(Relation(number[r["s"]], number[r["o"]], r["p"]) for r in value["relations"]),
        )

    return read


def of_dwie(gold, predicted):
    return score(document(gold, words=("w",) * 40), predicted)


@pytest.mark.parametrize(("key", "response", "b3_p", "b3_r", "ceaf_p", "ceaf_r"), DWIE_CLUSTERS)
def test_clusters_of_dwies_scorer(dwie, key, response, b3_p, b3_r, ceaf_p, ceaf_r):
    gold = dwie(f"cluster/tests_cluster_gold_scenario{key}")
    predicted = dwie(f"cluster/tests_cluster_pred_scenario{response}")
    scorer = RelationScorer()
    scorer.add(document(gold, words=("w",) * 40), predicted)
    parts = scorer.clusters.compute()
    assert parts["b3"][:2] == pytest.approx((b3_p, b3_r))
    assert parts["ceafe"][:2] == pytest.approx((ceaf_p, ceaf_r))
    mean = sum(parts[name].f1 for name in ("muc", "b3", "ceafe")) / 3
    assert scorer.compute()["coref"].f1 == pytest.approx(mean)


@pytest.mark.parametrize(
    ("response", "right", "wrong", "missed"),
    [
        ("scenario1", 1, 0, 1),
        ("scenario2", 1, 0, 1),
        ("scenario3", 0, 2, 2),
        ("scenario3b", 0, 3, 2),
        ("mention_based_01", 0, 3, 2),
    ],
)
def test_relations_of_dwies_scorer(dwie, response, right, wrong, missed):
    gold, predicted = dwie("tests_rel_gold"), dwie(f"tests_rel_pred_{response}")
    scorer = RelationScorer()
    scorer.add(document(gold, words=("w",) * 40), predicted)
    assert (scorer.correct, scorer.submitted, scorer.gold) == (right, right + wrong, right + missed)
    assert of_dwie(gold, gold)["re"] == (1, 1, 1)


@pytest.mark.parametrize(
    ("key", "response", "shared_mentions", "key_mentions", "response_mentions"),
    [("", "scenario3", 10, 10, 10), ("_b", "scenario3_b", 9, 10, 9), ("_c", "", 4, 4, 4)],
)
def test_mentions_of_dwies_scorer(
    dwie, key, response, shared_mentions, key_mentions, response_mentions
):
    name = f"tests_ner_pred_{response}" if response else "tests_ner_pred_c_scen1"
    found = of_dwie(dwie(f"tests_ner_gold{key}"), dwie(name))["mentions"]
    assert found[:2] == (shared_mentions / response_mentions, shared_mentions / key_mentions)


# Relations


def test_entities_must_match_mention_for_mention_and_types_exactly():
    gold = Annotation(clusters("ab", "c", "d"), (Relation(0, 1, "r"), Relation(2, 0, "r")))
    shuffled = Annotation(clusters("d", "c", "ba"), (Relation(2, 1, "r"), Relation(0, 2, "r")))
    assert score(gold, shuffled)["re"] == (1, 1, 1)
    wrong = [
        Annotation(clusters("a", "c"), (Relation(0, 1, "r"),)),
        Annotation(clusters("ab", "c"), (Relation(1, 0, "r"),)),
        Annotation(clusters("ab", "c"), (Relation(0, 1, "s"),)),
        Annotation(clusters("abc"), (Relation(0, 0, "r"),)),
    ]
    for predicted in wrong:
        assert score(gold, predicted)["re"] == (0, 0, 0)
    half = Annotation(clusters("ab", "cd"), (Relation(0, 1, "r"),))
    assert score(half, Annotation(clusters("ab", "cd"), half.relations))["re"].f1 == 1


def test_a_relation_counts_once():
    gold = Annotation(clusters("a", "b"), (Relation(0, 1, "r"),) * 2)
    twice = Annotation(clusters("a", "b", "a"), (Relation(0, 1, "r"), Relation(2, 1, "r")))
    scorer = RelationScorer()
    scorer.add(document(gold), twice)
    assert (scorer.correct, scorer.submitted, scorer.gold) == (1, 1, 1)


def test_nothing_to_divide_is_zero():
    empty, zero = Annotation(), PRF(0, 0, 0)
    assert RelationScorer(frozenset()).compute() == dict.fromkeys(NAMES[:4], zero)
    assert score(empty, empty) == dict.fromkeys(NAMES[:3], zero)
    related = Annotation(clusters("a", "b"), (Relation(0, 1, "r"),))
    assert score(related, empty)["re"] == zero
    assert score(empty, related)["re"] == zero


def test_counts_are_added_before_they_are_divided():
    one = Annotation(clusters("a", "b"), (Relation(0, 1, "r"),))
    three = Annotation(
        clusters("a", "b"), (Relation(0, 1, "r"), Relation(0, 1, "s"), Relation(1, 0, "r"))
    )
    scorer = RelationScorer()
    scorer.add(document(one), one)
    scorer.add(document(three, "e"), Annotation(three.clusters))
    assert scorer.compute()["re"] == (1, 1 / 4, pytest.approx(0.4))


def test_gold_without_annotation_is_refused():
    with pytest.raises(DocumentError, match="document 'd' has no annotation; expected gold"):
        RelationScorer().add(document(None), Annotation())


def test_documents_that_say_nothing_of_relations():
    gold = Annotation(clusters("a", "b"), (Relation(0, 1, "r"),))
    silent = document(Annotation(gold.clusters), relations_unknown=True)
    scorer = RelationScorer(frozenset())
    scorer.add(silent, gold)
    assert set(scorer.compute()) == {"mentions", "coref"}
    scorer.add(document(gold, "e"), gold)
    assert scorer.compute()["re"] == (1, 1, 1)
    assert (scorer.documents, scorer.clusters.documents) == (1, 2)


# Ign: A14.4


GOLD = Annotation(
    clusters("a", "b", "c"), (Relation(0, 1, "r"), Relation(1, 2, "r"), Relation(0, 2, "r"))
)


def named(*names):
    """Entities of GOLD with these names."""
    return [
        {"mentions": [list(span) for span in cluster], "names": [name] * len(cluster)}
        for cluster, name in zip(GOLD.clusters, names, strict=True)
    ]


def test_ign_leaves_right_relations_of_training_out_of_precision_alone():
    gold = document(GOLD, entities=named("Ann", "Bo", "Cy"))
    wrong = Relation(2, 0, "r")
    predicted = Annotation(GOLD.clusters, (*GOLD.relations[:2], wrong))
    scores = score(gold, predicted, frozenset({("Ann", "Bo", "r"), ("Cy", "Ann", "r")}))
    assert scores["re"][:2] == (2 / 3, 2 / 3)
    assert scores["ign"] == pytest.approx((1 / 2, 2 / 3, 4 / 7))
    # A wrong relation counts, even if training states it for these names.
    other = score(gold, predicted, frozenset({("Cy", "Ann", "r")}))
    assert other["ign"] == other["re"]


def test_ign_is_zero_where_training_states_all_that_is_right():
    """The official script divides by zero where nothing wrong is left either."""
    gold = document(GOLD, entities=named("Ann", "Bo", "Cy"))
    known = train_facts([gold])
    assert known == {("Ann", "Bo", "r"), ("Bo", "Cy", "r"), ("Ann", "Cy", "r")}
    assert score(gold, GOLD, known)["ign"] == (0, 1, 0)
    wrong = Annotation(GOLD.clusters, (*GOLD.relations, Relation(2, 0, "r")))
    assert score(gold, wrong, known)["ign"] == (0, 1, 0)


def test_any_pair_of_names_makes_a_fact_known():
    two = Annotation(clusters("ab", "c"), (Relation(0, 1, "r"),))
    gold = document(
        two,
        entities=[
            {"mentions": [[0, 1], [1, 2]], "names": ["Ann", "her"]},
            {"mentions": [[2, 3]], "names": ["Bo"]},
        ],
    )
    assert set(facts(gold)) == {("Ann", "Bo", "r"), ("her", "Bo", "r")}
    for fact in facts(gold):
        assert score(gold, two, frozenset({fact}))["ign"].precision == 0
    for fact in [("Ann", "Bo", "s"), ("Bo", "Ann", "r"), ("a", "c", "r")]:
        assert score(gold, two, frozenset({fact}))["ign"].precision == 1


def test_without_names_the_text_is_the_name():
    assert set(facts(document(GOLD))) == {("a", "b", "r"), ("b", "c", "r"), ("a", "c", "r")}
    assert score(GOLD, GOLD, frozenset({("a", "b", "r")}))["ign"].precision == 1
    assert score(GOLD, GOLD, frozenset({("a", "b", "r")}))["ign"] == (1, 1, 1)
    changed = document(GOLD, entities=[{"mentions": [[7, 8]], "names": ["Zoe"]}])
    assert set(facts(changed)) == set(facts(document(GOLD)))


def test_left_out_relations_are_facts_and_count_as_missed():
    gold = document(
        Annotation(clusters("a", "b"), (Relation(0, 1, "r"),)),
        entities=[
            {"mentions": [], "names": []},
            {"mentions": [[0, 1]], "names": ["Ann"]},
            {"mentions": [[1, 2]], "names": ["Bo"]},
        ],
        left_out=[
            {"head": 0, "tail": 1, "type": "r"},
            {"head": 2, "tail": 2, "type": "s"},
            {"head": 2, "tail": 2, "type": "s"},
        ],
    )
    assert set(facts(gold)) == {("Ann", "Bo", "r"), ("Bo", "Bo", "s")}
    scores = score(gold, gold.annotation)
    assert scores["re"] == (1, 1, 1)
    assert scores["re_official"] == (1, 1 / 3, 1 / 2)
    assert list(scores) == ["mentions", "coref", "re", "re_official"]
    assert list(score(gold, gold.annotation, frozenset())) == list(NAMES)
    assert "re_official" not in score(document(gold.annotation), gold.annotation)


# Entities in `extra`


def test_shared_spans_belong_to_the_first_entity_and_whole_sets_are_found():
    gold = document(
        Annotation(clusters("a", "b")),
        entities=[
            {"mentions": [[0, 1]], "names": ["Ann"]},
            {"mentions": [[0, 1], [1, 2]], "names": ["Ann", "Bo"]},
            {"mentions": [[1, 2]], "names": ["Bo"]},
        ],
    )
    catalogue = Catalogue(gold)
    assert [catalogue.number(c) for c in clusters("a", "b", "ab", "c")] == [0, 1, 1, None]
    assert catalogue.names(clusters("b")[0]) == {"Ann", "Bo"}
    assert catalogue.names(clusters("cd")[0]) == {"c", "d"}


@pytest.mark.parametrize(
    "stored",
    [3, [3], [{"mentions": [[0, 1]]}], [{"mentions": [[0, 1]], "names": []}],
     [{"mentions": [[0]], "names": ["x"]}], [{"mentions": [[0, 1]], "names": [1]}]],
)  # fmt: skip
def test_entities_in_another_form(stored):
    with pytest.raises(DocumentError, match="document 'd': extra has 'entities' in another form"):
        entities(document(Annotation(), entities=stored))


@pytest.mark.parametrize(
    "stored", [3, [3], [{"head": 0, "tail": 1}], [{"head": 0, "tail": 9, "type": "r"}]]
)
def test_left_out_relations_in_another_form(stored):
    with pytest.raises(DocumentError, match=r"document 'd': extra has 'left_out' = .*0\.\.2"):
        left_out(document(GOLD, left_out=stored))


# Properties


TYPES = ("r", "s")


@st.composite
def annotations(draw, most=5):
    """Disjoint clusters of words, and relations between any of them."""
    group = draw(st.lists(st.integers(0, most), min_size=len(WORDS), max_size=len(WORDS)))
    members = [tuple((i, i + 1) for i, g in enumerate(group) if g == k) for k in range(1, most + 1)]
    found = tuple(cluster for cluster in members if cluster)
    n = len(found)
    ends = st.integers(0, n - 1)
    relation = st.builds(Relation, ends, ends, st.sampled_from(TYPES))
    return Annotation(found, tuple(draw(st.lists(relation, max_size=8))) if n else ())


def permuted(annotation, seed):
    """The same annotation with clusters and relations in another order."""
    rng = random.Random(seed)
    order = list(range(len(annotation.clusters)))
    rng.shuffle(order)
    at = {old: new for new, old in enumerate(order)}
    relations = [Relation(at[r.head], at[r.tail], r.type) for r in annotation.relations]
    rng.shuffle(relations)
    return Annotation(tuple(annotation.clusters[i] for i in order), tuple(relations))


@given(annotations(), annotations(), st.integers(0, 99))
def test_order_does_not_matter_and_sides_exchange(gold, predicted, seed):
    scores = score(gold, predicted)
    for name, found in score(permuted(gold, seed), permuted(predicted, seed + 1)).items():
        assert found == pytest.approx(scores[name])
    for name, found in score(predicted, gold).items():
        assert found == pytest.approx(
            (scores[name].recall, scores[name].precision, scores[name].f1)
        )


@given(annotations())
def test_gold_scores_one(gold):
    scores = score(gold, gold)
    assert scores["mentions"] == ((1, 1, 1) if gold.clusters else (0, 0, 0))
    assert scores["re"] == ((1, 1, 1) if gold.relations else (0, 0, 0))
    if any(len(cluster) > 1 for cluster in gold.clusters):
        assert scores["coref"] == pytest.approx((1, 1, 1))


@given(st.lists(st.tuples(annotations(), annotations()), max_size=4), st.integers(0, 4))
def test_merging_is_adding(pairs, cut):
    known = frozenset({("a", "b", "r"), ("c", "d", "s")})
    whole, first, second = (RelationScorer(known) for _ in range(3))
    for i, (gold, predicted) in enumerate(pairs):
        whole.add(document(gold), predicted)
        (first if i < cut else second).add(document(gold), predicted)
    second = pickle.loads(pickle.dumps(second))
    first.merge(second)
    assert first.compute() == {k: pytest.approx(v) for k, v in whole.compute().items()}
    with pytest.raises(ConfigError, match="scorers differ in their training facts"):
        first.merge(RelationScorer())


def official(truth, rows, known):
    """DocRED's evaluation script, rewritten: F1 and Ign F1 of a submission."""
    vertices = {value["title"]: value["vertexSet"] for value in truth}
    right = {(v["title"], x["h"], x["t"], x["r"]) for v in truth for x in v["labels"]}
    submitted = {(row["title"], row["h_idx"], row["t_idx"], row["r"]) for row in rows}
    correct = [row for row in submitted if row in right]
    stated = 0
    for title, head, tail, type_ in correct:
        pairs = itertools.product(vertices[title][head], vertices[title][tail])
        stated += any((h["name"], t["name"], type_) in known for h, t in pairs)

    def f1(precision_of, correct_of):
        precision = correct_of / precision_of if precision_of else 0.0
        recall = len(correct) / len(right) if right else 0.0
        both = precision + recall
        return 2 * precision * recall / both if both else 0.0

    return f1(len(submitted), len(correct)), f1(len(submitted) - stated, len(correct) - stated)


@given(
    st.lists(st.tuples(annotations(), annotations(), st.floats(0, 1)), max_size=3),
    annotations(),
    st.randoms(use_true_random=False),
)
def test_scores_are_those_of_docreds_script(tmp_path_factory, cases, training, rng):
    """From our documents through its file formats: names of several mentions, repeated rows."""
    truth, pairs = [], []
    known = train_facts([document(training)])
    for i, (gold, other, share) in enumerate(cases):
        kept = tuple(r for r in gold.relations if r.head != r.tail)
        value = json.loads(docred.dumps(document(Annotation(gold.clusters, kept), f"d{i}")))
        for vertex in value["vertexSet"]:
            for m in vertex:
                m["name"] = rng.choice([m["name"], "a", "b"])
        value["labels"] = list({json.dumps(x): x for x in value["labels"]}.values())
        path = tmp_path_factory.getbasetemp() / "official.json"
        path.write_text(json.dumps([value]))
        (read,) = docred.read(path)
        truth.append(value)
        # A prediction that is partly right: some of the gold clusters, some others.
        predicted = [c for c in gold.clusters if rng.random() < share]
        used = {span for cluster in predicted for span in cluster}
        predicted += [c for c in other.clusters if used.isdisjoint(c)]
        at = {cluster: k for k, cluster in enumerate(predicted)}
        relations = [
            Relation(at[a.clusters[r.head]], at[a.clusters[r.tail]], r.type)
            for a in (gold, other)
            for r in a.relations
            if a.clusters[r.head] in at and a.clusters[r.tail] in at
        ]
        pairs.append((read, Annotation(tuple(predicted), tuple(relations))))
    scorer = RelationScorer(known)
    for read, predicted in pairs:
        scorer.add(read, predicted)
    rows = [row for read, predicted in pairs for row in docred.submission(read, predicted)]
    scores = scorer.compute()
    assert (scores["re"].f1, scores["ign"].f1) == pytest.approx(official(truth, rows, known))
