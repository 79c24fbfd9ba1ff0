"""Rows on disk: what survives a kill, and what a run that goes on removes."""

from __future__ import annotations

import pytest

from t5coref.train import logbook
from t5coref.train.logbook import Logbook, without_clock


def row(step, **values):
    return {"kind": "train", "step": step, "loss": 1.0 / step, **values}


def test_rows_come_back(tmp_path):
    with Logbook(tmp_path, after=0) as log:
        log.write(row(1))
        log.write({"kind": "dev", "step": 1, "conll": 0.5})
        assert logbook.read(tmp_path) == [row(1), {"kind": "dev", "step": 1, "conll": 0.5}]
        log.sync()


def test_later_rows_and_half_a_line_are_cut(tmp_path):
    with Logbook(tmp_path, after=0) as log:
        for step in (1, 2, 3):
            log.write(row(step))
    path = tmp_path / logbook.METRICS_FILE
    path.write_text(path.read_text() + '{"kind": "train", "st')
    with Logbook(tmp_path, after=2) as log:
        log.write(row(3, again=1))
    assert logbook.read(tmp_path) == [row(1), row(2), row(3, again=1)]


def test_a_new_run_cuts_everything(tmp_path):
    with Logbook(tmp_path, after=0) as log:
        log.write(row(1))
    with Logbook(tmp_path, after=0):
        assert logbook.read(tmp_path) == []


def test_events_for_tensorboard(tmp_path):
    pytest.importorskip("tensorboard", reason="reads event files")
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    for after, steps in ((0, (1, 2, 3)), (2, (3, 4))):
        with Logbook(tmp_path, after=after) as log:
            for step in steps:
                log.write(row(step))
            log.write({"kind": "dev", "step": 4, "conll": 0.25})
    files = sorted((tmp_path / logbook.EVENTS_FOLDER).iterdir())
    events = [e for file in files for e in EventFileLoader(str(file)).Load()]
    assert any(e.session_log.status == e.session_log.START and e.step == 3 for e in events)
    tags = {v.tag for e in events for v in e.summary.value}
    assert tags == {"train/loss", "dev/conll"}


def test_without_clock():
    assert without_clock(row(2, seconds=3.0, pieces_per_second=9.0)) == row(2)
