"""Documents of any length and files of any number in bounded memory: words a second, peak memory.

    python benchmarks/big_inputs.py --model RUN/best --words 100000
    python benchmarks/big_inputs.py --model RUN/best --documents 100000
    python benchmarks/big_inputs.py --model tiny --documents 10000   # a random network, two layers

Writes stories of the demonstration, one behind the other as one document or a sentence each as
many, and predicts them as `t5coref predict` does. The peak is that of the process (its largest
resident set), printed at tenths of the work: where it no longer grows, it is bounded.
"""

from __future__ import annotations

import argparse
import itertools
import json
import pathlib
import resource
import tempfile
import time
from collections.abc import Iterator, Sequence

from t5coref import demo, jobs
from t5coref.core.document import Document
from t5coref.corpora import jsonl
from t5coref.extractors import load_extractor
from t5coref.model import Format, Model, from_scratch
from t5coref.nn.t5 import T5Config
from t5coref.predictors import predictor_of
from t5coref.tokenizer import Tokenizer

TINY = "tiny"


def peak() -> float:
    """The largest resident set of this process so far, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)


def one_document(words: int) -> Iterator[Document]:
    """Stories up to so many words, as one document."""
    stories = itertools.cycle(list(demo.stories()))
    text: list[str] = []
    sentences: list[tuple[int, int]] = []
    for story in stories:
        for start, end in story.sentences:
            if len(text) >= words:
                yield Document(doc_id="long", words=tuple(text), sentences=tuple(sentences))
                return
            sentences.append((len(text), len(text) + end - start))
            text += story.words[start:end]


def many_documents(count: int) -> Iterator[Document]:
    """A sentence of a story each."""
    lines = [story.words[start:end] for story in demo.stories() for start, end in story.sentences]
    for number, words in zip(range(count), itertools.cycle(lines), strict=False):
        yield Document(doc_id=f"line-{number}", words=words)


def tiny() -> Model:
    """A random network of two layers each, width 64, that reads windows of 512 pieces."""
    text = [" ".join(story.words) for story in demo.stories()]
    tokenizer = Tokenizer.train(text, 300)
    config = T5Config(
        vocab_size=tokenizer.size, emb_dim=64, num_heads=4, num_encoder_layers=2,
        num_decoder_layers=2, head_dim=16, mlp_dim=128,
    )  # fmt: skip
    options = {"window": 512, "stride": 384, "max_clusters": 200}
    return from_scratch(config, tokenizer, format=Format("full-copy", options))


class Meter:
    """Says how far a job is, how fast, and how large."""

    def __init__(self, documents: int) -> None:
        self._documents, self._done, self._words = documents, 0, 0
        self._began = time.perf_counter()
        self.rows: list[dict[str, float]] = []

    def resumed(self, records: int) -> None:
        """Nothing: jobs begin anew here."""

    def advanced(self, records: Sequence[Document]) -> None:
        """Prints a row at each tenth."""
        before = 10 * self._done // self._documents
        self._done += len(records)
        self._words += sum(len(record.words) for record in records)
        if 10 * self._done // self._documents > before:
            seconds = time.perf_counter() - self._began
            row = {"documents": self._done, "words": self._words, "seconds": round(seconds, 1),
                   "words_per_second": round(self._words / seconds, 1),
                   "peak_gib": round(peak(), 3)}  # fmt: skip
            self.rows.append(row)
            print(json.dumps(row), flush=True)


def main() -> None:
    """Measures one of the two."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--model", required=True, help=f"a model folder, or {TINY!r}")
    size = parser.add_mutually_exclusive_group(required=True)
    size.add_argument("--words", type=int, help="of one document")
    size.add_argument("--documents", type=int, help="of one sentence each")
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--round-size", type=int, default=16)
    args = parser.parse_args()
    sizes = {"batch_size": args.batch_size, "round_size": args.round_size}
    predictor = (
        predictor_of(tiny(), **sizes)
        if args.model == TINY
        else load_extractor(args.model, dtype="float32", **sizes)
    )
    made = one_document(args.words) if args.words else many_documents(args.documents)
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "in.jsonl")
        jsonl.write(made, source)
        print(json.dumps({"before": True, "peak_gib": round(peak(), 3)}))
        documents = jobs.read_inputs([source], None)
        meter = Meter(args.documents or 1)
        failed = jobs.run(predictor, documents, pathlib.Path(folder, "out.jsonl"), listener=meter)
        there = sum(1 for _ in jsonl.read(pathlib.Path(folder, "out.jsonl")))
    print(json.dumps({"failed": failed, "written": there, "peak_gib": round(peak(), 3)}))


if __name__ == "__main__":
    main()
