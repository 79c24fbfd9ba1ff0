"""Bytes of AdamW's state with and without adapters, for every size of T5 1.1.

    python benchmarks/lora_memory.py

Nothing is computed: the shapes are those of the real optimizer and the real parameters. The
symbols are those of full-copy.
"""

from __future__ import annotations

import dataclasses

import jax

from t5coref.linearize import symbols_of
from t5coref.nn.lora import LoRA, Rows, abstract, split
from t5coref.nn.partition import AbstractParameters
from t5coref.nn.t5 import T5
from t5coref.plan.work import PIECES, SIZES
from t5coref.tokenizer import SENTINELS
from t5coref.train.optimizers import adamw

RANKS = {"small": 16, "base": 16, "large": 16, "xl": 32, "xxl": 32}
GIB = 2**30


def numbers(tree) -> int:
    """How many numbers are in it."""
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def state_bytes(params) -> int:
    """Of AdamW's state for these parameters."""
    state = jax.eval_shape(adamw(1000).transform.init, params)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def main() -> None:
    """Prints a table."""
    rows = Rows(PIECES + SENTINELS, len(symbols_of("full-copy", {})))
    print("| T5 1.1 | parameters | rank | trained | share | AdamW, all (GiB) | AdamW, LoRA (GiB) |")
    print("|---|---|---|---|---|---|---|")
    for size, config in SIZES.items():
        base = AbstractParameters.of(T5(dataclasses.replace(config, scan_layers=True)))
        lora = LoRA(rank=RANKS[size], alpha=2.0 * RANKS[size])
        trained, _ = split(abstract(lora, base, rows).shapes)
        count, every = numbers(trained), base.count
        whole, part = state_bytes(base.shapes), state_bytes(trained)
        print(
            f"| {size} | {every:,} | {lora.rank} | {count:,} | {100 * count / every:.2f} % "
            f"| {whole / GIB:.3f} | {part / GIB:.4f} |"
        )


if __name__ == "__main__":
    main()
