"""`t5coref demo` with a tiny model in the place of the one that comes with t5coref."""

from __future__ import annotations

import re

import t5coref
from t5coref import demo, released
from t5coref.cli import main


def test_the_texts_are_raw_and_whole():
    documents = list(demo.texts())
    assert [document.doc_id for document in documents] == list(demo.TEXTS)
    for document in documents:
        assert document.annotation is None
        assert document.text is not None
        assert 100 <= len(document.words) <= 200
        assert len(document.sentences) > 5


def test_the_command_shows_what_the_model_finds(model_folder, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(released, "default_model", lambda: model_folder)
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["demo", "--output", str(tmp_path / "out")]) == 0
    out = capsys.readouterr().out
    found = list(t5coref.load().predict(demo.texts()))
    plain = re.sub(r"\s+", " ", out)
    assert re.sub(r"\s+", " ", str(found[0].resolve())) in plain
    chains = [cluster for one in found for cluster in one.clusters if len(cluster) > 1]
    assert out.count("named more than once") == len(found)
    assert all(cluster.representative.text[:8] in plain for cluster in chains)
    page = (tmp_path / "out/texts.html").read_text("utf-8")
    assert all(name in page for name in demo.TEXTS)
    assert "Verhoeven" in page
