"""What `score` and `evaluate` say about relations."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from t5coref import corpora
from t5coref.cli.tables import as_json, counted, table
from t5coref.core.document import Annotation, Document
from t5coref.core.entities import left_out
from t5coref.core.errors import ConfigError
from t5coref.core.relation_metrics import RelationScorer, train_facts

METRICS = """\
relations, where either side has some:
  mentions     spans that are a mention on both sides
  coref        mean of muc, b3 and ceafe, with clusters of one mention
  re           right relations: the type, and all mentions of both entities
  ign          re, precision without relations that the --train documents state
  re_official  re, where relations that the annotation cannot hold (of an entity without mentions,
               or of one with itself) count as missed; where there are some
"""


def add_train_argument(parser: argparse.ArgumentParser) -> None:
    """Adds `--train`."""
    parser.add_argument(
        "--train",
        metavar="FILE",
        help="the documents trained on, a file or a folder: adds ign, which leaves out relations "
        "that they state between entities of the same names (DocRED: train_annotated.json)",
    )


def relation_scorer(args: argparse.Namespace) -> RelationScorer:
    """A scorer that knows what the documents of `--train` state.

    Raises:
      ConfigError: they have no relations.
      FormatError: they cannot be read.
    """
    if args.train is None:
        return RelationScorer()
    facts = train_facts(corpora.read(args.train))
    if not facts:
        raise ConfigError(
            f"--train {args.train} has no relations; expected the annotated documents of training"
        )
    return RelationScorer(facts)


def has_relations(gold: Document, predicted: Annotation) -> bool:
    """Whether either side speaks of relations."""
    known = () if gold.annotation is None else gold.annotation.relations
    return bool(known or predicted.relations or left_out(gold))


def relation_lines(scorer: RelationScorer) -> Iterator[str]:
    """The scores as a table, and how many relations they are of."""
    yield from table(scorer.compute(), "relations")
    found = f"{scorer.correct:,} right of {scorer.submitted:,} predicted and {scorer.gold:,} true"
    yield f"{counted(scorer.documents, 'document')}, {found}"


def relation_json(scorer: RelationScorer) -> dict[str, dict]:
    """The scores as the JSON output has them."""
    return as_json(scorer.compute())
