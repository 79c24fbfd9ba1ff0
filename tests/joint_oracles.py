"""The heads of joint extraction once more: float64 numpy and Python loops, from the formulas alone.

Arrays are those of one document. Relation scores are `[N, N, C]` here: head, tail, class.
"""

from __future__ import annotations

import itertools

import numpy as np


def softplus(x):
    return np.logaddexp(0.0, x)


def logsumexp(values):
    values = np.asarray(list(values), np.float64)
    top = values.max()
    return top + np.log(np.exp(values - top).sum())


def to_float64(params):
    """A tree of parameters."""
    if hasattr(params, "items"):
        return {name: to_float64(leaf) for name, leaf in params.items()}
    return np.asarray(params, np.float64)


def feed_forward(params, x):
    hidden = np.maximum(x @ params["hidden"]["kernel"] + params["hidden"]["bias"], 0)
    return hidden @ params["output"]["kernel"] + params["output"]["bias"]


# Spans


def offered(sentence, word_start, word_end, max_width, word_boundaries=True):
    """All spans (start, end) inside one sentence, inclusive."""
    return [
        (i, j)
        for i in range(len(sentence))
        for j in range(i, min(i + max_width, len(sentence)))
        if sentence[i] > 0
        and sentence[i] == sentence[j]
        and (not word_boundaries or (word_start[i] and word_end[j]))
    ]


def mention_vector(params, encoded, span):
    both = np.concatenate([encoded[span[0]], encoded[span[1]]])
    if not params:
        return both
    kernel = np.concatenate([params["start"]["kernel"], params["end"]["kernel"]])
    return both @ kernel + params["start"]["bias"]


def keep_best(scores, budget, forced=()):
    """The best of {span: score}, sorted by span; forced ones are kept in any case."""
    budget = max(budget, len(forced))
    rank = sorted(scores, key=lambda span: (span not in forced, -scores[span], span))
    return sorted(rank[:budget])


def keep_best_without_crossing(scores, budget):
    """As coref-hoi does: a span that crosses a better one is left out."""
    kept = []
    for i, j in sorted(scores, key=lambda span: (-scores[span], span)):
        crossing = any(a < i <= b < j or i < a <= j < b for a, b in kept)
        if not crossing and len(kept) < budget:
            kept.append((i, j))
    return sorted(kept)


# Coreference


def antecedents(similarity, mention, distance=None, weight=0.0):
    """{(x, y): score} for y < x."""
    n = len(mention)
    return {
        (x, y): similarity[x, y]
        + mention[x]
        + mention[y]
        - (0.0 if distance is None else weight * distance[x, y])
        for x in range(n)
        for y in range(x)
    }


def antecedent_loss(scores, cluster):
    total = 0.0
    for x in range(len(cluster)):
        choices = [0.0] + [scores[x, y] for y in range(x)]
        right = [scores[x, y] for y in range(x) if cluster[x] == cluster[y] > 0] or [0.0]
        total += logsumexp(choices) - logsumexp(right)
    return total


def mention_loss(mention, cluster):
    return sum(softplus(-s if c > 0 else s) for s, c in zip(mention, cluster, strict=True))


def clusters(scores, mention, all_mentions=False):
    """Cluster numbers by first appearance, -1 for no mention."""
    groups = []
    for x in range(len(mention)):
        best, score = None, 0.0
        for y in range(x):
            if scores[x, y] > score:
                best, score = y, scores[x, y]
        if best is None:
            groups.append([x])
        else:
            next(group for group in groups if best in group).append(x)
    kept = [g for g in groups if len(g) > 1 or all_mentions or mention[g[0]] > 0]
    return [next((k for k, g in enumerate(kept) if x in g), -1) for x in range(len(mention))]


# Relations


def biaffine(heads, kernel, tails):
    """`[H, T, C]` with the kernel `[D, C, D]`."""
    return np.array([[[h @ kernel[:, c] @ t for c in range(kernel.shape[1])] for t in tails]
                     for h in heads])  # fmt: skip


def mention_relations(params, g):
    head, tail = feed_forward(params["head"], g), feed_forward(params["tail"], g)
    return biaffine(g, params["biaffine"]["kernel"], g) + head[:, None] + tail[None, :]


def entity_relations(params, members, blocks):
    """`[E, E, C]` for entities given as lists of mention vectors."""
    scores = []
    entities = [np.array([logsumexp(column) for column in np.transpose(m)]) for m in members]
    heads, tails = (
        [np.tanh(e @ params[side]["kernel"] + params[side]["bias"]) for e in entities]
        for side in ("head", "tail")
    )
    kernel = params["kernel"]  # [blocks, size, C, size]
    weights = np.transpose(kernel, (0, 1, 3, 2)).reshape(-1, kernel.shape[2])
    for h in heads:
        outer = [
            np.concatenate(
                [
                    np.outer(a, b).ravel()
                    for a, b in zip(np.split(h, blocks), np.split(t, blocks), strict=True)
                ]
            )
            for t in tails
        ]
        scores.append([o @ weights + params["bias"] for o in outer])
    return np.array(scores)


def threshold_loss(logits, positive):
    """ATLOP's loss of one pair: logits [C], a set of positive classes."""
    negative = [c for c in range(1, len(logits)) if c not in positive]
    of_positive = [logits[c] for c in (0, *positive)]
    first = sum(logsumexp(of_positive) - logits[c] for c in positive)
    return first + logsumexp([logits[0]] + [logits[c] for c in negative]) - logits[0]


def positives(relations, head, tail):
    """Classes that hold between two clusters; 0 is none."""
    if 0 in (head, tail) or head == tail:
        return set()
    return {r for h, t, r in relations if (h, t) == (head, tail)}


def pair_loss(scores, cluster, relations, gold_pairs_only=False, per_gold_pair=False):
    n = len(cluster)
    losses = [
        threshold_loss(scores[x, y], positives(relations, cluster[x], cluster[y]))
        for x in range(n)
        for y in range(n)
        if not gold_pairs_only or (cluster[x] and cluster[y])
    ]
    gold = sum(c > 0 for c in cluster)
    norm = max(1, gold * (gold - 1)) if per_gold_pair else max(1, len(losses))
    return sum(losses) / norm


def entity_means(scores, cluster):
    """Means of scores [N, N, C] over the mentions of clusters: {(head, tail): [C]}."""
    groups = {c: [x for x, k in enumerate(cluster) if k == c] for c in cluster if c >= 0}
    return {
        (h, t): np.mean([scores[x, y] for x in groups[h] for y in groups[t]], axis=0)
        for h, t in itertools.permutations(groups, 2)
    }


def decide(scores, max_labels=None):
    """{(head, tail, class): margin} of {(head, tail): [C]}."""
    found = {}
    for (h, t), logits in scores.items():
        least = sorted(logits)[-max_labels] if max_labels and max_labels < len(logits) else -np.inf
        for c in range(1, len(logits)):
            if logits[c] > logits[0] and logits[c] >= least:
                found[h, t, c] = logits[c] - logits[0]
    return found


# Graphs


def propagate(g, scores, kernel, outgoing=True, incoming=True):
    """New vectors; scores `[N, N, R]`, kernel `[R, D, D]`."""
    n, types = len(g), scores.shape[2]
    total = np.zeros_like(g)
    for r, x in itertools.product(range(types), range(n)):
        for side in [0] * outgoing + [1] * incoming:
            edges = scores[x, :, r] if side == 0 else scores[:, x, r]
            weights = np.exp(np.maximum(edges, 0))
            mixed = sum(w * (g[k] @ kernel[r]) for k, w in enumerate(weights / weights.sum()))
            total[x] += np.tanh(mixed)
    return g + total / ((outgoing + incoming) * types)


def neighbours(scores, count, both_directions=False):
    """The mentions with the largest sums of scores `[N, N, R]`, and all sums."""
    n = len(scores)
    sums = []
    for k in range(n):
        others = [j for j in range(n) if j != k]
        total = sum(scores[j, k].sum() for j in others)
        if both_directions:
            total += sum(scores[k, j].sum() for j in others)
        sums.append(total)
    return sorted(range(n), key=lambda k: (-sums[k], k))[:count], sums


def distances(scores, chosen, beta, exclude_endpoints=False):
    n = len(scores)
    out = np.zeros((n, n))
    for x, y in itertools.product(range(n), repeat=2):
        ks = [k for k in chosen if not (exclude_endpoints and k in (x, y))]
        for r, b in enumerate(beta):
            out[x, y] += b * sum(abs(scores[x, k, r] - scores[y, k, r]) for k in ks)
    return out


def contrastive(distance, cluster, margin=2.0, all_pairs=False):
    """{(x, y): loss} for x > y; the loss of the document is their mean."""
    return {
        (x, y): distance[x, y] ** 2
        if cluster[x] == cluster[y] > 0
        else max(0.0, margin - distance[x, y]) ** 2
        for x in range(len(cluster))
        for y in range(x)
        if all_pairs or (cluster[x] and cluster[y])
    }


def contrastive_loss(*args, **options):
    return float(np.mean(list(contrastive(*args, **options).values()) or [0.0]))
