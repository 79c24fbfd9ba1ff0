"""The score of the FEVER shared task: the right label for the right reason.

Thorne et al. 2018, section 4. The numbers are those of the official scorer, which divides by zero
where neither precision nor recall is above 0; here F1 is 0 then.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from t5coref.core.errors import ConfigError
from t5coref.corpora.files import Target, write_all
from t5coref.corpora.jsonl import dump_line
from t5coref.downstream.fever import EVIDENCE, UNKNOWN, Claim, Place, label_of
from t5coref.downstream.text import TextExample


class Verdict(NamedTuple):
    """What is predicted for a claim.

    Attributes:
      label: one of `fever.LABELS`; anything else is wrong.
      evidence: sentences, the best first; behind the fifth they do not count.
    """

    label: str
    evidence: Sequence[Place]


def fever_scores(gold: Sequence[Claim], found: Sequence[Verdict]) -> dict[str, float]:
    """Scores verdicts; all are fractions.

    * `fever`: the label is right and, unless it is NOT ENOUGH INFO, all sentences of one gold group
      are among the first five of the verdict.
    * `accuracy`: of labels.
    * `evidence_precision`: of the first five sentences, the mean over claims that have evidence; 1
      for a verdict without a sentence.
    * `evidence_recall`: claims with one whole group among the first five sentences.
    * `evidence_f1`: of these two.

    Args:
      gold: claims with labels and groups.
      found: a verdict for each.

    Raises:
      ConfigError: not one verdict for each of at least one claim, or a claim without a label.
    """
    if len(gold) != len(found) or not gold:
        raise ConfigError(
            f"{len(found)} verdicts for {len(gold)} claims; expected one for each of at least one"
        )
    right = strict = 0
    precisions, recalled = [], 0
    for claim, verdict in zip(gold, found, strict=True):
        if claim.label is None:
            raise ConfigError(f"claim {claim.name} has no label; give the gold file")
        first = [tuple(place) for place in verdict.evidence[:EVIDENCE]]
        whole = any(set(group) <= set(first) for group in claim.groups)
        correct = verdict.label.upper() == claim.label
        right += correct
        strict += correct and (claim.label == UNKNOWN or whole)
        if claim.label != UNKNOWN:
            known = {place for group in claim.groups for place in group}
            hits = sum(place in known for place in first)
            precisions.append(hits / len(first) if first else 1.0)
            recalled += whole or not any(claim.groups)
    precision = sum(precisions) / len(precisions) if precisions else 1.0
    recall = recalled / len(precisions) if precisions else 0.0
    both = precision + recall
    return {
        "fever": strict / len(gold),
        "accuracy": right / len(gold),
        "evidence_precision": precision,
        "evidence_recall": recall,
        "evidence_f1": 2 * precision * recall / both if both else 0.0,
    }


def write_verdicts(claims: Sequence[Claim], found: Sequence[Verdict], target: Target) -> None:
    """Writes verdicts as the shared task's `predictions.jsonl`: five sentences at most.

    Raises:
      ConfigError: not one verdict for each claim.
    """
    if len(claims) != len(found):
        raise ConfigError(f"{len(found)} verdicts for {len(claims)} claims; expected one for each")
    rows = (
        {
            "id": int(claim.name) if claim.name.isdecimal() else claim.name,
            "predicted_label": verdict.label,
            "predicted_evidence": [list(place) for place in verdict.evidence[:EVIDENCE]],
        }
        for claim, verdict in zip(claims, found, strict=True)
    )
    write_all((dump_line(row) for row in rows), target)


def text_accuracy(examples: Sequence[TextExample], texts: Sequence[str]) -> Mapping[str, float]:
    """How many of the labels that a model has written are right, in percent; a `Metric`.

    Raises:
      ConfigError: no claim has a label.
    """
    pairs = [
        (example.data["label"], label_of(text))
        for example, text in zip(examples, texts, strict=True)
        if example.data["label"] is not None
    ]
    if not pairs:
        raise ConfigError("no claim has a label; expected a train or dev file")
    return {"accuracy": 100 * sum(gold == found for gold, found in pairs) / len(pairs)}
