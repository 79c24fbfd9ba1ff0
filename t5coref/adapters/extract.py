"""Adapters of a model whose weights were all trained: what changed, as nearly as a rank allows.

With few steps, training all weights learns more than training adapters does (docs/lora.md), and its
changes can still be kept beside the T5 that it began with.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from t5coref.adapters.folder import Adapters, fingerprint
from t5coref.core.errors import MismatchError
from t5coref.nn import lora as low_rank
from t5coref.nn.lora import T5_PARTS, LoRA, Rows


class Extraction(NamedTuple):
    """What was found.

    Attributes:
      adapters: of the T5.
      kept: of what changed in the matrices, the share that they hold: the sum of the squares
        of what they add over that of all changes.
    """

    adapters: Adapters
    kept: float


def extracted(base: Any, tuned: Any, lora: LoRA) -> Extraction:
    """The adapters that come nearest to a model.

    Of each matrix that gets one, it is the best approximation of its rank to what changed (Eckart
    and Young 1936); rows of symbols and heads are kept whole, and all other changes are left out.

    Args:
      base: the T5 that training began with; what `tuned` has not, such as a decoder, is left out.
      tuned: what came out of it.
      lora: which matrices get adapters.

    Raises:
      MismatchError: `tuned` did not come from `base`: the shapes or the pieces differ.
    """
    ours, theirs = (model.tokenizer for model in (base, tuned))
    t5: Any = {part: base.params[part] for part in T5_PARTS if part in tuned.params}
    before, after = _flat(t5), _flat(tuned.params)
    shapes = {path: leaf.shape for path, leaf in before.items()}
    found = {path: leaf.shape for path, leaf in after.items() if path[0] in T5_PARTS}
    known = theirs.symbols in ((), ours.symbols)
    if ours.model != theirs.model or not known or shapes != found:
        raise MismatchError(
            "the model did not come from this base: its vocabulary, its symbols or its shapes are "
            "others; give the T5 that its training began with"
        )
    rows = Rows.of(theirs)
    trained: dict[tuple[str, ...], np.ndarray] = {}
    whole = held = 0.0
    for path, leaf in after.items():
        if path[0] not in T5_PARTS:
            trained[path] = np.asarray(leaf)
        elif lora.chooses(path):
            change = np.asarray(leaf, np.float32) - np.asarray(before[path], np.float32)
            a, b, share = low_rank.nearest(lora, change)
            trained[*path[:-1], low_rank.LORA_A], trained[*path[:-1], low_rank.LORA_B] = a, b
            total = float(np.square(change).sum())
            whole, held = whole + total, held + share * total
    for path, axis in low_rank.tables(after).items() if rows.count else ():
        new = slice(rows.first, rows.first + rows.count)
        place = (new, slice(None)) if axis == 0 else (slice(None), new)
        symbols = np.asarray(after[path], np.float32)[place]
        trained[*path[:-1], low_rank.SYMBOLS] = symbols - np.asarray(before[path])[place]
    weights = unflatten_dict(trained)
    made = Adapters(lora, weights, rows, fingerprint(t5, rows), theirs, tuned.card())
    return Extraction(made, held / whole if whole else 1.0)


def _flat(params: Any) -> dict[tuple[str, ...], Any]:
    return dict(flatten_dict(dict(params)))
