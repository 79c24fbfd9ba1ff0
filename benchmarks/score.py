"""Time to score 29,000 mentions in 100 documents with MUC, B-cubed and CEAF-e.

    python benchmarks/score.py

The rival, run on the same documents in the same process, is the textbook read aloud in plain
Python: sets for MUC and B-cubed, and for CEAF-e a dense matrix of similarities with the Hungarian
algorithm (shortest augmenting paths, O(n^3)). Both must give the same scores.
"""

from __future__ import annotations

import argparse
import random

from report import timed

from t5coref.core.metrics import score_corpus

METRICS = ("muc", "b3", "ceafe")


def synthetic(documents: int, mentions: int, seed: int):
    """Key and response clusters: entity sizes follow Zipf's law, 15 % of the links are wrong."""
    rng = random.Random(seed)
    entities = max(1, mentions // documents // 3)
    weights = [1 / (rank + 1) for rank in range(entities)]
    for d in range(documents):
        n = mentions * (d + 1) // documents - mentions * d // documents
        key: dict[int, list] = {}
        response: dict[int, list] = {}
        for i in range(n):
            entity, wrong = rng.choices(range(entities), weights, k=2)
            start = 3 * i
            span = (start, start + rng.randint(1, 4))
            key.setdefault(entity, []).append(span)
            if rng.random() < 0.9:
                found = span if rng.random() < 0.95 else (start, start + 9)
                response.setdefault(wrong if rng.random() < 0.15 else entity, []).append(found)
        yield list(key.values()), list(response.values())


def textbook(pairs) -> dict[str, float]:
    """F1 of the three metrics, straight from their definitions."""
    sums = {name: [0.0] * 4 for name in METRICS}
    for key, response in pairs:
        for name, sides in (("muc", muc_side), ("b3", b3_side)):
            for at, (one, other) in ((0, (key, response)), (2, (response, key))):
                numerator, denominator = sides(one, other)
                sums[name][at] += numerator
                sums[name][at + 1] += denominator
        common = ceafe(key, response)
        for at, value in enumerate((common, len(key), common, len(response))):
            sums["ceafe"][at] += value
    scores = {}
    for name, (r, r_total, p, p_total) in sums.items():
        recall, precision = r / r_total, p / p_total
        scores[name] = 2 * recall * precision / (recall + precision)
    return scores


def muc_side(entities, others) -> tuple[float, float]:
    entity_of = {m: i for i, other in enumerate(others) for m in other}
    kept = sum(len(e) - len({entity_of.get(m, m) for m in e}) for e in entities)
    return kept, sum(len(e) - 1 for e in entities)


def b3_side(entities, others) -> tuple[float, float]:
    entity_of = {m: set(other) for other in others for m in other}
    total = sum(len(entity_of.get(m, set()).intersection(e)) / len(e) for e in entities for m in e)
    return total, sum(map(len, entities))


def ceafe(key, response) -> float:
    few, many = sorted((key, response), key=len)
    rows = [set(entity) for entity in few]
    columns = [set(entity) for entity in many]
    return hungarian([[2 * len(a & b) / (len(a) + len(b)) for b in columns] for a in rows])


def hungarian(similarity) -> float:
    """The greatest sum of an assignment of all rows; there are no more rows than columns."""
    n_columns = len(similarity[0]) if similarity else 0
    row_price = [0.0] * len(similarity)
    column_price = [0.0] * n_columns
    row_at: list[int | None] = [None] * n_columns
    for new_row in range(len(similarity)):
        reach = [float("inf")] * n_columns
        came_from: list[int | None] = [None] * n_columns
        done = [False] * n_columns
        row, column = new_row, None
        while row is not None:
            if column is not None:
                done[column] = True
            step, best = float("inf"), -1
            for c in range(n_columns):
                if not done[c]:
                    cost = -similarity[row][c] - row_price[row] - column_price[c]
                    if cost < reach[c]:
                        reach[c], came_from[c] = cost, column
                    if reach[c] < step:
                        step, best = reach[c], c
            row_price[new_row] += step
            for c in range(n_columns):
                if done[c]:
                    row_price[row_at[c]] += step
                    column_price[c] -= step
                else:
                    reach[c] -= step
            column, row = best, row_at[best]
        while column is not None:
            previous = came_from[column]
            row_at[column] = new_row if previous is None else row_at[previous]
            column = previous
    return sum(similarity[row][c] for c, row in enumerate(row_at) if row is not None)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--mentions", type=int, default=29_000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    pairs = list(synthetic(args.documents, args.mentions, args.seed))
    n_mentions = sum(len(cluster) for key, _ in pairs for cluster in key)
    ours, scores = timed(lambda: score_corpus(pairs, METRICS), repeats=5)
    rival, expected = timed(lambda: textbook(pairs), repeats=1)
    for name, f1 in expected.items():
        if abs(scores[name].f1 - f1) > 1e-9:
            raise SystemExit(f"{name}: {scores[name].f1} against the textbook's {f1}")
    print(f"{n_mentions:,} key mentions in {len(pairs)} documents, {', '.join(METRICS)}")
    print(f"t5coref               {ours:8.3f} s  (best of 5)")
    print(f"textbook, pure Python {rival:8.3f} s  (once; same scores)")
    print(f"ratio                 {rival / ours:8.1f}")


if __name__ == "__main__":
    main()
