"""The objective in the loop: it learns, goes on bit for bit, and leaves a T5 behind."""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np
import pytest
from mrp_rows import inplace_row, sentinel_row, without_queries

from t5coref.cli import gin_files
from t5coref.core.errors import ConfigError, MismatchError
from t5coref.downstream.model import TextModel
from t5coref.model import from_scratch, pretrained
from t5coref.mrp.masking import Inplace, SentinelSpan
from t5coref.mrp.objective import MRPObjective, mrp_rows
from t5coref.mrp.rows import write_rows
from t5coref.nn.mrp import MRPHead, context_candidates
from t5coref.nn.stack import T5Config
from t5coref.tokenizer import Tokenizer
from t5coref.train import fit, logbook
from t5coref.train.listener import Listener
from t5coref.train.logbook import without_clock
from t5coref.train.optimizers import adamw, encoder_and_task

TINY = T5Config(
    vocab_size=1,
    emb_dim=32,
    num_heads=2,
    num_encoder_layers=2,
    num_decoder_layers=1,
    head_dim=16,
    mlp_dim=64,
    dropout_rate=0.0,
)
ONE = {"devices": jax.devices()[:1]}


@functools.cache
def fast(total_steps):
    """One object for all runs, so that they share a program."""
    return encoder_and_task(
        total_steps,
        encoder=functools.partial(adamw, peak=5e-3, warmup=0, decay="constant"),
        task=functools.partial(adamw, peak=5e-1, warmup=0, decay="constant", clip=None),
        task_names=("mrp",),
    )


@pytest.fixture(scope="module")
def model():
    words = " ".join(chr(97 + i % 26) + chr(97 + i // 26) for i in range(60))
    return from_scratch(TINY, Tokenizer.train([words], 60))


@pytest.fixture(scope="module")
def pieces(model):
    return Tokenizer(model.tokenizer.model, ()).size - 100


@pytest.fixture(scope="module")
def rows(pieces):
    made = [sentinel_row(i, pieces, queries=1 + i % 2) for i in range(6)]
    return [*made[:5], without_queries(made[5])]


@pytest.fixture
def run(model, rows, tmp_path):
    def start(name="run", *, listener=None, objective=None, **changes):
        given = {
            "model": model,
            "train_rows": rows,
            "dev_rows": rows[:3],
            "eval_batch_size": 2,
            "candidates": context_candidates,
            "scan_layers": True,
        }
        made = MRPObjective(**given | (objective or {}))
        settings = {"steps": 6, "batch_size": 2, "eval_every": 3, "optimizer": fast} | changes
        return fit(objective=made, output_dir=tmp_path / name, listener=listener, **settings, **ONE)

    return start


def logged(folder):
    return [without_clock(row) for row in logbook.read(folder)]


def weights(folder):
    return jax.tree.leaves(TextModel.load(folder).params)


class CrashError(Exception):
    pass


class Dying(Listener):
    def stepped(self, row):
        if row["step"] == 5:
            raise CrashError


def test_learns_by_heart(run, rows):
    result = run(steps=120, eval_every=120, batch_size=6, objective={"dev_rows": rows})
    assert result.score == "accuracy"
    assert result.scores["accuracy"] > 0.95
    assert result.scores["copy_accuracy"] == 1.0
    first, *_, last = [row for row in logged(result.last.parent) if row["kind"] == "train"]
    for name in ("loss", "pieces", "mrp"):
        assert last[name] < 0.3 * first[name], name
    for row in (first, last):
        np.testing.assert_allclose(row["loss"], row["pieces"] + row["mrp"], rtol=1e-5)
    assert {"task_learning_rate", "copy_accuracy"} <= set(last)


def test_goes_on_bit_for_bit(run):
    undisturbed = run("one")
    with pytest.raises(CrashError):
        run("two", listener=Dying())
    resumed = run("two")
    assert logged(resumed.last.parent) == logged(undisturbed.last.parent)
    for name in ("best", "last"):
        mine, theirs = (getattr(result, name) for result in (resumed, undisturbed))
        for a, b in zip(weights(mine), weights(theirs), strict=True):
            np.testing.assert_array_equal(a, b)
    dev = [row for row in logged(undisturbed.last.parent) if row["kind"] == "dev"]
    assert [row["step"] for row in dev] == [3, 6]
    assert {"accuracy", "loss", "mrp_loss", "copy_accuracy"} <= set(dev[0])


def test_other_rows_and_settings_are_refused(run, rows):
    with pytest.raises(CrashError):
        run(listener=Dying())
    with pytest.raises(MismatchError, match=r"settings.w_mrp was 1.0 and is now 2.0"):
        run(objective={"w_mrp": 2.0})
    with pytest.raises(MismatchError, match=r"settings.train_rows"):
        run(objective={"train_rows": rows[:5] + rows[:1]})
    with pytest.raises(MismatchError, match=r"settings.mrp_candidates"):
        run(objective={"candidates": MRPObjective.__init__.__kwdefaults__["candidates"]})


def test_leaves_a_t5_behind(run, model, rows):
    """Its folder is that of any T5: no head, no linearization."""
    last = run().last
    again = pretrained(str(last))
    assert jax.tree.structure(dict(again.params)) == jax.tree.structure(dict(model.params))
    for mine, start in zip(
        jax.tree.leaves(again.params), jax.tree.leaves(model.params), strict=True
    ):
        assert mine.shape == start.shape
    loaded = TextModel.load(last)
    assert loaded.tokenizer.symbols == ()
    assert loaded.card()["format"] is None
    # And one can go on from there.
    assert MRPObjective(model=again, train_rows=rows).examples == 6


def test_span_corruption_alone(run):
    """No head: nothing of it is computed, logged or stored."""
    result = run(objective={"w_mrp": 0.0})
    train = [row for row in logged(result.last.parent) if row["kind"] == "train"]
    assert set(result.scores) == {"accuracy", "loss"}
    assert not {"mrp", "copy_accuracy"} & set(train[0])


def test_scores_do_not_depend_on_the_batches(model, rows):
    found = []
    for size in (2, 4):
        objective = MRPObjective(
            model=model, train_rows=rows, dev_rows=rows[:5], eval_batch_size=size, scan_layers=True
        )
        found.append(objective.evaluate(objective.initial()))
    for name in found[0]:
        np.testing.assert_allclose(found[0][name], found[1][name], rtol=1e-5, err_msg=name)
    assert found[0]["mrp_loss"] > 0


def test_masked_in_place(run, pieces):
    rows = [inplace_row(i, pieces) for i in range(6)]
    given = {
        "train_rows": rows,
        "dev_rows": rows,
        "masking": Inplace(),
        "head": MRPHead(tied_v=True),
        "score": "copy_accuracy",
    }
    result = run(steps=120, eval_every=120, batch_size=6, objective=given)
    assert result.scores["accuracy"] > 0.95
    assert result.scores["copy_accuracy"] == 1.0


def test_rows_of_a_folder(rows, tmp_path):
    write_rows(tmp_path / "rows", rows)
    found = mrp_rows(folder=str(tmp_path / "rows"))
    assert [row.name for row in found] == [row.name for row in rows]
    assert mrp_rows() == ()


@pytest.mark.parametrize(
    ("file", "masking", "tied", "make"),
    [
        ("sentinel_span", SentinelSpan(), False, sentinel_row),
        ("inplace", Inplace(), True, inplace_row),
    ],
)
def test_gin_files(model, pieces, tmp_path, file, masking, tied, make):
    model.save(tmp_path / "model")
    write_rows(tmp_path / "rows", [make(i, pieces) for i in range(3)])
    given = {"MODEL": "model", "TRAIN_ROWS": "rows", "DEV_ROWS": "rows", "OUTPUT": "run"}
    bindings = [f"{name} = {str(tmp_path / value)!r}" for name, value in given.items()]
    gin_files.load([f"gin/mrp/{file}.gin"], [*bindings, "STEPS = 1"])
    objective = gin_files.call("MRPObjective")
    assert objective.settings["masking"] == type(masking).__name__
    assert objective.settings["tied_v"] is tied
    assert (objective.examples, objective.evaluate is None) == (3, False)


def test_what_does_not_fit(model, rows, pieces):
    with pytest.raises(ConfigError, match="nothing to train on"):
        MRPObjective(model=model, train_rows=())
    with pytest.raises(ConfigError, match=r"masked in place.*@Inplace"):
        MRPObjective(model=model, train_rows=[inplace_row(0, pieces)])
    with pytest.raises(ConfigError, match=r"4 targets.*@SentinelSpan"):
        MRPObjective(model=model, train_rows=rows, masking=Inplace())
    with pytest.raises(ConfigError, match="score is 'copy_accuracy'; expected accuracy"):
        MRPObjective(model=model, train_rows=rows, w_mrp=0.0, score="copy_accuracy")
    far = dataclasses.replace(rows[0], inputs=rows[0].inputs + 1000)
    with pytest.raises(ConfigError, match=r"prepare the rows with this model's spiece\.model"):
        MRPObjective(model=model, train_rows=[far])


@pytest.mark.slow
def test_transformers_reads_it(run):
    transformers = pytest.importorskip("transformers")
    last = run().last
    loaded = transformers.T5ForConditionalGeneration.from_pretrained(last)
    table = TextModel.load(last).params["token_embedder"]["embedding"]
    np.testing.assert_array_equal(loaded.shared.weight.detach().numpy(), table)
