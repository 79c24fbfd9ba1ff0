"""SIGTERM and Ctrl-C: the step is finished and saved; the run goes on as if nothing had been."""

from __future__ import annotations

import signal
import threading

import jax
import numpy as np
import pytest

from t5coref.model import Model
from t5coref.train import logbook, train
from t5coref.train.logbook import without_clock
from t5coref.train.stopping import USUAL, StopSignals

ENDS = {signal.SIGTERM: SystemExit, signal.SIGINT: KeyboardInterrupt}


@pytest.fixture(autouse=True)
def usual_handlers():
    """Those of a program that has none of its own; they must be there again in the end."""
    before = {number: signal.signal(number, usual) for number, usual in USUAL.items()}
    yield
    after = {number: signal.signal(number, handler) for number, handler in before.items()}
    assert after == USUAL


@pytest.fixture(scope="module")
def reference(settings, tmp_path_factory):
    """A run that nothing disturbed."""
    return train(output_dir=tmp_path_factory.mktemp("reference"), **settings).last.parent


@pytest.fixture
def signalled(recorder):
    """Makes a listener that has signals sent to this process after an event."""

    class Signalled(recorder):
        def __init__(self, event, step, *numbers):
            super().__init__()
            self._when, self._numbers = (event, step), numbers

        def _heard(self, event, step, *rest):
            super()._heard(event, step, *rest)
            if (event, step) == self._when:
                for number in self._numbers:
                    signal.raise_signal(number)

        def stopping(self):
            self.events.append(("stopping",))

        def stopped(self, step):
            super()._heard("stopped", step)

    return Signalled


def assert_same_run(one, other):
    rows = [[without_clock(row) for row in logbook.read(folder)] for folder in (one, other)]
    assert rows[0] == rows[1]
    for name in ("best", "last"):
        leaves = [jax.tree.leaves(Model.load(folder / name).params) for folder in (one, other)]
        for a, b in zip(*leaves, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("number", ENDS)
@pytest.mark.parametrize(
    ("event", "step", "stops_after"),
    [
        ("saved", 2, 3),  # neither an evaluation nor a checkpoint was due after step 3
        ("evaluating", 4, 4),
        ("stepped", 1, 2),
    ],
)
def test_a_stopped_run_goes_on_from_that_step(
    reference, run, recorder, signalled, tmp_path, number, event, step, stops_after
):
    first = signalled(event, step, number)
    with pytest.raises(ENDS[number]) as raised:
        run(listener=first)
    if number == signal.SIGTERM:
        assert raised.value.code == 143
    assert first.events.count(("stopping",)) == 1
    assert first.events[-2:] == [("saved", stops_after), ("stopped", stops_after)]
    assert logbook.read(tmp_path / "run")[-1]["step"] == stops_after
    second = recorder()
    result = run(listener=second)
    assert second.plan.done == stops_after
    assert [e[1] for e in second.events if e[0] == "stepped"] == list(range(stops_after + 1, 7))
    assert_same_run(reference, result.last.parent)


def test_a_run_that_was_done_anyway_ends_as_ever(reference, run, signalled):
    listener = signalled("evaluating", 6, signal.SIGTERM)
    result = run(listener=listener)
    assert listener.events[-1] == ("finished", 6)
    assert_same_run(reference, result.last.parent)


def test_a_second_one_ends_at_once(reference, run, recorder, signalled):
    listener = signalled("evaluating", 4, signal.SIGTERM, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        run(listener=listener)
    assert listener.events[-2:] == [("evaluating", 4), ("stopping",)]
    second = recorder()
    assert_same_run(reference, run(listener=second).last.parent)
    assert second.plan.done == 2


@pytest.mark.parametrize("number", USUAL)
def test_the_second_one_meets_the_usual_handler(number):
    seen = []
    with StopSignals(lambda: seen.append({n: signal.getsignal(n) for n in USUAL})) as stop:
        assert not stop.came
        assert all(signal.getsignal(n) is not usual for n, usual in USUAL.items())
        signal.raise_signal(number)
        assert stop.came
    assert seen == [USUAL]


def test_a_handler_of_the_program_stays():
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append("own"))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as in a job that was started with nohup and &
    with StopSignals(lambda: heard.append("ours")) as stop:
        for number in USUAL:
            signal.raise_signal(number)
        assert not stop.came
    assert heard == ["own"]
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    for number, usual in USUAL.items():
        signal.signal(number, usual)


def test_there_are_no_handlers_outside_the_main_thread():
    found = []

    def work():
        with StopSignals(lambda: None):
            found.append({number: signal.getsignal(number) for number in USUAL})

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [USUAL]
