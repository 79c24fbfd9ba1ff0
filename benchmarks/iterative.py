"""Iterative generation: our loop against one that reads the whole prefix for every mention.

    python benchmarks/iterative.py [--write]

Both find the same symbols with the same random weights. Ours is the search of `t5coref predict`:
one jitted loop with a cache, which is fed text in blocks. The other one is the loop that is
published for such templates: one pass over all that is written so far for each mention, and the
best of the legal symbols at its end. It is given a jitted decoder, a source that is encoded once,
and prefixes padded to a few lengths, so that what is compared is the loop alone. Both loops decode
one document at a time, in turn; compilation is not in the times.

The documents are generated stories, put one after the other. How many symbols are foreseen, and
with that our calls, is a matter of the weights: random ones tend to repeat one symbol.

  pieces           of the source, marks included
  mentions         of a document
  s/document       the fastest of the repeats, summed over the documents
  calls            of the decoder, for a document
  identical        documents with the same symbols on both sides: the same sums in another order may
                   change places of two symbols that are equal up to rounding
"""

from __future__ import annotations

import argparse
import functools
import os
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import report

from t5coref import linearize
from t5coref.core.document import Annotation, Document
from t5coref.decode import draft
from t5coref.decode.constraint import Tables
from t5coref.decode.search import START, Greedy, Rows
from t5coref.linearize import Turn
from t5coref.linearize.iterative import Iterative
from t5coref.model import from_scratch
from t5coref.nn.t5 import T5, T5Config, for_decoding
from t5coref.predict import decode_batch, padded_length
from t5coref.tokenizer import Tokenizer
from t5coref.train.inputs import demo_stories, vocabulary

FORMATS = ("iterative-ids", "iterative-text")
SHAPES = {
    "tiny": {"emb_dim": 64, "num_heads": 4, "layers": 2, "head_dim": 16, "mlp_dim": 128},
    "T5-small": {"emb_dim": 512, "num_heads": 6, "layers": 8, "head_dim": 64, "mlp_dim": 1024},
}
PIECES = (256, 512, 1024)
DRAFTS = (4, 8)


class Result(NamedTuple):
    """One line of the table; totals over the documents."""

    format: str
    shape: str
    pieces: int
    documents: int
    mentions: int
    ours: float
    theirs: float
    our_calls: int
    their_calls: int
    identical: int

    @property
    def ratio(self) -> float:
        return self.theirs / self.ours


def long_stories(pieces: int, count: int, tokenizer: Tokenizer) -> list[Document]:
    """Documents of stories put together that are at least as long as a window."""
    stories = iter(demo_stories(count=40 * count * (1 + pieces // 256), seed=11))
    out = []
    for number in range(count):
        words: list[str] = []
        sentences: list[tuple[int, int]] = []
        clusters: list[list[tuple[int, int]]] = []
        marked = 0
        while marked < pieces:
            story = next(stories)
            at = len(words)
            words += story.words
            sentences += [(start + at, end + at) for start, end in story.sentences]
            assert story.annotation is not None
            clusters += [[(s + at, e + at) for s, e in c] for c in story.annotation.clusters]
            mentions = sum(map(len, story.annotation.clusters))
            marked += 2 * mentions + len(tokenizer.pieces(story))
        annotation = Annotation(tuple(map(tuple, clusters)))
        out.append(Document(doc_id=f"stories {number}", words=tuple(words),
                            sentences=tuple(sentences), annotation=annotation))  # fmt: skip
    return out


@functools.partial(jax.jit, static_argnames="network")
def encode(network: T5, params: Any, source: jax.Array) -> jax.Array:
    """`[1, S, D]`."""
    return network.apply({"params": params}, source, enable_dropout=False, method="encode")


@functools.partial(jax.jit, static_argnames="network")
def last_logits(network: T5, params: Any, encoded, source, read, last, symbols) -> jax.Array:
    """The logits `[A]` behind the prefix `read` `[1, T]`, of which `last` is the last position."""
    there = (jnp.arange(read.shape[1]) <= last).astype(jnp.int32)[None, :]
    logits = network.apply(
        {"params": params}, encoded, source, read, there, enable_dropout=False,
        logit_symbols=symbols, method="decode",
    )  # fmt: skip
    assert isinstance(logits, jax.Array)
    return logits[0, last]


class Published:
    """A pass over the whole prefix for every mention."""

    def __init__(self, network: T5, params: Any, format_: Iterative):
        self.network, self.params, self.format = network, params, format_
        self.symbols = jnp.asarray(format_.rules.inventory.ids)
        assert format_.new is not None
        index = format_.rules.inventory.index
        self.new = index[format_.new]
        self.column = np.asarray([index[token] for token in format_.clusters])

    def decode(self, turn: Turn) -> tuple[list[int], int]:
        """The symbols of the mentions, and how often the decoder was called."""
        source = np.zeros((1, padded_length(len(turn.source))), np.int32)
        source[0, : len(turn.source)] = turn.source
        encoded = encode(self.network, self.params, source)
        read, said, entities = [START], [], 0
        for piece in turn.source.tolist()[:-1]:
            if piece != self.format.close:
                if self.format.copy_id is not None:
                    read.append(piece)
                continue
            prefix = np.zeros((1, padded_length(len(read))), np.int32)
            prefix[0, : len(read)] = read
            logits = np.asarray(last_logits(
                self.network, self.params, encoded, source, prefix, len(read) - 1, self.symbols
            ))  # fmt: skip
            legal = np.append(self.column[:entities], self.new)
            column = int(legal[np.argmax(logits[legal])])
            number = entities if column == self.new else int(np.argmax(self.column == column))
            entities = max(entities, number + 1)
            said.append(number)
            read.append(self.format.clusters[number])
        return said, len(said)


class Ours:
    """The search of `Predictor`, one document at a time."""

    def __init__(self, network: T5, params: Any, format_: Iterative, drafts: tuple[int, ...]):
        self.network, self.params, self.format = network, params, format_
        self.tables, self.search = Tables.of(format_.rules), Greedy(drafts)
        self.memory = draft.empty()

    def decode(self, turn: Turn) -> tuple[list[int], int]:
        """As `Published.decode`."""
        source = np.zeros((1, padded_length(len(turn.source))), np.int32)
        source[0, : len(turn.source)] = turn.source
        marks = int((turn.source == self.format.close).sum())
        steps = len(turn.source) if self.format.rules.recites else marks + 1
        most = padded_length(steps)
        rows = Rows(jnp.asarray(source), jnp.asarray([most]), jnp.full((1, 1), -1, jnp.int32))
        found, self.memory = decode_batch(
            self.network, self.params, self.tables, rows, self.memory, most, self.search
        )
        feeds = self.format.feeds(turn, np.asarray(found.actions[0, 0, : int(found.lengths[0, 0])]))
        number = self.format.cluster_number
        return [number[t] for t in feeds.tolist() if t in number], int(found.calls)


def measure(
    name: str, shape: str, pieces: int, documents: int, repeats: int, drafts: tuple[int, ...]
) -> Result:
    """Decodes the documents with both loops in turn."""
    words = vocabulary(documents=demo_stories(count=200, seed=11), size=1000)
    tokenizer = Tokenizer(words.model, linearize.symbols_of(name))
    format_ = linearize.get(name, tokenizer, window=pieces)
    assert isinstance(format_, Iterative)
    turns = [format_.split(d)[0] for d in long_stories(pieces, documents, tokenizer)]
    size: dict[str, Any] = dict(SHAPES[shape])
    layers = size.pop("layers")
    config = T5Config(vocab_size=tokenizer.size, num_encoder_layers=layers,
                      num_decoder_layers=layers, dropout_rate=0.0, **size)  # fmt: skip
    model = from_scratch(config, tokenizer, seed=5)
    ours = Ours(model.network, jax.device_put(for_decoding(model.params)), format_, drafts)
    theirs = Published(model.network, jax.device_put(model.params), format_)
    best: dict[tuple[int, int], float] = {}
    calls, identical = [0, 0], 0
    for turn in turns:  # compiles, and fills the memory of guesses
        (mine, my_calls), (other, other_calls) = ours.decode(turn), theirs.decode(turn)
        calls[0] += my_calls
        calls[1] += other_calls
        identical += mine == other
    empty = draft.empty()
    for _ in range(repeats):
        ours.memory = empty  # else the documents are known by heart
        for i, turn in enumerate(turns):
            for side, loop in enumerate((ours, theirs)):
                start = time.perf_counter()
                loop.decode(turn)
                seconds = time.perf_counter() - start
                best[i, side] = min(seconds, best.get((i, side), seconds))
    mentions = sum(int((t.source == format_.close).sum()) for t in turns)
    seconds = [sum(v for (_, s), v in best.items() if s == side) for side in (0, 1)]
    mine, other = seconds
    return Result(
        name, shape, pieces, len(turns), mentions, mine, other, calls[0], calls[1], identical
    )


def table(results: Sequence[Result]) -> str:
    """The results as Markdown."""
    n = report.number
    rows = [
        (
            r.format, r.shape, r.pieces, n(r.mentions / r.documents), n(r.ours / r.documents),
            n(r.theirs / r.documents), f"**{n(r.ratio)}**", n(r.our_calls / r.documents),
            n(r.their_calls / r.documents), f"{r.identical} of {r.documents}",
        )
        for r in results
    ]  # fmt: skip
    header = ("format", "weights", "pieces", "mentions", "s/document", "whole prefix", "ratio",
              "calls", "whole prefix", "identical")  # fmt: skip
    return report.table(header, rows)


def main() -> None:
    """Measures and prints, or writes, the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--formats", nargs="+", default=list(FORMATS), choices=FORMATS)
    add("--shapes", nargs="+", default=list(SHAPES), choices=sorted(SHAPES))
    add("--pieces", nargs="+", type=int, default=list(PIECES), help="lengths of windows")
    add("--documents", type=int, default=2)
    add("--repeat", type=int, default=3)
    add("--drafts", nargs="+", type=int, default=list(DRAFTS),
        help="tokens fed in a call, ascending")  # fmt: skip
    add("--write", action="store_true", help="put the table into docs/results.md")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    results = []
    for shape in args.shapes:
        for name in args.formats:
            for pieces in args.pieces:
                drafts = tuple(args.drafts)
                results.append(measure(name, shape, pieces, args.documents, args.repeat, drafts))
                print(table(results[-1:]).splitlines()[-1], flush=True)
    settings = (
        f"--pieces {' '.join(map(str, args.pieces))} --documents {args.documents} "
        f"--repeat {args.repeat}"
    )
    if tuple(args.drafts) != DRAFTS:
        settings += f" --drafts {' '.join(map(str, args.drafts))}"
    head = (
        f"    python benchmarks/iterative.py {settings}\n\n"
        f"Random weights in float32, one document at a time. {report.machine('jax')}; load average "
        f"before the run {load:.1f}. Columns: `python benchmarks/iterative.py --help`.\n"
    )
    body = f"{head}\n{table(results)}"
    if args.write:
        report.write_section("iterative", body)
    else:
        print(body)


if __name__ == "__main__":
    main()
