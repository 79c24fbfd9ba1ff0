"""`--mentions`: which mentions a format is told that does not find them itself."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from t5coref.core.errors import ConfigError
from t5coref.released import named

if TYPE_CHECKING:
    from t5coref.core.document import Document
    from t5coref.mentions.sources import MentionSource


def add_mentions_arguments(add: Any) -> None:
    """Declares `--mentions` and what belongs to it; `add` is a parser's `add_argument`."""
    add("--mentions", metavar="WHICH",
        help="for formats that are told the mentions: gold (those of the annotation), the folder "
        "of a proposer (docs/proposer.md), english-small (the proposer of the released model), "
        "spacy:PIPELINE (its noun chunks), or a file with documents of the same names; none: for "
        "formats that find them (default: those that the documents carry, as `t5coref propose` "
        "writes them, or else those of the proposer in the model's folder)")  # fmt: skip
    add("--mention-bias", type=float, metavar="X",
        help="with a proposer: more mentions with a higher number (default: the "
        "proposer's own)")  # fmt: skip


def mention_source(args: argparse.Namespace) -> MentionSource | None:
    """What `--mentions` names; None where it is not given.

    Raises:
      ConfigError: it names nothing, or `--mention-bias` has nothing to act on.
    """
    name = args.mentions
    if args.mention_bias is not None and (name is None or not os.path.isdir(named(name))):
        raise ConfigError(
            "--mention-bias is for proposers; expected --mentions DIR with the folder of one"
        )
    if name is None:
        return None
    from t5coref import extractors
    from t5coref.cli.compile_cache import keep_compiled_programs

    keep_compiled_programs()
    computed = {key: getattr(args, key) for key in ("dtype", "batch_size") if key in args}
    return extractors.mention_source(name, bias=args.mention_bias, **computed)


def load_proposer(folder: str, args: argparse.Namespace, *, bias: float | None) -> Any:
    """The proposer of a folder, computed as `--dtype` and `--batch-size` say."""
    from t5coref import extractors
    from t5coref.cli.compile_cache import keep_compiled_programs

    keep_compiled_programs()
    return extractors.load_proposer(folder, dtype=args.dtype, bias=bias, batch_size=args.batch_size)


class ToldScores:
    """What `t5coref evaluate` says of the mentions that a format was told.

    Args:
      predictor: one that may be told them.
    """

    def __init__(self, predictor: Any):
        from t5coref.mentions.metrics import MentionScorer

        self._source: MentionSource | None = getattr(predictor, "mentions", None)
        self._scorer = MentionScorer()
        self._kinds: set[str] = set()

    def add(self, gold: Document, found: Document) -> None:
        """Counts a document."""
        from t5coref.core.given_mentions import MENTIONS, given
        from t5coref.mentions.metrics import gold_spans

        if self._source is not None and MENTIONS in found.extra:
            spans, kind = given(found)
            self._scorer.add(gold_spans(gold), spans)
            self._kinds.add(kind)

    def to_json(self) -> dict[str, Any]:
        """As a key of the JSON output; none where nobody was told any."""
        if self._source is None:
            return {}
        scores = self._scorer.compute()._asdict() if self._kinds else {}
        return {"mentions_told": {"from": self._source.name, "source": self._kind(), **scores}}

    def lines(self) -> list[str]:
        """As a line below the table; none where nobody was told any."""
        if self._source is None:
            return []
        if not self._kinds:
            return ["mentions: none were told"]
        scores = self._scorer.compute()._asdict().items()
        told = ", ".join(f"{name} {100 * value:.2f}" for name, value in scores)
        name = "" if self._source.name == self._kind() else f" ({self._source.name})"
        return [f"mentions: {self._kind()} ones were told{name}: {told}"]

    def _kind(self) -> str:
        return " and ".join(sorted(self._kinds)) or "none"
