"""Mentions as rows, Arrow tables and data frames."""

from __future__ import annotations

import sys

import pytest
from marked import marked

import t5coref
from t5coref import Document, Pipeline, Prediction
from t5coref.api.table import COLUMNS
from t5coref.core.errors import ConfigError

STORY = "[1 Mara ] fed [2 [1 her ] dog ] . [2 It ] was hungry ."


@pytest.fixture
def predictions(marker):
    return [
        Prediction(marked(STORY)),
        Pipeline(marker, language="nl").predict("Hij zag het."),
        Prediction(Document(doc_id="none", words=("x",), extra={"error": "too long"})),
    ]


def test_rows(predictions):
    rows = list(t5coref.mention_rows(predictions))
    assert [list(row) for row in rows] == [list(COLUMNS)] * len(rows)
    assert [row["text"] for row in rows] == [
        "Mara",
        "her",
        "her dog",
        "It",
        "Hij",
        "het",
        "zag het",
    ]
    assert [row["cluster"] for row in rows] == [0, 0, 1, 1, 0, 0, 1]
    assert rows[3] == {
        "document": "marked", "cluster": 1, "text": "It", "start_char": 18, "end_char": 20,
        "start_word": 5, "end_word": 6, "sentence": 1, "representative": False, "pronoun": True,
        "type": None, "mention_probability": None, "link_probability": None,
    }  # fmt: skip
    assert (rows[4]["pronoun"], rows[4]["mention_probability"]) == (None, 0.5)
    assert list(t5coref.mention_rows(predictions[0])) == rows[:4]


def test_arrow(predictions):
    pytest.importorskip("pyarrow")
    table = t5coref.predictions_table(iter(predictions))
    assert table.column_names == list(COLUMNS)
    assert [str(field.type) for field in table.schema] == list(COLUMNS.values())
    assert table.to_pylist() == list(t5coref.mention_rows(predictions))
    assert t5coref.predictions_table([]).schema == table.schema


def test_pandas(predictions):
    pandas = pytest.importorskip("pandas")
    frame = t5coref.predictions_frame(iter(predictions))
    assert list(frame.columns) == list(COLUMNS)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert rows == list(t5coref.mention_rows(predictions))
    empty = t5coref.predictions_frame([])
    assert empty.dtypes.tolist() == frame.dtypes.tolist()
    assert pandas.concat([frame, empty]).shape == frame.shape


@pytest.mark.parametrize(
    ("package", "make"), [("pyarrow", "predictions_table"), ("pandas", "predictions_frame")]
)
def test_what_to_install(predictions, monkeypatch, package, make):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ConfigError, match=f"need {package}, .*pip install t5coref\\[table\\]"):
        getattr(t5coref, make)(predictions)


def test_documents_are_no_predictions():
    with pytest.raises(ConfigError, match="got Document; expected predictions"):
        list(t5coref.mention_rows([marked(STORY)]))
