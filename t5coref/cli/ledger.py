"""`--ledger`: how faithful outputs are to their documents, as a table, as JSON, and document by
document."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING, Any

from t5coref.core.errors import ConfigError

if TYPE_CHECKING:
    from t5coref.core.document import Document
    from t5coref.core.ledger import Figures
    from t5coref.predict import Predictor

DESCRIPTION = """\
With --ledger, and always with --free: whether outputs are faithful to their documents. EM is the
share of documents whose text is repeated exactly (EM_norm: but for blanks), Pass of those where
all marks and numbers are right, too; Pass_mention is the share of mentions that got a number.
CoNLL counts documents that do not pass as empty, CoNLL-SA keeps what can be laid along the source,
and CoNLL-passed looks at documents that pass alone, so it is optimistic. See docs/ledger.md.
"""


def add_ledger_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares `--ledger` and `--ledger-output`."""
    parser.add_argument("--ledger", action="store_true",
                        help="say how faithful the outputs are to their documents: EM, Pass, three "
                        "CoNLL columns, and counts of what is wrong; always with --free "
                        "(docs/ledger.md)")  # fmt: skip
    parser.add_argument("--ledger-output", metavar="FILE",
                        help="with --ledger or --free: write the counts of each document, one JSON "
                        "object a line")  # fmt: skip


class LedgerReport:
    """The ledger of an evaluation, if one is wanted.

    Args:
      args: those of the command.
      predictor: what predicts; it is told to keep its outputs.
      remove_singletons: leave out clusters of one mention, on both sides.

    Raises:
      ConfigError: a file is wanted without a ledger, or the model has no outputs to look at.
    """

    def __init__(self, args: argparse.Namespace, predictor: Any, *, remove_singletons: bool):
        from t5coref.core.ledger import LedgerScorer

        self._wanted = args.ledger or args.free
        if args.ledger_output is not None and not self._wanted:
            raise ConfigError("--ledger-output is for the ledger; add --ledger or --free")
        self._path: str | None = args.ledger_output
        self._scorer = LedgerScorer(remove_singletons=remove_singletons)
        self._records: list[dict[str, Any]] = []
        if self._wanted:
            self._predictor = _writer(predictor)
            self._predictor.keep_actions = True

    def add(self, gold: Document, found: Document) -> None:
        """Counts a document."""
        if not self._wanted:
            return
        from t5coref.core.ledger import FAILED, record
        from t5coref.linearize.audit import audit
        from t5coref.predict import ACTIONS, error_of

        assert gold.annotation is not None
        key = gold.annotation.clusters
        if (error := error_of(found)) is not None:
            self._scorer.add(key, (), ())
            self._records.append(record(gold.doc_id, FAILED, error))
            return
        # As the predictor saw it: with the mentions that it was told, if any.
        seen = found.with_annotation(gold.annotation)
        made = audit(self._predictor.linearization, seen, found.extra[ACTIONS])
        self._scorer.add(key, made.read, made.aligned, made.account)
        self._records.append(record(gold.doc_id, made.account))

    def to_json(self) -> dict[str, Any]:
        """As a key of the JSON output; none where no ledger is wanted."""
        if not self._wanted:
            return {}
        figures = self._scorer.compute()
        scores = {name: s["conll"].f1 for name, s in figures.scores.items()}
        return {"ledger": figures._asdict() | {"scores": scores}}

    def lines(self) -> list[str]:
        """As a table; none where no ledger is wanted."""
        return ["", *_table(self._scorer.compute())] if self._wanted else []

    def write(self) -> None:
        """Writes the documents' counts, if a file is wanted."""
        if self._path is not None:
            with open(self._path, "w", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in self._records)


def _writer(predictor: Any) -> Predictor:
    """What writes sequences behind a predictor that may be told mentions.

    Raises:
      ConfigError: nothing does.
    """
    from t5coref.predict import Predictor

    inner = getattr(predictor, "predictor", predictor)
    if not isinstance(inner, Predictor):
        raise ConfigError(
            "--ledger looks at the sequences that a model writes, and this one writes none; leave "
            "it out"
        )
    return inner


def _table(figures: Figures) -> list[str]:
    """The figures in lines, shares as percentages."""
    from t5coref.core.ledger import ALIGNED, PASSED, READ

    shares = {
        "EM": figures.exact,
        "EM_norm": figures.exact_normalized,
        "Pass": figures.passed,
        "Pass_mention": figures.passed_mentions,
        "CoNLL": figures.scores[READ]["conll"].f1,
        "CoNLL-SA": figures.scores[ALIGNED]["conll"].f1,
        "CoNLL-passed": figures.scores[PASSED]["conll"].f1,
    }
    width = max(map(len, shares)) + 2
    cells = ["-" if value is None else f"{100 * value:.2f}" for value in shares.values()]
    counts = figures.counts
    asked = counts["mentions"]
    return [
        "".join(name.rjust(width) for name in shares),
        "".join(cell.rjust(width) for cell in cells),
        f"of {counts['source']} pieces {counts['deleted']} deleted and {counts['substituted']} "
        f"substituted, {counts['inserted']} inserted ({counts['tail']} behind the end)",
        f"of {asked} mentions {counts['answered']} with a number; {counts['extra_marks']} marks "
        f"too many, {counts['missing_marks']} missing, {counts['outside_ids']} numbers out of "
        "place",
        f"{counts['unended']} outputs without an end, {counts['unaligned']} not aligned",
    ]
