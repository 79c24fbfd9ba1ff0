"""Training steps of the joint extraction settings, the biaffine tensor, and memory.

    python benchmarks/joint_ie.py --size small --pieces 512 [--write]

A step is that of the encoder of a T5 1.1 with random weights and the heads on it, with dropout and
AdamW, float32, layers scanned and recomputed. The settings take their steps in turn, in one
process; compilation and the first step are not in the times, of which the median counts. Pipeline
is two models: its times are sums. `heads` are the parameters beside the encoder's.

The relation scores of all pairs of mentions are computed as `biaffine` does and as one einsum over
weights `[C, D, D]` to `[N, N, C]`, as the formula reads; in turn, and with the gradients of all
three arguments.

Memory is what the compiler allots on a CPU for one step of T5-base and Joint-M +GC at 1,024 pieces
and 96 relation types: parameters, gradients, moments and everything else that is alive at once.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import report

from t5coref.nn import T5, T5Config
from t5coref.nn.joint_ie import (
    BilinearCoreference,
    EntityRelations,
    GraphCompatibility,
    GraphPropagation,
    JointIE,
    MentionDetector,
    MentionRelations,
    SpanRepresentation,
)
from t5coref.nn.joint_ie.relations import biaffine
from t5coref.plan import SIZES

RIVAL = "Joint-M"
LIMIT = 12e9
"""Bytes that a step of Joint-M +GC may take."""


def settings(types: int) -> dict[str, tuple[JointIE, ...]]:
    """The models of each setting."""
    spans, mentions, coreference = SpanRepresentation(), MentionDetector(), BilinearCoreference()
    alone = functools.partial(JointIE, spans, mentions, coreference)
    entities, pairs = EntityRelations(types), MentionRelations(types)
    return {
        "Pipeline": (alone(), JointIE(spans, relations=entities)),
        "Joint": (alone(entities),),
        "Joint-M": (alone(pairs),),
        "+GP": (alone(pairs, propagation=GraphPropagation()),),
        "+GC": (alone(pairs, compatibility=GraphCompatibility()),),
    }


def documents(batch: int, pieces: int, types: int, vocabulary: int) -> dict[str, np.ndarray]:
    """Random full documents, a word a piece, as dense in mentions and relations as Re-DocRED."""
    rng = np.random.default_rng(0)
    mentions, relations = max(2, pieces // 8), max(1, pieces // 16)
    entities = max(2, mentions * 3 // 4)
    place = np.arange(pieces)
    real = place < pieces - 1  # behind them, `</s>`
    start = rng.permuted(np.tile(place[: pieces - 1], (batch, 1)), axis=1)[:, :mentions]
    cluster = np.concatenate([np.arange(entities), rng.integers(0, entities, mentions - entities)])
    pair = np.stack([rng.choice(entities, 2, replace=False) for _ in range(batch * relations)])
    head, tail = 1 + pair.reshape(batch, relations, 2).transpose(2, 0, 1)
    return {
        "encoder_input_tokens": rng.integers(3, vocabulary, (batch, pieces)).astype(np.int32),
        "sentence": np.tile(np.where(real, 1 + place // 25, 0).astype(np.int32), (batch, 1)),
        "word_start": np.tile(real, (batch, 1)),
        "word_end": np.tile(real, (batch, 1)),
        "mention_start": start.astype(np.int32),
        "mention_end": start.astype(np.int32),
        "mention_cluster": np.tile(1 + cluster.astype(np.int32), (batch, 1)),
        "relation_head": head.astype(np.int32),
        "relation_tail": tail.astype(np.int32),
        "relation_type": rng.integers(1, types + 1, (batch, relations)).astype(np.int32),
    }


class State(NamedTuple):
    """What a step changes."""

    params: Any
    moments: Any


class Model:
    """An encoder with heads, and its training step."""

    def __init__(self, config: T5Config, heads: JointIE):
        self.encoder, self.heads = T5(config), heads
        self.optimizer = optax.adamw(1e-4)
        self.step = jax.jit(self._step, donate_argnums=0)

    def shapes(self, features: dict[str, Any]) -> dict[str, Any]:
        """Parameters, not computed."""
        tokens = features["encoder_input_tokens"]
        key = jax.random.key(0)
        encode = functools.partial(self.encoder.init, enable_dropout=False, method="encode")
        params = {"encoder": jax.eval_shape(encode, key, tokens)["params"]}
        encoded = jax.ShapeDtypeStruct((*tokens.shape, self.encoder.config.emb_dim), jnp.float32)
        init = functools.partial(self.heads.init, deterministic=True)
        return params | {"heads": jax.eval_shape(init, key, encoded, features)["params"]}

    def state(self, features: dict[str, Any]) -> State:
        """Random weights."""
        rng = np.random.default_rng(0)

        def draw(leaf):
            if leaf.ndim < 2:
                return jnp.ones(leaf.shape)
            return jnp.asarray(0.02 * rng.standard_normal(leaf.shape, np.float32))

        params = jax.tree.map(draw, self.shapes(features))
        return State(params, self.optimizer.init(params))

    def bytes(self, features: dict[str, Any]) -> int:
        """What the compiler allots for a step."""
        features = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), features)
        params = self.shapes(features)
        state = State(params, jax.eval_shape(self.optimizer.init, params))
        key = jax.eval_shape(lambda: jax.random.key(0))
        size: Any = self.step.lower(state, features, key).compile().memory_analysis()
        kept = size.argument_size_in_bytes + size.output_size_in_bytes - size.alias_size_in_bytes
        return kept + size.temp_size_in_bytes

    def _step(self, state, features, key):
        keys = jax.random.split(key)

        def loss(params):
            encoded = self.encoder.apply(
                {"params": params["encoder"]},
                features["encoder_input_tokens"],
                rngs={"dropout": keys[0]},
                method="encode",
            )
            losses: Any = self.heads.apply(
                {"params": params["heads"]},
                encoded,
                features,
                deterministic=False,
                rngs={"dropout": keys[1]},
            )
            return losses["loss"]

        value, gradients = jax.value_and_grad(loss)(state.params)
        with jax.numpy_dtype_promotion("standard"):  # optax counts on it
            updates, moments = self.optimizer.update(gradients, state.moments, state.params)
        return State(optax.apply_updates(state.params, updates), moments), value


def encoder_config(size: str) -> T5Config:
    """The encoder that the steps are taken with."""
    return dataclasses.replace(SIZES[size], dtype="float32", scan_layers=True, remat=True)


def step_times(
    config: T5Config, features: dict[str, np.ndarray], types: int, steps: int
) -> dict[str, tuple[list[float], int]]:
    """Seconds of each step and parameters of the heads, by setting."""
    arrays = {name: jnp.asarray(value) for name, value in features.items()}
    models = {
        name: [Model(config, heads) for heads in made] for name, made in settings(types).items()
    }
    states = {name: [model.state(arrays) for model in made] for name, made in models.items()}
    seconds: dict[str, list[float]] = {name: [] for name in models}
    for step in range(steps + 1):
        for name, made in models.items():
            start = time.perf_counter()
            for i, model in enumerate(made):
                states[name][i], loss = model.step(states[name][i], arrays, jax.random.key(step))
                if not math.isfinite(loss):
                    raise SystemExit(f"{name}: the loss of step {step} is {loss}")
            seconds[name].append(time.perf_counter() - start)

    def size(name):
        return sum(
            leaf.size for state in states[name] for leaf in jax.tree.leaves(state.params["heads"])
        )

    return {name: (times[1:], size(name)) for name, times in seconds.items()}


def biaffine_times(
    mentions: int, width: int, types: int, steps: int
) -> dict[str, dict[str, list[float]]]:
    """Seconds of the scores alone and with gradients, in our way and as one einsum."""
    rng = np.random.default_rng(0)
    classes = types + 1
    vectors = jnp.asarray(rng.standard_normal((1, mentions, width), np.float32))
    kernel = jnp.asarray(0.02 * rng.standard_normal((width, classes, width), np.float32))
    cotangent = jnp.asarray(rng.standard_normal((mentions, classes, mentions), np.float32))

    def ours(heads, kernel, tails):
        return biaffine(heads, kernel, tails)[0]

    def einsum(heads, kernel, tails):
        return jnp.einsum("hd,cde,te->htc", heads[0], kernel, tails[0])

    def with_gradients(function):
        def run(cotangent, *arguments):
            scores, pull = jax.vjp(function, *arguments)
            return scores, pull(cotangent)

        return jax.jit(run)

    sides = {
        "biaffine": (ours, kernel, cotangent),
        "einsum": (einsum, jnp.swapaxes(kernel, 0, 1), jnp.swapaxes(cotangent, 1, 2)),
    }
    programs = {name: (jax.jit(side[0]), with_gradients(side[0])) for name, side in sides.items()}
    scores = {name: programs[name][0](vectors, sides[name][1], vectors) for name in sides}
    np.testing.assert_allclose(
        scores["biaffine"], jnp.swapaxes(scores["einsum"], 1, 2), rtol=1e-3, atol=1e-3
    )
    del scores
    found: dict[str, dict[str, list[float]]] = {
        name: {"scores": [], "with gradients": []} for name in sides
    }
    for step in range(steps + 1):
        for name, (_, kernel, cotangent) in sides.items():
            forward, both = programs[name]
            for what, run in (
                ("scores", lambda: forward(vectors, kernel, vectors)),  # noqa: B023
                ("with gradients", lambda: both(cotangent, vectors, kernel, vectors)),  # noqa: B023
            ):
                start = time.perf_counter()
                jax.block_until_ready(run())
                if step:
                    found[name][what].append(time.perf_counter() - start)
    return found


def memory(size: str = "base", pieces: int = 1024, types: int = 96, batch: int = 1) -> int:
    """Bytes of a step of Joint-M +GC; nothing is run."""
    config = encoder_config(size)
    features = documents(batch, pieces, types, config.vocab_size)
    return Model(config, settings(types)["+GC"][0]).bytes(features)


def times_table(found: dict[str, tuple[list[float], int]]) -> str:
    """A row a setting; ratios are its time over Joint-M's."""
    rival = statistics.median(found[RIVAL][0])
    rows = [
        (
            name,
            report.number(statistics.median(times)),
            f"{report.number(min(times))} to {report.number(max(times))}",
            report.number(statistics.median(times) / rival),
            report.number(size / 1e6),
        )
        for name, (times, size) in found.items()
    ]
    return report.table(("setting", "s", "range", f"times {RIVAL}", "heads, M"), rows)


def biaffine_table(found: dict[str, dict[str, list[float]]]) -> str:
    """The times of both ways, and how many times faster ours is."""
    rows = []
    for what in ("scores", "with gradients"):
        ours, einsum = (statistics.median(found[name][what]) for name in ("biaffine", "einsum"))
        rows.append((what, *map(report.number, (ours, einsum, einsum / ours))))
    return report.table(("", "ours, s", "einsum, s", "times faster"), rows)


def memory_table(rows: list[tuple[int, int]]) -> str:
    """Documents in a step, and what it takes."""
    return report.table(
        ("documents", "GB", "of 12 GB"),
        [(n, report.number(b / 1e9), f"{100 * b / LIMIT:.0f} %") for n, b in rows],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="small", choices=sorted(SIZES))
    parser.add_argument("--pieces", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--relations", type=int, default=96, help="types (default: 96, DocRED's)")
    parser.add_argument("--steps", type=int, default=5, help="timed ones (default: 5)")
    parser.add_argument("--write", action="store_true", help="write it into docs/results.md")
    args = parser.parse_args()
    config = encoder_config(args.size)
    features = documents(args.batch, args.pieces, args.relations, config.vocab_size)
    steps = times_table(step_times(config, features, args.relations, args.steps))
    detector, width = MentionDetector(), SpanRepresentation().mention_dim
    candidates = min(detector.max_candidates, math.ceil(detector.ratio * args.pieces))
    tensor = biaffine_table(biaffine_times(candidates, width, args.relations, args.steps))
    allotted = memory_table([(n, memory(batch=n)) for n in (1, 4)])
    command = (
        f"    python benchmarks/joint_ie.py --size {args.size} --pieces {args.pieces} "
        f"--batch {args.batch} --relations {args.relations} --steps {args.steps}\n"
    )
    text = (
        f"{command}\n{report.machine('jax', 'flax')}.\n\n{steps}\n"
        f"Relation scores of {candidates} mentions, width {width}:\n\n{tensor}\n"
        f"What a step of T5-base and Joint-M +GC takes at 1,024 pieces and 96 relation types:\n\n"
        f"{allotted}"
    )
    print(text)
    if args.write:
        report.write_section("joint-ie", text)


if __name__ == "__main__":
    main()
