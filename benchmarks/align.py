"""Time to align 600 pieces of output with a source of 2,000 pieces.

    python benchmarks/align.py

The rival, run on the same pieces in the same process, is the same recurrence cell by cell in
plain Python. Both must give the same alignment.
"""

from __future__ import annotations

import argparse
import random

from report import timed

from t5coref.core.align import UNALIGNED, Road, affine_alignment, edit_alignment

PAIR, SKIP_SOURCE, SKIP_OUTPUT = range(3)
IMPOSSIBLE = float("-inf")


def synthetic(n_source: int, n_output: int, seed: int) -> tuple[list[int], list[int]]:
    """Pieces by Zipf's law, and stretches of 3 of them in their order; 2 % of the output is wrong.

    The output is no longer than the source.
    """
    rng = random.Random(seed)
    pieces = range(2000)
    source = rng.choices(pieces, [1 / (piece + 3) for piece in pieces], k=n_source)
    starts = sorted(rng.sample(range(0, n_source, 3), -(-n_output // 3)))
    kept = [piece for start in starts for piece in source[start : start + 3]]
    return source, [rng.choice(pieces) if rng.random() < 0.02 else piece for piece in kept]


def textbook_edit(source: list[int], output: list[int]) -> list[int]:
    cost = [
        [i + j if not i or not j else 0 for j in range(len(output) + 1)]
        for i in range(len(source) + 1)
    ]
    step = [[PAIR] * (len(output) + 1) for _ in range(len(source) + 1)]
    for i, a in enumerate(source):
        for j, b in enumerate(output):
            cost[i + 1][j + 1], step[i + 1][j + 1] = min(
                (cost[i][j] + (a != b), PAIR),
                (cost[i][j + 1] + 1, SKIP_SOURCE),
                (cost[i + 1][j] + 1, SKIP_OUTPUT),
            )
    aligned = [UNALIGNED] * len(output)
    i, j = len(source), len(output)
    while i and j:
        if step[i][j] == PAIR:
            i, j = i - 1, j - 1
            aligned[j] = i
        elif step[i][j] == SKIP_SOURCE:
            i -= 1
        else:
            j -= 1
    return aligned


def textbook_affine(source: list[int], output: list[int], road: Road) -> list[int]:
    order = (SKIP_OUTPUT, PAIR, SKIP_SOURCE)
    if road is Road.HIGH:
        order = (SKIP_SOURCE, PAIR, SKIP_OUTPUT)

    def best(scores):
        """The best score and its step, ties by the road's order."""
        last = order[0]
        for step in order[1:]:
            if scores[step] > scores[last]:
                last = step
        return scores[last], last

    width = len(output) + 1
    above = [(IMPOSSIBLE, IMPOSSIBLE, -1)] * width  # by last step
    above[0] = (0, 0, 0)
    steps = []  # [S][O + 1] for each kind of step the one before it
    for a in source:
        row = [(IMPOSSIBLE, -1, IMPOSSIBLE)]
        row_steps = [(PAIR, PAIR, PAIR)]
        for j, b in enumerate(output):
            pair, pair_before = best(above[j])
            m, x, y = above[j + 1]
            skip_source, source_before = best((m - 1, x, y - 1))
            m, x, y = row[j]
            skip_output, output_before = best((m - 1, x - 1, y))
            row.append((pair + (1 if a == b else -1), skip_source, skip_output))
            row_steps.append((pair_before, source_before, output_before))
        above = row
        steps.append(row_steps)
    aligned = [UNALIGNED] * len(output)
    i, j = len(source), len(output)
    step = best(above[j])[1]
    while i and j:
        before = steps[i - 1][j][step]
        if step == PAIR:
            i, j = i - 1, j - 1
            aligned[j] = i
        elif step == SKIP_SOURCE:
            i -= 1
        else:
            j -= 1
        step = before
    return aligned


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=int, default=2000)
    parser.add_argument("--output", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    source, output = synthetic(args.source, args.output, args.seed)
    contenders = {
        "edit distance": (
            lambda: edit_alignment(source, output),
            lambda: textbook_edit(source, output),
        ),
    }
    for road in Road:
        contenders[f"affine, {road.value} road"] = (
            lambda road=road: affine_alignment(source, output, road),
            lambda road=road: textbook_affine(source, output, road),
        )
    print(f"{len(source):,} x {len(output):,} pieces; ours best of 9, plain Python of 3")
    for name, (ours, rival) in contenders.items():
        seconds, aligned = timed(ours, repeats=9)
        rival_seconds, expected = timed(rival, repeats=3)
        if aligned.tolist() != expected:
            raise SystemExit(f"{name}: plain Python finds another alignment")
        print(
            f"{name:17} t5coref {1000 * seconds:7.1f} ms   plain Python "
            f"{1000 * rival_seconds:7.0f} ms   ratio {rival_seconds / seconds:6.1f}"
        )


if __name__ == "__main__":
    main()
