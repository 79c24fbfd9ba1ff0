"""Coreference scores of a whole split, for SeqIO's evaluator; imports seqio."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import seqio
from flax import struct

from t5coref.core.errors import MismatchError
from t5coref.core.metrics import Scorer
from t5coref.core.relation_metrics import RelationScorer
from t5coref.data.rows import document_of
from t5coref.linearize import RELATIONS, Linearization, replay

METRICS = ("muc", "b3", "ceafe", "lea", "conll", "mentions")


def score(
    linearization: Linearization,
    rows: Iterable[Mapping[str, Any]],
    predictions: Sequence[np.ndarray],
    *,
    remove_singletons: bool,
) -> dict[str, float]:
    """Scores of predicted actions against the documents' own annotations, in percent.

    The actions of a document's windows are read back and merged, as `t5coref predict` does it.
    Documents of which some windows are missing (an evaluator that takes the first few examples
    cuts one in two) are left out and counted as `incomplete_documents`. Formats with relations
    also have `re_precision`, `re_recall` and `re_f1`, see `RelationScorer`.

    Args:
      linearization: that the actions were written in.
      rows: one for each prediction.
      predictions: `int32[T]` vocabulary ids, padded with 0 at the end.
      remove_singletons: leave out clusters of one mention, on both sides.

    Raises:
      MismatchError: no document is complete.
    """
    lines: dict[bytes, bytes] = {}
    turns: dict[bytes, int] = {}
    answers: dict[bytes, dict[int, np.ndarray]] = {}
    for row, prediction in zip(rows, predictions, strict=True):
        name, turn = row["doc_id"], int(row["turn"])
        if turn == 0:
            lines[name] = row["document"]
        turns[name] = int(row["turns"])
        answers.setdefault(name, {})[turn] = np.trim_zeros(np.asarray(prediction), "b")
    scorer, incomplete = Scorer(METRICS, remove_singletons=remove_singletons), 0
    relations = RelationScorer() if linearization.name in RELATIONS else None
    for name, given in answers.items():
        if len(given) < turns[name]:
            incomplete += 1
            continue
        document = document_of(lines[name])
        found = replay(linearization, document, [given[i] for i in range(turns[name])])
        assert document.annotation is not None  # linearized with it
        scorer.add(document.annotation.clusters, found.clusters)
        if relations is not None:
            relations.add(document, found)
    if not scorer.documents:
        raise MismatchError(
            f"there is nothing to score: of {incomplete} documents none has all of its windows; "
            "give the evaluator more examples"
        )
    scores: dict[str, float] = {}
    for metric, value in scorer.compute().items():
        name = "mention" if metric == "mentions" else metric
        parts = value._asdict() if metric != "conll" else {"f1": value.f1}
        scores |= {f"{name}_{part}": 100.0 * float(x) for part, x in parts.items()}
    if relations is not None and relations.documents:
        parts = relations.compute()["re"]._asdict()
        scores |= {f"re_{part}": 100.0 * x for part, x in parts.items()}
    scores["documents"] = float(scorer.documents)
    if incomplete:
        scores["incomplete_documents"] = float(incomplete)
    return scores


def corpus_metric(
    linearization: Callable[[], Linearization], *, remove_singletons: bool
) -> seqio.metrics.CollectingMetric:
    """`score` as a metric of SeqIO: predictions are actions, one array an example.

    Args:
      linearization: gives the format, when metrics are computed.
      remove_singletons: see `score`.
    """

    @struct.dataclass
    class CorefMetric(seqio.metrics.CollectingMetric):
        """Scores of a whole split."""

        model_output_type = seqio.metrics.ModelOutputType.PREDICTION

        def actual_compute(
            self,
            task_dataset_as_numpy: Iterable[Mapping[str, Any]],
            task_output_features: Mapping[str, Any],
            target_field_name: str = "targets",
            cached_targets: list[str] | None = None,
        ) -> tuple[dict[str, float], dict[str, Any]]:
            """The scores; and for the logs, targets and predictions as text."""
            assert self.values is not None
            places, actions = seqio.metrics.remove_padding_examples(
                *(np.asarray(self.values[k]) for k in ("model_output", "indices_2d", "mask"))
            )
            if actions.ndim != 2:
                raise MismatchError(
                    f"predictions have shape {actions.shape}; expected [examples, T], one sequence "
                    "of actions an example: do not return all decodes"
                )
            actions = seqio.metrics.globally_sort_model_output(actions, places)
            rows = list(task_dataset_as_numpy)
            scores = score(linearization(), rows, actions, remove_singletons=remove_singletons)
            vocabulary = task_output_features[target_field_name].vocabulary
            texts = [vocabulary.decode(row.tolist()) for row in actions]
            targets = cached_targets or [
                vocabulary.decode(row[target_field_name].tolist()) for row in rows
            ]
            return scores, {"targets": targets, "output": texts, "prediction": texts}

    return cast(seqio.metrics.CollectingMetric, CorefMetric.empty())
