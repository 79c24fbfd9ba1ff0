"""The compositions: their losses and predictions against whole documents computed in loops."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import joint_oracles as oracles
import numpy as np
import pytest
from flax.traverse_util import flatten_dict

from t5coref.nn.joint_ie import (
    EntityRelations,
    GraphCompatibility,
    GraphPropagation,
    JointIE,
    MentionRelations,
)

NAMES = [
    "pipeline-coreference", "pipeline-relations", "joint", "joint-m", "gp", "gc",
]  # fmt: skip
LOSSES = {
    "pipeline-coreference": {"antecedent", "mention"},
    "pipeline-relations": {"relation"},
    "joint": {"antecedent", "mention", "relation"},
    "joint-m": {"antecedent", "mention", "relation"},
    "gp": {"antecedent", "mention", "relation"},
    "gc": {"antecedent", "mention", "relation", "contrastive"},
}


WIDTH = 5  # of a mention vector


class Reference:
    """One document under one composition, in float64."""

    def __init__(self, heads, params, encoded, features, *, train, given=False):
        p = self.p = oracles.to_float64(params)
        self.heads, self.features = heads, features
        columns = (features[f"mention_{name}"] for name in ("start", "end", "cluster"))
        self.gold = {(i, j): c for i, j, c in zip(*columns, strict=True) if c}
        vector = functools.partial(oracles.mention_vector, p["spans"], encoded)
        self.kept = sorted(self.gold)
        if heads.mentions is not None and not given:
            names = ("sentence", "word_start", "word_end")
            spans = oracles.offered(*(features[n] for n in names), heads.mentions.max_width)
            score = {s: self.mention(vector(s)) for s in spans}
            pieces = (features["encoder_input_tokens"] > 0).sum()
            budget = math.floor(min(heads.mentions.max_candidates, heads.mentions.ratio * pieces))
            forced = [s for s in self.gold if s in score and train]
            self.kept = oracles.keep_best(score, budget, forced)
        self.cluster = [self.gold.get(s, 0) for s in self.kept]
        self.g = np.array([vector(s) for s in self.kept]).reshape(len(self.kept), WIDTH)
        self.of_gold = {s: vector(s) for s in self.gold}
        kinds = (features[f"relation_{name}"] for name in ("head", "tail", "type"))
        self.relations = [r for r in zip(*kinds, strict=True) if r[2]]
        if isinstance(heads.relations, MentionRelations):
            self.scores = oracles.mention_relations(p["relations"], self.g)
        self.links()

    def mention(self, g):
        return oracles.feed_forward(self.p["mentions"]["scorer"], g)[0]

    def links(self):
        heads, p = self.heads, self.p
        if heads.coreference is None:
            return
        g, self.distance, weight = self.g, None, 0.0
        if heads.propagation is not None:
            g = oracles.propagate(g, self.scores[..., 1:], p["propagation"]["kernel"])
        if heads.compatibility is not None:
            part, weight = heads.compatibility, heads.compatibility.weight
            chosen, _ = oracles.neighbours(self.scores[..., 1:], part.neighbours)
            beta = oracles.softplus(p["compatibility"]["beta"])
            self.distance = oracles.distances(self.scores[..., 1:], chosen, beta)
        bilinear = p["coreference"]["bilinear"]["kernel"]
        similarity = np.array([[x @ bilinear @ y for y in g] for x in g])
        self.mentions = [self.mention(x) for x in self.g]
        self.antecedents = oracles.antecedents(similarity, self.mentions, self.distance, weight)

    def entities(self, clusters):
        """{(head, tail): [C]} for {name: vectors}."""
        blocks = self.heads.relations.blocks
        names = list(clusters)
        if len(names) < 2:
            return {}
        table = oracles.entity_relations(self.p["relations"], clusters.values(), blocks)
        return {
            (h, t): table[a, b]
            for a, h in enumerate(names) for b, t in enumerate(names) if h != t
        }  # fmt: skip

    def losses(self):
        found = {}
        if self.heads.coreference is not None:
            found["antecedent"] = oracles.antecedent_loss(self.antecedents, self.cluster)
            found["mention"] = oracles.mention_loss(self.mentions, self.cluster)
        if isinstance(self.heads.relations, MentionRelations):
            found["relation"] = oracles.pair_loss(self.scores, self.cluster, self.relations)
        if isinstance(self.heads.relations, EntityRelations):
            groups = {}
            for span, cluster in self.gold.items():
                groups.setdefault(cluster, []).append(self.of_gold[span])
            each = [
                oracles.threshold_loss(logits, oracles.positives(self.relations, h, t))
                for (h, t), logits in self.entities(groups).items()
            ]
            found["relation"] = sum(each) / max(1, len(each))
        if self.heads.compatibility is not None:
            found["contrastive"] = oracles.contrastive_loss(self.distance, self.cluster)
        return found

    def prediction(self, given_clusters=False, all_mentions=False):
        """Clusters of candidates, and {(head, tail, class): margin}."""
        if given_clusters:
            order = list(dict.fromkeys(self.cluster))
            cluster = [order.index(c) for c in self.cluster]
        else:
            cluster = oracles.clusters(self.antecedents, self.mentions, all_mentions)
        relations = self.heads.relations
        if relations is None:
            return cluster, {}
        if isinstance(relations, MentionRelations):
            means = oracles.entity_means(self.scores, cluster)
        else:
            groups = {}
            for g, c in zip(self.g, cluster, strict=True):
                groups.setdefault(c, []).append(g)
            groups.pop(-1, None)
            means = self.entities(groups)
        return cluster, oracles.decide(means, relations.max_labels)


def check_prediction(found, i, reference, cluster, relations):
    """Row i of a `Prediction`."""
    row = jax.tree.map(lambda x: np.asarray(x[i]), found)
    count = len(reference.kept)
    assert row.valid.tolist() == [True] * count + [False] * (len(row.valid) - count)
    spans = [*zip(row.start[:count].tolist(), row.end[:count].tolist(), strict=True)]
    assert spans == reference.kept
    assert row.cluster[:count].tolist() == cluster
    assert (row.cluster[count:] == -1).all()
    rows = [tuple(triple) for triple in row.relations.tolist() if triple[0] >= 0]
    assert rows == sorted(relations, key=lambda triple: -relations[triple])
    np.testing.assert_allclose(
        row.relation_score[: len(rows)], [relations[k] for k in rows], rtol=1e-3, atol=1e-4
    )


@pytest.mark.parametrize("name", NAMES)
def test_losses(compiled, batch, name):
    """Of two documents, each term a mean over both; and all of them together."""
    heads, params, losses, _ = compiled(name)
    found, gradients = losses(params, batch)
    assert set(found) == LOSSES[name] | {"loss"}
    rows = [Reference(heads, params, *batch.row(i), train=True).losses() for i in range(2)]
    for term in LOSSES[name]:
        want = np.mean([row[term] for row in rows])
        np.testing.assert_allclose(found[term], want, rtol=2e-4, atol=1e-5, err_msg=term)
        assert found[term].dtype == jnp.float32
        assert want > 0
    np.testing.assert_allclose(found["loss"], sum(found[term] for term in LOSSES[name]), rtol=1e-6)
    # Everything learns.
    for path, gradient in flatten_dict(gradients).items():
        assert np.isfinite(gradient).all(), path
        assert np.asarray(gradient).any(), path


@pytest.mark.parametrize("name", NAMES)
def test_predictions(compiled, batch, name):
    heads, params, _, predict = compiled(name)
    given = heads.coreference is None
    found = predict(params, batch)
    for i in range(2):
        reference = Reference(heads, params, *batch.row(i), train=False, given=given)
        check_prediction(found, i, reference, *reference.prediction(given_clusters=given))
        if not given:
            np.testing.assert_allclose(
                found.mention_score[i][: len(reference.kept)], reference.mentions, rtol=1e-3,
                atol=1e-4,
            )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "gold_clusters"), [("joint", True), ("gc", False), ("joint-m", True)]
)
def test_predictions_for_given_mentions(compiled, batch, jit, name, gold_clusters):
    """Also for those that could not be found: too wide, or reaching over a sentence."""
    heads, params, _, _ = compiled(name)
    run = jit(functools.partial(
        heads.apply, gold_mentions=True, gold_clusters=gold_clusters, method="predict"
    ))  # fmt: skip
    found = run({"params": params}, *batch)
    assert found.start.shape == batch.features["mention_start"].shape
    for i in range(2):
        reference = Reference(heads, params, *batch.row(i), train=False, given=True)
        want = reference.prediction(given_clusters=gold_clusters, all_mentions=True)
        check_prediction(found, i, reference, *want)
        assert -1 not in want[0]


def test_forced_mentions_may_be_more_than_the_budget(batch, compiled, jit):
    heads, params, _, _ = compiled("pipeline-coreference")
    few = heads.clone(mentions=heads.mentions.clone(max_candidates=2))

    @jit
    def run(params, batch):
        return few.apply({"params": params}, *batch, deterministic=True)

    found = run(params, batch)
    rows = [Reference(few, params, *batch.row(i), train=True) for i in range(2)]
    assert [len(row.kept) for row in rows] == [5, 2]
    want = np.mean([row.losses()["antecedent"] for row in rows])
    np.testing.assert_allclose(found["antecedent"], want, rtol=1e-4)


@pytest.mark.parametrize("name", ["pipeline-relations", "gp", "gc"])
def test_without_mentions(compiled, empty, name):
    """Losses and gradients are finite; nothing is related, and no mention is no pair."""
    heads, params, losses, predict = compiled(name)
    found, gradients = losses(params, empty)
    assert np.isfinite(found["loss"])
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(gradients))
    if name == "pipeline-relations":
        assert found["relation"] == 0
        assert not any(np.asarray(x).any() for x in jax.tree.leaves(gradients))
    else:
        assert found.get("contrastive", 0) == 0
    # The row without a piece does not count.
    want = Reference(heads, params, *empty.row(0), train=True).losses()
    for term, value in want.items():
        np.testing.assert_allclose(found[term], value, rtol=1e-4, atol=1e-6)
    predicted = predict(params, empty)
    assert not np.asarray(predicted.valid[1]).any()
    assert (np.asarray(predicted.cluster[1]) == -1).all()
    assert (np.asarray(predicted.relations[1]) == -1).all()


def test_a_batch_is_its_documents(compiled, batch):
    """One by one, beside a row of nothing, and in the other order."""
    _, params, losses, predict = compiled("gc")
    both, gradients = losses(params, batch)
    host = jax.tree.map(np.asarray, batch)
    ones = []
    for i in range(2):
        alone = jax.tree.map(lambda x, i=i: np.stack([x[i], np.zeros_like(x[i])]), host)
        ones.append(losses(params, alone))
    for term, value in both.items():
        np.testing.assert_allclose(value, (ones[0][0][term] + ones[1][0][term]) / 2, rtol=1e-5)
    leaves = map(jax.tree.leaves, (gradients, ones[0][1], ones[1][1]))
    for got, *each in zip(*leaves, strict=True):
        np.testing.assert_allclose(got, np.mean(each, axis=0), rtol=1e-3, atol=1e-5)
    found = predict(params, batch)
    turned = predict(params, jax.tree.map(lambda x: x[::-1], host))
    for got, want in zip(turned, found, strict=True):
        np.testing.assert_allclose(np.asarray(got)[::-1], want, rtol=1e-4, atol=1e-5)


def test_bfloat16_states_are_lossless_from_there_on(compiled, batch):
    """The heads see them through mention vectors alone, which are float32."""
    heads, params, _, _ = compiled("gc")
    rounded = batch.encoded.astype(jnp.bfloat16)
    got, want = (
        heads.spans.apply({"params": params["spans"]}, x)
        for x in (rounded, rounded.astype(jnp.float32))
    )
    for x, y in zip(got, want, strict=True):
        assert x.dtype == jnp.float32
        np.testing.assert_array_equal(x, y)
    low = batch._replace(encoded=rounded)
    losses = jax.eval_shape(
        lambda p, b: heads.apply({"params": p}, *b, deterministic=True), params, low
    )
    assert {x.dtype for x in losses.values()} == {jnp.dtype("float32")}


@pytest.mark.parametrize(
    ("name", "parts"),
    [("joint-m", set()), ("gp", {"biaffine", "head", "tail"}), ("gc", {"biaffine", "head"})],
)
def test_coreference_trains_relations(compiled, batch, jit, name, parts):
    """Through the graphs, and only through them; what all scores of a tail share is no distance."""
    heads, params, _, _ = compiled(name)

    @jit
    def gradients(params, weight):
        part = heads.compatibility
        part = None if part is None else part.clone(weight=weight)
        changed = heads.clone(compatibility=part)

        def loss(params):
            return changed.apply({"params": params}, *batch, deterministic=True)["antecedent"]

        return jax.grad(loss)(params)["relations"]

    def reach(weight):
        """The largest gradient by part."""
        found = {}
        for path, x in flatten_dict(gradients(params, weight)).items():
            found[path[0]] = max(found.get(path[0], 0), float(np.abs(x).max()))
        return found

    found = reach(0.5)
    assert {part for part, size in found.items() if size > 1e-4} == parts
    if name == "joint-m":
        assert not any(found.values())
    if name == "gc":
        assert not any(reach(0.0).values())


def test_weights_and_averages(compiled, batch, jit):
    heads, params, losses, _ = compiled("gc")
    plain, _ = losses(params, batch)
    weighted = heads.clone(
        antecedent_weight=2.0, mention_weight=3.0, relation_weight=5.0, contrastive_weight=7.0,
        average_candidates=True,
    )  # fmt: skip
    found = jit(lambda p: weighted.apply({"params": p}, *batch, deterministic=True))(params)
    rows = [Reference(heads, params, *batch.row(i), train=True) for i in range(2)]
    for term in ("antecedent", "mention"):
        want = np.mean([row.losses()[term] / len(row.kept) for row in rows])
        np.testing.assert_allclose(found[term], want, rtol=1e-4)
    for term in ("relation", "contrastive"):
        np.testing.assert_allclose(found[term], plain[term], rtol=1e-6)
    weights = {"antecedent": 2, "mention": 3, "relation": 5, "contrastive": 7}
    np.testing.assert_allclose(
        found["loss"], sum(w * found[term] for term, w in weights.items()), rtol=1e-6
    )


def test_dropout(compiled, batch, jit):
    heads, params, losses, _ = compiled("gc")
    apply = functools.partial(heads.apply, {"params": params}, *batch, deterministic=False)
    dropped = jit(lambda key: apply(rngs={"dropout": key}))
    found = [losses(params, batch)[0], *(dropped(jax.random.key(k)) for k in (1, 2))]
    for term in LOSSES["gc"]:
        values = {float(x[term]) for x in found}
        assert len(values) == 3
        assert np.isfinite([*values]).all()


def test_initial_weights(compiled, batch, jit):
    """The parameters come as they should."""
    heads = compiled("gc").heads
    params = jit(lambda key: heads.init(key, *batch, deterministic=True)["params"])(
        jax.random.key(0)
    )
    for path, leaf in flatten_dict(params).items():
        if path[-1] == "bias":
            assert not np.asarray(leaf).any()
        elif path[-1] == "beta":
            np.testing.assert_allclose(np.logaddexp(0, leaf), 1 / 9, rtol=1e-5)
        else:
            assert 0.005 < np.asarray(leaf).std() < 0.04, path
    # An optimizer may tell it by its name.
    assert [path for path in flatten_dict(params) if path[-1] == "beta"] == [
        ("compatibility", "beta")
    ]


@pytest.mark.parametrize("name", ["joint", "gp", "gc"])
def test_every_parameter_has_logical_axes(compiled, batch, name):
    """By which T5X divides it over a mesh."""
    init = functools.partial(compiled(name).heads.init, deterministic=True)
    variables = jax.eval_shape(init, jax.random.key(0), *batch)
    shapes, axes = (flatten_dict(variables[kind]) for kind in ("params", "params_axes"))
    assert {(*path[:-1], f"{path[-1]}_axes") for path in shapes} == set(axes)
    for path, leaf in shapes.items():
        assert len(axes[*path[:-1], f"{path[-1]}_axes"].names) == leaf.ndim


def test_rescoring_mentions_by_new_vectors(compiled, batch, jit):
    heads, params, losses, _ = compiled("gp")
    other = heads.clone(propagation=GraphPropagation(rescore_mentions=True))
    found = jit(lambda p: other.apply({"params": p}, *batch, deterministic=True))(params)
    plain, _ = losses(params, batch)
    assert found["relation"] == plain["relation"]
    rows = []
    for i in range(2):
        row = Reference(heads, params, *batch.row(i), train=True)
        kernel = row.p["propagation"]["kernel"]
        updated = oracles.propagate(row.g, row.scores[..., 1:], kernel)
        rows.append(oracles.mention_loss([row.mention(x) for x in updated], row.cluster))
    np.testing.assert_allclose(found["mention"], np.mean(rows), rtol=1e-4)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"mentions": None}, "expected both or none of mentions and coreference"),
        ({"mentions": None, "coreference": None, "relations": None}, "got neither"),
        (
            {"propagation": GraphPropagation(), "compatibility": GraphCompatibility()},
            "expected propagation or compatibility, got both",
        ),
        ({"propagation": GraphPropagation(), "relations": None}, "GraphPropagation leads"),
        (
            {"compatibility": GraphCompatibility(), "relations": EntityRelations(3)},
            "expected coref",
        ),
    ],
)
def test_parts_that_make_no_composition(compiled, parts, message):
    heads = compiled("joint-m").heads
    names = ("spans", "mentions", "coreference", "relations")
    with pytest.raises(ValueError, match=message):
        JointIE(**{name: getattr(heads, name) for name in names} | parts)


def test_predictions_that_cannot_be_made(compiled, batch):
    _, params, _, _ = compiled("pipeline-relations")
    for name, gold_mentions, gold_clusters, message in (
        ("joint", False, True, "expected gold_mentions with gold_clusters"),
        ("pipeline-relations", True, False, "predicts relations of given clusters"),
    ):
        with pytest.raises(ValueError, match=message):
            compiled(name).heads.apply(
                {"params": params}, *batch, gold_mentions=gold_mentions,
                gold_clusters=gold_clusters, method="predict",
            )  # fmt: skip
