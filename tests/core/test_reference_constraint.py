"""The published constraint: what it allows beside sense, and what it forces."""

from __future__ import annotations

import numpy as np
import pytest
import walks
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.document import Annotation
from t5coref.core.rules import TEXT
from t5coref.linearize import examples

WHOLE = ["full-copy", "full-token", "input-feed", "tagging"]
NUMBER = {"▁", *"0123456789"}


@pytest.fixture(scope="module")
def script(tokenizer):
    def make(name, text, **options):
        return walks.Script(walks.make(tokenizer, name, "reference", **options), text)

    return make


@pytest.mark.parametrize("name", WHOLE)
def test_numbers_are_anything(script, name):
    after = script(name, "a o n")
    a, o, n, end = after.copies
    assert after("") == {a, "<m>"}
    # An empty mention, an empty number, any digits in any order.
    assert after("<m>") == {a, "<m>", "|"}
    for number in ("", "9", "9 9 ▁ 0 ▁"):
        assert after(f"<m> | {number}") == NUMBER | {"</m>"}
    assert after("<m> | </m>") == {a, "<m>"}
    assert after(f"<m> <m> {a} | 7 </m> {o}") == {n, "<m>", "|"}
    # A mention counts as closed from its separator on: there is nothing to close twice.
    assert after(f"<m> {a} | 0 </m> {o}") == {n, "<m>"}
    # The end is forced, whatever is open.
    assert after(f"<m> {a} {o} {n}") == after(f"{a} {o} {n}") == {end}
    assert after.state(f"<m> {a} {o} {n} {end}").mode == DONE
    # Nesting has no bound.
    assert "<m>" in after("<m> " * 20)


@pytest.mark.parametrize("name", WHOLE)
def test_a_separator_of_the_text_acts_as_one(script, name):
    after = script(name, "a | o")
    a, copy = ("a", "|") if name == "full-token" else ("<copy>", "<copy>")
    inside = after.state(f"<m> {a} {copy}")
    assert inside.frontier == frozenset([1])  # nothing was copied
    assert after(f"<m> {a} {copy}") == NUMBER | {"</m>"}
    # Even where nothing is open.
    assert after(f"{a} {copy}") == NUMBER | {"</m>"}
    assert after(f"{a} {copy} 3 </m>") == {copy, "<m>"}
    separator = after.ids["|"]
    state = after.state(f"<m> {a}")
    token = after.ids[copy]
    assert automaton.written(after.rules, state, token, after.source) == separator
    assert automaton.feed(after.rules, state, token, after.source) == separator


@pytest.mark.parametrize(
    ("name", "close", "known"),
    [("integer-free", "", "</m{}>"), ("integer-free-end", "</m> ", "<c{}>")],
)
def test_integer_free(script, name, close, known):
    after = script(name, "a o n")
    choices = lambda *numbers: {"</new>", *(known.format(k) for k in numbers)}  # noqa: E731
    opened = {"<copy>", "<m>"}
    assert after("") == opened
    # Empty mentions, and clusters that have a number already.
    if close:
        assert after("<m>") == opened | {"</m>"}
        assert after("<m> </m>") == choices()
    else:
        assert after("<m>") == opened | choices()
    new = f"<m> {close}</new>"
    within = set() if close else opened
    assert after(f"{new} <m> {close}") == within | choices(0)
    # The same cluster twice for one span.
    twins = f"{new} <m> <m> {close}{known.format(0)}"
    assert after(f"{twins} {close}") == within | choices(0)
    # The end is forced, whatever is open.
    assert after("<m> <copy> <copy> <copy>") == {"<copy>"}
    assert after.state("<m> <copy> <copy> <copy> <copy>").mode == DONE
    fed = after.fed(f"{new} {new} <m> {close}{known.format(0)} <copy>").split()
    assert [f for f in fed if f != close.strip()] == [
        "<m>", known.format(0), "<m>", known.format(1), "<m>", known.format(0), "a"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["integer-free", "integer-free-end"])
def test_there_is_no_new_cluster_beyond_the_last_symbol(script, name):
    after = script(name, "a o n", max_clusters=3)
    close = "</m>" if name == "integer-free-end" else ""
    many = f"<m> {close} </new> " * 3
    assert "</new>" in after(f"<m> {close} </new> " * 2 + f"<m> {close}")
    assert len(after(f"{many} <m> {close}")) >= 3
    assert "</new>" not in after(f"{many} <m> {close}")


def test_partial_writes_any_piece_of_the_sentence(script):
    after = script("partial", "<sentence> a o </sentence> <sentence> n </sentence>")
    assert after("") == {"<sentence>", "<m>"}
    within = {"a", "o", "<m>", "</sentence>"}
    assert after("<sentence>") == within
    # In any order, as often as it likes, outside of mentions and within numbers too.
    assert after("<sentence> o o a") == within
    assert after("<sentence> <m> o o a") == within | {"|"}
    number = NUMBER | {"a", "o", "</m>", "</sentence>"}
    assert after("<sentence> <m> |") == after("<sentence> <m> | 7 o") == number
    # Sentences end whatever is open, and mentions go on behind them.
    second = "<sentence> <m> a </sentence>"
    assert after(second) == {"<sentence>", "<m>"}
    # `</s>` stands among the pieces of the last sentence.
    assert after(f"{second} <sentence>") == {"n", "<m>", "|", "</sentence>", "</s>"}
    assert after(f"{second} <sentence> n </sentence>") == {"</s>"}
    assert after.state(f"{second} <sentence> </s>").mode == DONE


def test_partial_without_marks(script):
    after = script("partial-unmarked", "a o")
    assert after("") == {"a", "o", "<m>", "</s>"}
    assert after("<m> o a") == {"a", "o", "<m>", "|", "</s>"}
    assert after("<m> |") == NUMBER | {"a", "o", "</m>", "</s>"}
    assert after.state("<m> </s>").mode == DONE


def plain(doc):
    """Without mentions of the last word: the published constraint ends before they are closed."""
    last = len(doc.words)
    kept = [[s for s in cluster if s[1] < last] for cluster in doc.annotation.clusters]
    return doc.with_annotation(Annotation(tuple(tuple(c) for c in kept if c)))


@pytest.mark.parametrize("name", walks.PUBLISHED)
@settings(max_examples=25, deadline=None)
@given(doc=documents())
def test_gold_outputs_are_legal(tokenizer, name, doc):
    lin = walks.make(tokenizer, name, "reference", window=400)
    rules = lin.rules
    for example in examples(lin, plain(doc)):
        source = Source(example.turn.source, rules.marks)
        state = automaton.initial(rules, source, len(example.actions))
        fed = walks.fed_first(example.feeds)
        for token, feed in zip(example.actions.tolist(), fed.tolist(), strict=True):
            assert token in automaton.legal_tokens(rules, state, source)
            assert automaton.feed(rules, state, token, source) == feed
            state = automaton.step(rules, state, token, source)
        assert state.mode == DONE


@pytest.mark.parametrize("name", walks.PUBLISHED)
@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_something_is_legal_in_every_state(tokenizer, name, seed):
    """The published rules promise no end, but never leave the decoder without a choice."""
    lin, rng = walks.make(tokenizer, name, "reference"), np.random.default_rng(seed)
    source = Source(walks.random_source(rng, lin, 10), lin.rules.marks)
    steps = list(walks.walk(rng, lin.rules, source, 80))
    assert all(options for state, options, _ in steps if state.mode != DONE)
    assert all(state.slack == 80 for state, _, _ in steps)
    assert steps[0][0].mode == TEXT
