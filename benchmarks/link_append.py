"""What link-append keeps of gold annotations, what it cannot say, and how much it reads and writes.

    python benchmarks/link_append.py [--window 2048] [--corpora LitBank GUM]

Every document is answered by the oracle, sentence by sentence, and scored against itself, with
clusters of one mention (Mention-Link-Append) and without (Link-Append, as published). The corpora
are looked for in --data, as in `$T5COREF_SHARED/data`; those that are not there are left out.
"""

from __future__ import annotations

import argparse
import pathlib
import sys
import time
from collections import Counter
from collections.abc import Iterable

import ceilings
import report

from t5coref.cli.tokenizers import add_tokenizer_argument, find_tokenizer
from t5coref.core.document import Annotation, Document
from t5coref.core.metrics import Scorer
from t5coref.linearize import Answer, drive
from t5coref.linearize.link_append import LinkAppend, SentenceTurn

COLUMNS = (
    "corpus", "clusters of one", "documents", "exact", "CoNLL F1", "mentions", "shared spans",
    "out of sight", "ambiguous", "turns", "pieces read", "written", "longest answer", "cut at 384",
    "seconds",
)  # fmt: skip


def measure(lin: LinkAppend, documents: Iterable[Document]) -> tuple[str, ...]:
    """The row of a corpus, from the number of its documents on."""
    scorer, counts = Scorer(), Counter[str]()
    started = time.perf_counter()
    for document in documents:
        gold = document.annotation or Annotation()
        hidden = set[tuple[int, int]]()

        def answer(turns, gold=gold, hidden=hidden):
            (turn,) = turns
            assert isinstance(turn, SentenceTurn)
            first = min(turn.view.place)
            hidden.update(
                s for c in gold.clusters for s in c if s[0] < first and s not in turn.known
            )
            actions = lin.oracle(turn, gold)
            counts["turns"] += 1
            counts["read"] += len(turn.source)
            counts["written"] += len(actions)
            counts["longest"] = max(counts["longest"], len(actions))
            counts["cut"] += len(actions) > 384
            return [Answer(actions)]

        found = drive(lin, document, answer)
        wanted = [c for c in gold.partition() if len(c) >= lin.min_mentions]
        scorer.add(tuple(c for c in gold.clusters if len(c) >= lin.min_mentions), found.clusters)
        counts["documents"] += 1
        counts["mentions"] += sum(map(len, wanted))
        counts["shared"] += sum(map(len, gold.clusters)) - sum(map(len, gold.partition()))
        counts["exact"] += sorted(map(sorted, wanted)) == sorted(map(sorted, found.clusters))
        homes = {span: cluster for cluster in found.clusters for span in cluster}
        for cluster in wanted:
            best = Counter(homes[s] for s in cluster if s in homes).most_common(1)
            home = best[0][0] if best else ()
            for span in cluster:
                if span not in home:
                    # Its cluster began where the input no longer reaches.
                    far = any(s in hidden for s in cluster)
                    counts["out of sight" if far else "ambiguous"] += 1
    seconds = time.perf_counter() - started
    f1 = scorer.compute()["conll"].f1
    names = ("mentions", "shared", "out of sight", "ambiguous", "turns", "read", "written",
             "longest", "cut")  # fmt: skip
    return (
        f"{counts['documents']:,}", f"{counts['exact']:,}", f"{100 * f1:.2f}",
        *(f"{counts[name]:,}" for name in names), f"{seconds:.0f}",
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"), metavar="DIR")
    add("--window", type=int, default=2048, metavar="N", help="pieces of an input")
    add("--constraint", choices=("strict", "reference"), default="strict",
        help="by which rule repeated text is found")  # fmt: skip
    add("--corpora", nargs="+", default=list(ceilings.CORPORA), choices=list(ceilings.CORPORA))
    add("--limit", type=int, metavar="N", help="files of a corpus at most")
    add_tokenizer_argument(parser)
    args = parser.parse_args()
    tokenizer = find_tokenizer(args.tokenizer, ())
    wanted = {name: ceilings.CORPORA[name] for name in args.corpora}
    rows = []
    for name, documents in ceilings.read(args.data, args.limit, wanted).items():
        for smallest in (1, 2):
            lin = LinkAppend(
                tokenizer, window=args.window, min_mentions=smallest, constraint=args.constraint
            )
            rows.append((name, "yes" if smallest == 1 else "no", *measure(lin, documents)))
            print(*rows[-1], lin.skipped, file=sys.stderr)
    print(report.table(COLUMNS, rows))


if __name__ == "__main__":
    main()
