"""The two sides of the decoding benchmark, each in a process of its own.

    python benchmarks/sides.py ours|rival

answers one JSON request a line with one line of JSON. The first request holds the settings (see
`Ours`), each further one `{"do": METHOD, "sources": [[piece, ...], ...]}`. Every answer says how
much memory the process has used. Own processes keep the memory and the threads of torch and jax
apart.
"""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import report

from t5coref import linearize
from t5coref.tokenizer import Tokenizer


def decode_ours(network, params, tables, sources, memory, max_steps: int, beams: int):
    """Our search: (feeds `int32[B, T]`, lengths `int32[B]`, decoder calls, memory), best outputs.

    The only place that knows the search's interface.

    Args:
      network: a T5 or a stand-in.
      params: its parameters, on the device.
      tables: the rules, on the device.
      sources: `int32[B, S]`.
      memory: what greedy search guesses from.
      max_steps: T.
      beams: K; 1 = greedy.
    """
    from t5coref.decode.search import Beam, Rows
    from t5coref.predict import GREEDY, decode_batch

    count = len(sources)
    budgets = np.full(count, max_steps, np.int32)
    rows = Rows(sources, budgets, np.full((count, 1), -1, np.int32))  # pyright: ignore
    search = GREEDY if beams == 1 else Beam(beams)
    found, memory = decode_batch(network, params, tables, rows, memory, max_steps, search)
    feeds, ends = np.array(found.actions[:, 0]), np.asarray(found.lengths[:, 0])
    for row, source in zip(feeds, sources, strict=True):
        copied = np.flatnonzero(row == tables.copy_id)
        row[copied] = source[: len(copied)]
    return feeds, ends, int(found.calls), memory


@dataclass(frozen=True)
class StandIn:
    """In the network's place, to time everything else: constant logits, no cache."""

    def apply(self, variables: Mapping[str, Any], tokens, *rest, method: str, **_):
        import jax.numpy as jnp

        if method == "encode":
            return tokens
        if method == "init_cache":
            return None, {"cache": {}}
        logits = variables["params"]["logits"]  # [A]
        # Too little to change them, but a reason not to move their softmax out of the loop.
        nothing = 1e-30 * rest[0].astype(jnp.float32)
        logits = jnp.broadcast_to(logits, (*tokens.shape, *logits.shape))
        return logits + nothing.reshape(len(tokens), -1, 1), {"cache": {}}


def load_tokenizer(folder: str) -> Tokenizer:
    """A model's tokenizer, without jax."""
    card = json.loads(pathlib.Path(folder, "t5coref.json").read_text("utf-8"))
    if card["format"]["name"] != "full-copy":
        raise SystemExit(f"{folder} has the format {card['format']['name']}; expected full-copy")
    tokenizer = Tokenizer(folder, card["tokenizer"]["symbols"])
    return tokenizer.with_word_rule(card["tokenizer"]["word_rule"])


class Ours:
    """Our side's process."""

    def __init__(self, model: str, beams: int, pieces: int, max_steps: int):
        import dataclasses

        import jax

        from t5coref.decode import draft
        from t5coref.decode.constraint import Tables
        from t5coref.model import Model
        from t5coref.nn.t5 import T5, for_decoding

        jax.config.update("jax_default_matmul_precision", "float32")
        loaded = Model.load(model, dtype="float32")
        rules = linearize.get("full-copy", loaded.tokenizer, constraint="reference").rules
        # Decoding copies a scanned cache at each step: decode layer by layer, as `Predictor` does.
        self.network = T5(dataclasses.replace(loaded.config, scan_layers=False, remat=False))
        self.params = jax.device_put(for_decoding(loaded.params))
        self.tables = Tables.of(rules)
        self.beams, self.pieces, self.max_steps = beams, pieces, max_steps
        # What was learned from earlier batches is kept, as `Predictor` keeps it. Decoding a batch
        # again begins with what was known when it was decoded first, not with its own output.
        self.empty = self.memory = draft.empty()
        self.known: dict[str, Any] = {}
        # The likeliest action is to copy, so that the stand-in's outputs end.
        logits = -1e-3 * np.arange(len(rules.inventory.ids), dtype=np.float32)
        self.stand_in_params = jax.device_put({"logits": logits})

    def first(self, sources: list[list[int]]) -> dict[str, Any]:
        calls = [self._timed(self.network, self.params, sources, self.empty) for _ in range(2)]
        self._timed(StandIn(), self.stand_in_params, sources, self.empty)
        seconds = [answer["seconds"] for answer, _ in calls]
        return {"compile_seconds": seconds[0] - seconds[1]}

    def decode(self, sources: list[list[int]]) -> dict[str, Any]:
        before = self.known.setdefault(json.dumps(sources), self.memory)
        answer, after = self._timed(self.network, self.params, sources, before)
        if before is self.memory:
            self.memory = after
        return answer

    def without_network(self, sources: list[list[int]]) -> dict[str, Any]:
        return self._timed(StandIn(), self.stand_in_params, sources, self.empty)[0]

    def _timed(self, network, params, sources, memory) -> tuple[dict[str, Any], Any]:
        start = time.perf_counter()
        padded = np.zeros((len(sources), self.pieces), np.int32)
        for row, source in zip(padded, sources, strict=True):
            row[: len(source)] = source
        feeds, ends, calls, memory = decode_ours(
            network, params, self.tables, padded, memory, self.max_steps, self.beams
        )
        tokens = [row[:end].tolist() for row, end in zip(feeds, ends, strict=True)]
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "calls": calls, "tokens": tokens}, memory


class Theirs:
    """The rival's process."""

    def __init__(self, model: str, beams: int, pieces: int, max_steps: int):
        import transformers
        from rival import Rival, Symbols

        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.rival = Rival(model, Symbols.of(load_tokenizer(model)))
        self.beams, self.max_steps = beams, max_steps

    def first(self, sources: list[list[int]]) -> dict[str, Any]:
        self.rival.decode(sources, self.beams, self.max_steps)
        return {}

    def decode(self, sources: list[list[int]]) -> dict[str, Any]:
        start = time.perf_counter()
        found = self.rival.decode(sources, self.beams, self.max_steps)
        seconds = time.perf_counter() - start
        return {"seconds": seconds, "calls": found.calls, "tokens": found.tokens}


def serve(side: str) -> None:
    """A worker's life."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    decoder: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        if decoder is None:
            decoder = {"ours": Ours, "rival": Theirs}[side](**request)
            answer = {}
        else:
            answer = getattr(decoder, request["do"])(request["sources"])
        answers.write(json.dumps(answer | {"peak_mib": report.peak_mib()}) + "\n")
        answers.flush()


class Worker:
    """A side's process, seen from outside."""

    def __init__(self, side: str, **settings: Any):
        env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        env |= {
            "JAX_ENABLE_COMPILATION_CACHE": "false",
            "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # both sides may share one accelerator
            "HF_HUB_OFFLINE": "1",
        }
        self.side = side
        self.process = subprocess.Popen(
            [sys.executable, __file__, side],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=env,
            text=True,
        )
        self.ask(settings)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            raise SystemExit(f"{self.side} ended with status {self.process.wait()}; see above")
        return json.loads(answer)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate()


if __name__ == "__main__":
    serve(*sys.argv[1:])
