"""The figures of the model card: a model beside a baseline, on documents that neither has seen.

    python benchmarks/model_card.py --model models/english-small --litbank litbank --gum gum \\
      --ontogum ontogum --chunks en_core_web_sm --write

LitBank: the test documents of fold 2. GUM and OntoGUM: the dev documents that are there; OntoGUM is
the same texts, annotated as OntoNotes is, so that singletons count in neither key nor prediction.
The baseline links identical head words and nearest pronouns (head_match.py), between noun chunks of
a spaCy pipeline and, for comparison, between the gold mentions. A model that is told the mentions
gets those of the proposer in its folder; what it makes of the gold ones stands beside that. Time is
that of predicting the first documents of a corpus once more, when everything is compiled, on the
cores that this process has. `--write` puts the table into the README.md of the model's folder.
"""

from __future__ import annotations

import argparse
import pathlib
import time
from collections.abc import Iterator, Sequence

import report
from head_match import linked, with_possessives
from litbank import FOLD

from t5coref import corpora
from t5coref.core.document import Annotation, Document
from t5coref.core.metrics import Scorer
from t5coref.extractors import load_extractor
from t5coref.mentions.chunks import NounChunks
from t5coref.mentions.sources import GoldMentions, ToldPredictor

SECTION = "card"

TIMED = 4
"""Documents that are predicted once more for the time."""


def litbank(folder: pathlib.Path) -> Iterator[Document]:
    """The test documents of the fold."""
    for name in (folder / "splits" / str(FOLD) / "test.ids").read_text("utf-8").split():
        yield from corpora.read(folder / "conll" / f"{name}.conll", "litbank")


def dev_files(folder: pathlib.Path, corpus: str) -> Iterator[Document]:
    """The documents in the folder `dev` of a corpus."""
    for file in sorted((folder / "dev").glob("*.conllu")):
        yield from corpora.read(file, corpus)


def annotation(document: Document) -> Annotation:
    """That of a document which has one."""
    assert document.annotation is not None
    return document.annotation


def scores(golds: Sequence[Document], found: Sequence[Document], singletons: bool) -> list[str]:
    """MUC, B3, CEAF-e, CoNLL and mention F1, in percent."""
    scorer = Scorer(remove_singletons=not singletons)
    for gold, predicted in zip(golds, found, strict=True):
        scorer.add(annotation(gold).clusters, annotation(predicted).clusters)
    figures = scorer.compute()
    order = ("muc", "b3", "ceafe", "conll", "mentions")
    return [f"{100 * figures[name].f1:.2f}" for name in order]


def main() -> None:
    """Predicts, scores and prints the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", required=True, type=pathlib.Path, metavar="DIR", help="the model")
    for name in ("litbank", "gum", "ontogum"):
        add(f"--{name}", type=pathlib.Path, metavar="DIR", help="folder of the corpus")
    add("--chunks", default="en_core_web_sm", metavar="PIPELINE",
        help="spaCy pipeline for the baseline (default: en_core_web_sm)")  # fmt: skip
    add("--batch-size", type=int, default=8, help="windows decoded at once (default: 8)")
    add("--documents", type=int, metavar="N", help="of each corpus, the first N (default: all)")
    add("--write", action="store_true", help="write the table into DIR/README.md")
    args = parser.parse_args()

    predictor = load_extractor(args.model, dtype="float32", batch_size=args.batch_size)
    told = isinstance(predictor, ToldPredictor)
    chunks = NounChunks(args.chunks)
    quality: list[Sequence[object]] = []
    speed: list[Sequence[object]] = []
    seen: dict[tuple[str, ...], list[Document]] = {}
    for name, read, kinds in (
        ("LitBank test", lambda: litbank(args.litbank), (True, False)),
        ("GUM dev", lambda: dev_files(args.gum, "gum"), (True, False)),
        ("OntoGUM dev", lambda: dev_files(args.ontogum, "ontogum"), (False,)),
    ):
        if getattr(args, name.split()[0].lower()) is None:
            continue
        golds = list(read())[: args.documents]
        bare = [gold.with_annotation(None) for gold in golds]
        texts = tuple(" ".join(document.words) for document in bare)
        if texts not in seen:
            seen[texts] = list(predictor.predict(bare))
            timed = bare[:TIMED]
            start = time.perf_counter()
            list(predictor.predict(timed))
            seconds = time.perf_counter() - start
            words = sum(len(document.words) for document in timed)
            speed.append((
                name, len(timed), f"{words:,}", report.number(seconds / len(timed)),
                report.number(words / seconds),
            ))  # fmt: skip
        found = {"model": seen[texts]}
        if told:
            knowing = ToldPredictor(GoldMentions(), predictor.predictor)
            found["model, gold mentions"] = list(knowing.predict(golds))
        found |= {
            "baseline": [
                linked(document, with_possessives(document, chunks.mentions(document).spans))
                for document in bare
            ],
            "baseline, gold mentions": [
                linked(document, [span for c in annotation(gold).clusters for span in c])
                for document, gold in zip(bare, golds, strict=True)
            ],
        }
        for singletons in kinds:
            what = "counted" if singletons else "left out"
            for who, documents in found.items():
                quality.append((name, what, who, *scores(golds, documents, singletons)))
    shown = "\n".join([
        report.table(("corpus", "singletons", "", "MUC", "B3", "CEAF-e", "CoNLL", "mentions"),
                     quality),
        report.table(("corpus", "documents", "words", "s/document", "words/s"), speed),
        f"{report.machine('jax', 'spacy')}.",
    ])  # fmt: skip
    print(shown)
    if args.write:
        report.write_section(SECTION, shown, args.model / "README.md")


if __name__ == "__main__":
    main()
