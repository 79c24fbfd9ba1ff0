"""`--mentions`: which mentions a format is told that does not find them itself."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING, Any

from t5coref.core.errors import ConfigError

if TYPE_CHECKING:
    from t5coref.core.document import Document
    from t5coref.mentions.sources import MentionSource
    from t5coref.predict import Extractor

SPACY = "spacy:"


def add_mentions_arguments(add: Any) -> None:
    """Declares `--mentions` and what belongs to it; `add` is a parser's `add_argument`."""
    add("--mentions", metavar="WHICH",
        help="for formats that are told the mentions: gold (those of the annotation), the folder "
        f"of a proposer (docs/proposer.md), {SPACY}PIPELINE (its noun chunks), or a file with "
        "documents of the same names (default: those that the documents carry, as `t5coref "
        "propose` writes them); none: for formats that find them")  # fmt: skip
    add("--mention-bias", type=float, metavar="X",
        help="with a proposer: more mentions with a higher number (default: the "
        "proposer's own)")  # fmt: skip


def mention_source(args: argparse.Namespace) -> MentionSource | None:
    """What `--mentions` names; None where it is not given.

    Raises:
      ConfigError: it names nothing, or `--mention-bias` has nothing to act on.
    """
    name = args.mentions
    folder = name is not None and os.path.isdir(name)
    if args.mention_bias is not None and not folder:
        raise ConfigError(
            "--mention-bias is for proposers; expected --mentions DIR with the folder of one"
        )
    if name is None:
        return None
    from t5coref.mentions import sources

    if name == "gold":
        return sources.GoldMentions()
    if name == "none":
        return sources.NoMentions()
    if name.startswith(SPACY):
        from t5coref.mentions.chunks import NounChunks

        return NounChunks(name.removeprefix(SPACY))
    if folder:
        proposer = load_proposer(name, args, bias=args.mention_bias)
        return sources.ProposedMentions(proposer, name)
    if os.path.isfile(name):
        return sources.FileMentions(name)
    raise ConfigError(
        f"--mentions {name!r}: there is no such file or folder; expected gold, none, "
        f"{SPACY}PIPELINE, the folder of a proposer (docs/proposer.md says how to train one), or a "
        "file with documents and their mentions"
    )


def load_proposer(folder: str, args: argparse.Namespace, *, bias: float | None) -> Any:
    """The proposer of a folder, computed as `--dtype` and `--batch-size` say."""
    import jax

    from t5coref.cli.compile_cache import keep_compiled_programs
    from t5coref.mentions import MentionProposer

    keep_compiled_programs()
    # CPUs compute bfloat16 in software.
    on_cpu = "float32" if jax.default_backend() == "cpu" else None
    dtype = args.dtype or on_cpu
    return MentionProposer.load(folder, dtype=dtype, bias=bias, batch_size=args.batch_size)


def told(source: MentionSource | None, predictor: Extractor) -> Extractor:
    """A predictor that is told the mentions, if it has to be.

    Raises:
      ConfigError: it has to be and nobody tells it, or the other way around.
    """
    made: Any = predictor  # which of the two attributes it has depends on its kind
    needs = getattr(getattr(made, "linearization", made), "needs_mentions", False)
    if source is None and not needs:
        return predictor
    from t5coref.mentions import sources

    if source is None:
        source = sources.OwnMentions()
    none = isinstance(source, sources.NoMentions)
    if needs and none:
        raise ConfigError(
            "--mentions none: the model's format does not find mentions, it is told them; expected "
            "gold, the folder of a proposer, or a file with documents and their mentions"
        )
    if not needs and not none:
        raise ConfigError(
            f"--mentions {source.name}: the model finds its mentions itself; leave it out, or take "
            "a model of a format that is told them, such as iterative-ids"
        )
    return sources.ToldPredictor(source, predictor)


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
