"""Free generation: the likeliest symbol at each step, whatever the constraint would say of it.

A format is written with its own symbols alone, or with the whole vocabulary where it writes pieces
as themselves; the decoder reads what it would read under the constraint. What comes out may be no
document at all: `core/ledger.py` counts what is wrong with it. Letters as in `search.py`; N cluster
numbers.
"""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from t5coref.core.rules import ELEMENT, NEW, Effect, Rules
from t5coref.decode.constraint import marked
from t5coref.decode.handles import in_closing_order
from t5coref.decode.search import START, Decoded, NextLogits, Rows

NO_TOKEN = -1


@dataclasses.dataclass(frozen=True)
class Alphabet:
    """What may be written, and what the decoder reads behind it.

    Attributes:
      ids: `int32[A]` the symbols of a format; `[0]` = the whole vocabulary.
      number_ids: `int32[N]`, see `Rules.number_ids`.
      passing: `int32[P]` the symbols behind which the next piece of the source is due; `[0]` where
        pieces are written as themselves.
      size: vocabulary ids from here on stand for nothing and are never written, nor is padding.
      eos_id: `</s>`; writing or copying it ends an output.
      copy_id: what a copied piece is written as; NO_TOKEN = itself.
      new_id: what a new cluster is written as, where the decoder reads its number; or NO_TOKEN.
      echoed: see `Rules`.
      mixed: see `Rules`.
      openings: see `Rules`; None = what is written is read beside what is fed.
      closing: the mark that closes a mention in the source, with `openings`.
      linking: `int32[L]` the symbols behind which that of a cluster is an element and no answer;
        None = there are none.
      source_numbers: `int32[M]`, see `Rules.source_numbers`.
    """

    ids: Array
    number_ids: Array
    passing: Array
    size: int
    eos_id: int
    copy_id: int = NO_TOKEN
    new_id: int = NO_TOKEN
    echoed: bool = False
    mixed: bool = False
    openings: Array | None = None
    closing: int = NO_TOKEN
    linking: Array | None = None
    source_numbers: Array | None = None

    @classmethod
    def of(cls, rules: Rules, size: int, eos_id: int) -> Alphabet:
        """That of a format."""
        passes = rules.effect & (Effect.ADVANCE | Effect.PASSES) != 0
        ids = np.asarray(rules.inventory.ids)
        passing = () if rules.literal else ids[passes]
        new = [rules.inventory.ids[a] for a in np.flatnonzero((rules.given == NEW).any(axis=0))]
        links = ((rules.next_mode >= 0) & (rules.role[rules.next_mode] == ELEMENT)).any(axis=0)
        return cls(
            ids=jnp.asarray(() if rules.literal else rules.inventory.ids, jnp.int32),
            number_ids=jnp.asarray(rules.number_ids, jnp.int32),
            passing=jnp.asarray(passing, jnp.int32),
            size=size,
            eos_id=eos_id,
            copy_id=NO_TOKEN if rules.literal else rules.inventory.ids[rules.copy],
            new_id=new[0] if new else NO_TOKEN,
            echoed=rules.echoed,
            mixed=rules.mixed,
            openings=jnp.asarray(rules.openings, jnp.int32) if rules.openings else None,
            closing=rules.marks[0] if rules.openings else NO_TOKEN,
            linking=jnp.asarray(ids[links], jnp.int32) if rules.elements else None,
            source_numbers=jnp.asarray(rules.source_numbers, jnp.int32),
        )

    @classmethod
    def text(cls, size: int, eos_id: int) -> Alphabet:
        """That of plain text: every piece is written, and read back, as itself."""
        nothing = jnp.zeros((0,), jnp.int32)
        return cls(nothing, nothing, nothing, size, eos_id)

    @property
    def literal(self) -> bool:
        """Whether the whole vocabulary may be written."""
        return self.ids.shape[0] == 0


jax.tree_util.register_dataclass(
    Alphabet,
    data_fields=["ids", "number_ids", "passing", "openings", "linking", "source_numbers"],
    meta_fields=["size", "eos_id", "copy_id", "new_id", "echoed", "mixed", "closing"],
)


class _Loop(NamedTuple):
    step: Array  # int32[]
    carry: Any
    token: Array  # what the decoder reads next, int32[B] or [B, 2]
    position: Array  # int32[B], of the piece, or of the mention, that is due
    entities: Array  # int32[B], clusters numbered so far
    ended: Array  # bool[B]
    actions: Array  # int32[B, T]
    log_probs: Array  # float32[B, T]


def free(
    next_logits: NextLogits,
    carry: Any,
    alphabet: Alphabet,
    rows: Rows,
    max_steps: int,
    width: int,
) -> Decoded:
    """The likeliest symbol at each step, until every row has ended or spent its budget.

    Args:
      next_logits: the model.
      carry: its state (key/value cache).
      alphabet: what may be written.
      rows: the batch.
      max_steps: T.
      width: X.

    Returns:
      One output a row; the log-probabilities are over all X columns.
    """
    count, last = rows.sources.shape[0], rows.sources.shape[1] - 1
    pieces = jnp.sum(rows.sources > 0, axis=1, dtype=jnp.int32)
    columns = jnp.arange(width, dtype=jnp.int32)[None, :]
    means = (columns > 0) & (columns < alphabet.size) if alphabet.literal else columns >= 0
    ahead = _ahead(alphabet, rows.sources)
    missing = max(0, max_steps - rows.forced.shape[1])
    forced = jnp.pad(rows.forced, ((0, 0), (0, missing)), constant_values=NO_TOKEN)

    def going(loop: _Loop) -> Array:
        return ~loop.ended & (loop.step < rows.budgets)

    def step(loop: _Loop) -> _Loop:
        read = loop.token[:, None]
        logits, carry = next_logits(loop.carry, read, jnp.full((count,), loop.step), None)
        everywhere = jax.nn.log_softmax(logits[:, 0].astype(jnp.float32))
        best = jnp.argmax(jnp.where(means, everywhere, -jnp.inf), axis=-1).astype(jnp.int32)
        sure = jnp.take_along_axis(everywhere, best[:, None], axis=1)[:, 0]
        wanted = forced[:, loop.step]
        token = jnp.where(wanted >= 0, wanted, best if alphabet.literal else alphabet.ids[best])
        copies = token == alphabet.copy_id
        element = _is_element(alphabet, loop.token, token)
        passes = jnp.any(token[:, None] == alphabet.passing[None, :], axis=1) & ~element
        fed, entities = _read_back(alphabet, token, loop.entities)
        entities = jnp.where(element, loop.entities, entities)
        if not alphabet.echoed:
            at = jnp.minimum(loop.position, last)[:, None]
            fed = jnp.where(copies, jnp.take_along_axis(rows.sources, at, axis=1)[:, 0], fed)
        position = loop.position + passes.astype(jnp.int32)
        beside = token
        if ahead is not None:
            at = jnp.minimum(position, last)[:, None]
            beside = jnp.take_along_axis(ahead, at, axis=1)[:, 0]
        open_ = going(loop)
        ends = (token == alphabet.eos_id) | (copies & (loop.position >= pieces - 1))
        return _Loop(
            step=loop.step + 1,
            carry=carry,
            token=jnp.stack([fed, beside], axis=-1) if alphabet.mixed else fed,
            position=position,
            entities=entities,
            ended=loop.ended | ends,
            actions=loop.actions.at[:, loop.step].set(jnp.where(open_, token, 0)),
            log_probs=loop.log_probs.at[:, loop.step].set(
                jnp.where(open_ & (wanted < 0), sure, 0.0)
            ),
        )

    zeros = jnp.zeros((count,), jnp.int32)
    began = jnp.full((count, 2) if alphabet.mixed else (count,), START, jnp.int32)
    first = _Loop(
        step=jnp.zeros((), jnp.int32),
        carry=carry,
        token=began,
        position=zeros,
        entities=_numbered(alphabet, rows.sources),
        ended=pieces == 0,
        actions=jnp.zeros((count, max_steps), jnp.int32),
        log_probs=jnp.zeros((count, max_steps), jnp.float32),
    )
    loop = jax.lax.while_loop(
        lambda loop: (loop.step < max_steps) & jnp.any(going(loop)), step, first
    )
    return Decoded(
        actions=loop.actions[:, None],
        lengths=jnp.sum(loop.actions > 0, axis=1, dtype=jnp.int32)[:, None],
        scores=jnp.sum(loop.log_probs, axis=1)[:, None],
        log_probs=loop.log_probs[:, None],
        calls=loop.step,
    )


def _numbered(alphabet: Alphabet, sources: Array) -> Array:
    """How many clusters each source has marked, `int32[B]`."""
    if alphabet.source_numbers is None:
        return jnp.zeros(sources.shape[:1], jnp.int32)
    return jax.vmap(marked, (None, 0))(alphabet.source_numbers, sources)


def _ahead(alphabet: Alphabet, sources: Array) -> Array | None:
    """What is read beside a symbol, by how many came so far, `int32[B, S]`; None = the symbol."""
    if alphabet.openings is None:
        return None
    openings, closing, end = alphabet.openings, alphabet.closing, alphabet.eos_id
    return jax.vmap(lambda pieces: in_closing_order(pieces, openings, closing, end))(sources)


def _is_element(alphabet: Alphabet, read: Array, token: Array) -> Array:
    """`bool[B]`: whether a symbol of a cluster, by what the decoder read before, is no answer."""
    if alphabet.linking is None:
        return jnp.zeros(token.shape, bool)
    before = read[:, 0] if alphabet.mixed else read
    return jnp.isin(before, alphabet.linking) & jnp.isin(token, alphabet.number_ids)


def _read_back(alphabet: Alphabet, token: Array, entities: Array) -> tuple[Array, Array]:
    """What the decoder reads for `token` `int32[B]`, and how many clusters are numbered then."""
    count = alphabet.number_ids.shape[0]
    if not count:
        return token, entities
    known = token[:, None] == alphabet.number_ids[None, :]
    new = token == alphabet.new_id
    number = jnp.where(new, entities, jnp.argmax(known, axis=1).astype(jnp.int32))
    fed = jnp.where(new, alphabet.number_ids[jnp.minimum(entities, count - 1)], token)
    numbers = new | jnp.any(known, axis=1)
    return fed, jnp.where(numbers, jnp.maximum(entities, number + 1), entities)
