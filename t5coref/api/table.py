"""Mentions as a table: a row each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from t5coref.api.prediction import Prediction
from t5coref.core.errors import ConfigError

if TYPE_CHECKING:
    import pandas
    import pyarrow

TEXT, INTEGER, FLAG, NUMBER = "string", "int64", "bool", "double"

COLUMNS = {
    "document": TEXT,
    "cluster": INTEGER,
    "text": TEXT,
    "start_char": INTEGER,
    "end_char": INTEGER,
    "start_word": INTEGER,
    "end_word": INTEGER,
    "sentence": INTEGER,
    "representative": FLAG,
    "pronoun": FLAG,
    "type": TEXT,
    "mention_probability": NUMBER,
    "link_probability": NUMBER,
}
"""The columns and their types, as Arrow calls them. Offsets are half-open."""

_NULLABLE_OF_PANDAS = {TEXT: "string", INTEGER: "int64", FLAG: "boolean", NUMBER: "Float64"}


def mention_rows(predictions: Prediction | Iterable[Prediction]) -> Iterator[dict[str, Any]]:
    """The mentions of predictions, cluster by cluster, each as a mapping with the keys `COLUMNS`.

    Raises:
      ConfigError: something else than predictions is given.
    """
    for prediction in [predictions] if isinstance(predictions, Prediction) else predictions:
        if not isinstance(prediction, Prediction):
            raise ConfigError(
                f"got {type(prediction).__name__}; expected predictions, as Pipeline.predict "
                "gives them"
            )
        for c, cluster in enumerate(prediction.clusters):
            for mention in cluster:
                sure = mention.confidence
                yield {
                    "document": prediction.document.doc_id,
                    "cluster": c,
                    "text": mention.text,
                    "start_char": mention.start_char,
                    "end_char": mention.end_char,
                    "start_word": mention.start,
                    "end_word": mention.end,
                    "sentence": mention.sentence,
                    "representative": mention is cluster.representative,
                    "pronoun": mention.pronoun,
                    "type": cluster.type,
                    "mention_probability": None if sure is None else float(sure.mention),
                    "link_probability": None if sure is None else float(sure.link),
                }


def predictions_table(predictions: Prediction | Iterable[Prediction]) -> pyarrow.Table:
    """The mentions of predictions as an Arrow table; see `mention_rows`.

    Raises:
      ConfigError: pyarrow is not installed.
    """
    try:
        import pyarrow
    except ImportError:
        raise _lacking("pyarrow", "Arrow tables") from None
    schema = pyarrow.schema(list(COLUMNS.items()))
    return pyarrow.table(_columns(predictions), schema=schema)


def predictions_frame(predictions: Prediction | Iterable[Prediction]) -> pandas.DataFrame:
    """The mentions of predictions as a data frame of pandas; see `mention_rows`.

    Raises:
      ConfigError: pandas is not installed.
    """
    try:
        import pandas
    except ImportError:
        raise _lacking("pandas", "data frames") from None
    columns = _columns(predictions)
    return pandas.DataFrame(
        {
            name: pandas.array(values, dtype=_NULLABLE_OF_PANDAS[COLUMNS[name]])
            for name, values in columns.items()
        }
    )


def _columns(predictions: Prediction | Iterable[Prediction]) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for row in mention_rows(predictions):
        for name, value in row.items():
            columns[name].append(value)
    return columns


def _lacking(package: str, what: str) -> ConfigError:
    return ConfigError(
        f"{what} need {package}, which is not installed: `pip install t5coref[table]`, or `pip "
        f"install {package}`; mention_rows gives the same rows without it"
    )
