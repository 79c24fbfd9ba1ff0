"""The reference automaton under strict rules: worked examples, gold outputs, every state."""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np
import pytest
import walks
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import documents

from t5coref.core import automaton
from t5coref.core.automaton import DONE, Source
from t5coref.core.errors import ConfigError
from t5coref.core.rules import HEAD, NUMBER, TAIL
from t5coref.linearize import examples
from t5coref.tokenizer import Tokenizer

WHOLE = ["full-copy", "full-token", "input-feed", "tagging"]
SENTENCES = "<sentence> a o a </sentence> <sentence> n </sentence>"


@pytest.fixture(scope="module")
def script(tokenizer):
    return lambda name, text, **options: walks.Script(walks.make(tokenizer, name, **options), text)


@pytest.mark.parametrize("name", WHOLE)
def test_whole_text_with_numbers(script, name):
    after = script(name, "a o n")
    c = after.copies  # how the format writes the pieces: a o n and the end
    assert after("") == {c[0], "<m>"}
    assert after("<m>") == {c[0], "<m>"}
    assert after(f"<m> {c[0]}") == {c[1], "<m>", "|"}
    assert after(f"<m> {c[0]} |") == {"▁"}
    # Nothing is numbered yet: only 0 may follow.
    assert after(f"<m> {c[0]} | ▁") == {"0"}
    first = f"<m> {c[0]} | ▁ 0 </m>"
    assert after(first[:-4]) == {"</m>"}
    # The next mention may be of cluster 0 or new.
    assert after(f"{first} <m> {c[1]} | ▁") == {"0", "1"}
    # The source is exhausted with nothing open: it ends.
    assert after(" ".join(c[:3])) == {c[3]}
    # Exhausted with a mention open: it has to be closed.
    assert after(f"<m> {c[0]} {c[1]} {c[2]}") == {"|"}
    assert after(" ".join(c)) == set()
    assert after.state(" ".join(c)).mode == DONE


@pytest.mark.parametrize("name", WHOLE)
def test_one_span_gets_ascending_numbers(script, name):
    after = script(name, "a o n n n")
    a, o, n, *_ = after.copies
    given = f"<m> {a} | ▁ 0 </m> <m> {o} | ▁ 1 </m>"
    twins = f"{given} <m> <m> {n} | ▁ 0 </m>"
    # Outside this pair 0 and 2 would be legal too; 0 is the cluster that the span already has.
    assert after(f"{twins} | ▁") == {"1", "2"}
    # One piece further the span is another one, and 0 is legal again.
    assert after(f"{twins} {n} | ▁") == {"0", "1", "2"}
    # So it is for a mention that begins in between.
    assert after(f"{twins} <m> {n} | ▁") == {"0", "1", "2"}


def test_integer_free(script):
    after = script("integer-free", "a o n n")
    assert after("") == after("<m>") == {"<copy>", "<m>"}
    # Nothing is numbered yet: only a new cluster may follow.
    assert after("<m> <copy>") == {"<copy>", "<m>", "</new>"}
    first = "<m> <copy> </new>"
    assert after(first) == {"<copy>", "<m>"}
    assert after(f"{first} <m> <copy>") == {"<copy>", "<m>", "</new>", "</m0>"}
    assert after("<m> <copy> <copy> <copy> <copy>") == {"</new>"}
    assert after("<copy> <copy> <copy> <copy>") == {"<copy>"}
    two = f"{first} <m> <copy> </new>"
    assert after(f"{two} <m> <m> <copy> </m0>") == {"<copy>", "<m>", "</new>", "</m1>"}
    # A new cluster has the highest number: nothing but a newer one may follow it.
    assert after(f"{two} <m> <m> <copy> </new>") == {"<copy>", "<m>", "</new>"}
    assert after.fed(f"{two} <m> <copy> </m0>") == "<m> a </m0> <m> o </m1> <m> n </m0>"


def test_integer_free_with_an_end_tag(script):
    after = script("integer-free-end", "a o n")
    assert after("<m> <copy>") == {"<copy>", "<m>", "</m>"}
    assert after("<m> <copy> </m>") == {"</new>"}
    first = "<m> <copy> </m> </new>"
    assert after(f"{first} <m> <copy> </m>") == {"</new>", "<c0>"}
    assert after("<m> <copy> <copy> <copy>") == {"</m>"}
    assert after(f"{first} <m> <m> <copy> </m> <c0> </m>") == {"</new>"}
    fed = after.fed(f"{first} <m> <copy> </m> </new> <copy>")
    assert fed == "<m> a </m> <c0> <m> o </m> <c1> n"


def test_partial_writes_what_the_sentence_still_has(script):
    after = script("partial", SENTENCES)
    assert after("") == {"<sentence>"}
    begun = "<sentence>"
    assert after(begun) == {"<m>", "</sentence>"}
    assert after(f"{begun} <m>") == {"a", "o", "<m>"}
    # The text so far may be that of either `a`: the first goes on with `o`.
    assert after(f"{begun} <m> a") == {"o", "<m>", "|"}
    assert after(f"{begun} <m> a o") == after(f"{begun} <m> o") == {"a", "<m>", "|"}
    assert after(f"{begun} <m> a o a") == {"|"}
    assert after(f"{begun} <m> a <m> o | ▁ 0 </m>") == {"a", "<m>", "|"}
    # Behind a mention, what follows its first possible place is left.
    assert after(f"{begun} <m> a | ▁ 0 </m> <m>") == {"o", "a", "<m>"}
    assert after(f"{begun} <m> o | ▁ 0 </m> <m>") == {"a", "<m>"}
    assert after(f"{begun} <m> o a | ▁ 0 </m>") == {"</sentence>"}
    second = f"{begun} <m> a | ▁ 0 </m> </sentence>"
    assert after(second) == {"<sentence>"}
    assert after(f"{second} <sentence> <m>") == {"n", "<m>"}
    assert after(f"{second} <sentence> <m> n | ▁") == {"0", "1"}
    marks = "<sentence> </sentence>"
    assert after(f"{marks} {marks}") == {"</s>"}
    assert after.state(f"{marks} {marks} </s>").mode == DONE


def test_partial_without_marks_is_one_sentence(script):
    after = script("partial-unmarked", "a o a n")
    assert after("") == {"<m>", "</s>"}
    assert after("<m>") == {"a", "o", "n", "<m>"}
    assert after("<m> a") == {"o", "n", "<m>", "|"}
    assert after("<m> a n") == {"|"}
    assert after("<m> n | ▁ 0 </m>") == {"</s>"}
    assert after("<m> a | ▁ 0 </m> <m> a | ▁ 0 </m>") == {"<m>", "</s>"}
    assert after.state("</s>").mode == DONE


PRICES = {
    "full-copy": 5,  # <m> | ▁ 0 </m>
    "full-token": 5,
    "input-feed": 5,
    "tagging": 5,
    "integer-free": 2,  # <m> </new>
    "integer-free-end": 3,  # <m> </m> </new>
    "partial": 6,  # a piece of text besides
    "partial-unmarked": 6,
}


@pytest.mark.parametrize("name", PRICES)
def test_a_mention_is_opened_if_it_can_be_closed(script, name):
    text = SENTENCES if name == "partial" else "a o n"
    after = script(name, text)
    begun = "<sentence>" if name == "partial" else ""
    least = automaton.shortest(after.rules, after.source.pieces)
    assert least == {"partial": 5, "partial-unmarked": 1}.get(name, 4)
    assert "<m>" not in after(begun, budget=least + PRICES[name] - 1)
    assert "<m>" in after(begun, budget=least + PRICES[name])
    with pytest.raises(ConfigError, match=f"cannot hold the {least} that"):
        after("", budget=least - 1)


@pytest.mark.parametrize("name", walks.BRACKETS)
def test_depth_is_bounded(script, name):
    after = script(name, SENTENCES if name == "partial" else "a o n", max_depth=3)
    begun = "<sentence>" if name == "partial" else ""
    assert "<m>" in after(f"{begun} <m> <m>")
    assert "<m>" not in after(f"{begun} <m> <m> <m>")


@pytest.mark.parametrize("name", walks.NAMES)
@settings(max_examples=25, deadline=None)
@given(doc=documents())
def test_gold_outputs_are_legal_and_end(tokenizer, name, doc):
    lin = walks.make(tokenizer, name)
    rules = lin.rules
    for example in examples(lin, doc):
        source = Source(example.turn.source, rules.marks)
        # Mentions that begin together may set more aside than they use.
        budget = len(example.actions) + lin.max_depth * rules.twin_pledge
        state = automaton.initial(rules, source, budget)
        fed = walks.fed_first(example.feeds)
        for token, feed in zip(example.actions.tolist(), fed.tolist(), strict=True):
            assert token in automaton.legal_tokens(rules, state, source)
            assert automaton.written(rules, state, token, source) == token
            if rules.answer_length is None or feed:  # else the decoder begins anew
                assert automaton.feed(rules, state, token, source) == feed
            state = automaton.step(rules, state, token, source)
        assert (state.mode, state.depth) == (DONE, 0)


@pytest.mark.parametrize("name", walks.NAMES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), extra=st.integers(0, 40))
def test_no_dead_end_whatever_the_budget(tokenizer, name, seed, extra):
    options = {"sets": True} if name in SETS else {}
    lin, rng = walks.make(tokenizer, name, **options), np.random.default_rng(seed)
    source = Source(walks.random_source(rng, lin, 12), lin.rules.marks)
    budget = automaton.shortest(lin.rules, source.pieces) + extra
    steps = list(walks.walk(rng, lin.rules, source, budget))
    assert all(options and state.slack >= 0 for state, options, _ in steps[:-1])
    assert steps[-1][0].mode == DONE


PLENTY = 10**6


def every_state(rules, source):
    """The states that can be reached, without slack, and the cost of each step between them."""
    first = replace(automaton.initial(rules, source, PLENTY), slack=0)
    steps, queue = {}, deque([first])
    while queue:
        state = queue.popleft()
        if state in steps:
            continue
        rich = replace(state, slack=PLENTY)
        steps[state] = {}
        for token in automaton.legal_tokens(rules, rich, source):
            after = automaton.step(rules, rich, token, source)
            cost, after = PLENTY - after.slack, replace(after, slack=0)
            steps[state][after] = min(cost, steps[state].get(after, cost))
            queue.append(after)
    return steps


def shortest_ways(steps):
    """Steps from each state to the end, by breadth-first search from there."""
    before = {state: [] for state in steps}
    for state, nexts in steps.items():
        for after in nexts:
            before[after].append(state)
    ways = {state: 0 for state in steps if state.mode == DONE}
    queue = deque(ways)
    while queue:
        state = queue.popleft()
        for other in before[state]:
            if other not in ways:
                ways[other] = ways[state] + 1
                queue.append(other)
    return ways


SETS = ("iterative-handles",)
MARKED = "<m0> <m1> a </m> o </m> <m2> a </m>"
SPELLINGS = {
    "plain": (Tokenizer, 4, 2),
    "unlike": (walks.Respelled, 4, 2),
    "later ones shorter": (walks.Awkward, 5, 2),
    "two digits": (Tokenizer, 12, 3),
}


@pytest.mark.parametrize("name", walks.NAMES)
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_slack_in_every_state(script, name, spelling):
    """Slack is the steps left minus the shortest way, and there is a legal step in every state."""
    kind, clusters, depth = SPELLINGS[spelling]
    text = {
        "partial": "<sentence> a o </sentence> <sentence> a a </sentence>",
        "partial-unmarked": "a o a a",
        "relation-ids": "<m0> a </m> <m3> o </m>",
        "iterative-handles": MARKED,
        "iterative-ids": MARKED,
        "iterative-text": MARKED,
        "document": MARKED,
    }.get(name, "a o a")
    options = {"sets": True} if name in SETS else {}
    made = script(name, text, kind=kind, max_clusters=clusters, max_depth=depth, **options)
    rules, source = made.rules, made.source
    steps = every_state(rules, source)
    ways = shortest_ways(steps)
    assert set(ways) == set(steps)

    # What slack takes for the shortest way: the same whichever path led to a state.
    first = next(iter(steps))
    taken = {first: automaton.shortest(rules, source.pieces)}
    # The least slack with which a state is reached; with more of it, more is legal.
    least = {first: 0}
    queue = deque([first])
    while queue:
        state = queue.popleft()
        for after, cost in steps[state].items():
            assert taken.setdefault(after, taken[state] - 1 + cost) == taken[state] - 1 + cost
            slack = max(least[state] - cost, 0)
            if slack < least.get(after, slack + 1):
                least[after] = slack
                queue.append(after)
    for state, nexts in steps.items():
        if state.mode == DONE:
            assert taken[state] == ways[state] == 0
            continue
        assert min(nexts.values()) <= least[state], "a dead end"
        # Set aside for mentions that begin together, or taken from that within a number.
        within = state.mode >= NUMBER
        aside = rules.twin_pledge * state.twins.bit_count()
        aside += rules.twin_pledge * (state.floor > 0 and not within)
        # Within a relation, for numbers that remain.
        if rules.role[state.mode] in (HEAD, TAIL):
            spelt = [len(s) for s in made.lin.section.spelling]
            aside += 2 * (max(spelt) - min(spelt))
        used = rules.twin_pledge * (state.floor > 0) + rules.first_pledge * (state.entities == 0)
        # A number that may follow later and is shorter is not counted on.
        shorter = state.depth * (kind is walks.Awkward)
        assert -used * within <= taken[state] - ways[state] <= aside + shorter
        exact = not (rules.twin_pledge or rules.first_pledge)
        assert taken[state] == ways[state] or not exact
