"""Free generation: against a plain loop over a decoder without a cache, and by hand."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from searches import rows_of, without_cache

from t5coref import linearize
from t5coref.core.errors import ConfigError
from t5coref.core.rules import NEW, Effect
from t5coref.decode.free import Alphabet, free
from t5coref.decode.search import Free, Rows
from t5coref.linearize import FORMATS, PLAIN_TEXT
from t5coref.linearize.questions import Questions
from t5coref.predict import decode_batch

STEPS = 24
FAST = ["input-feed", "iterative-handles", "full-token"]
ANSWERED = [n for n in FORMATS if not issubclass(FORMATS[n], Questions) and n not in PLAIN_TEXT]
NAMES = [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in ANSWERED]


def elements(rules, actions):
    """Which of the actions are elements of a set: symbols of clusters behind a link."""
    named = zip(rules.inventory.ids, rules.inventory.names, strict=True)
    links = {token for token, name in named if name in ("<of>", "<in>")}
    before = [None, *actions]
    return [b in links and t in rules.number_ids for b, t in zip(before, actions, strict=False)]


def due(rules, actions):
    """How many pieces of the source, or mentions, lie behind actions."""
    passes = rules.effect & (Effect.ADVANCE | Effect.PASSES) != 0
    passing = {t for t, p in zip(rules.inventory.ids, passes, strict=True) if p}
    answered = zip(actions, elements(rules, actions), strict=True)
    return 0 if rules.literal else sum(t in passing and not e for t, e in answered)


def closed_in_order(rules, source):
    """The opening marks of a source in the order in which they are closed."""
    open_, found = [], []
    for piece in source:
        if piece in rules.openings:
            open_.append(piece)
        elif piece == rules.marks[0]:
            found.append(open_.pop())
    return found


def read_back(rules, source, actions):
    """What the decoder reads for actions that no rule has checked."""
    copy = None if rules.literal or rules.echoed else rules.inventory.ids[rules.copy]
    column = (rules.given == NEW).any(axis=0)
    new = {t for t, is_new in zip(rules.inventory.ids, column, strict=True) if is_new}
    entities, fed = 0, []
    for at, (token, element) in enumerate(zip(actions, elements(rules, actions), strict=True)):
        if element:
            fed.append(token)
        elif token == copy:
            fed.append(source[due(rules, actions[:at])])
        elif token in new:
            fed.append(rules.number_ids[min(entities, len(rules.number_ids) - 1)])
            entities += 1
        else:
            fed.append(token)
            if token in rules.number_ids:
                entities = max(entities, rules.number_ids.index(token) + 1)
    beside = actions
    if rules.openings:
        # Behind them `</s>`, the source's last piece: nothing is left to say.
        handles = [*closed_in_order(rules, source), *[source[-1]] * (len(actions) + 1)]
        beside = [handles[due(rules, actions[: at + 1])] for at in range(len(actions))]
    return [list(pair) for pair in zip(fed, beside, strict=True)] if rules.mixed else fed


def plain_loop(network, params, lin, turn, size):
    """Reads all that it has written anew at each step."""
    rules, end = lin.rules, lin.tokenizer.eos_id
    symbols = None if rules.literal else np.asarray(rules.inventory.ids, np.int32)
    actions, log_probs = [], []
    while len(actions) < STEPS:
        read = read_back(rules, turn.source.tolist(), actions)
        feeds = np.zeros((1, STEPS, 2) if rules.mixed else (1, STEPS), np.int32)
        if read:
            feeds[0, 1 : len(read) + 1] = np.asarray(read)[: STEPS - 1]
        logits = without_cache(network, params, turn.source[None], feeds, symbols)
        among = np.asarray(jax.nn.log_softmax(logits[0, len(actions)]))
        if rules.literal:
            best = 1 + int(np.argmax(among[1:size]))
            actions.append(best)
        else:
            best = int(np.argmax(among))
            actions.append(int(symbols[best]))
        log_probs.append(among[best])
        copies = not rules.literal and actions[-1] == rules.inventory.ids[rules.copy]
        if actions[-1] == end or (copies and due(rules, actions) >= len(turn.source)):
            break
    return actions, log_probs


@pytest.mark.parametrize("name", NAMES)
def test_agrees_with_a_decoder_without_a_cache(learnt, name):
    lin = learnt.formats[name]
    if name == "iterative-handles":
        lin = linearize.get(name, lin.tokenizer, window=64, max_clusters=10, sets=True)
    size = lin.tokenizer.size
    turns = [linearize.examples(lin, story)[0].turn for story in learnt.stories[:3]]
    rows = rows_of([turn.source for turn in turns], [STEPS] * len(turns), STEPS)
    alphabet = Alphabet.of(lin.rules, size, lin.tokenizer.eos_id)
    for params in (learnt.random, learnt.trained):
        found, _ = decode_batch(
            learnt.network, params, alphabet, rows, jnp.zeros((0,), jnp.int32), STEPS, Free()
        )
        assert found.calls == found.lengths.max()
        for row, turn in enumerate(turns[:2]):
            actions, log_probs = plain_loop(learnt.network, params, lin, turn, size)
            length = int(found.lengths[row, 0])
            assert found.actions[row, 0, :length].tolist() == actions
            np.testing.assert_allclose(
                found.log_probs[row, 0, :length], log_probs, rtol=1e-3, atol=1e-3
            )
            np.testing.assert_allclose(
                found.scores[row, 0], np.sum(log_probs), rtol=1e-3, atol=1e-3
            )


END, COPY, NEW_CLUSTER = 1, 5, 6
SYMBOLS = [COPY, NEW_CLUSTER, 7, 8, END]  # 7 and 8 are clusters 0 and 1
SYMBOLIC = Alphabet(
    ids=jnp.asarray(SYMBOLS, jnp.int32), number_ids=jnp.asarray([7, 8], jnp.int32),
    passing=jnp.asarray([COPY], jnp.int32), size=9, eos_id=END, copy_id=COPY, new_id=NEW_CLUSTER,
)  # fmt: skip
TEXT = Alphabet.text(size=7, eos_id=END)


def generated(alphabet, wanted, sources, budgets, forced=None):
    """What comes out of a model that wants to write `wanted`, whatever it reads."""
    steps, width = max(map(len, wanted)), 9 if alphabet.literal else len(SYMBOLS)
    logits = np.zeros((len(wanted), steps, width), np.float32)
    for row, tokens in enumerate(wanted):
        for at, token in enumerate(tokens):
            logits[row, at, token if alphabet.literal else SYMBOLS.index(token)] = 9
    rows = Rows(
        jnp.asarray(sources, jnp.int32),
        jnp.asarray(budgets, jnp.int32),
        jnp.asarray([[]] * len(wanted) if forced is None else forced, jnp.int32),
    )

    def next_logits(carry, tokens, positions, visible):
        assert visible is None
        assert tokens.shape == (len(wanted), 1)
        return jnp.asarray(logits)[:, positions[0]][:, None], carry

    found = free(next_logits, (), alphabet, rows, steps, width)
    lengths = found.lengths[:, 0].tolist()
    assert found.calls == max(lengths)
    return [found.actions[row, 0, :length].tolist() for row, length in enumerate(lengths)]


def test_ends_with_the_end_copied_or_written_or_with_the_budget():
    copies, again = [COPY] * 3 + [7], [NEW_CLUSTER] * 4
    wanted = [copies, [7, END, 7, 7], again, again, again]
    sources = [[3, 4, END], [3, 4, END], [3, 4, END], [3, END, 0], [0, 0, 0]]
    assert generated(SYMBOLIC, wanted, sources, [4, 4, 4, 2, 4]) == [
        [COPY] * 3, [7, END], again, again[:2], [],
    ]  # fmt: skip


def test_new_clusters_are_numbered_behind_those_that_the_source_names():
    """What is written second shows which symbol the decoder has read for the new cluster."""
    alphabet = dataclasses.replace(SYMBOLIC, source_numbers=jnp.asarray([7, 8], jnp.int32))

    def next_logits(carry, tokens, positions, visible):
        behind = jnp.select([tokens == 7, tokens == 8], [SYMBOLS.index(COPY), SYMBOLS.index(END)],
                            SYMBOLS.index(NEW_CLUSTER))  # fmt: skip
        return jax.nn.one_hot(behind, len(SYMBOLS)), carry

    sources = jnp.asarray([[7, 3, END], [3, 4, END]], jnp.int32)
    rows = Rows(sources, jnp.asarray([2, 2]), jnp.zeros((2, 0), jnp.int32))
    found = free(next_logits, (), alphabet, rows, 2, len(SYMBOLS))
    assert found.actions[:, 0].tolist() == [[NEW_CLUSTER, END], [NEW_CLUSTER, COPY]]


def test_begins_with_what_is_forced():
    found = generated(
        SYMBOLIC, [[COPY] * 4, [7] * 4], [[3, 4, END]] * 2, [4, 4], [[7, 8, -1], [-1, -1, -1]]
    )
    assert found == [[7, 8, COPY, COPY], [7] * 4]


def test_writes_no_padding_and_nothing_that_no_id_stands_for():
    found = generated(TEXT, [[0, 8, 7, 6, END, 6]], [[3, END]], [6])
    # Where the model wants nothing else, the first id that means something is the end.
    assert found == [[END]]
    assert generated(TEXT, [[6, 2, END, 6]], [[3, END]], [4]) == [[6, 2, END]]


def test_a_budget_is_at_least_a_step():
    with pytest.raises(ConfigError, match="expected at least 1 step"):
        Free(0)
