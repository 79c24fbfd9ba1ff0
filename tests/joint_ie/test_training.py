"""The objective in the loop: it learns, goes on bit for bit, and trains a decoder beside it."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from t5coref.core.document import Annotation, Document
from t5coref.core.errors import ConfigError, DocumentError, MismatchError
from t5coref.joint_ie import JointModel, JointObjective, JointPredictor
from t5coref.joint_ie.losses import TARGETS_PER_ROW, auxiliary_loss, heads_loss
from t5coref.linearize import examples
from t5coref.predict import Predictor
from t5coref.train import fit, logbook
from t5coref.train.listener import Listener
from t5coref.train.logbook import without_clock
from t5coref.train.step import TrainState, make_step, sequence_loss

ONE = {"devices": jax.devices()[:1]}
NO_KEY = jax.random.key(0)
"""Nothing has dropout here."""


class Told(Listener):
    def started(self, plan):
        self.plan = plan


@pytest.mark.parametrize(
    ("setting", "score", "steps"),
    [
        ("joint-m", "re", 120),
        pytest.param("joint", "re", 120, marks=pytest.mark.slow),
        pytest.param("relations", "re", 80, marks=pytest.mark.slow),
    ],
)
def test_learns_documents_by_heart(
    make_model, documents, optimizer, tmp_path, setting, score, steps
):
    objective = JointObjective(
        model=make_model(setting), train_set=documents, dev_set=documents, **ONE
    )
    assert objective.score == score
    result = fit(
        objective=objective, output_dir=tmp_path, steps=steps, batch_size=6, optimizer=optimizer,
        eval_every=steps, **ONE,
    )  # fmt: skip
    assert result.scores["re"] == 1.0
    assert result.scores["coref"] == 1.0
    assert result.scores["mentions"] == 1.0
    assert (result.score, result.scores["failed"]) == ("re", 0)
    predictor = JointPredictor(JointModel.load(result.best), **ONE)
    bare = [d.with_annotation(None) if setting != "relations" else d for d in documents]
    for gold, found in zip(documents, predictor.predict(bare), strict=True):
        assert sorted(found.annotation.clusters) == sorted(gold.annotation.clusters)
        assert set(named(found)) == set(named(gold))


def named(document):
    clusters = document.annotation.clusters
    return [(clusters[r.head], r.type, clusters[r.tail]) for r in document.annotation.relations]


def test_coreference_alone_is_judged_by_coreference(make_model, documents):
    objective = JointObjective(model=make_model("coreference"), train_set=documents)
    assert (objective.score, objective.evaluate) == ("coref", None)


@pytest.fixture
def run(make_model, documents, optimizer, tmp_path):
    def start(name="run", *, setting="gc", objective=None, **changes):
        objective = {"dev_set": documents[:2]} | (objective or {})
        made = JointObjective(
            model=make_model(setting), train_set=documents, eval_batch_size=2, **objective, **ONE
        )
        settings = {"steps": 6, "batch_size": 2, "eval_every": 3, "optimizer": optimizer}
        return fit(objective=made, output_dir=tmp_path / name, **settings | changes, **ONE)

    return start


def rows(folder):
    return [without_clock(row) for row in logbook.read(folder)]


def leaves(folder):
    return jax.tree.leaves(JointModel.load(folder).params)


def test_goes_on_bit_for_bit(run, dying):
    listener, crash = dying
    undisturbed = run("one")
    with pytest.raises(crash):
        run("two", listener=listener(5))
    resumed = run("two")
    assert rows(resumed.last.parent) == rows(undisturbed.last.parent)
    for a, b in zip(leaves(resumed.last), leaves(undisturbed.last), strict=True):
        np.testing.assert_array_equal(a, b)
    logged = rows(undisturbed.last.parent)
    assert {"antecedent", "mention", "relation", "contrastive", "task_learning_rate"} <= set(
        logged[0]
    )
    dev = [row for row in logged if row["kind"] == "dev"]
    assert set(dev[0]) >= {"re", "re_precision", "re_recall", "coref", "mentions", "ign", "failed"}


def test_other_documents_and_knobs_are_refused(run, dying, documents, make_model):
    listener, crash = dying
    with pytest.raises(crash):
        run(listener=listener(5))
    with pytest.raises(MismatchError, match=r"settings.max_length was 1024 and is now 512"):
        run(objective={"max_length": 512})
    with pytest.raises(MismatchError, match=r"model.joint_ie.heads.compatibility"):
        run(setting="joint-m")
    moved = documents[1].with_annotation(None)
    with pytest.raises(MismatchError, match=r"settings.dev_set"):
        run(objective={"dev_set": [documents[0], moved]})


def test_accumulated_batches_are_one_batch(run):
    settings = {"setting": "relations", "steps": 1, "objective": {"dev_set": ()}}
    whole = run("whole", batch_size=4, **settings)
    parts = run("parts", batch_size=2, accumulate=2, **settings)
    first, second = rows(whole.last.parent), rows(parts.last.parent)
    for name in ("loss", "relation", "grad_norm"):
        np.testing.assert_allclose(first[0][name], second[0][name], rtol=1e-4, err_msg=name)


def test_devices_share_a_batch(make_model, documents, optimizer):
    objective = JointObjective(model=make_model("joint-m"), train_set=documents)
    batch = objective.batches(4, 0)[0]
    state = TrainState(
        jnp.zeros((), jnp.int32),
        objective.initial(),
        optimizer(3).transform.init(objective.initial()),
    )
    step = jax.jit(make_step(objective.loss, optimizer(3)))
    losses = []
    for count in (1, 4):
        mesh = jax.sharding.Mesh(np.asarray(jax.devices()[:count]), ("data",))
        spec = jax.sharding.PartitionSpec(None, "data")
        placed = {
            name: jax.device_put(x[None], jax.sharding.NamedSharding(mesh, spec))
            for name, x in batch.features.items()
        }
        everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        losses.append(
            float(step(jax.device_put(state, everywhere), placed, jax.random.key(0))[1]["loss"])
        )
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


@pytest.fixture(scope="module")
def beside(make_model, documents):
    """Training of a decoder and heads together."""
    model = make_model("joint-m", decoder=True)
    return model, JointObjective(model=model, train_set=documents, dev_set=documents, w_aux=0.5)


@pytest.fixture(scope="module")
def written(beside):
    """(parameters, features) -> the loss of the linearization alone."""
    model = beside[0]
    loss = sequence_loss(model.config, model.format.make(model.tokenizer).rules.scored_ids)
    return jax.jit(lambda params, features: loss(params, features, NO_KEY))


@pytest.fixture(scope="module")
def both(beside, optimizer, tmp_path_factory):
    """A run of a few steps."""
    folder = tmp_path_factory.mktemp("both")
    result = fit(
        objective=beside[1], output_dir=folder, steps=15, batch_size=6, optimizer=optimizer,
        eval_every=15, **ONE,
    )  # fmt: skip
    return result, [row for row in rows(folder) if row["kind"] == "train"]


def test_both_losses_fall(both):
    logged = both[1]
    for name in ("sequence", "heads", "relation", "antecedent"):
        assert logged[-1][name] < 0.8 * logged[0][name], name
    for row in (logged[0], logged[-1]):
        np.testing.assert_allclose(row["loss"], row["sequence"] + 0.5 * row["heads"], rtol=1e-5)


def test_one_folder_has_what_finds_and_what_writes(both, beside, written):
    model, objective = beside
    trained = JointModel.load(both[0].last)
    assert trained.format == model.format
    features = objective.batches(6, 1)[0].features
    before, after = (written(m.language_model().params, features)[0] for m in (model, trained))
    assert after < 0.8 * before


@pytest.mark.slow
def test_both_are_learned_by_heart(beside, documents, optimizer, tmp_path):
    result = fit(
        objective=beside[1], output_dir=tmp_path, steps=150, batch_size=6, optimizer=optimizer,
        eval_every=150, **ONE,
    )  # fmt: skip
    assert result.scores["re"] == 1.0
    # One folder for both: what the heads find and what the decoder writes.
    trained = JointModel.load(result.last)
    written = Predictor(trained.language_model(), **ONE).predict(documents)
    for gold, found in zip(documents, written, strict=True):
        assert sorted(found.annotation.clusters) == sorted(gold.annotation.clusters)


def test_auxiliary_loss_is_the_sum_of_both_under_accumulation(beside, written):
    """Micro-batches of unlike numbers of targets: each mean is over the whole step."""
    model, objective = beside
    every = dict(objective.batches(6, 1)[0].features)
    every["decoder_loss_weights"] = weights = every["decoder_loss_weights"].copy()
    weights[0, 9:] = 0
    every[TARGETS_PER_ROW] = np.full(6, weights.sum() / 6, np.float32)
    symbols = model.format.make(model.tokenizer).rules.scored_ids
    joint, alone, found = (
        jax.jit(lambda features, loss=loss: loss(model.params, features, NO_KEY))
        for loss in (
            auxiliary_loss(model.config, model.heads, symbols, w_aux=0.5),
            auxiliary_loss(model.config, model.heads, symbols, w_aux=0.0),
            heads_loss(model.config, model.heads),
        )
    )
    halves = [{k: v[half] for k, v in every.items()} for half in (slice(3), slice(3, 6))]
    assert weights[:3].sum() != weights[3:].sum()
    parts = [joint(half) for half in halves]
    total = sum(value for value, _ in parts) / sum(of.weight for _, of in parts)
    (sequence, of_sequence), (heads, of_heads) = written(model.params, every), found(every)
    wanted = sequence / of_sequence.weight + 0.5 * heads / of_heads.weight
    np.testing.assert_allclose(total, wanted, rtol=1e-5)
    value, of_alone = alone(every)
    np.testing.assert_allclose(value, sequence, rtol=1e-6)
    assert set(of_alone.parts) == {"sequence"}


def test_windows_of_the_format_are_the_rows(beside, documents):
    model, objective = beside
    format_ = model.format.make(model.tokenizer)
    assert objective.examples == sum(len(examples(format_, d)) for d in documents)


def test_scanned_layers(make_model, documents, optimizer, tmp_path):
    result = fit(
        objective=JointObjective(
            model=make_model("joint-m"), train_set=documents, dev_set=documents[:2],
            scan_layers=True, remat=True, **ONE,
        ),
        output_dir=tmp_path, steps=2, batch_size=2, optimizer=optimizer, eval_every=2, **ONE,
    )  # fmt: skip
    structure = jax.tree.structure(JointModel.load(result.best).params)
    assert structure == jax.tree.structure(make_model("joint-m").params)


def test_notes_and_refusals(make_model, documents, optimizer, tmp_path):
    model = make_model("joint-m")
    wide = documents[0].with_annotation(Annotation((((0, 3), (4, 6)), ((2, 5),))))
    words = JointObjective(model=model, train_set=documents, max_length=2)
    assert words.notes == (
        "6 documents are longer than 2 pieces; training reads a random part of them each time",
        "12 gold mentions lie outside the pieces that training reads",
    )
    objective = JointObjective(model=model, train_set=[*documents, wide])
    assert objective.notes == (
        "1 gold mentions are wider than 4 pieces or cross the end of a sentence; they can never be "
        "found",
    )
    listener = Told()
    fit(objective=objective, output_dir=tmp_path, steps=1, batch_size=1, optimizer=optimizer,
        listener=listener, **ONE)  # fmt: skip
    assert listener.plan.notes == objective.notes
    assert listener.plan.score == "re"
    with pytest.raises(ConfigError, match="nothing to train on"):
        JointObjective(model=model, train_set=[Document(doc_id="x", words=())])
    with pytest.raises(DocumentError, match="'doc-0' has no annotation"):
        JointObjective(model=model, train_set=[documents[0].with_annotation(None)])


def test_parts_of_long_documents_are_drawn_anew(make_model, documents):
    """By the seed and the number of the batch alone."""

    def drawn(seed, numbers=range(12)):
        objective = JointObjective(model=make_model("joint-m"), train_set=documents, max_length=14)
        batches = objective.batches(3, seed)
        return [
            (name, tuple(tokens))
            for number in numbers
            for name, tokens in zip(
                batches[number].names,
                batches[number].features["encoder_input_tokens"].tolist(),
                strict=True,
            )
        ]

    found = drawn(0)
    for gold in documents:
        assert len({tokens for name, tokens in found if name == repr(gold.doc_id)}) > 1
    assert drawn(0, reversed(range(12)))[-3:] == found[:3]
    assert drawn(1) != found


def test_batches_hold_rows_of_about_one_length(make_model, documents):
    long = [
        Document(
            doc_id=f"long-{i}", words=documents[i].words * 5, annotation=documents[i].annotation
        )
        for i in range(6)
    ]
    objective = JointObjective(model=make_model("joint-m"), train_set=[*documents, *long])
    batches = objective.batches(3, 0)
    for n in range(8):
        names = batches[n].names
        assert len({name.split("-")[0] for name in names}) == 1
    shapes = {tuple(sorted((k, v.shape) for k, v in batches[n].features.items())) for n in range(8)}
    assert len(shapes) == 2
