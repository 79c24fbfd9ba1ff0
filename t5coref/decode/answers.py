"""Outputs of many short answers, side by side: each has its prompt, and one step that is chosen.

B rows, T steps, A actions.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from t5coref.core.rules import TEXT, Rules


def likeliest(rules: Rules, logits: jax.Array, feeds: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The prompts that the decoder was given, with the likeliest answers to them.

    Args:
      rules: with an `answer_length`.
      logits: float32 `[B, T, A]`.
      feeds: int32 `[B, T]` what the decoder read: `<pad>` and the prompt, again and again; zeros at
        the end.

    Returns:
      Actions as vocabulary ids int32 `[B, T]`, zeros at the end, and the log-probability float32[B]
      of all answers.
    """
    assert rules.answer_length is not None
    mode = {TEXT}
    for _ in range(rules.answer_length - 1):
        mode = {int(to) for m in mode for to in rules.next_mode[m] if to >= 0}
    answers = np.any([rules.next_mode[m] >= 0 for m in sorted(mode)], axis=0)
    masked = jnp.where(jnp.asarray(answers)[None, None, :], logits.astype(jnp.float32), -jnp.inf)
    log_probs = jax.nn.log_softmax(masked)
    best = jnp.argmax(log_probs, axis=-1)
    length = feeds.shape[1]
    last = (np.arange(length) + 1) % rules.answer_length == 0
    chosen = jnp.asarray(last)[None, :] & (feeds > 0)
    prompts = jnp.pad(feeds[:, 1:], ((0, 0), (0, 1)))
    actions = jnp.where(chosen, jnp.asarray(rules.inventory.ids, jnp.int32)[best], prompts)
    scores = jnp.sum(jnp.where(chosen, log_probs.max(axis=-1), 0.0), axis=-1)
    return actions.astype(jnp.int32), scores
