"""A training step against that of transformers' PyTorch T5, on the same CPU.

    python benchmarks/train_step.py --size small --batch 2 --source 512 --target 768 [--write]

Every side starts from the same float32 weights, sees the same random batch, and takes steps with
Adafactor at a constant rate, without dropout; so the losses agree, and the last ones are shown.
The sides take their steps in turn, each in a process of its own with all cores. Loading,
compilation and the first step are not in the times, of which the median counts. Peak memory is the
resident memory of the process, loading and compilation included; `loaded` is what it was before the
first step. The rows:

  transformers   T5ForConditionalGeneration and transformers' Adafactor; logits of the vocabulary
  vocabulary     our step with the same loss, over the whole vocabulary
  actions        our step as it is by default: a loss over the actions of full-copy alone
  lean           the same as `vocabulary`, with layers scanned and recomputed, attention in blocks
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import report

RIVAL = "transformers"
OURS = ("vocabulary", "actions", "lean")
RATE = 1e-3


def batch(settings: dict[str, Any], symbols: int) -> dict[str, np.ndarray]:
    """Random tokens without padding; targets below `symbols`."""
    rng = np.random.default_rng(0)
    rows, source, target = (settings[k] for k in ("batch", "source", "target"))
    targets = rng.integers(3, symbols, (rows, target)).astype(np.int32)
    return {
        "encoder_input_tokens": rng.integers(3, 32000, (rows, source)).astype(np.int32),
        "decoder_input_tokens": np.pad(targets[:, :-1], ((0, 0), (1, 0))),
        "decoder_target_tokens": targets,
        "decoder_target_actions": targets,
        "decoder_loss_weights": np.ones((rows, target), np.float32),
    }


class Ours:
    """One of our steps."""

    def __init__(self, side: str, settings: dict[str, Any]):
        import jax
        import jax.numpy as jnp

        from t5coref.nn import load_hf, scan_params
        from t5coref.plan.work import BLOCK, Work
        from t5coref.train.optimizers import adafactor
        from t5coref.train.step import TrainState, make_train_step

        config, params = load_hf(settings["folder"])
        config = dataclasses.replace(config, dropout_rate=0.0, dtype="float32")
        if side == "lean":
            lean = {"scan_layers": True, "remat": True, "attention_block": BLOCK}
            config = dataclasses.replace(config, **lean)
            params = scan_params(params)
        work = Work.of_size(settings["size"], batch=1, source=1, target=1)
        symbols = work.symbols if side == "actions" else None
        features = batch(settings, config.vocab_size if symbols is None else len(symbols))
        optimizer = adafactor(1000, peak=RATE, warmup=0, decay="constant", clip=None)
        step = jax.jit(make_train_step(config, optimizer, symbols), donate_argnums=0)
        params = jax.tree.map(jnp.asarray, params)
        state = TrainState(jnp.zeros((), jnp.int32), params, optimizer.transform.init(params))
        features = {k: jnp.asarray(v[None]) for k, v in features.items()}
        self._state, self._key = state, jax.random.key(0)
        self._step = lambda state: step(state, features, self._key)

    def step(self) -> float:
        self._state, metrics = self._step(self._state)
        return float(metrics["loss"])


class Theirs:
    """The rival's step."""

    def __init__(self, side: str, settings: dict[str, Any]):
        import torch
        import transformers
        from transformers.optimization import Adafactor

        del side
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()
        self.model = transformers.T5ForConditionalGeneration.from_pretrained(
            settings["folder"], dropout_rate=0.0, dtype=torch.float32
        ).train()
        self.optimizer = Adafactor(
            self.model.parameters(),
            lr=RATE,
            scale_parameter=True,
            relative_step=False,
            warmup_init=False,
        )
        features = batch(settings, self.model.config.vocab_size)
        self.inputs = {
            "input_ids": features["encoder_input_tokens"],
            "decoder_input_ids": features["decoder_input_tokens"],
            "labels": features["decoder_target_tokens"],
        }
        self.inputs = {k: torch.tensor(v, dtype=torch.long) for k, v in self.inputs.items()}

    def step(self) -> float:
        loss = self.model(**self.inputs).loss
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return float(loss.detach())


def serve(side: str, settings: dict[str, Any]) -> None:
    """A side's process: a line of JSON for each line that it is sent."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints is no answer
    trainer = (Theirs if side == RIVAL else Ours)(side, settings)
    loaded = report.peak_mib()
    for _ in sys.stdin:
        start = time.perf_counter()
        loss = trainer.step()
        seconds = time.perf_counter() - start
        answer = {"seconds": seconds, "loss": loss, "loaded": loaded, "peak": report.peak_mib()}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


class Side:
    """A side's process, seen from outside."""

    def __init__(self, name: str, settings: dict[str, Any]):
        env = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
        env |= {"JAX_ENABLE_COMPILATION_CACHE": "false", "HF_HUB_OFFLINE": "1"}
        self.name = name
        self.answers: list[dict[str, float]] = []
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", name, json.dumps(settings)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, text=True,
        )  # fmt: skip

    def step(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._process.wait()}; see above")
        self.answers.append(json.loads(line))

    def close(self) -> None:
        self._process.communicate()

    @property
    def seconds(self) -> float:
        return statistics.median(answer["seconds"] for answer in self.answers[1:])


def save_weights(size: str, folder: str) -> None:
    """Random weights of a T5 1.1 in Hugging Face's layout."""
    import jax

    from t5coref.nn import T5, save_hf
    from t5coref.nn.partition import AbstractParameters
    from t5coref.plan import SIZES

    rng = np.random.default_rng(0)

    def draw(leaf):
        if leaf.ndim == 1:
            return np.ones(leaf.shape, np.float32)
        return (leaf.shape[0] ** -0.5 * rng.standard_normal(leaf.shape)).astype(np.float32)

    config = dataclasses.replace(SIZES[size], dtype="float32")
    params = jax.tree.map(draw, AbstractParameters.of(T5(config)).shapes)
    save_hf(folder, config, params)


def measure(settings: dict[str, Any], steps: int) -> list[Side]:
    """The sides after so many steps each, and one more to warm up."""
    sides = [Side(name, settings) for name in (RIVAL, *OURS)]
    try:
        for _ in range(steps + 1):
            for side in sides:
                side.step()
    finally:
        for side in sides:
            side.close()
    return sides


def table(sides: list[Side]) -> str:
    """A row a side; ratios are transformers' number over ours."""
    rival = sides[0]
    rows = []
    for side in sides:
        last, times = side.answers[-1], [answer["seconds"] for answer in side.answers[1:]]
        rows.append(
            (
                side.name,
                report.number(side.seconds),
                f"{report.number(min(times))} to {report.number(max(times))}",
                report.number(rival.seconds / side.seconds),
                report.number(last["peak"], 4),
                report.number(last["loaded"], 4),
                report.number(rival.answers[-1]["peak"] / last["peak"]),
                report.number(last["loss"], 5),
            )
        )
    header = ("step", "s", "range", "times faster", "peak MiB", "loaded", "times less", "last loss")
    return report.table(header, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", default="small")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--source", type=int, default=512)
    parser.add_argument("--target", type=int, default=768)
    parser.add_argument("--steps", type=int, default=5, help="timed ones (default: 5)")
    parser.add_argument("--write", action="store_true", help="write it into docs/results.md")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        save_weights(args.size, folder)
        settings = {k: getattr(args, k) for k in ("size", "batch", "source", "target")}
        sides = measure(settings | {"folder": folder}, args.steps)
    command = (
        f"    python benchmarks/train_step.py --size {args.size} --batch {args.batch} "
        f"--source {args.source} --target {args.target} --steps {args.steps}\n"
    )
    where = report.machine("jax", "torch", "transformers")
    text = f"{command}\n{where}.\n\n{table(sides)}"
    print(text)
    if args.write:
        report.write_section("train-step", text)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2], json.loads(sys.argv[3]))
    else:
        main()
