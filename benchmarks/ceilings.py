"""What is left of gold annotations after each format: the best that any model can reach.

    python benchmarks/ceilings.py [--write]

Every document is turned into gold sequences and back, and scored against itself. The corpora are
looked for in --data, as in `$T5COREF_SHARED/data`; those that are not there are left out.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import litbank
import report

from t5coref import corpora
from t5coref.cli.tokenizers import add_tokenizer_argument
from t5coref.core.document import Document
from t5coref.core.metrics import Scorer
from t5coref.core.relation_metrics import RelationScorer, triples
from t5coref.linearize import (
    FORMATS,
    RELATIONS,
    Linearization,
    examples,
    get,
    inventory,
    round_trip,
    symbols_of,
)
from t5coref.tokenizer import Tokenizer

CORPORA = {
    "LitBank": ("litbank", "litbank/conll/*.conll"),
    "OntoGUM": ("conllu", "ontogum/*/*.conllu"),
    "GUM": ("conllu", "gum/*/*.conllu"),
    "PreCo sample": ("preco", "format_samples/*/coref/preco.jsonl"),
}
SHORT = ("LitBank", "OntoGUM")
"""Corpora that are also measured with short windows."""

RELATED = {
    "Re-DocRED train": ("docred", "redocred/train.json"),
    "Re-DocRED dev": ("docred", "redocred/dev.json"),
}
"""Corpora that formats of relations are measured on."""


class Corpus(NamedTuple):
    """Annotated documents, and the pieces of a window."""

    name: str
    window: int
    documents: list[Document]

    @property
    def title(self) -> str:
        return f"{self.name}, {self.window:,}"


class Ceiling(NamedTuple):
    """What a format keeps of a corpus.

    Attributes:
      conll: F1.
      lost: mentions that do not come back.
      divided: clusters whose mentions come back in several.
    """

    conll: float
    lost: int
    divided: int


def measure(lin: Linearization, documents: Iterable[Document]) -> Ceiling:
    scorer, lost, divided = Scorer(), 0, 0
    for document in documents:
        back = round_trip(lin, document)
        gold = document.annotation.clusters if document.annotation else ()
        scorer.add(gold, back.clusters)
        homes: dict[tuple[int, int], set[int]] = {}
        for start, end, cluster in back.mentions():
            homes.setdefault((start, end), set()).add(cluster)
        for spans in gold:
            found = [homes[s] for s in spans if s in homes]
            lost += len(spans) - len(found)
            divided += bool(found) and not set.intersection(*found)
    return Ceiling(scorer.compute()["conll"].f1, lost, divided)


def across_sentences(documents: Iterable[Document]) -> int:
    """Mentions that no single sentence holds."""
    count = 0
    for document in documents:
        ends = {end for _, end in document.sentences}
        mentions = document.annotation.mentions() if document.annotation else ()
        count += sum(any(i in ends for i in range(s + 1, e)) for s, e, _ in mentions)
    return count


def read(
    data: pathlib.Path,
    limit: int | None,
    corpora_: Mapping[str, tuple[str, str]] = MappingProxyType(CORPORA),
) -> dict[str, list[Document]]:
    """The corpora that are there."""
    found = {}
    for name, (format_, pattern) in corpora_.items():
        paths = sorted(data.glob(pattern))[:limit]
        if paths:
            found[name] = [d for path in paths for d in corpora.read(path, format=format_)]
        else:
            print(f"no {name}: nothing matches {data / pattern}", file=sys.stderr)
    return found


def table(columns: list[Corpus], found: dict[str, list[Ceiling]]) -> str:
    """One line a format: CoNLL F1, mentions lost."""
    rows = [
        (name, *(f"{100 * c.conll:.2f}, {c.lost}" for c in ceilings))
        for name, ceilings in found.items()
    ]
    return report.table(("format", *(c.title for c in columns)), rows)


def causes(columns: list[Corpus], found: dict[str, list[Ceiling]]) -> str:
    """One line a corpus: how many mentions and clusters, and why some are lost."""
    rows = []
    for i, corpus in enumerate(columns):
        gold = [d.annotation.clusters for d in corpus.documents if d.annotation]
        counts = len(gold), sum(len(c) for g in gold for c in g), sum(map(len, gold))
        across = across_sentences(corpus.documents)
        kinds = [found[name][i] for name in ("full-copy", "partial", "partial-unmarked")]
        lost, divided = [k.lost for k in kinds], [k.divided for k in kinds]
        figures = [f"{n:,}" for n in (*counts, across, *lost, *divided)]
        rows.append((corpus.title, *figures))
    header = (
        "corpus, window", "documents", "mentions", "clusters", "mentions across sentences",
        "mentions lost: full", "partial", "unmarked", "clusters divided: full", "partial",
        "unmarked",
    )  # fmt: skip
    return report.table(header, rows)


def relations_table(model: bytes, found: dict[str, list[Document]], window: int) -> str:
    """One line a format and corpus: what comes back of entities and relations, and how long it is.

    The names are those of all corpora together; F1 is that of `t5coref.core.relation_metrics`.
    """
    options = inventory(d for documents in found.values() for d in documents)
    rows = []
    for name in RELATIONS:
        tokenizer = Tokenizer(model, symbols_of(name, options))
        lin = get(name, tokenizer, window=window, **options)
        for corpus, documents in found.items():
            scorer, lost, lengths = RelationScorer(), 0, []
            for document in documents:
                back = round_trip(lin, document)
                scorer.add(document, back)
                if document.annotation is not None:
                    lost += len(triples(document.annotation) - triples(back))
                lengths += [len(e.actions) for e in examples(lin, document)]
            scores = scorer.compute()
            figures = [f"{100 * scores[k].f1:.2f}" for k in ("mentions", "coref", "re")]
            mean = sum(lengths) / len(lengths)
            rows.append((name, corpus, *figures, str(lost), f"{mean:.0f}", f"{max(lengths)}"))
    header = (
        "format", "corpus", "mentions F1", "COREF F1", "relations F1", "relations lost",
        "actions, mean", "most",
    )  # fmt: skip
    return report.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=pathlib.Path, default=litbank.default_folder().parent,
                        metavar="DIR", help="folder with the corpora")  # fmt: skip
    parser.add_argument("--documents", type=int, metavar="N", help="only so many files a corpus")
    parser.add_argument("--window", type=int, default=2048, metavar="N")
    parser.add_argument("--short", type=int, default=512, metavar="N",
                        help=f"window of a second run over {' and '.join(SHORT)}")  # fmt: skip
    parser.add_argument("--write", action="store_true", help="write docs/results.md")
    add_tokenizer_argument(parser)
    args = parser.parse_args()
    model = report.vocabulary(args.tokenizer)
    documents = read(args.data, args.documents)
    related = read(args.data, None, RELATED)
    columns = [Corpus(name, args.window, found) for name, found in documents.items()]
    columns += [Corpus(name, args.short, documents[name]) for name in SHORT if name in documents]
    if not columns:
        raise SystemExit(f"no corpus in {args.data}; pass --data, or set T5COREF_SHARED")
    start = time.perf_counter()
    found: dict[str, list[Ceiling]] = {}
    for name in sorted(set(FORMATS) - set(RELATIONS)):
        tokenizer = Tokenizer(model, FORMATS[name].symbols)
        found[name] = [measure(get(name, tokenizer, window=c.window), c.documents) for c in columns]
        print(name, f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    body = (
        "    python benchmarks/ceilings.py --write\n\n"
        "Gold sequences turned back into clusters and scored against gold: CoNLL F1, mentions "
        "lost. Strict pieces, T5's vocabulary, stride half a window; a column is a corpus and the "
        "pieces of a window. A cluster is divided if its mentions come back in several.\n\n"
        + table(columns, found)
        + "\n"
        + causes(columns, found)
    )
    if related:
        body += (
            "\nFormats of relations, with entity types. A relation counts if its entities come "
            "back mention for mention.\n\n" + relations_table(model, related, args.window)
        )
    print(body)
    if args.write:
        report.write_section("ceilings", body)


if __name__ == "__main__":
    main()
