"""Formats made small, sources for them, and walks along their rules."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.linearize import FORMATS, MENTION_GIVEN, PLAIN_TEXT, RELATIONS, get, symbols_of
from t5coref.tokenizer import Tokenizer

NAMES = sorted(set(FORMATS) - set(PLAIN_TEXT))
BRACKETS = [n for n in NAMES if n not in ("relation-ids", "relation-text", *MENTION_GIVEN)]
PUBLISHED = [name for name in NAMES if name not in (*RELATIONS, *MENTION_GIVEN)]
"""Those that have a reference constraint beside the strict one."""
CASES = [
    (name, constraint)
    for name in NAMES
    for constraint in ("strict", "reference")
    if constraint == "strict" or name in PUBLISHED
]
IDS = [f"{name}-{constraint}" for name, constraint in CASES]

SMALL = {"window": 40, "max_clusters": 12, "max_depth": 4}
RELATED = {"relations": ("a", "b")}


class Respelled(Tokenizer):
    """Numbers of unlike lengths: the first is longer than the second, one goes on another."""

    spellings: ClassVar = {"0": "▁ 0", "1": "1", "2": "2", "3": "1 0 3"}

    def encode(self, text):
        if text not in self.spellings:
            return super().encode(text)
        return [self._sp.piece_to_id(p) for p in self.spellings[text].split()]


class Awkward(Respelled):
    """Numbers that always may follow are longer than a later one."""

    spellings: ClassVar = {"0": "▁ 0", "1": "▁ 1", "2": "2", "3": "▁ 3 3 3", "4": "▁ 4"}


def make(tokenizer, name, constraint="strict", *, kind=Tokenizer, **options):
    """The format `name`, with its own symbols behind the vocabulary of `tokenizer`."""
    options = SMALL | (RELATED if name in RELATIONS else {}) | options
    own = kind(tokenizer.model, symbols_of(name, options))
    return get(name, own, constraint=constraint, **options)


def random_source(rng, lin, longest):
    """Pieces of a source with `</s>`; repeated ones, digits, and what else a text may hold."""
    encode, rules = lin.tokenizer.encode, lin.rules
    alphabet = [*encode("aon")[1:], *encode("17")]
    if rules.aliased or not rules.literal:
        alphabet.append(encode("|")[-1])
    if rules.aliased and rules.literal:
        alphabet += encode("0")
    alphabet += rules.source_numbers[:5]
    if lin.name in MENTION_GIVEN:
        alphabet += [*lin.openings[:2], *[lin.close] * 3]
    marks = getattr(lin, "sentence_marks", ())
    length = int(rng.integers(1, longest + 1))
    if not marks:
        return np.append(rng.choice(alphabet, length - 1), 1).astype(np.int32)
    pieces = []
    while len(pieces) < length - 1:
        pieces += [marks[0], *rng.choice(alphabet, rng.integers(0, 5)), marks[1]]
    cut = rng.integers(0, 2)  # a window may begin inside of a sentence, and end there
    return np.append(pieces[cut : cut + length - 1], 1).astype(np.int32)


def padded(sources, width):
    """`int32[B, width]`."""
    out = np.zeros((len(sources), width), np.int32)
    for row, pieces in zip(out, sources, strict=True):
        row[: len(pieces)] = pieces
    return out


def weighted(rng, rules, options):
    """One of the legal tokens; tags twice as likely as pieces, so that walks nest deeply.

    Relations are likelier still, so that there are many before the end.
    """
    options = sorted(options)
    tags = [t for t in options if rules.inventory.index.get(t, rules.copy) != rules.copy]
    relations = [t for t in tags if rules.inventory.names[rules.inventory.index[t]] == "<rel>"]
    return int(rng.choice([*options, *tags, *tags, *relations * 12]))


def walk(rng, rules, source: Source, budget):
    """(state, legal tokens, token) at each step of a random walk; token None behind the last."""
    state = automaton.initial(rules, source, budget)
    for _ in range(budget):
        options = automaton.legal_tokens(rules, state, source)
        if state.mode == DONE or not options:
            break
        token = weighted(rng, rules, options)
        yield state, options, token
        state = automaton.step(rules, state, token, source)
    yield state, automaton.legal_tokens(rules, state, source), None


def follow(rules, source: Source, tokens, budget=200):
    """The state behind tokens, each of which has to be legal."""
    state = automaton.initial(rules, source, budget)
    for i, token in enumerate(tokens):
        options = automaton.legal_tokens(rules, state, source)
        assert token in options, (i, token, options, state)
        state = automaton.step(rules, state, token, source)
    return state


def fed_first(feeds):
    """What `automaton.feed` gives of a format's feeds: of two columns the first."""
    return feeds[:, 0] if feeds.ndim == 2 else feeds


class Script:
    """Outputs by the names of their tokens: `script("<m> a")` is the set of what may follow."""

    def __init__(self, lin, text: str):
        tokenizer = lin.tokenizer
        self.lin, self.rules = lin, lin.rules
        self.name = tokenizer.piece
        self.ids = {tokenizer.piece(i): i for i in range(tokenizer.size)}
        pieces = [*(self.ids[p] for p in text.split()), tokenizer.eos_id]
        self.source = Source(np.asarray(pieces, np.int32), self.rules.marks)

    @property
    def copies(self) -> list[str]:
        """How the pieces of the source are written, the last one included."""
        state = automaton.initial(self.rules, self.source, 200)
        out = []
        while state.mode != DONE:
            options = automaton.legal_tokens(self.rules, state, self.source)
            (token,) = options - {self.ids["<m>"]}
            out.append(self.name(token))
            state = automaton.step(self.rules, state, token, self.source)
        return out

    def __call__(self, tokens: str, budget: int = 200) -> set[str]:
        options = automaton.legal_tokens(self.rules, self.state(tokens, budget), self.source)
        return {self.name(t) for t in options}

    def state(self, tokens: str, budget: int = 200) -> automaton.State:
        """The state behind tokens, each of which has to be legal."""
        return follow(self.rules, self.source, [self.ids[t] for t in tokens.split()], budget)

    def fed(self, tokens: str) -> str:
        """What the decoder reads."""
        state, out = automaton.initial(self.rules, self.source, 200), []
        for token in (self.ids[t] for t in tokens.split()):
            out.append(automaton.feed(self.rules, state, token, self.source))
            state = automaton.step(self.rules, state, token, self.source)
        return " ".join(map(self.name, out))
