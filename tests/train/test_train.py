"""Whole runs: the same numbers after any interruption, and what is kept of them."""

from __future__ import annotations

import dataclasses
import functools
import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from t5coref.core.errors import ConfigError, FormatError, MismatchError
from t5coref.model import Model
from t5coref.train import TrainingError, logbook, train
from t5coref.train.logbook import without_clock
from t5coref.train.optimizers import Optimizer, adamw


def rows(folder):
    return [without_clock(row) for row in logbook.read(folder)]


def weights(folder):
    return jax.tree.leaves(Model.load(folder).params)


def assert_same_run(one, other):
    assert rows(one) == rows(other)
    for name in ("best", "last"):
        for a, b in zip(weights(one / name), weights(other / name), strict=True):
            np.testing.assert_array_equal(a, b)


def checkpoints(folder):
    return sorted(int(p.name) for p in (folder / "checkpoints").iterdir() if p.name.isdigit())


def scores_by_call(*values):
    """An evaluation that returns these CoNLL scores one after the other."""
    left = iter(values)
    return lambda params: {"conll": next(left)}


@pytest.fixture(scope="module")
def reference(settings, tmp_path_factory):
    """A run that nothing disturbed."""
    return train(output_dir=tmp_path_factory.mktemp("reference"), **settings)


def test_rows_and_result(reference, model):
    folder = reference.last.parent
    logged = rows(folder)
    assert [(r["kind"], r["step"]) for r in logged] == [
        ("train", 1), ("train", 2), ("dev", 2), ("train", 3), ("train", 4), ("dev", 4),
        ("train", 5), ("train", 6), ("dev", 6),
    ]  # fmt: skip
    steps = [r for r in logged if r["kind"] == "train"]
    assert set(steps[0]) >= {"loss", "learning_rate", "grad_norm", "param_norm"}
    assert steps[-1]["loss"] < steps[0]["loss"]
    rate = adamw(6, peak=1e-2).learning_rate
    np.testing.assert_allclose([r["learning_rate"] for r in steps], [rate(i) for i in range(6)])
    assert {"seconds", "pieces_per_second"} <= set(logbook.read(folder)[0])
    dev = [r for r in logged if r["kind"] == "dev"]
    assert list(reference.history) == dev
    best = max(dev, key=lambda r: r["conll"])
    assert (reference.best_step, reference.scores["conll"]) == (best["step"], best["conll"])
    assert reference.steps == 6
    for loaded in (Model.load(reference.best), Model.load(reference.last)):
        assert loaded.card() == model.card()


def test_the_caller_keeps_the_model(reference, model):
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(model.params))


def test_same_arguments_same_numbers(reference, run):
    assert_same_run(reference.last.parent, run().last.parent)


def test_other_seed_other_numbers(reference, run):
    other = run(seed=1).last.parent
    assert rows(other)[0] != rows(reference.last.parent)[0]


@pytest.mark.parametrize(
    ("event", "step", "goes_on_after"),
    [
        ("stepped", 1, 0),  # before the first checkpoint: all over again
        ("stepped", 3, 2),
        ("evaluating", 4, 2),
        ("evaluated", 4, 2),  # `best` may already be of step 4
        ("saved", 4, 4),
        ("stepped", 6, 4),
        ("saved", 6, 6),  # all steps are done, but `last` is not there
    ],
)
def test_interrupted_run_goes_on(reference, run, recorder, crash, event, step, goes_on_after):
    with pytest.raises(crash):
        run(listener=recorder(step, event))
    second = recorder()
    result = run(listener=second)
    assert second.events[0] == ("started", goes_on_after)
    assert second.plan.done == goes_on_after
    assert [e[1] for e in second.events if e[0] == "stepped"] == list(range(goes_on_after + 1, 7))
    assert_same_run(reference.last.parent, result.last.parent)
    assert result.history == reference.history
    assert result.best_step == reference.best_step


def test_interrupted_again_and_again(reference, run, recorder, crash):
    for step in (2, 3, 5, 6):
        with pytest.raises(crash):
            run(listener=recorder(step), save_every=1)
    assert_same_run(reference.last.parent, run(save_every=1).last.parent)


def test_a_finished_run_is_left_as_it_is(run, recorder):
    first = run()
    shutil.rmtree(first.last)
    shutil.rmtree(first.best)
    listener = recorder()
    again = run(listener=listener)
    assert [e[0] for e in listener.events] == ["started", "finished"]
    assert again == first
    assert_same_run(first.last.parent, again.last.parent)


def test_best_is_made_again_from_its_checkpoint(run, recorder, crash, tmp_path):
    with pytest.raises(crash):
        run(listener=recorder(4, "saved"), evaluate=scores_by_call(0.9, 0.1))
    best = weights(tmp_path / "run" / "best")
    # As if the process had died while it replaced `best` by the model of a later step.
    (tmp_path / "run" / "best" / "model.safetensors").unlink()
    (tmp_path / "run" / "best.json").unlink()
    (tmp_path / "run" / ".best.abcd").mkdir()
    result = run(evaluate=scores_by_call(0.2))
    assert result.best_step == 2
    for a, b in zip(weights(result.best), best, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not (tmp_path / "run" / ".best.abcd").exists()


def test_listener_hears_everything_in_order(run, recorder):
    listener = recorder()
    run(listener=listener, evaluate=scores_by_call(0.5, 0.5, 0.6))
    assert listener.events == [
        ("started", 0),
        ("stepped", 1), ("stepped", 2), ("evaluating", 2), ("evaluated", 2, True), ("saved", 2),
        ("stepped", 3), ("stepped", 4), ("evaluating", 4), ("evaluated", 4, False), ("saved", 4),
        ("stepped", 5), ("stepped", 6), ("evaluating", 6), ("evaluated", 6, True), ("saved", 6),
        ("finished", 6),
    ]  # fmt: skip
    assert listener.plan.devices == 1
    assert listener.plan.examples == 12


def planned(run, recorder, crash, **changes):
    """What a run would do."""
    listener = recorder(0, "started")
    with pytest.raises(crash):
        run(listener=listener, **changes)
    return listener.plan


def test_long_examples_are_told(run, recorder, crash):
    plan = planned(run, recorder, crash, max_target_length=95, skip_long=True)
    assert plan.examples == 11
    assert len(plan.skipped) == 1


def test_devices_that_cannot_help_are_told(run, recorder, crash):
    plan = planned(run, recorder, crash, devices=jax.devices()[:3])
    assert (plan.devices, plan.idle) == (2, 1)


def test_best_and_last_checkpoints_are_kept(run, model):
    result = run(keep=1, eval_every=1, evaluate=scores_by_call(0.1, 0.7, 0.3, 0.7, 0.2, 0.1))
    folder = result.last.parent
    assert result.best_step == 2  # the first of equals
    assert checkpoints(folder) == [2, 6]
    assert json.loads((folder / "best.json").read_text()) == {"step": 2}
    best, last = weights(result.best), weights(result.last)
    assert any(np.any(a != b) for a, b in zip(best, last, strict=True))


def test_without_dev_documents_the_last_is_the_best(run):
    result = run(evaluate=None)
    assert (result.best_step, result.history, dict(result.scores)) == (None, (), {})
    for a, b in zip(weights(result.best), weights(result.last), strict=True):
        np.testing.assert_array_equal(a, b)


def test_early_stops(run, recorder):
    reached = run("reached", eval_every=1, evaluate=scores_by_call(0.1, 0.8, 0.9), stop_at=0.8)
    assert (reached.steps, reached.best_step) == (2, 2)
    listener = recorder()
    assert (
        run("reached", eval_every=1, evaluate=scores_by_call(), stop_at=0.8, listener=listener)
        == reached
    )
    tired = run("tired", eval_every=1, evaluate=scores_by_call(0.5, 0.4, 0.5, 0.9), patience=2)
    assert (tired.steps, tired.best_step) == (3, 1)


@pytest.mark.parametrize(
    ("changes", "steps"),
    [({"epochs": 1}, 3), ({"epochs": 1.5, "accumulate": 2}, 3), ({"epochs": 0.1}, 1)],
)
def test_epochs_count_examples(run, recorder, crash, changes, steps):
    assert planned(run, recorder, crash, steps=None, **changes).steps == steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 1}, "one of the two"),
        ({"steps": None}, "one of the two"),
        ({"steps": 0}, "at least 1"),
        ({"batch_size": 0}, "at least 1"),
        ({"max_source_length": None}, "fixed_lengths needs two lengths"),
        ({"max_target_length": 70}, "has a target of"),
    ],
)
def test_impossible_settings(run, changes, message):
    with pytest.raises(ConfigError, match=message):
        run(**changes)


def test_another_run_in_the_same_folder_is_refused(run, recorder, crash, stories):
    with pytest.raises(crash):
        run(listener=recorder(3))
    with pytest.raises(MismatchError, match=r"step 2.*settings.seed was 0 and is now 1.*resume"):
        run(seed=1)
    with pytest.raises(MismatchError, match=r"optimizer.peak was 0.01 and is now 0.5"):
        run(optimizer=functools.partial(adamw, peak=0.5))
    with pytest.raises(MismatchError, match=r"settings.examples"):
        run(train_set=stories[:-1])
    listener = recorder()
    run(seed=1, resume=False, listener=listener)
    assert listener.plan.done == 0


def test_other_weights_to_start_from_are_refused(run, recorder, crash, model):
    with pytest.raises(crash):
        run(listener=recorder(3))
    moved = jax.tree.map(lambda leaf: leaf * 1.01, model.params)
    with pytest.raises(MismatchError, match="the weights that training starts from"):
        run(model=dataclasses.replace(model, params=moved))


def test_one_process_a_folder(run, recorder):
    class Second(recorder):
        def stepped(self, row):
            if row["step"] == 1:
                with pytest.raises(ConfigError, match="another process is training"):
                    run()
            super().stepped(row)

    run(listener=Second())


def exploding(total_steps, *, at):
    """An optimizer whose rate is infinite at one step."""

    def rate(step):
        return jnp.where(step == at, jnp.inf, 1e-2)

    return Optimizer(optax.sgd(rate), rate, {"name": "exploding"})


def test_no_number_stops_with_the_batch_and_keeps_the_last_good_checkpoint(run, tmp_path, stories):
    with pytest.raises(TrainingError, match=r"step 4: .*learning_rate is inf.*turn 0") as info:
        run(optimizer=functools.partial(exploding, at=3), accumulate=2, dropout=0.0)
    named = [d.doc_id for d in stories if repr(d.doc_id) in str(info.value)]
    assert len(named) == 8
    assert checkpoints(tmp_path / "run") == [2]
    assert [r["step"] for r in rows(tmp_path / "run")][-1] == 3


def test_poisoned_weights_are_found_at_the_first_step(run, model):
    bad = jax.tree.map(lambda leaf: leaf * jnp.nan, model.params)
    with pytest.raises(TrainingError, match=r"step 1: .*loss is nan"):
        run(model=dataclasses.replace(model, params=bad))


def test_dev_documents_are_decoded(run, recorder, crash, stories, model):
    """As on an accelerator: bfloat16, scanned layers, recomputation; decoding uses neither."""
    settings = {
        "evaluate": None, "dev_set": stories[:3], "eval_every": 6, "target_ratio": 2.0,
        "dtype": "bfloat16", "scan_layers": True, "remat": True, "dropout": 0.0, "save_every": 2,
    }  # fmt: skip
    with pytest.raises(crash):
        run(listener=recorder(5), **settings)
    result = run(**settings)
    assert result.best_step == 6
    assert set(result.scores) >= {"conll", "muc", "b3", "ceafe", "mentions", "failed"}
    assert result.scores["failed"] == 0
    trained = Model.load(result.best)
    assert trained.config.dtype == "bfloat16"
    assert jax.tree.structure(trained.params) == jax.tree.structure(model.params)


def test_a_damaged_checkpoint_is_named_and_the_one_before_goes_on(run, recorder, crash, tmp_path):
    scores = 0.3, 0.1, 0.2, 0.4, 0.1, 0.2  # the best of steps 1 to 3 is not the best of 1 to 4
    whole = run("whole", eval_every=1, evaluate=scores_by_call(*scores))
    with pytest.raises(crash):
        run(eval_every=1, evaluate=scores_by_call(*scores), listener=recorder(4, "saved"))
    assert checkpoints(tmp_path / "run") == [1, 3, 4]
    damaged = tmp_path / "run" / "checkpoints" / "4"
    shutil.rmtree(damaged / "state")
    with pytest.raises(FormatError, match=r"4 cannot be read: .*elsewhere to go on after step 3"):
        run(eval_every=1, evaluate=scores_by_call())
    damaged.rename(tmp_path / "damaged")
    again = run(eval_every=1, evaluate=scores_by_call(*scores[3:]))
    assert_same_run(whole.last.parent, again.last.parent)


@pytest.mark.parametrize("lost", ["state", "meta", "_CHECKPOINT_METADATA", "commit_success.txt"])
def test_half_deleted_and_half_written_checkpoints_do_no_harm(
    reference, run, recorder, crash, tmp_path, lost
):
    with pytest.raises(crash):
        run(listener=recorder(5), save_every=1, keep=3)
    folder = tmp_path / "run" / "checkpoints"
    oldest, latest = checkpoints(tmp_path / "run")[0], checkpoints(tmp_path / "run")[-1]
    assert oldest < latest - 1
    # The process was killed while it removed one checkpoint, and while it wrote another one.
    path = folder / str(oldest) / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    half = folder / f"{latest + 1}.orbax-checkpoint-tmp-1"
    shutil.copytree(folder / str(latest), half)
    shutil.rmtree(half / "meta")
    listener = recorder()
    result = run(listener=listener, save_every=1, keep=3)
    assert listener.plan.done == latest
    assert_same_run(reference.last.parent, result.last.parent)
    assert not half.exists()
