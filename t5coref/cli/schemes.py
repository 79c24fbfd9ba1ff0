"""How `t5coref score` counts clusters: as for CoNLL, Universal Anaphora or CorefUD."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

from t5coref.cli.tables import as_json, table
from t5coref.core import anaphora_metrics, metrics
from t5coref.core.anaphora import anaphora
from t5coref.core.anaphora_metrics import AnaphoraScorer
from t5coref.core.anaphora_sides import COREFUD, UNIVERSAL_ANAPHORA, Scheme
from t5coref.core.document import Document
from t5coref.core.errors import ConfigError
from t5coref.core.mention_matching import MATCHES
from t5coref.core.metrics import Scores

CONLL = "conll"
SCHEMES = {"ua": UNIVERSAL_ANAPHORA, "corefud": COREFUD}
METRICS = {
    CONLL: metrics.DEFAULT,
    "ua": metrics.DEFAULT,
    "corefud": (*metrics.DEFAULT, anaphora_metrics.OVERLAP, anaphora_metrics.ZEROS),
}
"""What each scheme prints unless told otherwise."""

ALL = "all"
ALIASES = {"bcub": "b3"}

HELP = """\
schemes:
  conll    clusters of spans, matched by their bounds (the default)
  ua       identity as in the scorer of Universal Anaphora: singletons and split antecedents
           count, zeros do not; non-referring expressions and bridging are scored where they occur
  corefud  as in the CorefUD scorer of the CRAC shared tasks: mentions match by their heads, zeros
           by what they depend on, singletons are left out
  A RESPONSE without heads, such as what t5coref predict writes, gets them from KEY's tree.
"""

EXAMPLES = """\
  t5coref score dev.conllu predicted.conllu --scheme corefud
  t5coref score dev.conllu predicted.jsonl --scheme corefud --match partial --keep-singletons
  t5coref score dev.CONLLUA predicted.CONLLUA --scheme ua --match partial --json | jq .bridging
"""


def add_scheme_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options that say what counts, and when mentions match."""
    parser.add_argument(
        "--scheme",
        choices=(CONLL, *SCHEMES),
        default=CONLL,
        help="what counts as a mention, see below (default: conll)",
    )
    parser.add_argument(
        "--match",
        choices=tuple(MATCHES),
        help="when mentions match: exactly; within the key's mention and with its head or minimal "
        "span; or by their heads (default: head for corefud, else exact)",
    )
    parser.add_argument(
        "--zeros",
        choices=("none", "linear", "dependent"),
        help="whether zeros count, matched by where they stand or by what they depend on "
        "(default: dependent for corefud, else none)",
    )
    parser.add_argument(
        "--metrics",
        type=_metric_names,
        metavar="NAMES",
        help=f"names joined by commas, or all (default: {','.join(metrics.DEFAULT)}; with corefud "
        f"also {anaphora_metrics.OVERLAP},{anaphora_metrics.ZEROS})",
    )
    singletons = parser.add_mutually_exclusive_group()
    singletons.add_argument(
        "--remove-singletons",
        action="store_const",
        const=True,
        dest="remove_singletons",
        help="leave out clusters of one mention, on both sides, and with ua split antecedents (the "
        "default of corefud)",
    )
    singletons.add_argument(
        "--keep-singletons",
        action="store_const",
        const=False,
        dest="remove_singletons",
        help="count clusters of one mention (the default of conll and ua)",
    )
    parser.add_argument(
        "--remove-split-antecedents",
        action="store_true",
        help="with ua: do not count several antecedents together as a mention",
    )


class ClusterScores:
    """Clusters of spans, as `AnaphoraScorer` counts what `extra` says of them."""

    def __init__(self, names: tuple[str, ...], remove_singletons: bool) -> None:
        self._scorer = metrics.Scorer(names, remove_singletons=remove_singletons)

    @property
    def documents(self) -> int:
        """How many there were."""
        return self._scorer.documents

    def add(self, key: Document, response: Document | None) -> None:
        """Adds the counts of one document; None is a response without clusters."""
        sides = [
            () if side is None or side.annotation is None else side.annotation.clusters
            for side in (key, response)
        ]
        self._scorer.add(*sides)

    def merge(self, other: ClusterScores) -> None:
        """Adds all that another scorer has counted."""
        self._scorer.merge(other._scorer)

    def compute(self) -> Scores:
        """The scores of all documents added so far."""
        return self._scorer.compute()


def cluster_scorer(args: argparse.Namespace) -> ClusterScores | AnaphoraScorer:
    """A scorer as these options want it.

    Raises:
      ConfigError: options do not go together.
    """
    wanted = args.metrics or METRICS[args.scheme]
    if args.scheme == CONLL:
        if args.match or args.zeros or args.remove_split_antecedents:
            raise ConfigError(
                "--match, --zeros and --remove-split-antecedents need --scheme ua or corefud: "
                "clusters of spans know nothing but their bounds"
            )
        names = metrics.NAMES if wanted == (ALL,) else wanted
        if unknown := [name for name in names if name not in metrics.NAMES]:
            raise ConfigError(f"metrics {', '.join(unknown)} need --scheme ua or corefud")
        return ClusterScores(names, bool(args.remove_singletons))
    return AnaphoraScorer(_scheme(args), anaphora_metrics.NAMES if wanted == (ALL,) else wanted)


def without_heads(
    pairs: Sequence[tuple[Document, Document | None]], scorer: ClusterScores | AnaphoraScorer
) -> int:
    """In how many documents heads decide that the response states and the key does not."""
    if isinstance(scorer, ClusterScores) or not scorer.scheme.match.by_head:
        return 0
    return sum(
        not _states_heads(key) and response is not None and _states_heads(response)
        for key, response in pairs
    )


def _states_heads(document: Document) -> bool:
    return any(mention.head is not None for mention in anaphora(document).mentions)


def more_json(scorer: ClusterScores | AnaphoraScorer) -> dict[str, dict]:
    """Scores beside those of clusters, as the JSON output has them."""
    if isinstance(scorer, ClusterScores):
        return {}
    split = as_json(scorer.compute_split())
    return as_json(scorer.compute_rest()) | ({"split_antecedents": split} if split else {})


def more_lines(scorer: ClusterScores | AnaphoraScorer) -> Iterator[str]:
    """Scores beside those of clusters, as text."""
    if isinstance(scorer, ClusterScores):
        return
    if split := scorer.compute_split():
        yield ""
        yield from table(split, "split antecedents ")
    if rest := scorer.compute_rest():
        yield ""
        yield from table(rest)


def described(scorer: ClusterScores | AnaphoraScorer, args: argparse.Namespace) -> str:
    """What was counted, for the line below the table."""
    if isinstance(scorer, ClusterScores):
        return "without singletons" if args.remove_singletons else "singletons kept"
    scheme = scorer.scheme
    match = next(name for name, match in MATCHES.items() if match == scheme.match)
    zeros = "zeros by dependencies" if scheme.zeros_by_dependencies else "zeros by place"
    return ", ".join(
        [
            "without singletons" if scheme.remove_singletons else "singletons kept",
            f"{match} match",
            zeros if scheme.zeros else "without zeros",
            *(["split antecedents"] if scheme.split_antecedents else []),
        ]
    )


def _scheme(args: argparse.Namespace) -> Scheme:
    scheme = SCHEMES[args.scheme]
    if args.match:
        scheme = dataclasses.replace(scheme, match=MATCHES[args.match])
    if args.zeros:
        scheme = dataclasses.replace(
            scheme, zeros=args.zeros != "none", zeros_by_dependencies=args.zeros == "dependent"
        )
    removed = scheme.remove_singletons if args.remove_singletons is None else args.remove_singletons
    return dataclasses.replace(
        scheme,
        remove_singletons=removed,
        split_antecedents=scheme.split_antecedents
        and not (args.remove_split_antecedents or removed),
    )


def _metric_names(text: str) -> tuple[str, ...]:
    if text == ALL:
        return (ALL,)
    names = tuple(ALIASES.get(name, name) for name in text.replace(" ", "").split(",") if name)
    known = anaphora_metrics.NAMES
    if unknown := [name for name in names if name not in known] or not names:
        raise argparse.ArgumentTypeError(
            f"unknown metrics {unknown if names else text!r}; "
            f"expected some of {','.join(known)} joined by commas, or all"
        )
    return names
